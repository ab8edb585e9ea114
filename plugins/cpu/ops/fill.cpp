// ConstantOfShape, EyeLike, Range: outputs that are made from few numbers.
#include <algorithm>
#include <cmath>

#include "plugins/cpu/ops/elements.h"
#include "plugins/cpu/ops/movement.h"

namespace tenon::cpu {
namespace {

// ---- ConstantOfShape --------------------------------------------------------------------------------------------------

float half_value(std::uint16_t bits, std::int32_t dtype) {
  if (dtype == TENON_DTYPE_BFLOAT16) {
    const std::uint32_t wide = static_cast<std::uint32_t>(bits) << 16;
    float f;
    std::memcpy(&f, &wide, sizeof(f));
    return f;
  }
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  const float magnitude = exponent == 31  ? (fraction ? NAN : INFINITY)
                          : exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                                          : std::ldexp(static_cast<float>(fraction + 1024), exponent - 25);
  return bits & 0x8000 ? -magnitude : magnitude;
}

struct Pattern {
  Element kind = Element::bytes4;
  unsigned char bytes[16] = {};
};

struct FillStep {
  Pattern pattern;
  std::int64_t count;
  Ref dst;

  void operator()(const StepContext& c) const {
    const std::int64_t bytes = bytes_of(pattern.kind, count);
    const auto [begin, end] = c.slice(is_bytes(pattern.kind) ? count : bytes, 4096);
    if (begin >= end) return;
    if (is_bytes(pattern.kind)) {
      with_bytes(pattern.kind, [&, begin = begin, end = end](auto zero) {
        decltype(zero) value;
        std::memcpy(&value, pattern.bytes, sizeof(value));
        std::fill(c.ptr<decltype(zero)>(dst) + begin, c.ptr<decltype(zero)>(dst) + end, value);
      });
      return;
    }
    // Packed elements: the pattern fills a byte; what is over in the last one is zero.
    std::memset(c.ptr<char>(dst) + begin, pattern.bytes[0], static_cast<std::size_t>(end - begin));
    const int per_byte = pattern.kind == Element::bits4 ? 2 : 4, over = static_cast<int>(bytes * per_byte - count) * (8 / per_byte);
    if (end == bytes) c.ptr<unsigned char>(dst)[bytes - 1] = static_cast<unsigned char>(pattern.bytes[0] & (0xff >> over));
  }
};

class ConstantOfShapeOp final : public Op {
 public:
  explicit ConstantOfShapeOp(const NodeView& node) {
    const tenon_const_tensor* value = node.tensor("value");
    if (!value) return;
    pattern_.kind = element_of(compute_dtype(value->dtype));
    if (pattern_.kind == Element::text) {
      text_ = true;
      if (value->data) string_.assign(static_cast<const tenon_str*>(value->data)->data, static_cast<const tenon_str*>(value->data)->size);
    } else if (compute_dtype(value->dtype) != value->dtype) {
      std::uint16_t bits;
      std::memcpy(&bits, value->data, sizeof(bits));
      const float f = half_value(bits, value->dtype);
      std::memcpy(pattern_.bytes, &f, sizeof(f));
    } else if (is_bytes(pattern_.kind)) {
      std::memcpy(pattern_.bytes, value->data, static_cast<std::size_t>(element_bytes(pattern_.kind)));
    } else {
      const int bits = pattern_.kind == Element::bits4 ? 4 : 2, one = *static_cast<const unsigned char*>(value->data) & ((1 << bits) - 1);
      for (int shift = 0; shift < 8; shift += bits) pattern_.bytes[0] |= static_cast<unsigned char>(one << shift);
    }
  }

  void plan(PlanBuilder& b) const override {
    const std::int64_t count = b.out(0).count();
    const Ref dst = b.out_ref(0);
    if (count == 0) return;
    if (text_) {
      const std::span<const char> text = string_;
      const char* kept = text.empty() ? "" : b.keep(text);
      b.step("fill", [=, size = string_.size()](const StepContext& c) {
        for (std::int64_t i = 0; i < count; ++i)
          if (!set_text(c, c.addresses[dst.operand], i, {kept, size})) return;
      }, copy_options(Element::text, count * 16), std::span<const Ref>{&dst, 0}, {{dst}});
      return;
    }
    StepOptions options = copy_options(Element::bytes1, bytes_of(pattern_.kind, count));
    b.step("fill", FillStep{pattern_, count, dst}, options, std::span<const Ref>{&dst, 0}, {{dst}});
  }

 private:
  Pattern pattern_;
  bool text_ = false;
  std::string string_;
};

Support constant_supports(const NodeView& node) {
  const tenon_const_tensor* value = node.tensor("value");
  if (!value) return Support::yes();
  std::int64_t count = 1;
  for (std::uint64_t i = 0; i < value->rank; ++i) count *= value->dims[i];
  if (count != 1) return Support::no(TENON_REJECT_ATTRIBUTE, "value must have one element, found " + std::to_string(count));
  if (value->dtype <= TENON_DTYPE_UNDEFINED || value->dtype > last_dtype)
    return Support::no(TENON_REJECT_DTYPE, "element type " + std::to_string(value->dtype) + " is not known");
  return Support::yes();
}

// ---- EyeLike ----------------------------------------------------------------------------------------------------------

// Calls f with a number of the type; false for types that are no plain numbers.
template <class F>
bool with_number(std::int32_t dtype, F&& f) {
  switch (dtype) {
    case TENON_DTYPE_FLOAT: f(float{}); return true;
    case TENON_DTYPE_DOUBLE: f(double{}); return true;
    case TENON_DTYPE_INT8: f(std::int8_t{}); return true;
    case TENON_DTYPE_UINT8: case TENON_DTYPE_BOOL: f(std::uint8_t{}); return true;
    case TENON_DTYPE_INT16: f(std::int16_t{}); return true;
    case TENON_DTYPE_UINT16: f(std::uint16_t{}); return true;
    case TENON_DTYPE_INT32: f(std::int32_t{}); return true;
    case TENON_DTYPE_UINT32: f(std::uint32_t{}); return true;
    case TENON_DTYPE_INT64: f(std::int64_t{}); return true;
    case TENON_DTYPE_UINT64: f(std::uint64_t{}); return true;
    default: return false;
  }
}

class EyeLikeOp final : public Op {
 public:
  explicit EyeLikeOp(const NodeView& node) : k_(node.int_or("k", 0)) {}

  void plan(PlanBuilder& b) const override {
    const Shape& y = b.out(0);
    if (y.rank() != 2)
      throw Failure{TENON_INVALID_ARGUMENT, "the input must have 2 dimensions, found " + std::to_string(y.rank())};
    const std::int64_t rows = y[0], columns = y[1], k = std::clamp(k_, -rows, columns);
    const Ref dst = b.out_ref(0);
    if (y.count() == 0) return;
    with_number(y.dtype, [&](auto zero) {
      using T = decltype(zero);
      b.step("eye", [=](const StepContext& c) {
        const auto [begin, end] = c.slice(rows);
        for (std::int64_t i = begin; i < end; ++i) {
          T* row = c.ptr<T>(dst) + i * columns;
          std::fill(row, row + columns, T{0});
          if (i + k >= 0 && i + k < columns) row[i + k] = T{1};
        }
      }, copy_options(Element::bytes1, y.count() * static_cast<std::int64_t>(sizeof(T))), std::span<const Ref>{&dst, 0}, {{dst}});
    });
  }

 private:
  std::int64_t k_;
};

Support eye_supports(const NodeView& node) {
  if (!node.has_output(0) || !with_number(node.dtype(0) && node.output(0).dtype ? compute_dtype(node.output(0).dtype) : 0, [](auto) {}))
    return Support::no(TENON_REJECT_DTYPE, "the output's element type is not supported");
  return Support::yes();
}

// ---- Range ------------------------------------------------------------------------------------------------------------

class RangeOp final : public Op {
 public:
  void plan(PlanBuilder& b) const override {
    const Shape& y = b.out(0);
    const std::int64_t count = y.count();
    const Ref start = b.in_ref(0), delta = b.in_ref(2), dst = b.out_ref(0);
    if (b.in(0).count() != 1 || b.in(2).count() != 1)
      throw Failure{TENON_INVALID_ARGUMENT, "start, limit and delta must be single numbers"};
    if (count == 0) return;
    const void *known_start = known_data(b, 0), *known_delta = known_data(b, 2);
    with_number(y.dtype, [&](auto zero) {
      using T = decltype(zero);
      // Numbers that are known now need not be read; floats are computed in double and rounded once.
      using Wide = std::conditional_t<std::is_floating_point_v<T>, double, std::uint64_t>;
      Wide s{}, d{};
      const bool known = known_start && known_delta;
      if (known) s = static_cast<Wide>(*static_cast<const T*>(known_start)), d = static_cast<Wide>(*static_cast<const T*>(known_delta));
      std::vector<Ref> reads;
      if (!known) reads = {start, delta};
      b.step("range",
             [=](const StepContext& c) {
               const Wide first = known ? s : static_cast<Wide>(*c.ptr<const T>(start)),
                          by = known ? d : static_cast<Wide>(*c.ptr<const T>(delta));
               const auto [begin, end] = c.slice(count, 1024);
               T* y = c.ptr<T>(dst);
               for (std::int64_t i = begin; i < end; ++i) y[i] = static_cast<T>(first + static_cast<Wide>(i) * by);
             },
             copy_options(Element::bytes1, count * static_cast<std::int64_t>(sizeof(T))), reads, {{dst}});
    });
  }
};

Support range_supports(const NodeView& node) {
  if (!with_number(node.dtype(0), [](auto) {}))
    return Support::no(TENON_REJECT_DTYPE, "element type " + std::to_string(node.dtype(0)) + " is not supported");
  return Support::yes();
}

constexpr OpRow rows[] = {
    {"", "ConstantOfShape", constant_supports,
     [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<ConstantOfShapeOp>(node); }},
    {"", "EyeLike", eye_supports,
     [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<EyeLikeOp>(node); }},
    {"", "Range", range_supports, [](const NodeView&, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<RangeOp>(); }},
};

}  // namespace

std::span<const OpRow> fill_rows() { return rows; }

}  // namespace tenon::cpu
