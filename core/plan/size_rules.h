// SizeRules: how the sizes of a node's outputs, and the elements of small ones, follow from its inputs, for the operators
// that decoders consist of: prepared once, then fast and without allocation.
//
// What it does not know is the onnx library's inference to say (onnx/infer.h), which comes to the same. Made for tables of
// sizes that are all known; one thread at a time.
#pragma once

#include <vector>

#include "core/onnx/infer.h"

namespace tenon {

class SizeRules {
 public:
  explicit SizeRules(const Graph& graph);

  // Fills in the outputs of the node; elements go into the constants that the table has (private to it), whose capacity is
  // `capacity` bytes by value. False: nothing was changed, because no rule fits or the sizes contradict each other.
  bool apply(NodeId node, ShapeTable& shapes, const std::vector<std::uint64_t>& capacity);
  // Where what is prepared for the node stands.
  const void* place(NodeId node) const { return &prepared_[node]; }

 private:
  enum class Rule : std::uint8_t {
    none, same, broadcast, matmul, matmul_nbits, gemm, concat, transpose, reshape, expand, unsqueeze, squeeze, slice, gather, gather_nd, shape, range,
  };
  struct Prepared {
    Rule rule = Rule::none;
    char arithmetic = 0;  // of elements: + - * < (Min) > (Max)
    std::int64_t a = 0, b = 0;
    std::vector<std::int64_t> list;
  };
  bool dims_of(const Node& node, const Prepared& p, const ShapeTable& shapes);
  bool elements_of(const Node& node, const Prepared& p, const ShapeTable& shapes);
  bool axes(const ShapeTable& shapes, const Node& node, std::int64_t rank);
  bool broadcast(const Dims& other);
  bool slice(const Node& node, const ShapeTable& shapes);
  bool range(const Node& node, const ShapeTable& shapes);

  const Graph& graph_;
  std::vector<Prepared> prepared_;  // by node
  Dims dims_, axes_;
  std::vector<std::int64_t> elements_;
};

}  // namespace tenon
