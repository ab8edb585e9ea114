#include <algorithm>
#include <cmath>
#include <string>

#include "plugins/cpu/ops/recurrent.h"
#include "plugins/cpu/ops/reduce_types.h"

namespace tenon::cpu {

bool sequence_length(const StepContext& c, Ref lengths, std::int64_t steps, std::int64_t b, std::int64_t* out) {
  *out = steps;
  if (!lengths.present()) return true;
  const std::int64_t n = c.ptr<const std::int32_t>(lengths)[b];
  if (n < 0 || n > steps) {
    c.fail(TENON_INVALID_ARGUMENT, "sequence_lens[" + std::to_string(b) + "] is " + std::to_string(n) + ", the input has " +
                                       std::to_string(steps) + " steps");
    return false;
  }
  *out = n;
  return true;
}

namespace {

// A worker takes whole sequences. Scratch of doubles: h, c, next h, gate sums of x and of h, r * h.
struct PlainStep {
  RecurrentForm form;
  RecurrentSizes sizes;
  RecurrentRefs refs;
  Ref scratch;
  std::uint64_t scratch_bytes;
  std::int32_t dtype;

  void operator()(const StepContext& c) const {
    visit_float(dtype, [&](auto tag) { run<typename decltype(tag)::type>(c); });
  }

  template <class T>
  static double dot(const T* w, const double* x, std::int64_t n) {
    double sum = 0;
    for (std::int64_t i = 0; i < n; ++i) sum += static_cast<double>(w[i]) * x[i];
    return sum;
  }

  double act(const Activation& f, double x) const {
    const double clip = static_cast<double>(form.clip);
    return activate(f, clip > 0 ? std::clamp(x, -clip, clip) : x);
  }

  template <class T>
  void run(const StepContext& c) const {
    const auto slice = c.slice(form.directions * sizes.batch);
    for (std::int64_t i = slice.begin; i < slice.end; ++i) {
      std::int64_t length;
      if (!sequence_length(c, refs.lengths, sizes.steps, i % sizes.batch, &length)) return;
      sequence<T>(c, i / sizes.batch, i % sizes.batch, length);
    }
  }

  template <class T>
  void sequence(const StepContext& c, std::int64_t d, std::int64_t b, std::int64_t length) const {
    const std::int64_t n = sizes.hidden, gates = form.gates(), in = sizes.input;
    double* h = worker_scratch<double>(c, scratch, scratch_bytes);
    double *cell = h + n, *next = cell + n, *xs = next + n, *hs = xs + gates * n, *reset = hs + gates * n, *x = reset + n;
    const T* w = c.ptr<const T>(refs.w) + d * gates * n * in;
    const T* r = c.ptr<const T>(refs.r) + d * gates * n * n;
    const T* bias = refs.bias.present() ? c.ptr<const T>(refs.bias) + d * 2 * gates * n : nullptr;
    const T* p = refs.peepholes.present() ? c.ptr<const T>(refs.peepholes) + d * 3 * n : nullptr;
    const Activation* f = form.activations[d];
    const std::int64_t state = sizes.state_row(form, d, b) * n;
    for (std::int64_t i = 0; i < n; ++i) {
      h[i] = refs.h0.present() ? static_cast<double>(c.ptr<const T>(refs.h0)[state + i]) : 0;
      cell[i] = refs.c0.present() ? static_cast<double>(c.ptr<const T>(refs.c0)[state + i]) : 0;
    }
    for (std::int64_t s = 0; s < sizes.steps; ++s) {
      T* y = nullptr;
      const std::int64_t t = s < length && form.backwards(d) ? length - 1 - s : s;
      if (refs.y.present()) y = c.ptr<T>(refs.y) + sizes.y_row(form, t, d, b) * n;
      if (s >= length) {
        if (y) std::fill(y, y + n, T(0));
        continue;
      }
      const T* row = c.ptr<const T>(refs.x) + sizes.x_row(form, t, b) * in;
      for (std::int64_t i = 0; i < in; ++i) x[i] = static_cast<double>(row[i]);
      for (std::int64_t i = 0; i < gates * n; ++i) {
        xs[i] = dot(w + i * in, x, in) + (bias ? static_cast<double>(bias[i]) : 0);
        hs[i] = dot(r + i * n, h, n) + (bias ? static_cast<double>(bias[gates * n + i]) : 0);
      }
      if (form.kind == RecurrentKind::rnn) {
        for (std::int64_t i = 0; i < n; ++i) next[i] = act(f[0], xs[i] + hs[i]);
      } else if (form.kind == RecurrentKind::gru) {
        gru(r, bias, f, h, xs, hs, reset, next);
      } else {
        lstm(p, f, xs, hs, cell, next);
      }
      std::copy(next, next + n, h);
      if (y) {
        for (std::int64_t i = 0; i < n; ++i) y[i] = static_cast<T>(h[i]);
      }
    }
    for (std::int64_t i = 0; i < n; ++i) {
      if (refs.y_h.present()) c.ptr<T>(refs.y_h)[state + i] = static_cast<T>(h[i]);
      if (refs.y_c.present()) c.ptr<T>(refs.y_c)[state + i] = static_cast<T>(cell[i]);
    }
  }

  template <class T>
  void gru(const T* r, const T* bias, const Activation* f, const double* h, const double* xs, const double* hs, double* reset,
           double* next) const {
    const std::int64_t n = sizes.hidden;
    for (std::int64_t i = 0; i < n; ++i) reset[i] = act(f[0], xs[n + i] + hs[n + i]);
    if (!form.linear_before_reset) {
      for (std::int64_t i = 0; i < n; ++i) reset[i] *= h[i];
    }
    for (std::int64_t i = 0; i < n; ++i) {
      const double z = act(f[0], xs[i] + hs[i]);
      const double inner = form.linear_before_reset
                               ? reset[i] * hs[2 * n + i]
                               : dot(r + (2 * n + i) * n, reset, n) + (bias ? static_cast<double>(bias[5 * n + i]) : 0);
      const double candidate = act(f[1], xs[2 * n + i] + inner);
      next[i] = (1 - z) * candidate + z * h[i];
    }
  }

  template <class T>
  void lstm(const T* p, const Activation* f, const double* xs, const double* hs, double* cell, double* next) const {
    const std::int64_t n = sizes.hidden;
    const auto peep = [&](std::int64_t which, std::int64_t i, double c) { return p ? static_cast<double>(p[which * n + i]) * c : 0; };
    for (std::int64_t i = 0; i < n; ++i) {
      const double in = act(f[0], xs[i] + hs[i] + peep(0, i, cell[i]));
      const double forget = form.input_forget ? 1 - in : act(f[0], xs[2 * n + i] + hs[2 * n + i] + peep(2, i, cell[i]));
      const double candidate = act(f[1], xs[3 * n + i] + hs[3 * n + i]);
      cell[i] = forget * cell[i] + in * candidate;
      const double out = act(f[0], xs[n + i] + hs[n + i] + peep(1, i, cell[i]));
      next[i] = out * activate(f[2], cell[i]);
    }
  }
};

}  // namespace

void plan_recurrent_plain(PlanBuilder& builder, const RecurrentForm& form, const RecurrentSizes& sizes, const RecurrentRefs& refs,
                          std::int32_t dtype) {
  const std::int64_t doubles = sizes.hidden * (4 + 2 * form.gates()) + sizes.input;
  const std::uint64_t bytes = static_cast<std::uint64_t>(doubles) * sizeof(double);
  const double work = static_cast<double>(form.directions * sizes.steps * sizes.batch) *
                      static_cast<double>(form.gates() * sizes.hidden * (sizes.input + sizes.hidden));
  builder.step("recurrence", PlainStep{form, sizes, refs, builder.scratch(bytes), bytes, dtype}, {.est_ns = work});
}

}  // namespace tenon::cpu
