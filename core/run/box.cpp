// Boxes of a block: plans for sizes that grow from run to run. Part of Block.
#include <algorithm>
#include <cstring>

#include "core/base/log.h"
#include "core/ops/evaluator.h"
#include "core/run/block.h"

namespace tenon {
namespace {

void add(DType dtype, std::byte* to, std::size_t i, std::int64_t more) {
  if (dtype == TENON_DTYPE_INT64) {
    std::int64_t x;
    std::memcpy(&x, to + i * sizeof x, sizeof x);
    x += more;
    std::memcpy(to + i * sizeof x, &x, sizeof x);
  } else {
    std::int32_t x;
    std::memcpy(&x, to + i * sizeof x, sizeof x);
    x = static_cast<std::int32_t>(x + more);
    std::memcpy(to + i * sizeof x, &x, sizeof x);
  }
}

}  // namespace

// Dimensions whose names the configuration says to grow.
void Block::read_growth() {
  if (path_.empty()) growth_.rows = environment_.state_rows;
  for (ValueId v : feeds_) {
    const Type& type = graph_.values[v].type;
    auto& by = growth_.by.emplace_back();
    auto& limits = growth_.limits.emplace_back();
    if (!type.is_tensor() || !type.dims) continue;
    by.assign(type.dims->size(), 0);
    limits.assign(type.dims->size(), INT64_MAX);
    for (std::size_t d = 0; d < by.size(); ++d) {
      const Dim& dim = (*type.dims)[d];
      if (dim.fixed()) continue;
      const std::string& name = environment_.model->symbols.name(dim.symbol);
      for (const ShapeEntry& s : environment_.config->shapes) {
        if (s.name != name) continue;
        if (s.grow) by[d] = 1, growth_.any = true;
        if (s.max) limits[d] = *s.max;
      }
    }
  }
}

std::shared_ptr<const Plan> Block::boxed(RunContext& context, std::span<const Datum* const> feeds) const {
  Growth& growth = context.growth;
  growth.see(feeds, known_feed_);
  for (int attempt = 0; attempt < 2 && !growth.hopeless(); ++attempt) {
    if (context.box && context.box->holds(feeds)) {
      const Status set = context.box->set(feeds);
      if (set.ok()) return context.box->plan();
      log_debug("plan", "{}the plan for growing sizes is given up: {}", path_.empty() ? "" : path_ + ": ", set.text());
      growth.failed();
      context.forget(context.box->plan());
      context.box.reset();
      return nullptr;
    }
    if (attempt == 1) break;
    std::unique_ptr<BoxPlan> made = make_box(context, feeds);
    if (!made) return nullptr;
    if (context.box) context.forget(context.box->plan());
    context.box = std::move(made);
  }
  return nullptr;
}

// Null where sizes do not grow, or the box cannot be.
std::unique_ptr<BoxPlan> Block::make_box(RunContext& context, std::span<const Datum* const> feeds) const {
  std::vector<Growth::Corner> corner;
  if (!context.growth.box(feeds, known_feed_, growth_, corner)) return nullptr;
  ShapeTable shapes = *constants_;
  for (std::size_t i = 0; i < feeds_.size(); ++i) {
    const Datum& d = *feeds[i];
    if (d.kind != TENON_KIND_TENSOR) return nullptr;
    ShapeTable::Entry& e = shapes.values[feeds_[i]];
    e.dims = corner[i].dims;
    e.ranked = true;
    if (!known_feed_[i] || d.strings || d.count() > small_elements * 4) continue;
    if (e.dims != d.dims) return nullptr;  // what its elements would be is not known
    Result<ConstantPtr> known = known_elements(d);
    if (!known.ok()) return nullptr;
    for (std::size_t k = 0; k < corner[i].more.size(); ++k) add((*known)->dtype, const_cast<std::byte*>((*known)->data), k, corner[i].more[k]);
    e.known = *std::move(known);
  }
  const auto turn = plan_turn_.take();
  if (!turn.ok()) return nullptr;
  Result<std::unique_ptr<BoxPlan>> made = BoxPlan::make(plan_input(), feeds_, std::move(shapes), plan_turn_);
  if (!made.ok() || !*made) {
    log_debug("plan", "{}no plan for growing sizes: {}", path_.empty() ? "" : path_ + ": ", made.ok() ? "it would not consist of programs alone" : made.status().text());
    context.growth.failed();
    return nullptr;
  }
  ++plans_made_;
  log_debug("plan", "{}plan {} for sizes up to {}", path_.empty() ? "" : path_ + ": ", plans_made_.load(), dims_text(corner.back().dims));
  return *std::move(made);
}

}  // namespace tenon
