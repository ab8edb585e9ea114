#include "plugins/cpu/ops/elementwise_loops.h"
#include "plugins/cpu/ops/elements.h"

namespace tenon::cpu {
namespace {

using namespace loops;

struct Equal {
  template <class T>
  static bool call(T x, T y) {
    return x == y;
  }
};
struct Less {
  template <class T>
  static bool call(T x, T y) {
    return x < y;
  }
};
struct LessOrEqual {
  template <class T>
  static bool call(T x, T y) {
    return x <= y;
  }
};
struct Greater {
  template <class T>
  static bool call(T x, T y) {
    return x > y;
  }
};
struct GreaterOrEqual {
  template <class T>
  static bool call(T x, T y) {
    return x >= y;
  }
};
struct IsNan {
  template <class T>
  static bool call(T x, const LoopArgs&) {
    return x != x;
  }
};
// a, b: whether negative and positive infinity count.
struct IsInf {
  template <class T>
  static bool call(T x, const LoopArgs& g) {
    constexpr T infinity = std::numeric_limits<T>::infinity();
    return (g.b != 0 && x == infinity) || (g.a != 0 && x == -infinity);
  }
};
// The 8-bit floats, by their bits. a: the bits of NaN or infinity at least, b: at most; the sign is not among them.
struct ByteIn {
  static bool call(std::uint8_t x, const LoopArgs& g) { return (x & 0x7f) >= g.a && (x & 0x7f) <= g.b; }
};
struct ByteIs {
  static bool call(std::uint8_t x, const LoopArgs& g) { return x == g.a; }
};
struct ByteIsEither {
  static bool call(std::uint8_t x, const LoopArgs& g) { return x == g.a || x == g.b; }
};

bool makes_bool(const NodeView& node) { return node.has_output(0) && node.output(0).dtype == TENON_DTYPE_BOOL; }

template <class F, class... Lists>
Kernel compare(const NodeView& node, Lists... lists) {
  if (!makes_bool(node) || node.dtype(0) != node.dtype(1)) return {};
  return {.loop = pick_any(node.dtype(0), []<class T>() -> Loop { return binary<T, T, bool, F>; }, lists...)};
}
template <class F>
Kernel ordered(const NodeView& node) {
  return compare<F>(node, Floats{}, Signed{}, Unsigned{});
}
Kernel equal(const NodeView& node) {
  if (node.dtype(0) == TENON_DTYPE_BOOL) return compare<Equal>(node, Types<bool>{});
  return ordered<Equal>(node);
}

Kernel is_nan(const NodeView& node) {
  if (!makes_bool(node)) return {};
  switch (node.dtype(0)) {
    case TENON_DTYPE_FLOAT: return {.loop = unary<float, bool, IsNan>};
    case TENON_DTYPE_DOUBLE: return {.loop = unary<double, bool, IsNan>};
    case TENON_DTYPE_FLOAT8E4M3FN: return {.loop = unary<std::uint8_t, bool, ByteIn>, .a = 0x7f, .b = 0x7f};
    case TENON_DTYPE_FLOAT8E5M2: return {.loop = unary<std::uint8_t, bool, ByteIn>, .a = 0x7d, .b = 0x7f};
    case TENON_DTYPE_FLOAT8E4M3FNUZ: case TENON_DTYPE_FLOAT8E5M2FNUZ: return {.loop = unary<std::uint8_t, bool, ByteIs>, .a = 0x80};
    case TENON_DTYPE_FLOAT8E8M0: return {.loop = unary<std::uint8_t, bool, ByteIs>, .a = 0xff};
    default: return {};
  }
}
Kernel is_inf(const NodeView& node) {
  if (!makes_bool(node)) return {};
  const bool negative = node.int_or("detect_negative", 1) != 0, positive = node.int_or("detect_positive", 1) != 0;
  constexpr double never = -1;
  switch (node.dtype(0)) {
    case TENON_DTYPE_FLOAT:
      return {.loop = unary<float, bool, IsInf>, .a = static_cast<double>(negative), .b = static_cast<double>(positive)};
    case TENON_DTYPE_DOUBLE:
      return {.loop = unary<double, bool, IsInf>, .a = static_cast<double>(negative), .b = static_cast<double>(positive)};
    case TENON_DTYPE_FLOAT8E5M2:
      return {.loop = unary<std::uint8_t, bool, ByteIsEither>, .a = negative ? 0xfc : never, .b = positive ? 0x7c : never};
    case TENON_DTYPE_FLOAT8E4M3FN: case TENON_DTYPE_FLOAT8E4M3FNUZ: case TENON_DTYPE_FLOAT8E5M2FNUZ:  // have no infinity
      return {.loop = unary<std::uint8_t, bool, ByteIs>, .a = never};
    default: return {};
  }
}

constexpr TypedRow rows[] = {
    {"", "Equal", 2, 2, equal},
    {"", "Less", 2, 2, ordered<Less>},
    {"", "LessOrEqual", 2, 2, ordered<LessOrEqual>},
    {"", "Greater", 2, 2, ordered<Greater>},
    {"", "GreaterOrEqual", 2, 2, ordered<GreaterOrEqual>},
    {"", "IsNaN", 1, 1, is_nan},
    {"", "IsInf", 1, 1, is_inf},
};

// ---- strings ----------------------------------------------------------------------------------------------------------

struct TextEqualStep {
  Placement placement;
  Ref x, y, out;

  void operator()(const StepContext& c) const {
    const auto [begin, end] = c.slice(placement.count, 4096);
    bool* to = c.ptr<bool>(out);
    const std::int64_t sx = placement.strides[placement.rank - 1], sy = placement.strides[2 * placement.rank - 1];
    for_runs(placement, begin, end, [&](const std::int64_t* at, std::int64_t first, std::int64_t n) {
      for (std::int64_t i = 0; i < n; ++i) to[first + i] = c.text(x, at[0] + i * sx) == c.text(y, at[1] + i * sy);
    });
  }
};

class TextEqual final : public Op {
 public:
  void plan(PlanBuilder& builder) const override {
    if (!builder.out_ref(0).present()) return;
    const std::uint32_t inputs[] = {0, 1};
    const TextEqualStep step{place_operands(builder, inputs), builder.in_ref(0), builder.in_ref(1), builder.out_ref(0)};
    builder.step("Equal", step, {.est_ns = 20.0 * static_cast<double>(step.placement.count)});
  }
};

}  // namespace

std::span<const TypedRow> compare_kernels() { return rows; }
std::unique_ptr<Op> make_text_equal(const NodeView&) { return std::make_unique<TextEqual>(); }

}  // namespace tenon::cpu
