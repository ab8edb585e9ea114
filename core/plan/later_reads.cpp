#include "core/plan/later_reads.h"

#include <algorithm>

namespace tenon {
namespace {

const std::string host = "host";

}  // namespace

LaterReads::LaterReads(const PlanInput& input, std::uint32_t segment) {
  const bool bodies = input.body_reads && !input.body_reads->empty();
  if (segment + 1 >= input.segment_count && input.residents.empty() && !bodies) return;
  const Graph& graph = *input.graph;
  const auto read = [&](ValueId v, const std::string& uid) {
    if (v != none && !graph.values[v].constant) reads_.emplace_back(v, &uid);
  };
  for (const Item& item : *input.items) {
    if (item.kind == Item::Kind::host_step && item.segment >= segment) {
      const auto step_reads = [&](ValueId v) {
        if (const DeviceMemory* memory = v == none ? nullptr : input.body_read(item.index, v)) read(v, memory->uid());
        else if (item.segment > segment) read(v, host);
      };
      for (ValueId v : graph.nodes[item.index].inputs) step_reads(v);
      for (const GraphPtr& body : graph.nodes[item.index].subgraphs())
        for (const OuterValue& o : body->outer) step_reads(o.parent);
    }
    if (item.segment <= segment || item.kind == Item::Kind::host_step) {
      continue;
    }
    const Program& p = (*input.programs)[item.index];
    for (std::size_t i = 0; i < p.part.inputs.size(); ++i)
      read(p.part.inputs[i], p.part.input_on_host[i] ? host : p.device->info().domains[0].uid);
  }
  for (const Resident& r : input.residents) read(r.value, r.memory.uid());
  // Core evaluates from elements that it has on the host; of sizes it knows without them.
  for (NodeId n = 0; n < graph.nodes.size(); ++n) {
    const Node& node = graph.nodes[n];
    if (!node.host_evaluated || node.is("Shape") || node.is("Size") || input.cover->node_segment[n] <= segment) continue;
    for (ValueId v : node.inputs) read(v, host);
  }
  std::stable_sort(reads_.begin(), reads_.end(), [](const Read& a, const Read& b) { return a.first < b.first; });
}

std::vector<LaterReads::Read>::const_iterator LaterReads::find(ValueId v) const {
  const auto at = std::lower_bound(reads_.begin(), reads_.end(), v, [](const Read& r, ValueId x) { return r.first < x; });
  return at != reads_.end() && at->first == v ? at : reads_.end();
}

bool LaterReads::in(ValueId v, const std::string& uid) const {
  for (auto at = find(v); at != reads_.end() && at->first == v; ++at)
    if (*at->second == uid) return true;
  return false;
}

bool LaterReads::outside(ValueId v, const std::string& uid) const {
  for (auto at = find(v); at != reads_.end() && at->first == v; ++at)
    if (*at->second != uid) return true;
  return false;
}

}  // namespace tenon
