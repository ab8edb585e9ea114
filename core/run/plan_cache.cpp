// The caches of a block: plans by signature, contexts by use.
#include <algorithm>
#include <atomic>
#include <cstring>

#include "core/base/log.h"
#include "core/ops/evaluator.h"
#include "core/run/block.h"

namespace tenon {
namespace {

constexpr std::size_t cached_plans = 64;

std::uint64_t hash_of(const std::vector<std::int64_t>& key) {
  std::uint64_t h = 0x9e3779b97f4a7c15ull;
  for (std::int64_t k : key) h = (h ^ static_cast<std::uint64_t>(k)) * 0xff51afd7ed558ccdull, h ^= h >> 32;
  return h;
}

}  // namespace

Result<ConstantPtr> known_elements(const Datum& datum) {
  std::byte* data = nullptr;
  TENON_ASSIGN(auto c, make_constant(datum.dtype, datum.dims, &data));
  if (c->bytes) std::memcpy(data, datum.data, c->bytes);
  return ConstantPtr(std::move(c));
}

std::shared_ptr<const Plan> Block::cached(const std::vector<std::int64_t>& key, std::uint64_t hash) const {
  std::lock_guard lock(cache_mutex_);
  const auto [begin, end] = index_.equal_range(hash);
  for (auto it = begin; it != end; ++it) {
    if (it->second->key != key) continue;
    cache_.splice(cache_.begin(), cache_, it->second);
    ++cache_.front().uses;
    return cache_.front().plan;
  }
  return nullptr;
}

Result<std::shared_ptr<const Plan>> Block::plan(const std::vector<std::int64_t>& key, std::uint32_t segment, const Plan* parent,
                                                RunContext& context, std::span<const Datum* const> feeds) const {
  const std::uint64_t hash = hash_of(key);
  const bool alone = context.residents.empty();
  if (alone && context.box && segment == 0 && context.box->at(feeds)) return std::shared_ptr<const Plan>(context.box->plan());
  if (auto found = cached(key, hash)) return found;
  if (alone && segment == 0 && segments_ == 1)
    if (auto box = boxed(context, feeds)) return box;
  TENON_ASSIGN(const Turn::Hold turn, plan_turn_.take());
  if (auto found = cached(key, hash)) return found;  // made while we waited
  TENON_ASSIGN(std::shared_ptr<const Plan> made, make(segment, parent, context));
  std::lock_guard lock(cache_mutex_);
  cache_.push_front({key, made, 1});
  index_.emplace(hash, cache_.begin());
  if (cache_.size() > cached_plans) {
    // A plan that was used once never drives out one that was used again.
    auto victim = std::prev(cache_.end());
    for (auto it = std::prev(cache_.end()); it != cache_.begin(); --it)
      if (it->uses == 1) {
        victim = it;
        break;
      }
    const auto [begin, end] = index_.equal_range(hash_of(victim->key));
    for (auto it = begin; it != end; ++it)
      if (it->second == victim) {
        index_.erase(it);
        break;
      }
    cache_.erase(victim);
  }
  return made;
}

PlanInput Block::plan_input() const {
  PlanInput input;
  input.graph = &graph_;
  input.cover = &placement_.cover;
  input.programs = &programs_;
  input.items = &items_;
  input.host_read = &placement_.host_read;
  input.readers = &readers_;
  input.inference = inference_.get();
  input.segment_count = segments_;
  input.max_workers = environment_.max_workers;
  input.limits = environment_.config->limits;
  input.load = plan_task_.get();
  input.body_reads = &body_reads_;
  return input;
}

Result<std::shared_ptr<const Plan>> Block::make(std::uint32_t segment, const Plan* parent, RunContext& context) const {
  ShapeTable shapes = parent ? parent->shapes : *constants_;
  const auto take = [&](ValueId v, bool elements) -> Status {
    const Datum& d = context.slots[v];
    ShapeTable::Entry& e = shapes.values[v];
    if (d.kind != TENON_KIND_TENSOR) return {};
    e.dims = d.dims;
    e.ranked = true;
    if (elements && !d.strings && d.count() <= small_elements * 4) TENON_SET(e.known, known_elements(d));
    return {};
  };
  if (!parent)
    for (std::size_t i = 0; i < feeds_.size(); ++i) TENON_TRY(take(feeds_[i], known_feed_[i]));
  else
    for (ValueId v : parent->open) TENON_TRY(take(v, false));
  if (parent)
    for (ValueId v : parent->fetched) TENON_TRY(take(v, true));
  PlanInput input = plan_input();
  input.refused = &context.refused;
  input.parent = parent;
  input.residents = context.residents;
  TENON_ASSIGN(std::unique_ptr<Plan> made, make_plan(input, segment, std::move(shapes)));
  made->serial = ++plans_made_;
  log_debug("plan", "{}plan {} of segment {}: {} items", path_.empty() ? "" : path_ + ": ", made->serial, segment, made->items.size());
  if (log_enabled("plan", TENON_LOG_TRACE)) log_write("plan", TENON_LOG_TRACE, tenon::plan_text(*made, graph_));
  return std::shared_ptr<const Plan>(std::move(made));
}

std::unique_ptr<RunContext> Block::take_context() const {
  {
    std::lock_guard lock(pool_mutex_);
    if (!pool_.empty()) {
      std::unique_ptr<RunContext> context = std::move(pool_.back());
      pool_.pop_back();
      return context;
    }
  }
  return std::make_unique<RunContext>(graph_);
}

void Block::give_back(std::unique_ptr<RunContext> context) const {
  std::lock_guard lock(pool_mutex_);
  pool_.push_back(std::move(context));
}

std::string Block::plan_text() const {
  std::string out;
  {
    std::lock_guard lock(cache_mutex_);
    if (!cache_.empty()) out = tenon::plan_text(*cache_.front().plan, graph_);
  }
  for (const auto& [node, bodies] : bodies_)
    for (const auto& body : bodies) out += fmt::format("body {}\n{}", body->path_, body->plan_text());
  return out;
}

std::uint64_t Block::arena_bytes() const {
  std::lock_guard lock(cache_mutex_);
  std::uint64_t bytes = 0;
  if (!cache_.empty())
    for (const Plan::Domain& d : cache_.front().plan->domains) bytes += d.bytes();
  return bytes;
}

}  // namespace tenon
