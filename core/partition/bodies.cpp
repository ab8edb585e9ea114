#include "core/partition/bodies.h"

#include <algorithm>

#include "core/onnx/infer.h"
#include "core/ops/value_reads.h"
#include "core/provider/host.h"

namespace tenon {

bool Bodies::lacks_operator(std::int32_t reason) {
  return reason == TENON_REJECT_OP || reason == TENON_REJECT_ATTRIBUTE || reason == TENON_REJECT_DTYPE;
}

Result<GraphPtr> Bodies::of(const Graph& around, const Node& node) {
  GraphPtr body = node.body;
  Status fault;
  if (!body) {
    Result<GraphPtr> made = function_body(*in_.model, around, node, *in_.import);
    if (made.ok()) body = *made;
    else fault = std::move(made.status());
  }
  if (body) fault = infer_types(*in_.model, *body, in_.import->custom);
  if (fault.ok()) return body;
  std::string note = fmt::format("{}: its body cannot be used: {}", node.label(), fault.text());
  if (std::find(notes_.begin(), notes_.end(), note) == notes_.end()) notes_.push_back(std::move(note));
  return GraphPtr();
}

Result<double> Bodies::cost(std::uint32_t device, Graph& body, int depth) {
  (void)mark_host_evaluated(*in_.model, body, in_.import->custom);
  const auto view = GraphView::build(body, in_.bounds, &in_.load->constants);
  const SessionDevice& asked = (*in_.devices)[device];
  LoadTask task(*in_.load, asked.device);
  TENON_ASSIGN(const QueryAnswer answer, query_device(asked, device, *view, in_.max_workers, task));
  std::vector<double> best(body.nodes.size(), infinite_cost);
  for (const Claim& c : answer.claims)
    for (NodeId m : c.nodes) best[m] = std::min(best[m], c.cost_ns / static_cast<double>(c.nodes.size()));
  for (const DeviceRefusal& r : answer.refusals) {
    const Node& node = body.nodes[r.node];
    if (best[r.node] < infinite_cost || node.host_evaluated) continue;
    if (depth >= max_depth || !lacks_operator(r.reason) || is_host_step(body, node)) return infinite_cost;
    TENON_ASSIGN(const GraphPtr inner, of(body, node));
    if (!inner) return infinite_cost;
    TENON_ASSIGN(best[r.node], this->cost(device, *inner, depth + 1));
  }
  double sum = 0;
  for (NodeId m = 0; m < body.nodes.size(); ++m)
    if (!body.nodes[m].host_evaluated) sum += best[m];
  return sum;
}

}  // namespace tenon
