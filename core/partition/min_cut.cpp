#include "core/partition/min_cut.h"

#include <algorithm>

namespace tenon {
namespace {
constexpr double tiny = 1e-9;  // below this a residual capacity counts as used up
}

void MinCut::add_edge(std::uint32_t from, std::uint32_t to, double capacity, double reverse) {
  edges_.push_back({to, first_[from], capacity});
  first_[from] = static_cast<std::uint32_t>(edges_.size() - 1);
  edges_.push_back({from, first_[to], reverse});
  first_[to] = static_cast<std::uint32_t>(edges_.size() - 1);
}

bool MinCut::levels() {
  level_.assign(first_.size(), none_);
  std::vector<std::uint32_t> queue{0};
  level_[0] = 0;
  for (std::size_t head = 0; head < queue.size(); ++head)
    for (std::uint32_t e = first_[queue[head]]; e != none_; e = edges_[e].next)
      if (edges_[e].capacity > tiny && level_[edges_[e].to] == none_) {
        level_[edges_[e].to] = level_[queue[head]] + 1;
        queue.push_back(edges_[e].to);
      }
  return level_[1] != none_;
}

// One augmenting path at a time, kept on an explicit stack: models may be tens of thousands of nodes deep.
double MinCut::push(std::uint32_t node, double limit) {
  std::vector<std::uint32_t> path;  // edges
  while (node != 1) {
    bool advanced = false;
    for (std::uint32_t& e = cursor_[node]; e != none_; e = edges_[e].next)
      if (edges_[e].capacity > tiny && level_[edges_[e].to] == level_[node] + 1) {
        path.push_back(e);
        node = edges_[e].to;
        advanced = true;
        break;
      }
    if (advanced) continue;
    if (path.empty()) return 0;
    level_[node] = none_;  // dead end
    node = edges_[path.back() ^ 1].to;
    path.pop_back();
  }
  for (std::uint32_t e : path) limit = std::min(limit, edges_[e].capacity);
  for (std::uint32_t e : path) {
    edges_[e].capacity -= limit;
    edges_[e ^ 1].capacity += limit;
  }
  return limit;
}

std::vector<bool> MinCut::solve() {
  while (levels()) {
    cursor_ = first_;
    while (push(0, 1e300) > 0) {
    }
  }
  std::vector<bool> sink(first_.size());
  for (std::size_t i = 0; i < first_.size(); ++i) sink[i] = level_[i] == none_;
  return sink;
}

}  // namespace tenon
