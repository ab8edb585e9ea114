// From the times of steps to the costs of claims.
#include <algorithm>
#include <map>

#include "core/run/block.h"

namespace tenon {
namespace {

// The middle one: a pause of the machine makes one time long, not all.
double median(std::vector<double>& times) {
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

}  // namespace

void Block::learn(const Profile& profile, LearnedCosts& costs) const {
  // A step of several nodes is as long for each as its estimate is of theirs.
  std::map<std::vector<std::uint32_t>, std::vector<double>> steps;  // times by the nodes of a step
  for (const ProfileEvent& e : profile.events) {
    if (e.graph != &graph_ || e.nodes.empty()) continue;
    steps[e.nodes].push_back(std::max(1.0, static_cast<double>(e.duration_ns)));
  }
  std::vector<double> ns(graph_.nodes.size(), 0);
  std::vector<std::uint32_t> samples(graph_.nodes.size(), 0);
  const auto share = [&](NodeId n) {
    const std::uint32_t c = placement_.cover.node_claim[n];
    return c == none ? 0.0 : std::max(1e-3, placement_.claims[c].cost_ns / static_cast<double>(placement_.claims[c].nodes.size()));
  };
  for (auto& [nodes, times] : steps) {
    double all = 0;
    for (NodeId n : nodes) all += n < ns.size() ? share(n) : 0;
    if (all <= 0) continue;
    const double time = median(times);
    for (NodeId n : nodes)
      if (n < ns.size()) ns[n] += time * share(n) / all, samples[n] = static_cast<std::uint32_t>(times.size());
  }
  for (const Program& p : programs_)
    for (std::uint32_t c : p.part.claims) {
      const Claim& claim = placement_.claims[c];
      double sum = 0;
      std::uint32_t seen = 0;
      for (NodeId n : claim.nodes) sum += ns[n], seen = std::max(seen, samples[n]);
      if (seen == 0) continue;
      const tenon_graph& graph = *placement_.view->graph();
      costs.set(claim.device, cost_key(graph, claim.nodes), {sum, seen, cost_operators(graph, claim.nodes), cost_family(graph, claim.nodes), claim.bytes, claim.hint_ns});
    }
  for (const auto& [node, bodies] : bodies_)
    for (const auto& body : bodies) body->learn(profile, costs);
}

}  // namespace tenon
