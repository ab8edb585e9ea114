// The parts of the norm family.
// Read-only tables; any thread.
#pragma once

#include "plugins/opencl/families.h"

namespace tenon::opencl {

std::span<const OpRow> layer_norm_rows();    // along the last axes
std::span<const OpRow> lrn_rows();           // over neighbouring channels
std::span<const OpRow> channel_norm_rows();  // batch, instance, group, LpNormalization, MeanVarianceNormalization

}  // namespace tenon::opencl
