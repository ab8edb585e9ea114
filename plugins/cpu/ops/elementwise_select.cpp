#include "plugins/cpu/ops/elementwise_loops.h"
#include "plugins/cpu/ops/elements.h"

namespace tenon::cpu {
namespace {

using namespace loops;

// ---- Where: elements of any type, by size -----------------------------------------------------------------------------

template <class T>
std::int32_t where(const LoopArgs& g) {
  const std::uint8_t* c = static_cast<const std::uint8_t*>(g.in[0]);
  const T *x = static_cast<const T*>(g.in[1]), *y = static_cast<const T*>(g.in[2]);
  T* out = static_cast<T*>(g.out);
  const std::int64_t sc = g.stride[0], sx = g.stride[1], sy = g.stride[2], n = g.n;
  if (sc == 0) {
    const T* from = *c ? x : y;
    const std::int64_t s = *c ? sx : sy;
    for (std::int64_t i = 0; i < n; ++i) out[i] = from[i * s];
  } else if (sx == 1 && sy == 0) {
    const T v = *y;
    for (std::int64_t i = 0; i < n; ++i) {
      const T value = x[i];
      out[i] = c[i] ? value : v;
    }
  } else if (sx == 0 && sy == 1) {
    const T v = *x;
    for (std::int64_t i = 0; i < n; ++i) {
      const T value = y[i];
      out[i] = c[i] ? v : value;
    }
  } else {
    for (std::int64_t i = 0; i < n; ++i) {
      const T a = x[i * sx], b = y[i * sy];
      out[i] = c[i] ? a : b;
    }
  }
  return TENON_OK;
}

Kernel select(const NodeView& node) {
  if (node.dtype(0) != TENON_DTYPE_BOOL || node.dtype(1) != node.dtype(2) || node.dtype(1) == TENON_DTYPE_UNDEFINED) return {};
  if (!node.has_output(0) || compute_dtype(node.output(0).dtype) != node.dtype(1)) return {};
  switch (element_of(node.dtype(1))) {
    case Element::bytes1: return {.loop = where<std::uint8_t>};
    case Element::bytes2: return {.loop = where<std::uint16_t>};
    case Element::bytes4: return {.loop = where<std::uint32_t>};
    case Element::bytes8: return {.loop = where<std::uint64_t>};
    case Element::bytes16: return {.loop = where<Bytes16>};
    default: return {};
  }
}

struct TextWhereStep {
  Placement placement;
  Ref condition, x, y, out;

  void operator()(const StepContext& c) const {
    const bool* chosen = c.ptr<const bool>(condition);
    bool good = true;
    for_runs(placement, 0, placement.count, [&](const std::int64_t* at, std::int64_t first, std::int64_t n) {
      for (std::int64_t i = 0; i < n && good; ++i) {
        const bool from_x = chosen[at[0] + i * stride(0)];
        good = set_text(c, c.addresses[out.operand], first + i,
                        c.text(from_x ? x : y, from_x ? at[1] + i * stride(1) : at[2] + i * stride(2)));
      }
    });
  }
  std::int64_t stride(std::int32_t operand) const { return placement.strides[(operand + 1) * placement.rank - 1]; }
};

class TextWhere final : public Op {
 public:
  void plan(PlanBuilder& builder) const override {
    if (!builder.out_ref(0).present()) return;
    const std::uint32_t inputs[] = {0, 1, 2};
    const TextWhereStep step{place_operands(builder, inputs), builder.in_ref(0), builder.in_ref(1), builder.in_ref(2), builder.out_ref(0)};
    builder.step("Where", step, {.spmd = false, .est_ns = 60.0 * static_cast<double>(step.placement.count)});
  }
};

// ---- Clip with bounds of its own type ---------------------------------------------------------------------------------

template <class T>
std::int32_t clip(const LoopArgs& g) {
  const T* x = static_cast<const T*>(g.in[0]);
  T* out = static_cast<T*>(g.out);
  const T low = g.in[1] ? *static_cast<const T*>(g.in[1]) : std::numeric_limits<T>::lowest();
  const T high = g.in[2] ? *static_cast<const T*>(g.in[2]) : std::numeric_limits<T>::max();
  const bool has_low = g.in[1], has_high = g.in[2];
  const std::int64_t n = g.n, stride = g.stride[0];
  for (std::int64_t i = 0; i < n; ++i) {
    T v = x[i * stride];
    // As by Max and Min: a bound that is NaN wins as well.
    if (has_low && (v < low || low != low)) v = low;
    if (has_high && (v > high || high != high)) v = high;
    out[i] = v;
  }
  return TENON_OK;
}

Kernel bounded(const NodeView& node) {
  if (!uniform(node)) return {};
  for (std::uint32_t i = 1; i <= 2; ++i) {
    // Scalars; some exporters write them as [1].
    if (node.rank(i) > 1 || (node.rank(i) == 1 && node.input(i).dims[0] != 1)) return {};
  }
  return {.loop = pick_any(node.dtype(0), []<class T>() -> Loop { return clip<T>; }, Floats{}, Signed{}, Unsigned{})};
}

constexpr TypedRow rows[] = {{"", "Where", 3, 3, select}, {"", "Clip", 1, 3, bounded}};

}  // namespace

std::span<const TypedRow> select_kernels() { return rows; }
std::unique_ptr<Op> make_text_where(const NodeView&) { return std::make_unique<TextWhere>(); }

}  // namespace tenon::cpu
