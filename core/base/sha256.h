// SHA-256 of bytes, as lower-case hex.
// No state; any thread.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace tenon {

std::string sha256(std::span<const std::byte> bytes);

}  // namespace tenon
