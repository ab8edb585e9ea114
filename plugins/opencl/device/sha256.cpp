#include "plugins/opencl/device/sha256.h"

#include <cstdint>

#include <sha2.h>

namespace tenon::opencl {

std::string sha256_hex(std::string_view text) {
  char hex[SHA256_DIGEST_STRING_LENGTH];
  return SHA256Data(reinterpret_cast<const std::uint8_t*>(text.data()), text.size(), hex);
}

}  // namespace tenon::opencl
