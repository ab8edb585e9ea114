#include "plugins/cpu/ops/conv_plain.h"

namespace tenon::cpu {
namespace {

template <class T>
struct PlainConv {
  ConvGeometry g;
  Ref x, w, b, y;

  void operator()(const StepContext& context) const {
    const T *in = context.ptr<const T>(x), *weights = context.ptr<const T>(w);
    const T* bias = b.present() ? context.ptr<const T>(b) : nullptr;
    T* out = context.ptr<T>(y);
    const auto slice = context.slice(g.n * g.groups * g.oc);
    for (std::int64_t i = slice.begin; i < slice.end; ++i) {
      const std::int64_t channel = i % (g.groups * g.oc), group = channel / g.oc;
      const T* image = in + (i / (g.groups * g.oc) * g.groups + group) * g.ic * g.in_pixels();
      T* to = out + i * g.out_pixels();
      for (std::int64_t od = 0; od < g.d.out; ++od)
        for (std::int64_t oh = 0; oh < g.h.out; ++oh)
          for (std::int64_t ow = 0; ow < g.w.out; ++ow)
            *to++ = static_cast<T>(sum(image, weights + channel * g.ic * g.taps(), od, oh, ow) +
                                   (bias ? static_cast<double>(bias[channel]) : 0));
    }
  }
  double sum(const T* image, const T* weights, std::int64_t od, std::int64_t oh, std::int64_t ow) const {
    std::int64_t d0, d1, h0, h1, w0, w1;
    g.d.inside(od, d0, d1);
    g.h.inside(oh, h0, h1);
    g.w.inside(ow, w0, w1);
    double total = 0;
    for (std::int64_t c = 0; c < g.ic; ++c)
      for (std::int64_t kd = d0; kd < d1; ++kd)
        for (std::int64_t kh = h0; kh < h1; ++kh)
          for (std::int64_t kw = w0; kw < w1; ++kw) {
            const std::int64_t id = od * g.d.stride - g.d.pad + kd * g.d.dilation, ih = oh * g.h.stride - g.h.pad + kh * g.h.dilation;
            const std::int64_t iw = ow * g.w.stride - g.w.pad + kw * g.w.dilation;
            total += static_cast<double>(image[((c * g.d.in + id) * g.h.in + ih) * g.w.in + iw]) *
                     static_cast<double>(weights[((c * g.d.kernel + kd) * g.h.kernel + kh) * g.w.kernel + kw]);
          }
    return total;
  }
};

// The outputs of the backward window that read input i through kernel position k: at most one.
bool source(const Window& window, std::int64_t i, std::int64_t k, std::int64_t& o) {
  const std::int64_t at = i + window.pad - k * window.dilation;
  if (at < 0 || at % window.stride != 0) return false;
  o = at / window.stride;
  return o < window.out;
}

template <class T>
struct PlainConvTranspose {
  ConvGeometry g;
  Ref x, w, b, y;

  void operator()(const StepContext& context) const {
    const T *in = context.ptr<const T>(x), *weights = context.ptr<const T>(w);
    const T* bias = b.present() ? context.ptr<const T>(b) : nullptr;
    T* out = context.ptr<T>(y);
    const auto slice = context.slice(g.n * g.groups * g.oc);
    for (std::int64_t i = slice.begin; i < slice.end; ++i) {
      const std::int64_t channel = i % (g.groups * g.oc), group = channel / g.oc;
      const T* image = in + (i / (g.groups * g.oc) * g.groups + group) * g.ic * g.out_pixels();
      T* to = out + i * g.in_pixels();
      for (std::int64_t d = 0; d < g.d.in; ++d)
        for (std::int64_t h = 0; h < g.h.in; ++h)
          for (std::int64_t v = 0; v < g.w.in; ++v)
            *to++ = static_cast<T>(sum(image, weights + (group * g.ic * g.oc + channel % g.oc) * g.taps(), d, h, v) +
                                   (bias ? static_cast<double>(bias[channel]) : 0));
    }
  }
  double sum(const T* image, const T* weights, std::int64_t d, std::int64_t h, std::int64_t v) const {
    double total = 0;
    std::int64_t od, oh, ow;
    for (std::int64_t kd = 0; kd < g.d.kernel; ++kd) {
      if (!source(g.d, d, kd, od)) continue;
      for (std::int64_t kh = 0; kh < g.h.kernel; ++kh) {
        if (!source(g.h, h, kh, oh)) continue;
        for (std::int64_t kw = 0; kw < g.w.kernel; ++kw) {
          if (!source(g.w, v, kw, ow)) continue;
          const std::int64_t tap = (kd * g.h.kernel + kh) * g.w.kernel + kw, pixel = (od * g.h.out + oh) * g.w.out + ow;
          for (std::int64_t c = 0; c < g.ic; ++c)
            total += static_cast<double>(image[c * g.out_pixels() + pixel]) * static_cast<double>(weights[c * g.oc * g.taps() + tap]);
        }
      }
    }
    return total;
  }
};

template <template <class> class Step>
void emit(PlanBuilder& builder, const char* name, const ConvGeometry& g, Ref b) {
  const Ref x = builder.in_ref(0), w = builder.in_ref(1), y = builder.out_ref(0);
  const StepOptions options{.est_ns =
                                2.0 * static_cast<double>(g.n * g.groups * g.oc * g.out_pixels()) * static_cast<double>(g.ic * g.taps())};
  if (builder.out(0).count() == 0) return;
  if (builder.in(0).dtype == TENON_DTYPE_DOUBLE) builder.step(name, Step<double>{g, x, w, b, y}, options);
  else builder.step(name, Step<float>{g, x, w, b, y}, options);
}

}  // namespace

void emit_plain_conv(PlanBuilder& builder, const ConvGeometry& geometry, Ref bias) {
  emit<PlainConv>(builder, "conv.plain", geometry, bias);
}
void emit_plain_conv_transpose(PlanBuilder& builder, const ConvGeometry& geometry, Ref bias) {
  emit<PlainConvTranspose>(builder, "conv_transpose.plain", geometry, bias);
}

}  // namespace tenon::cpu
