#include "core/plan/steps.h"

#include <map>

#include "core/plan/memory.h"
#include "core/provider/host.h"

namespace tenon {
namespace {

struct PlanSink final : tenon_plan_sink {
  ProgramSteps out;
  std::string fault;

  void temp(const tenon_temp& t) override { out.temps.push_back(t); }
  void workspace(const tenon_temp& t) override { out.workspace = t; }
  void malformed(std::string text) override { fault = std::move(text); }
  void step(const tenon_step& s) override {
    StepUse& use = out.steps.emplace_back();
    use.reads.assign(s.reads, s.reads + s.read_count);
    use.writes.assign(s.writes, s.writes + s.write_count);
    use.inplace.assign(s.inplace, s.inplace + s.inplace_count);
    use.stage = s.stage;
    out.named.push_back({std::string(view(s.name)), {s.nodes, s.nodes + s.node_count}, (s.flags & TENON_STEP_SPMD) != 0});
  }
};

ProgramSteps simple_steps(const Graph& graph, const Plan& plan, const Program& program) {
  ProgramSteps out;
  std::map<ValueId, std::uint32_t> operand;
  std::uint32_t next = 0;
  for (ValueId v : program.part.inputs) operand[v] = next++;
  for (ValueId v : program.part.outputs) operand[v] = next++;
  for (const auto& claim : program.claims)
    for (NodeId n : claim)
      for (ValueId v : graph.nodes[n].outputs)
        if (v != none && !operand.count(v)) {
          operand[v] = next++;
          out.temps.push_back({sizeof(tenon_temp), 0, value_bytes(graph, plan.shapes, v), 64, 0});
        }
  std::uint32_t stage = 0;
  for (const auto& claim : program.claims) {
    StepUse& step = out.steps.emplace_back();
    step.stage = stage++;
    for (NodeId n : claim) {
      for (ValueId v : graph.nodes[n].inputs)
        if (v != none && operand.count(v)) step.reads.push_back(operand[v]);
      for (ValueId v : graph.nodes[n].outputs)
        if (v != none) step.writes.push_back(operand[v]);
    }
    out.named.push_back({graph.nodes[claim.front()].op_type, claim, false});
  }
  return out;
}

Status check(const ProgramSteps& steps, const Program& program) {
  const std::string& id = program.device->provider().id();
  const std::size_t domains = program.device->info().domains.size();
  const auto outside = [&](const tenon_temp& t) { return t.domain >= domains || (t.alignment & (t.alignment - 1)) != 0; };
  for (const tenon_temp& t : steps.temps)
    if (outside(t)) return error(TENON_ABI_MISMATCH, "provider {}: a temp in domain {} of {}, alignment {}", id, t.domain, domains, t.alignment);
  if (steps.workspace && outside(*steps.workspace))
    return error(TENON_ABI_MISMATCH, "provider {}: a workspace in domain {} of {}, alignment {}", id, steps.workspace->domain, domains, steps.workspace->alignment);
  const std::size_t operands = program.part.inputs.size() + program.part.outputs.size() + steps.temps.size() + (steps.workspace ? 1 : 0);
  std::uint32_t stage = 0;
  for (const StepUse& s : steps.steps) {
    if (s.stage < stage) return error(TENON_ABI_MISMATCH, "provider {}: its steps' stages fall from {} to {}", id, stage, s.stage);
    stage = s.stage;
    const auto known = [&](std::uint32_t o) -> Status {
      if (o < operands) return {};
      return error(TENON_ABI_MISMATCH, "provider {}: a step names operand {} of {}", id, o, operands);
    };
    for (std::uint32_t o : s.reads) TENON_TRY(known(o));
    for (std::uint32_t o : s.writes) TENON_TRY(known(o));
    for (const tenon_inplace& pair : s.inplace) {
      TENON_TRY(known(pair.read));
      TENON_TRY(known(pair.write));
    }
  }
  return {};
}

Status over_limit(const Program& program, const char* what, std::uint64_t bytes, std::uint64_t limit) {
  return error(TENON_RESOURCE_EXHAUSTED, "provider {}: {} of {} bytes is over limits.memory = {} bytes", program.device->provider().id(), what, bytes, limit);
}

}  // namespace

Result<ProgramSteps> plan_steps(const PlanInput& input, const Plan& plan, const Program& program, std::span<const tenon_plan_value> values,
                                tenon_plan*& handle) {
  PlanSink sink;
  if (program.device->has_plan()) {
    // For a box: that there is one, and no symbol alone that makes it; the values say how large it is.
    const tenon_symbol_range range{sizeof(range), TENON_NO_VALUE, 0, 0};
    const tenon_span ranges{&range, input.box ? 1u : 0u, sizeof(range), 0};
    const tenon_plan_args args{sizeof(args), input.max_workers, {values.data(), values.size(), sizeof(tenon_plan_value), 0}, ranges, input.load};
    const auto nodes = [&] { return nodes_text(*input.graph, program.nodes); };
    const Watch::Call watched("program_plan", program.device->subject(), nodes);
    Result<tenon_plan*> made = program.device->plan(program.handle, args, sink);
    if (!made.ok()) {
      if (made.status().code() == TENON_UNSUPPORTED_SHAPE && input.refused) *input.refused = &program;
      return std::move(made.status());
    }
    handle = *made;
    if (!sink.fault.empty()) return error(TENON_ABI_MISMATCH, "provider {}: {}", program.device->provider().id(), sink.fault);
  } else {
    sink.out = simple_steps(*input.graph, plan, program);
  }
  TENON_TRY(check(sink.out, program));
  // Sizes are added up later: none may be so large that a sum comes out small.
  for (const tenon_temp& t : sink.out.temps)
    if (t.bytes > input.limits.memory) return over_limit(program, "a temp", t.bytes, input.limits.memory);
  if (sink.out.workspace && sink.out.workspace->bytes > input.limits.memory)
    return over_limit(program, "a workspace", sink.out.workspace->bytes, input.limits.memory);
  return std::move(sink.out);
}

}  // namespace tenon
