// isolate: a provider whose library is loaded into processes of its own and never into this one.
//
// README.md in this folder says how. What comes out is a table of functions like any library's, so that nothing above knows the
// difference. No state; any thread.
#pragma once

#include <chrono>

#include "core/provider/manifest.h"
#include "core/provider/provider.h"
#include "core/provider/trust.h"

namespace tenon {

// Starts a process that loads the library as the policy allows it and creates the provider with these options. The result's
// `created` is to be given to Provider::make. limit: of one call without a sign of life, 0 for none. Errors: those of load_library and
// of create, NOT_FOUND and UNAVAILABLE where no process is to be had, UNAVAILABLE and DEADLINE_EXCEEDED where it ended.
Result<LoadedLibrary> load_isolated(const Manifest& manifest, const TrustPolicy& policy, const OptionsPtr& options, std::chrono::milliseconds limit);

}  // namespace tenon
