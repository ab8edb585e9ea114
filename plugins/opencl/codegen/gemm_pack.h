// Packing for products: B into panels, on the host once for weights or on the device in a run, and rows of A into float32.
//
// Pure functions; any thread.
#pragma once

#include <cstdint>

#include "plugins/opencl/codegen/types.h"
#include "plugins/opencl/device/kernels.h"

namespace tenon::opencl {

// Bytes of one packed [k, n] matrix: panels of `columns` columns, the last one filled up with zeros.
std::int64_t packed_panel_bytes(std::int64_t k, std::int64_t n, int columns, std::int64_t element_bytes);
// b: element (k, n) is at k * k_stride + n * n_stride. to: packed_panel_bytes.
void pack_panels(const void* b, std::int64_t k_stride, std::int64_t n_stride, std::int64_t k, std::int64_t n, int columns, std::int64_t element_bytes, void* to);

struct PackConfig {
  std::int32_t from = 1, to = 1;  // storage types; both of the same type, or to is float32
  int columns = 64;               // panels
  int group = 1;
  bool zeros = false;             // rows: zero points are subtracted and each row's sum stored as int32
  bool operator==(const PackConfig&) const = default;
};
inline constexpr int kPackDepth = 32;  // k that one item of a CPU-like device packs

// B as panels [batch][panels][K][columns]. Parameters, buffers as base and byte offset, all else int: from, to, K, N, k_stride, n_stride,
// batch1, batch2, batch3, batch strides 0..3. Global: {ceil(K / kPackDepth) on CPU-like devices, else ceil(K * columns / group) * group; panels; batch}.
KernelText pack_panels_kernel(const PackConfig& config);
// A as rows [batch][M][K]. Parameters: from, to, M, K, row_stride, k_stride, batch1, batch2, batch3, batch strides 0..3,
// zeros: zero points, zero_batch, zero_row (their strides), sums. Global: {M * group, 1, batch}.
KernelText pack_rows_kernel(const PackConfig& config);

}  // namespace tenon::opencl
