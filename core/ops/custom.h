// Custom operators: schemas that providers bring through the extension "tenon.schema".
//
// Built by the session before import from the providers of its configuration; read-only afterwards.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/graph/graph.h"

namespace tenon {

struct CustomOp {
  std::string provider, domain, op_type;
  std::int32_t since_version = 1;
  std::uint32_t min_inputs = 0, max_inputs = 0, min_outputs = 1, max_outputs = 1;
  std::vector<Attribute> defaults;
  std::vector<std::string> required;
  // Types of the outputs from the types of the inputs (dims -1 where unknown).
  std::function<Status(const Graph&, const Node&, std::span<const Type> inputs, std::vector<Type>& outputs)> infer;
};

struct CustomOps {
  std::vector<CustomOp> ops;

  // The newest version not above `version`; null when there is none.
  const CustomOp* find(std::string_view domain, std::string_view op_type, std::int64_t version) const {
    const CustomOp* best = nullptr;
    for (const CustomOp& op : ops)
      if (op.domain == domain && op.op_type == op_type && op.since_version <= version &&
          (!best || op.since_version > best->since_version))
        best = &op;
    return best;
  }
};

}  // namespace tenon
