// A growing cache of keys or values for the attention operators of com.microsoft: fresh rows are normalised, turned to their
// positions and appended; the cache may be quantised, and may keep only a window of the latest rows.
//
// Steps are trivially copyable; any thread.
#pragma once

#include "plugins/cpu/ops/attention.h"

namespace tenon::cpu {

// int64 for each sample: rows of the cache that are read, and rows with the fresh ones that count.
struct CacheCounts {
  Ref before, after;
  Ref shifts;  // place in the sequence of the first row that is read; absent: 0
  Ref kept;    // rows that the cache has afterwards; absent: as after

  std::int64_t read_rows(const StepContext& c, std::int64_t b) const { return c.ptr<const std::int64_t>(before)[b]; }
  std::int64_t rows(const StepContext& c, std::int64_t b) const { return c.ptr<const std::int64_t>(after)[b]; }
  std::int64_t shift(const StepContext& c, std::int64_t b) const { return shifts.present() ? c.ptr<const std::int64_t>(shifts)[b] : 0; }
  std::int64_t kept_rows(const StepContext& c, std::int64_t b) const { return c.ptr<const std::int64_t>(kept.present() ? kept : after)[b]; }
  void add_to(std::vector<Ref>& reads) const;
};

// What happens to a fresh row of a head on its way: a norm, then pairs of elements are turned by the angle of their position.
struct RowForm {
  Ref norm;  // scale of a norm by the root of the mean square; absent: none
  float epsilon = 0;
  Ref cos, sin, positions;                // positions: int64, one for each fresh row; absent: the place in the sequence
  Ref total;                              // int32: a sequence that begins here, as long as the fresh rows, goes by its first position alone
  std::int64_t rows = 0;                  // fresh rows of a sample, where total is present
  std::int64_t half = 0, table_rows = 0;  // half 0: nothing is turned
  bool interleaved = false;

  bool changes() const { return norm.present() || half > 0; }
  // item: the number of the fresh row. False, and the failure reported, for a position outside the tables.
  bool apply(const StepContext& c, std::int64_t item, std::int64_t place, const float* from, float* to, std::int64_t depth) const;
  void add_to(std::vector<Ref>& reads) const;
};

// How a cache stores its elements.
struct CacheFormat {
  std::int32_t bits = 32;  // 32: float32; 8: int8; 4: two in a byte, the lower half first, 8 being zero
  Ref scale;
  std::int64_t scale_head = 0, scale_element = 0;  // strides of scale; 0 where one serves all

  std::int64_t row_bytes(std::int64_t depth) const { return bits == 32 ? depth * 4 : (depth * bits + 7) / 8; }
  void read(const StepContext& c, std::int64_t head, const void* row, float* to, std::int64_t depth) const;
  void write(const StepContext& c, std::int64_t head, const float* from, void* row, std::int64_t depth) const;
  // A row as it will be read again.
  void round(const StepContext& c, std::int64_t head, float* row, std::int64_t depth) const;

 private:
  int code(float x, float by) const;
};

// Queries to [batch, row, head, element], in their form; rows that do not count become zeros.
struct FormQueries {
  Ref from, to;
  CacheCounts counts;
  RowForm form;
  HeadStrides strides;
  std::int64_t batch, rows, heads, depth;

  void operator()(const StepContext& c) const;
};

// float32 [batch, head, row, element]: rows of the past, the fresh ones as the cache keeps them, zeros. A float32 past may be at the same
// address.
struct FillCache {
  Ref past, fresh, to;
  CacheCounts counts;
  RowForm form;
  CacheFormat format;   // of the past
  HeadStrides strides;  // of fresh
  std::int64_t offset;  // of fresh's first element
  std::int64_t batch, heads, past_rows, fresh_rows, rows, depth;

  void operator()(const StepContext& c) const;
};

// The cache that is handed out, from the float32 rows: the last ones that are kept, in its format. What was in the past stays
// as it was, bit by bit.
struct StoreCache {
  Ref past, from, to;
  CacheCounts counts;
  CacheFormat format;
  std::int64_t batch, heads, past_rows, from_rows, rows, depth;

  void operator()(const StepContext& c) const;
};

}  // namespace tenon::cpu
