#include <cstring>

#include "core/graph/elements.h"
#include "core/ops/upgrade_forms.h"

namespace tenon {

void norm_of_every_element(Upgrade& u, const Node& node) {
  const ValueId x = node.inputs[0], scale = node.inputs[1], bias = node.inputs[2], mean = node.inputs[3], variance = node.inputs[4];
  const DType dtype = u.graph.values[x].type.dtype;
  std::byte* data = nullptr;
  auto small = make_constant(is_real(dtype) ? dtype : TENON_DTYPE_FLOAT, {}, &data);
  store_real((*small)->dtype, data, 0, node.float_or("epsilon", 1e-5f));
  const ValueId epsilon = u.constant(node.name + "/epsilon", ConstantPtr(*small));
  const ValueId shifted = u.add(node, "Add", {variance, epsilon}, "variance");
  const ValueId deviation = u.add(node, "Sqrt", {shifted}, "deviation");
  const ValueId centred = u.add(node, "Sub", {x, mean}, "centred");
  const ValueId divided = u.add(node, "Div", {centred, deviation}, "divided");
  const ValueId scaled = u.add(node, "Mul", {divided, scale}, "scaled");
  u.out.push_back(Upgrade::derived(node, "Add", {scaled, bias}, {node.outputs[0]}));
}

Status scale_of_groups(Upgrade& u, Node& node) {
  const auto& dims = u.graph.values[node.inputs[0]].type.dims;
  const std::int64_t groups = node.int_or("num_groups", 0);
  if (!dims || dims->size() < 2 || !(*dims)[1].fixed() || groups < 1 || (*dims)[1].value % groups != 0)
    return error(TENON_UNIMPLEMENTED, "{}: GroupNormalization of opset {} needs a known number of channels, a multiple of num_groups = {}; "
                 "re-export at opset 21 or newer", node.label(), u.version, groups);
  const std::int64_t width = (*dims)[1].value / groups;  // dims end here: new values move them
  for (const std::size_t i : {1, 2}) {
    const std::string name = i == 1 ? "scale" : "bias";
    const ValueId column = u.add(node, "Unsqueeze", {node.inputs[i], u.constant(node.name + "/axis", {1})}, name + "_column");
    const ValueId wide = u.add(node, "Expand", {column, u.constant(node.name + "/widths", {groups, width})}, name + "_wide");
    node.inputs[i] = u.add(node, "Reshape", {wide, u.constant(node.name + "/flat", {-1})}, name);
  }
  return {};
}

}  // namespace tenon
