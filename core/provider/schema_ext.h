// Custom operators that providers declare through the extension "tenon.schema".
// No state; called while a session loads, before import.
#pragma once

#include <span>

#include "core/ops/custom.h"
#include "core/provider/provider.h"

namespace tenon {

// Adds the provider's schemas to ops. Errors: INVALID_ARGUMENT for a malformed schema, ALREADY_EXISTS naming both
// providers when another one declared the same operator and version differently.
Status read_schemas(const ProviderPtr& provider, CustomOps& ops);

}  // namespace tenon
