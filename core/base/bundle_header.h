// BundleHeader: the first bytes of a bundle, as they stand in the file. For its reader and its writer. Plain data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include <fmt/format.h>

namespace tenon {

struct BundleHeader {
  static constexpr char begins[8] = {'T', 'E', 'N', 'O', 'N', 'B', '0', '1'};
  static constexpr std::uint32_t newest = 1;

  char magic[8];
  std::uint32_t format, zero;
  std::uint64_t index_offset, index_bytes, file_bytes;
  unsigned char digest[32];  // SHA-256 of the index

  std::string digest_text() const {
    std::string out;
    for (const unsigned char c : digest) out += fmt::format("{:02x}", c);
    return out;
  }
};
static_assert(sizeof(BundleHeader) == 72 && offsetof(BundleHeader, digest) == 40);

}  // namespace tenon
