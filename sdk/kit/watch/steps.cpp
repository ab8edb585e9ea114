// Execution one step at a time: memory that a step writes first is poisoned, what lies behind its temps must stay.
#include <cstring>
#include <set>

#include "sdk/kit/watch/watch.h"

namespace tenon::kit {
namespace {

thread_local PlanRecord* current = nullptr;

unsigned char* place(const tenon_address& a) { return static_cast<unsigned char*>(a.handle) + a.offset; }

}  // namespace

PlanRecord* planning() { return current; }
void set_planning(PlanRecord* record) { current = record; }

tenon_status* execute_stepwise(tenon_program* program, const tenon_execute_args& args) {
  Watch& w = watch();
  PlanRecord plan;
  std::vector<tenon_address> addresses;
  {
    const std::lock_guard lock(w.mutex);
    const auto known = w.plans.find(args.plan ? static_cast<const void*>(args.plan) : program);
    if (known != w.plans.end()) plan = known->second;
    if (args.binding) addresses = w.bindings[args.binding].second;
    else addresses.assign(args.addresses, args.addresses + args.address_count);
  }
  constexpr unsigned char canary = 0xc5;
  // Only memory that this process can reach: the device's own domains are the target's business.
  const auto temp_of = [&](std::uint32_t operand) -> std::uint64_t {
    const std::uint64_t temp = operand - plan.border;
    return operand >= plan.border && temp < plan.guarded.size() ? plan.guarded[temp] : 0;
  };
  std::set<std::uint32_t> written;
  for (std::uint64_t s = 0; s < args.first_step && s < plan.steps.size(); ++s)
    written.insert(plan.steps[s].writes.begin(), plan.steps[s].writes.end());
  for (std::uint64_t s = args.first_step; s < args.first_step + args.step_count; ++s) {
    if (++w.steps == w.fail_step) {
      if (!w.instead) return injected("a step");
      w.instead();
    }
    std::set<std::uint32_t> touched;
    if (s < plan.steps.size()) {
      const Step& step = plan.steps[s];
      touched.insert(step.reads.begin(), step.reads.end());
      std::set<std::uint32_t> kept(touched);
      for (const tenon_inplace& pair : step.inplace) kept.insert(pair.write);
      for (const std::uint32_t operand : step.writes) {
        touched.insert(operand);
        const std::uint64_t bytes = temp_of(operand);
        if (w.poison >= 0 && bytes && operand < addresses.size() && !written.contains(operand) && !kept.contains(operand))
          std::memset(place(addresses[operand]), w.poison, bytes);
        written.insert(operand);
      }
      for (const std::uint32_t operand : touched)
        if (const std::uint64_t bytes = temp_of(operand); bytes && operand < addresses.size())
          std::memset(place(addresses[operand]) + bytes, canary, guard_bytes);
    }
    tenon_execute_args one = args;
    one.first_step = s;
    one.step_count = 1;
    if (tenon_status* status = w.api->execute(program, &one)) return status;
    for (const std::uint32_t operand : touched)
      if (const std::uint64_t bytes = temp_of(operand); bytes && operand < addresses.size())
        for (std::uint64_t i = 0; i < guard_bytes; ++i)
          if (place(addresses[operand])[bytes + i] != canary) {
            w.broke("step " + std::to_string(s) + " wrote behind the end of a temp of " + std::to_string(bytes) +
                    " bytes (operand " + std::to_string(operand) + ")");
            break;
          }
  }
  return nullptr;
}

}  // namespace tenon::kit
