#include "core/partition/refine.h"

#include <algorithm>

namespace tenon {
namespace {

constexpr int passes = 3;                 // one in graphs of many nodes
constexpr std::size_t many_nodes = 8192;
constexpr double least_gain = 1e-6;  // ns

const DeviceModel& host() {
  static const DeviceModel made{.name = "host", .domain = "host"};
  return made;
}

}  // namespace

Refine::Refine(const ClaimTable& table, TakenUnits& taken, std::vector<std::uint32_t>& label)
    : table_(table), taken_(taken), label_(label), seen_(table.graph.values.size(), 0) {}

void Refine::run() {
  std::vector<std::uint32_t> several;
  for (std::uint32_t c = 0; c < table_.in.claims.size(); ++c)
    if (table_.claim(c).nodes.size() > 1 && table_.eligible(table_.claim(c))) several.push_back(c);
  if (several.empty()) return;  // labels alone are what they can be
  for (int pass = 0; pass < (label_.size() > many_nodes ? 1 : passes); ++pass) {
    bool moved = false;
    for (std::uint32_t c : several) moved |= take(c);
    for (std::uint32_t c : several) moved |= dissolve(c);
    for (NodeId n = 0; n < label_.size(); ++n) moved |= relabel(n);
    if (!moved) return;
  }
}

void Refine::fall_back(NodeId n, std::uint32_t device) { label_[n] = table_.single[device][n] != none ? device : table_.cheapest_device(n); }

// Instead of the units that share nodes with it, whose other nodes run alone.
bool Refine::take(std::uint32_t claim) {
  const Claim& c = table_.claim(claim);
  std::vector<std::uint32_t> units;
  for (NodeId n : c.nodes) {
    const std::uint32_t u = taken_.of(n);
    if (u == claim) return false;
    if (u != none && std::find(units.begin(), units.end(), u) == units.end()) units.push_back(u);
  }
  std::vector<NodeId> nodes = c.nodes;
  for (std::uint32_t u : units) nodes.insert(nodes.end(), table_.claim(u).nodes.begin(), table_.claim(u).nodes.end());
  std::sort(nodes.begin(), nodes.end());
  nodes.erase(std::unique(nodes.begin(), nodes.end()), nodes.end());
  std::vector<std::uint32_t> labels;
  for (NodeId n : nodes) labels.push_back(label_[n]);

  const double before = cost(nodes);
  for (std::uint32_t u : units) {
    taken_.drop(u);
    for (NodeId n : table_.claim(u).nodes) fall_back(n, table_.claim(u).device);
  }
  bool kept = taken_.is_free(claim);
  if (kept) {
    taken_.take(claim);
    for (NodeId n : c.nodes)
      if (taken_.of(n) == claim) label_[n] = c.device;
    kept = cost(nodes) < before - least_gain;
    taken_.drop(claim);
    kept = kept && taken_.fits(claim);
  }
  if (kept) {
    taken_.take(claim);
    return true;
  }
  for (std::uint32_t u : units) taken_.take(u);
  for (std::size_t i = 0; i < nodes.size(); ++i) label_[nodes[i]] = labels[i];
  return false;
}

bool Refine::dissolve(std::uint32_t claim) {
  const Claim& c = table_.claim(claim);
  if (std::none_of(c.nodes.begin(), c.nodes.end(), [&](NodeId n) { return taken_.of(n) == claim; })) return false;
  std::vector<std::uint32_t> labels, best;
  for (NodeId n : c.nodes) labels.push_back(label_[n]);
  double least = cost(c.nodes) - least_gain;
  taken_.drop(claim);
  for (std::uint32_t d = 0; d <= table_.devices(); ++d) {  // all on one device as far as it goes; last: each where it is cheapest
    for (NodeId n : c.nodes) {
      if (d < table_.devices()) fall_back(n, d);
      else label_[n] = table_.cheapest_device(n);
    }
    if (const double now = cost(c.nodes); now < least) {
      least = now;
      best.clear();
      for (NodeId n : c.nodes) best.push_back(label_[n]);
    }
  }
  for (std::size_t i = 0; i < c.nodes.size(); ++i) label_[c.nodes[i]] = best.empty() ? labels[i] : best[i];
  if (best.empty()) taken_.take(claim);
  return !best.empty();
}

bool Refine::relabel(NodeId n) {
  if (label_[n] == none || taken_.of(n) != none || table_.in.skip[n]) return false;
  const std::uint32_t before = label_[n];
  std::uint32_t best = before;
  double least = cost({n}) - least_gain;
  for (std::uint32_t d = 0; d < table_.devices(); ++d) {
    if (table_.single[d][n] == none || d == before) continue;
    label_[n] = d;
    if (const double now = cost({n}); now < least) least = now, best = d;
  }
  label_[n] = best;
  return best != before;
}

// What the nodes cost, units that own any of them whole, and the copies of all values that they make or read.
double Refine::cost(const std::vector<NodeId>& nodes) {
  double sum = 0;
  ++mark_;
  const auto add_value = [&](ValueId v) {
    if (v == none || seen_[v] == mark_ || table_.graph.values[v].constant) return;
    seen_[v] = mark_;
    sum += copies(v);
  };
  units_.clear();
  table_.count(nodes.size());
  for (NodeId n : nodes) {
    if (const std::uint32_t u = taken_.of(n); u != none) {
      if (std::find(units_.begin(), units_.end(), u) == units_.end()) units_.push_back(u), sum += table_.claim(u).cost_ns;
    } else if (needed_alone(n)) {
      sum += label_[n] == none ? ClaimTable::forbidden : table_.single_cost(label_[n], n);
    }
    if (const std::uint32_t d = device_of(n); d != none) sum += table_.in.devices[d].launch_ns / 8;
    for (ValueId v : table_.graph.nodes[n].inputs) add_value(v);
    for (ValueId v : table_.graph.nodes[n].outputs) add_value(v);
  }
  return sum;
}

// A node that units compute for themselves runs once more where others read it.
bool Refine::needed_alone(NodeId n) const {
  if (!taken_.held(n)) return true;
  const auto inside = [&](std::uint32_t unit) { return unit != none && table_.holds(unit, n); };
  for (ValueId v : table_.graph.nodes[n].outputs) {
    if (v == none) continue;
    if (table_.graph.values[v].is_output) return true;
    for (NodeId r : table_.readers[v])
      if (!inside(taken_.of(r))) return true;
  }
  return false;
}

double Refine::copies(ValueId v) {
  const NodeId p = table_.graph.values[v].producer;
  const DeviceModel& home = p == none || device_of(p) == none ? host() : table_.in.devices[device_of(p)];
  homes_.clear();
  bool on_host = table_.graph.values[v].is_output;
  const auto need = [&](std::uint32_t d) {
    if (d == none) return;
    const std::string& domain = table_.in.devices[d].domain;
    if (std::none_of(homes_.begin(), homes_.end(), [&](std::uint32_t h) { return table_.in.devices[h].domain == domain; })) homes_.push_back(d);
  };
  const auto inside = [&](std::uint32_t unit) { return unit != none && p != none && table_.holds(unit, p); };
  for (NodeId r : table_.readers[v]) {
    if (table_.in.skip[r]) {
      on_host |= !table_.graph.nodes[r].host_evaluated;
      continue;
    }
    if (!inside(taken_.of(r))) need(device_of(r));
    for (std::uint32_t u : taken_.copies(r))
      if (!inside(u)) need(table_.claim(u).device);
  }
  double sum = 0;
  for (std::uint32_t h : homes_) {
    sum += copy_cost(home, table_.in.devices[h], table_.in.value_bytes[v]);
    on_host &= !table_.in.devices[h].on_host();
  }
  return sum + (on_host ? copy_cost(home, host(), table_.in.value_bytes[v]) : 0);
}

}  // namespace tenon
