// slim: lifts large raw_data out of a serialized model before protobuf parses it.
//
// Protobuf copies every byte it parses; weights must not be copied. The wire format is walked once, and each raw_data of
// 1 KiB and more is replaced by a short marker that names its place in the file. The rest is a small message.
// A pure function of bytes; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "core/base/status.h"

namespace tenon {

// A lifted payload, by its place in the original bytes.
struct Lifted {
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
};

class SlimModel {
 public:
  // Errors: DATA_LOSS where the bytes are not a protobuf message, with the offset; RESOURCE_EXHAUSTED for nesting.
  static Result<SlimModel> make(std::span<const std::byte> model, int max_nesting);

  const std::string& message() const { return message_; }
  // The payload that a raw_data field stands for; nullopt when it is the data itself.
  std::optional<Lifted> lifted(const std::string& raw_data) const;

 private:
  std::string message_;
  std::uint64_t nonce_[2] = {};
  friend struct Slimmer;
};

}  // namespace tenon
