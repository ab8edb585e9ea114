#include "core/onnx/canonical.h"

#include "core/onnx/schemas.h"
#include "core/ops/forms.h"

namespace tenon {

void fill_from_schema(Node& n) {
  const auto* schema = find_schema(n.op_type, n.domain);
  if (!schema) {
    n.since_version = 1;
    return;
  }
  n.since_version = schema->since_version();
  n.form = form_number(n.domain, n.op_type, n.since_version);
  for (const auto& [name, a] : schema->attributes()) {
    if (n.find(name) || a.default_value.type() == onnx::AttributeProto::UNDEFINED) continue;
    const onnx::AttributeProto& d = a.default_value;
    switch (d.type()) {
      case onnx::AttributeProto::FLOAT: n.set(name, d.f()); break;
      case onnx::AttributeProto::INT: n.set(name, static_cast<std::int64_t>(d.i())); break;
      case onnx::AttributeProto::STRING: n.set(name, d.s()); break;
      case onnx::AttributeProto::INTS: n.set(name, std::vector<std::int64_t>(d.ints().begin(), d.ints().end())); break;
      case onnx::AttributeProto::FLOATS: n.set(name, std::vector<float>(d.floats().begin(), d.floats().end())); break;
      default: break;
    }
  }
}

}  // namespace tenon
