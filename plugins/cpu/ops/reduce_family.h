// The files that reduce_rows() gathers.
// Read-only tables; any thread.
#pragma once

#include <span>

#include "plugins/cpu/op.h"

namespace tenon::cpu {

std::span<const OpRow> arg_reduce_rows();  // ArgMax, ArgMin, Hardmax
std::span<const OpRow> cumulative_rows();  // CumSum, CumProd
std::span<const OpRow> topk_rows();        // TopK
std::span<const OpRow> misc_math_rows();   // Det, MeanVarianceNormalization

}  // namespace tenon::cpu
