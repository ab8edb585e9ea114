// Groups: what runs as one under a choice of claims: a chosen claim, or a node that no part holds; and what waits for what.
//
// A group's level and segment are the least that its producers allow and in which its part has each operand once: in one memory,
// made inside or taken from outside. Groups that were bundled share both. Made by make_parts, which owns it; threads: no state
// outside the object.
#pragma once

#include <cstdint>
#include <vector>

#include "core/partition/claim_table.h"

namespace tenon {

class Groups {
 public:
  Groups(const ClaimTable& table, const std::vector<std::uint32_t>& chosen);

  struct Group {
    std::uint32_t claim = none;   // none: a host step, shape arithmetic, or what nobody claims
    std::uint32_t device = none;
    std::vector<NodeId> nodes;
    std::uint32_t level = 0, segment = 0;
    std::uint32_t base = 0;       // the level at which its segment begins for it
    std::uint32_t bundle = 0;     // groups of one bundle are levelled together
  };
  std::vector<Group> all;                       // by first node
  std::vector<std::uint32_t> of;                // per node: the group that makes its values for others
  std::vector<std::vector<std::uint32_t>> copies;  // per node: further groups that compute it for themselves; empty without any

  // Every group that computes the node: its own, then those of its copies.
  template <class F>
  void for_each_holder(NodeId n, F f) const {
    f(of[n]);
    if (!copies.empty())
      for (std::uint32_t g : copies[n]) f(g);
  }
  bool holds(std::uint32_t group, NodeId n) const;
  // The value is read by the group from outside.
  bool reads(std::uint32_t group, NodeId reader, ValueId v) const;
  // Whether the group wants the value in host memory; of a device whose memory that is, all are there.
  bool on_host(std::uint32_t group, ValueId v) const;

  struct Edge {
    std::uint32_t from, to;
    bool ends;   // a segment ends in between
    bool shape;  // shape arithmetic, done before a segment runs: orders nothing within it
    bool place;  // made in one memory and read in the other, so that a copy stands in between
  };
  std::vector<Edge> edges;  // by `to`

  // Gives levels and segments such that every edge is in order.
  void settle();
  // Per group: its place in an order in which all can run one by one.
  std::vector<std::uint32_t> ranks() const;

 private:
  // How a part has a value.
  enum Way : std::uint8_t { on_device = 1, in_host = 2, made_inside = 4, from_outside = 8 };
  class Operands;
  template <class F>
  void for_each_way(std::uint32_t group, F f) const;
  std::vector<std::uint32_t> sorted(const std::vector<std::uint32_t>& bundle_of, bool with_shapes) const;

  const ClaimTable& table_;
  std::vector<std::uint32_t> first_edge_;  // per group: into edges
  std::vector<bool> placed_;               // per value: a group wants it in host memory that others of its device may not; empty: none
};

}  // namespace tenon
