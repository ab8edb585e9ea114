// Failure: how the module's C++ code reports an error; it becomes the Python exception that tenonrt._errors makes of it.
// Plain data.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include <tenon/tenon.h>

namespace tenon::python {

struct Failure {
  std::int32_t code = TENON_UNKNOWN;
  std::string text, hint;
};

// Takes the status.
inline void check(tenon_status* status) {
  if (!status) return;
  Failure failure{tenon_status_code(status), tenon_status_text(status), {}};
  tenon_status_release(status);
  throw failure;
}

// The result of a call with one out-parameter.
template <class T, class Fn, class... Args>
T* out(Fn fn, Args... args) {
  T* made = nullptr;
  check(fn(args..., &made));
  return made;
}

}  // namespace tenon::python
