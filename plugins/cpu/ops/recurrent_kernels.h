// Inner loops of LSTM, GRU and RNN in float32 for a panel of hidden units, vectorised for the machine.
//
// A panel is as many units as a vector has lanes, with all gates of each: weights [k][gates][lanes], sums and projections
// [gates][lanes]. Hidden states are padded to whole panels. Plain functions on caller's memory; any thread.
//
// A matrix that does not stay in L1 is read at the speed of the caches, so fewer bytes are less time. Compact weights take three
// bytes each. They are scaled to whole numbers of 32 bits by a power of two for each gate of a unit, and of four vectors three
// are stored: two hold 20 bits of each number above 12 bits of the fourth, which has 24; one holds floats, exact. The error of a
// weight is so at most 2^-19 of the largest of its gate and unit.
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
// The same with compact weights: scales [gates][lanes], then the vectors; k is a multiple of compact_depth.
void compact_panel_products(std::int64_t gates, std::int64_t rows, const float* const* h, const float* panel, std::int64_t k,
                            float* out);
constexpr std::int64_t compact_depth = 4;
// The scale of finite weights whose largest magnitude is this; and four weights, divided by theirs, as three.
float compact_scale(float largest);
void encode_compact(const float (&w)[4], float (&stored)[3]);

// Panels of one row, one after the other: sums stand sum_step floats apart, projections all gates of a panel apart, all else
// a panel apart. sums: h R; projection: x W and biases. All pointers stand at the first panel; clip <= 0: none.
struct Panels {
  std::int64_t count, sum_step;
  const float *sums, *projection;
  float clip;
};
struct LstmCell {
  const float *peep_i, *peep_o, *peep_f;  // null: none
  float *c, *h;                           // c is read and written
  bool input_forget;
};
// sums and projection: i, o, f, c.
void lstm_cells(const Panels& panels, const LstmCell& cell, const Activation& f, const Activation& g, const Activation& h);

// GRU, linear_before_reset: sums and projection hold z, r, h; bias is the hidden gate's recurrent bias.
void gru_cells_linear(const Panels& panels, const float* bias, const float* previous, const Activation& f, const Activation& g, float* h);
// GRU otherwise: first z and r * previous from the sums of z and r, then the new state from the sums of the hidden gate;
// projection holds z, r, h both times.
void gru_gates(const Panels& panels, const float* previous, const Activation& f, float* z, float* reset_h);
void gru_cells(const Panels& panels, const float* z, const float* previous, const Activation& g, float* h);
void rnn_cells(const Panels& panels, const Activation& f, float* h);

}  // namespace tenon::cpu
