// NodeBan: a node, known by its first output, that is kept off a device when a model is placed anew.
// Plain data.
#pragma once

#include <string>

namespace tenon {

struct NodeBan {
  std::string output, provider, device;
};

}  // namespace tenon
