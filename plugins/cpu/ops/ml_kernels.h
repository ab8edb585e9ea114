// Sums over features in float32 for the linear and the support vector models, vectorised for the machine.
//
// Plain functions on caller's memory, any alignment; any thread.
#pragma once

#include <cstdint>

namespace tenon::cpu {

// Sum of a[i] b[i].
float dot_run(const float* a, const float* b, std::int64_t n);
// out[c] = sum over r of x[r] m[r * cols + c].
void dot_columns(const float* x, const float* m, std::int64_t rows, std::int64_t cols, float* out);
// out[c] = sum over r of (x[r] - m[r * cols + c])^2.
void distance_columns(const float* x, const float* m, std::int64_t rows, std::int64_t cols, float* out);
// y[i] = exp(scale * x[i]). y may be x.
void exp_run(const float* x, std::int64_t n, float scale, float* y);

}  // namespace tenon::cpu
