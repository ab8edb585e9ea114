#include "plugins/cpu/ops/reduce_kernels.h"

#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "plugins/cpu/ops/reduce_kernels.cpp"
#include "plugins/cpu/simd.h"
// After simd.h.
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "plugins/cpu/ops/norm_simd-inl.h"
#include "plugins/cpu/simd_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tenon::cpu {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

// x86's Max and Min return the second operand when either is NaN; those of the scalar target lose a NaN.
HWY_INLINE HWY_ATTR V keep_nan(V acc, V v) {
#if HWY_TARGET == HWY_SCALAR
  return hn::IfThenElse(hn::IsNaN(acc), acc, v);
#else
  (void)acc;
  return v;
#endif
}
HWY_INLINE HWY_ATTR V max_nan(V acc, V x) { return hn::IfThenElse(hn::IsNaN(x), x, keep_nan(acc, hn::Max(x, acc))); }
HWY_INLINE HWY_ATTR V min_nan(V acc, V x) { return hn::IfThenElse(hn::IsNaN(x), x, keep_nan(acc, hn::Min(x, acc))); }

template <Fold F>
HWY_INLINE HWY_ATTR V take(D d, V acc, V x, V shift) {
  if constexpr (F == Fold::sum) return hn::Add(acc, x);
  if constexpr (F == Fold::sum_abs) return hn::Add(acc, hn::Abs(x));
  if constexpr (F == Fold::sum_square) {
    const V t = hn::Sub(x, shift);
    return hn::MulAdd(t, t, acc);
  }
  if constexpr (F == Fold::prod) return hn::Mul(acc, x);
  if constexpr (F == Fold::max) return max_nan(acc, x);
  if constexpr (F == Fold::min) return min_nan(acc, x);
  if constexpr (F == Fold::sum_exp) return hn::Add(acc, keep_nan(x, HWY_NAMESPACE::exp(d, hn::Sub(x, shift))));
}

template <Fold F>
HWY_INLINE HWY_ATTR V merge(V a, V b) {
  if constexpr (F == Fold::prod) return hn::Mul(a, b);
  if constexpr (F == Fold::max) return max_nan(a, b);
  if constexpr (F == Fold::min) return min_nan(a, b);
  return hn::Add(a, b);
}

template <Fold F>
constexpr float start() {
  if constexpr (F == Fold::prod) return 1.0f;
  if constexpr (F == Fold::max) return -HUGE_VALF;
  if constexpr (F == Fold::min) return HUGE_VALF;
  return 0.0f;
}

template <Fold F>
HWY_INLINE HWY_ATTR float across(D d, V v) {
  HWY_ALIGN float lanes[HWY_MAX_BYTES / sizeof(float)];
  hn::Store(v, d, lanes);
  std::int64_t n = static_cast<std::int64_t>(hn::Lanes(d));
  for (n /= 2; n > 0; n /= 2) {
    for (std::int64_t i = 0; i < n; ++i) {
      const float a = lanes[i], b = lanes[i + n];
      if constexpr (F == Fold::prod) lanes[i] = a * b;
      else if constexpr (F == Fold::max) lanes[i] = a != a || a > b ? a : b;
      else if constexpr (F == Fold::min) lanes[i] = a != a || a < b ? a : b;
      else lanes[i] = a + b;
    }
  }
  return lanes[0];
}

template <Fold F>
HWY_ATTR float run_of(const float* x, std::int64_t n, float shift) {
  const D d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const V s = hn::Set(d, shift), zero = hn::Set(d, start<F>());
  V a0 = zero, a1 = zero, a2 = zero, a3 = zero;
  std::int64_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    a0 = take<F>(d, a0, hn::LoadU(d, x + i), s);
    a1 = take<F>(d, a1, hn::LoadU(d, x + i + lanes), s);
    a2 = take<F>(d, a2, hn::LoadU(d, x + i + 2 * lanes), s);
    a3 = take<F>(d, a3, hn::LoadU(d, x + i + 3 * lanes), s);
  }
  for (; i + lanes <= n; i += lanes) a0 = take<F>(d, a0, hn::LoadU(d, x + i), s);
  if (i < n) {
    // What leaves the accumulator as it is: its own start, shift for squares, -inf under exp.
    const float idle = F == Fold::sum_square ? shift : F == Fold::sum_exp ? -HUGE_VALF : start<F>();
    const V tail = norm_math::load_tail(d, x + i, n - i, hn::Set(d, idle));
    if constexpr (F == Fold::sum_square || F == Fold::sum_exp) {
      const auto mask = hn::FirstN(d, static_cast<std::size_t>(n - i));
      a1 = hn::IfThenElse(mask, take<F>(d, a1, tail, s), a1);
    } else {
      a1 = take<F>(d, a1, tail, s);
    }
  }
  return across<F>(d, merge<F>(merge<F>(a0, a1), merge<F>(a2, a3)));
}

template <Fold F>
HWY_ATTR void rows_of(const float* x, std::int64_t rows, std::int64_t stride, std::int64_t cols, const float* shift, float* acc) {
  const D d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const V none = hn::Zero(d);
  if (2 * cols == lanes && stride == cols && rows > 1) {  // rows of half a vector, as blocks of an image may be: two at a time
    HWY_ALIGN float both[HWY_MAX_BYTES / sizeof(float)], shifts[HWY_MAX_BYTES / sizeof(float)] = {};
    for (std::int64_t c = 0; c < cols; ++c) {
      both[c] = acc[c], both[c + cols] = start<F>();
      if (shift) shifts[c] = shifts[c + cols] = shift[c];
    }
    rows_of<F>(x, rows / 2, lanes, lanes, shift ? shifts : nullptr, both);
    const V low = norm_math::load_tail(d, both, cols, none), high = norm_math::load_tail(d, both + cols, cols, none);
    norm_math::store_tail(merge<F>(low, high), d, acc, cols);
    x += rows / 2 * lanes, rows %= 2;
  }
  std::int64_t c = 0;
  for (; c + 4 * lanes <= cols; c += 4 * lanes) {
    V a0 = hn::LoadU(d, acc + c), a1 = hn::LoadU(d, acc + c + lanes);
    V a2 = hn::LoadU(d, acc + c + 2 * lanes), a3 = hn::LoadU(d, acc + c + 3 * lanes);
    const V s0 = shift ? hn::LoadU(d, shift + c) : none, s1 = shift ? hn::LoadU(d, shift + c + lanes) : none;
    const V s2 = shift ? hn::LoadU(d, shift + c + 2 * lanes) : none, s3 = shift ? hn::LoadU(d, shift + c + 3 * lanes) : none;
    const float* p = x + c;
    for (std::int64_t r = 0; r < rows; ++r, p += stride) {
      a0 = take<F>(d, a0, hn::LoadU(d, p), s0);
      a1 = take<F>(d, a1, hn::LoadU(d, p + lanes), s1);
      a2 = take<F>(d, a2, hn::LoadU(d, p + 2 * lanes), s2);
      a3 = take<F>(d, a3, hn::LoadU(d, p + 3 * lanes), s3);
    }
    hn::StoreU(a0, d, acc + c);
    hn::StoreU(a1, d, acc + c + lanes);
    hn::StoreU(a2, d, acc + c + 2 * lanes);
    hn::StoreU(a3, d, acc + c + 3 * lanes);
  }
  for (; c + lanes <= cols; c += lanes) {
    // Four chains, so that a lone vector (blocked data) is not bound by latency.
    const V s = shift ? hn::LoadU(d, shift + c) : none, zero = hn::Set(d, start<F>());
    V a0 = hn::LoadU(d, acc + c), a1 = zero, a2 = zero, a3 = zero;
    const float* p = x + c;
    std::int64_t r = 0;
    for (; r + 4 <= rows; r += 4, p += 4 * stride) {
      a0 = take<F>(d, a0, hn::LoadU(d, p), s);
      a1 = take<F>(d, a1, hn::LoadU(d, p + stride), s);
      a2 = take<F>(d, a2, hn::LoadU(d, p + 2 * stride), s);
      a3 = take<F>(d, a3, hn::LoadU(d, p + 3 * stride), s);
    }
    for (; r < rows; ++r, p += stride) a0 = take<F>(d, a0, hn::LoadU(d, p), s);
    hn::StoreU(merge<F>(merge<F>(a0, a1), merge<F>(a2, a3)), d, acc + c);
  }
  if (c < cols) {
    const std::int64_t n = cols - c;
    const V s = shift ? norm_math::load_tail(d, shift + c, n, none) : none;
    V a = norm_math::load_tail(d, acc + c, n, none);
    const float* p = x + c;
    for (std::int64_t r = 0; r < rows; ++r, p += stride) a = take<F>(d, a, norm_math::load_tail(d, p, n, none), s);
    norm_math::store_tail(a, d, acc + c, n);
  }
}

HWY_ATTR float run_kernel(Fold fold, const float* x, std::int64_t n, float shift) {
  switch (fold) {
    case Fold::sum: return run_of<Fold::sum>(x, n, shift);
    case Fold::sum_abs: return run_of<Fold::sum_abs>(x, n, shift);
    case Fold::sum_square: return run_of<Fold::sum_square>(x, n, shift);
    case Fold::prod: return run_of<Fold::prod>(x, n, shift);
    case Fold::max: return run_of<Fold::max>(x, n, shift);
    case Fold::min: return run_of<Fold::min>(x, n, shift);
    case Fold::sum_exp: return run_of<Fold::sum_exp>(x, n, shift);
  }
  return 0;
}

HWY_ATTR void rows_kernel(Fold fold, const float* x, std::int64_t rows, std::int64_t stride, std::int64_t cols, const float* shift,
                          float* acc) {
  switch (fold) {
    case Fold::sum: return rows_of<Fold::sum>(x, rows, stride, cols, shift, acc);
    case Fold::sum_abs: return rows_of<Fold::sum_abs>(x, rows, stride, cols, shift, acc);
    case Fold::sum_square: return rows_of<Fold::sum_square>(x, rows, stride, cols, shift, acc);
    case Fold::prod: return rows_of<Fold::prod>(x, rows, stride, cols, shift, acc);
    case Fold::max: return rows_of<Fold::max>(x, rows, stride, cols, shift, acc);
    case Fold::min: return rows_of<Fold::min>(x, rows, stride, cols, shift, acc);
    case Fold::sum_exp: return rows_of<Fold::sum_exp>(x, rows, stride, cols, shift, acc);
  }
}

HWY_ATTR void affine_run_kernel(const float* x, std::int64_t n, float a, float b, float* y) {
  const D d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const V va = hn::Set(d, a), vb = hn::Set(d, b);
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(hn::MulAdd(va, hn::LoadU(d, x + i), vb), d, y + i);
  if (i < n) norm_math::store_tail(hn::MulAdd(va, norm_math::load_tail(d, x + i, n - i, vb), vb), d, y + i, n - i);
}

HWY_ATTR void affine_rows_kernel(const float* x, std::int64_t rows, std::int64_t cols, const float* a, const float* b, float* y) {
  const D d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t c = 0;
  for (; c + lanes <= cols; c += lanes) {
    const V va = hn::LoadU(d, a + c), vb = hn::LoadU(d, b + c);
    for (std::int64_t r = 0; r < rows; ++r) hn::StoreU(hn::MulAdd(va, hn::LoadU(d, x + r * cols + c), vb), d, y + r * cols + c);
  }
  for (; c < cols; ++c) {
    for (std::int64_t r = 0; r < rows; ++r) y[r * cols + c] = a[c] * x[r * cols + c] + b[c];
  }
}

// Where the value that fold_run found stands; x != x finds a NaN.
HWY_ATTR std::int64_t arg_run_kernel(bool largest, bool last, const float* x, std::int64_t n) {
  const D d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const float best = largest ? run_of<Fold::max>(x, n, 0) : run_of<Fold::min>(x, n, 0);
  const bool nan = best != best;
  const V v = hn::Set(d, best);
  if (!last) {
    std::int64_t i = 0;
    for (; i + lanes <= n; i += lanes) {
      const V t = hn::LoadU(d, x + i);
      if (!hn::AllFalse(d, nan ? hn::IsNaN(t) : hn::Eq(t, v))) break;
    }
    while (i < n && !(nan ? x[i] != x[i] : x[i] == best)) ++i;
    return i;
  }
  std::int64_t i = n;
  for (; i >= lanes; i -= lanes) {
    const V t = hn::LoadU(d, x + i - lanes);
    if (!hn::AllFalse(d, nan ? hn::IsNaN(t) : hn::Eq(t, v))) break;
  }
  while (i > 1 && !(nan ? x[i - 1] != x[i - 1] : x[i - 1] == best)) --i;
  return i - 1;
}

template <bool Largest, bool Last>
HWY_ATTR void arg_columns_of(const float* x, std::int64_t n, std::int64_t stride, std::int64_t cols, std::int64_t* index) {
  const D d;
  const hn::RebindToSigned<D> di;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  HWY_ALIGN std::int32_t found[HWY_MAX_BYTES / sizeof(std::int32_t)];
  for (std::int64_t c = 0; c < cols; c += lanes) {
    const std::int64_t width = cols - c < lanes ? cols - c : lanes;
    const bool whole = width == lanes;
    const V none = hn::Zero(d);
    const float* p = x + c;
    V best = whole ? hn::LoadU(d, p) : norm_math::load_tail(d, p, width, none);
    auto at = hn::Zero(di);
    for (std::int64_t r = 1; r < n; ++r) {
      p += stride;
      const V t = whole ? hn::LoadU(d, p) : norm_math::load_tail(d, p, width, none);
      // Ordered comparisons are false for NaN; a NaN takes over from a number, and with Last also from a NaN.
      const auto better = Last ? (Largest ? hn::Ge(t, best) : hn::Le(t, best)) : (Largest ? hn::Gt(t, best) : hn::Lt(t, best));
      const auto nan = Last ? hn::IsNaN(t) : hn::And(hn::IsNaN(t), hn::Not(hn::IsNaN(best)));
      const auto take_it = hn::Or(better, nan);
      best = hn::IfThenElse(take_it, t, best);
      at = hn::IfThenElse(hn::RebindMask(di, take_it), hn::Set(di, static_cast<std::int32_t>(r)), at);
    }
    hn::Store(at, di, found);
    for (std::int64_t i = 0; i < width; ++i) index[c + i] = found[i];
  }
}

HWY_ATTR void arg_columns_kernel(bool largest, bool last, const float* x, std::int64_t n, std::int64_t stride, std::int64_t cols,
                                 std::int64_t* index) {
  if (largest) return last ? arg_columns_of<true, true>(x, n, stride, cols, index) : arg_columns_of<true, false>(x, n, stride, cols, index);
  return last ? arg_columns_of<false, true>(x, n, stride, cols, index) : arg_columns_of<false, false>(x, n, stride, cols, index);
}

HWY_ATTR std::int64_t find_kernel(bool largest, const float* x, std::int64_t begin, std::int64_t n, float bound) {
  const D d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const V v = hn::Set(d, bound);
  std::int64_t i = begin;
  for (; i + lanes <= n; i += lanes) {
    const V t = hn::LoadU(d, x + i);
    const auto hit = largest ? hn::Not(hn::Le(t, v)) : hn::Lt(t, v);
    const std::intptr_t at = hn::FindFirstTrue(d, hit);
    if (at >= 0) return i + at;
  }
  for (; i < n; ++i) {
    if (largest ? !(x[i] <= bound) : x[i] < bound) return i;
  }
  return n;
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tenon::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tenon::cpu {

TENON_SIMD_EXPORT(run_kernel);
TENON_SIMD_EXPORT(rows_kernel);
TENON_SIMD_EXPORT(affine_run_kernel);
TENON_SIMD_EXPORT(affine_rows_kernel);
TENON_SIMD_EXPORT(arg_run_kernel);
TENON_SIMD_EXPORT(arg_columns_kernel);
TENON_SIMD_EXPORT(find_kernel);

float fold_start(Fold fold) {
  switch (fold) {
    case Fold::prod: return 1;
    case Fold::max: return -std::numeric_limits<float>::infinity();
    case Fold::min: return std::numeric_limits<float>::infinity();
    default: return 0;
  }
}

namespace {

// Long sums go through partial sums: the rounding error then grows with the length of a stretch, not of the whole.
constexpr std::int64_t stretch = 64;        // rows, or vectors of a run
constexpr std::int64_t widest_partial = 64;  // columns
bool is_sum(Fold fold) { return fold_start(fold) == 0.0f; }

}  // namespace

float fold_run(Fold fold, const float* x, std::int64_t n, float shift) {
  constexpr std::int64_t piece = stretch * 32;
  if (!is_sum(fold) || n < 2 * piece) return TENON_SIMD(run_kernel)(fold, x, n, shift);
  float total = 0;
  for (std::int64_t at = 0; at < n; at += piece) total += TENON_SIMD(run_kernel)(fold, x + at, std::min(piece, n - at), shift);
  return total;
}

void fold_rows(Fold fold, const float* x, std::int64_t rows, std::int64_t stride, std::int64_t cols, const float* shift, float* acc) {
  if (!is_sum(fold) || rows < 2 * stretch || cols > widest_partial)
    return TENON_SIMD(rows_kernel)(fold, x, rows, stride, cols, shift, acc);
  float part[widest_partial];
  for (std::int64_t at = 0; at < rows; at += stretch) {
    std::fill_n(part, cols, 0.0f);
    TENON_SIMD(rows_kernel)(fold, x + at * stride, std::min(stretch, rows - at), stride, cols, shift, part);
    for (std::int64_t c = 0; c < cols; ++c) acc[c] += part[c];
  }
}

void affine_run(const float* x, std::int64_t n, float a, float b, float* y) { TENON_SIMD(affine_run_kernel)(x, n, a, b, y); }

void affine_rows(const float* x, std::int64_t rows, std::int64_t cols, const float* a, const float* b, float* y) {
  TENON_SIMD(affine_rows_kernel)(x, rows, cols, a, b, y);
}

std::int64_t arg_run(bool largest, bool last, const float* x, std::int64_t n) {
  return TENON_SIMD(arg_run_kernel)(largest, last, x, n);
}

void arg_columns(bool largest, bool last, const float* x, std::int64_t n, std::int64_t stride, std::int64_t cols, std::int64_t* index) {
  TENON_SIMD(arg_columns_kernel)(largest, last, x, n, stride, cols, index);
}

std::int64_t find_beyond(bool largest, const float* x, std::int64_t begin, std::int64_t n, float bound) {
  return TENON_SIMD(find_kernel)(largest, x, begin, n, bound);
}

}  // namespace tenon::cpu
#endif
