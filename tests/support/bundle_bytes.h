// Bundles as bytes that tests change: the checksums made right again, so that what they protect is read.
#pragma once

#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

#include "core/base/bundle.h"
#include "core/base/bundle_header.h"
#include "core/base/sha256.h"

namespace tenon::test {

inline std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline std::span<const std::byte> as_bytes(std::string_view text) { return {reinterpret_cast<const std::byte*>(text.data()), text.size()}; }

// The hash of the model in the index, and that of the index in the header, as far as these can be found.
inline void seal(std::string& bytes) {
  BundleHeader h;
  if (bytes.size() < sizeof h) return;
  std::memcpy(&h, bytes.data(), sizeof h);
  if (h.index_offset > bytes.size() || h.index_bytes != bytes.size() - h.index_offset) return;
  const std::string_view index = std::string_view(bytes).substr(h.index_offset);
  if (const auto read = BundleIndex::parse(index, h.index_offset); read.ok() && read->model_hash.size() == 32)
    if (const std::size_t at = index.find(read->model_hash); at != index.npos)
      bytes.replace(h.index_offset + at, 32, xxh128_hex(as_bytes(bytes).subspan(read->model.offset, read->model.bytes)));
  const std::string digest = sha256(as_bytes(bytes).subspan(h.index_offset));
  for (std::size_t i = 0; i < sizeof h.digest; ++i) h.digest[i] = static_cast<unsigned char>(std::stoul(digest.substr(2 * i, 2), nullptr, 16));
  std::memcpy(bytes.data(), &h, sizeof h);
}

// Another index in place of the bundle's, header and hashes to match.
inline std::string with_index(std::string bytes, const std::string& index) {
  BundleHeader h;
  std::memcpy(&h, bytes.data(), sizeof h);
  bytes.resize(h.index_offset);
  bytes += index;
  h.index_bytes = index.size();
  h.file_bytes = bytes.size();
  std::memcpy(bytes.data(), &h, sizeof h);
  seal(bytes);
  return bytes;
}
inline std::string index_of(const std::string& bytes) {
  BundleHeader h;
  std::memcpy(&h, bytes.data(), sizeof h);
  return bytes.substr(h.index_offset);
}

}  // namespace tenon::test
