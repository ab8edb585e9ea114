// Status and Result<T>: how every function of ours fails.
//
// A status is one pointer; null is OK. It carries a code of plugin-api (TENON_*), a text that says where, expected,
// found and what to do, and the same object crosses the provider ABI as tenon_status.
// Owned by the holder; moves, never copies. Threads: like any value.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <tenon/types.h>

// The ABI's opaque status, made and freed on our side only.
struct tenon_status {
  std::int32_t code = TENON_UNKNOWN;
  std::int64_t native_code = 0;
  std::string text;
};

namespace tenon {

class [[nodiscard]] Status {
 public:
  Status() = default;
  // Takes over a status that came through the ABI; null is OK.
  explicit Status(tenon_status* raw) : data_(raw) {}
  Status(std::int32_t code, std::string text) : data_(new tenon_status{code, 0, std::move(text)}) {}

  bool ok() const { return !data_; }
  std::int32_t code() const { return data_ ? data_->code : TENON_OK; }
  std::string_view text() const { return data_ ? std::string_view(data_->text) : std::string_view(); }
  std::int64_t native_code() const { return data_ ? data_->native_code : 0; }

  // Puts "where: " in front of the text of a failure: file, node, provider, from the inside out.
  Status at(std::string_view where) && {
    if (data_) data_->text.insert(0, std::string(where) + ": ");
    return std::move(*this);
  }
  // Gives the object to the other side of an ABI.
  tenon_status* release() { return data_.release(); }
  Status clone() const;

 private:
  std::unique_ptr<tenon_status> data_;
};

template <class... Args>
Status error(std::int32_t code, fmt::format_string<Args...> format, Args&&... args) {
  return Status(code, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
Status invalid(fmt::format_string<Args...> format, Args&&... args) {
  return Status(TENON_INVALID_ARGUMENT, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
Status internal(fmt::format_string<Args...> format, Args&&... args) {
  return Status(TENON_INTERNAL, fmt::format(format, std::forward<Args>(args)...));
}

// "CANCELLED", "INVALID_ARGUMENT", ...
const char* code_name(std::int32_t code);

// A value or the status that explains its absence.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}
  Result(Status status) : status_(std::move(status)) {}

  bool ok() const { return value_.has_value(); }
  T& operator*() & { return *value_; }
  const T& operator*() const& { return *value_; }
  T&& operator*() && { return std::move(*value_); }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }
  Status& status() { return status_; }
  const Status& status() const { return status_; }

 private:
  std::optional<T> value_;
  Status status_;
};

inline Status to_status(Status s) { return s; }
template <class T>
Status to_status(Result<T>&& r) {
  return std::move(r.status());
}

}  // namespace tenon

#define TENON_CONCAT_(a, b) a##b
#define TENON_CONCAT(a, b) TENON_CONCAT_(a, b)
// Leaves the function with the failure of an expression that yields a Status.
#define TENON_TRY(...)                                                 \
  do {                                                                 \
    if (::tenon::Status tenon_status_ = (__VA_ARGS__); !tenon_status_.ok()) return tenon_status_; \
  } while (0)
// Declares or assigns `target` from a Result, or leaves with its failure.
#define TENON_ASSIGN(target, ...)                                             \
  auto TENON_CONCAT(tenon_result_, __LINE__) = (__VA_ARGS__);                  \
  if (!TENON_CONCAT(tenon_result_, __LINE__).ok())                             \
    return std::move(TENON_CONCAT(tenon_result_, __LINE__).status());          \
  target = *std::move(TENON_CONCAT(tenon_result_, __LINE__))
// Assigns to what exists already; a statement of its own, also after if and for.
#define TENON_SET(target, ...)                                                     \
  do {                                                                             \
    auto tenon_result_ = (__VA_ARGS__);                                            \
    if (!tenon_result_.ok()) return std::move(tenon_result_.status());             \
    target = *std::move(tenon_result_);                                            \
  } while (0)
