#include "core/run/session.h"

#include <algorithm>
#include <unordered_map>

#include "core/base/file_map.h"
#include "core/base/log.h"
#include "core/graph/text.h"
#include "core/onnx/gradients.h"
#include "core/onnx/infer.h"
#include "core/passes/pass.h"
#include "core/provider/registry.h"
#include "core/provider/schema_ext.h"
#include "core/run/block.h"
#include "core/run/replacement.h"

namespace tenon {

using Clock = std::chrono::steady_clock;

struct Session::Impl {
  LoadOptions options;
  std::vector<SessionProvider> providers;
  CustomOps custom;
  std::unique_ptr<Model> model;
  LoadContext load;
  std::vector<std::string> notes;  // of the load: providers left out, ...
  std::unique_ptr<const LearnedCosts> costs;  // measured before
  BlockEnvironment environment;
  std::unique_ptr<Block> block;
  std::vector<Port> inputs, outputs;              // of the graph
  std::vector<Port> shown_inputs, shown_outputs;  // those that are the caller's
  std::shared_ptr<const StateForm> form;          // null: nothing is kept
  std::unique_ptr<State> state;
  std::vector<std::string> provider_ids;
  std::unordered_map<std::string, std::size_t> input_index, output_index;
  std::vector<ConstantPtr> defaults;  // by input; null where there is none
  ModelInfo info;
  mutable std::unique_ptr<Replacements> replacements;
  mutable std::mutex report_mutex;
  mutable std::unique_ptr<PlacementReport> report;  // made when it is first asked for
  Clock::time_point deadline = Clock::time_point::max();

  // Says how far the load is; stops it when it was cancelled or took too long.
  Status step(double fraction, const char* what) {
    if (options.progress) options.progress(fraction, what);
    if (options.cancel && options.cancel->cancelled()) return error(TENON_CANCELLED, "load: cancelled by the caller while {}", what);
    if (Clock::now() >= deadline) return error(TENON_DEADLINE_EXCEEDED, "load: over limits.load while {}", what);
    return {};
  }

  Status open_providers() {
    const Config& config = options.config;
    if (config.limits.load.count() > 0) deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(config.limits.load);
    config.apply_log();
    TENON_TRY(step(0, "loading providers"));
    TENON_SET(providers, Registry::instance().open_all(config, notes, options.skip_lost));
    for (const SessionProvider& p : providers) {
      TENON_TRY(read_schemas(p.provider, custom));
      provider_ids.push_back(p.provider->id());
      for (const DevicePtr& device : p.devices) environment.devices.push_back({device, p.options, p.fallback});
    }
    if (environment.devices.size() > 64) return invalid("a session may use at most 64 devices, the configuration names {}", environment.devices.size());
    return {};
  }

  ImportOptions import_options() const { return {options.config.limits, &custom}; }

  Status build() {
    const Config& config = options.config;
    Graph& graph = model->graph;
    TENON_TRY(step(0.1, "inferring types"));
    TENON_TRY(infer_types(*model, graph, &custom));
    TENON_TRY(expand_gradients(*model, graph, &custom, config.limits));
    TENON_TRY(keep_state());
    ports();
    describe();
    TENON_TRY(step(0.2, "rewriting the graph"));
    TENON_TRY(run_passes(*model, graph, config.optimize, {&custom, {}}));
    const unsigned threads = config.threads > 0 ? static_cast<unsigned>(config.threads) : ThreadPool::instance().size();
    ThreadPool::instance().reserve(threads);
    load.cancelled = [this] { return (options.cancel && options.cancel->cancelled()) || Clock::now() >= deadline; };
    if (!config.cache.folder.empty()) {
      Result<std::shared_ptr<FileCache>> cache = FileCache::open(config.cache.folder, config.cache.limit);
      if (cache.ok()) load.cache = *std::move(cache);
      else notes.push_back(fmt::format("/session/cache: {}; the session goes without", cache.status().text()));
      if (config.cache.check_content) load.check = FileCache::Check::content;
    }
    environment.model = model.get();
    environment.config = &options.config;
    environment.import = import_options();
    environment.max_workers = threads;
    environment.load = &load;
    TENON_ASSIGN(LearnedCosts learned, LearnedCosts::load(config.placement.costs, environment.devices, threads, notes));
    costs = std::make_unique<const LearnedCosts>(std::move(learned));
    if (!costs->empty()) environment.costs = costs.get();
    environment.bans = options.bans;
    environment.step = [this](double fraction, const char* what) { return step(fraction, what); };
    std::vector<std::string> unknown;
    (void)dim_bounds(config.shapes, model->symbols, &unknown);
    for (const std::string& name : unknown) notes.push_back(fmt::format("/shapes/{}: the model has no dimension of that name", name));
    TENON_SET(block, Block::build(environment, graph, ""));
    load.finish();
    deadline = Clock::time_point::max();  // plans made by runs are no part of the load
    TENON_TRY(step(1, "done"));
    load.cancelled = {};
    return {};
  }

  // What the configuration says to keep between runs leaves the caller's sight.
  Status keep_state() {
    const Config& config = options.config;
    if (config.state.empty()) return {};
    Graph& graph = model->graph;
    const std::size_t own = graph.inputs.size();
    std::vector<Type> declared;
    for (ValueId v : graph.inputs) declared.push_back(graph.values[v].type);
    TENON_ASSIGN(const StatePairs found, bind_state(*model, config.state));
    auto made = std::make_shared<StateForm>();
    made->kept_input.assign(graph.inputs.size(), false);
    std::fill(made->kept_input.begin() + static_cast<std::ptrdiff_t>(own), made->kept_input.end(), true);
    made->kept_output.assign(graph.outputs.size(), false);
    for (const StatePair& p : found.pairs) {
      StateForm::Pair pair;
      static_cast<StatePair&>(pair) = p;
      pair.name = graph.values[graph.inputs[p.input]].name;
      pair.type = declared[p.input];
      if (p.axis >= 0 && !environment.state_rows) environment.state_rows = {found.rows_input, p.input, static_cast<std::size_t>(p.axis)};
      made->pairs.push_back(std::move(pair));
      made->kept_input[p.input] = true;
      made->kept_output[p.output] = true;
    }
    made->inputs = std::move(declared);
    made->rows_input = found.rows_input, made->places_input = found.places_input;
    made->fresh = found.fresh, made->appends = found.appends;
    made->capacity = config.state_capacity;
    notes.insert(notes.end(), found.notes.begin(), found.notes.end());
    made->memory_limit = config.limits.memory;
    form = std::move(made);
    state = std::make_unique<State>(form);
    return {};
  }
  bool kept_input(std::size_t i) const { return form && form->kept_input[i]; }
  bool kept_output(std::size_t o) const { return form && form->kept_output[o]; }

  Port port(ValueId v) const {
    const Value& value = model->graph.values[v];
    Port p;
    p.name = value.name;
    p.type = value.type;
    if (p.type.is_tensor() && p.type.dims)
      for (const Dim& d : *p.type.dims) {
        const std::string& name = d.fixed() ? std::string() : model->symbols.name(d.symbol);
        p.dim_names.push_back(name.starts_with("?") ? "" : name);
      }
    return p;
  }

  void ports() {
    const Graph& graph = model->graph;
    for (ValueId v : graph.inputs) {
      Port p = port(v);
      const auto found = graph.input_defaults.find(v);
      p.optional = found != graph.input_defaults.end() || p.type.kind == TENON_KIND_OPTIONAL;
      defaults.push_back(found != graph.input_defaults.end() ? found->second : nullptr);
      if (const std::size_t i = inputs.size(); !kept_input(i)) shown_inputs.push_back(p);
      input_index.emplace(p.name, inputs.size());
      inputs.push_back(std::move(p));
    }
    for (ValueId v : graph.outputs) {
      if (!kept_output(outputs.size())) {
        output_index.emplace(graph.values[v].name, outputs.size());
        shown_outputs.push_back(port(v));
      }
      outputs.push_back(port(v));
    }
  }

  void describe() {
    info.path = model->path;
    info.producer_name = model->producer_name;
    info.producer_version = model->producer_version;
    info.domain = model->domain;
    info.description = model->description;
    info.graph_name = model->graph.name;
    info.graph_description = model->graph_description;
    info.ir_version = model->ir_version;
    info.model_version = model->model_version;
    for (const OpsetImport& o : model->opsets) info.opsets.emplace_back(o.domain, o.version);
    info.metadata = model->metadata;
    info.node_count = model->graph.nodes.size();
    for (const Value& v : model->graph.values)
      if (v.constant) info.weight_bytes += v.constant->bytes;
  }

  // A fed value against what the model takes.
  Status check(const Port& port, const Datum& datum) const {
    if (datum.kind != port.type.kind && !(port.type.kind == TENON_KIND_OPTIONAL))
      return invalid("input \"{}\": expected {}, found another kind of value", port.name, port.type.text());
    if (port.type.kind != TENON_KIND_TENSOR) return {};
    if (datum.dtype != port.type.dtype)
      return invalid("input \"{}\": unexpected input data type: found tensor({}), expected {}", port.name, dtype_onnx_name(datum.dtype), port.type.text());
    if (datum.dtype == TENON_DTYPE_STRING ? !datum.strings || static_cast<std::int64_t>(datum.strings->size()) != datum.count() : false)
      return invalid("input \"{}\": the strings do not fill the shape {}", port.name, dims_text(datum.dims));
    if (datum.dtype != TENON_DTYPE_STRING) {
      const Checked bytes = dtype_bytes(datum.dtype, element_count(datum.dims));
      if (!bytes.valid() || static_cast<std::uint64_t>(bytes.value()) > datum.bytes || (datum.bytes && !datum.data))
        return invalid("input \"{}\": shape {} needs more bytes than the {} given", port.name, dims_text(datum.dims), datum.bytes);
    }
    if (!port.type.dims) return {};
    if (datum.dims.size() != port.type.dims->size())
      return invalid("input \"{}\": invalid rank: found {} {}, expected {}", port.name, datum.dims.size(), dims_text(datum.dims), port.type.dims->size());
    for (std::size_t d = 0; d < datum.dims.size(); ++d)
      if (const Dim& dim = (*port.type.dims)[d]; dim.fixed() && dim.value != datum.dims[d])
        return invalid("input \"{}\": invalid dimensions: index {}: found {}, expected {} (shape found {})", port.name, d, datum.dims[d], dim.value,
                       dims_text(datum.dims));
    return {};
  }

  std::string input_names() const {
    std::string out;
    for (const Port& p : shown_inputs) out += (out.empty() ? "\"" : ", \"") + p.name + "\"";
    return out;
  }

  // The state that the run uses; null for none.
  Result<State*> state_of(const RunOptions& run) const {
    if (!run.state) return state.get();
    if (!form) return invalid("the run names a state, and the session keeps none; /session/state names the inputs that it should keep");
    if (run.state->form() != form) return invalid("the run's state was made by another session");
    return run.state;
  }

  Status run(std::span<const NamedDatum> feeds, std::span<const std::string> names, std::vector<NamedDatum>& results, const RunOptions& run,
             std::vector<NodeBan>& refused) const;
};

namespace {

// A state while a run has it.
class Holding {
 public:
  explicit Holding(State* state) : state_(state) {}
  Holding(const Holding&) = delete;
  ~Holding() {
    if (state_) state_->give_back();
  }

 private:
  State* state_;
};

// What a run needs besides the context: kept per thread, so that a warm run allocates nothing.
struct Scratch {
  std::vector<Datum> feeds, outputs;
  std::vector<const Datum*> pointers;
  std::vector<bool> wanted;
  std::vector<std::size_t> order;
};

Datum borrowed(const ConstantPtr& c) {
  Datum d;
  d.dtype = c->dtype;
  d.dims = c->dims;
  d.data = const_cast<std::byte*>(c->data);
  d.bytes = c->bytes;
  if (c->dtype == TENON_DTYPE_STRING) d.strings = std::make_shared<std::vector<std::string>>(c->strings);
  return d;
}

}  // namespace

Status Session::Impl::run(std::span<const NamedDatum> feeds, std::span<const std::string> names, std::vector<NamedDatum>& results,
                          const RunOptions& run_options, std::vector<NodeBan>& refused) const {
  if (!environment.unsupported.ok()) return environment.unsupported.clone();
  static thread_local Scratch scratch_of_thread;
  Scratch scratch = std::move(scratch_of_thread);  // a run inside a run (a log sink that runs a model) gets a fresh one
  scratch.feeds.resize(inputs.size());
  scratch.pointers.assign(inputs.size(), nullptr);
  for (const NamedDatum& feed : feeds) {
    const auto it = input_index.find(feed.name);
    if (it == input_index.end() || (form && it->second >= form->inputs.size())) return invalid("invalid input name: \"{}\"; the model takes {}", feed.name, input_names());
    TENON_TRY(check(inputs[it->second], feed.datum));
    Datum& d = scratch.feeds[it->second];
    if (scratch.pointers[it->second]) return invalid("input \"{}\" is fed twice", feed.name);
    d.kind = feed.datum.kind, d.dtype = feed.datum.dtype;
    d.dims.assign(feed.datum.dims.begin(), feed.datum.dims.end());
    d.data = feed.datum.data, d.bytes = feed.datum.bytes;
    d.keep.reset();  // the bytes are the caller's: results never share them
    d.strings = feed.datum.strings;
    d.items = feed.datum.items;
    d.int_keys = feed.datum.int_keys;
    d.string_keys = feed.datum.string_keys;
    scratch.pointers[it->second] = &d;
  }
  TENON_ASSIGN(State* const kept, state_of(run_options));
  if (kept && !kept->take())
    return error(TENON_FAILED_PRECONDITION, "the state is in use by another run; each conversation needs a state of its own");
  const Holding holding(kept);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (scratch.pointers[i] || kept_input(i)) continue;
    Datum& d = scratch.feeds[i];
    if (defaults[i]) {
      d = borrowed(defaults[i]);
    } else if (inputs[i].type.kind == TENON_KIND_OPTIONAL) {
      d = Datum{};
      d.kind = TENON_KIND_OPTIONAL;
    } else {
      std::string missing;
      for (std::size_t k = i; k < inputs.size(); ++k)
        if (!scratch.pointers[k] && !inputs[k].optional && !kept_input(k)) missing += (missing.empty() ? "\"" : ", \"") + inputs[k].name + "\"";
      return invalid("required inputs ({}) are missing; the model takes {}", missing, input_names());
    }
    scratch.pointers[i] = &d;
  }
  // Which outputs, in which order, and where they go.
  scratch.wanted.assign(outputs.size(), names.empty());
  scratch.order.clear();
  for (const std::string& name : names) {
    const auto it = output_index.find(name);
    if (it == output_index.end()) {
      std::string all;
      for (const Port& p : shown_outputs) all += (all.empty() ? "\"" : ", \"") + p.name + "\"";
      return invalid("invalid output name: \"{}\"; the model makes {}", name, all);
    }
    scratch.wanted[it->second] = true;
    scratch.order.push_back(it->second);
  }
  if (names.empty())
    for (std::size_t o = 0; o < outputs.size(); ++o)
      if (!kept_output(o)) scratch.order.push_back(o);
  for (std::size_t o = 0; o < outputs.size(); ++o)
    if (kept_output(o)) scratch.wanted[o] = true;
  results.resize(scratch.order.size());
  scratch.outputs.resize(outputs.size());
  for (Datum& d : scratch.outputs) d.data = nullptr, d.bytes = 0, d.keep.reset(), d.strings.reset(), d.items.clear();
  if (kept) TENON_TRY(kept->begin(scratch.pointers, scratch.outputs));
  for (std::size_t r = 0; r < results.size(); ++r) {
    Datum& given = results[r].datum;
    if (!given.data) continue;
    Datum& d = scratch.outputs[scratch.order[r]];
    d.kind = TENON_KIND_TENSOR, d.dtype = given.dtype;
    d.data = given.data, d.bytes = given.bytes;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const Datum& in = *scratch.pointers[i];
      if (in.data == given.data && in.kind == TENON_KIND_TENSOR) continue;  // in place, if the plan can: the execution checks it
      if (in.data && in.data < given.data + given.bytes && given.data < in.data + in.bytes)
        return invalid("the memory given for output \"{}\" overlaps that of input \"{}\"", outputs[scratch.order[r]].name, inputs[i].name);
    }
  }
  RunState run_state;
  run_state.max_workers = environment.max_workers;
  run_state.profile = run_options.profile;
  run_state.outputs_may_move = kept != nullptr;
  Clock::time_point until = run_options.deadline;
  if (const auto limit = options.config.limits.run; limit.count() > 0)
    until = std::min(until, Clock::now() + std::chrono::duration_cast<Clock::duration>(limit));
  const CancelToken* cancel = run_options.cancel.get();
  if (cancel) run_state.control.reset([cancel] { return cancel->cancelled(); }, until);
  else run_state.control.reset({}, until);
  if (run_state.control.stop()) return run_state.control.take();
  Status status = block->run(run_state, scratch.pointers, scratch.outputs, names.empty() ? nullptr : &scratch.wanted);
  run_state.gang.reset();
  refused = std::move(run_state.refused);
  for (Datum& d : scratch.feeds) d.strings.reset(), d.items.clear();
  if (!status.ok()) return status;
  if (kept) kept->finish(scratch.outputs);
  for (std::size_t r = 0; r < results.size(); ++r) {
    Datum& made = scratch.outputs[scratch.order[r]];
    results[r].name = outputs[scratch.order[r]].name;
    Datum& to = results[r].datum;
    const bool again = std::find(scratch.order.begin() + static_cast<std::ptrdiff_t>(r) + 1, scratch.order.end(), scratch.order[r]) != scratch.order.end();
    if (to.data) {
      to.kind = made.kind, to.dtype = made.dtype;
      to.dims.assign(made.dims.begin(), made.dims.end());
    } else if (again) {
      to = made;
    } else {
      to = std::move(made);
    }
  }
  scratch_of_thread = std::move(scratch);
  return status;
}

Session::Session(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Session::~Session() = default;

Result<std::unique_ptr<Session>> Session::load_file(const std::string& path, LoadOptions options) {
  auto impl = std::make_unique<Impl>();
  impl->options = std::move(options);
  TENON_TRY(impl->open_providers());
  TENON_TRY(impl->step(0.05, "reading the model"));
  const ImportOptions import = impl->import_options();
  TENON_SET(impl->model, import_file(path, import));
  if (Status s = impl->build(); !s.ok()) return std::move(s).at("model \"" + path + "\"");
  const auto again = [path, identity = file_identity(path)](LoadOptions o) -> Result<std::unique_ptr<Session>> {
    if (file_identity(path) != identity) return error(TENON_FAILED_PRECONDITION, "model \"{}\" has changed since it was loaded", path);
    return load_file(path, std::move(o));
  };
  impl->replacements = std::make_unique<Replacements>(again, impl->options);
  return std::unique_ptr<Session>(new Session(std::move(impl)));
}

Result<std::unique_ptr<Session>> Session::load_bytes(std::span<const std::byte> bytes, LoadOptions options) {
  // The caller's bytes are valid during this call only; weights are used as long as the session.
  return load_shared(std::make_shared<const std::vector<std::byte>>(bytes.begin(), bytes.end()), std::move(options));
}

Result<std::unique_ptr<Session>> Session::load_shared(std::shared_ptr<const std::vector<std::byte>> owned, LoadOptions options) {
  auto impl = std::make_unique<Impl>();
  impl->options = std::move(options);
  TENON_TRY(impl->open_providers());
  TENON_TRY(impl->step(0.05, "reading the model"));
  TENON_SET(impl->model, import_bytes(*owned, owned, impl->import_options()));
  if (Status s = impl->build(); !s.ok()) return std::move(s).at("model");
  impl->replacements = std::make_unique<Replacements>([owned](LoadOptions o) { return load_shared(owned, std::move(o)); }, impl->options);
  return std::unique_ptr<Session>(new Session(std::move(impl)));
}

const std::vector<Port>& Session::inputs() const { return impl_->shown_inputs; }
const std::vector<Port>& Session::outputs() const { return impl_->shown_outputs; }
const ModelInfo& Session::model() const { return impl_->info; }
const std::vector<std::string>& Session::providers() const { return impl_->provider_ids; }

State* Session::state() const { return impl_->state.get(); }
Result<std::unique_ptr<State>> Session::make_state() const {
  if (!impl_->form) return error(TENON_FAILED_PRECONDITION, "the session keeps no state; /session/state names the inputs that it should keep");
  return std::make_unique<State>(impl_->form);
}

Status Session::run(std::span<const NamedDatum> feeds, std::span<const std::string> names, std::vector<NamedDatum>& outputs,
                    const RunOptions& options) const {
  Replacements& others = *impl_->replacements;
  if (const Session* instead = others.instead()) return instead->run(feeds, names, outputs, options);
  if (others.has_signatures())
    if (const Session* other = others.for_signature(signature_of(feeds))) return other->run(feeds, names, outputs, options);
  std::vector<NodeBan> refused;
  Status status = impl_->run(feeds, names, outputs, options, refused);
  const bool lost = status.code() == TENON_DEVICE_LOST && impl_->options.config.placement.replace_lost;
  if (status.ok() || (!lost && (status.code() != TENON_UNSUPPORTED_SHAPE || refused.empty()))) return status;
  if (impl_->form) return error(status.code(), "{}; the model is not placed anew, as what the session keeps between runs would be forgotten", status.text());
  const Result<const Session*> other = lost ? others.without_lost() : others.without(signature_of(feeds), std::move(refused));
  if (!other.ok()) return error(status.code(), "{}; the model cannot be placed anew: {}", status.text(), other.status().text());
  // In memory of the caller that is input and output at once half a step may have been done.
  if (lost && writes_over_inputs(feeds, outputs))
    return error(status.code(), "{}; the run is not repeated, as it may have written over its inputs; the next run has other devices", status.text());
  return (*other)->run(feeds, names, outputs, options);
}

const PlacementReport& Session::placement() const {
  if (const Session* instead = impl_->replacements->instead()) return instead->placement();
  std::lock_guard lock(impl_->report_mutex);
  if (!impl_->report) {
    auto made = std::make_unique<PlacementReport>();
    made->notes = impl_->notes;
    made->unsupported = impl_->environment.unsupported.clone();
    made->weight_bytes = impl_->load.packed_bytes();
    for (const SessionDevice& d : impl_->environment.devices) {
      const DeviceInfo& info = d.device->info();
      made->devices.push_back({d.provider(), d.device->provider().version(), info.uid, info.name, info.domains[0].uid, d.fallback, info.launch_ns, 0});
    }
    impl_->block->report(*made);
    impl_->report = std::move(made);
  }
  impl_->report->arena_bytes = impl_->block->arena_bytes();
  return *impl_->report;
}

Result<double> Session::cost_if(std::size_t node, std::uint32_t device) const {
  if (const Session* instead = impl_->replacements->instead()) return instead->cost_if(node, device);
  const PlacementReport& report = placement();
  if (node >= report.nodes.size()) return error(TENON_OUT_OF_RANGE, "node {} of {}", node, report.nodes.size());
  if (device >= report.devices.size()) return error(TENON_OUT_OF_RANGE, "device {} of {}", device, report.devices.size());
  if (!report.nodes[node].graph.empty()) return error(TENON_UNIMPLEMENTED, "node {} is in the body \"{}\"; costs compare for the main graph only", node, report.nodes[node].graph);
  return impl_->block->cost_if(static_cast<NodeId>(node), device);
}

Status Session::learn(const Profile& profile, bool keep, std::vector<LearnedLine>& out) const {
  if (const Session* instead = impl_->replacements->instead()) return instead->learn(profile, keep, out);
  const std::vector<SessionDevice>& devices = impl_->environment.devices;
  LearnedCosts costs(devices.size());
  impl_->block->learn(profile, costs);
  for (std::uint32_t d = 0; d < devices.size(); ++d)
    for (const auto& [key, cost] : costs.table(d).entries())
      out.push_back({devices[d].provider(), devices[d].device->info().uid, cost.operators, cost.ns, cost.samples});
  return keep ? costs.store(impl_->options.config.placement.costs, devices, impl_->environment.max_workers) : Status();
}

Result<std::uint64_t> Session::forget_costs() const {
  return LearnedCosts::forget(impl_->options.config.placement.costs, impl_->environment.devices, impl_->environment.max_workers);
}

std::string Session::graph_text() const {
  if (const Session* instead = impl_->replacements->instead()) return instead->graph_text();
  return tenon::graph_text(impl_->model->graph, impl_->model->symbols);
}
std::string Session::plan_text() const {
  if (const Session* instead = impl_->replacements->instead()) return instead->plan_text();
  return impl_->block->plan_text();
}
std::uint64_t Session::plans_made() const { return impl_->block->plans_made(); }

}  // namespace tenon
