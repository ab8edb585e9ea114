// part_key: the name under which a provider finds again what it made of a part, in this process and in later ones.
// Pure; called while a session loads.
#pragma once

#include <cstdint>
#include <string>

#include <tenon/provider.h>

#include "core/base/status.h"
#include "core/provider/load.h"
#include "core/provider/options.h"

namespace tenon {

// A digest of all that compile is told: nodes with their attributes and how they are joined, types, dims and bounds of values,
// the identity of constants (their place in a file, else their contents), options and worker count. Names are no part of it.
// Errors: those of reading constants.
Result<std::string> part_key(const tenon_part& part, const tenon_config* options, std::uint32_t max_workers, LoadTask& load);

}  // namespace tenon
