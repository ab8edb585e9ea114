#include "plugins/cpu/ops/gather_half.h"

#include <algorithm>

#include "plugins/cpu/ops/cast.h"
#include "plugins/cpu/ops/gather_walk.h"

namespace tenon::cpu {
namespace {

constexpr std::uint64_t least_bytes = 64 << 10;  // of a table; plans may look at the elements of small ones

struct HalfGatherStep {
  HalfGather g;
  const std::uint16_t* table;
  void (*widen)(const std::uint16_t* from, float* to, std::int64_t n);

  void operator()(const StepContext& c) const {
    const std::int64_t rows = g.outer * g.count;
    // Rows are divided where there are few: an item is a part of a row.
    const std::int64_t parts = rows < c.workers ? std::clamp<std::int64_t>(g.inner / 4096, 1, c.workers) : 1;
    const auto [begin, end] = c.slice(rows * parts);
    const IndexList list(c, g.indices);
    float* dst = c.ptr<float>(g.dst);
    if (parts == 1) {
      const GatherWalk walk{g.bound, g.count, reinterpret_cast<const char*>(table), g.inner * static_cast<std::int64_t>(sizeof *table)};
      return walk.run(c, list, begin, end, [&](std::int64_t to, std::int64_t from) { widen(table + from * g.inner, dst + to * g.inner, g.inner); });
    }
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t row = i / parts, part = i % parts, k = row % g.count, at = list.resolve(k, g.bound);
      if (at < 0) return list.fail(c, "Gather", k, g.bound);
      const std::int64_t from = g.inner * part / parts, to = g.inner * (part + 1) / parts;
      widen(table + (row / g.count * g.bound + at) * g.inner + from, dst + row * g.inner + from, to - from);
    }
  }
};

}  // namespace

HalfTable HalfTable::of(const NodeView& node, std::uint32_t i, CompileContext& context) {
  if (!node.is_constant(i) || context.options().isa == Isa::plain) return {};
  const tenon_value& value = node.input(i);
  if (compute_dtype(value.dtype) == value.dtype) return {};
  std::uint64_t bytes = sizeof(std::uint16_t);
  for (std::int32_t d = 0; d < value.rank; ++d) bytes *= static_cast<std::uint64_t>(value.dims[d]);
  if (bytes < least_bytes) return {};
  return {static_cast<const std::uint16_t*>(context.raw_constant(node, i).data), value.dtype};
}

void emit_half_gather(PlanBuilder& builder, const HalfTable& table, const HalfGather& gather) {
  const HalfKernels& kernels = half_kernels(builder.options().isa);
  const HalfGatherStep step{gather, table.data, table.dtype == TENON_DTYPE_BFLOAT16 ? kernels.widen_bfloat16 : kernels.widen_float16};
  const std::int64_t bytes = gather.outer * gather.count * gather.inner * static_cast<std::int64_t>(sizeof(float) + sizeof(std::uint16_t));
  builder.step("gather", step, copy_options(Element::bytes4, bytes), {{gather.indices.ref}}, {{gather.dst}});
}

}  // namespace tenon::cpu
