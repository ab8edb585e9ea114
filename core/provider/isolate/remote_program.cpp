// Query, compile and plan on an isolated device: asked once, kept, and asked again of the next process.
#include "core/provider/isolate/remote.h"
#include "core/tensor/type.h"

namespace tenon::isolate {
namespace {

RemoteDevice& device_of(tenon_device* d) { return *reinterpret_cast<RemoteDevice*>(d); }
RemoteProgram& program_of(tenon_program* p) { return *reinterpret_cast<RemoteProgram*>(p); }
RemotePlan& plan_of(tenon_plan* p) { return *reinterpret_cast<RemotePlan*>(p); }

std::string options_of(const tenon_config* options) { return options ? options_text(*options) : "{}"; }

Result<LoadTask*> load_of(tenon_task* task) {
  if (LoadTask* load = task ? task->as_load() : nullptr) return load;
  return invalid("an isolated provider is asked within the load of a session only");
}

Status query(RemoteDevice& device, const tenon_query& query, tenon_query_sink& sink) {
  TENON_ASSIGN(LoadTask* const load, load_of(query.load));
  const auto session = device.link->session(*load);
  TENON_ASSIGN(const auto peer, device.link->peer());
  TENON_TRY(session->ready(*peer));
  Writer out;
  out.put(session->number);
  out.text(options_of(query.options));
  out.put(query.max_workers);
  out.append(*device.graph(*query.graph));
  return peer->call({Ask::query, fmt::format("query of {} nodes", query.graph->nodes.count), load}, out, [&](Reader& in) {
    if (!read_claims(in, sink)) in.fail();
    return Status();
  });
}

Status compile(RemoteDevice& device, const tenon_part& part, const tenon_compile_options& options, tenon_program** out) {
  TENON_ASSIGN(LoadTask* const load, load_of(options.load));
  auto made = std::make_unique<RemoteProgram>();
  made->device = &device;
  made->session = device.link->session(*load);
  made->number = device.link->number();
  std::uint64_t nodes = 0;
  for (std::uint64_t i = 0; i < part.claims.count; ++i) nodes += element<tenon_chosen>(part.claims, i).node_count;
  const auto& first = element<tenon_node>(part.graph->nodes, part.claims.count ? element<tenon_chosen>(part.claims, 0).nodes[0] : 0);
  made->what = fmt::format("compile of {} nodes from \"{}\" ({}) on", nodes, view(first.name), view(first.op_type));
  made->head.put(made->number), made->head.put(made->session->number);
  made->head.text(options_of(options.options));
  made->head.put(options.max_workers);
  made->head.text(options.part_key);
  made->head.put<std::uint8_t>(load->artifacts_forgotten());
  made->graph = device.graph(*part.graph);
  write_part(made->tail, part);
  made->graph_nodes = part.graph->nodes.count;
  made->inputs = static_cast<std::uint32_t>(part.input_count), made->outputs = static_cast<std::uint32_t>(part.output_count);
  made->values.assign(part.inputs, part.inputs + part.input_count);
  made->values.insert(made->values.end(), part.outputs, part.outputs + part.output_count);
  for (const std::uint32_t v : made->values) made->dtypes.push_back(element<tenon_value>(part.graph->values, v).dtype);
  TENON_ASSIGN(const auto peer, device.link->peer());
  TENON_TRY(made->ready(*peer, load));
  device.link->well();
  *out = reinterpret_cast<tenon_program*>(made.release());
  return {};
}

Status plan(RemoteProgram& program, const tenon_plan_args& args, tenon_plan_sink& sink, tenon_plan** out) {
  auto made = std::make_unique<RemotePlan>();
  made->program = &program;
  made->number = program.device->link->number();
  made->request.put(made->number), made->request.put(program.number);
  made->request.put(args.max_workers);
  made->request.put(args.ranges.count);
  for (std::uint64_t i = 0; i < args.ranges.count; ++i) {
    const auto& r = element<tenon_symbol_range>(args.ranges, i);
    made->request.put(r.symbol), made->request.put(r.min), made->request.put(r.max);
  }
  write_values(made->request, args.values);
  made->read_sizes(args.values);
  TENON_ASSIGN(const auto peer, program.device->link->peer());
  TENON_TRY(made->make(*peer, args.load));
  for (const Emitted& e : made->emitted) emit(e, sink);
  made->emitted = {};
  *out = reinterpret_cast<tenon_plan*>(made.release());
  return {};
}

Status resize(RemotePlan& plan, const tenon_resize_args& args) {
  TENON_ASSIGN(const auto peer, plan.program->device->link->peer());
  TENON_TRY(plan.ready(*peer));
  Writer out;
  out.put(plan.number);
  out.array(args.changed, args.changed_count);
  write_values(out, args.values);
  TENON_TRY(peer->call({Ask::resize, "plan_resize", args.load}, out));
  plan.sizes = std::move(out);
  plan.resized = true;
  plan.read_sizes(args.values);
  return {};
}

}  // namespace

Status RemoteProgram::ready(Peer& peer, tenon_task* task) {
  std::lock_guard lock(mutex_);
  if (generation_ == peer.generation) return session->ready(peer);
  TENON_TRY(session->ready(peer));
  Writer out;
  out.append(head), out.append(*graph), out.append(tail);
  TENON_TRY(peer.call({Ask::compile, fmt::format("{} device \"{}\"", what, device->info.uid), task}, out));
  generation_ = peer.generation;
  return {};
}

// Bytes that the sizes need; what the data decide has none yet.
void RemotePlan::read_sizes(const tenon_span& values) {
  ++sized;
  bytes.assign(program->values.size(), UINT64_MAX);
  for (std::size_t o = 0; o < bytes.size(); ++o) {
    const std::uint32_t v = program->values[o];
    if (v >= values.count) continue;
    const auto& value = element<tenon_plan_value>(values, v);
    if (value.rank < 0) continue;
    const Checked size = dtype_bytes(program->dtypes[o], element_count(value.dims, static_cast<std::size_t>(value.rank)));
    if (size.valid()) bytes[o] = static_cast<std::uint64_t>(size.value());
  }
}

Status RemotePlan::make(Peer& peer, tenon_task* task) {
  TENON_TRY(program->ready(peer));
  const std::string& device = program->device->info.uid;
  return peer.call({Ask::plan, fmt::format("program_plan on device \"{}\"", device), task}, request, [&](Reader& in) -> Status {
    std::vector<std::byte> answer = in.array<std::byte>();
    if (generation_ != 0 && answer != answer_)
      return internal("device \"{}\": its process ended, and the next one plans other steps for the same sizes: load the model again", device);
    Reader inside(answer);
    std::vector<Emitted> all;
    if (!read_emitted(inside, all)) return in.fail(), Status();
    std::vector<Step> found;
    for (const Emitted& e : all) {
      if (e.what != Emitted::What::step) continue;
      for (const std::uint32_t n : e.nodes)
        if (n >= program->graph_nodes) return error(TENON_ABI_MISMATCH, "a step names node {} of {}", n, program->graph_nodes);
      found.push_back({e.text, e.reads, e.writes});
    }
    if (generation_ == 0) emitted = std::move(all), steps = std::move(found), answer_ = std::move(answer);
    generation_ = peer.generation;
    return {};
  });
}

Status RemotePlan::ready(Peer& peer) {
  std::lock_guard lock(mutex_);
  if (generation_ == peer.generation) return {};
  TENON_TRY(make(peer, nullptr));
  if (resized) TENON_TRY(peer.call({Ask::resize, "plan_resize"}, sizes));
  return {};
}

tenon_status* remote_query(tenon_device* d, const tenon_query* q, tenon_query_sink* sink) { return query(device_of(d), *q, *sink).release(); }
tenon_status* remote_compile(tenon_device* d, const tenon_part* part, const tenon_compile_options* options, tenon_program** out) {
  return compile(device_of(d), *part, *options, out).release();
}
void remote_program_destroy(tenon_program* p) {
  const std::unique_ptr<RemoteProgram> gone(&program_of(p));
  remote_end(*gone->device->link, Ask::program_end, gone->number);
}
tenon_status* remote_plan(tenon_program* p, const tenon_plan_args* args, tenon_plan_sink* sink, tenon_plan** out) {
  return plan(program_of(p), *args, *sink, out).release();
}
tenon_status* remote_resize(tenon_program*, tenon_plan* p, const tenon_resize_args* args) { return resize(plan_of(p), *args).release(); }
void remote_plan_destroy(tenon_plan* p) {
  const std::unique_ptr<RemotePlan> gone(&plan_of(p));
  remote_end(*gone->program->device->link, Ask::plan_end, gone->number);
}

}  // namespace tenon::isolate
