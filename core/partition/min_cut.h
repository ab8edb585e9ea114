// Minimum s-t cut of a small directed graph (Dinic's algorithm).
// A value of its own; no locks.
#pragma once

#include <cstdint>
#include <vector>

namespace tenon {

class MinCut {
 public:
  // Nodes 0 and 1 are source and sink.
  explicit MinCut(std::uint32_t nodes) : first_(nodes, none_) {}
  std::uint32_t add_node() {
    first_.push_back(none_);
    return static_cast<std::uint32_t>(first_.size() - 1);
  }
  void add_edge(std::uint32_t from, std::uint32_t to, double capacity, double reverse = 0);
  // Side of each node: true for the sink's side.
  std::vector<bool> solve();

 private:
  static constexpr std::uint32_t none_ = 0xffffffffu;
  struct Edge {
    std::uint32_t to, next;
    double capacity;
  };
  bool levels();
  double push(std::uint32_t node, double limit);

  std::vector<Edge> edges_;
  std::vector<std::uint32_t> first_, level_, cursor_;
};

}  // namespace tenon
