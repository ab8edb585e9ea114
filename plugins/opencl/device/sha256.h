// SHA-256 of a text, as lower-case hex: names of cached files.
#pragma once

#include <string>
#include <string_view>

namespace tenon::opencl {

std::string sha256_hex(std::string_view text);

}  // namespace tenon::opencl
