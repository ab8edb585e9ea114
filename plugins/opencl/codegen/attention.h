// The kernel of attention with an online softmax: keys come in tiles, each row keeps its maximum, its sum and its output as it goes, and no
// scores are stored.
//
// Rows are the queries of all heads that share a key head: row r is query r % queries of head r / queries of the group. On CPU-like devices
// an item takes `rows` of them, keys of a tile beside each other in vectors (keys packed into panels, [D][columns]) or, for few rows, one
// after another as they lie. Elsewhere an item is a row and a group shares the tile in local memory. Pure functions.
#pragma once

#include <cstdint>

#include "plugins/opencl/device/kernels.h"

namespace tenon::opencl {

struct AttentionForm {
  std::int32_t q = 1, k = 1, v = 1, y = 1;  // storage types; keys in panels are float32 (float64 where v is)
  std::int32_t mask = 0;                    // UNDEFINED: none; BOOL: keys that count; else added to the scores
  bool lengths = false, firsts = false, sinks = false, capped = false;
  bool cpu = true, panels = false;
  int depth = 1, value_depth = 1;
  int width = 16;                           // lanes
  int rows = 8;                             // of an item, CPU-like devices
  int tile = 64;                            // keys; a multiple of 2 * width
  int group = 1;

  int columns() const { return 2 * width; }  // of a panel
};

// Parameters, buffers as base and byte offset: y, q, k, v, mask, lengths (int), firsts (int), sinks (float) as far as there are any; then int
// kv_heads, group_heads, queries, keys, strides of batch, head and row of y, q, k, v (k in panels: of batch and head, row 0) and mask,
// int mask_keys, past, left, right (keys that a query sees before and behind its place), scale and cap of the compute type.
// lengths: keys of each batch. firsts: the place of the first query of each batch among the keys, else past.
// Global: [ceil(group_heads * queries / rows) (or up to the group), batch * kv_heads].
KernelText attention_kernel(const AttentionForm& form);

}  // namespace tenon::opencl
