#include "plugins/opencl/plan_steps.h"

#include <algorithm>

#include "plugins/opencl/bound_kernel.h"

namespace tenon::opencl {
namespace {

class Steps {
 public:
  Steps(const Planner& planner, const Program& program, const tenon_plan_args& args, tenon_plan_sink* sink)
      : planner_(planner), program_(program), args_(args), sink_(sink), buffers_(planner.buffers) {}

  void finish(Plan& plan) {
    std::vector<const KernelText*> texts;
    for (const Planner::Step& s : planner_.steps) texts.push_back(&s.launch.kernel);
    const std::vector<BuiltKernel> kernels = program_.device->kernels->get(texts);
    for (const BuiltKernel& k : kernels)
      if (std::find(plan.programs.begin(), plan.programs.end(), k.program) == plan.programs.end()) plan.programs.push_back(k.program);
    const std::vector<bool> once = run_once(plan);
    const Host& host = program_.device->host;
    std::uint32_t next_operand = program_.input_count + program_.output_count;
    for (PlanBuffer& b : buffers_) {
      if (b.temp_bytes == 0 || b.derived != no_value) continue;
      const tenon_temp raw{sizeof(tenon_temp), 0, b.temp_bytes, 64, 0};
      host.api->temp(sink_, &raw);
      b.operand = next_operand++;
    }
    std::vector<PlannedLaunch> setup;
    for (std::size_t s = 0; s < planner_.steps.size(); ++s) {
      PlannedLaunch launch = planned(planner_.steps[s], kernels[s]);
      if (once[s]) setup.push_back(std::move(launch));
      else tell(planner_.steps[s], static_cast<std::uint32_t>(plan.launches.size())), plan.launches.push_back(std::move(launch));
    }
    run_now(plan, setup);
  }


 private:
  // Which steps read constants only, or what such steps have made, and write temps that no other step writes: their results are the
  // plan's own, with memory of their own.
  std::vector<bool> run_once(Plan& plan) {
    std::vector<std::uint32_t> writers(buffers_.size(), 0);
    for (const Planner::Step& s : planner_.steps)
      for (const Arg& a : s.launch.args)
        if (a.kind == Arg::Kind::write) ++writers[a.tensor.buffer];
    std::vector<bool> once(planner_.steps.size());
    for (std::size_t s = 0; s < planner_.steps.size(); ++s) {
      once[s] = true;
      bool reads = false;
      for (const Arg& a : planner_.steps[s].launch.args) {
        if (a.kind == Arg::Kind::read || a.kind == Arg::Kind::weight) reads = true;
        if (a.kind == Arg::Kind::read && buffers_[a.tensor.buffer].constant == no_value && buffers_[a.tensor.buffer].derived == no_value) once[s] = false;
        if (a.kind == Arg::Kind::write && (buffers_[a.tensor.buffer].temp_bytes == 0 || writers[a.tensor.buffer] > 1)) once[s] = false;
      }
      once[s] = once[s] && reads;
      if (!once[s]) continue;
      for (const Arg& a : planner_.steps[s].launch.args) {
        if (a.kind != Arg::Kind::write) continue;
        PlanBuffer& b = buffers_[a.tensor.buffer];
        b.derived = static_cast<std::uint32_t>(plan.derived.size());
        plan.derived.push_back(program_.device->allocate(b.temp_bytes));
      }
    }
    return once;
  }

  PlannedLaunch planned(const Planner::Step& step, const BuiltKernel& kernel) {
    PlannedLaunch out{kernel, {}, step.launch.global, step.launch.local, step.launch.name, &step.unit->label};
    cl_uint number = 0;
    for (const Arg& a : step.launch.args) {
      PlannedArg& arg = out.args.emplace_back();
      arg.bytes = a.bytes;
      arg.size = a.size;
      arg.number = number;
      number += a.kind == Arg::Kind::scalar ? 1 : BoundKernel::parameters_of_buffer;
      if (a.kind == Arg::Kind::scalar) continue;
      if (a.kind == Arg::Kind::weight) {
        arg.kind = PlannedArg::Kind::constant;
        arg.index = a.packed.constant;
        continue;
      }
      if (a.tensor.buffer == no_value) throw Failure{TENON_INTERNAL, step.unit->label + ": a tensor without memory"};
      const PlanBuffer& b = buffers_[a.tensor.buffer];
      arg.offset = static_cast<std::uint64_t>(a.tensor.offset * storage_bytes(a.tensor.dtype));
      if (b.constant != no_value) (void)program_.constant(b.constant, args_.load);
      arg.kind = b.constant != no_value ? PlannedArg::Kind::constant : b.derived != no_value ? PlannedArg::Kind::derived : PlannedArg::Kind::operand;
      arg.index = b.constant != no_value ? b.constant : b.derived != no_value ? b.derived : b.operand;
    }
    return out;
  }

  // Says to the host what a step reads and writes.
  void tell(const Planner::Step& step, std::uint32_t stage) {
    std::vector<std::uint32_t> reads, writes;
    double bytes = 0;
    for (const Arg& a : step.launch.args) {
      if (a.kind == Arg::Kind::scalar) continue;
      if (a.kind == Arg::Kind::weight) {
        bytes += static_cast<double>(a.packed.bytes);
        continue;
      }
      bytes += static_cast<double>(a.tensor.count() * storage_bytes(a.tensor.dtype));
      const std::uint32_t operand = buffers_[a.tensor.buffer].operand;
      auto& list = a.kind == Arg::Kind::write ? writes : reads;
      if (operand != no_value && std::find(list.begin(), list.end(), operand) == list.end()) list.push_back(operand);
    }
    tenon_step raw{};
    raw.struct_size = sizeof raw;
    raw.stage = stage;
    raw.flags = TENON_STEP_CAPTURABLE;
    raw.name = str(step.launch.name);
    raw.reads = reads.data(), raw.read_count = static_cast<std::uint32_t>(reads.size());
    raw.writes = writes.data(), raw.write_count = static_cast<std::uint32_t>(writes.size());
    raw.nodes = step.unit->nodes.data(), raw.node_count = static_cast<std::uint32_t>(step.unit->nodes.size());
    raw.est_ns = static_cast<std::uint64_t>(std::max(bytes / 10, step.launch.flops / 100) + 5000);
    program_.device->host.api->step(sink_, &raw);
  }

  // Runs launches on constants and the plan's own memory, and waits.
  void run_now(const Plan& plan, const std::vector<PlannedLaunch>& setup) const {
    if (setup.empty()) return;
    const Device& device = *program_.device;
    const QueueHandle queue = device.make_queue();
    std::vector<BoundKernel> kernels;
    for (const PlannedLaunch& l : setup) {
      BoundKernel& kernel = kernels.emplace_back(device, l.kernel, *l.label);
      for (const PlannedArg& arg : l.args) plan.set(kernel, arg, {});
      kernel.enqueue(queue.get(), l.global, l.local);
    }
    check(device.api->clFinish(queue.get()), "waiting for " + device.profile.name);
  }

  const Planner& planner_;
  const Program& program_;
  const tenon_plan_args& args_;
  tenon_plan_sink* sink_;
  std::vector<PlanBuffer> buffers_;  // the planner's, with operands and memory given to them
};

}  // namespace

void tell_steps(const Planner& planner, const tenon_plan_args& args, tenon_plan_sink* sink, Plan& plan) {
  Steps(planner, *plan.program, args, sink).finish(plan);
}

}  // namespace tenon::opencl
