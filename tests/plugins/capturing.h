// What the provider capturing.cpp counts, as its extension "test.capturing" version 1. Read by the test between runs.
#pragma once

#include <cstdint>

struct capturing_counts {
  std::uint32_t struct_size;
  std::uint32_t bound;     // plans to addresses
  std::uint32_t executed;  // calls of execute
  std::uint32_t captured, replayed;  // of these: recorded a range, ran a recorded one
  std::uint32_t steps;               // that execute was asked for
  std::uint32_t updates, updated;    // calls of binding_update, operands in them
};
