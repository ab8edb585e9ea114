// PlanMemory: where values and temps of one segment live while its plan is made: domains, places, lifetimes, offsets.
//
// Domains are told apart by uid, whichever device names them. Owned by one planner; no locks.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/base/limits.h"
#include "core/plan/plan.h"
#include "core/plan/trace.h"

namespace tenon {

// One place of a value or a temp; a value may have one in each domain.
struct MemoryPlace {
  Storage::Kind kind = Storage::Kind::absent;
  std::uint32_t domain = 0;
  std::uint32_t buffer = none;  // arena
};

// What an item does to memory. Two regions meet where their space is the same and [begin, end) overlap.
struct Region {
  std::uint64_t space = 0, begin = 0, end = 0;
  bool write = false;
};

class PlanMemory {
 public:
  PlanMemory(Plan& plan, const Graph& graph) : plan_(plan), graph_(graph) { plan_.domains.emplace_back(); }

  // The plan's domain for one of a device's.
  std::uint32_t domain_of(const DevicePtr& device, std::uint32_t index = 0);
  // The value's place in a domain, absent at first; stays valid. In memory that the host reads where it is, the place in the
  // host's domain names that one.
  MemoryPlace& place(ValueId v, std::uint32_t domain);
  bool exists(ValueId v, std::uint32_t domain) const;
  // The processor reads it at its addresses.
  bool host_readable(std::uint32_t domain) const {
    const Plan::Domain& d = plan_.domains[domain];
    return !d.device || d.device->info().domains[d.index].kind != TENON_DOMAIN_DEVICE;
  }
  // Gives it memory of the arena. what: names it in errors; none for temps. alignment 0: the domain's.
  void make_arena(MemoryPlace& place, std::uint64_t bytes, std::uint64_t alignment, ValueId what = none);
  // It is used at this time.
  void touch(const MemoryPlace& place, std::uint32_t time);
  // A step at this time may write where it reads; taken or not once all lifetimes are known.
  void may_share(const MemoryPlace& read, const MemoryPlace& write, std::uint32_t time) { shares_.push_back({read, write, time}); }

  // Decides what is shared, then every offset. Errors: RESOURCE_EXHAUSTED over the limits of configuration, device or
  // domain, naming what does not fit.
  Status lay_out(const Limits& limits);
  // Final once laid out.
  Storage storage(const MemoryPlace& place, ValueId v);
  // What a use of this place touches; exact once laid out, before that all of a buffer.
  Region region(const MemoryPlace& place, ValueId v, bool write) const;
  // The buffers of all arenas with their lifetimes.
  void trace(PlanTrace& out) const;
  // All places that were asked for, by value and domain.
  const std::map<std::pair<ValueId, std::uint32_t>, MemoryPlace>& places() const { return places_; }

 private:
  struct Buffer {
    std::uint32_t domain = 0;
    std::uint64_t bytes = 0, alignment = 64;
    ValueId what = none;
    std::uint32_t first = ~0u, last = 0;
    std::uint32_t root = 0;  // the buffer whose memory it shares
    std::uint32_t slab = 0;
    std::uint64_t offset = 0;
  };
  struct Share {
    MemoryPlace read, write;
    std::uint32_t time;
  };
  std::uint32_t root(std::uint32_t b) const;
  void share();
  Status lay_out_domain(std::uint32_t domain, const Limits& limits);
  Status copy_residents();
  std::uint64_t max_alloc(const Plan::Domain& domain) const;

  Plan& plan_;
  const Graph& graph_;
  std::map<std::pair<ValueId, std::uint32_t>, MemoryPlace> places_;
  std::vector<Buffer> buffers_;
  std::vector<Share> shares_;
  std::map<std::pair<ValueId, std::uint32_t>, std::pair<std::uint32_t, std::uint64_t>> residents_;  // buffer and offset
  bool laid_out_ = false;
};

// Bytes of a tensor at the sizes of this table; 0 where they are not known.
std::uint64_t value_bytes(const Graph& graph, const ShapeTable& shapes, ValueId v);

}  // namespace tenon
