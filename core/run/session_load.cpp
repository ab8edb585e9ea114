#include "core/run/session_impl.h"

#include <algorithm>

#include "core/base/file_map.h"
#include "core/base/log.h"
#include "core/onnx/gradients.h"
#include "core/onnx/infer.h"
#include "core/passes/pass.h"
#include "core/provider/bundle_trust.h"
#include "core/provider/schema_ext.h"

namespace tenon {

Status Session::Impl::step(double fraction, const char* what) {
  Watch::at(what);
  if (options.progress) Watch::on_caller([&] { options.progress(fraction, what); });
  if (options.cancel && options.cancel->cancelled()) return error(TENON_CANCELLED, "load: cancelled by the caller while {}", what);
  if (Clock::now() >= deadline) return error(TENON_DEADLINE_EXCEEDED, "load: over limits.load while {}", what);
  return {};
}

Watch::Limits Session::Impl::load_limits() const {
  Watch::Limits out;
  out.deadline = deadline;
  out.deadline_name = "/limits/load is over";
  out.call = options.config.limits.call;
  out.late = options.config.limits.late;
  if (options.cancel) out.cancelled = [token = options.cancel] { return token->cancelled(); };
  return out;
}

Status Session::Impl::open_providers() {
  const Config& config = options.config;
  if (config.limits.load.count() > 0) deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(config.limits.load);
  config.apply_log();
  TENON_TRY(step(0, "loading providers"));
  TENON_SET(providers, Registry::instance().open_all(config, notes, load_limits(), options.skip_lost));
  for (const SessionProvider& p : providers) {
    provider_ids.push_back(p.provider->id());
    for (const DevicePtr& device : p.devices) environment.devices.push_back({device, p.options, p.fallback});
    watched = watched || p.watched;
  }
  if (environment.devices.size() > 64) return invalid("a session may use at most 64 devices, the configuration names {}", environment.devices.size());
  return {};
}

Status Session::Impl::read(const std::string& path) {
  TENON_SET(bundle, Bundle::find(path));
  TENON_SET(model, bundle ? import_bundle(*bundle, import_options()) : import_file(path, import_options()));
  return {};
}

Status Session::Impl::read(std::span<const std::byte> bytes, std::shared_ptr<const void> keep) {
  if (!Bundle::is_one(bytes)) {
    TENON_SET(model, import_bytes(bytes, std::move(keep), import_options()));
    return {};
  }
  TENON_SET(bundle, Bundle::of_bytes(bytes, std::move(keep)));
  TENON_SET(model, import_bundle(*bundle, import_options()));
  return {};
}

Status Session::Impl::use_bundle() {
  if (!bundle) return {};
  if (options.config.cache.check_content) TENON_TRY(bundle->check_content());
  const Status may = options.made ? Status() : may_use_stored(*bundle, options.config.bundle);
  if (may.ok()) {
    load.bundle = std::make_unique<BundleStore>(bundle, options.made);
  } else if (!bundle->index().targets.empty()) {
    notes.push_back(fmt::format("bundle: what it stores is not used: {}", may.text()));
    log_info("artifact", "{}", notes.back());
  }
  return {};
}

Status Session::Impl::build() {
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
  if (config.limits.call.count() > 0) load.query_limit = std::min<std::chrono::nanoseconds>(load.query_limit, config.limits.call);
  const unsigned threads = config.threads > 0 ? static_cast<unsigned>(config.threads) : ThreadPool::instance().size();
  ThreadPool::instance().reserve(threads);
  load.cancelled = [this] { return (options.cancel && options.cancel->cancelled()) || Clock::now() >= deadline; };
  if (!config.cache.folder.empty()) {
    Result<std::shared_ptr<FileCache>> cache = FileCache::open(config.cache.folder, config.cache.limit);
    if (cache.ok()) load.cache = *std::move(cache);
    else notes.push_back(fmt::format("/session/cache: {}; the session goes without", cache.status().text()));
    if (config.cache.check_content) load.check = FileCache::Check::content;
  }
  TENON_TRY(use_bundle());
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
  port_memories();
  load.finish();
  if (load.bundle && !options.made)
    for (std::string& note : load.bundle->notes()) {
      log_info("artifact", "{}", note);
      notes.push_back(std::move(note));
    }
  deadline = Clock::time_point::max();  // plans made by runs are no part of the load
  TENON_TRY(step(1, "done"));
  load.cancelled = {};
  return {};
}

Status Session::Impl::keep_state() {
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

Port Session::Impl::port(ValueId v) const {
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

void Session::Impl::ports() {
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

void Session::Impl::port_memories() {
  if (!environment.unsupported.ok()) return;
  const auto set = [](Port& port, const DeviceMemory& memory) {
    if (!memory.device) return;
    const DomainInfo& domain = memory.device->info().domains[memory.domain];
    port.memory = domain.uid;
    port.dlpack_type = domain.dlpack_type, port.dlpack_id = domain.dlpack_id;
  };
  std::size_t shown = 0;
  for (std::size_t i = 0; i < inputs.size(); ++i)
    if (!kept_input(i)) set(shown_inputs[shown++], block->feed_memory(i));
  shown = 0;
  for (std::size_t o = 0; o < outputs.size(); ++o)
    if (!kept_output(o)) set(shown_outputs[shown++], block->output_memory(o));
}

void Session::Impl::describe() {
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

// What providers are asked is asked on a thread that can be left behind, where one of them may not come back.
template <class Read>
Result<std::shared_ptr<Session::Impl>> Session::load(LoadOptions options, std::string where, Read read) {
  auto impl = std::make_shared<Impl>();
  impl->options = std::move(options);
  TENON_TRY(impl->open_providers());
  const auto rest = [impl, where = std::move(where), read = std::move(read)]() -> Status {
    for (const SessionProvider& p : impl->providers) TENON_TRY(read_schemas(p.provider, impl->custom));
    TENON_TRY(impl->step(0.05, "reading the model"));
    TENON_TRY(read(*impl));
    Status built = impl->build();
    return built.ok() ? std::move(built) : std::move(built).at(where);
  };
  TENON_TRY(impl->watched ? Watch::run(impl->load_limits(), "load", rest) : rest());
  return impl;
}

Result<std::unique_ptr<Session>> Session::load_file(const std::string& path, LoadOptions options) {
  TENON_ASSIGN(auto impl, load(std::move(options), "model \"" + path + "\"", [path](Impl& impl) { return impl.read(path); }));
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
  TENON_ASSIGN(auto impl, load(std::move(options), "model", [owned](Impl& impl) { return impl.read(*owned, owned); }));
  impl->replacements = std::make_unique<Replacements>([owned](LoadOptions o) { return load_shared(owned, std::move(o)); }, impl->options);
  return std::unique_ptr<Session>(new Session(std::move(impl)));
}

}  // namespace tenon
