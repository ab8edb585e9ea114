// merge: parts of one device that nothing between them keeps apart become one, so that a launch is saved.
// Works on the groups of one choice; no state.
#pragma once

#include "core/partition/groups.h"

namespace tenon {

// Bundles groups; true if any were. Levels have to be settled before, and again afterwards. Parts whose claims say where their
// operands live stay as they are, as do devices whose launches cost nothing.
bool merge_parts(const ClaimTable& table, Groups& groups);

}  // namespace tenon
