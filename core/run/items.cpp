// The items of a plan, one after the other: programs, copies, host steps, and the waits before them. Part of Execution.
#include <chrono>

#include "core/provider/host.h"
#include "core/run/execution.h"

namespace tenon {
namespace {

std::uint64_t now_ns() {
  return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

}  // namespace

Status Execution::items(BoundPlan& bound) {
  const Plan& plan = *bound.plan;
  const auto queue = [&](std::uint32_t q) { return q == none ? nullptr : bound.queues[q]; };
  for (const PlannedItem& item : plan.items) {
    if (state_.control.stop()) return state_.control.take();
    TENON_TRY(wait(bound, item));
    switch (item.kind) {
      case PlannedItem::Kind::program: {
        const PlannedProgram& p = plan.programs[item.index];
        TENON_TRY(program(p, bound.programs[item.index], queue(p.queue)));
        if (item.mark != none) TENON_TRY(context_.queues().mark(*queue(p.queue), item.mark));
        break;
      }
      case PlannedItem::Kind::copy: {
        const PlannedCopy& c = plan.copies[item.index];
        TENON_TRY(copy(plan, c, queue(c.queue)));
        if (item.mark != none) TENON_TRY(context_.queues().mark(*queue(c.queue), item.mark));
        break;
      }
      case PlannedItem::Kind::host_step: {
        const std::uint64_t start = state_.profile ? now_ns() : 0;
        TENON_TRY(run_host_step(*this, item.index));
        if (state_.profile) {
          const Node& node = graph().nodes[item.index];
          state_.profile->events.push_back({node.name.empty() ? node.op_type : node.name, node.op_type, "core", start, now_ns() - start});
        }
        break;
      }
    }
  }
  // What follows reads slots and reuses arenas.
  return context_.queues().drain();
}

Status Execution::wait(const BoundPlan& bound, const PlannedItem& item) {
  RunQueues& queues = context_.queues();
  for (const PlannedWait& w : item.waits) {
    RunQueue& queue = *bound.queues[w.queue];
    TENON_TRY(w.by == none ? queues.wait(queue, w.mark) : queues.order(queue, w.mark, *bound.queues[w.by]));
  }
  return {};
}

// Step by step, and each waited for, where times are wanted.
Status Execution::program(const PlannedProgram& planned, BoundProgram& bound, RunQueue* queue) {
  task_.enter(planned);
  if (!state_.profile) return steps(planned, bound, queue, 0, planned.step_count, planned.spmd);
  for (std::uint64_t s = 0; s < planned.step_count; ++s) {
    const PlannedStep& step = planned.steps[s];
    const std::uint64_t start = now_ns();
    TENON_TRY(steps(planned, bound, queue, s, 1, step.spmd));
    if (queue) TENON_TRY(context_.queues().wait(*queue));
    const std::uint64_t end = now_ns();
    const Node* node = step.nodes.empty() ? nullptr : &graph().nodes[step.nodes.front()];
    state_.profile->events.push_back({node && !node->name.empty() ? node->name : step.name, step.name, planned.program->device->provider().id(), start, end - start, 0,
                                      planned.program->part.device, step.nodes.empty() ? planned.program->nodes : step.nodes, &graph()});
    task_.take_trace(*state_.profile);
  }
  return {};
}

void RunTask::trace(const tenon_trace_event& event) {
  ProfileEvent e{std::string(view(event.name)), std::string(view(event.track)), {}, event.begin_ns, event.end_ns - event.begin_ns, 0};
  std::lock_guard lock(trace_mutex_);
  trace_.push_back(std::move(e));
}

void RunTask::take_trace(Profile& profile) {
  std::lock_guard lock(trace_mutex_);
  const std::string provider = profile.events.back().provider;
  for (ProfileEvent& e : trace_) {
    e.provider = provider;
    profile.events.push_back(std::move(e));
  }
  trace_.clear();
}

Status Execution::steps(const PlannedProgram& planned, BoundProgram& bound, RunQueue* queue, std::uint64_t first, std::uint64_t count, bool spmd) {
  tenon_execute_args args{};
  args.struct_size = sizeof args;
  args.worker_count = 1;
  args.plan = planned.handle;
  args.binding = bound.binding;
  args.addresses = bound.binding ? nullptr : bound.addresses.data();
  args.address_count = bound.binding ? 0 : bound.addresses.size();
  args.first_step = first;
  args.step_count = count;
  args.run = &task_;
  Device& device = *planned.program->device;
  tenon_program* program = planned.program->handle;
  const auto nodes = [&] { return nodes_text(graph(), planned.program->nodes); };
  const Watch::Call watched("execute", device.subject(), nodes);
  if (queue) {  // the call only gives work away: no gang
    args.stream = queue->stream;
    queue->busy = true;
    TENON_TRY(device.execute(program, args));
    return state_.control.stopped() ? state_.control.take() : Status();
  }
  if (state_.max_workers == 1 || device.provider().isolated()) {  // isolated: its workers are those of its own process
    TENON_TRY(device.execute(program, args));
    return state_.control.stopped() ? state_.control.take() : Status();
  }
  Gang& gang = state_.take_gang();
  task_.begin(gang);
  if (!spmd || gang.size() == 1) {
    Status s = device.execute(program, args);
    task_.end();
    TENON_TRY(std::move(s));
  } else {
    gang.run([&](std::uint32_t worker) {
      tenon_execute_args mine = args;
      mine.worker_index = worker;
      mine.worker_count = gang.size();
      if (Status s = device.execute(program, mine); !s.ok()) state_.control.fail(std::move(s));
      // A worker that left early still meets the others once, who then all learn to stop.
      if (!gang.stopped()) (void)gang.barrier();
    });
    task_.end();
  }
  return state_.control.stopped() ? state_.control.take() : Status();
}

Status Execution::copy(const Plan& plan, const PlannedCopy& c, RunQueue* queue) {
  const std::uint64_t start = state_.profile ? now_ns() : 0;
  if (queue) queue->busy = true;
  if (c.bytes) TENON_TRY(c.device->copy(c.route, queue ? queue->stream : nullptr, context_.address(plan, c.to), context_.address(plan, c.from), c.bytes));
  if (!state_.profile) return {};
  if (queue) TENON_TRY(context_.queues().wait(*queue));
  state_.profile->events.push_back({"copy " + graph().values[c.value].name, "Copy", c.device->provider().id(), start, now_ns() - start});
  return {};
}

Status run_host_step(Execution& execution, NodeId node) {
  const Node& n = execution.graph().nodes[node];
  Status s = is_control_flow(n) ? run_control_flow(execution, node) : run_handle_step(execution, node);
  return s.ok() ? std::move(s) : std::move(s).at(n.label());
}

}  // namespace tenon
