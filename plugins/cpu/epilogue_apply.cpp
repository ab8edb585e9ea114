#include <algorithm>
#include <cmath>

#include "plugins/cpu/epilogue.h"
#include "plugins/cpu/simd_math.h"

namespace tenon::cpu {
namespace {

// Rows shorter than this are widened to a buffer first: a call per row would cost more.
constexpr std::int64_t short_row = 32;

// Walks rows (runs along the last dim) of one operand.
struct RowCursor {
  RowCursor(const EpiloguePlan& plan, const PlannedItem& operand, std::int64_t offset) : plan_(plan), operand_(operand) {
    for (std::int32_t d = plan.rank - 1; d >= 0; --d) {
      index_[d] = offset % plan.dims[d];
      offset /= plan.dims[d];
      at += index_[d] * operand.strides[d];
    }
    left = plan.dims[plan.rank - 1] - index_[plan.rank - 1];
  }
  // After the rest of this row: to the start of the next.
  void next() {
    std::int32_t d = plan_.rank - 1;
    at -= index_[d] * operand_.strides[d];
    index_[d] = 0;
    left = plan_.dims[d];
    while (--d >= 0) {
      at += operand_.strides[d];
      if (++index_[d] < plan_.dims[d]) return;
      at -= index_[d] * operand_.strides[d];
      index_[d] = 0;
    }
  }

  std::int64_t at = 0, left = 0;  // operand's element, and how much of the row is left

 private:
  const EpiloguePlan& plan_;
  const PlannedItem& operand_;
  std::int64_t index_[8] = {};
};

// An operand whose rows repeat (what channels have, in the blocks of an image): a few rows written out serve the whole run of them.
void apply_repeated(const EpiloguePlan& plan, const PlannedItem& p, const float* y, const float* x, float* out, std::int64_t offset,
                    std::int64_t n) {
  float wide[256];
  const std::int64_t row = plan.dims[plan.rank - 1], run = row * plan.dims[plan.rank - 2], chunk = 256 / row * row;
  for (std::int64_t i = 0; i < n;) {
    const RowCursor c(plan, p, offset + i);
    const std::int64_t some = std::min(n - i, run - (offset + i) % run), filled = std::min(some, chunk);
    const float* from = y + c.at - (row - c.left);
    std::copy_n(from, row - c.left, std::copy_n(from + row - c.left, c.left, wide));
    for (std::int64_t k = row; k < filled; k *= 2) std::copy_n(wide, std::min(k, chunk - k), wide + k);
    for (std::int64_t k = 0; k < some; k += chunk) plan.kernels->run(p.item.op, x + i + k, wide, out + i + k, std::min(chunk, some - k));
    i += some;
  }
}

void apply_item(const EpiloguePlan& plan, const PlannedItem& p, const StepContext& context, const float* x, float* out, std::int64_t offset,
                std::int64_t n) {
  const MathKernels& k = *plan.kernels;
  if (!p.item.binary) return k.run(p.item.unary, x, out, n, p.item.a, p.item.b);
  if (p.item.input == TENON_NO_VALUE) return k.run(p.item.op, x, p.item.a, out, n);
  const float* y = context.ptr<const float>(p.y);
  if (p.broadcast == Broadcast::scalar) return k.run(p.item.op, x, y[0], out, n);
  if (p.broadcast == Broadcast::full) return k.run(p.item.op, x, y + offset, out, n);
  const std::int64_t row = plan.dims[plan.rank - 1], stride = p.strides[plan.rank - 1];
  float wide[256];
  if (p.broadcast == Broadcast::last && row < short_row) {
    // Whole rows, so that every chunk has the same operand.
    const std::int64_t chunk = 256 / row * row;
    expand_operand(plan, p, y, offset, std::min(chunk, n), wide);
    for (std::int64_t i = 0; i < n; i += chunk) k.run(p.item.op, x + i, wide, out + i, std::min(chunk, n - i));
    return;
  }
  if (row < short_row && stride == 1 && plan.rank > 1 && p.strides[plan.rank - 2] == 0) return apply_repeated(plan, p, y, x, out, offset, n);
  if (row < short_row || stride > 1) {
    for (std::int64_t i = 0; i < n; i += 256) {
      const std::int64_t some = std::min<std::int64_t>(256, n - i);
      expand_operand(plan, p, y, offset + i, some, wide);
      k.run(p.item.op, x + i, wide, out + i, some);
    }
    return;
  }
  RowCursor c(plan, p, offset);
  for (std::int64_t i = 0; i < n;) {
    const std::int64_t some = std::min(c.left, n - i);
    if (stride == 0) k.run(p.item.op, x + i, y[c.at], out + i, some);
    else k.run(p.item.op, x + i, y + c.at, out + i, some);
    i += some;
    c.next();
  }
}

}  // namespace

void expand_operand(const EpiloguePlan& plan, const PlannedItem& operand, const float* y, std::int64_t offset, std::int64_t n, float* out) {
  if (n <= 0) return;
  const std::int64_t stride = operand.strides[plan.rank - 1];
  RowCursor c(plan, operand, offset);
  for (std::int64_t i = 0; i < n;) {
    const std::int64_t some = std::min(c.left, n - i);
    const float* from = y + c.at;
    if (stride == 0) std::fill_n(out + i, some, *from);
    else if (stride == 1) std::copy_n(from, some, out + i);
    else for (std::int64_t j = 0; j < some; ++j) out[i + j] = from[j * stride];
    i += some;
    c.next();
  }
}

void apply_epilogue(const EpiloguePlan& plan, const StepContext& context, float* x, std::int64_t offset, std::int64_t n) {
  for (std::int64_t i = 0; i < n; i += tile_size) {
    const std::int64_t some = std::min(tile_size, n - i);
    for (std::int32_t k = 0; k < plan.count; ++k) apply_item(plan, plan.items[k], context, x + i, x + i, offset + i, some);
  }
}

void apply_tile(const EpiloguePlan& plan, const StepContext& context, const float* x, float* out, std::int64_t offset, std::int64_t n) {
  // Results between items stay here, since out may be what a later item reads.
  alignas(64) float tile[tile_size];
  if (plan.count == 0) {
    if (x != out) std::copy_n(x, n, out);
    return;
  }
  for (std::int32_t k = 0; k < plan.count; ++k) {
    float* to = k + 1 == plan.count ? out : tile;
    apply_item(plan, plan.items[k], context, k == 0 ? x : tile, to, offset, n);
  }
}

// ---- one number -------------------------------------------------------------------------------------------------------

float apply_unary(Unary f, float a, float b, float x) {
  switch (f) {
    case Unary::relu: return x < 0 ? 0 : x;
    case Unary::clip: {
      const float low = x < a ? a : x;
      return low > b ? b : low;
    }
    case Unary::leaky_relu: return x < 0 ? a * x : x;
    case Unary::elu: return x > 0 ? x : a * std::expm1(x);
    case Unary::selu: return b * (x > 0 ? x : a * std::expm1(x));
    case Unary::celu: return x > 0 ? x : a * std::expm1(x / a);
    case Unary::sigmoid: return 1 / (1 + std::exp(-x));
    case Unary::tanh: return std::tanh(x);
    case Unary::swish: return x / (1 + std::exp(-a * x));
    case Unary::hard_sigmoid: return apply_unary(Unary::clip, 0, 1, a * x + b);
    case Unary::hard_swish: return x * apply_unary(Unary::hard_sigmoid, 1.0f / 6.0f, 0.5f, x);
    case Unary::mish: {
      const double e = std::exp(std::fmin(x, 40.0f) + 0.0), n = e * (e + 2);
      return x != x ? x : static_cast<float>(x * (n / (n + 2)));
    }
    case Unary::gelu_erf: return static_cast<float>(0.5 * x * std::erfc(x * -0.70710678118654752));
    case Unary::gelu_tanh: {
      const double u = 0.79788456080286536 * (x + 0.044715 * x * x * x);
      return static_cast<float>(x / (1 + std::exp(-2 * u)));
    }
    case Unary::softplus: return std::max(x, 0.0f) + std::log1p(std::exp(-std::abs(x)));
    case Unary::softsign: return x / (1 + std::abs(x));
    case Unary::thresholded_relu: return x > a ? x : 0;
    case Unary::erf: return std::erf(x);
    case Unary::exp: return std::exp(x);
    case Unary::log: return std::log(x);
    case Unary::sqrt: return std::sqrt(x);
    case Unary::reciprocal: return 1 / x;
    case Unary::square: return x * x;
    case Unary::abs: return std::abs(x);
    case Unary::neg: return -x;
    case Unary::floor: return std::floor(x);
    case Unary::ceil: return std::ceil(x);
    case Unary::round: return std::nearbyint(x);
    case Unary::sign: return x > 0 ? 1 : x < 0 ? -1 : x;
    case Unary::sin: return std::sin(x);
    case Unary::cos: return std::cos(x);
    case Unary::affine: return b == 0 ? a * x : a == 1 ? x + b : a * x + b;
  }
  return x;
}

float apply_binary(Binary f, float x, float y) {
  switch (f) {
    case Binary::add: return x + y;
    case Binary::sub: return x - y;
    case Binary::rsub: return y - x;
    case Binary::mul: return x * y;
    case Binary::div: return x / y;
    case Binary::rdiv: return y / x;
    case Binary::max: return x != x || y != y ? x + y : x < y ? y : x;
    case Binary::min: return x != x || y != y ? x + y : y < x ? y : x;
    case Binary::pow: return std::pow(x, y);
    case Binary::rpow: return std::pow(y, x);
    case Binary::prelu: return x < 0 ? x * y : x;
  }
  return x;
}

}  // namespace tenon::cpu
