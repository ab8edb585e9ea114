// A cache of keys or values that has its final size from the start: past and present are one buffer, and a number says how far
// it is used.
//
// Steps are trivially copyable; any thread.
#pragma once

#include <algorithm>
#include <cstring>

#include "plugins/cpu/ops/attention.h"

namespace tenon::cpu {

// Rows of the past stay, new ones stand behind the last that is used. Where beams took their
// past from each other, indirection [batch / beams, beams, rows] says from which.
struct ShareRows {
  Ref past, fresh, used, indirection, to;
  HeadStrides strides;
  std::int64_t batch, heads, beams, rows, fresh_rows, depth;

  void operator()(const StepContext& c) const {
    const std::int64_t old = *c.ptr<const std::int32_t>(used);
    const auto slice = c.slice(batch * heads * rows, 8);
    for (std::int64_t item = slice.begin; item < slice.end; ++item) {
      const std::int64_t t = item % rows, h = item / rows % heads, b = item / (rows * heads), n = t - old;
      const float* from = c.ptr<const float>(past) + item * depth;
      if (n >= 0 && n < fresh_rows) {
        from = c.ptr<const float>(fresh) + b * strides.batch + h * strides.head + n * strides.row;
      } else if (indirection.present() && t < old) {
        const std::int64_t beam = c.ptr<const std::int32_t>(indirection)[b * rows + t];
        if (beam < 0 || beam >= beams)
          return c.fail(TENON_OUT_OF_RANGE, "cache_indirection has " + std::to_string(beam) + ", with " + std::to_string(beams) + " beams");
        from += ((b / beams * beams + beam) - b) * heads * rows * depth;
      }
      float* row = c.ptr<float>(to) + item * depth;
      if (from != row) std::memcpy(row, from, static_cast<std::size_t>(depth) * sizeof(float));
    }
  }
};

// int64 for each sample: where its first query stands, and how many keys there are.
struct CountShared {
  Ref used, firsts, lengths;
  std::int64_t batch, queries, rows;

  void operator()(const StepContext& c) const {
    const std::int64_t old = *c.ptr<const std::int32_t>(used);
    if (old < 0 || old + queries > rows)
      stop(c, "past_sequence_length is " + std::to_string(old) + ", with " + std::to_string(queries) + " new rows and a cache of " +
                  std::to_string(rows));
    std::fill_n(c.ptr<std::int64_t>(firsts), batch, old);
    std::fill_n(c.ptr<std::int64_t>(lengths), batch, old + queries);
  }
};

}  // namespace tenon::cpu
