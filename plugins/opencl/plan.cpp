#include "plugins/opencl/plan.h"

#include <algorithm>
#include <map>

#include "plugins/opencl/plan_steps.h"

namespace tenon::opencl {

PlanInput::PlanInput(const tenon_plan_args& args) {
  items.resize(args.values.count);
  for (std::uint64_t v = 0; v < args.values.count; ++v) {
    Item& item = items[v];
    item.value = element<tenon_plan_value>(args.values, v);
    if (item.value.rank > 0) item.dims.assign(item.value.dims, item.value.dims + item.value.rank);
    std::int64_t count = 1;
    for (std::int64_t d : item.dims) count *= d;
    if (item.value.known && has_storage(item.value.dtype)) {
      const auto* bytes = static_cast<const char*>(item.value.known);
      item.known.assign(bytes, bytes + count * storage_bytes(item.value.dtype));
    }
    item.value.dims = item.value.dims_max = item.dims.data();
    item.value.strides = nullptr;
    item.value.known = item.known.empty() ? nullptr : item.known.data();
    values.push_back(item.value);
  }
}

Trial Trial::make(const Program& program, const tenon_plan_args& args, int candidate) {
  Planner planner(program, args, candidate);
  planner.units();
  Trial out;
  out.buffers = planner.buffers;
  for (const Planner::Asked& a : planner.asked) {
    Piece& piece = out.pieces.emplace_back();
    piece.key = a.key;
    piece.count = a.count;
    piece.chosen = a.chosen;
    for (std::size_t s = a.first; s < a.last; ++s) piece.launches.push_back(std::move(planner.steps[s].launch));
  }
  return out;
}

std::unique_ptr<Plan> Plan::make(std::shared_ptr<const Program> program, const tenon_plan_args& args, tenon_plan_sink* sink) {
  auto plan = std::make_unique<Plan>();
  plan->program = program;
  Planner planner(*program, args);
  planner.units();
  tell_steps(planner, args, sink, *plan);
  if (program->device->tunes) plan->input = std::make_unique<PlanInput>(args);
  return plan;
}

void Plan::set(BoundKernel& kernel, const PlannedArg& arg, Place operand) const {
  switch (arg.kind) {
    case PlannedArg::Kind::scalar: return kernel.set(arg.number, {arg.bytes.data(), arg.size});
    case PlannedArg::Kind::operand: return kernel.set(arg.number, operand.mem, operand.offset + arg.offset);
    case PlannedArg::Kind::derived: return kernel.set(arg.number, derived[arg.index].get(), arg.offset);
    case PlannedArg::Kind::constant: {
      const Constant& c = *program->constants[arg.index];
      return kernel.set(arg.number, c.mem, c.offset + arg.offset);
    }
  }
}

Binding::Binding(const Plan& p, const tenon_address* addresses, std::uint64_t count) : plan(p), operands_(count), uses_(count) {
  const Device& device = *plan.program->device;
  for (std::uint64_t o = 0; o < count; ++o) operands_[o].address = addresses[o];
  for (std::size_t l = 0; l < plan.launches.size(); ++l)
    for (std::size_t a = 0; a < plan.launches[l].args.size(); ++a)
      if (const PlannedArg& arg = plan.launches[l].args[a]; arg.kind == PlannedArg::Kind::operand) {
        if (arg.index >= count) throw Failure{TENON_INTERNAL, "a launch reads operand " + std::to_string(arg.index) + " of " + std::to_string(count)};
        uses_[arg.index].emplace_back(l, a);
      }
  if (device.host_memory) wrap_shared();
  for (Operand& o : operands_)
    if (!o.place.mem) wrap(o);
  for (std::size_t l = 0; l < plan.launches.size(); ++l) {
    const PlannedLaunch& launch = plan.launches[l];
    kernels_.emplace_back(device, launch.kernel, *launch.label);
    for (std::size_t a = 0; a < launch.args.size(); ++a) set(l, a);
  }
}

// Operands of one arena come as its start and an offset: one buffer for all of them.
void Binding::wrap_shared() {
  struct Extent {
    std::uint64_t end = 0;
    std::vector<std::size_t> operands;
  };
  std::map<void*, Extent> extents;
  for (std::size_t o = 0; o < operands_.size(); ++o) {
    const tenon_address& a = operands_[o].address;
    if (!a.handle || uses_[o].empty()) continue;
    Extent& e = extents[a.handle];
    e.end = std::max(e.end, a.offset + a.bytes);
    e.operands.push_back(o);
  }
  for (auto& [handle, e] : extents) {
    if (e.operands.size() < 2) continue;
    shared_.push_back(plan.program->device->wrap(handle, e.end));
    for (std::size_t o : e.operands) {
      operands_[o].place = {shared_.back().get(), operands_[o].address.offset};
    }
  }
}

void Binding::wrap(Operand& o) {
  const Device& device = *plan.program->device;
  if (!device.host_memory) {
    o.place = {static_cast<cl_mem>(o.address.handle), o.address.offset};
    return;
  }
  if (!o.address.handle) return;
  o.own = device.wrap(static_cast<char*>(o.address.handle) + o.address.offset, o.address.bytes);
  o.place = {o.own.get(), 0};
}

void Binding::update(const std::uint32_t* changed, const tenon_address* addresses, std::uint64_t count) {
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint32_t index = changed[i];
    if (index >= operands_.size()) throw Failure{TENON_INTERNAL, "binding_update names an operand that the plan lacks"};
    Operand& o = operands_[index];
    o.address = addresses[i];
    o.place = {};
    if (uses_[index].empty()) continue;
    wrap(o);
    for (const auto& [launch, arg] : uses_[index]) set(launch, arg);
  }
}

void Binding::set(std::size_t l, std::size_t a) {
  const PlannedArg& arg = plan.launches[l].args[a];
  plan.set(kernels_[l], arg, arg.kind == PlannedArg::Kind::operand ? operands_[arg.index].place : Place{});
}

void Binding::enqueue(cl_command_queue queue, std::uint64_t first, std::uint64_t count) const {
  for (std::uint64_t l = first; l < first + count; ++l) kernels_[l].enqueue(queue, plan.launches[l].global, plan.launches[l].local);
}

}  // namespace tenon::opencl
