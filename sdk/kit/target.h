// Target: the provider that is tested, found by id, manifest or library, and the folder from which core loads it under watch.
// Made once by the parent; read by the children.
#pragma once

#include <string>
#include <vector>

namespace tenon::kit {

struct Target {
  std::string id, version;
  std::string manifest;   // "" for a library without one
  std::string library;    // absolute
  std::string options = "{}";  // the provider's, JSON
  std::vector<std::pair<std::string, std::string>> settings;  // of every session, pointer and value
  std::string device;     // which of its devices: index, uid or glob; "" the first
  std::string folder;     // holds the watch and its manifest; removed by close
  std::string watch_library, watch_manifest, watch_id;
  std::string problem;    // why it cannot be loaded, "" if it can

  // name: id, manifest or library. Reads files, loads nothing. Errors: std::runtime_error.
  static Target find(const std::string& name, const std::vector<std::string>& provider_paths);
  // Makes the folder. Errors: std::runtime_error.
  void prepare();
  void close();
};

// Where the kit's own files are: beside libtenon. Errors: std::runtime_error naming what is missing.
std::string kit_file(const std::string& name);

}  // namespace tenon::kit
