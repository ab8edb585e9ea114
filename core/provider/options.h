// Options: the configuration of one provider in one session, behind the ABI's opaque tenon_config.
// Immutable once made; any thread. nlohmann/json stays in options_impl.h.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <tenon/host.h>

#include "core/base/status.h"

namespace tenon {

using OptionsPtr = std::shared_ptr<const tenon_config>;

// From a JSON object as text. Errors: INVALID_ARGUMENT.
Result<OptionsPtr> make_options(std::string_view json);
// What host->config_get answers; 1, 0 or -1.
std::int32_t option_get(const tenon_config& config, std::string_view pointer, std::int32_t type, void* out);
std::string options_text(const tenon_config& config);

}  // namespace tenon
