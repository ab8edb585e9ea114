// tenon: load ONNX models and run them. The C++20 API, header-only over tenon.h.
//
//   tenon::Session session("resnet50.onnx");
//   tenon::Outputs out = session.run({{"data", tenon::view(image, {1, 3, 224, 224})}});
//   std::span<const float> scores = out["scores"].data<float>();
//
// Everything owns what it needs: values and outputs outlive their session, a session outlives its options. Only view()
// borrows, and says so. Failures throw Error; functions with try_ in their name return Expected instead.
// Threads: a Session may run in any number of threads at once; other objects are used by one thread at a time.
#ifndef TENON_TENON_HPP
#define TENON_TENON_HPP

#include <tenon/value.hpp>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <future>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tenon {
inline namespace sdk0 {

// The checked configuration of a session.
class Config {
 public:
  Config() : Config(detail::out<tenon_configuration>(&tenon_configuration_create)) {}
  static Config parse(const std::string& json, const std::string& source = "configuration") {
    return Config(detail::out<tenon_configuration>(&tenon_configuration_parse, json.c_str(), source.c_str(), nullptr));
  }
  static Config load(const std::filesystem::path& path) {
    return Config(detail::out<tenon_configuration>(&tenon_configuration_load, path.c_str()));
  }
  // The one file that counts, see tenon_configuration_find.
  static Config find(const std::filesystem::path& path = {}, const std::filesystem::path& model = {}) {
    return Config(detail::out<tenon_configuration>(&tenon_configuration_find, path.c_str(), model.c_str()));
  }
  Config(const Config& other) : Config(detail::out<tenon_configuration>(&tenon_configuration_copy, other.handle())) {}
  Config(Config&&) noexcept = default;
  Config& operator=(Config other) noexcept { return configuration_.swap(other.configuration_), *this; }

  // pointer: "/session/threads"; value: JSON, or a bare word.
  Config& set(const std::string& pointer, const std::string& value) {
    detail::check(tenon_configuration_set(handle(), pointer.c_str(), value.c_str()));
    return *this;
  }
  Config& add_provider(const std::string& name, const std::string& options_json = "{}", const std::string& device = "",
                       bool required = true) {
    detail::check(tenon_configuration_add_provider(handle(), name.c_str(), device.c_str(), options_json.c_str(), required));
    return *this;
  }
  Config& clear_providers() { return detail::check(tenon_configuration_clear_providers(handle())), *this; }
  std::string text() const { return detail::text(&tenon_configuration_text, handle()); }
  std::string origins() const { return detail::text(&tenon_configuration_origins, handle()); }
  static std::string schema() { return detail::text(&tenon_configuration_schema); }
  tenon_configuration* handle() const noexcept { return configuration_.get(); }

 private:
  explicit Config(tenon_configuration* raw) : configuration_(raw, &tenon_configuration_release) {}
  std::unique_ptr<tenon_configuration, void (*)(tenon_configuration*)> configuration_;
};

// Times of the steps of the runs that it was given to. Any thread.
class Profile {
 public:
  Profile() : profile_(detail::out<tenon_profile>(&tenon_profile_create), &tenon_profile_release) {}
  std::string trace() const { return detail::text(&tenon_profile_trace, handle()); }  // Chrome trace format
  std::size_t event_count() const noexcept { return tenon_profile_event_count(handle()); }
  tenon_profile* handle() const noexcept { return profile_.get(); }

 private:
  std::unique_ptr<tenon_profile, void (*)(tenon_profile*)> profile_;
};

// What a session keeps between the runs of one conversation, where /session/state names it; made by the session. Copies of the
// handle are the same state. One run at a time uses it, and nothing else meanwhile.
class State {
 public:
  State() = default;  // none: runs use the session's own
  explicit State(std::shared_ptr<tenon_state> raw) : state_(std::move(raw)) {}
  explicit operator bool() const noexcept { return state_ != nullptr; }

  std::int64_t rows() const noexcept { return tenon_state_rows(handle()); }
  std::int64_t capacity() const noexcept { return tenon_state_capacity(handle()); }
  void truncate(std::int64_t rows) const { detail::check(tenon_state_truncate(handle(), rows)); }
  void reset() const { truncate(0); }
  State fork() const { return State(own(detail::out<tenon_state>(&tenon_state_copy, handle()))); }
  // A copy of what the input would be fed with.
  Value value(const std::string& input) const { return Value(detail::out<tenon_datum>(&tenon_state_value, handle(), input.c_str())); }
  tenon_state* handle() const noexcept { return state_.get(); }

  static std::shared_ptr<tenon_state> own(tenon_state* raw) { return {raw, &tenon_state_release}; }

 private:
  std::shared_ptr<tenon_state> state_;
};

namespace detail {

// A cancel token that follows a stop_token; none when that can never stop.
class Cancel {
 public:
  explicit Cancel(const std::stop_token& stop) : token_(nullptr, &tenon_cancel_token_release) {
    if (!stop.stop_possible()) return;
    token_.reset(out<tenon_cancel_token>(&tenon_cancel_token_create));
    callback_.emplace(stop, Stop{token_.get()});
  }
  const tenon_cancel_token* handle() const { return token_.get(); }

 private:
  struct Stop {
    const tenon_cancel_token* token;
    void operator()() const noexcept { tenon_cancel_token_cancel(token); }
  };
  std::unique_ptr<tenon_cancel_token, void (*)(tenon_cancel_token*)> token_;
  std::optional<std::stop_callback<Stop>> callback_;
};

}  // namespace detail

struct SessionOptions {
  std::vector<std::string> providers;                          // ids or aliases, the preferred one first; empty: the configuration's
  std::filesystem::path config;                                // file; empty: the one that counts
  std::optional<Config> configuration;                         // instead of any file
  std::vector<std::pair<std::string, std::string>> settings;   // pointer and value, on top of it
  std::stop_token stop;
  std::function<void(double fraction, const char* what)> progress;  // on the loading thread; must not throw
};

namespace detail {

// What `load` makes with the options as the C API takes them. Throws its failure.
template <class Load>
auto with_load_options(const SessionOptions& options, const std::filesystem::path& model, Load load) {
  if (tenon_version_number() / 1000 != TENON_VERSION_NUMBER / 1000)
    throw Error(TENON_ABI_MISMATCH, std::string("built with the headers of tenon ") + std::to_string(TENON_VERSION_MAJOR) + "." +
                                        std::to_string(TENON_VERSION_MINOR) + ", but libtenon is " + tenon_version());
  Config config = options.configuration ? *options.configuration : Config::find(options.config, model);
  if (!options.providers.empty()) config.clear_providers();
  for (const std::string& provider : options.providers) config.add_provider(provider);
  for (const auto& [pointer, value] : options.settings) config.set(pointer, value);
  const Cancel cancel(options.stop);
  tenon_load_options raw{};
  raw.struct_size = sizeof raw;
  raw.configuration = config.handle();
  raw.cancel = cancel.handle();
  if (options.progress) {
    raw.progress = [](void* user, double fraction, const char* what) {
      (*static_cast<decltype(options.progress)*>(user))(fraction, what);
    };
    raw.progress_user = const_cast<void*>(static_cast<const void*>(&options.progress));
  }
  return load(&raw);
}

}  // namespace detail

struct RunOptions {
  std::stop_token stop;
  std::chrono::nanoseconds timeout{0};  // 0: none
  Profile* profile = nullptr;
  State state = {};                     // of this session; none: its own where it keeps one
};

// An input or output of the model. The views live as long as the session.
struct Port {
  std::string_view name, type;  // type as ONNX writes it: "tensor(float)"
  std::int32_t kind = TENON_KIND_TENSOR, dtype = 0;
  std::optional<Dims> dims;                 // -1: not fixed; nullopt: rank unknown
  std::vector<std::string_view> dim_names;  // "" where fixed or anonymous
  bool optional = false;
  std::string_view memory = "host";  // where a run wants it, or makes it
  std::int32_t dlpack_type = 1, dlpack_id = 0;  // DLPack's number of that memory; type 0: none
};

// Where one node runs, and why there.
struct PlacedNode {
  std::string node, op;      // node: its name, "" where it has none
  std::string graph;         // "" the model's, else the path of a body
  std::string provider, device, reason;  // provider "core": shape arithmetic and control flow
  std::int32_t part = -1;    // -1: none
  double cost_ns = 0;
  bool measured = false;     // else the provider's estimate
};

struct Feed {
  std::string name;
  Value value;
};

// The outputs of a run, in the order asked for.
class Outputs {
 public:
  explicit Outputs(std::vector<Feed> all) : all_(std::move(all)) {}
  const Value& operator[](std::size_t index) const { return all_.at(index).value; }
  const Value& operator[](std::string_view name) const {
    for (const Feed& output : all_)
      if (output.name == name) return output.value;
    throw Error(TENON_NOT_FOUND, "there is no output \"" + std::string(name) + "\"");
  }
  std::size_t size() const noexcept { return all_.size(); }
  auto begin() const noexcept { return all_.begin(); }
  auto end() const noexcept { return all_.end(); }

 private:
  std::vector<Feed> all_;
};

// A loaded model. Copies are the same session.
class Session {
 public:
  explicit Session(const std::filesystem::path& model, const SessionOptions& options = {}) {
    make(options, model, [&](const tenon_load_options* o) {
      return detail::out<tenon_session>(&tenon_session_load_file, model.c_str(), o);
    });
  }
  // The bytes are not needed afterwards.
  explicit Session(std::span<const std::byte> model, const SessionOptions& options = {}) {
    make(options, {}, [&](const tenon_load_options* o) {
      return detail::out<tenon_session>(&tenon_session_load_bytes, static_cast<const void*>(model.data()), model.size(), o);
    });
  }
  static Expected<Session> try_load(const std::filesystem::path& model, const SessionOptions& options = {}) {
    return detail::expected([&] { return Session(model, options); });
  }

  const std::vector<Port>& inputs() const noexcept { return state_->inputs; }
  const std::vector<Port>& outputs() const noexcept { return state_->outputs; }

  // names: the outputs wanted, all when empty.
  Outputs run(std::span<const Feed> feeds, std::span<const std::string> names = {}, const RunOptions& options = {}) const {
    std::vector<Feed> results;
    if (names.empty())
      for (const Port& port : outputs()) results.push_back({std::string(port.name), {}});
    else
      for (const std::string& name : names) results.push_back({name, {}});
    run_into(feeds, results, options);
    return Outputs(std::move(results));
  }
  Outputs run(std::initializer_list<Feed> feeds, const RunOptions& options = {}) const {
    return run(std::span<const Feed>(feeds.begin(), feeds.size()), {}, options);
  }
  Expected<Outputs> try_run(std::span<const Feed> feeds, std::span<const std::string> names = {}, const RunOptions& options = {}) const {
    return detail::expected([&] { return run(feeds, names, options); });
  }
  // Fills results by name: in place where there is a value, else with a new one.
  void run_into(std::span<const Feed> feeds, std::span<Feed> results, const RunOptions& options = {}) const {
    std::vector<const char*> feed_names, result_names;
    std::vector<const tenon_datum*> inputs;
    std::vector<tenon_datum*> outputs;
    for (const Feed& f : feeds) feed_names.push_back(f.name.c_str()), inputs.push_back(f.value.handle());
    for (const Feed& r : results) result_names.push_back(r.name.c_str()), outputs.push_back(r.value.handle());
    const detail::Cancel cancel(options.stop);
    const auto timeout = options.timeout.count() > 0 ? static_cast<std::uint64_t>(options.timeout.count()) : 0;
    const tenon_run_options raw{sizeof raw, 0, cancel.handle(), timeout, options.profile ? options.profile->handle() : nullptr,
                                options.state.handle()};
    detail::check(tenon_session_run(handle(), feed_names.data(), inputs.data(), inputs.size(), result_names.data(), outputs.size(), &raw,
                                    outputs.data()));
    for (std::size_t i = 0; i < outputs.size(); ++i)
      if (!results[i].value) results[i].value = Value(outputs[i]);
  }
  // On a thread of its own; the session and the feeds' values live until it is done.
  std::future<Outputs> run_async(std::vector<Feed> feeds, RunOptions options = {}) const {
    return std::async(std::launch::async, [session = *this, feeds = std::move(feeds), options = std::move(options)] {
      return session.run(feeds, {}, options);
    });
  }

  // The session's own state, which lives as long as it; none where nothing is kept.
  tenon::State state() const {
    tenon_state* const raw = tenon_session_state(handle());
    return raw ? tenon::State(std::shared_ptr<tenon_state>(state_, raw)) : tenon::State();
  }
  // Another one, empty.
  tenon::State make_state() const { return tenon::State(tenon::State::own(detail::out<tenon_state>(&tenon_state_create, handle()))); }

  std::vector<std::string> providers() const {
    std::vector<std::string> all;
    for (std::size_t i = 0; i < tenon_session_provider_count(handle()); ++i) all.emplace_back(tenon_session_provider(handle(), i));
    return all;
  }
  std::optional<std::string_view> metadata(const std::string& key) const {
    const char* value = tenon_session_metadata(handle(), key.c_str());
    return value ? std::optional<std::string_view>(value) : std::nullopt;
  }
  std::string model_json() const { return detail::text(&tenon_session_model_text, handle()); }
  // What runs where, at what cost, and why not elsewhere: "text" for people, "json" (core/report/README.md), "html" a page.
  std::string explain(const std::string& format = "text") const { return detail::text(&tenon_session_explain, handle(), format.c_str()); }
  std::string placement_json() const { return explain("json"); }
  // The same, node by node.
  std::vector<PlacedNode> placement() const {
    std::vector<PlacedNode> all(tenon_session_node_count(handle()));
    for (std::size_t n = 0; n < all.size(); ++n) {
      tenon_placed_node raw{};
      raw.struct_size = sizeof raw;
      detail::check(tenon_session_node(handle(), n, &raw));
      all[n] = {raw.node, raw.op, raw.graph, raw.provider, raw.device, raw.reason, raw.part, raw.cost_ns, raw.measured != 0};
    }
    return all;
  }
  // What a run would cost, in ns, with that node on that device, numbered as in the JSON; infinity where it cannot be.
  double cost_if(std::size_t node, std::size_t device) const {
    double ns = 0;
    detail::check(tenon_session_cost_if(handle(), node, device, &ns));
    return ns;
  }
  // The costs that a profile of this session's runs shows, as JSON; keep: later sessions place nodes by them.
  std::string learn(const Profile& profile, bool keep = true) const { return detail::text(&tenon_session_learn, handle(), profile.handle(), std::int32_t{keep}); }
  std::uint64_t forget_costs() const {
    std::uint64_t count = 0;
    detail::check(tenon_session_forget_costs(handle(), &count));
    return count;
  }
  std::string graph_text() const { return detail::text(&tenon_session_graph_text, handle()); }
  std::string plan_text() const { return detail::text(&tenon_session_plan_text, handle()); }
  tenon_session* handle() const noexcept { return state_->session.get(); }

 private:
  struct State {
    std::unique_ptr<tenon_session, void (*)(tenon_session*)> session;
    std::vector<Port> inputs, outputs;
  };

  template <class Load>
  void make(const SessionOptions& options, const std::filesystem::path& model, Load load) {
    tenon_session* session = detail::with_load_options(options, model, load);
    auto state = std::make_shared<State>(State{{session, &tenon_session_release}, {}, {}});
    for (std::size_t i = 0; i < tenon_session_input_count(session); ++i) state->inputs.push_back(port(session, i, &tenon_session_input));
    for (std::size_t i = 0; i < tenon_session_output_count(session); ++i) state->outputs.push_back(port(session, i, &tenon_session_output));
    state_ = std::move(state);
  }
  template <class Get>
  static Port port(tenon_session* session, std::size_t index, Get get) {
    tenon_port raw{};
    raw.struct_size = sizeof raw;
    detail::check(get(session, index, &raw));
    Port port{raw.name, raw.type, raw.kind, raw.dtype, std::nullopt, {}, raw.optional != 0, raw.memory, raw.dlpack_type, raw.dlpack_id};
    if (raw.rank >= 0) port.dims = Dims(raw.dims, raw.dims + raw.rank);
    for (std::int32_t d = 0; d < raw.rank; ++d) port.dim_names.emplace_back(raw.dim_names[d]);
    return port;
  }
  std::shared_ptr<const State> state_;
};

// Writes the model as a bundle: one file with its weights and all that providers store when they compile it for this machine. Sessions
// load it as they load the model. flags: TENON_COMPILE_*. What is in it, as JSON.
inline std::string compile_bundle(const std::filesystem::path& model, const std::filesystem::path& bundle, const SessionOptions& options = {},
                                  std::uint32_t flags = 0) {
  return detail::with_load_options(options, model, [&](const tenon_load_options* o) {
    return detail::text(&tenon_bundle_compile, model.c_str(), bundle.c_str(), flags, o);
  });
}
inline std::string bundle_json(const std::filesystem::path& bundle) { return detail::text(&tenon_bundle_text, bundle.c_str()); }
// What the bundle stores, which may be machine code, reaches providers in this user's processes from now on.
inline void allow_bundle(const std::filesystem::path& bundle) { detail::check(tenon_bundle_allow(bundle.c_str())); }

// Every provider found, usable or not and why, as JSON.
inline std::string providers_json() { return detail::text(&tenon_provider_list, static_cast<const tenon_configuration*>(nullptr)); }
inline void add_provider_path(const std::filesystem::path& path) { detail::check(tenon_provider_path_add(path.c_str())); }
inline std::string version() { return tenon_version(); }

}  // namespace sdk0
}  // namespace tenon
#endif
