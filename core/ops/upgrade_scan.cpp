#include "core/ops/upgrade_forms.h"

namespace tenon {

Status batched_scan(Upgrade& u, Node node) {
  const GraphPtr body = node.graph("body");
  if (!body || node.inputs.empty()) return invalid("{}: needs a body and inputs", node.label());
  if (node.inputs[0] != none)
    return error(TENON_UNIMPLEMENTED, "{}: Scan of opset 8 with sequence_lens is not supported; re-export at opset 9 or newer", node.label());
  auto middle = std::make_shared<Graph>();  // one sample: its states and sequences in, states and sequences out
  middle->name = node.name + "/sample";
  Node inner = Upgrade::derived(node, "Scan", {}, {});
  inner.set("body", body);
  inner.set("num_scan_inputs", node.int_or("num_scan_inputs", 0));
  if (const auto* directions = node.ints("directions")) inner.set("scan_input_directions", *directions);
  for (std::size_t i = 1; i < node.inputs.size(); ++i) {
    const ValueId v = middle->add_value("in_" + std::to_string(i));
    middle->values[v].is_input = true;
    middle->inputs.push_back(v);
    inner.inputs.push_back(v);
  }
  for (std::size_t i = 0; i < node.outputs.size(); ++i) {
    const ValueId v = middle->add_value("out_" + std::to_string(i));
    middle->values[v].is_output = true;
    middle->outputs.push_back(v);
    inner.outputs.push_back(v);
  }
  // What the body reads of the graph around passes through.
  for (OuterValue& o : body->outer) {
    const ValueId v = middle->add_value(body->values[o.inner].name, body->values[o.inner].type);
    middle->outer.push_back({v, o.parent});
    o.parent = v;
  }
  TENON_TRY(u.finish(inner));
  middle->nodes.push_back(std::move(inner));
  middle->index_producers();
  Node outer = node;
  outer.attributes.clear();
  outer.set("body", GraphPtr(middle));
  outer.inputs.erase(outer.inputs.begin());
  outer.set("num_scan_inputs", static_cast<std::int64_t>(outer.inputs.size()));
  u.out.push_back(std::move(outer));
  return {};
}

}  // namespace tenon
