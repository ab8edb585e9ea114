// Layout: puts in the conversions between what ops make and what ops want: blocked layouts, half types at the part's
// border; and finds the values that only rename another's memory.
// Called once in compile, after fusion.
#pragma once

#include "plugins/cpu/program.h"

namespace tenon::cpu {

// Rewrites program.units and appends to program.values. machine_block 0: everything stays dense.
void lay_out_values(Program& program, const tenon_graph& graph, std::int32_t machine_block);

}  // namespace tenon::cpu
