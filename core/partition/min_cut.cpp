#include "core/partition/min_cut.h"

#include <algorithm>

namespace tenon {
namespace {
constexpr double tiny = 1e-9;  // below this a residual capacity counts as used up
}

// The edges of a node stand beside each other: a search reads memory in order.
void MinCut::sort() {
  first_.assign(nodes_ + 1, 0);
  for (const Added& a : added_) ++first_[a.from + 1], ++first_[a.to + 1];
  for (std::uint32_t n = 0; n < nodes_; ++n) first_[n + 1] += first_[n];
  edges_.resize(2 * added_.size());
  std::vector<std::uint32_t> next(first_.begin(), first_.end() - 1);
  for (const Added& a : added_) {
    const std::uint32_t forward = next[a.from]++, backward = next[a.to]++;
    edges_[forward] = {a.to, backward, a.capacity};
    edges_[backward] = {a.from, forward, a.reverse};
  }
  added_.clear();
}

// Distances from the source, as far as the sink.
bool MinCut::levels() {
  level_.assign(nodes_, none_);
  queue_.assign(1, 0);
  level_[0] = 0;
  for (std::size_t head = 0; head < queue_.size() && level_[1] == none_; ++head) {
    const std::uint32_t n = queue_[head];
    for (std::uint32_t e = first_[n]; e < first_[n + 1]; ++e)
      if (edges_[e].capacity > tiny && level_[edges_[e].to] == none_) {
        level_[edges_[e].to] = level_[n] + 1;
        queue_.push_back(edges_[e].to);
      }
  }
  return level_[1] != none_;
}

// One augmenting path at a time, kept on an explicit stack: models may be tens of thousands of nodes deep. The next path begins
// where this one was narrowest.
double MinCut::push() {
  double total = 0;
  std::uint32_t node = 0;
  path_.clear();
  for (;;) {
    if (node == 1) {
      double limit = 1e300;
      for (std::uint32_t e : path_) limit = std::min(limit, edges_[e].capacity);
      std::size_t narrowest = path_.size();
      for (std::size_t i = path_.size(); i-- > 0;) {
        Edge& e = edges_[path_[i]];
        e.capacity -= limit;
        edges_[e.back].capacity += limit;
        if (e.capacity <= tiny) narrowest = i;
      }
      total += limit;
      node = edges_[edges_[path_[narrowest]].back].to;
      path_.resize(narrowest);
      continue;
    }
    bool advanced = false;
    for (std::uint32_t& e = cursor_[node]; e < first_[node + 1]; ++e)
      if (edges_[e].capacity > tiny && level_[edges_[e].to] == level_[node] + 1) {
        path_.push_back(e);
        node = edges_[e].to;
        advanced = true;
        break;
      }
    if (advanced) continue;
    if (path_.empty()) return total;
    level_[node] = none_;  // dead end
    node = edges_[edges_[path_.back()].back].to;
    path_.pop_back();
  }
}

std::vector<bool> MinCut::solve() {
  sort();
  while (levels()) {
    cursor_.assign(first_.begin(), first_.end() - 1);
    if (push() <= 0) break;
  }
  std::vector<bool> sink(nodes_);
  for (std::uint32_t n = 0; n < nodes_; ++n) sink[n] = level_[n] == none_;
  return sink;
}

}  // namespace tenon
