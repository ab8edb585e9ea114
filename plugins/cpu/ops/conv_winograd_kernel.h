// Transforms of Winograd's F(4x4, 3x3): 6x6 inputs to 36 points, 36 points to 4x4 outputs; and of F(4, 3) for lines: 6 to 6 to 4.
//
// Channels are side by side and independent of each other. Tables are static; any thread.
#pragma once

#include <cstdint>

#include "plugins/cpu/isa.h"

namespace tenon::cpu {

constexpr std::int64_t kWinogradPoints = 36, kWinogradTile = 4, kWinogradReach = 6;

// 16 channels of `count` tiles that are 4 pixels apart: tile t reads src[r * row + (4 t + c) * 16] for r, c < 6 and writes
// point p to dst[p * point + t * 16].
struct WinogradInput {
  const float* src;
  std::int64_t row, count;
  float* dst;
  std::int64_t point;
};

// One tile, one vector of channels: point p is at src[p * point], pixel (r, c) at dst[r * row + c * pixel]; the first
// height x width pixels are stored.
struct WinogradOutput {
  const float* src;
  std::int64_t point;
  const float* bias;      // of the vector's channels
  const float* residual;  // as dst; null: none
  float* dst;
  std::int64_t row, pixel, height, width;
  float low, high;
};

// 16 channels of `count` tiles of a line: tile t reads src[t * tile + k * tap] for k < 6 and writes point p to
// dst[p * point + t * 16].
struct WinogradLineInput {
  const float* src;
  std::int64_t tile, tap, count;
  float* dst;
  std::int64_t point;
};

// One vector of channels of `count` tiles: point p of tile t is at src[p * point + t * src_tile], output k < 4 at
// dst[t * tile + k * tap]. Stored where t * step + k * dilation < limit.
struct WinogradLineOutput {
  const float* src;
  std::int64_t src_tile, point;
  const float* bias;      // of the vector's channels
  const float* residual;  // as dst; null: none
  float* dst;
  std::int64_t tile, tap, count, step, dilation, limit;
  float low, high;
};

struct WinogradKernels {
  void (*input)(const WinogradInput& args);
  void (*output)(const WinogradOutput& args);       // a whole vector
  void (*output_half)(const WinogradOutput& args);  // 8 lanes, where a whole vector has 16
  void (*line_input)(const WinogradLineInput& args);
  void (*line_output)(const WinogradLineOutput& args);
  void (*line_output_half)(const WinogradLineOutput& args);
  std::int64_t lanes;
};

const WinogradKernels& winograd_kernels(Isa isa);

}  // namespace tenon::cpu
