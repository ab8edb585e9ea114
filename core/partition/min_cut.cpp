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
    edges_[forward] = {a.to, backward, a.capacity, a.reverse};
    edges_[backward] = {a.from, forward, a.reverse, a.capacity};
  }
  added_.clear();
}

// Distances to the sink, as far as the source: what cannot reach the sink is never walked. Where there is no way any more, what
// the source still reaches gets a level instead.
bool MinCut::levels() {
  if (search(1, 0, [](const Edge& e) { return e.reverse; })) return true;
  search(0, none_, [](const Edge& e) { return e.capacity; });
  return false;
}

template <class Room>
bool MinCut::search(std::uint32_t from, std::uint32_t until, Room room) {
  level_.assign(nodes_, none_);
  queue_.assign(1, from);
  level_[from] = 0;
  for (std::size_t head = 0; head < queue_.size(); ++head) {
    const std::uint32_t n = queue_[head];
    if (n == until) return true;
    steps_ += first_[n + 1] - first_[n];
    for (std::uint32_t e = first_[n]; e < first_[n + 1]; ++e)
      if (level_[edges_[e].to] == none_ && room(edges_[e]) > tiny) {
        level_[edges_[e].to] = level_[n] + 1;
        queue_.push_back(edges_[e].to);
      }
  }
  return false;
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
      steps_ += path_.size();
      for (std::uint32_t e : path_) limit = std::min(limit, edges_[e].capacity);
      std::size_t narrowest = path_.size();
      for (std::size_t i = path_.size(); i-- > 0;) {
        Edge& e = edges_[path_[i]];
        Edge& other = edges_[e.back];
        e.capacity -= limit, other.reverse -= limit;
        e.reverse += limit, other.capacity += limit;
        if (e.capacity <= tiny) narrowest = i;
      }
      total += limit;
      node = edges_[edges_[path_[narrowest]].back].to;
      path_.resize(narrowest);
      continue;
    }
    bool advanced = false;
    ++steps_;
    for (std::uint32_t& e = cursor_[node]; e < first_[node + 1]; ++e)
      if (edges_[e].capacity > tiny && level_[edges_[e].to] == level_[node] - 1) {
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
