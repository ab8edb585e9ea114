#include "core/partition/capacity.h"

#include <algorithm>
#include <queue>

#include <fmt/format.h>

namespace tenon {

std::uint64_t Capacity::Memory::needed() const {
  return weights + (workspaces.empty() ? 0 : *std::max_element(workspaces.begin(), workspaces.end()));
}

bool Capacity::Memory::fits(std::uint64_t more_weights, std::uint64_t workspace) const {
  if (limit == 0) return true;
  for (std::uint64_t w : workspaces) workspace = std::max(workspace, w);
  return weights <= limit && more_weights <= limit - weights && workspace <= limit - weights - more_weights;
}

Capacity::Capacity(const ClaimTable& table, std::vector<std::uint32_t>& chosen) : table_(table), chosen_(chosen), moved_(chosen.size()) {
  for (const DeviceModel& d : table.in.devices) {
    const auto same = std::find_if(memories_.begin(), memories_.end(), [&](const Memory& m) { return m.uid == d.domain; });
    memory_.push_back(static_cast<std::uint32_t>(same - memories_.begin()));
    if (same == memories_.end()) memories_.push_back({d.domain, 0, 0, {}});
    Memory& m = memories_[memory_.back()];
    if (d.memory_limit != 0) m.limit = m.limit == 0 ? d.memory_limit : std::min(m.limit, d.memory_limit);
  }
}

void Capacity::settle() {
  if (std::all_of(memories_.begin(), memories_.end(), [](const Memory& m) { return m.limit == 0; })) return;
  std::vector<bool> seen(table_.in.claims.size());
  for (std::uint32_t c : chosen_)
    if (c != none && !seen[c]) seen[c] = true, add(c);
  for (std::uint32_t m = 0; m < memories_.size() && shortage_.empty(); ++m)
    if (memories_[m].limit != 0 && memories_[m].needed() > memories_[m].limit) relieve(m);
}

void Capacity::add(std::uint32_t c) {
  Memory& m = memories_[memory_[table_.claim(c).device]];
  m.weights += table_.claim(c).weight_bytes;
  if (table_.claim(c).workspace_bytes) m.workspaces.push_back(table_.claim(c).workspace_bytes);
}

void Capacity::remove(std::uint32_t c) {
  Memory& m = memories_[memory_[table_.claim(c).device]];
  m.weights -= table_.claim(c).weight_bytes;
  if (const auto at = std::find(m.workspaces.begin(), m.workspaces.end(), table_.claim(c).workspace_bytes); at != m.workspaces.end()) {
    *at = m.workspaces.back();
    m.workspaces.pop_back();
  }
}

// Prices rise and fall as neighbours move: one that has risen since it was queued goes back into the queue.
void Capacity::relieve(std::uint32_t memory) {
  Memory& m = memories_[memory];
  const auto dearer = [](const Move& a, const Move& b) { return a.price != b.price ? a.price > b.price : a.claim > b.claim; };
  std::priority_queue<Move, std::vector<Move>, decltype(dearer)> queue(dearer);
  std::vector<bool> seen(table_.in.claims.size());
  for (std::uint32_t c : chosen_)
    if (c != none && !seen[c] && memory_[table_.claim(c).device] == memory) {
      seen[c] = true;
      if (const Move move = cheapest_move(c); move.device != none) queue.push(move);
    }
  while (m.needed() > m.limit) {
    if (queue.empty()) {
      shortage_ = fmt::format("memory \"{}\" holds {} bytes, weights and workspace of what only its devices can run need {}", m.uid, m.limit, m.needed());
      return;
    }
    const Move queued = queue.top();
    queue.pop();
    const Move now = cheapest_move(queued.claim);
    if (now.device == none) continue;
    if (!queue.empty() && now.price > queued.price && now.price > queue.top().price) {
      queue.push(now);
      continue;
    }
    carry_out(now);
  }
}

// To one device, as single claims, which close no cycle.
Capacity::Move Capacity::cheapest_move(std::uint32_t c) const {
  const Claim& claim = table_.claim(c);
  const std::uint64_t bytes = claim.weight_bytes + claim.workspace_bytes;
  Move best;
  if (bytes == 0) return best;
  std::vector<NodeId> own;
  for (NodeId n : claim.nodes)
    if (chosen_[n] == c) own.push_back(n);
  if (std::any_of(own.begin(), own.end(), [&](NodeId n) { return moved_[n]; })) return best;
  for (std::uint32_t d = 0; d < table_.devices(); ++d) {
    if (memory_[d] == memory_[claim.device]) continue;
    double cost = 0;
    std::uint64_t weights = 0, workspace = 0;
    for (NodeId n : own) {
      const std::uint32_t s = table_.single[d][n];
      cost += s == none ? infinite_cost : table_.claim(s).cost_ns;
      if (s == none) break;
      weights += table_.claim(s).weight_bytes;
      workspace = std::max(workspace, table_.claim(s).workspace_bytes);
    }
    if (cost == infinite_cost || !memories_[memory_[d]].fits(weights, workspace)) continue;
    const double price = (cost - claim.cost_ns + copies(c, d) - copies(c, claim.device)) / static_cast<double>(bytes);
    if (price < best.price) best = {price, c, d};
  }
  return best;
}

// What the values that the claim makes or reads cost in copies, were it on that device.
double Capacity::copies(std::uint32_t c, std::uint32_t device) const {
  static const DeviceModel host{.name = "host", .domain = "host"};
  const auto home = [&](NodeId n) -> const DeviceModel& {
    if (n == none || chosen_[n] == none) return host;
    return table_.in.devices[chosen_[n] == c ? device : table_.claim(chosen_[n]).device];
  };
  double sum = 0;
  std::vector<ValueId> seen;
  const auto add_value = [&](ValueId v) {
    if (v == none || table_.graph.values[v].constant || std::find(seen.begin(), seen.end(), v) != seen.end()) return;
    seen.push_back(v);
    const DeviceModel& from = home(table_.graph.values[v].producer);
    std::vector<const DeviceModel*> to;
    const auto need = [&](const DeviceModel& d) {
      if (std::none_of(to.begin(), to.end(), [&](const DeviceModel* t) { return t->domain == d.domain; })) to.push_back(&d);
    };
    if (table_.graph.values[v].is_output) need(host);
    for (NodeId r : table_.readers[v]) need(home(r));
    for (const DeviceModel* t : to) sum += copy_cost(from, *t, table_.in.value_bytes[v]);
  };
  for (NodeId n : table_.claim(c).nodes) {
    for (ValueId v : table_.graph.nodes[n].inputs) add_value(v);
    for (ValueId v : table_.graph.nodes[n].outputs) add_value(v);
  }
  return sum;
}

void Capacity::carry_out(const Move& move) {
  const std::uint32_t from = table_.claim(move.claim).device;
  remove(move.claim);
  for (NodeId n : table_.claim(move.claim).nodes) {
    if (chosen_[n] != move.claim) {
      // It was computed inside this claim too; from now on its readers here take it from a claim of its own.
      if (table_.claim(chosen_[n]).nodes.size() < 2) continue;
      const std::uint32_t there = table_.single[move.device][n];
      chosen_[n] = there != none ? there : table_.single[from][n];
      add(chosen_[n]);
      continue;
    }
    chosen_[n] = table_.single[move.device][n];
    moved_[n] = true;
    add(chosen_[n]);
    displaced_.push_back({n, from});
  }
}

}  // namespace tenon
