// The files that make up the pool family. Read-only tables; any thread.
#pragma once

#include "plugins/cpu/op.h"

namespace tenon::cpu {

std::span<const OpRow> window_pool_rows();  // pool.cpp: MaxPool, AveragePool, LpPool
std::span<const OpRow> global_pool_rows();  // pool_global.cpp
std::span<const OpRow> unpool_rows();       // pool_unpool.cpp: MaxUnpool
std::span<const OpRow> roi_pool_rows();     // pool_roi.cpp: RoiAlign, MaxRoiPool

}  // namespace tenon::cpu
