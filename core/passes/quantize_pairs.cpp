#include <cmath>

#include "core/graph/elements.h"
#include "core/passes/edit.h"
#include "core/passes/list.h"

namespace tenon {
namespace {

// q -> (q - z) * s -> / s + z gives q back: exact for up to 16 bits in float32 as long as nothing leaves its range.
bool invertible(const Constant* scale) {
  if (!scale || scale->dtype != TENON_DTYPE_FLOAT || scale->count() > 65536) return false;
  for (std::size_t i = 0; i < static_cast<std::size_t>(scale->count()); ++i)
    if (const float s = load_bits<float>(scale->data, i); !(s >= 1e-30f && s <= 1e30f)) return false;
  return true;
}

bool small_integer(DType d) {
  switch (d) {
    case TENON_DTYPE_INT8:
    case TENON_DTYPE_UINT8:
    case TENON_DTYPE_INT16:
    case TENON_DTYPE_UINT16:
    case TENON_DTYPE_INT4:
    case TENON_DTYPE_UINT4: return true;
    default: return false;
  }
}

}  // namespace

Status quantize_pairs(PassContext& context) {
  Edit edit(context);
  Graph& g = context.graph;
  for (NodeId id = 0; id < g.nodes.size(); ++id) {
    const Node& q = g.nodes[id];
    if (!q.is("QuantizeLinear") || q.outputs.size() != 1 || q.outputs[0] == none || q.inputs.empty()) continue;
    const Node* d = edit.producer(q.inputs[0], "DequantizeLinear");
    if (!d || d->inputs.empty()) continue;
    const ValueId x = edit.input(*d, 0);
    if (!small_integer(g.values[x].type.dtype) || g.values[x].type.dtype != g.values[q.outputs[0]].type.dtype) continue;
    if (g.values[q.inputs[0]].type.dtype != TENON_DTYPE_FLOAT) continue;
    const auto same_input = [&](std::size_t i) {
      const ValueId a = edit.input(*d, i), b = edit.input(q, i);
      if (a == b) return true;
      const Constant *p = edit.constant(*d, i), *r = edit.constant(q, i);
      return p && r && same_constant(*p, *r);
    };
    const bool per_axis = edit.constant(q, 1) && edit.constant(q, 1)->count() != 1;
    const bool same_axis = q.int_or("axis", 1) == d->int_or("axis", 1) && q.int_or("block_size", 0) == d->int_or("block_size", 0);
    if (!same_input(1) || !same_input(2) || !invertible(edit.constant(q, 1)) || (per_axis && !same_axis)) continue;
    if (edit.replace(q.outputs[0], x)) edit.remove(id);
  }
  return {};
}

}  // namespace tenon
