#include "core/onnx/canonical.h"
#include "core/passes/edit.h"
#include "core/passes/list.h"

namespace tenon {
namespace {

// Becomes another operator with the same inputs, but for those from `keep` on.
void rename(Edit& edit, Node& node, const char* op, std::vector<Attribute> attributes, std::size_t keep) {
  while (node.inputs.size() > keep) edit.set_input(node, node.inputs.size() - 1, none);
  node.domain.clear();
  node.op_type = op;
  node.attributes = std::move(attributes);
  fill_from_schema(node);
  ++edit.context.rewrites;
}

}  // namespace

Status canonical_names(PassContext& context) {
  Edit edit(context);
  for (Node& n : context.graph.nodes) {
    if (n.is("CastLike") && n.inputs.size() == 2) {
      const Type& like = context.graph.values[n.inputs[1]].type;
      if (!like.is_tensor() || like.dtype == TENON_DTYPE_UNDEFINED) continue;
      std::vector<Attribute> attributes = std::move(n.attributes);
      rename(edit, n, "Cast", std::move(attributes), 1);
      n.set("to", static_cast<std::int64_t>(like.dtype));
    } else if (n.is("Gelu", "com.microsoft")) {
      rename(edit, n, "Gelu", {{"approximate", std::string("none")}}, 1);
    } else if (n.is("FastGelu", "com.microsoft") && n.inputs.size() == 1) {
      rename(edit, n, "Gelu", {{"approximate", std::string("tanh")}}, 1);
    } else if (n.is("QuickGelu", "com.microsoft")) {
      rename(edit, n, "Swish", {{"alpha", n.float_or("alpha", 1.702f)}}, 1);
    } else if (n.is("SimplifiedLayerNormalization") && n.inputs.size() == 2 && n.outputs.size() == 1) {
      const Type& type = context.graph.values[n.inputs[0]].type;
      if (n.int_or("stash_type", 1) != 1 || type.dtype != context.graph.values[n.inputs[1]].type.dtype) continue;
      rename(edit, n, "RMSNormalization", {{"axis", n.int_or("axis", -1)}, {"epsilon", n.float_or("epsilon", 1e-5f)}}, 2);
    }
  }
  return {};
}

}  // namespace tenon
