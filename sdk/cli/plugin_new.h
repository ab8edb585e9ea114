// PluginNew: `tenon plugin new`: a project outside of tenon's tree, written from the template that is installed in share/.
// One object a command; used by the main thread.
#pragma once

#include <string>

namespace tenon::cli {

struct PluginNew {
  std::string name;    // id of the provider
  std::string folder;  // "": a new one of that name

  // Errors: Failure. Nothing that exists is overwritten.
  int operator()() const;
};

}  // namespace tenon::cli
