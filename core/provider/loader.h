// Loader: from a manifest to a checked table of functions.
//
// Opens the library, negotiates the ABI, and refuses with a reason what does not fit. Libraries stay loaded for the life
// of the process. No state; any thread.
#pragma once

#include "core/provider/provider.h"

namespace tenon {

// Errors: those of preflight and Dynlib::open; ABI_MISMATCH, FAILED_PRECONDITION, INVALID_ARGUMENT, each with both sides.
Result<LoadedLibrary> load_library(const Manifest& manifest);
// The check alone, for tests: everything after the symbol was found. `path` is for messages.
Result<LoadedLibrary> negotiate(const tenon_provider_desc* (*query)(const tenon_query_args*), const std::string& path,
                                const std::string& expected_id);
// Features of provider.h that this host understands.
std::uint64_t host_features();

}  // namespace tenon
