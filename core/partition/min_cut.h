// Minimum s-t cut of a small directed graph (Dinic's algorithm).
// A value of its own; no locks.
#pragma once

#include <cstdint>
#include <vector>

namespace tenon {

class MinCut {
 public:
  // Nodes 0 and 1 are source and sink.
  explicit MinCut(std::uint32_t nodes) : nodes_(nodes) {}
  std::uint32_t add_node() { return nodes_++; }
  void add_edge(std::uint32_t from, std::uint32_t to, double capacity, double reverse = 0) { added_.push_back({from, to, capacity, reverse}); }
  // Side of each node: true for the sink's side. Called once.
  std::vector<bool> solve();
  // Edges looked at by solve.
  std::uint64_t steps() const { return steps_; }

 private:
  static constexpr std::uint32_t none_ = 0xffffffffu;
  struct Added {
    std::uint32_t from, to;
    double capacity, reverse;
  };
  struct Edge {
    std::uint32_t to, back;  // back: the edge in the other direction
    double capacity, reverse;  // left in this direction and in the other
  };
  void sort();
  bool levels();
  template <class Room>
  bool search(std::uint32_t from, std::uint32_t until, Room room);
  double push();

  std::uint32_t nodes_;
  std::uint64_t steps_ = 0;
  std::vector<Added> added_;
  std::vector<Edge> edges_;           // by the node they leave
  std::vector<std::uint32_t> first_;  // per node: its first edge; one more at the end
  std::vector<std::uint32_t> level_, cursor_, queue_, path_;
};

}  // namespace tenon
