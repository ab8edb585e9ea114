#include "plugins/cpu/ops/recurrent_kernels.h"

#include <bit>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "plugins/cpu/ops/recurrent_kernels.cpp"
#include "plugins/cpu/simd.h"
// After simd.h.
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "plugins/cpu/simd_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tenon::cpu {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::CappedTag<float, max_panel_lanes>;
using V = hn::Vec<D>;

HWY_ATTR V act(D d, const Activation& f, V x) {
  const V zero = hn::Zero(d), one = hn::Set(d, 1.0f), a = hn::Set(d, f.alpha), b = hn::Set(d, f.beta);
  switch (f.kind) {
    case Activate::relu: return hn::Max(zero, x);
    case Activate::tanh: return HWY_NAMESPACE::tanh(d, x);
    case Activate::sigmoid: return HWY_NAMESPACE::sigmoid(d, x);
    case Activate::affine: return hn::MulAdd(a, x, b);
    case Activate::leaky_relu: return hn::IfThenElse(hn::Lt(x, zero), hn::Mul(a, x), x);
    case Activate::thresholded_relu: return hn::IfThenElse(hn::Lt(x, a), zero, x);
    case Activate::scaled_tanh: return hn::Mul(a, HWY_NAMESPACE::tanh(d, hn::Mul(b, x)));
    case Activate::hard_sigmoid: return hn::Min(one, hn::Max(zero, hn::MulAdd(a, x, b)));
    case Activate::elu: return hn::IfThenElse(hn::Lt(x, zero), hn::Mul(a, HWY_NAMESPACE::expm1(d, x)), x);
    case Activate::softsign: return hn::Div(x, hn::Add(one, hn::Abs(x)));
    case Activate::softplus: return HWY_NAMESPACE::softplus(d, x);
  }
  return x;
}

HWY_INLINE HWY_ATTR V bounded(D d, V x, float clip) {
  if (clip <= 0) return x;
  return hn::Min(hn::Set(d, clip), hn::Max(hn::Set(d, -clip), x));
}

// Weights are fetched this far ahead, over the ends of pages and panels, where the hardware stops.
constexpr std::int64_t fetched_floats = 512;

template <int Gates, int Rows>
HWY_ATTR void products(const float* const* h, const float* panel, std::int64_t depth, float* out) {
  const D d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  // A lone row has too few sums to hide the latency: two or four chains along k.
  constexpr int chains = Rows > 1 ? 1 : Gates >= 3 ? 2 : 4;
  V acc[chains][Rows][Gates];
  for (int u = 0; u < chains; ++u) {
    for (int r = 0; r < Rows; ++r) {
      for (int g = 0; g < Gates; ++g) acc[u][r][g] = hn::Zero(d);
    }
  }
  std::int64_t k = 0;
  for (; k + chains <= depth; k += chains) {
    HWY_UNROLL(4)
    for (int u = 0; u < chains; ++u) {
      const float* w = panel + (k + u) * Gates * lanes;
      HWY_UNROLL(8)
      for (int r = 0; r < Rows; ++r) {
        const V x = hn::Set(d, h[r][k + u]);
        HWY_UNROLL(4)
        for (int g = 0; g < Gates; ++g) acc[u][r][g] = hn::MulAdd(x, hn::Load(d, w + g * lanes), acc[u][r][g]);
      }
    }
  }
  for (; k < depth; ++k) {
    const float* w = panel + k * Gates * lanes;
    for (int r = 0; r < Rows; ++r) {
      const V x = hn::Set(d, h[r][k]);
      for (int g = 0; g < Gates; ++g) acc[0][r][g] = hn::MulAdd(x, hn::Load(d, w + g * lanes), acc[0][r][g]);
    }
  }
  for (int r = 0; r < Rows; ++r) {
    for (int g = 0; g < Gates; ++g) {
      V sum = acc[0][r][g];
      for (int u = 1; u < chains; ++u) sum = hn::Add(sum, acc[u][r][g]);
      hn::Store(sum, d, out + (r * Gates + g) * lanes);
    }
  }
}

// Left alone, gcc loads a vector once more for each use, and loads are what the loop is short of.
template <class T>
HWY_INLINE HWY_ATTR void keep_loaded([[maybe_unused]] T& v) {
#if HWY_ARCH_X86 && HWY_COMPILER_GCC_ACTUAL
  __asm__("" : "+x"(v.raw));
#endif
}

template <int Gates, int Rows>
HWY_ATTR void compact_products(const float* const* h, const float* panel, std::int64_t depth, float* out) {
  const D d;
  const hn::RebindToSigned<D> di;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const float* scales = panel;
  panel += Gates * lanes;
  constexpr int chains = Rows > 1 ? 1 : Gates >= 3 ? 2 : 4;
  // Steps along k that are taken at once: whole groups of four vectors, and every chain.
  constexpr int together = Gates == 3 ? 4 : Rows == 1 ? chains : 4 / Gates;
  static_assert(compact_depth % together == 0);
  V acc[chains][Rows][Gates];
  for (int u = 0; u < chains; ++u) {
    for (int r = 0; r < Rows; ++r) {
      for (int g = 0; g < Gates; ++g) acc[u][r][g] = hn::Zero(d);
    }
  }
  for (std::int64_t k = 0; k < depth; k += together) {
#pragma GCC unroll 4
    for (int q = 0; q < together * Gates / 4; ++q) {
      for (std::int64_t i = 0; i < 3 * lanes; i += 16) __builtin_prefetch(panel + fetched_floats + i);
      auto a = hn::BitCast(di, hn::Load(d, panel)), b = hn::BitCast(di, hn::Load(d, panel + lanes));
      keep_loaded(a), keep_loaded(b);
      const auto last = hn::Xor(hn::ShiftLeft<20>(a), hn::ShiftLeft<8>(b));
      const V w[4] = {hn::ConvertTo(d, a), hn::ConvertTo(d, b), hn::Load(d, panel + 2 * lanes), hn::ConvertTo(d, last)};
      panel += 3 * lanes;
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        const int at = (q * 4 + i) / Gates, gate = (q * 4 + i) % Gates;
#pragma GCC unroll 8
        for (int r = 0; r < Rows; ++r)
          acc[at % chains][r][gate] = hn::MulAdd(hn::Set(d, h[r][k + at]), w[i], acc[at % chains][r][gate]);
      }
    }
  }
  for (int r = 0; r < Rows; ++r) {
    for (int g = 0; g < Gates; ++g) {
      V sum = acc[0][r][g];
      for (int u = 1; u < chains; ++u) sum = hn::Add(sum, acc[u][r][g]);
      hn::Store(hn::Mul(sum, hn::Load(d, scales + g * lanes)), d, out + (r * Gates + g) * lanes);
    }
  }
}

template <int Gates, int Rows>
HWY_INLINE HWY_ATTR void products_in(bool compact, const float* const* h, const float* panel, std::int64_t depth, float* out) {
  if (compact) compact_products<Gates, Rows>(h, panel, depth, out);
  else products<Gates, Rows>(h, panel, depth, out);
}

template <int Gates>
HWY_ATTR void products_of(bool compact, std::int64_t rows, const float* const* h, const float* panel, std::int64_t depth, float* out) {
  constexpr int registers = HWY_TARGET <= HWY_AVX3 ? 16 : 12;
  constexpr int tall = registers / Gates < 8 ? registers / Gates : 8;
  const D d;
  const std::int64_t step = Gates * static_cast<std::int64_t>(hn::Lanes(d));
  for (; rows >= tall; rows -= tall, h += tall, out += tall * step) products_in<Gates, tall>(compact, h, panel, depth, out);
  for (; rows >= 2; rows -= 2, h += 2, out += 2 * step) products_in<Gates, 2>(compact, h, panel, depth, out);
  if (rows) products_in<Gates, 1>(compact, h, panel, depth, out);
}

HWY_ATTR void products_kernel(bool compact, std::int64_t gates, std::int64_t rows, const float* const* h, const float* panel, std::int64_t depth,
                              float* out) {
  if (gates == 4) return products_of<4>(compact, rows, h, panel, depth, out);
  if (gates == 3) return products_of<3>(compact, rows, h, panel, depth, out);
  if (gates == 2) return products_of<2>(compact, rows, h, panel, depth, out);
  products_of<1>(compact, rows, h, panel, depth, out);
}

HWY_ATTR std::int64_t lanes_kernel() { return static_cast<std::int64_t>(hn::Lanes(D())); }

// The usual LSTM: a sigmoid times a hyperbolic tangent takes one division, p / q with p and q from its two factors.
HWY_ATTR void usual_lstm_kernel(const Panels& panels, float* c, float* h) {
  const D d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const V one = hn::Set(d, 1.0f);
  for (std::int64_t p = 0; p < panels.count; ++p) {
    const float *sums = panels.sums + p * panels.sum_step, *projection = panels.projection + p * 4 * lanes;
    const auto gate = [&](std::int64_t i) HWY_ATTR { return hn::Add(hn::Load(d, sums + i * lanes), hn::LoadU(d, projection + i * lanes)); };
    const auto candidate = tanh_fraction(d, gate(3));
    const V in = hn::Add(one, HWY_NAMESPACE::exp(d, hn::Neg(gate(0)))), out = hn::Add(one, HWY_NAMESPACE::exp(d, hn::Neg(gate(1))));
    const V forget = HWY_NAMESPACE::sigmoid(d, gate(2));
    const V next = hn::MulAdd(forget, hn::LoadU(d, c + p * lanes), hn::Div(candidate.p, hn::Mul(candidate.q, in)));
    const auto shown = tanh_fraction(d, next);
    hn::StoreU(next, d, c + p * lanes);
    hn::StoreU(hn::Div(shown.p, hn::Mul(shown.q, out)), d, h + p * lanes);
  }
}

HWY_ATTR void lstm_kernel(const Panels& panels, const LstmCell& cell, const Activation& f, const Activation& g, const Activation& h) {
  if (f.kind == Activate::sigmoid && g.kind == Activate::tanh && h.kind == Activate::tanh && panels.clip <= 0 && !cell.peep_i &&
      !cell.input_forget) {
    return usual_lstm_kernel(panels, cell.c, cell.h);
  }
  const D d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t p = 0; p < panels.count; ++p) {
    const float *sums = panels.sums + p * panels.sum_step, *projection = panels.projection + p * 4 * lanes;
    const auto gate = [&](std::int64_t i) HWY_ATTR { return hn::Add(hn::Load(d, sums + i * lanes), hn::LoadU(d, projection + i * lanes)); };
    const std::int64_t at = p * lanes;
    const V c = hn::LoadU(d, cell.c + at);
    V i = gate(0), o = gate(1), forget = gate(2);
    if (cell.peep_i) i = hn::MulAdd(hn::LoadU(d, cell.peep_i + at), c, i);
    i = act(d, f, bounded(d, i, panels.clip));
    if (cell.input_forget) {
      forget = hn::Sub(hn::Set(d, 1.0f), i);
    } else {
      if (cell.peep_f) forget = hn::MulAdd(hn::LoadU(d, cell.peep_f + at), c, forget);
      forget = act(d, f, bounded(d, forget, panels.clip));
    }
    const V candidate = act(d, g, bounded(d, gate(3), panels.clip));
    const V next = hn::MulAdd(forget, c, hn::Mul(i, candidate));
    if (cell.peep_o) o = hn::MulAdd(hn::LoadU(d, cell.peep_o + at), next, o);
    o = act(d, f, bounded(d, o, panels.clip));
    hn::StoreU(next, d, cell.c + at);
    hn::StoreU(hn::Mul(o, act(d, h, next)), d, cell.h + at);
  }
}

HWY_ATTR void gru_linear_kernel(const Panels& panels, const float* bias, const float* previous, const Activation& f, const Activation& g,
                                float* h) {
  const D d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t p = 0; p < panels.count; ++p) {
    const float *sums = panels.sums + p * panels.sum_step, *projection = panels.projection + p * 3 * lanes;
    const V z = act(d, f, bounded(d, hn::Add(hn::Load(d, sums), hn::LoadU(d, projection)), panels.clip));
    const V r = act(d, f, bounded(d, hn::Add(hn::Load(d, sums + lanes), hn::LoadU(d, projection + lanes)), panels.clip));
    V inner = hn::Load(d, sums + 2 * lanes);
    if (bias) inner = hn::Add(inner, hn::LoadU(d, bias + p * lanes));
    const V candidate = act(d, g, bounded(d, hn::MulAdd(r, inner, hn::LoadU(d, projection + 2 * lanes)), panels.clip));
    // candidate + z (previous - candidate)
    hn::StoreU(hn::MulAdd(z, hn::Sub(hn::LoadU(d, previous + p * lanes), candidate), candidate), d, h + p * lanes);
  }
}

HWY_ATTR void gru_gates_kernel(const Panels& panels, const float* previous, const Activation& f, float* z, float* reset_h) {
  const D d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t p = 0; p < panels.count; ++p) {
    const float *sums = panels.sums + p * panels.sum_step, *projection = panels.projection + p * 3 * lanes;
    hn::StoreU(act(d, f, bounded(d, hn::Add(hn::Load(d, sums), hn::LoadU(d, projection)), panels.clip)), d, z + p * lanes);
    const V r = act(d, f, bounded(d, hn::Add(hn::Load(d, sums + lanes), hn::LoadU(d, projection + lanes)), panels.clip));
    hn::StoreU(hn::Mul(r, hn::LoadU(d, previous + p * lanes)), d, reset_h + p * lanes);
  }
}

HWY_ATTR void gru_kernel(const Panels& panels, const float* z, const float* previous, const Activation& g, float* h) {
  const D d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t p = 0; p < panels.count; ++p) {
    const V sum = hn::Add(hn::Load(d, panels.sums + p * panels.sum_step), hn::LoadU(d, panels.projection + (3 * p + 2) * lanes));
    const V candidate = act(d, g, bounded(d, sum, panels.clip));
    const V before = hn::LoadU(d, previous + p * lanes);
    hn::StoreU(hn::MulAdd(hn::LoadU(d, z + p * lanes), hn::Sub(before, candidate), candidate), d, h + p * lanes);
  }
}

HWY_ATTR void rnn_kernel(const Panels& panels, const Activation& f, float* h) {
  const D d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t p = 0; p < panels.count; ++p) {
    const V sum = hn::Add(hn::Load(d, panels.sums + p * panels.sum_step), hn::LoadU(d, panels.projection + p * lanes));
    hn::StoreU(act(d, f, bounded(d, sum, panels.clip)), d, h + p * lanes);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tenon::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tenon::cpu {

TENON_SIMD_EXPORT(products_kernel);
TENON_SIMD_EXPORT(lanes_kernel);
TENON_SIMD_EXPORT(lstm_kernel);
TENON_SIMD_EXPORT(gru_linear_kernel);
TENON_SIMD_EXPORT(gru_gates_kernel);
TENON_SIMD_EXPORT(gru_kernel);
TENON_SIMD_EXPORT(rnn_kernel);

double activate(const Activation& f, double x) {
  const double a = static_cast<double>(f.alpha), b = static_cast<double>(f.beta);
  switch (f.kind) {
    case Activate::relu: return x < 0 ? 0 : x;
    case Activate::tanh: return std::tanh(x);
    case Activate::sigmoid: return 1 / (1 + std::exp(-x));
    case Activate::affine: return a * x + b;
    case Activate::leaky_relu: return x < 0 ? a * x : x;
    case Activate::thresholded_relu: return x < a ? 0 : x;
    case Activate::scaled_tanh: return a * std::tanh(b * x);
    case Activate::hard_sigmoid: return std::fmin(1, std::fmax(0, a * x + b));
    case Activate::elu: return x < 0 ? a * std::expm1(x) : x;
    case Activate::softsign: return x / (1 + std::abs(x));
    case Activate::softplus: return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
  }
  return x;
}

std::int64_t panel_lanes() { return TENON_SIMD(lanes_kernel)(); }

void panel_products(std::int64_t gates, std::int64_t rows, const float* const* h, const float* panel, std::int64_t k, float* out) {
  TENON_SIMD(products_kernel)(false, gates, rows, h, panel, k, out);
}

void compact_panel_products(std::int64_t gates, std::int64_t rows, const float* const* h, const float* panel, std::int64_t k,
                            float* out) {
  TENON_SIMD(products_kernel)(true, gates, rows, h, panel, k, out);
}

float compact_scale(float largest) {
  int exponent = 0;
  if (std::frexp(largest, &exponent) > 0.9999f) ++exponent;  // the last steps below 2^31 are not among the 20 bits
  return std::ldexp(1.0f, exponent - 31);
}

void encode_compact(const float (&w)[4], float (&stored)[3]) {
  constexpr std::int64_t part = 1 << 12;
  const auto whole = [](float x, std::int64_t unit, std::int64_t low) {  // the nearest to x of the multiples of unit plus low
    return static_cast<std::uint32_t>(std::llrint((static_cast<double>(x) - static_cast<double>(low)) / static_cast<double>(unit)) * unit + low);
  };
  const std::uint32_t last = whole(w[3], 256, 0);
  const std::uint32_t b = whole(w[1], part, last >> 8 & (part - 1));
  // The kernel shifts whole words: what b brings above its twelve bits is taken out in advance.
  const std::uint32_t a = whole(w[0], part, (last >> 20) ^ (b >> 12 & (part - 1)));
  stored[0] = std::bit_cast<float>(a), stored[1] = std::bit_cast<float>(b), stored[2] = w[2];
}

void lstm_cells(const Panels& panels, const LstmCell& cell, const Activation& f, const Activation& g, const Activation& h) {
  TENON_SIMD(lstm_kernel)(panels, cell, f, g, h);
}

void gru_cells_linear(const Panels& panels, const float* bias, const float* previous, const Activation& f, const Activation& g, float* h) {
  TENON_SIMD(gru_linear_kernel)(panels, bias, previous, f, g, h);
}

void gru_gates(const Panels& panels, const float* previous, const Activation& f, float* z, float* reset_h) {
  TENON_SIMD(gru_gates_kernel)(panels, previous, f, z, reset_h);
}

void gru_cells(const Panels& panels, const float* z, const float* previous, const Activation& g, float* h) {
  TENON_SIMD(gru_kernel)(panels, z, previous, g, h);
}

void rnn_cells(const Panels& panels, const Activation& f, float* h) { TENON_SIMD(rnn_kernel)(panels, f, h); }

}  // namespace tenon::cpu
#endif
