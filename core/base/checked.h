// Checked: a 64-bit size or index that remembers overflow.
//
// Every size and index computation that touches model data uses it: compute freely, then ask once. A negative result
// or any overflow on the way makes the value invalid, and it stays so. Threads: like any value.
#pragma once

#include <cstdint>

#include "core/base/status.h"

namespace tenon {

class Checked {
 public:
  constexpr Checked() = default;
  constexpr Checked(std::int64_t value) : value_(value), valid_(value >= 0) {}

  constexpr Checked& operator+=(Checked o) { return set(__builtin_add_overflow(value_, o.value_, &value_), o); }
  constexpr Checked& operator-=(Checked o) { return set(__builtin_sub_overflow(value_, o.value_, &value_), o); }
  constexpr Checked& operator*=(Checked o) { return set(__builtin_mul_overflow(value_, o.value_, &value_), o); }
  friend constexpr Checked operator+(Checked a, Checked b) { return a += b; }
  friend constexpr Checked operator-(Checked a, Checked b) { return a -= b; }
  friend constexpr Checked operator*(Checked a, Checked b) { return a *= b; }
  // Next multiple of a power of two.
  constexpr Checked align_up(std::int64_t alignment) const {
    Checked r = *this + Checked(alignment - 1);
    r.value_ &= ~(alignment - 1);
    return r;
  }

  constexpr bool valid() const { return valid_; }
  // Only meaningful when valid.
  constexpr std::int64_t value() const { return value_; }
  // The value, or an error that names what was computed.
  Result<std::int64_t> get(std::string_view what) const {
    if (!valid_) return error(TENON_OUT_OF_RANGE, "{}: the size is negative or does not fit into 63 bits", what);
    return value_;
  }

 private:
  constexpr Checked& set(bool overflow, Checked o) {
    valid_ = valid_ && o.valid_ && !overflow && value_ >= 0;
    return *this;
  }
  std::int64_t value_ = 0;
  bool valid_ = true;
};

}  // namespace tenon
