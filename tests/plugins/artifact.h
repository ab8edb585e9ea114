// What the provider artifact.cpp counts, as its extension "test.artifact" version 1. Read by the test between loads.
#pragma once

#include <cstdint>

struct artifact_counts {
  std::uint32_t struct_size;
  std::uint32_t compiled, found, missed;
  std::uint32_t reserved;
  char key[64];  // the last part_key
};
