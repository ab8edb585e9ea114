// compile: a model becomes a bundle: loaded as a session would load it, with all that providers store on the way.
//
// A session from the bundle asks for the same things under the same names, because it was one that stored them. No state; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/run/session.h"

namespace tenon {

struct CompileOptions {
  LoadOptions load;     // how the bundle's sessions will be configured; its cache on disk is left alone
  bool add = false;     // the model is a bundle: what it stores stays, what this machine needs comes to it
  bool packed = true;   // packed weights are stored as well as artifacts
};

// What is in a bundle, and what this compilation put there.
struct BundleReport {
  struct Target {
    std::string provider, version, fingerprint;
    std::vector<std::string> made;  // JSON objects: the settings of each compilation
    std::uint64_t artifacts = 0, artifact_bytes = 0, packed = 0, packed_bytes = 0;
    std::uint64_t added = 0;        // of both, by this compilation
  };
  std::string path, digest, tenon;
  std::uint64_t bytes = 0, model_bytes = 0, weight_bytes = 0;
  std::vector<Target> targets;
  std::string usable;              // "": what it stores may be used; else why not
  std::vector<std::string> notes;  // of the session that was compiled
};

// Writes the bundle, or nothing. Errors: those of loading the model; PERMISSION_DENIED where a bundle is to be added to that is not
// trusted; those of writing the file.
Result<BundleReport> compile_bundle(const std::string& model_path, const std::string& bundle_path, CompileOptions options);
// Reads a bundle without its model. Errors: those of Bundle; INVALID_ARGUMENT for other files.
Result<BundleReport> describe_bundle(const std::string& path);
// From now on providers get what it stores in this user's processes. Errors: those of describe_bundle, PERMISSION_DENIED where others
// may write to the file.
Status allow_bundle(const std::string& path);

}  // namespace tenon
