// probe: a library that is loaded for the first time is loaded in a process of its own first.
//
// A constructor that crashes, hangs or calls exit, or an entry that does, cannot be survived in this process. The child loads the
// library and asks for its description, nothing else: no device is touched. The outcome is kept per build (quarantine.h).
// Any thread.
#pragma once

#include <chrono>
#include <string>

#include "core/base/status.h"
#include "core/provider/quarantine.h"

namespace tenon {

// Errors: FAILED_PRECONDITION where the library is in quarantine or comes into it now. A library that merely refuses to load or
// this host passes: the loader says why. Where the child cannot be started (its program is missing, no process is to be had) the
// library counts as not tried, which is logged.
Status probe_library(const std::string& id, const std::string& library, std::chrono::milliseconds limit, Quarantine records);
// The program that does it: beside libtenon, lib/tenon/tenon_probe; "" when it is not there.
std::string probe_program();

}  // namespace tenon
