// Host: the host's table of functions and the exception barrier of plugin-api, under this provider's names.
// Plain data and free functions; any thread.
#pragma once

#include "plugins/cpu/op.h"

namespace tenon::cpu {

using plugin::element;
using plugin::guarded;
using plugin::Host;
using plugin::str;
using plugin::view;

// Bytes of count elements; packed types share bytes, strings have none. Throws Failure: UNSUPPORTED_SHAPE where the size
// overflows.
std::uint64_t tensor_bytes(std::int32_t dtype, std::int64_t count);
// Elements of dims, -1 if one is not known. Throws as above.
std::int64_t element_count(std::span<const std::int64_t> dims);

}  // namespace tenon::cpu
