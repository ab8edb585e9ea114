// parts: the last step of the cover: chosen claims become parts that run in order.
// A pure function of graph and choice.
#pragma once

#include "core/partition/claim_table.h"

namespace tenon {

// chosen: the claim that makes each node's values for others, none where it is skipped or uncovered. A part is what one device
// computes at one level of one segment; every edge that leaves a part goes to a higher level. Parts of one device that nothing
// between them keeps apart are merged where that saves a launch.
Cover make_parts(const ClaimTable& table, const std::vector<std::uint32_t>& chosen);

}  // namespace tenon
