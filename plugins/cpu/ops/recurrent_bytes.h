// BytePanels: weights of an LSTM, quantized to bytes, in the panel order of recurrent_bytes_kernels.h; and the steps that use them.
//
// Made in compile, immutable after; plain data that steps copy. The memory belongs to the host and to the program.
#pragma once

#include <algorithm>

#include "plugins/cpu/ops/recurrent_bytes_kernels.h"
#include "plugins/cpu/ops/recurrent_packing.h"

namespace tenon::cpu {

struct BytePanels {
  RecurrentPacking packing;
  std::int64_t depth = 0, group = 2;
  const std::int8_t* weights = nullptr;  // [direction][panel][groups][gate][lane][group], then int32 sums [direction][panel][gate][lane]
  const std::int32_t* zeros = nullptr;   // [direction][panel][gate][lane], as are scales
  const float* scales = nullptr;

  std::int64_t groups() const { return (depth + group - 1) / group; }
  std::int64_t panel_bytes() const { return groups() * group * byte_gates * packing.lanes; }
  std::uint64_t bytes() const {
    return static_cast<std::uint64_t>(packing.directions * packing.panels() * panel_bytes() + packing.columns() * 4);
  }
  // Bytes of a row that is multiplied with them.
  std::int64_t row_bytes() const { return (depth + most_byte_group - 1) / most_byte_group * most_byte_group; }
  // Panel p of a direction; add: null, or [direction][panel][gate][lane].
  BytePanel panel(std::int64_t direction, std::int64_t p, const float* add) const;

  // w: [directions, depth, gates * hidden] of int8, or uint8 with flip. Into bytes() bytes.
  void pack(const void* w, bool flip, std::int8_t* to) const;
  // values: one for each direction, or [directions, gates * hidden]; to: columns, 0 where there is no unit.
  template <class T, class U>
  void spread(const U* values, bool each, T* to) const {
    const std::int64_t width = byte_gates * packing.hidden;
    std::fill(to, to + packing.columns(), T{});
    for (std::int64_t d = 0; d < packing.directions; ++d)
      for (std::int64_t j = 0; j < width; ++j) to[column(d, j)] = static_cast<T>(values[each ? d * width + j : d]);
  }

 private:
  std::int64_t column(std::int64_t d, std::int64_t j) const {
    const std::int64_t unit = j % packing.hidden;
    return packing.column(d, unit / packing.lanes) + j / packing.hidden * packing.lanes + unit % packing.lanes;
  }
};

// What the steps of one plan read and write beside the operands.
struct ByteLstmPlan {
  RecurrentForm form;
  RecurrentSizes sizes;
  RecurrentRefs refs;  // bias and peepholes as RecurrentPacking packs them
  BytePanels input, recurrent;
};
// The input becomes bytes with one scale, each state at each step with one of its own.
void plan_byte_lstm(PlanBuilder& builder, const ByteLstmPlan& plan);

}  // namespace tenon::cpu
