// The steps of Resize: NearestStep copies elements, BlendStep weighs them. Both walk output rows along the last axis that
// changes; Axes says where each output element finds its inputs.
//
// Plain data that the plan keeps; any thread.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "plugins/cpu/ops/elements.h"
#include "plugins/cpu/ops/resize_kernels.h"
#include "plugins/cpu/ops/resize_table.h"

namespace tenon::cpu {

constexpr int max_resize_rank = 12;

// One axis as a step sees it: taps of output i at [i * taps]; offsets in input elements, -1 for the extrapolation value.
template <class Weight>
struct ResizeAxis {
  std::int64_t out = 1, stride = 0, taps = 1;
  bool outside = false;
  const std::int64_t* offsets = nullptr;  // null: i * stride
  const Weight* weights = nullptr;
};

// All axes; the last one that changes is the row, inner elements lie inside it.
template <class Weight>
struct ResizeAxes {
  std::int32_t count = 0;   // outer axes, without the row
  ResizeAxis<Weight> outer[max_resize_rank];
  ResizeAxis<Weight> row;
  std::int64_t in = 1, inner = 1, rows = 1;  // length of an input row; output rows
  double value = 0;                          // extrapolation
};

template <class Weight>
ResizeAxes<Weight> lay_out_axes(PlanBuilder& b, std::span<const std::int64_t> dims, const std::vector<ResizeTable>& tables, double value) {
  ResizeAxes<Weight> a;
  a.value = value;
  const PlanList<std::int64_t> strides = dense_strides(dims);
  std::size_t last = dims.size() - 1;
  while (tables[last].identity) a.inner *= dims[last--];
  for (std::size_t i = 0; i <= last; ++i) {
    const ResizeTable& t = tables[i];
    ResizeAxis<Weight> axis;
    axis.out = t.out, axis.stride = strides[i], axis.taps = t.taps, axis.outside = t.outside;
    if (!t.identity) {
      std::vector<std::int64_t> offsets = t.index;
      for (std::int64_t& o : offsets) o = o < 0 ? -1 : o * strides[i];
      axis.offsets = b.keep(std::span<const std::int64_t>(offsets));
      const std::vector<Weight> weights(t.weight.begin(), t.weight.end());
      if (!weights.empty()) axis.weights = b.keep(std::span<const Weight>(weights));
    }
    if (i == last) {
      a.row = axis, a.in = t.in;
      continue;
    }
    a.rows *= axis.out;
    // Neighbours that stay as they are become one.
    if (a.count > 0 && !axis.offsets && !a.outer[a.count - 1].offsets)
      a.outer[a.count - 1].out *= axis.out, a.outer[a.count - 1].stride = axis.stride;
    else a.outer[a.count++] = axis;
  }
  return a;
}

// ---- nearest ----------------------------------------------------------------------------------------------------------

struct NearestStep {
  ResizeAxes<float> axes;
  Element kind;
  Ref src, dst, value;  // value: the extrapolation value as an element

  // Input row of an output row, given as an index for each axis; -1: outside.
  std::int64_t from(const std::int64_t* index) const {
    std::int64_t at = 0;
    for (int k = 0; k < axes.count; ++k) {
      const std::int64_t o = axes.outer[k].offsets ? axes.outer[k].offsets[index[k]] : index[k] * axes.outer[k].stride;
      if (o < 0) return -1;
      at += o;
    }
    return at;
  }

  template <class T>
  void row(const T* s, T* d) const {
    for (std::int64_t i = 0; i < axes.row.out; ++i) d[i] = s[axes.row.offsets[i]];
  }
  // A whole number of copies of each element.
  template <class T>
  void twice(const T* s, T* d) const {
    for (std::int64_t i = 0; i < axes.in; ++i) d[2 * i] = d[2 * i + 1] = s[i];
  }
  bool doubles() const {
    if (axes.row.out != 2 * axes.in || axes.inner != 1) return false;
    for (std::int64_t i = 0; i < axes.row.out; ++i)
      if (axes.row.offsets[i] != i / 2) return false;
    return true;
  }

  void operator()(const StepContext& c) const {
    auto [begin, end] = c.slice(axes.rows);
    if (!is_bytes(kind)) begin = 0, end = c.worker == 0 ? axes.rows : 0;
    if (begin >= end) return;
    const Copier copier(c, kind, src, dst), blank(c, kind, value, dst);
    const std::int64_t length = axes.row.out * axes.inner;
    const bool fast = is_bytes(kind) && axes.inner == 1 && !axes.row.outside, two = fast && doubles();
    std::int64_t before = -2, index[max_resize_rank], rest = begin;
    for (int k = axes.count; k-- > 0; rest /= axes.outer[k].out) index[k] = rest % axes.outer[k].out;
    for (std::int64_t r = begin; r < end; ++r) {
      const std::int64_t at = from(index), to = r * length;
      if (at < 0) {
        blank.fill(to, 0, length);
      } else if (at == before && is_bytes(kind)) {
        const std::int64_t bytes = element_bytes(kind) * length;
        char* d = c.ptr<char>(dst) + r * bytes;
        std::memcpy(d, d - bytes, static_cast<std::size_t>(bytes));
      } else if (fast) {
        with_bytes(kind, [&](auto zero) {
          using T = decltype(zero);
          const T* s = c.ptr<const T>(src) + at;
          if (two) twice(s, c.ptr<T>(dst) + to);
          else row(s, c.ptr<T>(dst) + to);
        });
      } else {
        for (std::int64_t i = 0; i < axes.row.out; ++i) {
          const std::int64_t o = axes.row.offsets[i];
          if (o < 0) blank.fill(to + i * axes.inner, 0, axes.inner);
          else copier.copy(to + i * axes.inner, at + o, axes.inner);
        }
      }
      before = at;
      for (int k = axes.count; k-- > 0 && ++index[k] == axes.outer[k].out;) index[k] = 0;
    }
  }
};

// ---- linear, cubic ----------------------------------------------------------------------------------------------------

template <class T, class Acc>
T narrowed(Acc v) {
  if constexpr (std::is_floating_point_v<T>) {
    return static_cast<T>(v);
  } else {
    const Acc rounded = std::nearbyint(v), low = static_cast<Acc>(std::numeric_limits<T>::min()),
              high = static_cast<Acc>(std::numeric_limits<T>::max());
    return rounded >= high ? std::numeric_limits<T>::max() : rounded > low ? static_cast<T>(rounded) : std::numeric_limits<T>::min();
  }
}

// The row's taps where there are two of them and elements are single numbers.
struct RowPairs {
  const std::int32_t *first = nullptr, *left = nullptr, *right = nullptr;  // first: of each window, where there are any
  const float *left_weight = nullptr, *right_weight = nullptr;
};

template <class T, class Acc>
struct BlendStep {
  static constexpr bool single = std::is_same_v<T, float>;  // float32 has kernels
  ResizeAxes<Acc> axes;
  Ref src, dst, scratch;
  std::uint64_t scratch_bytes;
  const ResizeKernels* kernels;
  RowPairs pairs;

  // Adds the input rows that an output row is made of to line, from outer axis k on; false: outside.
  bool gather(const T* s, std::int64_t row, int k, Acc weight, Acc* line, bool& fresh) const {
    if (k < 0) {
      const std::int64_t n = axes.in * axes.inner;
      if constexpr (single) (fresh ? kernels->weigh : kernels->add)(s, weight, line, n);
      else if (fresh)
        for (std::int64_t i = 0; i < n; ++i) line[i] = weight * static_cast<Acc>(s[i]);
      else
        for (std::int64_t i = 0; i < n; ++i) line[i] += weight * static_cast<Acc>(s[i]);
      fresh = false;
      return true;
    }
    const ResizeAxis<Acc>& axis = axes.outer[k];
    const std::int64_t i = row % axis.out, rest = row / axis.out;
    if (!axis.offsets) return gather(s + i * axis.stride, rest, k - 1, weight, line, fresh);
    for (std::int64_t t = 0; t < axis.taps; ++t) {
      const std::int64_t o = axis.offsets[i * axis.taps + t];
      if (o < 0 || !gather(s + o, rest, k - 1, weight * axis.weights[i * axis.taps + t], line, fresh)) return false;
    }
    return true;
  }

  // Output i of the row from its taps; inner elements at a time.
  void blend(const Acc* line, T* d) const {
    const std::int64_t taps = axes.row.taps, inner = axes.inner;
    const std::int64_t* offsets = axes.row.offsets;
    const Acc* w = axes.row.weights;
    if constexpr (single) {
      if (pairs.first)
        return kernels->windows(line, pairs.first, pairs.left, pairs.right, pairs.left_weight, pairs.right_weight, d, axes.row.out);
      if (pairs.left) return kernels->pairs(line, pairs.left, pairs.right, pairs.left_weight, pairs.right_weight, d, axes.row.out);
      if (inner >= 4 && !axes.row.outside) return kernels->vectors(line, offsets, w, taps, inner, d, axes.row.out);
    }
    for (std::int64_t i = 0; i < axes.row.out; ++i, offsets += taps, w += taps, d += inner) {
      if (offsets[0] < 0) {
        std::fill(d, d + inner, narrowed<T>(static_cast<Acc>(axes.value)));
      } else if (taps == 2) {
        const Acc *a = line + offsets[0], *b = line + offsets[1];
        for (std::int64_t j = 0; j < inner; ++j) d[j] = narrowed<T>(a[j] * w[0] + b[j] * w[1]);
      } else {
        for (std::int64_t j = 0; j < inner; ++j) {
          Acc sum = 0;
          for (std::int64_t t = 0; t < taps; ++t) sum += line[offsets[t] + j] * w[t];
          d[j] = narrowed<T>(sum);
        }
      }
    }
  }

  void operator()(const StepContext& c) const {
    const auto [begin, end] = c.slice(axes.rows);
    const std::int64_t length = axes.row.out * axes.inner;
    const T* s = c.ptr<const T>(src);
    T* d = c.ptr<T>(dst) + begin * length;
    Acc* line = worker_scratch<Acc>(c, scratch, scratch_bytes);
    for (std::int64_t r = begin; r < end; ++r, d += length) {
      bool fresh = true;
      if (gather(s, r, axes.count - 1, 1, line, fresh)) blend(line, d);
      else std::fill(d, d + length, narrowed<T>(static_cast<Acc>(axes.value)));
    }
  }
};

inline RowPairs pairs_of(PlanBuilder& b, const ResizeAxes<float>& axes, std::int64_t lanes) {
  const ResizeAxis<float>& row = axes.row;
  if (row.taps != 2 || axes.inner != 1 || row.outside || axes.in > INT32_MAX) return {};
  std::vector<std::int32_t> first, index[2];
  std::vector<float> weight[2];
  for (std::int64_t i = 0; i < 2 * row.out; ++i) {
    index[i % 2].push_back(static_cast<std::int32_t>(row.offsets[i]));
    weight[i % 2].push_back(row.weights[i]);
  }
  const auto size = static_cast<std::size_t>((row.out + lanes - 1) / lanes * lanes), step = static_cast<std::size_t>(lanes);
  for (int side = 0; side < 2; ++side) index[side].resize(size, index[side].back()), weight[side].resize(size);
  for (std::size_t i = 0; i < size; i += step) {
    std::int32_t low = INT32_MAX, high = 0;
    for (std::size_t k = i; k < i + step; ++k)
      for (const auto& side : index) low = std::min(low, side[k]), high = std::max(high, side[k]);
    if (high - low >= lanes) break;
    first.push_back(low);
  }
  const bool windows = first.size() * step == size;
  for (std::size_t i = 0; windows && i < size; ++i)
    for (auto& side : index) side[i] -= first[i / step];
  return {windows ? b.keep(std::span<const std::int32_t>(first)) : nullptr, b.keep(std::span<const std::int32_t>(index[0])),
          b.keep(std::span<const std::int32_t>(index[1])), b.keep(std::span<const float>(weight[0])),
          b.keep(std::span<const float>(weight[1]))};
}

template <class T, class Acc>
void emit_blend(PlanBuilder& b, std::span<const std::int64_t> dims, const std::vector<ResizeTable>& tables, double value) {
  BlendStep<T, Acc> s{lay_out_axes<Acc>(b, dims, tables, value), b.in_ref(0), b.out_ref(0), {}, 0, &resize_kernels(b.options().isa), {}};
  if constexpr (BlendStep<T, Acc>::single) s.pairs = pairs_of(b, s.axes, s.kernels->lanes);
  s.scratch_bytes = static_cast<std::uint64_t>(s.axes.in * s.axes.inner + s.kernels->lanes) * sizeof(Acc);
  s.scratch = b.scratch(s.scratch_bytes);
  double taps = static_cast<double>(s.axes.row.taps);
  for (int k = 0; k < s.axes.count; ++k) taps += static_cast<double>(s.axes.outer[k].taps);
  StepOptions options;
  options.est_ns = static_cast<double>(b.out(0).count()) * taps * (s.pairs.first ? 0.1 : 0.4);
  b.step("resize", s, options, {{s.src}}, {{s.dst}});
}

}  // namespace tenon::cpu
