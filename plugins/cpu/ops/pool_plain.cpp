#include "plugins/cpu/ops/pool_plain.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace tenon::cpu {
namespace {

template <class T>
struct PlainPool {
  Pooling pooling;
  PoolGeometry g;
  Ref x, y, indices;

  void operator()(const StepContext& context) const {
    const T* in = context.ptr<const T>(x);
    T* out = context.ptr<T>(y);
    std::int64_t* where = indices.present() ? context.ptr<std::int64_t>(indices) : nullptr;
    const auto slice = context.slice(g.planes);
    for (std::int64_t plane = slice.begin; plane < slice.end; ++plane) {
      std::int64_t at = plane * g.out_pixels();
      for (std::int64_t od = 0; od < g.d.out; ++od)
        for (std::int64_t oh = 0; oh < g.h.out; ++oh)
          for (std::int64_t ow = 0; ow < g.w.out; ++ow, ++at)
            one(in + plane * g.in_pixels(), plane, od, oh, ow, out[at], where ? where + at : nullptr);
    }
  }

  void one(const T* in, std::int64_t plane, std::int64_t od, std::int64_t oh, std::int64_t ow, T& out, std::int64_t* where) const {
    const PoolSpan sd = g.span(g.d, g.end_d, od), sh = g.span(g.h, g.end_h, oh), sw = g.span(g.w, g.end_w, ow);
    T best = std::numeric_limits<T>::has_infinity ? -std::numeric_limits<T>::infinity() : std::numeric_limits<T>::lowest();
    double sum = 0;
    std::int64_t at = -1;
    for (std::int64_t kd = sd.begin; kd < sd.end; ++kd)
      for (std::int64_t kh = sh.begin; kh < sh.end; ++kh)
        for (std::int64_t kw = sw.begin; kw < sw.end; ++kw) {
          const std::int64_t d = od * g.d.stride - g.d.pad + kd * g.d.dilation, h = oh * g.h.stride - g.h.pad + kh * g.h.dilation;
          const std::int64_t w = ow * g.w.stride - g.w.pad + kw * g.w.dilation;
          const T v = in[(d * g.h.in + h) * g.w.in + w];
          if (pooling == Pooling::max) {
            if (v > best || at < 0) {
              if (v > best) best = v;
              at = g.column_major ? (w * g.h.in + h) * g.d.in + d : (d * g.h.in + h) * g.w.in + w;
            }
          } else if (pooling == Pooling::average) {
            sum += static_cast<double>(v);
          } else {
            const double a = std::abs(static_cast<double>(v));
            sum += g.p == 1 ? a : g.p == 2 ? a * a : std::pow(a, static_cast<double>(g.p));
          }
        }
    if (pooling == Pooling::max) out = best;
    else if (pooling == Pooling::average) out = static_cast<T>(sum / (static_cast<double>(sd.count) * sh.count * sw.count));
    else out = static_cast<T>(g.p == 1 ? sum : g.p == 2 ? std::sqrt(sum) : std::pow(sum, 1.0 / static_cast<double>(g.p)));
    if (where) *where = plane * g.in_pixels() + std::max<std::int64_t>(at, 0);
  }
};

template <class T>
void emit(PlanBuilder& builder, Pooling pooling, const PoolGeometry& g) {
  const double taps = static_cast<double>(g.d.kernel * g.h.kernel * g.w.kernel);
  builder.step("pool.plain", PlainPool<T>{pooling, g, builder.in_ref(0), builder.out_ref(0), builder.out_ref(1)},
               {.est_ns = static_cast<double>(builder.out(0).count()) * (taps + 4)});
}

}  // namespace

PoolSpan PoolGeometry::span(const Window& window, std::int64_t pad_end, std::int64_t o) const {
  std::int64_t begin, end;
  window.inside(o, begin, end);
  std::int64_t count = end - begin;
  if (include_pad) {
    const std::int64_t room = window.in + pad_end - (o * window.stride - window.pad);
    count = std::clamp<std::int64_t>((room + window.dilation - 1) / window.dilation, 0, window.kernel);
  }
  return {static_cast<std::int32_t>(begin), static_cast<std::int32_t>(end), static_cast<std::int32_t>(count)};
}

void emit_plain_pool(PlanBuilder& builder, Pooling pooling, const PoolGeometry& geometry) {
  switch (builder.in(0).dtype) {
    case TENON_DTYPE_FLOAT: return emit<float>(builder, pooling, geometry);
    case TENON_DTYPE_DOUBLE: return emit<double>(builder, pooling, geometry);
    case TENON_DTYPE_UINT8: return emit<std::uint8_t>(builder, pooling, geometry);
    case TENON_DTYPE_INT8: return emit<std::int8_t>(builder, pooling, geometry);
    default: throw Failure{TENON_UNIMPLEMENTED, "pools take float, double, int8 and uint8"};
  }
}

}  // namespace tenon::cpu
