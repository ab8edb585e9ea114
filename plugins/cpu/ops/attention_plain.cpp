#include <cmath>
#include <limits>

#include "plugins/cpu/ops/attention.h"
#include "plugins/cpu/ops/reduce_types.h"

namespace tenon::cpu {
namespace {

struct PlainStep {
  AttentionShape shape;
  AttentionRefs refs;
  Ref scratch;
  std::uint64_t scratch_bytes;
  std::int32_t dtype;

  void operator()(const StepContext& c) const {
    visit_float(dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      const auto slice = c.slice(shape.batch * shape.heads * shape.queries);
      for (std::int64_t item = slice.begin; item < slice.end; ++item) {
        const std::int64_t row = item / shape.queries;
        query<T>(c, row / shape.heads, row % shape.heads, item % shape.queries);
      }
    });
  }

  template <class T>
  void query(const StepContext& c, std::int64_t b, std::int64_t h, std::int64_t i) const {
    const AttentionShape& s = shape;
    constexpr double low = -std::numeric_limits<double>::infinity();
    double* p = worker_scratch<double>(c, scratch, scratch_bytes);
    const T* q = c.ptr<const T>(refs.q) + b * s.q.batch + h * s.q.head + i * s.q.row;
    const std::int64_t kv = h / s.group();
    T* out = refs.scores.present() ? c.ptr<T>(refs.scores) + ((b * s.heads + h) * s.queries + i) * s.shown() : nullptr;
    const auto show = [&](ScoreOutput which) {
      for (std::int64_t j = 0; out && s.score_output == which && j < s.shown(); ++j) out[j] = static_cast<T>(p[j]);
    };
    for (std::int64_t j = 0; j < s.keys; ++j) {
      const T* k = c.ptr<const T>(refs.k) + b * s.k.batch + kv * s.k.head + j * s.k.row;
      p[j] = 0;
      for (std::int64_t e = 0; e < s.depth; ++e) p[j] += static_cast<double>(q[e]) * static_cast<double>(k[e]);
      p[j] *= s.scale;
    }
    show(ScoreOutput::raw);
    for (std::int64_t j = 0; s.softcap > 0 && j < s.keys; ++j) p[j] = s.softcap * std::tanh(p[j] / s.softcap);
    show(ScoreOutput::capped);
    const KeyRange range = key_range(s, refs, c, b, i);
    const std::uint8_t* row = refs.blocks.present() ? block_row(s, refs, c, h, c.ptr<const std::int64_t>(refs.firsts)[b] + i) : nullptr;
    double top = low, most = low;
    for (std::int64_t j = 0; j < s.keys; ++j) {
      double bias = j < range.begin || j >= range.end ? low : 0;
      if (refs.mask.present() && bias == 0) {
        const std::int64_t at = s.mask_row(b, h, i) + j;
        if (s.mask_dtype == TENON_DTYPE_BOOL) bias = c.ptr<const std::uint8_t>(refs.mask)[at] ? 0 : low;
        else bias = static_cast<double>(c.ptr<const T>(refs.mask)[at]);
      }
      if (row && !block_allows(s, row, j)) bias = low;
      most = bias != bias || bias > most ? bias : most;
      p[j] += bias;
      top = std::max(top, p[j]);
    }
    show(ScoreOutput::biased);
    for (std::int64_t j = 0; out && s.score_output == ScoreOutput::visible && j < s.shown(); ++j)
      out[j] = j < range.begin || j >= range.end ? T(0) : static_cast<T>(p[j]);
    const double sink = !s.sink ? low : refs.sinks.present() ? static_cast<double>(c.ptr<const float>(refs.sinks)[h]) : 0;
    if (most != low) top = std::max(top, sink);
    double sum = most != low ? std::exp(sink - top) : 0;
    for (std::int64_t j = 0; j < s.keys; ++j) {
      p[j] = most == low ? 0 : std::exp(p[j] - top);
      sum += p[j];
    }
    for (std::int64_t j = 0; most != low && j < s.keys; ++j) p[j] /= sum;
    show(ScoreOutput::probabilities);
    if (!refs.y.present()) return;
    T* y = c.ptr<T>(refs.y) + b * s.y.batch + h * s.y.head + i * s.y.row;
    for (std::int64_t e = 0; e < s.value_depth; ++e) {
      double value = 0;
      for (std::int64_t j = 0; j < s.keys; ++j) {
        if (p[j] != 0) value += p[j] * static_cast<double>(c.ptr<const T>(refs.v)[b * s.v.batch + kv * s.v.head + j * s.v.row + e]);
      }
      y[e] = static_cast<T>(value);
    }
  }
};

}  // namespace

void plan_attention_plain(PlanBuilder& builder, const AttentionShape& shape, const AttentionRefs& refs, std::int32_t dtype,
                          std::span<const Ref> reads, std::span<const Ref> writes) {
  const std::uint64_t bytes = static_cast<std::uint64_t>(shape.keys + 1) * sizeof(double);
  const double work = static_cast<double>(shape.batch * shape.heads * shape.queries) * static_cast<double>(shape.keys) *
                      static_cast<double>(shape.depth + shape.value_depth);
  builder.step("attention", PlainStep{shape, refs, builder.scratch(bytes), bytes, dtype}, {.est_ns = work}, reads, writes);
}

}  // namespace tenon::cpu
