#include "core/partition/labels.h"

#include <algorithm>
#include <bitset>

#include "core/partition/min_cut.h"

namespace tenon {
namespace {

constexpr double forbidden = ClaimTable::forbidden;
constexpr double least_gain = 1e-6;     // ns; below it two costs are the same
constexpr std::size_t few_nodes = 512;    // graphs of so many are worth a second beginning
constexpr std::size_t many_nodes = 8192;  // with more, what the last moves gain is not worth the time they take

// What two vertices cost: both on the source side, only b beyond, only a beyond, both beyond. REQUIRES that the first and
// the last together are no more than the others.
void add_pair(MinCut& net, std::uint32_t a, std::uint32_t b, double ss, double st, double ts, double tt) {
  const auto beyond = [&](std::uint32_t n, double ns) {  // paid on the sink side; less than nothing: on the source side
    if (ns > 0) net.add_edge(0, n, ns);
    if (ns < 0) net.add_edge(n, 1, -ns);
  };
  beyond(a, ts - ss);
  beyond(b, tt - ts);
  if (const double apart = st + ts - ss - tt; apart > 0) net.add_edge(a, b, apart);
}

}  // namespace

Labels::Labels(const ClaimTable& table, const std::vector<std::vector<std::uint32_t>>& units) : table_(table) {
  const CoverInput& in = table.in;
  node_cost_.assign(table.devices(), std::vector<double>(table.graph.nodes.size()));
  for (std::uint32_t d = 0; d < table.devices(); ++d)
    for (NodeId n = 0; n < table.graph.nodes.size(); ++n) {
      const std::uint32_t u = units[d][n];
      // Parts are not known yet; a launch is charged as if a part had eight nodes.
      node_cost_[d][n] = (u == none ? table.single_cost(d, n) : in.claims[u].cost_ns / static_cast<double>(in.claims[u].nodes.size())) +
                         in.devices[d].launch_ns / 8;
    }
  static const DeviceModel host{.name = "host", .domain = "host"};
  std::vector<const DeviceModel*> of{&host};  // one device of each memory
  for (const DeviceModel& d : in.devices) {
    const auto same = std::find_if(of.begin(), of.end(), [&](const DeviceModel* o) { return o->domain == d.domain; });
    memory_.push_back(static_cast<std::uint32_t>(same - of.begin()));
    if (same == of.end()) of.push_back(&d);
  }
  memories_ = static_cast<std::uint32_t>(of.size());
  for (const DeviceModel* from : of)
    for (const DeviceModel* to : of) {
      latency_.push_back(copy_cost(*from, *to, 0));
      per_byte_.push_back(copy_cost(*from, *to, 1) - latency_.back());
    }
}

double Labels::copies(const std::vector<std::uint32_t>& label, ValueId v) const {
  const Value& value = table_.graph.values[v];
  if (value.constant) return 0;
  const std::uint32_t home = value.producer == none || label[value.producer] == none ? 0 : memory_[label[value.producer]];
  std::bitset<65> wanted;  // memories: the host's, and one for each device at most
  wanted[0] = value.is_output;
  for (NodeId r : table_.readers[v]) {
    if (label[r] != none) wanted.set(memory_[label[r]]);
    else if (table_.in.skip[r] && !table_.graph.nodes[r].host_evaluated) wanted.set(0);
  }
  double sum = 0;
  for (std::uint32_t m = 0; m < memories_; ++m)
    if (m != home && wanted[m]) sum += copy(home, m, v);
  return sum;
}

double Labels::cost(const std::vector<std::uint32_t>& label) const {
  double sum = 0;
  for (NodeId n = 0; n < label.size(); ++n)
    if (label[n] != none) sum += node_cost_[label[n]][n];
  for (ValueId v = 0; v < table_.graph.values.size(); ++v) sum += copies(label, v);
  return sum;
}

std::vector<std::uint32_t> Labels::find() {
  const std::size_t count = table_.graph.nodes.size();
  const std::uint32_t devices = table_.devices();
  // The least of each node alone, and all on one device as far as it goes: from where a search begins decides where it ends.
  std::vector<std::vector<std::uint32_t>> beginnings;
  for (std::uint32_t first = none; first == none || (devices > 2 && count <= few_nodes && first < devices); ++first) {
    std::vector<std::uint32_t>& label = beginnings.emplace_back(count, none);
    for (NodeId n = 0; n < count; ++n) {
      if (table_.in.skip[n]) continue;
      double best = forbidden;
      if (first != none && node_cost_[first][n] < forbidden) label[n] = first, best = -1;
      for (std::uint32_t d = 0; d < devices; ++d)
        if (node_cost_[d][n] < best) best = node_cost_[d][n], label[n] = d;
    }
  }
  std::vector<std::uint32_t> best;
  double least = infinite_cost;
  for (std::vector<std::uint32_t>& label : beginnings) {
    improve(label);
    const double sum = cost(label);
    if (best.empty() || sum < least - least_gain) best = std::move(label), least = sum;
  }
  return best;
}

void Labels::improve(std::vector<std::uint32_t>& label) const {
  const std::uint32_t devices = table_.devices();
  if (devices < 2) return;
  const bool large = label.size() > many_nodes;
  double now = cost(label);
  if (devices == 2) {
    exchange(label, now, 0, 1);
    return;
  }
  for (int sweep = 0; sweep < 3; ++sweep) {
    const double before = now;
    for (std::uint32_t d = 0; d < devices; ++d) expand(label, now, d);
    if (now >= before - std::max(least_gain, large ? 1e-2 * before : 0)) break;
  }
  if (large) return;
  for (std::uint32_t a = 0; a < devices; ++a)
    for (std::uint32_t b = a + 1; b < devices; ++b) exchange(label, now, a, b);
}

// Every node keeps its device or goes to `to`.
bool Labels::expand(std::vector<std::uint32_t>& label, double& now, std::uint32_t to) const {
  std::vector<std::uint32_t> sink = label;
  for (NodeId n = 0; n < label.size(); ++n)
    if (label[n] != none && node_cost_[to][n] < forbidden) sink[n] = to;
  std::vector<std::uint32_t> made = cut(label, sink);
  const double sum = cost(made);
  if (sum >= now - least_gain) return false;
  label = std::move(made), now = sum;
  return true;
}

// Nodes of a and b are dealt out anew between the two.
bool Labels::exchange(std::vector<std::uint32_t>& label, double& now, std::uint32_t a, std::uint32_t b) const {
  std::vector<std::uint32_t> source = label, sink = label;
  for (NodeId n = 0; n < label.size(); ++n) {
    if (label[n] != a && label[n] != b) continue;
    source[n] = node_cost_[a][n] < forbidden ? a : b;
    sink[n] = node_cost_[b][n] < forbidden ? b : a;
  }
  std::vector<std::uint32_t> made = cut(source, sink);
  const double sum = cost(made);
  if (sum >= now - least_gain) return false;
  label = std::move(made), now = sum;
  return true;
}

// The best choice between two labels for every node, as far as a cut can say: where several readers keep a value's copy in
// memory m needed, and its producer, moved, would make that copy cheaper, the cut does not see what that saves.
std::vector<std::uint32_t> Labels::cut(const std::vector<std::uint32_t>& source, const std::vector<std::uint32_t>& sink) const {
  const Graph& graph = table_.graph;
  MinCut net(2);
  std::vector<std::uint32_t> vertex(source.size(), none);
  for (NodeId n = 0; n < source.size(); ++n) {
    if (source[n] == sink[n]) continue;
    vertex[n] = net.add_node();
    const double s = node_cost_[source[n]][n], t = node_cost_[sink[n]][n], least = std::min(s, t);
    if (t > least) net.add_edge(0, vertex[n], t - least);
    if (s > least) net.add_edge(vertex[n], 1, s - least);
  }
  struct Need {  // of one memory
    bool certain = false;
    std::vector<std::uint32_t> kept, moved;  // vertices that need it on the source side, on the sink side
  };
  std::vector<Need> need(memories_);
  for (ValueId v = 0; v < graph.values.size(); ++v) {
    const Value& value = graph.values[v];
    if (value.constant || (table_.readers[v].empty() && !value.is_output)) continue;
    const NodeId p = value.producer;
    const std::uint32_t pv = p == none ? none : vertex[p];
    const std::uint32_t home0 = p == none || source[p] == none ? 0 : memory_[source[p]], home1 = p == none || sink[p] == none ? 0 : memory_[sink[p]];
    for (Need& m : need) m.certain = false, m.kept.clear(), m.moved.clear();
    need[0].certain = value.is_output;
    std::size_t movable = 0;
    NodeId reader = none;
    for (NodeId r : table_.readers[v]) {
      if (source[r] == none) {
        need[0].certain |= table_.in.skip[r] && !graph.nodes[r].host_evaluated;
        continue;
      }
      const std::uint32_t m0 = memory_[source[r]], m1 = memory_[sink[r]];
      if (m0 == m1) {
        need[m0].certain = true;
        continue;
      }
      ++movable, reader = r;
      need[m0].kept.push_back(vertex[r]);
      need[m1].moved.push_back(vertex[r]);
    }
    // One reader and its producer, both free to move: all four costs are known, and they fit a cut.
    if (movable == 1 && pv != none) {
      const std::uint32_t m0 = memory_[source[reader]], m1 = memory_[sink[reader]];
      if (!need[m0].certain && !need[m1].certain) {
        const auto pay = [&](std::uint32_t home, std::uint32_t m) { return home == m ? 0 : copy(home, m, v); };
        const double both = pay(home0, m0), read = pay(home0, m1), made = pay(home1, m0), neither = pay(home1, m1);
        if (both + neither <= read + made) {
          add_pair(net, pv, vertex[reader], both, read, made, neither);
          need[m0].kept.clear(), need[m1].moved.clear();
        }
      }
    }
    for (std::uint32_t m = 0; m < memories_; ++m) {
      const Need& here = need[m];
      if (!here.certain && here.kept.empty() && here.moved.empty()) continue;
      const double c0 = home0 == m ? 0 : copy(home0, m, v), c1 = home1 == m ? 0 : copy(home1, m, v);
      if (here.certain) {
        if (pv != none && c1 > c0) net.add_edge(0, pv, c1 - c0);
        if (pv != none && c0 > c1) net.add_edge(pv, 1, c0 - c1);
        continue;
      }
      const double common = std::min(c0, c1);
      // On the source side while any reader that needs it there is; on the sink side likewise.
      if (!here.kept.empty() && (common > 0 || c1 > c0)) {
        const std::uint32_t z = net.add_node();
        for (std::uint32_t r : here.kept) net.add_edge(r, z, forbidden);
        if (common > 0) net.add_edge(z, 1, common);
        if (pv != none && c1 > c0) net.add_edge(z, pv, c1 - c0);
      }
      if (!here.moved.empty() && (common > 0 || c0 > c1)) {
        const std::uint32_t y = net.add_node();
        for (std::uint32_t r : here.moved) net.add_edge(y, r, forbidden);
        if (common > 0) net.add_edge(0, y, common);
        if (pv != none && c0 > c1) net.add_edge(pv, y, c0 - c1);
      }
    }
  }
  const std::vector<bool> side = net.solve();
  table_.count(net.steps());
  std::vector<std::uint32_t> out = source;
  for (NodeId n = 0; n < out.size(); ++n)
    if (vertex[n] != none && side[vertex[n]]) out[n] = sink[n];
  return out;
}

}  // namespace tenon
