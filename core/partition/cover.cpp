#include "core/partition/cover.h"

#include <algorithm>

#include "core/partition/capacity.h"
#include "core/partition/claim_table.h"
#include "core/partition/labels.h"
#include "core/partition/parts.h"
#include "core/partition/refine.h"
#include "core/partition/taken_units.h"

namespace tenon {
namespace {

class Covering {
 public:
  explicit Covering(const ClaimTable& table) : table_(table), taken_(table) {}

  std::vector<std::uint32_t> choose() {
    find_units();
    Labels labels(table_, units_);
    label_ = labels.find();
    chosen_.assign(table_.graph.nodes.size(), none);
    choose_needed();
    choose_whole();
    Refine(table_, taken_, label_).run();
    choose_rest();
    return chosen_;
  }

 private:
  struct Ranked {
    double saving;
    std::uint32_t claim;
  };
  static void by_saving(std::vector<Ranked>& list) {
    std::stable_sort(list.begin(), list.end(), [](const Ranked& a, const Ranked& b) { return a.saving > b.saving; });
  }
  // What the claim's nodes cost without it, and what their inner values cost when they are passed between other devices.
  double saving(const Claim& claim) const {
    double alone = -claim.cost_ns;
    std::uint32_t elsewhere = none;
    for (NodeId n : claim.nodes) {
      if (table_.single[claim.device][n] != none) {
        alone += table_.single_cost(claim.device, n);
        continue;
      }
      alone += table_.cheapest(n);
      elsewhere = table_.cheapest_device(n);
    }
    if (elsewhere != none && elsewhere != claim.device)
      for (NodeId n : claim.nodes)
        for (ValueId v : table_.graph.nodes[n].outputs)
          if (v != none && table_.single[claim.device][n] == none &&
              std::any_of(table_.readers[v].begin(), table_.readers[v].end(), [&](NodeId r) { return in(claim, r) && table_.single[claim.device][r] != none; }))
            alone += copy_cost(table_.in.devices[elsewhere], table_.in.devices[claim.device], table_.in.value_bytes[v]);
    return alone;
  }
  static bool in(const Claim& claim, NodeId n) { return std::binary_search(claim.nodes.begin(), claim.nodes.end(), n); }

  // Step 1, per device: by falling saving, what shares no node with those before and closes no cycle with them.
  void find_units() {
    units_.assign(table_.devices(), std::vector<std::uint32_t>(table_.graph.nodes.size(), none));
    for (std::uint32_t d = 0; d < table_.devices(); ++d) {
      std::vector<Ranked> order;
      for (std::uint32_t c = 0; c < table_.in.claims.size(); ++c) {
        const Claim& claim = table_.claim(c);
        if (claim.device != d || claim.nodes.size() < 2 || !table_.eligible(claim)) continue;
        if (const double s = saving(claim); s > 0) order.push_back({s, c});
      }
      by_saving(order);
      TakenUnits taken(table_);
      for (const Ranked& r : order) {
        if (!taken.is_free(r.claim) || !taken.fits(r.claim)) continue;
        taken.take(r.claim);
        for (NodeId n : table_.claim(r.claim).nodes)
          if (units_[d][n] == none) units_[d][n] = r.claim;
      }
      accepted_.insert(accepted_.end(), order.begin(), order.end());
    }
  }

  // Nodes that nobody claims alone go first: whatever the labels say, they need their unit.
  void choose_needed() {
    for (NodeId n = 0; n < chosen_.size(); ++n) {
      if (table_.in.skip[n] || taken_.held(n) || table_.cheapest_device(n) != none) continue;
      std::uint32_t best = none;
      for (std::uint32_t c : table_.holding[n])
        if ((best == none || table_.claim(c).cost_ns < table_.claim(best).cost_ns) && taken_.is_free(c) && taken_.fits(c)) best = c;
      if (best != none) take(best);
    }
  }
  void take(std::uint32_t claim) {
    taken_.take(claim);
    for (NodeId n : table_.claim(claim).nodes)
      if (taken_.of(n) == claim) label_[n] = table_.claim(claim).device;
  }

  // The rest of step 2: what lies wholly on its device, of all devices together, as units of two can close a cycle that neither
  // has alone. Nodes that may be computed again need not lie there.
  void choose_whole() {
    std::vector<Ranked> order;
    for (const Ranked& r : accepted_) {
      const Claim& claim = table_.claim(r.claim);
      const auto there = [&](NodeId n) { return label_[n] == claim.device || table_.recomputable(claim.device, n); };
      const auto any = [&](NodeId n) { return label_[n] == claim.device; };
      if (std::all_of(claim.nodes.begin(), claim.nodes.end(), there) && std::any_of(claim.nodes.begin(), claim.nodes.end(), any)) order.push_back(r);
    }
    by_saving(order);
    for (const Ranked& r : order)
      if (taken_.is_free(r.claim) && taken_.fits(r.claim)) take(r.claim);
  }

  // Single claims: of the node's device, else of the cheapest. A node that units hold for themselves needs one only where others
  // read it and no unit can make it for them.
  void choose_rest() {
    for (NodeId n = 0; n < chosen_.size(); ++n) {
      if (table_.in.skip[n]) continue;
      chosen_[n] = taken_.of(n) != none ? taken_.of(n) : taken_.held(n) ? owner(n) : none;
      if (chosen_[n] != none) continue;
      const std::uint32_t d = label_[n] != none && table_.single[label_[n]][n] != none ? label_[n] : table_.cheapest_device(n);
      if (d == none) continue;
      chosen_[n] = table_.single[d][n];
      label_[n] = d;
    }
  }
  std::uint32_t owner(NodeId n) {
    const std::vector<std::uint32_t> copies = taken_.copies(n);
    const auto inside = [&](NodeId r) {  // every unit that reads it has it
      bool all = taken_.of(r) != none && table_.holds(taken_.of(r), n);
      if (!all) return false;
      for (std::uint32_t c : taken_.copies(r)) all = all && table_.holds(c, n);
      return all;
    };
    bool needed = false;
    for (ValueId v : table_.graph.nodes[n].outputs)
      if (v != none) needed = needed || table_.graph.values[v].is_output || !std::all_of(table_.readers[v].begin(), table_.readers[v].end(), inside);
    if (!needed) return copies.front();
    for (std::uint32_t c : copies)
      if (!table_.sealed_in(c, n) && taken_.own(c, n)) return c;
    return none;
  }

  const ClaimTable& table_;
  TakenUnits taken_;
  std::vector<std::vector<std::uint32_t>> units_;  // [device][node] -> accepted claim of several nodes, none
  std::vector<Ranked> accepted_;
  std::vector<std::uint32_t> label_;   // per node: device, none
  std::vector<std::uint32_t> chosen_;  // per node: claim
};

}  // namespace

double copy_cost(const DeviceModel& from, const DeviceModel& to, double bytes) {
  if (from.domain == to.domain) return 0;
  double cost = 0;
  if (!from.on_host()) cost += from.to_host_latency_ns + bytes / from.to_host_bytes_per_ns;
  if (!to.on_host()) cost += to.from_host_latency_ns + bytes / to.from_host_bytes_per_ns;
  return cost;
}

Cover cover(const CoverInput& input) {
  const ClaimTable table(input);
  std::vector<std::uint32_t> chosen = Covering(table).choose();
  Capacity capacity(table, chosen);
  capacity.settle();
  Cover out = make_parts(table, chosen);
  out.steps = table.steps();
  out.displaced = capacity.displaced();
  out.shortage = capacity.shortage();
  return out;
}

}  // namespace tenon
