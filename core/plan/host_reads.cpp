#include "core/plan/host_reads.h"

namespace tenon {

std::vector<bool> host_reads(const PlanInput& input, std::uint32_t segment) {
  const Graph& graph = *input.graph;
  std::vector<bool> out(graph.values.size());
  const auto read = [&](ValueId v) {
    if (v != none) out[v] = true;
  };
  for (const Item& item : *input.items) {
    if (item.segment != segment) continue;
    if (item.kind == Item::Kind::host_step) {
      for (ValueId v : graph.nodes[item.index].inputs)
        if (v != none && !input.body_read(item.index, v)) read(v);
      for (const GraphPtr& body : graph.nodes[item.index].subgraphs())
        for (const OuterValue& o : body->outer)
          if (!input.body_read(item.index, o.parent)) read(o.parent);
      continue;
    }
    const Program& p = (*input.programs)[item.index];
    const bool host = p.device->info().domains[0].host();
    for (std::size_t i = 0; i < p.part.inputs.size(); ++i)
      if (host || p.part.input_on_host[i]) read(p.part.inputs[i]);
  }
  for (ValueId v = 0; v < graph.values.size(); ++v)
    if ((graph.values[v].is_output && !input.resident(v)) || (*input.host_read)[v]) read(v);
  return out;
}

}  // namespace tenon
