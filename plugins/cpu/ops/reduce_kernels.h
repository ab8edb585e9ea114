// Folding float32 rows and columns: the inner loops of the reductions and of the norms, vectorised for the machine.
//
// Plain functions on caller's memory, any alignment; any thread. The result depends on sizes and target only.
#pragma once

#include <cstdint>

namespace tenon::cpu {

// What a reduction does with each element. sum_square adds (x - shift)^2, sum_exp adds exp(x - shift).
// A NaN makes the result of every fold NaN.
enum class Fold : std::uint8_t { sum, sum_abs, sum_square, prod, max, min, sum_exp };

// The result over nothing.
float fold_start(Fold fold);
// Folds x[0, n).
float fold_run(Fold fold, const float* x, std::int64_t n, float shift = 0);
// acc[c] takes in x[r * stride + c] for every row r below rows and c below cols. shift: [cols] or null for 0.
void fold_rows(Fold fold, const float* x, std::int64_t rows, std::int64_t stride, std::int64_t cols, const float* shift,
               float* acc);

// y[i] = a x[i] + b.
void affine_run(const float* x, std::int64_t n, float a, float b, float* y);
// y[r, c] = a[c] x[r, c] + b[c]; dense rows. y may be x.
void affine_rows(const float* x, std::int64_t rows, std::int64_t cols, const float* a, const float* b, float* y);

// Index of the first (last: the last) largest or smallest of x[0, n), n > 0; the first (last) NaN if there is one.
std::int64_t arg_run(bool largest, bool last, const float* x, std::int64_t n);
// The same down each of cols columns: x[d * stride + c], d below n; n below 2^31.
void arg_columns(bool largest, bool last, const float* x, std::int64_t n, std::int64_t stride, std::int64_t cols,
                 std::int64_t* index);

// The first i in [begin, n) where x[i] is above (largest) or below the bound; NaN counts as above. n if there is none.
std::int64_t find_beyond(bool largest, const float* x, std::int64_t begin, std::int64_t n, float bound);

}  // namespace tenon::cpu
