// Expression: the fusion representation: a DAG of elementwise work on values of one shape, from which kernels are written.
//
// Nodes are in order: arguments stand before what uses them. A load names a slot, an input of whoever owns the expression, and has that
// input's type; every node has an ONNX type, and its text computes in that type's compute type (types.h) with the type's own range:
// an int8 sum wraps as int8. Plain data; built in compile, immutable afterwards.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

namespace tenon::opencl {

struct Expression {
  enum class Kind : std::uint8_t { load, literal, call };
  struct Node {
    Kind kind = Kind::load;
    std::int32_t dtype = 0;
    std::uint32_t slot = 0;             // load
    double real = 0;                    // literal of a floating type
    std::int64_t integer = 0;           // literal of another type
    std::string fn;                     // call: a name of expression_text.cpp
    std::vector<std::uint32_t> args;
  };
  std::vector<Node> nodes;
  std::vector<std::uint32_t> outputs;   // nodes that are stored

  std::uint32_t load(std::uint32_t slot, std::int32_t dtype);  // one node a slot
  std::uint32_t literal(std::int32_t dtype, double value);
  std::uint32_t call(std::string fn, std::int32_t dtype, std::initializer_list<std::uint32_t> args);
  std::uint32_t cast(std::int32_t dtype, std::uint32_t a);  // a itself where it has that type

  // Adds other's nodes, its load of slot s being replaced by node loads[s]. Returns other's outputs as nodes of this.
  std::vector<std::uint32_t> splice(const Expression& other, std::span<const std::uint32_t> loads);
  // A text that is equal for equal expressions.
  std::string signature() const;
};

}  // namespace tenon::opencl
