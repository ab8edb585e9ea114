// Loader: from a manifest to a checked table of functions.
//
// Opens the library, negotiates the ABI, and refuses with a reason what does not fit: versions, struct sizes, features,
// sanitizers, required functions. Other headers of the same major are no reason; they are told. Libraries stay loaded for the life
// of the process. No state; any thread.
#pragma once

#include "core/provider/provider.h"
#include "core/provider/trust.h"

namespace tenon {

// Errors: those of preflight and load_trusted; ABI_MISMATCH, FAILED_PRECONDITION, INVALID_ARGUMENT, each with both sides.
Result<LoadedLibrary> load_library(const Manifest& manifest, const TrustPolicy& policy = {});
// What a host says of itself. The defaults are this host's; tests play older and newer ones.
struct HostOffer {
  std::uint32_t major = TENON_ABI_MAJOR;
  std::uint32_t minor_min = 0;
  std::uint32_t minor_max = TENON_ABI_MINOR;
  std::uint64_t header_hash = TENON_ABI_HEADER_HASH;
};
// The check alone: everything after the symbol was found. `path` is for messages; an empty expected_id is any.
Result<LoadedLibrary> negotiate(const tenon_provider_desc* (*query)(const tenon_query_args*), const std::string& path,
                                const std::string& expected_id, const HostOffer& offer = {});
// Features of provider.h that this host understands.
std::uint64_t host_features();

}  // namespace tenon
