#include "plugins/opencl/query.h"

#include <algorithm>

#include "plugins/opencl/families.h"

namespace tenon::opencl {
namespace {

Support check(const Node& node, const OpRow* row, const Profile& profile) {
  if (!row) return Support::no(TENON_REJECT_OP, "the OpenCL provider has no such operator");
  if (Support s = takes_any_rank(*row) ? known_types(node, profile) : plain_types(node, profile); s.reason != 0) return s;
  return row->supports ? row->supports(node, profile) : Support::yes();
}

double bytes_of(const tenon_value& v) { return opt_count(v) * static_cast<double>(storage_bytes(v.dtype)); }

}  // namespace

void answer_query(const Device& device, const tenon_query& query, tenon_query_sink* sink) {
  const tenon_graph& graph = *query.graph;
  for (std::uint32_t n = 0; n < graph.nodes.count; ++n) {
    const Node node(graph, n);
    if (node.raw().flags & TENON_NODE_HOST_EVALUATED) continue;
    const OpRow* row = find_row(node.domain(), node.op_type());
    if (const Support s = check(node, row, device.profile); s.reason != 0) {
      device.host.api->reject(sink, n, s.reason, str(s.text));
      continue;
    }
    tenon_claim c{};
    c.struct_size = sizeof c;
    c.node_count = 1;
    c.nodes = &n;
    c.token = n;
    for (std::size_t i = 0; i < node.input_count(); ++i) {
      if (!node.input(i)) continue;
      c.est_bytes += bytes_of(*node.input(i));
      if (is_constant(node.input(i))) c.weight_bytes += static_cast<std::uint64_t>(std::min(bytes_of(*node.input(i)), 1e18));
    }
    for (std::size_t o = 0; o < node.output_count(); ++o)
      if (node.output(o)) c.est_bytes += bytes_of(*node.output(o));
    c.est_flops = row->flops ? row->flops(node) : node.output(0) ? opt_count(*node.output(0)) : 0;
    device.host.api->claim(sink, &c);
  }
}

}  // namespace tenon::opencl
