// Conversions of arrays between element types, in stages: unpack what is no C++ type, convert, pack.
//
// For cast.cpp and its tables. Read-only; any thread.
#pragma once

#include <cstdint>
#include <memory>

#include "plugins/cpu/op.h"
#include "plugins/cpu/ops/small_float.h"

namespace tenon::cpu {

// How a conversion to a small float rounds.
struct Rounding {
  bool saturate = true;
  PowerRounding power = PowerRounding::up;
};

// n elements from element `first` of a packed or plain array, to and from plain numbers.
using Unpack = void (*)(const void* from, std::int64_t first, std::int64_t n, void* to);
using Convert = void (*)(const void* from, void* to, std::int64_t n);
using Pack = void (*)(const void* from, void* to, std::int64_t first, std::int64_t n, const Rounding& rounding);

// Element types that C++ has: the numbers and bool.
bool is_plain_number(std::int32_t dtype);
// Between two of these. sticky: to double, for packing (see sticky_double). Null for other types.
Convert converter(std::int32_t from, std::int32_t to, bool sticky = false);

// The stages of a small type. plain: what Unpack gives; packed_from: what Pack takes. Null functions where dtype is not small.
// float16 and bfloat16 here are float32 that is rounded to them: numbers inside a program.
struct SmallType {
  Unpack unpack = nullptr;
  std::int32_t plain = 0;
  Pack pack = nullptr;
  std::int32_t packed_from = 0;
};
SmallType small_type(std::int32_t dtype);

// float32 and the half types in memory, vectorised for the instruction set. from and to may be the same memory where sizes agree.
struct HalfKernels {
  void (*widen_float16)(const std::uint16_t* from, float* to, std::int64_t n);
  void (*widen_bfloat16)(const std::uint16_t* from, float* to, std::int64_t n);
  void (*narrow_float16)(const float* from, std::uint16_t* to, std::int64_t n);
  void (*narrow_bfloat16)(const float* from, std::uint16_t* to, std::int64_t n);
  void (*round_float16)(const float* from, float* to, std::int64_t n);
  void (*round_bfloat16)(const float* from, float* to, std::int64_t n);
};
const HalfKernels& half_kernels(Isa isa);

// Casts to and from strings; refused types give null.
std::unique_ptr<Op> make_number_to_text(std::int32_t from);                      // raw dtype
std::unique_ptr<Op> make_text_to_number(std::int32_t to, const Rounding& rounding);

}  // namespace tenon::cpu
