// Inner loops of LSTM, GRU and RNN in float32 for a panel of hidden units, vectorised for the machine.
//
// A panel is as many units as a vector has lanes, with all gates of each: weights [k][gates][lanes], sums and projections
// [gates][lanes]. Hidden states are padded to whole panels. Plain functions on caller's memory; any thread.
#pragma once

#include <cstdint>

namespace tenon::cpu {

enum class Activate : std::uint8_t {
  relu, tanh, sigmoid, affine, leaky_relu, thresholded_relu, scaled_tanh, hard_sigmoid, elu, softsign, softplus,
};

struct Activation {
  Activate kind = Activate::sigmoid;
  float alpha = 0, beta = 0;
};

double activate(const Activation& f, double x);

constexpr std::int64_t max_panel_lanes = 16;
constexpr std::int64_t max_gates = 4;
// Units of a panel on this machine.
std::int64_t panel_lanes();

// out[r][gate][lane] = sum over k of h[r][k] * panel[k][gate][lane].
void panel_products(std::int64_t gates, std::int64_t rows, const float* const* h, const float* panel, std::int64_t k, float* out);

// One panel of one row. sums: h R; projection: x W and biases. All pointers stand at the panel; clip <= 0: none.
struct LstmCell {
  const float *sums, *projection;       // i, o, f, c
  const float *peep_i, *peep_o, *peep_f;  // null: none
  float *c, *h;                         // c is read and written
  float clip;
  bool input_forget;
};
void lstm_cell(const LstmCell& cell, const Activation& f, const Activation& g, const Activation& h);

// GRU, linear_before_reset: sums and projection hold z, r, h; bias is the hidden gate's recurrent bias.
void gru_cell_linear(const float* sums, const float* projection, const float* bias, const float* previous, float clip,
                     const Activation& f, const Activation& g, float* h);
// GRU otherwise: first z and r * previous from the sums of z and r, then the new state from the sums of the hidden gate.
void gru_gates(const float* sums, const float* projection, const float* previous, float clip, const Activation& f, float* z,
               float* reset_h);
void gru_cell(const float* sums, const float* projection, const float* z, const float* previous, float clip, const Activation& g,
              float* h);
void rnn_cell(const float* sums, const float* projection, float clip, const Activation& f, float* h);

}  // namespace tenon::cpu
