// Compiled once per target.
#include "plugins/cpu/ops/byte_combine.h"

#include <cstring>

#include "plugins/cpu/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "plugins/cpu/ops/byte_combine.cpp"
#include "hwy/foreach_target.h"
// after foreach_target.h
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tenon::cpu::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<float, 16>;
using I = hn::RebindToSigned<D>;
using B = hn::Rebind<std::uint8_t, D>;
using Kind = ByteCombination::Kind;

struct Operand {
  hn::Vec<B> flip;
  hn::Vec<I> zero;
  hn::Vec<D> scale;
};
HWY_ATTR Operand operand(const Quantization& q) {
  return {hn::Set(B(), q.flip()), hn::Set(I(), q.unsigned_zero()), hn::Set(D(), q.scale)};
}
HWY_ATTR hn::Vec<D> real(const std::uint8_t* x, const Operand& o) {
  const auto whole = hn::PromoteTo(I(), hn::Xor(hn::LoadU(B(), x), o.flip));
  return hn::Mul(hn::ConvertTo(D(), hn::Sub(whole, o.zero)), o.scale);
}

// As QuantizeLinear rounds: half to even, as an addition of 1.5 * 2^23 does; the low bits are the number.
template <Kind kind>
HWY_ATTR void combine(const ByteCombination& c, const std::uint8_t* x, const std::uint8_t* y, std::int64_t n, std::uint8_t* out) {
  const D d;
  const B b;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const Operand first = operand(c.operands[0]), second = operand(c.operands[1]);
  const auto scale = hn::Set(d, c.scale), low = hn::Set(d, c.to.low), high = hn::Set(d, c.to.high), magic = hn::Set(d, 12582912.0f);
  const auto zero = hn::Set(b, static_cast<std::uint8_t>(c.to.zero ^ c.to.flip));
  const auto some = [&](const std::uint8_t* p, const std::uint8_t* q, std::uint8_t* to) HWY_ATTR {
    const auto u = real(p, first), v = real(q, second);
    const auto r = kind == Kind::product ? hn::Mul(u, v) : kind == Kind::sum ? hn::Add(u, v) : hn::Sub(u, v);
    const auto bounded = hn::Min(hn::Max(hn::Div(r, scale), low), high);
    hn::StoreU(hn::Add(hn::TruncateTo(b, hn::BitCast(hn::RebindToUnsigned<I>(), hn::Add(bounded, magic))), zero), b, to);
  };
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) some(x + i, y + i, out + i);
  if (i == n) return;
  const auto rest = static_cast<std::size_t>(n - i);
  std::uint8_t p[16] = {}, q[16] = {};
  std::memcpy(p, x + i, rest), std::memcpy(q, y + i, rest);
  some(p, q, p);
  std::memcpy(out + i, p, rest);
}

}  // namespace

void combine_bytes_here(const ByteCombination& c, const std::uint8_t* x, const std::uint8_t* y, std::int64_t n, std::uint8_t* out) {
  switch (c.kind) {
    case Kind::sum: return combine<Kind::sum>(c, x, y, n, out);
    case Kind::difference: return combine<Kind::difference>(c, x, y, n, out);
    case Kind::product: return combine<Kind::product>(c, x, y, n, out);
  }
}

}  // namespace tenon::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tenon::cpu {
namespace {

TENON_SIMD_EXPORT(combine_bytes_here);

struct ByteCombineStep {
  const ByteCombination* combination;
  std::int64_t rows, columns, row_group;  // row_group: rows that share a pixel; 0: there is a y for each x
  Ref x, y, out;

  void operator()(const StepContext& c) const {
    const auto *first = c.ptr<const std::uint8_t>(x), *second = c.ptr<const std::uint8_t>(y);
    auto* to = c.ptr<std::uint8_t>(out);
    if (row_group == 0) {
      const auto [begin, end] = c.slice(rows * columns, 1024);
      if (begin < end) combine_bytes(*combination, first + begin, second + begin, end - begin, to + begin);
      return;
    }
    const auto [begin, end] = c.slice(rows);
    for (std::int64_t r = begin; r < end; ++r)
      combine_bytes(*combination, first + r * columns, second + r / row_group * columns, columns, to + r * columns);
  }
};

}  // namespace

void combine_bytes(const ByteCombination& combination, const std::uint8_t* x, const std::uint8_t* y, std::int64_t n, std::uint8_t* out) {
  TENON_SIMD(combine_bytes_here)(combination, x, y, n, out);
}

std::int32_t ByteCombineOp::layout(std::span<std::int32_t> inputs, std::int32_t machine_block) {
  const auto last = combination_.channels > 1 && machine_block != 0 ? static_cast<std::int32_t>(combination_.channels) : 0;
  if (combination_.pixel) {  // one pixel has the same bytes in either order
    inputs[0] = last;
    return last;
  }
  const std::int32_t made = last != 0 && (inputs[0] == last || inputs[1] == last) ? last : 0;
  inputs[0] = inputs[1] = made;
  return made;
}

void ByteCombineOp::plan(PlanBuilder& b) const {
  const Shape &x = b.in(0), &y = b.in(1), &out = b.out(0);
  if (out.count() == 0) return;
  ByteCombineStep step{b.keep(std::span<const ByteCombination>(&combination_, 1)), 1, out.count(), 0, b.in_ref(0), b.in_ref(1), b.out_ref(0)};
  if (combination_.pixel) {
    require(combination_.channels == 1 || x.block == combination_.channels, "bytes that a pixel is combined with lie channels last");
    require(y[1] == x[1] && (y[0] == x[0] || y[0] == 1) && y.count() == y[0] * y[1], "the second operand has one pixel for each image, or one");
    step.columns = combination_.channels, step.rows = out.count() / step.columns;
    step.row_group = y[0] == 1 ? step.rows : step.rows / x[0];
  } else {
    require(x.count() == out.count() && y.count() == out.count(), "the operands have the result's shape");
  }
  b.step("bytes.combine", step, {.est_ns = 50 + static_cast<double>(out.count()) / 4}, {{step.x, step.y}}, {{step.out}});
  b.inplace(0, 0);
  if (!combination_.pixel) b.inplace(1, 0);
}

}  // namespace tenon::cpu
#endif
