// Host: the host's table of functions as C++, and how exceptions end at the provider's border.
//
// Made in create and copied by value; the table outlives it. Any thread.
#pragma once

#include <exception>
#include <new>
#include <string>
#include <string_view>

#include <tenon/provider.h>

#include "plugins/opencl/failure.h"

namespace tenon::opencl {

// A failure that the host itself reported: handed back as it is.
struct HostFailure {
  tenon_status* status;
};

template <class T>
const T& element(const tenon_span& span, std::uint64_t i) {
  return *reinterpret_cast<const T*>(static_cast<const char*>(span.data) + i * span.stride);
}
inline std::string_view view(tenon_str s) { return s.data ? std::string_view(s.data, s.size) : std::string_view(); }
inline tenon_str str(std::string_view s) { return {s.data(), s.size()}; }

struct Host {
  const tenon_host_api* api = nullptr;
  tenon_host* context = nullptr;

  tenon_status* status(std::int32_t code, std::string_view text) const { return api->status_new(context, code, 0, str(text)); }
  // Throws HostFailure unless status is null.
  void check(tenon_status* status) const {
    if (status) throw HostFailure{status};
  }
  void log(std::int32_t level, std::string_view text) const {
    if (api->log_enabled(context, level)) api->log(context, level, str(text));
  }
  std::string text_or(const tenon_config* config, std::string_view pointer, std::string_view fallback) const {
    tenon_str value{};
    const bool set = config && api->config_get(config, str(pointer), TENON_CONFIG_STRING, &value) == 1;
    return std::string(set ? view(value) : fallback);
  }
  bool bool_or(const tenon_config* config, std::string_view pointer, bool fallback) const {
    std::int32_t value = 0;
    return config && api->config_get(config, str(pointer), TENON_CONFIG_BOOL, &value) == 1 ? value != 0 : fallback;
  }
  std::int64_t int_or(const tenon_config* config, std::string_view pointer, std::int64_t fallback) const {
    std::int64_t value = 0;
    return config && api->config_get(config, str(pointer), TENON_CONFIG_INT, &value) == 1 ? value : fallback;
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

}  // namespace tenon::opencl
