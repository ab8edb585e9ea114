#include "plugins/cpu/plan.h"

#include <algorithm>

#include "plugins/cpu/box_planner.h"

namespace tenon::cpu {

Plan::Plan() = default;
Plan::~Plan() = default;

void Plan::resize(const tenon_resize_args& args) {
  if (!box_) throw Failure{TENON_FAILED_PRECONDITION, "the plan was made for one set of sizes"};
  box_->resize(args);
}

void* Arena::alloc(std::size_t bytes, std::size_t alignment) {
  const auto fit = [&](const Chunk& c) {
    const auto begin = reinterpret_cast<std::uintptr_t>(c.memory.get()) + c.used;
    return (begin + alignment - 1) / alignment * alignment - reinterpret_cast<std::uintptr_t>(c.memory.get());
  };
  if (chunks_.empty() || fit(chunks_.back()) + bytes > chunks_.back().size) {
    const std::size_t size = std::max(bytes + alignment, chunks_.empty() ? std::size_t{4096} : std::min(chunks_.back().size * 2, std::size_t{1} << 18));
    chunks_.push_back({std::make_unique<std::byte[]>(size), 0, size});
  }
  Chunk& c = chunks_.back();
  const std::size_t at = fit(c);
  c.used = at + bytes;
  return c.memory.get() + at;
}

void Plan::execute(const Host& host, const tenon_execute_args& args) const noexcept {
  bool failed = false;  // this worker; the others are met at the barriers
  StepContext shared{args.addresses, args.worker_index, args.worker_count, args.run, host.api, host.context, nullptr, &failed};
  StepContext single{args.addresses, 0, 1, args.run, host.api, host.context, nullptr, &failed};
  const std::uint64_t first = std::min<std::uint64_t>(args.first_step, steps_.size());
  const std::uint64_t end = first + std::min<std::uint64_t>(args.step_count, steps_.size() - first);
  const bool many = args.worker_count > 1, leader = args.worker_index == 0;
  for (std::uint64_t s = first; s < end; ++s) {
    const Step& step = steps_[s];
    if (many) {
      if (step.barrier && s > first && host.api->barrier(args.run) == TENON_STOP) return;
    } else if (failed || (step.poll && host.api->cancelled(args.run))) {
      return;
    }
    if (failed || !(step.spmd || leader)) continue;
    try {
      StepContext& context = step.spmd ? shared : single;
      context.label = step.label;
      step.fn(step.params, context);
    } catch (...) {
      host.api->fail(args.run, guarded(host, [] { throw; }));
      failed = true;
    }
  }
}

}  // namespace tenon::cpu
