#include <algorithm>
#include <limits>
#include <type_traits>

#include "plugins/cpu/gemm/product.h"

namespace tenon::cpu::gemm {
namespace {

// Integers wrap around: products and sums are made without sign.
template <class T>
struct Sum {
  using type = std::conditional_t<std::is_same_v<T, float>, double, T>;
};
template <>
struct Sum<std::int32_t> {
  using type = std::uint32_t;
};
template <>
struct Sum<std::int64_t> {
  using type = std::uint64_t;
};

template <class T>
T scaled(T x, float factor) {
  if (factor == 1) return x;
  const double y = static_cast<double>(x) * static_cast<double>(factor);
  if constexpr (std::is_integral_v<T>) {
    constexpr double low = static_cast<double>(std::numeric_limits<T>::min()), high = static_cast<double>(std::numeric_limits<T>::max());
    if (!(y > low)) return y == y ? std::numeric_limits<T>::min() : T{0};
    if (y >= high) return std::numeric_limits<T>::max();
  }
  return static_cast<T>(y);
}

template <class T>
struct ReferenceStep {
  using S = typename Sum<T>::type;
  Problem p;
  std::int64_t batch_count;
  Ref a, b, c;
  Addend addend;

  void operator()(const StepContext& context) const {
    const T* a0 = context.ptr<const T>(a);
    const T* b0 = context.ptr<const T>(b);
    T* c0 = context.ptr<T>(c);
    const T* y0 = addend.y.present() ? context.ptr<const T>(addend.y) : nullptr;
    const StepContext::Slice rows = context.slice(batch_count * p.m);
    for (std::int64_t r = rows.begin; r < rows.end; ++r) {
      std::int64_t index = r / p.m;
      const std::int64_t i = r - index * p.m;
      const T* x = a0 + i * p.a_row;
      const T* w = b0;
      T* z = c0 + i * p.c_row;
      for (int d = p.batch_rank - 1; d >= 0; --d) {
        const std::int64_t at = index % p.batch[d];
        index /= p.batch[d];
        x += at * p.batch_a[d];
        w += at * p.batch_b[d];
        z += at * p.batch_c[d];
      }
      constexpr std::int64_t kStrip = 64;  // columns at once: B is read along its rows
      for (std::int64_t j0 = 0; j0 < p.n; j0 += kStrip) {
        const std::int64_t n = std::min(kStrip, p.n - j0);
        S sums[kStrip] = {};
        for (std::int64_t k = 0; k < p.k; ++k) {
          const S xk = static_cast<S>(x[k * p.a_k]);
          const T* wk = w + k * p.b_k + j0 * p.b_column;
          for (std::int64_t j = 0; j < n; ++j) sums[j] += xk * static_cast<S>(wk[j * p.b_column]);
        }
        for (std::int64_t j = 0; j < n; ++j) {
          const T y = y0 ? y0[i * addend.row + (j0 + j) * addend.column] : T{0};
          S sum;
          if constexpr (std::is_same_v<T, float>) {
            sum = sums[j] * static_cast<double>(p.alpha);
            if (y0) sum += static_cast<double>(y) * static_cast<double>(addend.factor);
          } else {
            sum = static_cast<S>(scaled(static_cast<T>(sums[j]), p.alpha)) + static_cast<S>(scaled(y, addend.factor));
          }
          z[(j0 + j) * p.c_column] = static_cast<T>(sum);
        }
      }
    }
  }
};

template <class T>
void emit_type(PlanBuilder& builder, const char* name, const Problem& p, Ref a, Ref b, Ref c, const Addend& addend,
               std::span<const Ref> reads, std::span<const Ref> writes) {
  std::int64_t batch = 1;
  for (int d = 0; d < p.batch_rank; ++d) batch *= p.batch[d];
  if (batch * p.m * p.n == 0) return;
  StepOptions options;
  options.est_ns = static_cast<double>(batch) * static_cast<double>(p.m) * static_cast<double>(p.n) * static_cast<double>(p.k + 1);
  builder.step(name, ReferenceStep<T>{p, batch, a, b, c, addend}, options, reads, writes);
}

}  // namespace

bool reference_takes(std::int32_t dtype) {
  switch (dtype) {
    case TENON_DTYPE_FLOAT: case TENON_DTYPE_DOUBLE: case TENON_DTYPE_INT32: case TENON_DTYPE_INT64: case TENON_DTYPE_UINT32:
    case TENON_DTYPE_UINT64: return true;
    default: return false;
  }
}

void emit_reference(PlanBuilder& builder, const char* name, std::int32_t dtype, const Problem& p, Ref a, Ref b, Ref c, const Addend& addend,
                    std::span<const Ref> reads, std::span<const Ref> writes) {
  switch (dtype) {
    case TENON_DTYPE_FLOAT: return emit_type<float>(builder, name, p, a, b, c, addend, reads, writes);
    case TENON_DTYPE_DOUBLE: return emit_type<double>(builder, name, p, a, b, c, addend, reads, writes);
    case TENON_DTYPE_INT32: return emit_type<std::int32_t>(builder, name, p, a, b, c, addend, reads, writes);
    case TENON_DTYPE_INT64: return emit_type<std::int64_t>(builder, name, p, a, b, c, addend, reads, writes);
    case TENON_DTYPE_UINT32: return emit_type<std::uint32_t>(builder, name, p, a, b, c, addend, reads, writes);
    case TENON_DTYPE_UINT64: return emit_type<std::uint64_t>(builder, name, p, a, b, c, addend, reads, writes);
    default: throw Failure{TENON_UNIMPLEMENTED, "matrix product: type " + std::to_string(dtype)};
  }
}

}  // namespace tenon::cpu::gemm
