#include "plugins/cpu/ops/recurrent_kernels.h"

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

template <int Gates>
HWY_ATTR void products_of(std::int64_t rows, const float* const* h, const float* panel, std::int64_t depth, float* out) {
  constexpr int registers = HWY_TARGET <= HWY_AVX3 ? 16 : 12;
  constexpr int tall = registers / Gates < 8 ? registers / Gates : 8;
  const D d;
  const std::int64_t step = Gates * static_cast<std::int64_t>(hn::Lanes(d));
  for (; rows >= tall; rows -= tall, h += tall, out += tall * step) products<Gates, tall>(h, panel, depth, out);
  for (; rows >= 2; rows -= 2, h += 2, out += 2 * step) products<Gates, 2>(h, panel, depth, out);
  if (rows) products<Gates, 1>(h, panel, depth, out);
}

HWY_ATTR void products_kernel(std::int64_t gates, std::int64_t rows, const float* const* h, const float* panel, std::int64_t depth,
                              float* out) {
  if (gates == 4) return products_of<4>(rows, h, panel, depth, out);
  if (gates == 3) return products_of<3>(rows, h, panel, depth, out);
  if (gates == 2) return products_of<2>(rows, h, panel, depth, out);
  products_of<1>(rows, h, panel, depth, out);
}

HWY_ATTR std::int64_t lanes_kernel() { return static_cast<std::int64_t>(hn::Lanes(D())); }

HWY_ATTR void lstm_kernel(const LstmCell& cell, const Activation& f, const Activation& g, const Activation& h) {
  const D d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto gate = [&](std::int64_t i) HWY_ATTR {
    return hn::Add(hn::Load(d, cell.sums + i * lanes), hn::LoadU(d, cell.projection + i * lanes));
  };
  const V c = hn::LoadU(d, cell.c);
  V i = gate(0), o = gate(1), forget = gate(2);
  if (cell.peep_i) i = hn::MulAdd(hn::LoadU(d, cell.peep_i), c, i);
  i = act(d, f, bounded(d, i, cell.clip));
  if (cell.input_forget) {
    forget = hn::Sub(hn::Set(d, 1.0f), i);
  } else {
    if (cell.peep_f) forget = hn::MulAdd(hn::LoadU(d, cell.peep_f), c, forget);
    forget = act(d, f, bounded(d, forget, cell.clip));
  }
  const V candidate = act(d, g, bounded(d, gate(3), cell.clip));
  const V next = hn::MulAdd(forget, c, hn::Mul(i, candidate));
  if (cell.peep_o) o = hn::MulAdd(hn::LoadU(d, cell.peep_o), next, o);
  o = act(d, f, bounded(d, o, cell.clip));
  hn::StoreU(next, d, cell.c);
  hn::StoreU(hn::Mul(o, act(d, h, next)), d, cell.h);
}

HWY_ATTR void gru_linear_kernel(const float* sums, const float* projection, const float* bias, const float* previous, float clip,
                                const Activation& f, const Activation& g, float* h) {
  const D d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const V z = act(d, f, bounded(d, hn::Add(hn::Load(d, sums), hn::LoadU(d, projection)), clip));
  const V r = act(d, f, bounded(d, hn::Add(hn::Load(d, sums + lanes), hn::LoadU(d, projection + lanes)), clip));
  V inner = hn::Load(d, sums + 2 * lanes);
  if (bias) inner = hn::Add(inner, hn::LoadU(d, bias));
  const V candidate = act(d, g, bounded(d, hn::MulAdd(r, inner, hn::LoadU(d, projection + 2 * lanes)), clip));
  // candidate + z (previous - candidate)
  hn::StoreU(hn::MulAdd(z, hn::Sub(hn::LoadU(d, previous), candidate), candidate), d, h);
}

HWY_ATTR void gru_gates_kernel(const float* sums, const float* projection, const float* previous, float clip, const Activation& f,
                               float* z, float* reset_h) {
  const D d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  hn::StoreU(act(d, f, bounded(d, hn::Add(hn::Load(d, sums), hn::LoadU(d, projection)), clip)), d, z);
  const V r = act(d, f, bounded(d, hn::Add(hn::Load(d, sums + lanes), hn::LoadU(d, projection + lanes)), clip));
  hn::StoreU(hn::Mul(r, hn::LoadU(d, previous)), d, reset_h);
}

HWY_ATTR void gru_kernel(const float* sums, const float* projection, const float* z, const float* previous, float clip,
                         const Activation& g, float* h) {
  const D d;
  const V candidate = act(d, g, bounded(d, hn::Add(hn::Load(d, sums), hn::LoadU(d, projection)), clip));
  hn::StoreU(hn::MulAdd(hn::LoadU(d, z), hn::Sub(hn::LoadU(d, previous), candidate), candidate), d, h);
}

HWY_ATTR void rnn_kernel(const float* sums, const float* projection, float clip, const Activation& f, float* h) {
  const D d;
  hn::StoreU(act(d, f, bounded(d, hn::Add(hn::Load(d, sums), hn::LoadU(d, projection)), clip)), d, h);
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
  TENON_SIMD(products_kernel)(gates, rows, h, panel, k, out);
}

void lstm_cell(const LstmCell& cell, const Activation& f, const Activation& g, const Activation& h) {
  TENON_SIMD(lstm_kernel)(cell, f, g, h);
}

void gru_cell_linear(const float* sums, const float* projection, const float* bias, const float* previous, float clip,
                     const Activation& f, const Activation& g, float* h) {
  TENON_SIMD(gru_linear_kernel)(sums, projection, bias, previous, clip, f, g, h);
}

void gru_gates(const float* sums, const float* projection, const float* previous, float clip, const Activation& f, float* z,
               float* reset_h) {
  TENON_SIMD(gru_gates_kernel)(sums, projection, previous, clip, f, z, reset_h);
}

void gru_cell(const float* sums, const float* projection, const float* z, const float* previous, float clip, const Activation& g,
              float* h) {
  TENON_SIMD(gru_kernel)(sums, projection, z, previous, clip, g, h);
}

void rnn_cell(const float* sums, const float* projection, float clip, const Activation& f, float* h) {
  TENON_SIMD(rnn_kernel)(sums, projection, clip, f, h);
}

}  // namespace tenon::cpu
#endif
