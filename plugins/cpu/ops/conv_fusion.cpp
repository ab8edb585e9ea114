#include "plugins/cpu/ops/conv_fusion.h"

#include <algorithm>
#include <limits>

namespace tenon::cpu {
namespace {

bool same_dims(const tenon_value& a, const tenon_value& b) {
  if (a.rank != b.rank) return false;
  for (std::int32_t d = 0; d < a.rank; ++d)
    if (a.dims[d] != b.dims[d] || (a.dims[d] < 0 && (a.dim_symbols[d] == 0 || a.dim_symbols[d] != b.dim_symbols[d]))) return false;
  return true;
}

struct EpilogueStep {
  EpiloguePlan epilogue;
  Ref dst;
  std::int64_t count;

  void operator()(const StepContext& context) const {
    const auto slice = context.slice(count, 1024);
    if (slice.begin < slice.end)
      apply_epilogue(epilogue, context, context.ptr<float>(dst) + slice.begin, slice.begin, slice.end - slice.begin);
  }
};

}  // namespace

std::vector<Ref> FusionPlan::reads(const PlanBuilder& builder, Ref weights) const {
  std::vector<Ref> refs;
  // Asking for the constant that weights were packed from would bring it into memory once more.
  for (std::uint32_t i = 0; i < input_count; ++i)
    if (i != 1) refs.push_back(builder.in_ref(i));
  if (!weights.constant) refs.push_back(weights);
  std::erase_if(refs, [](const Ref& r) { return r.operand == TENON_NO_VALUE; });
  return refs;
}

bool ConvFusion::add(const NodeView& next, std::uint32_t slot, std::uint32_t first_input, CompileContext& context) {
  const std::size_t before = epilogue_.items().size();
  // A constant of the output's shape would have to be laid out in blocks.
  for (std::uint32_t i = 0; i < next.input_count(); ++i)
    if (i != slot && next.is_constant(i) && next.rank(i) >= 2 && same_dims(next.input(i), next.output(0))) return false;
  if (!epilogue_.add(next, slot, first_input, context)) return false;
  input_count_ = std::max(input_count_, first_input + next.input_count() - 1);
  for (const EpilogueItem& item : epilogue_.items().subspan(std::min(before, epilogue_.items().size()))) {
    if (!item.binary || item.input == TENON_NO_VALUE || item.input < first_input) continue;
    const std::uint32_t k = item.input - first_input, i = k < slot ? k : k + 1;
    if (i < next.input_count() && same_dims(next.input(i), next.output(0))) full_.push_back(item.input);
  }
  return true;
}

bool ConvFusion::unary() const {
  return std::none_of(epilogue_.items().begin(), epilogue_.items().end(),
                      [](const EpilogueItem& item) { return item.binary && item.input != TENON_NO_VALUE; });
}

std::int32_t ConvFusion::want_blocks(std::span<std::int32_t> inputs, std::int32_t block) const {
  for (std::uint32_t i : full_)
    if (i < inputs.size()) inputs[i] = block;
  return block;
}

FusionPlan ConvFusion::plan(PlanBuilder& builder) const {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  FusionPlan plan;
  plan.input_count = input_count_;
  plan.low = -infinity, plan.high = infinity;
  if (epilogue_.empty()) return plan;
  plan.all = plan.rest = epilogue_.plan(builder);
  const auto next = [&]() -> const PlannedItem* { return plan.rest.count > 0 ? plan.rest.items : nullptr; };
  const auto taken = [&] { ++plan.rest.items, --plan.rest.count; };
  if (const PlannedItem* p = next();
      p && p->item.binary && p->item.op == Binary::add && p->item.input != TENON_NO_VALUE && p->broadcast == Broadcast::full) {
    plan.residual = p->y;
    plan.residual_input = p->item.input;
    taken();
  }
  if (const PlannedItem* p = next();
      p && !p->item.binary && (p->item.unary == Unary::relu || (p->item.unary == Unary::clip && p->item.a <= p->item.b))) {
    plan.low = p->item.unary == Unary::relu ? 0 : p->item.a;
    plan.high = p->item.unary == Unary::relu ? infinity : p->item.b;
    taken();
  }
  return plan;
}

std::int32_t block_for_channels(std::int64_t channels, std::int32_t machine_block) {
  for (std::int32_t block = machine_block; block >= 8; block /= 2)
    if (channels > 0 && channels % block == 0) return block;
  return 0;
}

void emit_epilogue(PlanBuilder& builder, const EpiloguePlan& epilogue) {
  const std::int64_t count = builder.out(0).count();
  if (epilogue.count == 0 || count == 0) return;
  std::vector<Ref> reads{builder.out_ref(0)};
  for (std::int32_t i = 0; i < epilogue.count; ++i)
    if (epilogue.items[i].y.operand != TENON_NO_VALUE) reads.push_back(epilogue.items[i].y);
  builder.step("conv.epilogue", EpilogueStep{epilogue, builder.out_ref(0), count},
               {.est_ns = static_cast<double>(count * epilogue.count) / 4}, reads);
}

}  // namespace tenon::cpu
