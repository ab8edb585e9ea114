// Capacity: what the chosen claims need of each memory against what it holds; what does not fit moves to other devices.
//
// A claim needs its weights, and once, for all claims of a device, the largest workspace. While a memory is too small, the claim
// whose going costs least per byte goes to its cheapest device with room; each node moves once. Used by one cover; no locks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/partition/claim_table.h"

namespace tenon {

class Capacity {
 public:
  // Changes chosen. Both must outlive the object.
  Capacity(const ClaimTable& table, std::vector<std::uint32_t>& chosen);
  void settle();
  const std::vector<Displaced>& displaced() const { return displaced_; }
  const std::string& shortage() const { return shortage_; }  // "" when all fits

 private:
  struct Memory {
    std::string uid;
    std::uint64_t limit = 0;  // 0: none
    std::uint64_t weights = 0;
    std::vector<std::uint64_t> workspaces;  // of its claims, unordered
    std::uint64_t needed() const;
    bool fits(std::uint64_t more_weights, std::uint64_t workspace) const;
  };
  struct Move {
    double price = infinite_cost;  // ns per byte
    std::uint32_t claim = none, device = none;
  };
  void add(std::uint32_t claim);
  void remove(std::uint32_t claim);
  void relieve(std::uint32_t memory);
  Move cheapest_move(std::uint32_t claim) const;
  double copies(std::uint32_t claim, std::uint32_t device) const;
  void carry_out(const Move& move);

  const ClaimTable& table_;
  std::vector<std::uint32_t>& chosen_;
  std::vector<Memory> memories_;
  std::vector<std::uint32_t> memory_;  // per device
  std::vector<bool> moved_;            // per node
  std::vector<Displaced> displaced_;
  std::string shortage_;
};

}  // namespace tenon
