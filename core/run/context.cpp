#include "core/run/context.h"

#include <algorithm>

#include "core/base/pages.h"
#include "core/provider/host.h"

namespace tenon {
namespace {

constexpr std::size_t max_bound = 16;  // plans that a context keeps addresses for

}  // namespace

tenon_address datum_address(Datum& datum) {
  if (datum.strings) return string_address(*datum.strings);
  return {datum.data, 0, datum.bytes};
}

BoundPlan::~BoundPlan() { unbind(); }

BoundPlan& BoundPlan::operator=(BoundPlan&& o) noexcept {
  if (this == &o) return *this;
  unbind();
  plan = std::move(o.plan);
  arena_version = o.arena_version;
  programs = std::move(o.programs);
  slots = std::move(o.slots);
  queues = std::move(o.queues);
  return *this;
}

void BoundPlan::unbind() {
  for (std::size_t p = 0; p < programs.size(); ++p)
    if (programs[p].binding) plan->programs[p].program->device->binding_destroy(std::exchange(programs[p].binding, nullptr));
}

std::uint64_t RunContext::arena_bytes() const {
  std::uint64_t bytes = 0;
  for (const Arena& a : arenas_)
    for (const Slab& s : a.slabs) bytes += s.bytes;
  return bytes;
}

const RunContext::Arena* RunContext::arena(const std::string& uid) const {
  for (const Arena& a : arenas_)
    if (a.uid == uid) return &a;
  return nullptr;
}

Status RunContext::allocate(Slab& slab, const Plan::Domain& domain, std::uint64_t bytes) {
  slab = {};
  if (!domain.device) {
    slab.memory = large_memory(bytes, std::max<std::uint64_t>(domain.alignment, 4096));
    if (!slab.memory) return error(TENON_RESOURCE_EXHAUSTED, "no memory for an arena of {} bytes", bytes);
    slab.address = {slab.memory.get(), 0, bytes};
  } else {
    TENON_ASSIGN(auto buffer, domain.device->alloc(domain.index, bytes, domain.alignment));
    slab.address = buffer->address();
    slab.memory = std::move(buffer);
  }
  slab.bytes = bytes;
  return {};
}

// REQUIRES idle queues: memory that they work with may move.
Status RunContext::grow(const Plan& plan) {
  for (const Plan::Domain& wanted : plan.domains) {
    Arena* have = const_cast<Arena*>(arena(wanted.uid));
    if (!have) have = &arenas_.emplace_back(Arena{wanted.uid, {}});
    if (have->slabs.size() < wanted.slabs.size()) have->slabs.resize(wanted.slabs.size());
    for (std::size_t s = 0; s < wanted.slabs.size(); ++s) {
      if (have->slabs[s].memory && have->slabs[s].bytes >= wanted.slabs[s]) continue;
      ++arena_version_;
      TENON_TRY(allocate(have->slabs[s], wanted, wanted.slabs[s]));
    }
  }
  return {};
}

const RunContext::Kept* RunContext::kept(ValueId v, const std::string& uid) const {
  for (const Kept& k : kept_)
    if (k.value == v && k.uid == uid) return &k;
  return nullptr;
}

RunContext::Kept& RunContext::kept_or_new(ValueId v, const std::string& uid) {
  for (Kept& k : kept_)
    if (k.value == v && k.uid == uid) return k;
  return kept_.emplace_back(Kept{v, uid, 0, nullptr, nullptr, nullptr});
}

const std::shared_ptr<DeviceBuffer>& RunContext::kept_buffer(ValueId v, const std::string& uid) const {
  const Kept& k = *kept(v, uid);
  return k.lent ? k.lent : k.now;
}

void RunContext::lend(const Resident& resident) { kept_or_new(resident.value, resident.memory.uid()).lent = resident.buffer; }

void RunContext::give_back_lent() {
  for (Kept& k : kept_) k.lent.reset();
}

Status RunContext::keep(const Plan& plan) {
  for (const Plan::Kept& wanted : plan.keeps) {
    const Plan::Domain& domain = plan.domains[wanted.domain];
    Kept& k = kept_or_new(wanted.value, domain.uid);
    if (k.alignment < domain.alignment) k.now.reset(), k.spare.reset();
    k.alignment = std::max(k.alignment, domain.alignment);
    if (k.now.use_count() > 1) std::swap(k.now, k.spare);
    if (k.now.use_count() == 1 && k.now->address().bytes >= wanted.bytes) continue;
    k.now.reset();  // before there is another
    TENON_SET(k.now, domain.device->alloc(domain.index, std::max<std::uint64_t>(wanted.bytes, 1), k.alignment));
  }
  return {};
}

tenon_address RunContext::address(const Plan& plan, const Storage& s) const {
  tenon_address out{nullptr, 0, 0};
  switch (s.kind) {
    case Storage::Kind::fixed: return {const_cast<std::byte*>(s.data), 0, s.bytes};
    case Storage::Kind::slot: return datum_address(const_cast<Datum&>(slots[s.value]));
    case Storage::Kind::resident: out = plan.residents[s.slab]->address(); break;
    case Storage::Kind::arena: {
      const Arena& at = *arena(plan.domains[s.domain].uid);
      if (s.slab < at.slabs.size()) out = at.slabs[s.slab].address;  // a buffer of no bytes may have no slab
      break;
    }
    case Storage::Kind::kept: out = kept_buffer(s.value, plan.domains[s.domain].uid)->address(); break;
    case Storage::Kind::absent: return out;
  }
  out.offset += s.offset;
  out.bytes = s.bytes;
  return out;
}

Status RunContext::fill(BoundPlan& bound) {
  const Plan& plan = *bound.plan;
  bound.unbind();
  bound.programs.resize(plan.programs.size());
  bound.slots.clear();
  bound.queues.clear();
  for (const DevicePtr& device : plan.queues) {
    TENON_ASSIGN(RunQueue * queue, queues_.of(device));
    bound.queues.push_back(queue);
  }
  for (std::uint32_t p = 0; p < plan.programs.size(); ++p) {
    const PlannedProgram& program = plan.programs[p];
    BoundProgram& out = bound.programs[p];
    out.addresses.resize(program.operands.size());
    for (std::uint32_t o = 0; o < program.operands.size(); ++o) {
      const Storage& s = program.operands[o];
      out.addresses[o] = address(plan, s);
      if (s.kind == Storage::Kind::slot || s.kind == Storage::Kind::kept) bound.slots.push_back({p, o, s.value, s.kind == Storage::Kind::kept});
    }
    const DevicePtr& device = program.program->device;
    if (device->has_bind() && program.handle)
      TENON_SET(out.binding, device->bind(program.handle, out.addresses.data(), out.addresses.size(),
                                          program.queue == none ? nullptr : bound.queues[program.queue]->stream));
  }
  bound.arena_version = arena_version_;
  return {};
}

void RunContext::forget(const std::shared_ptr<const Plan>& plan) {
  std::erase_if(bound_, [&](const auto& b) { return b->plan == plan; });
}

Status RunContext::update(BoundPlan& bound) {
  const Plan& plan = *bound.plan;
  for (std::size_t i = 0; i < bound.slots.size(); ++i) {
    const SlotUse& use = bound.slots[i];
    BoundProgram& program = bound.programs[use.program];
    tenon_address& at = program.addresses[use.operand];
    const tenon_address now = use.kept ? address(plan, plan.programs[use.program].operands[use.operand]) : datum_address(slots[use.value]);
    if (at.handle != now.handle || at.offset != now.offset || at.bytes != now.bytes) {
      at = now;
      if (program.binding) moved_.push_back(use.operand), moved_to_.push_back(now);
    }
    if (moved_.empty() || (i + 1 < bound.slots.size() && bound.slots[i + 1].program == use.program)) continue;
    Status told = plan.programs[use.program].program->device->binding_update(program.binding, moved_.data(), moved_to_.data(), moved_.size());
    moved_.clear();
    moved_to_.clear();
    if (!told.ok()) bound.arena_version = ~0ull;  // what the binding knows now is not known: it is made anew
    TENON_TRY(std::move(told));
  }
  return {};
}

Result<BoundPlan*> RunContext::bind(const std::shared_ptr<const Plan>& plan) {
  auto it = std::find_if(bound_.begin(), bound_.end(), [&](const auto& b) { return b->plan == plan; });
  bool fresh = it == bound_.end();
  if (fresh) {
    TENON_TRY(grow(*plan));
    auto made = std::make_unique<BoundPlan>();
    made->plan = plan;
    TENON_TRY(fill(*made));
    bound_.insert(bound_.begin(), std::move(made));
    if (bound_.size() > max_bound) bound_.pop_back();
    return bound_.front().get();
  }
  std::rotate(bound_.begin(), it, it + 1);
  BoundPlan& bound = *bound_.front();
  if (bound.arena_version != arena_version_) {
    TENON_TRY(grow(*plan));  // an arena that failed to grow for another plan is gone
    TENON_TRY(fill(bound));
    return &bound;
  }
  TENON_TRY(update(bound));
  return &bound;
}

Status RunContext::size_slot(ValueId v, DType dtype, const std::int64_t* dims, std::size_t rank) {
  Datum& d = slots[v];
  TENON_ASSIGN(const std::int64_t count, element_count(dims, rank).get("a tensor of shape " + dims_text(dims, rank)));
  if (dtype == TENON_DTYPE_STRING) {
    if (!d.strings || d.strings.use_count() > 1) d.strings = std::make_shared<std::vector<std::string>>();
    d.strings->assign(static_cast<std::size_t>(count), {});
    d.data = nullptr;
    d.bytes = static_cast<std::uint64_t>(count);
  } else {
    TENON_ASSIGN(const std::int64_t bytes, dtype_bytes(dtype, count).get("a tensor of shape " + dims_text(dims, rank)));
    if (!d.keep || d.keep.use_count() > 1 || d.bytes < static_cast<std::uint64_t>(bytes)) {
      TENON_SET(d, Datum::tensor(dtype, Dims(dims, dims + rank)));
    }
    // A slot keeps its capacity: bytes may be more than these dims need.
    d.strings.reset();
  }
  d.kind = TENON_KIND_TENSOR;
  d.dtype = dtype;
  d.dims.assign(dims, dims + rank);
  d.items.clear();
  return {};
}

}  // namespace tenon
