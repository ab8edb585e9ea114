// RowWriter: row programs are written with it: one type of arithmetic, steps by number.
// Used in compile; plain data.
#pragma once

#include <initializer_list>
#include <string>
#include <utility>

#include <tenon/types.h>

#include "plugins/opencl/codegen/row.h"

namespace tenon::opencl {

// An expression of a row program while it is written. Values are of `type` (float32 or float64) unless cast.
class RowWriter {
 public:
  using Id = std::uint32_t;

  explicit RowWriter(std::int32_t type) : type_(type) {}
  // Statistics of half types are float32.
  static std::int32_t statistics_type(std::int32_t dtype) { return dtype == TENON_DTYPE_DOUBLE ? TENON_DTYPE_DOUBLE : TENON_DTYPE_FLOAT; }

  Id operand(std::uint32_t slot, std::int32_t dtype) { return e.cast(type_, e.load(slot, dtype)); }
  Id step(std::size_t k) { return e.load(RowProgram::row_slot + static_cast<std::uint32_t>(k), type_); }
  Id element(std::size_t k) { return e.load(RowProgram::element_slot + static_cast<std::uint32_t>(k), type_); }
  Id count() { return e.load(RowProgram::count_slot, type_); }
  Id number(double v) { return e.literal(type_, v); }
  Id call(const char* fn, std::initializer_list<Id> args) { return e.call(fn, type_, args); }
  Id add(Id a, Id b) { return call("add", {a, b}); }
  Id sub(Id a, Id b) { return call("sub", {a, b}); }
  Id mul(Id a, Id b) { return call("mul", {a, b}); }
  Id div(Id a, Id b) { return call("div", {a, b}); }
  // The expression, with this as its result.
  Expression result(Id id) {
    e.outputs = {id};
    return std::move(e);
  }

  Expression e;

 private:
  std::int32_t type_;
};

}  // namespace tenon::opencl
