// Elements: what data movement needs to know of a type, which is the size of an element and no more.
//
// Kernels that only move data work for all types alike: bytes of 1, 2, 4, 8 or 16, packed halves and quarters of a byte, and
// strings, which live behind the host's string_get and string_set. Stateless; any thread, but strings are written by one.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "plugins/cpu/op.h"
#include "plugins/cpu/plan_list.h"

namespace tenon::cpu {

enum class Element : std::uint8_t { bytes1, bytes2, bytes4, bytes8, bytes16, bits4, bits2, text };

// Throws Failure for a number that is no element type.
Element element_of(std::int32_t dtype);
constexpr bool is_bytes(Element e) { return e <= Element::bytes16; }
constexpr std::int64_t element_bytes(Element e) { return is_bytes(e) ? std::int64_t{1} << static_cast<int>(e) : 0; }
// Bytes of count elements; 0 for strings.
constexpr std::int64_t bytes_of(Element e, std::int64_t count) {
  return is_bytes(e) ? count * element_bytes(e) : e == Element::bits4 ? (count + 1) / 2 : e == Element::bits2 ? (count + 3) / 4 : 0;
}

// Calls f with an unsigned integer type of the element's size; REQUIRES is_bytes(e).
struct Bytes16 {
  std::uint64_t low, high;
};
template <class F>
void with_bytes(Element e, F&& f) {
  switch (e) {
    case Element::bytes1: return f(std::uint8_t{});
    case Element::bytes2: return f(std::uint16_t{});
    case Element::bytes4: return f(std::uint32_t{});
    case Element::bytes8: return f(std::uint64_t{});
    default: return f(Bytes16{});
  }
}

// A step's options: packed and string elements are written by one worker. bytes: what is read and written.
inline StepOptions copy_options(Element e, std::int64_t bytes) {
  StepOptions o;
  o.spmd = is_bytes(e);
  o.est_ns = static_cast<double>(bytes) / 10 + 50;
  return o;
}

// Copies elements inside a step, whatever their type. Indices count elements and are the caller's to check.
// half: the destination has this half type where the source, inside a program, has float32; else 0.
class Copier {
 public:
  Copier(const StepContext& context, Element kind, Ref src, Ref dst)
      : Copier(context, kind, src, dst.present() ? &context.addresses[dst.operand] : nullptr) {}
  // dst: for memory that alloc_output gave; it must outlive the copier.
  Copier(const StepContext& context, Element kind, Ref src, const tenon_address* dst, std::int32_t half = 0);

  void copy(std::int64_t to, std::int64_t from, std::int64_t count) const {
    const char* s = src_ + from * bytes_;
    char* d = dst_ + to * bytes_;
    const std::int64_t n = count * bytes_;
    if (n == 4) std::memcpy(d, s, 4);
    else if (n == 8) std::memcpy(d, s, 8);
    else if (bytes_) std::memcpy(d, s, static_cast<std::size_t>(n));
    else copy_slow(to, from, count);
  }
  // Every one of count elements becomes the element at from.
  void fill(std::int64_t to, std::int64_t from, std::int64_t count) const;
  // Every one of count elements becomes zero, false or "".
  void zero(std::int64_t to, std::int64_t count) const;
  // Packed elements: what the last byte holds after element count - 1 becomes zero.
  void seal(std::int64_t count) const;

 private:
  void copy_slow(std::int64_t to, std::int64_t from, std::int64_t count) const;

  const StepContext* context_;
  const char* src_;
  char* dst_;
  std::int64_t bytes_;  // 0: packed, string or narrowed to a half type
  Element kind_;
  std::int32_t half_;
  Ref src_ref_;
  const tenon_address* dst_address_;
};

// An output of an op whose sizes the data may decide: memory of its own where the plan knows the size, else from
// alloc_output in a one-worker step. open_output is false, and the failure reported, when there is none.
struct Output {
  Ref ref;
  std::uint32_t operand = TENON_NO_VALUE;
  std::int64_t planned = -1;  // elements; -1: the data decides

  bool wanted() const { return ref.present(); }
};
Output output_of(PlanBuilder& builder, std::uint32_t i);
// The half type that an output of an op with data-dependent sizes is written in; 0: it has the type that kernels see.
inline std::int32_t half_output(const NodeView& node, std::uint32_t i) {
  if (!node.has_output(i)) return 0;
  const std::int32_t dtype = node.output(i).dtype;
  return compute_dtype(dtype) == dtype ? 0 : dtype;
}
bool open_output(const StepContext& context, const Output& output, std::initializer_list<std::int64_t> dims, tenon_address& out);
bool open_output(const StepContext& context, const Output& output, std::span<const std::int64_t> dims, tenon_address& out);
template <class T>
T* data_of(const tenon_address& address) {
  return reinterpret_cast<T*>(static_cast<char*>(address.handle) + address.offset);
}

// StepContext::set_text for memory that alloc_output gave. False, and the failure reported, when the host has none.
bool set_text(const StepContext& context, const tenon_address& address, std::int64_t index, std::string_view text);

// An integer of any integer type or bool.
std::int64_t int_at(const void* data, std::int32_t dtype, std::int64_t index);
// Elements of input i where they are known while planning; nothing where only the run knows them (or the input is omitted).
const void* known_data(const PlanBuilder& builder, std::uint32_t i);
std::optional<PlanList<std::int64_t>> known_ints(const PlanBuilder& builder, std::uint32_t i);

// Dims and dense strides of the memory of a value: its own, or [N, C / block, spatial..., block].
PlanList<std::int64_t> memory_dims(const Shape& shape);
PlanList<std::int64_t> dense_strides(std::span<const std::int64_t> dims);

// -1 where the axis is outside [-rank, rank).
constexpr std::int64_t resolve_axis(std::int64_t axis, std::int64_t rank) {
  return axis < -rank || axis >= rank ? -1 : axis < 0 ? axis + rank : axis;
}
// For plan: throws Failure instead.
std::int64_t checked_axis(std::int64_t axis, std::int64_t rank);

// supports() of ops that take every type: refuses only what is no tensor of a known type.
Support any_type(const NodeView& node);
constexpr bool is_integer(std::int32_t dtype) {
  return (dtype >= TENON_DTYPE_UINT8 && dtype <= TENON_DTYPE_INT64) || dtype == TENON_DTYPE_UINT32 || dtype == TENON_DTYPE_UINT64;
}
// supports() of an input that must be int32 or int64 (indices, sizes).
Support index_type(const NodeView& node, std::uint32_t i);

}  // namespace tenon::cpu
