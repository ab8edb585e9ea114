// Every function of a provider's table together with a function that is called with its name, and may throw or not return: first,
// or last where the function ends or waits for something, so that no fault of the provider's is left behind it.
//
// For one table in one library. tests/unit/provider/every_entry_test.cpp holds the list below against plugin-api/abi.json.
#pragma once

#include <string_view>
#include <type_traits>

#include <tenon/provider.h>

#define TENON_TEST_ENTRIES(X)                                                                                                       \
  X(create) X(destroy) X(enumerate) X(get_extension) X(device_open) X(device_close) X(fingerprint) X(buffer_alloc) X(buffer_free)   \
  X(buffer_handle) X(copy) X(stream_create) X(stream_destroy) X(stream_native) X(stream_sync) X(event_create) X(event_destroy)      \
  X(event_record) X(event_wait) X(event_host_wait) X(query) X(compile) X(program_destroy) X(program_plan) X(plan_destroy)           \
  X(plan_bind) X(binding_update) X(binding_destroy) X(execute)

namespace every_entry {

using Before = void (*)(const char* entry);

constexpr bool ends(std::string_view name) { return name == "stream_sync"; }

template <int Number, class R, class... Args>
struct Wrapped {
  static inline R (*real)(Args...) = nullptr;
  static inline const char* name = "";
  static inline Before before = nullptr;
  static R call(Args... args) {
    if constexpr (std::is_void_v<R>) {
      real(args...);
      before(name);
    } else {
      if (!ends(name)) before(name);
      const R result = real(args...);
      if (ends(name)) before(name);
      return result;
    }
  }
};

template <int Number, class R, class... Args>
void wrap_one(R (*&function)(Args...), const char* name, Before before) {
  using W = Wrapped<Number, R, Args...>;
  if (!function || function == &W::call) return;
  W::real = function, W::name = name, W::before = before;
  function = &W::call;
}

inline void wrap(tenon_provider_api& api, Before before) {
#define TENON_TEST_WRAP(entry) wrap_one<__LINE__ * 1000 + __COUNTER__>(api.entry, #entry, before);
  TENON_TEST_ENTRIES(TENON_TEST_WRAP)
#undef TENON_TEST_WRAP
}

}  // namespace every_entry
