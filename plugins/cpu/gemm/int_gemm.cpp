#include "plugins/cpu/gemm/int_gemm.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "plugins/cpu/gemm/int_gemm.cpp"
#include "plugins/cpu/simd.h"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tenon::cpu::gemm::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR
// No vectors: two columns at a time.
HWY_ATTR void TileAny(const std::int16_t* a, std::int64_t a_row, const std::int16_t* b, std::int64_t pairs, std::int64_t rows, std::int32_t* c,
                      std::int64_t c_row) {
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t j = 0; j < 2; ++j) {
      std::int32_t sum = 0;
      for (std::int64_t p = 0; p < 2 * pairs; ++p) sum += a[r * a_row + p] * b[(p / 2 * 2 + j) * 2 + p % 2];
      c[r * c_row + j] = sum;
    }
}
std::int64_t Columns() { return 2; }
#else
// One tile of R rows and two vectors of columns.
template <int R>
HWY_ATTR void Tile(const std::int16_t* a, std::int64_t a_row, const std::int16_t* b, std::int64_t pairs, std::int32_t* c, std::int64_t c_row) {
  const hn::CappedTag<std::int32_t, 16> d32;
  const hn::Repartition<std::int16_t, decltype(d32)> d16;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d32));
  using V = hn::Vec<decltype(d32)>;
  V sum[R][2];
  for (int r = 0; r < R; ++r) sum[r][0] = sum[r][1] = hn::Zero(d32);
  for (std::int64_t p = 0; p < pairs; ++p) {
    const auto b0 = hn::LoadU(d16, b + p * 4 * lanes), b1 = hn::LoadU(d16, b + p * 4 * lanes + 2 * lanes);
    for (int r = 0; r < R; ++r) {
      std::int32_t pair;
      __builtin_memcpy(&pair, a + r * a_row + p * 2, 4);
      const auto x = hn::BitCast(d16, hn::Set(d32, pair));
      V unused0 = hn::Zero(d32), unused1 = hn::Zero(d32);
      sum[r][0] = hn::ReorderWidenMulAccumulate(d32, x, b0, sum[r][0], unused0);
      sum[r][1] = hn::ReorderWidenMulAccumulate(d32, x, b1, sum[r][1], unused1);
      // On targets that split the pair over two sums, both count.
      sum[r][0] = hn::Add(sum[r][0], unused0);
      sum[r][1] = hn::Add(sum[r][1], unused1);
    }
  }
  for (int r = 0; r < R; ++r) {
    hn::StoreU(sum[r][0], d32, c + r * c_row);
    hn::StoreU(sum[r][1], d32, c + r * c_row + lanes);
  }
}

HWY_ATTR void TileAny(const std::int16_t* a, std::int64_t a_row, const std::int16_t* b, std::int64_t pairs, std::int64_t rows, std::int32_t* c,
                      std::int64_t c_row) {
  switch (rows) {
    case 1: return Tile<1>(a, a_row, b, pairs, c, c_row);
    case 2: return Tile<2>(a, a_row, b, pairs, c, c_row);
    case 3: return Tile<3>(a, a_row, b, pairs, c, c_row);
    case 4: return Tile<4>(a, a_row, b, pairs, c, c_row);
    case 5: return Tile<5>(a, a_row, b, pairs, c, c_row);
    default: return Tile<6>(a, a_row, b, pairs, c, c_row);
  }
}

std::int64_t Columns() { return 2 * static_cast<std::int64_t>(hn::Lanes(hn::CappedTag<std::int32_t, 16>())); }
#endif

}  // namespace tenon::cpu::gemm::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tenon::cpu::gemm {
namespace {

TENON_SIMD_EXPORT(TileAny);
TENON_SIMD_EXPORT(Columns);

// The oracle's kernel: the same packed forms, one number at a time.
void plain_tile(const std::int16_t* a, std::int64_t a_row, const std::int16_t* b, std::int64_t pairs, std::int64_t rows, std::int32_t* c,
                std::int64_t c_row) {
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t j = 0; j < 8; ++j) {
      std::int32_t sum = 0;
      for (std::int64_t p = 0; p < pairs; ++p)
        for (std::int64_t h = 0; h < 2; ++h) sum += a[r * a_row + 2 * p + h] * b[(p * 8 + j) * 2 + h];
      c[r * c_row + j] = sum;
    }
}

inline std::int32_t at(const void* p, bool is_signed, std::int64_t i) {
  return is_signed ? static_cast<const std::int8_t*>(p)[i] : static_cast<const std::uint8_t*>(p)[i];
}

}  // namespace

const IntKernels& int_kernels(Isa isa) {
  static const IntKernels plain{8, 6, plain_tile};
  static const IntKernels simd{TENON_SIMD(Columns)(), 6, &TENON_SIMD(TileAny)};
  return isa == Isa::plain ? plain : simd;
}

std::int64_t packed_b_count(const IntKernels& kernels, std::int64_t k, std::int64_t n) {
  return (n + kernels.columns - 1) / kernels.columns * kernels.columns * int_pairs(k) * 2;
}

void pack_b(const IntKernels& kernels, const void* b, bool is_signed, std::int64_t b_k, std::int64_t b_n, std::int64_t k, std::int64_t n,
            const std::int32_t* zero, bool zero_per_column, std::int64_t first, std::int64_t last, std::int16_t* to) {
  const std::int64_t width = kernels.columns, pairs = int_pairs(k);
  for (std::int64_t panel = first; panel < last; ++panel)
    for (std::int64_t p = 0; p < pairs; ++p) {
      std::int16_t* out = to + (panel * pairs + p) * width * 2;
      for (std::int64_t j = 0; j < width; ++j) {
        const std::int64_t column = panel * width + j;
        for (std::int64_t h = 0; h < 2; ++h) {
          const std::int64_t row = 2 * p + h;
          out[2 * j + h] = column < n && row < k ? static_cast<std::int16_t>(at(b, is_signed, row * b_k + column * b_n) - zero[zero_per_column ? column : 0]) : std::int16_t{0};
        }
      }
    }
}

void pack_a(const void* a, bool is_signed, std::int64_t a_row, std::int64_t a_k, std::int64_t k, std::int64_t count, const std::int32_t* zero,
            bool zero_per_row, std::int16_t* to) {
  const std::int64_t width = int_pairs(k) * 2;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int32_t z = zero[zero_per_row ? i : 0];
    std::int16_t* out = to + i * width;
    if (a_k == 1 && is_signed) {
      const auto* from = static_cast<const std::int8_t*>(a) + i * a_row;
      for (std::int64_t x = 0; x < k; ++x) out[x] = static_cast<std::int16_t>(from[x] - z);
    } else if (a_k == 1) {
      const auto* from = static_cast<const std::uint8_t*>(a) + i * a_row;
      for (std::int64_t x = 0; x < k; ++x) out[x] = static_cast<std::int16_t>(from[x] - z);
    } else {
      for (std::int64_t x = 0; x < k; ++x) out[x] = static_cast<std::int16_t>(at(a, is_signed, i * a_row + x * a_k) - z);
    }
    if (width > k) out[k] = 0;
  }
}

void multiply(const IntKernels& kernels, const std::int16_t* a, std::int64_t rows, const std::int16_t* b, std::int64_t k, std::int64_t n,
              std::int64_t first, std::int64_t last, std::int32_t* c, std::int64_t c_row) {
  const std::int64_t pairs = int_pairs(k), width = kernels.columns;
  alignas(64) std::int32_t edge[6 * 32];
  for (std::int64_t panel = first; panel < last; ++panel) {
    const std::int16_t* packed = b + panel * pairs * width * 2;
    const std::int64_t columns = std::min(width, n - panel * width);
    for (std::int64_t i = 0; i < rows; i += kernels.rows) {
      const std::int64_t height = std::min(kernels.rows, rows - i);
      std::int32_t* to = c + i * c_row + panel * width;
      if (columns == width) {
        kernels.tile(a + i * pairs * 2, pairs * 2, packed, pairs, height, to, c_row);
        continue;
      }
      kernels.tile(a + i * pairs * 2, pairs * 2, packed, pairs, height, edge, width);
      for (std::int64_t r = 0; r < height; ++r) std::copy(edge + r * width, edge + r * width + columns, to + r * c_row);
    }
  }
}

}  // namespace tenon::cpu::gemm
#endif
