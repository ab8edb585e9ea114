// Rows of the normalisations in float32, vectorised for the machine; and the same in plain code for any type.
//
// Plain functions on caller's memory, any alignment; any thread. An output may be the input it is computed from.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace tenon::cpu {

// One row of LayerNormalization and its relatives: t = x + skip + bias, y = (t - mean) * inv * gamma + beta. Null: absent.
template <class T>
struct LayerRow {
  const T* x;
  const T* skip;
  const T* bias;
  const T* gamma;
  const T* beta;
  T* sum;  // t
  T* y;
};
template <class T>
struct LayerStats {
  T mean, inv;  // inv = 1 / sqrt(variance + epsilon)
};

// rms: no mean; inv comes from the mean of squares.
LayerStats<float> layer_norm_row(const LayerRow<float>& row, std::int64_t n, float epsilon, bool rms);

// y = softmax(scale * x + mask) of each dense row of n, or its logarithm. mask: one row for all of them, or null.
void softmax_rows(const float* x, const float* mask, float scale, std::int64_t rows, std::int64_t n, bool log, float* y);
// The same down each of cols columns: element d of column c is x[d * stride + c].
void softmax_columns(const float* x, std::int64_t n, std::int64_t stride, std::int64_t cols, bool log, float* y);

// y = x * (bias + alpha * squares)^-beta for n elements.
void lrn_row(const float* x, const float* squares, std::int64_t n, float alpha, float beta, float bias, float* y);
// acc += x^2, or -= with a negative sign.
void add_squares(const float* x, std::int64_t n, float* acc);

template <class T>
LayerStats<T> plain_layer_norm_row(const LayerRow<T>& r, std::int64_t n, double epsilon, bool rms) {
  const auto at = [&](std::int64_t i) {
    return static_cast<T>(r.x[i] + (r.skip ? r.skip[i] : T(0)) + (r.bias ? r.bias[i] : T(0)));
  };
  double mean = 0, square = 0;
  if (!rms) {
    for (std::int64_t i = 0; i < n; ++i) mean += static_cast<double>(at(i));
    mean /= static_cast<double>(n);
  }
  for (std::int64_t i = 0; i < n; ++i) {
    const double t = static_cast<double>(at(i)) - mean;
    square += t * t;
  }
  const double inv = 1 / std::sqrt(square / static_cast<double>(n) + epsilon);
  for (std::int64_t i = 0; i < n; ++i) {
    const T t = at(i);
    if (r.sum) r.sum[i] = t;
    const double v = (static_cast<double>(t) - mean) * inv;
    r.y[i] = static_cast<T>(v * (r.gamma ? static_cast<double>(r.gamma[i]) : 1.0) + (r.beta ? static_cast<double>(r.beta[i]) : 0.0));
  }
  return {static_cast<T>(mean), static_cast<T>(inv)};
}

template <class T>
void plain_softmax_line(const T* x, std::int64_t n, std::int64_t stride, bool log, T* y) {
  double top = -std::numeric_limits<double>::infinity(), sum = 0;
  for (std::int64_t i = 0; i < n; ++i) top = std::max(top, static_cast<double>(x[i * stride]));
  for (std::int64_t i = 0; i < n; ++i) sum += std::exp(static_cast<double>(x[i * stride]) - top);
  const double log_sum = std::log(sum);
  for (std::int64_t i = 0; i < n; ++i) {
    const double v = static_cast<double>(x[i * stride]);
    y[i * stride] = static_cast<T>(log ? v - top - log_sum : std::exp(v - top) / sum);
  }
}

}  // namespace tenon::cpu
