// Scatter rows: sums of rows of a matrix into rows of another one, vectorised for the machine.
//
// Plain functions on caller's memory; any thread.
#pragma once

#include <cstdint>

namespace tenon::cpu {

// Pairs of row numbers, in the order in which they are added.
struct RowPairs {
  const std::int64_t *to, *from;
  std::int64_t count;
};
// Columns [begin, end): to[to, j] += from[from, j]; rows stand `row` numbers apart in both.
void add_rows(float* to, const float* from, std::int64_t row, const RowPairs& pairs, std::int64_t begin, std::int64_t end);

// The same pairs by where they go: target t takes the rows from[i] with i in [ends[t - 1], ends[t]), in this order.
struct RowLists {
  const std::int32_t *ends, *from;
  std::int64_t targets;
};
// Columns [begin, end), with the sums of a target in registers: it is read and written but once.
void add_row_lists(float* to, const float* from, std::int64_t row, const RowLists& lists, std::int64_t begin, std::int64_t end);

}  // namespace tenon::cpu
