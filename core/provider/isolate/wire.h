// Writer and Reader: what crosses to the process of an isolated provider, as plain bytes.
//
// Both ends are one build on one machine, so numbers cross as they lie in memory. The other end may be broken all the same: a
// Reader never reads past its bytes, makes no container larger than what is left of them, and once something did not fit gives zeros.
// Values; threads: like any value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <tenon/types.h>

namespace tenon::isolate {

class Writer {
 public:
  template <class T>
    requires std::is_trivially_copyable_v<T>
  void put(const T& value) {
    raw(&value, sizeof value);
  }
  // A null array without elements comes back as an empty one.
  template <class T>
    requires std::is_trivially_copyable_v<T>
  void array(const T* data, std::uint64_t count) {
    put<std::uint64_t>(data ? count : 0);
    if (data && count) raw(data, count * sizeof(T));
  }
  void text(std::string_view text) { array(text.data(), text.size()); }
  void text(tenon_str text) { array(text.data, text.size); }
  void append(const Writer& other) { raw(other.bytes_.data(), other.bytes_.size()); }
  // The place of a number that is known later.
  std::size_t reserve() {
    put<std::uint64_t>(0);
    return bytes_.size() - sizeof(std::uint64_t);
  }
  void fill(std::size_t place, std::uint64_t value) { std::memcpy(bytes_.data() + place, &value, sizeof value); }

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  void raw(const void* data, std::size_t bytes) {
    const auto* from = static_cast<const std::byte*>(data);
    bytes_.insert(bytes_.end(), from, from + bytes);
  }
  std::vector<std::byte> bytes_;
};

class Reader {
 public:
  Reader() = default;
  explicit Reader(std::span<const std::byte> bytes) : left_(bytes) {}

  template <class T>
    requires std::is_trivially_copyable_v<T>
  T get() {
    T value{};
    if (const std::byte* from = take(sizeof value)) std::memcpy(static_cast<void*>(&value), from, sizeof value);
    return value;
  }
  // How many things follow of which each takes at least this many bytes; 0 where so many cannot.
  std::uint64_t count(std::size_t least) {
    const auto n = get<std::uint64_t>();
    if (n <= left_.size() / least) return n;
    fail();
    return 0;
  }
  // Valid as long as the bytes; not aligned.
  std::span<const std::byte> blob(std::size_t size_of_one = 1) {
    const std::uint64_t bytes = count(size_of_one) * size_of_one;
    const std::byte* from = take(bytes);
    return {from, from ? bytes : 0};
  }
  std::string_view text() {
    const std::span<const std::byte> t = blob();
    return {reinterpret_cast<const char*>(t.data()), t.size()};
  }
  template <class T>
    requires std::is_trivially_copyable_v<T>
  std::vector<T> array() {
    const std::span<const std::byte> b = blob(sizeof(T));
    std::vector<T> out(b.size() / sizeof(T));
    if (!out.empty()) std::memcpy(static_cast<void*>(out.data()), b.data(), b.size());
    return out;
  }
  void fail() { failed_ = true, left_ = {}; }
  bool ok() const { return !failed_; }
  // Everything fitted and nothing is left.
  bool done() const { return !failed_ && left_.empty(); }

 private:
  const std::byte* take(std::size_t bytes) {
    if (failed_ || bytes > left_.size()) return fail(), nullptr;
    const std::byte* at = left_.data();
    left_ = left_.subspan(bytes);
    return at;
  }
  std::span<const std::byte> left_;
  bool failed_ = false;
};

}  // namespace tenon::isolate
