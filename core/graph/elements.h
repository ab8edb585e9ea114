// elements: single elements of a constant as numbers, whatever their type and alignment.
// For recognition and derived constants; whole tensors are a provider's work. Pure functions; any thread.
#pragma once

#include <cstring>
#include <optional>

#include "core/base/float16.h"
#include "core/graph/constant.h"

namespace tenon {

template <class T>
T load_bits(const std::byte* data, std::size_t i) {
  T v;
  std::memcpy(&v, data + i * sizeof(T), sizeof(T));
  return v;
}
template <class T>
void store_bits(std::byte* data, std::size_t i, T v) {
  std::memcpy(data + i * sizeof(T), &v, sizeof(T));
}

// True for the types that real_element and store_real know.
inline bool is_real(DType d) {
  return d == TENON_DTYPE_FLOAT || d == TENON_DTYPE_DOUBLE || d == TENON_DTYPE_FLOAT16 || d == TENON_DTYPE_BFLOAT16;
}

inline double real_element(DType dtype, const std::byte* data, std::size_t i) {
  switch (dtype) {
    case TENON_DTYPE_FLOAT: return load_bits<float>(data, i);
    case TENON_DTYPE_DOUBLE: return load_bits<double>(data, i);
    case TENON_DTYPE_FLOAT16: return half_to_float(load_bits<std::uint16_t>(data, i));
    default: return bfloat_to_float(load_bits<std::uint16_t>(data, i));
  }
}

inline void store_real(DType dtype, std::byte* data, std::size_t i, double v) {
  switch (dtype) {
    case TENON_DTYPE_FLOAT: return store_bits(data, i, static_cast<float>(v));
    case TENON_DTYPE_DOUBLE: return store_bits(data, i, v);
    case TENON_DTYPE_FLOAT16: return store_bits(data, i, float_to_half(static_cast<float>(v)));
    default: return store_bits(data, i, float_to_bfloat(static_cast<float>(v)));
  }
}

// An element of an integer or bool type of at least 8 bits; nullopt for others.
inline std::optional<std::int64_t> integer_element(const Constant& c, std::size_t i) {
  switch (c.dtype) {
    case TENON_DTYPE_INT64: return load_bits<std::int64_t>(c.data, i);
    case TENON_DTYPE_INT32: return load_bits<std::int32_t>(c.data, i);
    case TENON_DTYPE_INT16: return load_bits<std::int16_t>(c.data, i);
    case TENON_DTYPE_INT8: return load_bits<std::int8_t>(c.data, i);
    case TENON_DTYPE_UINT32: return load_bits<std::uint32_t>(c.data, i);
    case TENON_DTYPE_UINT16: return load_bits<std::uint16_t>(c.data, i);
    case TENON_DTYPE_BOOL:
    case TENON_DTYPE_UINT8: return load_bits<std::uint8_t>(c.data, i);
    default: return std::nullopt;
  }
}

// Integer and bool types of at least 8 bits, up to int64.
inline bool is_whole(DType d) {
  return d == TENON_DTYPE_INT64 || d == TENON_DTYPE_INT32 || d == TENON_DTYPE_INT16 || d == TENON_DTYPE_INT8 || d == TENON_DTYPE_UINT32 ||
         d == TENON_DTYPE_UINT16 || d == TENON_DTYPE_UINT8 || d == TENON_DTYPE_BOOL;
}

// For the types of is_whole and uint64; larger numbers wrap around.
inline void store_integer(DType dtype, std::byte* data, std::size_t i, std::int64_t v) {
  switch (dtype) {
    case TENON_DTYPE_INT64:
    case TENON_DTYPE_UINT64: return store_bits(data, i, v);
    case TENON_DTYPE_INT32:
    case TENON_DTYPE_UINT32: return store_bits(data, i, static_cast<std::uint32_t>(v));
    case TENON_DTYPE_INT16:
    case TENON_DTYPE_UINT16: return store_bits(data, i, static_cast<std::uint16_t>(v));
    default: return store_bits(data, i, static_cast<std::uint8_t>(v));
  }
}

// The one element of a constant, as a number; nullopt for other counts and types.
inline std::optional<double> single_number(const Constant& c) {
  if (c.count() != 1) return std::nullopt;
  if (is_real(c.dtype)) return real_element(c.dtype, c.data, 0);
  if (c.dtype == TENON_DTYPE_UINT64) return static_cast<double>(load_bits<std::uint64_t>(c.data, 0));
  if (const auto v = integer_element(c, 0)) return static_cast<double>(*v);
  return std::nullopt;
}

// Elements of a list of int64; nullopt for other types, ranks above 1 and lists that no operator could want.
inline std::optional<std::vector<std::int64_t>> integer_list(const Constant& c) {
  if (c.dtype != TENON_DTYPE_INT64 || c.dims.size() > 1 || c.count() > 4096) return std::nullopt;
  std::vector<std::int64_t> out(static_cast<std::size_t>(c.count()));
  if (!out.empty()) std::memcpy(out.data(), c.data, out.size() * sizeof(std::int64_t));
  return out;
}

}  // namespace tenon
