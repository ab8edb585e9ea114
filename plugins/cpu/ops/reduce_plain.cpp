#include <algorithm>
#include <cmath>
#include <limits>

#include "plugins/cpu/ops/reduce_loops.h"
#include "plugins/cpu/ops/reduce_types.h"

namespace tenon::cpu {
namespace {

template <class T>
using Wide = std::conditional_t<std::is_floating_point_v<T>, double, std::conditional_t<std::is_signed_v<T>, std::int64_t, std::uint64_t>>;
// Exponentials of integers are no integers.
template <class T, Fold F>
using Accumulator = std::conditional_t<F == Fold::sum_exp, double, Wide<T>>;

template <class T, Fold F>
Accumulator<T, F> take(Accumulator<T, F> acc, T x, double shift) {
  using W = Accumulator<T, F>;
  const W w = static_cast<W>(x);
  if constexpr (F == Fold::sum) return wrapping_add<W>(acc, w);
  if constexpr (F == Fold::sum_abs) {
    if constexpr (std::is_unsigned_v<T>) return acc + w;
    else if constexpr (std::is_integral_v<T>) return wrapping_add<W>(acc, w < 0 ? wrapping_mul<W>(w, -1) : w);
    else return acc + std::abs(w);
  }
  if constexpr (F == Fold::sum_square) return wrapping_add<W>(acc, wrapping_mul<W>(w, w));
  if constexpr (F == Fold::prod) return wrapping_mul<W>(acc, w);
  if constexpr (F == Fold::max) return w != w || w > acc ? w : acc;
  if constexpr (F == Fold::min) return w != w || w < acc ? w : acc;
  if constexpr (F == Fold::sum_exp) return acc + std::exp(w - shift);
}

template <class T>
Wide<T> typed_start(Fold fold) {
  using L = std::numeric_limits<T>;
  if (fold == Fold::prod) return 1;
  if (fold == Fold::max) return L::has_infinity ? -L::infinity() : L::lowest();
  if (fold == Fold::min) return L::has_infinity ? L::infinity() : L::max();
  return 0;
}

template <class T, class W>
T typed_result(ReduceKind kind, W acc, std::int64_t folded, double shift) {
  switch (kind) {
    case ReduceKind::mean:
      if constexpr (std::is_integral_v<T>) return folded == 0 ? T(0) : static_cast<T>(acc / static_cast<W>(folded));
      else return static_cast<T>(acc / static_cast<W>(folded));
    case ReduceKind::l2: return static_cast<T>(std::sqrt(static_cast<double>(acc)));
    case ReduceKind::log_sum: return static_cast<T>(std::log(static_cast<double>(acc)));
    case ReduceKind::log_sum_exp: return static_cast<T>(shift + std::log(static_cast<double>(acc)));
    default: return static_cast<T>(acc);
  }
}

template <class T, Fold F>
void typed_units(const ReduceLoops& loops, ReduceKind kind, const T* in, T* out, std::int64_t begin_unit, std::int64_t end_unit) {
  constexpr std::int64_t width = 64;
  Accumulator<T, F> acc[width];
  double shift[width];
  for (std::int64_t unit = begin_unit; unit < end_unit; ++unit) {
    const T* base = in + loops.unit_offset(unit);
    T* y = out + unit * loops.cols;
    for (std::int64_t col = 0; col < loops.cols; col += width) {
      const std::int64_t n = std::min(width, loops.cols - col);
      const std::int64_t outer = loops.reduced[0].size;
      std::fill(shift, shift + n, 0.0);
      if constexpr (F == Fold::sum_exp) {
        std::fill(shift, shift + n, -std::numeric_limits<double>::infinity());
        loops.each(0, outer, [&](std::int64_t offset, std::int64_t size, std::int64_t stride) {
          for (std::int64_t r = 0; r < size; ++r) {
            for (std::int64_t i = 0; i < n; ++i) shift[i] = std::max(shift[i], static_cast<double>(base[offset + r * stride + col + i]));
          }
        });
        for (std::int64_t i = 0; i < n; ++i) shift[i] = std::isfinite(shift[i]) ? shift[i] : 0.0;
      }
      std::fill(acc, acc + n, static_cast<Accumulator<T, F>>(typed_start<T>(F)));
      loops.each(0, outer, [&](std::int64_t offset, std::int64_t size, std::int64_t stride) {
        for (std::int64_t r = 0; r < size; ++r) {
          const T* p = base + offset + r * stride + col;
          for (std::int64_t i = 0; i < n; ++i) acc[i] = take<T, F>(acc[i], p[i], shift[i]);
        }
      });
      for (std::int64_t i = 0; i < n; ++i) y[col + i] = typed_result<T>(kind, acc[i], loops.folded, shift[i]);
    }
  }
}

struct TypedStep {
  Ref x, y;
  ReduceLoops loops;
  std::int32_t dtype;
  ReduceKind kind;

  void operator()(const StepContext& c) const {
    const auto slice = c.slice(loops.units);
    if (slice.begin >= slice.end) return;
    visit_number(dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      const T* in = c.ptr<const T>(x);
      T* out = c.ptr<T>(y);
      const auto run = [&]<Fold F>(std::integral_constant<Fold, F>) { typed_units<T, F>(loops, kind, in, out, slice.begin, slice.end); };
      switch (fold_of(kind)) {
        case Fold::max: return run(std::integral_constant<Fold, Fold::max>{});
        case Fold::min: return run(std::integral_constant<Fold, Fold::min>{});
        default: break;
      }
      if constexpr (sizeof(T) >= 4) {
        switch (fold_of(kind)) {
          case Fold::sum_abs: return run(std::integral_constant<Fold, Fold::sum_abs>{});
          case Fold::sum_square: return run(std::integral_constant<Fold, Fold::sum_square>{});
          case Fold::prod: return run(std::integral_constant<Fold, Fold::prod>{});
          case Fold::sum_exp: return run(std::integral_constant<Fold, Fold::sum_exp>{});
          default: return run(std::integral_constant<Fold, Fold::sum>{});
        }
      }
    });
  }
};

}  // namespace

void plan_reduce_plain(PlanBuilder& builder, ReduceKind kind, std::int32_t dtype, const ReduceLoops& loops, Ref x, Ref y) {
  const Ref reads[] = {x}, writes[] = {y};
  const double elements = static_cast<double>(loops.units * loops.cols) * static_cast<double>(std::max<std::int64_t>(loops.folded, 1));
  builder.step("reduce", TypedStep{x, y, loops, dtype, kind}, {.est_ns = elements}, reads, writes);
}

}  // namespace tenon::cpu
