// LearnedCosts: what claims really took, measured in runs and kept between processes; they take the place of estimates.
//
// One table a device, known by provider, version, fingerprint, device and number of workers; a table is a file of a FileCache
// (whole or not at all, of the user alone). A claim is known by its signature: operators, attributes, element types, and the
// sizes that estimates are made for; names do not count, so layers that are alike share one entry, and so do models. Without the
// sizes the signature names a family: what was measured of it at other sizes corrects the estimate of a claim that never was.
// Owned by a session while it loads, or by whoever learns. Threads: like any value.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/partition/claim.h"
#include "core/partition/query.h"

namespace tenon {

using CostKey = std::array<std::uint64_t, 2>;

struct LearnedCost {
  double ns = 0;              // of one execution of the whole claim
  std::uint32_t samples = 0;
  std::string operators;      // "Conv+Relu": for people
  std::uint64_t family = 0;   // the signature without sizes
  double bytes = 0, hint_ns = 0;  // Claim::bytes and hint_ns when it was measured
};

// What a computation takes by others of its family: `measured` by ascending bytes, at most sixteen times smaller or larger, else
// 0. Where the provider's hints grow with the sizes, they are scaled by what was wrong with them; where they do not, times
// follow bytes. Between two sizes on a straight line of logarithms.
double nearby_cost(std::span<const LearnedCost* const> measured, double bytes, double hint_ns);

class CostTable {
 public:
  static constexpr std::size_t most_entries = 100'000;

  const LearnedCost* find(const CostKey& key) const;
  // The newest measurement counts; a full table keeps what it has.
  void set(const CostKey& key, LearnedCost cost);
  const std::map<CostKey, LearnedCost>& entries() const { return entries_; }
  // One line an entry. Errors of parse: DATA_LOSS; nothing of such a text is used.
  std::string text() const;
  static Result<CostTable> parse(std::string_view text);

 private:
  std::map<CostKey, LearnedCost> entries_;
};

// The tables of a session's devices, in their order.
class LearnedCosts {
 public:
  explicit LearnedCosts(std::size_t devices) : tables_(devices) {}

  // Those kept in a folder. A folder that is not there, or not the user's alone, gives none; the latter goes to notes.
  static Result<LearnedCosts> load(const std::string& folder, const std::vector<SessionDevice>& devices, std::uint32_t workers,
                                   std::vector<std::string>& notes);
  // Adds these to what is kept. Errors: PERMISSION_DENIED; RESOURCE_EXHAUSTED where nothing can be written.
  Status store(const std::string& folder, const std::vector<SessionDevice>& devices, std::uint32_t workers) const;
  // Removes what is kept for these devices; gives the number of entries that were.
  static Result<std::uint64_t> forget(const std::string& folder, const std::vector<SessionDevice>& devices, std::uint32_t workers);

  // Replaces the estimates of claims whose cost is known. A claim of several nodes that was never measured as one counts what
  // its nodes took alone, where all of them are known; else what was measured of its family counts (nearby_cost).
  void apply(std::uint32_t device, const tenon_graph& graph, std::vector<Claim>& claims) const;
  void set(std::uint32_t device, const CostKey& key, LearnedCost cost) { tables_[device].set(key, std::move(cost)); }
  const CostTable& table(std::uint32_t device) const { return tables_[device]; }
  bool empty() const;

 private:
  std::vector<CostTable> tables_;
};

CostKey cost_key(const tenon_graph& graph, std::span<const NodeId> nodes);
std::uint64_t cost_family(const tenon_graph& graph, std::span<const NodeId> nodes);
// "Conv+Relu".
std::string cost_operators(const tenon_graph& graph, std::span<const NodeId> nodes);

}  // namespace tenon
