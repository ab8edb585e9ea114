// The kernel of LSTM, GRU and RNN behind the product of the input: an item (a group on devices that have them) walks all steps of some
// sequences of one direction.
// Pure functions.
#pragma once

#include <cstdint>
#include <string>

#include "plugins/opencl/codegen/types.h"
#include "plugins/opencl/device/kernels.h"

namespace tenon::opencl {

enum class RecurrentKind : std::uint8_t { rnn, gru, lstm };

struct Activation {
  std::string name = "tanh";  // in lower case, as ONNX lists them
  float alpha = 0, beta = 0;
};
// False: unknown. Fills in the defaults of alpha and beta, and says which of them the activation has.
bool know_activation(const std::string& name, Activation* out, bool* alpha, bool* beta);

struct RecurrentForm {
  RecurrentKind kind = RecurrentKind::rnn;
  std::int32_t dtype = 1, compute = 1;  // of the operands; float32 or float64
  bool bias = false, peepholes = false, lengths = false, h0 = false, c0 = false;
  bool y = false, y_h = false, y_c = false;
  bool linear_before_reset = false, input_forget = false;
  float clip = 0;             // <= 0: none
  Activation activations[2][3];
  int directions = 1;
  int backwards = 0;          // bit d: direction d walks from the end
  int rows = 1;               // sequences of an item
  int width = 16, group = 1;

  std::int64_t gates() const { return kind == RecurrentKind::lstm ? 4 : kind == RecurrentKind::gru ? 3 : 1; }
  int columns() const { return group > 1 ? 64 : 2 * width; }  // of a panel of R
};

// Parameters, buffers as base and byte offset: p (products of the input, [direction][x row][gates * hidden], compute type), r (R in panels of
// columns(), [direction][panel][hidden][columns], compute type), states h, c, q ([direction][batch][hidden]) and s ([direction][batch][gates * hidden])
// of the compute type; then as far as there are any: bias, peepholes, lengths (int), h0, c0, y, y_h, y_c; then int steps, batch, hidden,
// p_t, p_b, p_d (strides of p), y_t, y_b, y_d, state_b, state_d. Global: [ceil(batch / rows) * group, directions].
KernelText recurrent_kernel(const RecurrentForm& form);

}  // namespace tenon::opencl
