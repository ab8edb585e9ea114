// GatherWalk: the rows of a Gather one after the other, each fetched from where it lies some rows before it is read.
// Plain data; any thread.
#pragma once

#include <algorithm>

#include "plugins/cpu/ops/indices.h"

namespace tenon::cpu {

struct GatherWalk {
  std::int64_t bound, count;      // rows of the data, of the indices; both times whatever stands outside
  const char* data = nullptr;     // null: nothing is fetched
  std::int64_t row_bytes = 0;
  std::int64_t first = 0, step = 1;  // where the indices of one round stand in their list
  const char* op = "Gather";         // for messages

  // Calls copy(row, from) for each row of the output in [begin, end). What is out of bounds is reported and ends the walk.
  template <class Copy>
  void run(const StepContext& c, const IndexList& list, std::int64_t begin, std::int64_t end, Copy&& copy) const {
    constexpr std::int64_t ahead = 8;  // rows of the same indices
    std::int64_t outer = begin / count, k = begin % count;
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t at = list.resolve(first + k * step, bound);
      if (at < 0) return list.fail(c, op, first + k * step, bound);
      if (data && k + ahead < count)
        if (const std::int64_t next = list.resolve(first + (k + ahead) * step, bound); next >= 0) fetch(data + (outer * bound + next) * row_bytes);
      copy(row, outer * bound + at);
      if (++k == count) k = 0, ++outer;
    }
  }

 private:
  void fetch(const char* row) const {
    constexpr std::int64_t line = 64, most = 512;  // bytes; what a row has beyond, the hardware sees coming
    for (std::int64_t at = 0; at < std::min(row_bytes, most); at += line) __builtin_prefetch(row + at);
  }
};

}  // namespace tenon::cpu
