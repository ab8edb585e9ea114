// schemas: the onnx library's schema of an operator, made when it is first asked for.
//
// The library's own registry makes every version of every operator at the first question, which costs more than the load
// of a small model. Schemas live as long as the process. Any thread.
#pragma once

#include <string_view>

#include <onnx/defs/schema.h>

#include "core/onnx/proto.h"

namespace tenon {

inline constexpr std::int64_t newest_version = INT32_MAX;

// The operator as opset `version` of its domain has it; null when it has none.
const onnx::OpSchema* find_schema(std::string_view op_type, std::string_view domain, std::int64_t version = newest_version);

}  // namespace tenon
