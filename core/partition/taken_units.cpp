#include "core/partition/taken_units.h"

#include <algorithm>

namespace tenon {

TakenUnits::TakenUnits(const ClaimTable& table)
    : table_(table), of_(table.graph.nodes.size(), none), reach_(of_.size()), seen_node_(of_.size(), 0), seen_unit_(table.in.claims.size(), 0) {
  for (NodeId n = 0; n < reach_.size(); ++n) reach_[n] = n;
}

bool TakenUnits::is_free(std::uint32_t claim) const {
  const Claim& c = table_.claim(claim);
  return std::all_of(c.nodes.begin(), c.nodes.end(), [&](NodeId n) { return of_[n] == none || table_.recomputable(c.device, n); });
}

void TakenUnits::take(std::uint32_t claim) {
  const Claim& c = table_.claim(claim);
  for (NodeId n : c.nodes) {
    if (table_.recomputable(c.device, n)) copies_[n].push_back(claim);
    else of_[n] = claim;
  }
  for (NodeId n = c.nodes.front(); n <= c.nodes.back(); ++n) reach_[n] = std::max(reach_[n], c.nodes.back());
}

// What it reached over stays so: a wider search than needed, never a narrower one.
void TakenUnits::drop(std::uint32_t claim) {
  for (NodeId n : table_.claim(claim).nodes) {
    if (of_[n] == claim) of_[n] = none;
    if (const auto at = copies_.find(n); at != copies_.end()) {
      std::erase(at->second, claim);
      if (at->second.empty()) copies_.erase(at);
    }
  }
}

const std::vector<std::uint32_t>& TakenUnits::copies(NodeId n) const {
  static const std::vector<std::uint32_t> nobody;
  const auto at = copies_.find(n);
  return at == copies_.end() ? nobody : at->second;
}

bool TakenUnits::own(std::uint32_t claim, NodeId n) {
  if (comes_back(claim, {n})) return false;
  of_[n] = claim;
  std::erase(copies_[n], claim);
  if (copies_[n].empty()) copies_.erase(n);
  return true;
}

bool TakenUnits::fits(std::uint32_t claim) {
  const Claim& c = table_.claim(claim);
  std::vector<NodeId> from;
  for (NodeId n : c.nodes)
    if (!table_.recomputable(c.device, n)) from.push_back(n);
  return !comes_back(claim, from);
}

template <class F>
void TakenUnits::for_each_holder(NodeId n, F f) const {
  if (of_[n] == none) f(none);  // alone, as far as others read it
  else f(of_[n]);
  for (std::uint32_t unit : copies(n)) f(unit);
}

// Whether what reads the values of `from`, made by the claim, leads back to a node of the claim.
bool TakenUnits::comes_back(std::uint32_t claim, const std::vector<NodeId>& from) {
  // Beyond `last` a path comes back only through a unit that reaches over it, and there is none.
  NodeId last = table_.claim(claim).nodes.back();
  while (reach_[last] > last) last = reach_[last];
  ++mark_;
  std::vector<NodeId> open;  // nodes whose values are waited for
  bool back = false;
  const auto leave = [&](NodeId n, std::uint32_t maker) {
    for (ValueId v : table_.graph.nodes[n].outputs) {
      if (v == none) continue;
      table_.count(table_.readers[v].size());
      for (NodeId r : table_.readers[v]) {
        if (r > last) continue;
        // The claim reads it inside itself if it holds the maker of it too.
        if (table_.holds(claim, r) && !table_.holds(claim, n)) {
          back = true;
          return;
        }
        for_each_holder(r, [&](std::uint32_t unit) {
          if (unit == none) {
            const bool inside = table_.holds(claim, r) && !table_.recomputable(table_.claim(claim).device, r);
            if (!inside && seen_node_[r] != mark_) seen_node_[r] = mark_, open.push_back(r);
            return;
          }
          if (unit == maker || unit == claim || table_.holds(unit, n) || seen_unit_[unit] == mark_) return;
          seen_unit_[unit] = mark_;
          for (NodeId m : table_.claim(unit).nodes)
            if (of_[m] == unit && seen_node_[m] != mark_) seen_node_[m] = mark_, open.push_back(m);
        });
      }
    }
  };
  for (NodeId n : from) {
    seen_node_[n] = mark_;
    leave(n, claim);
  }
  while (!open.empty() && !back) {
    const NodeId n = open.back();
    open.pop_back();
    leave(n, of_[n]);
  }
  return back;
}

}  // namespace tenon
