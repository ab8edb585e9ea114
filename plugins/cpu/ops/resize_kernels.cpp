// Compiled once per target.
#include "plugins/cpu/ops/resize_kernels.h"

#include "plugins/cpu/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "plugins/cpu/ops/resize_kernels.cpp"
#include "hwy/foreach_target.h"
// after foreach_target.h
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tenon::cpu::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using I = hn::RebindToSigned<D>;

HWY_ATTR void weigh(const float* s, float weight, float* line, std::int64_t n) {
  const D d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto w = hn::Set(d, weight);
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(hn::LoadU(d, s + i) * w, d, line + i);
  for (; i < n; ++i) line[i] = s[i] * weight;
}

HWY_ATTR void add(const float* s, float weight, float* line, std::int64_t n) {
  const D d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto w = hn::Set(d, weight);
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(hn::MulAdd(hn::LoadU(d, s + i), w, hn::LoadU(d, line + i)), d, line + i);
  for (; i < n; ++i) line[i] += s[i] * weight;
}

HWY_ATTR void pairs(const float* line, const std::int32_t* left, const std::int32_t* right, const float* left_weight,
                    const float* right_weight, float* out, std::int64_t n) {
  const D d;
  const I di;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto a = hn::GatherIndex(d, line, hn::LoadU(di, left + i)), b = hn::GatherIndex(d, line, hn::LoadU(di, right + i));
    hn::StoreU(hn::MulAdd(b, hn::LoadU(d, right_weight + i), a * hn::LoadU(d, left_weight + i)), d, out + i);
  }
  for (; i < n; ++i) out[i] = line[left[i]] * left_weight[i] + line[right[i]] * right_weight[i];
}

// A permutation of registers: a gather takes one load for each number.
HWY_ATTR void windows(const float* line, const std::int32_t* first, const std::int32_t* left, const std::int32_t* right,
                      const float* left_weight, const float* right_weight, float* out, std::int64_t n) {
  const D d;
  const I di;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t i = 0; i < n; i += lanes) {
    const auto x = hn::LoadU(d, line + *first++);
    const auto a = hn::TableLookupLanes(x, hn::IndicesFromVec(d, hn::LoadU(di, left + i)));
    const auto b = hn::TableLookupLanes(x, hn::IndicesFromVec(d, hn::LoadU(di, right + i)));
    const auto y = hn::MulAdd(b, hn::LoadU(d, right_weight + i), a * hn::LoadU(d, left_weight + i));
    if (n - i >= lanes) hn::StoreU(y, d, out + i);
    else hn::BlendedStore(y, hn::FirstN(d, static_cast<std::size_t>(n - i)), d, out + i);
  }
}

HWY_ATTR void vectors(const float* line, const std::int64_t* offsets, const float* weights, std::int64_t taps, std::int64_t inner,
                      float* out, std::int64_t n) {
  const D d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t i = 0; i < n; ++i, offsets += taps, weights += taps, out += inner) {
    std::int64_t j = 0;
    for (; j + lanes <= inner; j += lanes) {
      auto sum = hn::LoadU(d, line + offsets[0] + j) * hn::Set(d, weights[0]);
      for (std::int64_t t = 1; t < taps; ++t) sum = hn::MulAdd(hn::LoadU(d, line + offsets[t] + j), hn::Set(d, weights[t]), sum);
      hn::StoreU(sum, d, out + j);
    }
    for (; j < inner; ++j) {
      float sum = line[offsets[0] + j] * weights[0];
      for (std::int64_t t = 1; t < taps; ++t) sum += line[offsets[t] + j] * weights[t];
      out[j] = sum;
    }
  }
}

}  // namespace

const ResizeKernels* table() {
  static constexpr ResizeKernels kernels{weigh, add, pairs, windows, vectors, HWY_LANES(float)};
  return &kernels;
}

}  // namespace tenon::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tenon::cpu {
namespace {

TENON_SIMD_EXPORT(table);

constexpr ResizeKernels plain{
    [](const float* s, float weight, float* line, std::int64_t n) {
      for (std::int64_t i = 0; i < n; ++i) line[i] = s[i] * weight;
    },
    [](const float* s, float weight, float* line, std::int64_t n) {
      for (std::int64_t i = 0; i < n; ++i) line[i] += s[i] * weight;
    },
    [](const float* line, const std::int32_t* left, const std::int32_t* right, const float* left_weight, const float* right_weight,
       float* out, std::int64_t n) {
      for (std::int64_t i = 0; i < n; ++i) out[i] = line[left[i]] * left_weight[i] + line[right[i]] * right_weight[i];
    },
    [](const float* line, const std::int32_t* first, const std::int32_t* left, const std::int32_t* right, const float* left_weight,
       const float* right_weight, float* out, std::int64_t n) {
      for (std::int64_t i = 0; i < n; ++i)
        out[i] = line[first[i] + left[i]] * left_weight[i] + line[first[i] + right[i]] * right_weight[i];
    },
    [](const float* line, const std::int64_t* offsets, const float* weights, std::int64_t taps, std::int64_t inner, float* out,
       std::int64_t n) {
      for (std::int64_t i = 0; i < n; ++i, offsets += taps, weights += taps)
        for (std::int64_t j = 0; j < inner; ++j) {
          float sum = 0;
          for (std::int64_t t = 0; t < taps; ++t) sum += line[offsets[t] + j] * weights[t];
          *out++ = sum;
        }
    },
    1,
};

}  // namespace

const ResizeKernels& resize_kernels(Isa isa) { return isa == Isa::plain ? plain : *TENON_SIMD(table)(); }

}  // namespace tenon::cpu
#endif
