// Host: the host's table of functions as C++, for everything outside kernels.
//
// Made in create and copied by value; the table outlives it. Any thread.
#pragma once

#include <new>
#include <stdexcept>
#include <string>
#include <string_view>

#include <tenon/provider.h>

#include "plugins/cpu/op.h"

namespace tenon::cpu {

// A failure that the host itself reported: handed back as it is.
struct HostFailure {
  tenon_status* status;
};

struct Host {
  const tenon_host_api* api = nullptr;
  tenon_host* context = nullptr;

  tenon_status* status(std::int32_t code, std::string_view text) const { return api->status_new(context, code, 0, {text.data(), text.size()}); }
  // Throws HostFailure unless status is null.
  void check(tenon_status* status) const {
    if (status) throw HostFailure{status};
  }
  bool bool_or(const tenon_config* config, std::string_view pointer, bool fallback) const {
    std::int32_t value = 0;
    return config && api->config_get(config, {pointer.data(), pointer.size()}, TENON_CONFIG_BOOL, &value) == 1 ? value != 0 : fallback;
  }
};

// Runs fn and turns what it throws into a status: no exception leaves the provider.
template <class Fn>
tenon_status* guarded(const Host& host, Fn&& fn) noexcept {
  try {
    fn();
    return nullptr;
  } catch (const HostFailure& f) {
    return f.status;
  } catch (const Failure& f) {
    return host.status(f.code, f.text);
  } catch (const std::bad_alloc&) {
    return host.status(TENON_RESOURCE_EXHAUSTED, "no memory");
  } catch (const std::exception& e) {
    return host.status(TENON_INTERNAL, e.what());
  } catch (...) {
    return host.status(TENON_UNKNOWN, "an exception of an unknown kind");
  }
}

template <class T>
const T& element(const tenon_span& span, std::uint64_t i) {
  return *reinterpret_cast<const T*>(static_cast<const char*>(span.data) + i * span.stride);
}
inline std::string_view view(tenon_str s) { return s.data ? std::string_view(s.data, s.size) : std::string_view(); }

// Bytes of count elements; packed types share bytes, strings have none. Throws Failure: UNSUPPORTED_SHAPE where the size
// overflows.
std::uint64_t tensor_bytes(std::int32_t dtype, std::int64_t count);
// Elements of dims, -1 if one is not known. Throws as above.
std::int64_t element_count(std::span<const std::int64_t> dims);

}  // namespace tenon::cpu
