// Recurrent: what LSTM, GRU and RNN have in common, and the steps that run them.
//
// RecurrentForm and RecurrentSizes are plain data, made in compile and in plan; steps are immutable.
#pragma once

#include <cstdint>
#include <string>

#include "plugins/cpu/op.h"
#include "plugins/cpu/ops/recurrent_kernels.h"

namespace tenon::cpu {

enum class RecurrentKind : std::uint8_t { rnn, gru, lstm };

struct RecurrentForm {
  RecurrentKind kind = RecurrentKind::rnn;
  std::int32_t directions = 1;
  bool reverse = false;  // the first direction runs backwards; the second always does
  bool batch_first = false, linear_before_reset = false, input_forget = false;
  float clip = 0;        // <= 0: none
  Activation activations[2][3];  // of each direction: f, g, h

  std::int64_t gates() const { return kind == RecurrentKind::lstm ? 4 : kind == RecurrentKind::gru ? 3 : 1; }
  bool backwards(std::int64_t direction) const { return reverse || direction == 1; }
};

// Reads the attributes. The reason why that cannot be; empty: it was done.
std::string parse_recurrent_form(const NodeView& node, RecurrentForm* form);

struct RecurrentSizes {
  std::int64_t steps, batch, input, hidden;

  // Offsets, in elements, of rows of input or hidden elements.
  std::int64_t x_row(const RecurrentForm& f, std::int64_t t, std::int64_t b) const { return f.batch_first ? b * steps + t : t * batch + b; }
  std::int64_t y_row(const RecurrentForm& f, std::int64_t t, std::int64_t d, std::int64_t b) const {
    return f.batch_first ? (b * steps + t) * f.directions + d : (t * f.directions + d) * batch + b;
  }
  std::int64_t state_row(const RecurrentForm& f, std::int64_t d, std::int64_t b) const {
    return f.batch_first ? b * f.directions + d : d * batch + b;
  }
};

// The operator's operands.
struct RecurrentRefs {
  Ref x, w, r, bias, lengths, h0, c0, peepholes;
  Ref y, y_h, y_c;
};

// Length of sequence b; false: it is outside [0, steps], which is reported.
bool sequence_length(const StepContext& c, Ref lengths, std::int64_t steps, std::int64_t b, std::int64_t* out);

// Scalar loops for float32 and double: the oracle.
void plan_recurrent_plain(PlanBuilder& builder, const RecurrentForm& form, const RecurrentSizes& sizes, const RecurrentRefs& refs,
                          std::int32_t dtype);

}  // namespace tenon::cpu
