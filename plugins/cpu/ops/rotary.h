// The rows of RotaryEmbedding.
// Read-only table; any thread.
#pragma once

#include <span>

#include "plugins/cpu/op.h"

namespace tenon::cpu {

std::span<const OpRow> rotary_rows();

}  // namespace tenon::cpu
