// Host: the host's table of functions and the exception barrier of plugin-api, under this provider's names.
// Plain data; any thread.
#pragma once

#include <tenon/provider.hpp>

namespace tenon::opencl {

using plugin::element;
using plugin::guarded;
using plugin::Host;
using plugin::str;
using plugin::view;

// Thrown inside the provider only: code (TENON_*), and where, expected, found.
using Failure = plugin::Error;

}  // namespace tenon::opencl
