// Errors and values of the C++20 API: tensors, sequences, maps and optionals. Included by tenon.hpp.
//
// A Value owns its elements or shares them with other values; only view() borrows, and says so. Threads: a Value is used by
// one thread at a time.
#ifndef TENON_VALUE_HPP
#define TENON_VALUE_HPP

#include <tenon/tenon.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace tenon {
inline namespace sdk0 {

// Why something failed: a code of types.h and a text that says where, what was expected and what to do.
class Error : public std::runtime_error {
 public:
  Error(std::int32_t code, const std::string& text) : std::runtime_error(text), code_(code) {}
  std::int32_t code() const noexcept { return code_; }
  const char* code_name() const noexcept { return tenon_code_name(code_); }

 private:
  std::int32_t code_;
};

// A value or the error that explains its absence.
template <class T>
class Expected {
 public:
  Expected(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Expected(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  explicit operator bool() const noexcept { return state_.index() == 0; }
  T& value() & { return check(), std::get<0>(state_); }
  const T& value() const& { return check(), std::get<0>(state_); }
  T&& value() && { return check(), std::get<0>(std::move(state_)); }
  T& operator*() { return *std::get_if<0>(&state_); }
  const T& operator*() const { return *std::get_if<0>(&state_); }
  T* operator->() { return std::get_if<0>(&state_); }
  const T* operator->() const { return std::get_if<0>(&state_); }
  const Error& error() const { return std::get<1>(state_); }

 private:
  void check() const {
    if (const Error* e = std::get_if<1>(&state_)) throw *e;
  }
  std::variant<T, Error> state_;
};

namespace detail {

inline void check(tenon_status* status) {
  if (!status) return;
  struct Release {
    tenon_status* status;
    ~Release() { tenon_status_release(status); }
  } release{status};
  throw Error(tenon_status_code(status), tenon_status_text(status));
}

template <class Fn>
auto expected(Fn&& fn) -> Expected<decltype(fn())> {
  try {
    return fn();
  } catch (Error& e) {
    return std::move(e);
  }
}

// The result of a call with one out-parameter.
template <class T, class Fn, class... Args>
T* out(Fn fn, Args... args) {
  T* made = nullptr;
  check(fn(args..., &made));
  return made;
}

template <class Fn, class... Args>
std::string text(Fn fn, Args... args) {
  const std::unique_ptr<char, void (*)(char*)> raw(out<char>(fn, args...), &tenon_text_release);
  return raw.get();
}

inline tenon_str str(std::string_view s) { return {s.data(), s.size()}; }
inline std::string_view view(tenon_str s) { return s.size ? std::string_view(s.data, s.size) : std::string_view(); }

}  // namespace detail

using Dims = std::vector<std::int64_t>;

// The bits of element types that C++20 has no type for.
struct Float16 { std::uint16_t bits; };
struct BFloat16 { std::uint16_t bits; };

namespace detail {

template <class T>
constexpr std::int32_t dtype() {
  if constexpr (std::is_same_v<T, bool>) return TENON_DTYPE_BOOL;
  else if constexpr (std::is_same_v<T, float>) return TENON_DTYPE_FLOAT;
  else if constexpr (std::is_same_v<T, double>) return TENON_DTYPE_DOUBLE;
  else if constexpr (std::is_same_v<T, Float16>) return TENON_DTYPE_FLOAT16;
  else if constexpr (std::is_same_v<T, BFloat16>) return TENON_DTYPE_BFLOAT16;
  else if constexpr (std::is_integral_v<T>) {
    constexpr std::int32_t with_sign[] = {0, TENON_DTYPE_INT8, TENON_DTYPE_INT16, 0, TENON_DTYPE_INT32, 0, 0, 0, TENON_DTYPE_INT64};
    constexpr std::int32_t without[] = {0, TENON_DTYPE_UINT8, TENON_DTYPE_UINT16, 0, TENON_DTYPE_UINT32, 0, 0, 0, TENON_DTYPE_UINT64};
    return std::is_signed_v<T> ? with_sign[sizeof(T)] : without[sizeof(T)];
  } else return TENON_DTYPE_UNDEFINED;
}

}  // namespace detail

// TENON_DTYPE_* of a C++ type; 0 where there is none.
template <class T>
inline constexpr std::int32_t dtype_of = detail::dtype<T>();

// A tensor, sequence, map or optional. Copies are cheap and share the elements.
class Value {
 public:
  Value() = default;  // nothing; only to be assigned to
  // Takes over a handle of the C API.
  explicit Value(tenon_datum* datum) : datum_(datum, &tenon_datum_release) {}

  // A tensor that owns the elements of the vector, without copying them.
  template <class T>
  Value(std::vector<T>&& elements, const Dims& dims) {
    static_assert(dtype_of<T> != 0 && !std::is_same_v<T, bool>, "no such element type, or std::vector<bool>: use Value::tensor");
    auto held = std::make_unique<std::vector<T>>(std::move(elements));
    *this = Value(detail::out<tenon_datum>(
        &tenon_datum_borrow_tensor, dtype_of<T>, dims.data(), dims.size(), static_cast<void*>(held->data()), held->size() * sizeof(T),
        +[](void* user) { delete static_cast<std::vector<T>*>(user); }, static_cast<void*>(held.get())));
    held.release();
  }
  // A tensor with elements that are not set.
  static Value tensor(std::int32_t dtype, const Dims& dims) {
    return Value(detail::out<tenon_datum>(&tenon_datum_create_tensor, dtype, dims.data(), dims.size()));
  }
  template <class T>
  static Value tensor(const Dims& dims) { return tensor(dtype_of<T>, dims); }
  template <class T>
  static Value scalar(T element) {
    Value v = tensor(dtype_of<T>, {});
    v.mutable_data<T>()[0] = element;
    return v;
  }
  static Value strings(std::span<const std::string> elements, const Dims& dims) {
    Value v = tensor(TENON_DTYPE_STRING, dims);
    if (v.count() != elements.size()) throw Error(TENON_INVALID_ARGUMENT, "strings: the dims ask for another number of elements");
    for (std::size_t i = 0; i < elements.size(); ++i) detail::check(tenon_datum_set_string(v.handle(), i, detail::str(elements[i])));
    return v;
  }
  static Value sequence(std::span<const Value> items, std::int32_t dtype = TENON_DTYPE_UNDEFINED) {
    const auto raw = handles(items);
    return Value(detail::out<tenon_datum>(&tenon_datum_create_sequence, dtype, raw.data(), raw.size()));
  }
  static Value map(std::span<const std::int64_t> keys, std::span<const Value> values) {
    if (keys.size() != values.size()) throw Error(TENON_INVALID_ARGUMENT, "map: there are not as many keys as values");
    const auto raw = handles(values);
    return Value(detail::out<tenon_datum>(&tenon_datum_create_map, keys.data(), nullptr, raw.data(), raw.size()));
  }
  static Value map(std::span<const std::string> keys, std::span<const Value> values) {
    if (keys.size() != values.size()) throw Error(TENON_INVALID_ARGUMENT, "map: there are not as many keys as values");
    const auto raw = handles(values);
    std::vector<tenon_str> names;
    for (const std::string& key : keys) names.push_back(detail::str(key));
    return Value(detail::out<tenon_datum>(&tenon_datum_create_map, nullptr, names.data(), raw.data(), raw.size()));
  }
  // A serialized ONNX TensorProto, SequenceProto, MapProto or OptionalProto; kind says which: TENON_KIND_*.
  static Value parse(std::int32_t kind, std::span<const std::byte> bytes) {
    return Value(detail::out<tenon_datum>(&tenon_datum_parse, kind, static_cast<const void*>(bytes.data()), bytes.size(),
                                          static_cast<char**>(nullptr)));
  }
  static Value optional(const Value& value = {}) { return Value(detail::out<tenon_datum>(&tenon_datum_create_optional, value.handle())); }

  explicit operator bool() const noexcept { return datum_ != nullptr; }
  tenon_datum* handle() const noexcept { return datum_.get(); }
  std::int32_t kind() const noexcept { return tenon_datum_kind(handle()); }
  std::int32_t dtype() const noexcept { return tenon_datum_dtype(handle()); }
  std::span<const std::int64_t> dims() const noexcept { return {tenon_datum_dims(handle()), tenon_datum_rank(handle())}; }
  // Elements of a tensor, items of a sequence or map, 0 or 1 for an optional.
  std::size_t count() const noexcept { return tenon_datum_count(handle()); }
  std::size_t size_bytes() const noexcept { return tenon_datum_bytes(handle()); }
  const void* bytes() const noexcept { return tenon_datum_data(handle()); }

  // Errors: INVALID_ARGUMENT when the tensor has another element type.
  template <class T>
  std::span<const T> data() const& { return {elements<T>(), count()}; }
  template <class T>
  std::span<const T> data() const&& = delete;  // the elements would go with the value
  template <class T>
  std::span<T> mutable_data() { return {elements<T>(), count()}; }
  // Element of a string tensor; valid as long as the value.
  std::string_view string(std::size_t index) const {
    tenon_str s{};
    detail::check(tenon_datum_string(handle(), index, &s));
    return detail::view(s);
  }
  std::vector<std::string> strings() const {
    std::vector<std::string> all;
    for (std::size_t i = 0, n = count(); i < n; ++i) all.emplace_back(string(i));
    return all;
  }
  // Item of a sequence, value of a map or an optional. Errors: OUT_OF_RANGE.
  Value item(std::size_t index) const {
    const tenon_datum* found = tenon_datum_item(handle(), index);
    if (!found) throw Error(TENON_OUT_OF_RANGE, "item " + std::to_string(index) + " of " + std::to_string(count()));
    return Value(detail::out<tenon_datum>(&tenon_datum_copy, found));
  }
  std::int64_t int_key(std::size_t index) const {
    std::int64_t key = 0;
    detail::check(tenon_datum_int_key(handle(), index, &key));
    return key;
  }
  std::string_view string_key(std::size_t index) const {
    tenon_str key{};
    detail::check(tenon_datum_string_key(handle(), index, &key));
    return detail::view(key);
  }

 private:
  template <class T>
  T* elements() const {
    if (kind() != TENON_KIND_TENSOR || dtype() != dtype_of<T> || !datum_)
      throw Error(TENON_INVALID_ARGUMENT, std::string("the elements are ") + tenon_dtype_name(dtype()) + ", asked for as " +
                                              tenon_dtype_name(dtype_of<T>));
    return static_cast<T*>(tenon_datum_data(handle()));
  }
  static std::vector<const tenon_datum*> handles(std::span<const Value> values) {
    std::vector<const tenon_datum*> raw;
    for (const Value& v : values) raw.push_back(v.handle());
    return raw;
  }
  std::shared_ptr<tenon_datum> datum_;
};

// A tensor over memory of the caller, which must outlive it and every run with it. Runs do not write inputs.
template <class T>
Value view(std::span<T> elements, const Dims& dims) {
  using Element = std::remove_const_t<T>;
  static_assert(dtype_of<Element> != 0, "no such element type");
  return Value(detail::out<tenon_datum>(&tenon_datum_borrow_tensor, dtype_of<Element>, dims.data(), dims.size(),
                                        const_cast<void*>(static_cast<const void*>(elements.data())), elements.size_bytes(),
                                        static_cast<void (*)(void*)>(nullptr), static_cast<void*>(nullptr)));
}
template <class T>
Value view(const std::vector<T>& elements, const Dims& dims) { return view(std::span<const T>(elements), dims); }
template <class T>
Value view(std::vector<T>& elements, const Dims& dims) { return view(std::span<T>(elements), dims); }
template <class T>
Value view(std::vector<T>&& elements, const Dims& dims) = delete;  // would be gone at once; use Value(std::move(v), dims)

}  // namespace sdk0
}  // namespace tenon
#endif
