// Failure: how the provider's own code reports that something cannot be done.
// Thrown inside the provider only; provider.cpp turns it into a status. Plain data.
#pragma once

#include <cstdint>
#include <string>

#include <tenon/provider.h>

namespace tenon::opencl {

struct Failure {
  std::int32_t code;  // TENON_*
  std::string text;   // where, expected, found
};

}  // namespace tenon::opencl
