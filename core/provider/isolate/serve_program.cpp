// Query, compile and plan, in the process of an isolated provider.
#include <algorithm>

#include "core/provider/isolate/graph_wire.h"
#include "core/provider/isolate/serve.h"
#include "core/tensor/type.h"

namespace tenon::isolate {
namespace {

struct QueryCollector final : tenon_query_sink {
  Writer out;
  std::uint64_t count = 0;
  void claim(const tenon_claim& c) override { ++count, write_claim(out, c); }
  void reject(std::uint32_t node, std::int32_t reason, std::string_view text) override { ++count, write_refusal(out, node, reason, text); }
  void malformed(std::string text) override { ++count, write_malformed(out, text); }
};

// Steps for a provider that has none of its own: one for each chosen claim, a temp for each inner value, numbered by the order in which
// the claims make them.
void simple_steps(const ServedProgram& program, const PlanValues& values, PlanCollector& out) {
  std::map<std::uint32_t, std::uint32_t> operand;
  std::uint32_t next = 0;
  for (const std::uint32_t v : program.values) operand[v] = next++;
  for (const auto& claim : program.claims)
    for (const std::uint32_t v : claim.writes) {
      if (operand.contains(v)) continue;
      operand[v] = next++;
      tenon_temp t{};
      t.struct_size = sizeof t;
      t.alignment = 64;
      if (v < values.values().size()) {
        const tenon_plan_value& value = values.values()[v];
        const Checked bytes = value.rank < 0 ? Checked(-1) : dtype_bytes(value.dtype, element_count(value.dims, static_cast<std::size_t>(value.rank)));
        if (bytes.valid()) t.bytes = static_cast<std::uint64_t>(bytes.value());
      }
      out.temp(t);
    }
  std::uint32_t stage = 0;
  for (const auto& claim : program.claims) {
    std::vector<std::uint32_t> reads, writes;
    for (const std::uint32_t v : claim.reads)
      if (const auto o = operand.find(v); o != operand.end()) reads.push_back(o->second);
    for (const std::uint32_t v : claim.writes) writes.push_back(operand.at(v));
    tenon_step s{};
    s.struct_size = sizeof s;
    s.stage = stage++;
    s.name = str(claim.name);
    s.reads = reads.data(), s.read_count = static_cast<std::uint32_t>(reads.size());
    s.writes = writes.data(), s.write_count = static_cast<std::uint32_t>(writes.size());
    s.nodes = claim.nodes.data(), s.node_count = static_cast<std::uint32_t>(claim.nodes.size());
    out.step(s);
  }
}

}  // namespace

ServedProgram::~ServedProgram() { device->program_destroy(handle); }
ServedPlan::~ServedPlan() {
  if (program) program->device->plan_destroy(handle);
}

Status Server::query(Reader& in, ServedChannel& channel, Writer& out) {
  TENON_ASSIGN(const auto session, find(sessions_, in.get<std::uint64_t>(), "session"));
  TENON_ASSIGN(const OptionsPtr options, make_options(in.text()));
  tenon_query query{};
  query.struct_size = sizeof query;
  query.max_workers = in.get<std::uint32_t>();
  GraphReader reader(in);
  query.graph = reader.graph();
  if (!query.graph || !in.done()) return in.fail(), Status();
  ServedLoad load(session->context, device_, channel.shared());
  query.options = options.get(), query.load = &load;
  QueryCollector sink;
  TENON_TRY(device_->query(query, sink));
  out.put(sink.count);
  out.append(sink.out);
  return {};
}

Status Server::compile(Reader& in, ServedChannel& channel) {
  const auto number = in.get<std::uint64_t>();
  auto made = std::make_shared<ServedProgram>();
  made->device = device_;
  TENON_SET(made->session, find(sessions_, in.get<std::uint64_t>(), "session"));
  TENON_ASSIGN(const OptionsPtr options, make_options(in.text()));
  const auto max_workers = in.get<std::uint32_t>();
  const std::string key(in.text());
  const bool forgotten = in.get<std::uint8_t>() != 0;
  GraphReader reader(in);
  const tenon_graph* graph = reader.graph();
  const tenon_part* read = graph ? reader.part() : nullptr;
  if (!read || !in.done()) return in.fail(), Status();
  tenon_part part = *read;
  part.graph = graph;
  made->inputs = static_cast<std::uint32_t>(part.input_count);
  made->values.assign(part.inputs, part.inputs + part.input_count);
  made->values.insert(made->values.end(), part.outputs, part.outputs + part.output_count);
  for (const std::uint32_t v : made->values) {
    if (v >= graph->values.count) return in.fail(), Status();
    made->dtypes.push_back(element<tenon_value>(graph->values, v).dtype);
  }
  for (std::uint64_t i = 0; i < part.claims.count; ++i) {
    const auto& chosen = element<tenon_chosen>(part.claims, i);
    ServedProgram::Claim& claim = made->claims.emplace_back();
    for (std::uint32_t n = 0; n < chosen.node_count; ++n) {
      if (chosen.nodes[n] >= graph->nodes.count) return in.fail(), Status();
      const auto& node = element<tenon_node>(graph->nodes, chosen.nodes[n]);
      if (claim.nodes.empty()) claim.name = view(node.op_type);
      claim.nodes.push_back(chosen.nodes[n]);
      std::copy_if(node.inputs, node.inputs + node.input_count, std::back_inserter(claim.reads), [](std::uint32_t v) { return v != TENON_NO_VALUE; });
      std::copy_if(node.outputs, node.outputs + node.output_count, std::back_inserter(claim.writes), [](std::uint32_t v) { return v != TENON_NO_VALUE; });
    }
  }
  ThreadPool::instance().reserve(max_workers);
  ServedLoad load(made->session->context, device_, channel.shared());
  if (forgotten) load.forget_artifacts();
  const tenon_compile_options told{sizeof(told), max_workers, options.get(), str(key), &load};
  TENON_SET(made->handle, device_->compile(part, told));
  keep(programs_, number, std::move(made));
  return {};
}

Status Server::plan(Reader& in, ServedChannel& channel, Writer& out) {
  const auto number = in.get<std::uint64_t>();
  auto made = std::make_shared<ServedPlan>();
  TENON_SET(made->program, find(programs_, in.get<std::uint64_t>(), "program"));
  made->max_workers = std::max(in.get<std::uint32_t>(), 1u);
  std::vector<tenon_symbol_range> ranges(in.count(20));
  for (tenon_symbol_range& r : ranges) r = {sizeof r, in.get<std::uint32_t>(), in.get<std::int64_t>(), in.get<std::int64_t>()};
  if (!made->values.read(in) || !in.done()) return in.fail(), Status();
  PlanCollector sink;
  if (device_->has_plan()) {
    ServedLoad load(made->program->session->context, device_, channel.shared());
    const tenon_plan_args args{sizeof(args), made->max_workers, made->values.span(), {ranges.data(), ranges.size(), sizeof(tenon_symbol_range), 0}, &load};
    TENON_SET(made->handle, device_->plan(made->program->handle, args, sink));
  } else {
    simple_steps(*made->program, made->values, sink);
  }
  // Its workers are those of this process: to core the whole range is one call.
  for (Emitted& e : sink.out) {
    if (e.what != Emitted::What::step) continue;
    made->spmd.push_back((e.step.flags & TENON_STEP_SPMD) != 0);
    e.step.flags &= ~static_cast<std::uint64_t>(TENON_STEP_SPMD);
  }
  Writer emitted;
  write_emitted(emitted, sink.out);
  out.array(emitted.bytes().data(), emitted.bytes().size());
  keep(plans_, number, std::move(made));
  return {};
}

Status Server::resize(Reader& in, ServedChannel& channel) {
  TENON_ASSIGN(const auto plan, find(plans_, in.get<std::uint64_t>(), "plan"));
  const auto changed = in.array<std::uint32_t>();
  if (!plan->values.read(in) || !in.done()) return in.fail(), Status();
  ServedLoad load(plan->program->session->context, device_, channel.shared());
  const tenon_resize_args args{sizeof(args), 0, plan->values.span(), changed.data(), changed.size(), &load};
  return device_->resize(plan->program->handle, plan->handle, args);
}

}  // namespace tenon::isolate
