// Limits: bounds on what a model may ask for; each is a key of the configuration and is named in its error.
// Plain data.
#pragma once

#include <chrono>
#include <cstdint>

namespace tenon {

struct Limits {
  int nesting = 64;                      // depth of bodies and messages
  int rank = 64;
  std::uint64_t nodes = 1'000'000;       // in all graphs of a model together, after functions are expanded
  std::uint64_t memory = 64ull << 30;    // bytes of one run's arena, and of any one tensor
  std::uint64_t model_bytes = 64ull << 30;
  std::chrono::nanoseconds load{0};      // 0: no limit
  std::chrono::nanoseconds run{0};
  std::chrono::nanoseconds call{std::chrono::minutes(5)};  // of one call of a provider while a model is loaded
  std::chrono::nanoseconds late{std::chrono::seconds(1)};  // until a device that is past a limit is set aside
};

}  // namespace tenon
