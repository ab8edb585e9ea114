// The inside of tenon_config; only for core/provider/*.cpp.
#pragma once

#include <nlohmann/json.hpp>

#include "core/provider/options.h"

struct tenon_config {
  nlohmann::json value;
};
