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

}  // namespace tenon::cpu
