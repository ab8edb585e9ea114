#include "core/plan/routes.h"

namespace tenon {
namespace {

constexpr std::uint32_t unknown = none - 1;  // a domain that a device does not have

std::uint32_t domain_index(const DeviceInfo& device, const Plan::Domain& domain) {
  if (!domain.device) return TENON_ROUTE_HOST;
  for (std::uint32_t i = 0; i < device.domains.size(); ++i)
    if (device.domains[i].uid == domain.uid) return i;
  return unknown;
}

int route_of(const Device& device, const Plan::Domain& from, const Plan::Domain& to) {
  return device.route(domain_index(device.info(), from), domain_index(device.info(), to));
}

}  // namespace

PlanRoute find_route(const PlanInput& input, const Plan& plan, std::uint32_t from, std::uint32_t to, const DevicePtr& preferred) {
  if (preferred)
    if (const int r = route_of(*preferred, plan.domains[from], plan.domains[to]); r >= 0) return {preferred, r};
  for (const Program& p : *input.programs)
    if (const int r = route_of(*p.device, plan.domains[from], plan.domains[to]); r >= 0) return {p.device, r};
  return {};
}

}  // namespace tenon
