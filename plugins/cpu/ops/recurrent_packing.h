// RecurrentPacking: weights of a recurrent operator in the panel order of recurrent_kernels.h.
//
// Plain functions; any thread.
#pragma once

#include <cstdint>

#include "plugins/cpu/ops/recurrent.h"

namespace tenon::cpu {

struct RecurrentPacking {
  RecurrentKind kind = RecurrentKind::rnn;
  std::int64_t directions = 1, gates = 1, hidden = 0, lanes = 1;
  bool split_hidden_gate = false;  // GRU without linear_before_reset: panels of z and r, then panels of h
  bool compact = false;            // recurrent weights of three bytes
  bool keeps_hidden_bias = false;  // GRU with it: the recurrent bias of h is not part of the projection

  std::int64_t panels() const { return (hidden + lanes - 1) / lanes; }
  std::int64_t padded() const { return panels() * lanes; }
  // Columns of the projection: [direction][panel][gate][lane].
  std::int64_t columns() const { return directions * panels() * gates * lanes; }
  std::int64_t column(std::int64_t direction, std::int64_t panel) const { return (direction * panels() + panel) * gates * lanes; }
  // Steps along k of the recurrent product; the states are padded with as many.
  std::int64_t depth() const { return compact ? (hidden + compact_depth - 1) / compact_depth * compact_depth : hidden; }
  // Floats of a recurrent panel of so many gates, and of the recurrent weights of one direction.
  std::int64_t panel_floats(std::int64_t n) const { return n * lanes * (compact ? depth() / 4 * 3 + 1 : depth()); }
  std::int64_t recurrent_floats() const {
    return panels() * (split_hidden_gate ? panel_floats(2) + panel_floats(1) : panel_floats(gates));
  }
  // Whether these recurrent weights are enough, and of such values, that compact ones are faster and as good.
  bool compactable(const float* r) const;

  // w: [directions, gates * hidden, input] -> [input, columns].
  void pack_input(const float* w, std::int64_t input, float* to) const;
  // r: [directions, gates * hidden, hidden] -> directions of [panel][k][gate][lane].
  void pack_recurrent(const float* r, float* to) const;
  // b: [directions, 2 * gates * hidden] -> [columns], then [directions, padded] for the bias that is kept apart.
  std::int64_t bias_floats() const { return columns() + directions * padded(); }
  void pack_bias(const float* b, float* to) const;
  // p: [directions, 3 * hidden] -> [directions, 3, padded].
  std::int64_t peephole_floats() const { return directions * 3 * padded(); }
  void pack_peepholes(const float* p, float* to) const;

 private:
  void pack_compact(const float* panel, std::int64_t width, float* to) const;
};

}  // namespace tenon::cpu
