#include "core/plan/memory.h"

#include <algorithm>

#include "core/plan/arena.h"

namespace tenon {

std::uint64_t value_bytes(const Graph& graph, const ShapeTable& shapes, ValueId v) {
  if (!shapes.complete(v)) return 0;
  const Checked bytes = dtype_bytes(graph.values[v].type.dtype, element_count(shapes.values[v].dims));
  return bytes.valid() ? static_cast<std::uint64_t>(bytes.value()) : 0;
}

namespace {

Status too_large(const std::string& what, std::uint64_t bytes, const Plan::Domain& domain, std::uint64_t largest) {
  return error(TENON_RESOURCE_EXHAUSTED, "{} of {} bytes is larger than the largest buffer of memory \"{}\", {} bytes", what, bytes, domain.uid, largest);
}

}  // namespace

std::uint32_t PlanMemory::domain_of(const DevicePtr& device, std::uint32_t index) {
  const DomainInfo& info = device->info().domains[index];
  if (info.host()) return 0;
  for (std::uint32_t d = 1; d < plan_.domains.size(); ++d) {
    Plan::Domain& known = plan_.domains[d];
    if (known.uid != info.uid) continue;
    known.alignment = std::max(known.alignment, info.base_align);
    return d;
  }
  plan_.domains.push_back({info.uid, device, index, std::max<std::uint64_t>(info.base_align, 64), {}});
  return static_cast<std::uint32_t>(plan_.domains.size() - 1);
}

MemoryPlace& PlanMemory::place(ValueId v, std::uint32_t domain) {
  const auto [at, fresh] = places_.try_emplace({v, domain});
  if (fresh) at->second.domain = domain;
  return at->second;
}

bool PlanMemory::exists(ValueId v, std::uint32_t domain) const {
  const auto it = places_.find({v, domain});
  return it != places_.end() && it->second.kind != Storage::Kind::absent;
}

void PlanMemory::make_arena(MemoryPlace& place, std::uint64_t bytes, std::uint64_t alignment, ValueId what) {
  Buffer b;
  b.domain = place.domain;
  b.bytes = bytes;
  b.alignment = std::max(alignment != 0 ? alignment : plan_.domains[place.domain].alignment, std::uint64_t{64});
  b.what = what;
  b.root = static_cast<std::uint32_t>(buffers_.size());
  place.kind = Storage::Kind::arena;
  place.buffer = b.root;
  buffers_.push_back(b);
}

void PlanMemory::touch(const MemoryPlace& place, std::uint32_t time) {
  if (place.kind != Storage::Kind::arena) return;
  Buffer& b = buffers_[place.buffer];
  b.first = std::min(b.first, time);
  b.last = std::max(b.last, time);
}

std::uint32_t PlanMemory::root(std::uint32_t b) const {
  while (buffers_[b].root != b) b = buffers_[b].root;
  return b;
}

// A write takes over the memory of a read that ends there.
void PlanMemory::share() {
  std::stable_sort(shares_.begin(), shares_.end(), [](const Share& a, const Share& b) { return a.time < b.time; });
  for (const Share& s : shares_) {
    if (s.read.kind != Storage::Kind::arena || s.write.kind != Storage::Kind::arena) continue;
    Buffer &r = buffers_[s.read.buffer], &w = buffers_[s.write.buffer];
    const std::uint32_t top = root(s.read.buffer);
    Buffer& shared = buffers_[top];
    const bool ends = r.last == s.time && w.first == s.time && r.domain == w.domain && w.bytes <= shared.bytes && w.root == s.write.buffer;
    if (!ends || top == s.write.buffer || shared.last > s.time) continue;  // the last: another alias goes on
    shared.last = std::max(shared.last, w.last);
    shared.alignment = std::max(shared.alignment, w.alignment);
    w.root = top;
  }
}

// Of a domain that several devices name, what all of them can allocate is not known: the owner's bound holds.
std::uint64_t PlanMemory::max_alloc(const Plan::Domain& domain) const {
  return domain.device ? domain.device->info().domains[domain.index].max_alloc : 0;
}

Status PlanMemory::lay_out(const Limits& limits) {
  share();
  for (std::uint32_t d = 0; d < plan_.domains.size(); ++d) TENON_TRY(lay_out_domain(d, limits));
  laid_out_ = true;
  return copy_residents();
}

Status PlanMemory::lay_out_domain(std::uint32_t d, const Limits& limits) {
  Plan::Domain& domain = plan_.domains[d];
  const std::uint64_t largest = max_alloc(domain);
  std::vector<ArenaBuffer> list;
  std::vector<std::uint32_t> index;
  for (std::uint32_t b = 0; b < buffers_.size(); ++b) {
    const Buffer& buffer = buffers_[b];
    if (buffer.domain != d || buffer.root != b || buffer.first == ~0u) continue;
    if (largest != 0 && buffer.bytes > largest)
      return too_large(buffer.what == none ? "an intermediate value or workspace" : "value \"" + graph_.values[buffer.what].name + "\"", buffer.bytes,
                       domain, largest);
    domain.alignment = std::max(domain.alignment, buffer.alignment);
    list.push_back({buffer.bytes, buffer.alignment, buffer.first, buffer.last, 0, 0});
    index.push_back(b);
  }
  TENON_SET(domain.slabs, tenon::lay_out(list, largest));
  for (std::size_t i = 0; i < index.size(); ++i) buffers_[index[i]].slab = list[i].slab, buffers_[index[i]].offset = list[i].offset;
  std::uint64_t bytes = domain.bytes();
  for (const auto& [key, place] : places_) {
    if (place.kind != Storage::Kind::kept || place.domain != d || key.second != d) continue;
    const std::uint64_t kept = value_bytes(graph_, plan_.shapes, key.first);
    if (largest != 0 && kept > largest) return too_large("value \"" + graph_.values[key.first].name + "\"", kept, domain, largest);
    bytes += kept;
  }
  if (bytes > limits.memory)
    return error(TENON_RESOURCE_EXHAUSTED, "one run needs {} bytes of memory \"{}\", over limits.memory = {}", bytes, domain.uid, limits.memory);
  const std::uint64_t bound = domain.device && domain.index == 0 ? domain.device->info().memory_limit : 0;
  if (bound != 0 && bytes > bound)
    return error(TENON_RESOURCE_EXHAUSTED, "one run needs {} bytes of memory \"{}\"; device \"{}\" gives a session {}", bytes, domain.uid,
                 domain.device->info().name, bound);
  return {};
}

// Evaluated values that programs read in a memory of their own: there from now on, for all runs of this plan.
Status PlanMemory::copy_residents() {
  for (std::uint32_t d = 1; d < plan_.domains.size(); ++d) {
    const Plan::Domain& domain = plan_.domains[d];
    std::vector<ArenaBuffer> list;
    std::vector<ValueId> values;
    for (const auto& [key, place] : places_) {
      if (place.kind != Storage::Kind::resident || place.domain != d) continue;
      list.push_back({std::max<std::uint64_t>(plan_.shapes.values[key.first].known->bytes, 1), domain.alignment, 0, 0, 0, 0});
      values.push_back(key.first);
    }
    if (values.empty()) continue;
    TENON_ASSIGN(const std::vector<std::uint64_t> slabs, tenon::lay_out(list, max_alloc(domain)));
    const int route = domain.device->route(TENON_ROUTE_HOST, domain.index);
    if (route < 0) return internal("device \"{}\" has no route from the host", domain.device->info().name);
    const auto first = static_cast<std::uint32_t>(plan_.residents.size());
    for (std::uint64_t bytes : slabs) {
      TENON_ASSIGN(auto buffer, domain.device->alloc(domain.index, bytes, domain.alignment));
      plan_.residents.push_back(std::move(buffer));
    }
    for (std::size_t i = 0; i < values.size(); ++i) {
      TENON_ASSIGN(const ConstantPtr known, with_bytes(plan_.shapes.values[values[i]].known));
      residents_[{values[i], d}] = {first + list[i].slab, list[i].offset};
      tenon_address to = plan_.residents[first + list[i].slab]->address();
      to.offset += list[i].offset;
      to.bytes = known->bytes;
      const tenon_address from{const_cast<std::byte*>(known->data), 0, known->bytes};
      if (known->bytes) TENON_TRY(domain.device->copy(static_cast<std::uint32_t>(route), nullptr, to, from, known->bytes));
    }
  }
  return {};
}

Storage PlanMemory::storage(const MemoryPlace& place, ValueId v) {
  Storage s;
  s.kind = place.kind;
  s.domain = place.domain;
  s.value = v;
  switch (place.kind) {
    case Storage::Kind::arena: {
      const Buffer& at = buffers_[root(place.buffer)];
      s.slab = at.slab;
      s.offset = at.offset;
      s.bytes = buffers_[place.buffer].bytes;
      break;
    }
    case Storage::Kind::fixed: {
      const ConstantPtr& known = plan_.shapes.values[v].known;
      plan_.keep.push_back(known);
      s.data = known->data;
      s.bytes = known->bytes;
      break;
    }
    case Storage::Kind::resident: {
      const auto& [buffer, offset] = residents_.at({v, place.domain});
      s.slab = buffer;
      s.offset = offset;
      s.bytes = plan_.shapes.values[v].known->bytes;
      break;
    }
    default:
      if (v != none) s.bytes = value_bytes(graph_, plan_.shapes, v);
  }
  return s;
}

void PlanMemory::trace(PlanTrace& out) const {
  for (std::uint32_t b = 0; b < buffers_.size(); ++b)
    if (const Buffer& at = buffers_[b]; at.root == b && at.first != ~0u) out.spans.push_back({at.what, at.domain, at.bytes, at.first, at.last});
}

Region PlanMemory::region(const MemoryPlace& place, ValueId v, bool write) const {
  constexpr std::uint64_t keeps = 1ull << 61, buffers = 1ull << 62, slots = 1ull << 63;
  switch (place.kind) {
    case Storage::Kind::arena: {
      const std::uint32_t top = root(place.buffer);
      if (!laid_out_) return {buffers | top, 0, 1, write};
      const Buffer& at = buffers_[top];
      return {std::uint64_t{at.domain} << 32 | at.slab, at.offset, at.offset + buffers_[place.buffer].bytes, write};
    }
    case Storage::Kind::slot: return {slots | v, 0, 1, write};
    case Storage::Kind::kept: return {keeps | std::uint64_t{place.domain} << 32 | v, 0, 1, write};
    default: return {};  // never written
  }
}

}  // namespace tenon
