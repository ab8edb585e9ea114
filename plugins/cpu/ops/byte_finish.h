// byte_finish: sums of byte products to bytes of a quantized tensor, with the addition of another one.
//
// Compiled once per target; static tables on plain memory; any thread.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "plugins/cpu/isa.h"

namespace tenon::cpu {

// Real numbers to bytes: round half to even, add zero, keep inside [low, high] (both before zero is added).
struct ByteTarget {
  float low = 0, high = 255;
  std::int32_t zero = 0;
  std::uint8_t flip = 0;  // 0x80 for int8: zero is 128 more than the zero point, and the sign bit is turned at the end

  // Keeps real results of that scale between two numbers: rounding keeps order, so they are rounded as results are. An upper bound
  // below the lower one wins.
  void bound(float least, float greatest, float scale) {
    low = std::max(low, std::min(std::nearbyint(least / scale), high));
    high = std::min(high, std::max(std::nearbyint(greatest / scale), low));
  }
};
inline ByteTarget byte_target(bool is_signed, std::int32_t zero) {
  const std::int32_t least = is_signed ? -128 : 0;
  return {static_cast<float>(least - zero), static_cast<float>(least + 255 - zero), zero - least,
          static_cast<std::uint8_t>(is_signed ? 0x80 : 0)};
}
// A quantized tensor that is added to the first rounding, and the second one. REQUIRES finite scales.
struct ByteAddition {
  float scale, other_scale;  // of both, divided by the output's
  std::int32_t other_zero;
  std::uint8_t other_flip;
  ByteTarget to;
};
// One entry for each column; readable up to a multiple of 16.
struct ByteColumns {
  const std::int32_t* add;  // to the sum
  const float* factor;      // then times this
  const float* shift;       // then plus this; null: nothing
};

// Rows of sums, and where their columns go.
struct ByteTile {
  const std::int32_t* sums;
  std::int64_t sums_row, rows, n;
  std::uint8_t* out;
  std::int64_t out_row;
};

struct ByteFinish {
  void (*quantize)(const ByteTile& tile, const ByteColumns& columns, const ByteTarget& to);
  // other: as out, of the tensor that is added.
  void (*add)(const ByteTile& tile, const ByteColumns& columns, const ByteTarget& first, const ByteAddition& addition,
              const std::uint8_t* other);
  // sums[i] = sum over taps of taps[t][i] * w[t * w_row + i]; whole numbers below 2^24.
  void (*depthwise)(const std::uint8_t* const* taps, std::int64_t count, const float* w, std::int64_t w_row, std::int64_t n,
                    std::int32_t* sums);
  // The sum of n bytes.
  std::int32_t (*total)(const std::uint8_t* x, std::int64_t n);
  // float(sums[i] + add[i]).
  void (*real)(const std::int32_t* sums, const std::int32_t* add, std::int64_t n, float* out);
  // x / scale to bytes; no number becomes the zero.
  void (*quantize_real)(const float* x, std::int64_t n, float scale, const ByteTarget& to, std::uint8_t* out);
  // out[i] = (x[i] - zero) * scale; zero: of unsigned bytes, flip 0x80 for int8.
  void (*dequantize)(const std::uint8_t* x, std::int64_t n, std::int32_t zero, std::uint8_t flip, float scale, float* out);
  // Extends [least, greatest] to all of x that is a number.
  void (*extremes)(const float* x, std::int64_t n, float* least, float* greatest);
  // out[i] = the greatest of taps[t][i], at least one, for bytes with flip turned. REQUIRES out apart from all taps.
  void (*greatest)(const std::uint8_t* const* taps, std::int64_t count, std::uint8_t flip, std::int64_t n, std::uint8_t* out);
  // out[i] = table[x[i]] of 256; out may be x.
  void (*map)(const std::uint8_t* table, const std::uint8_t* x, std::int64_t n, std::uint8_t* out);
  // out[c * out_row + r] = in[r * in_row + c] for rows x columns bytes.
  void (*transpose)(const std::uint8_t* in, std::int64_t in_row, std::int64_t rows, std::int64_t columns, std::uint8_t* out, std::int64_t out_row);
};
const ByteFinish& byte_finish(Isa isa);

}  // namespace tenon::cpu
