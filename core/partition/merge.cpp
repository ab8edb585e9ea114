#include "core/partition/merge.h"

#include <algorithm>
#include <array>
#include <map>

namespace tenon {
namespace {

constexpr std::size_t visit_limit = 4096;  // parts looked at for one merger
constexpr std::size_t look_ahead = 4;      // later parts that one part is tried with

// Parts, host steps and whatever else runs in between, as vertices.
class Quotient {
 public:
  Quotient(const ClaimTable& table, Groups& groups) : table_(table), groups_(groups) {
    std::map<std::array<std::uint32_t, 3>, std::uint32_t> index;  // segment, level, device
    for (std::uint32_t g = 0; g < groups.all.size(); ++g) {
      const Groups::Group& group = groups.all[g];
      std::uint32_t v = static_cast<std::uint32_t>(vertices_.size());
      if (group.claim != none) v = index.emplace(std::array{group.segment, group.level, group.device}, v).first->second;
      if (v == vertices_.size()) vertices_.push_back({group.device, group.segment, group.level, {}, {}, true});
      vertices_[v].groups.push_back(g);
      // What has operands in host memory or computes for itself what others take from elsewhere stays where it was set apart.
      const auto shared = [&](NodeId n) { return !groups.copies.empty() && !groups.copies[n].empty(); };
      vertices_[v].movable &= group.claim != none && table_.claim(group.claim).rules.empty() && std::none_of(group.nodes.begin(), group.nodes.end(), shared);
      vertex_.push_back(v);
    }
    for (const Groups::Edge& e : groups.edges)
      if (vertex_[e.from] != vertex_[e.to] && !e.shape) vertices_[vertex_[e.from]].next.push_back(vertex_[e.to]);
    for (Vertex& v : vertices_) {
      std::sort(v.next.begin(), v.next.end());
      v.next.erase(std::unique(v.next.begin(), v.next.end()), v.next.end());
    }
    for (std::uint32_t v = 0; v < vertices_.size(); ++v) now_.push_back(v);
    seen_.assign(vertices_.size(), 0);
    for (auto& [key, v] : index)
      if (vertices_[v].movable && table_.in.devices[key[2]].launch_ns > 0) lists_[{key[0], key[2]}].push_back(v);
  }

  bool merge() {
    bool any = false;
    for (auto& [key, parts] : lists_)
      for (std::size_t i = 0; i + 1 < parts.size(); ++i)
        for (std::size_t j = i + 1; j < std::min(parts.size(), i + 1 + look_ahead); ++j) {
          const std::uint32_t a = find(parts[i]), b = find(parts[j]);
          if (a == b || path_between(a, b)) continue;
          join(a, b);
          any = true;
        }
    if (!any) return false;
    for (std::uint32_t v = 0; v < vertices_.size(); ++v)
      if (now_[v] == v && vertices_[v].claimed())
        for (std::uint32_t g : vertices_[v].groups) groups_.all[g].bundle = vertices_[v].groups.front();
    return true;
  }

 private:
  struct Vertex {
    std::uint32_t device, segment, level;
    std::vector<std::uint32_t> groups, next;
    bool movable;
    bool claimed() const { return device != none; }
  };
  std::uint32_t find(std::uint32_t v) {
    while (now_[v] != v) v = now_[v] = now_[now_[v]];
    return v;
  }
  // In either direction, through others; what was not found within the limit counts as found.
  bool path_between(std::uint32_t a, std::uint32_t b) { return path(a, b) || path(b, a); }
  bool path(std::uint32_t from, std::uint32_t to) {
    ++mark_;
    std::vector<std::uint32_t> open{from};
    seen_[from] = mark_;
    for (std::size_t head = 0; head < open.size(); ++head) {
      if (open.size() > visit_limit) return true;
      table_.count(vertices_[open[head]].next.size());
      for (std::uint32_t raw : vertices_[open[head]].next) {
        const std::uint32_t n = find(raw);
        if (n == to) {
          if (open[head] != from) return true;
          continue;
        }
        if (seen_[n] != mark_) seen_[n] = mark_, open.push_back(n);
      }
    }
    return false;
  }
  void join(std::uint32_t a, std::uint32_t b) {
    now_[b] = a;
    Vertex &to = vertices_[a], &from = vertices_[b];
    to.groups.insert(to.groups.end(), from.groups.begin(), from.groups.end());
    to.next.insert(to.next.end(), from.next.begin(), from.next.end());
  }

  const ClaimTable& table_;
  Groups& groups_;
  std::vector<Vertex> vertices_;
  std::vector<std::uint32_t> vertex_;  // per group
  std::vector<std::uint32_t> now_;     // per vertex: the one it was joined into
  std::vector<std::uint32_t> seen_;
  std::uint32_t mark_ = 0;
  std::map<std::array<std::uint32_t, 2>, std::vector<std::uint32_t>> lists_;  // by segment and device: parts by level
};

}  // namespace

bool merge_parts(const ClaimTable& table, Groups& groups) {
  if (std::none_of(table.in.devices.begin(), table.in.devices.end(), [](const DeviceModel& d) { return d.launch_ns > 0; })) return false;
  return Quotient(table, groups).merge();
}

}  // namespace tenon
