// Attributes of a node: a name and a value of one of ONNX's attribute types, with checked getters.
// Owned by the node; read-only after import. Any thread may read.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "core/graph/constant.h"

namespace tenon {

struct Graph;
using GraphPtr = std::shared_ptr<Graph>;

// The alternatives stand in the order of attribute_type().
using AttributeValue =
    std::variant<float, std::int64_t, std::string, ConstantPtr, GraphPtr, std::vector<float>, std::vector<std::int64_t>,
                 std::vector<std::string>, std::vector<ConstantPtr>, std::vector<GraphPtr>>;

struct Attribute {
  std::string name;
  AttributeValue value;
};

// ONNX AttributeProto.AttributeType of a value (1 FLOAT ... 10 GRAPHS).
inline std::int32_t attribute_type(const AttributeValue& v) { return static_cast<std::int32_t>(v.index()) + 1; }

}  // namespace tenon
