// Bundle: a compiled model as one file (.tnb): the model, its weights, and what providers stored when it was compiled.
//
//   page 0   "TENONB01" · u32 format, u32 zero · u64 offset and bytes of the index, u64 bytes of the file · SHA-256 of the index (32 bytes)
//   pages    sections, each begins on a page of 4096 bytes: the weights; the model, an ONNX message whose large tensors are external
//            data "weights" at an offset in that section; then one section for each stored artifact and packed weight
//   end      the index, JSON: where the sections are, their hashes, and for whom each was stored (BundleIndex)
//
// Numbers are little-endian. Sections are used where they lie, so a bundle is mapped like a model. It names no library and no path.
// Everything that a bundle says of sizes and places is checked when it is opened. Immutable; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/file_map.h"
#include "core/base/status.h"

namespace tenon {

inline constexpr std::uint64_t bundle_page = 4096;
inline constexpr std::string_view bundle_weights = "weights";  // the location of external data in a bundle's model

struct BundleRange {
  std::uint64_t offset = 0, bytes = 0;
};

// One thing that a provider stored.
struct BundleStored {
  enum class Kind { artifact, packed };
  Kind kind = Kind::artifact;
  std::string key;   // bundle_key of what it was asked for by
  std::string what;  // for people: the key or the layout itself, shortened
  BundleRange range;
  std::string hash;  // artifact: SHA-256; packed: XXH3, 128 bits
};

// For whom it was stored. All four must be a device's own, or it gets nothing of this.
struct BundleTarget {
  std::string provider, version;
  std::string library;      // XXH3 of the provider's library: another build, another hash
  std::string fingerprint;  // of the device
  std::vector<std::string> made;  // by which settings, a JSON object for each compilation: for people
  std::vector<BundleStored> stored;

  bool same(const BundleTarget& other) const {
    return provider == other.provider && version == other.version && library == other.library && fingerprint == other.fingerprint;
  }
};

struct BundleIndex {
  BundleRange model, weights;
  std::string model_hash, weights_hash;  // XXH3, 128 bits
  std::string tenon;                     // version that wrote it
  std::vector<BundleTarget> targets;

  std::string text() const;
  // Errors: DATA_LOSS and UNIMPLEMENTED naming the place in the index; ranges are checked against [one page, end).
  static Result<BundleIndex> parse(std::string_view text, std::uint64_t end);
};

// A short name of any text, as keys of stored things.
std::string bundle_key(std::string_view text);
std::string xxh128_hex(std::span<const std::byte> bytes);

class Bundle {
 public:
  // Whether the bytes begin as a bundle does.
  static bool is_one(std::span<const std::byte> bytes);
  // The bundle in the file; null where the file is something else, or cannot be read: whoever reads it then says so.
  static Result<std::shared_ptr<const Bundle>> find(const std::string& path);
  // Errors: DATA_LOSS for a file that is damaged, cut or none, UNIMPLEMENTED for one of another format.
  static Result<std::shared_ptr<const Bundle>> open(std::shared_ptr<const FileMap> file);
  // keep holds the bytes as long as the bundle.
  static Result<std::shared_ptr<const Bundle>> of_bytes(std::span<const std::byte> bytes, std::shared_ptr<const void> keep);

  std::span<const std::byte> bytes() const { return bytes_; }
  std::span<const std::byte> at(BundleRange range) const { return bytes_.subspan(range.offset, range.bytes); }
  const BundleIndex& index() const { return index_; }
  // SHA-256 of the index, which says the hashes of all the rest.
  const std::string& digest() const { return digest_; }
  // Null where it was given as bytes.
  const FileMap* file() const { return file_.get(); }
  const std::shared_ptr<const void>& keep() const { return keep_; }
  // Hashes weights and packed weights, which loading takes as they are. Errors: DATA_LOSS.
  Status check_content() const;

 private:
  Bundle() = default;
  std::span<const std::byte> bytes_;
  std::shared_ptr<const FileMap> file_;
  std::shared_ptr<const void> keep_;
  BundleIndex index_;
  std::string digest_;
};

}  // namespace tenon
