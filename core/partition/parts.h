// parts: the last step of the cover: chosen claims become parts that run in order.
// A pure function of graph and choice.
#pragma once

#include "core/partition/cover.h"

namespace tenon {

// chosen: the claim of each node, none where it is skipped or uncovered. A part is what one device computes at one level of
// one segment; every edge that leaves a part goes to a higher level.
Cover make_parts(const CoverInput& input, const std::vector<std::vector<NodeId>>& readers, const std::vector<std::uint32_t>& chosen);

}  // namespace tenon
