#include "plugins/cpu/query.h"

#include <algorithm>

#include "plugins/cpu/families.h"

namespace tenon::cpu {
namespace {

// At the sizes that estimates are made for.
double bytes_at_opt(const tenon_value& v) {
  double n = 1;
  for (std::int32_t d = 0; d < v.rank; ++d) n *= static_cast<double>(std::max<std::int64_t>(v.dim_opt ? v.dim_opt[d] : v.dims[d], 0));
  return v.dtype == TENON_DTYPE_STRING ? n * 32 : n * static_cast<double>(tensor_bytes(v.dtype, 16)) / 16;
}

Support check(const NodeView& node, const OpRow* row) {
  if (!row) return Support::no(TENON_REJECT_OP, "the CPU provider has no such operator");
  for (bool input : {true, false}) {
    const std::uint32_t count = input ? node.input_count() : node.output_count();
    for (std::uint32_t i = 0; i < count; ++i) {
      if (!(input ? node.has_input(i) : node.has_output(i))) continue;
      const tenon_value& v = input ? node.input(i) : node.output(i);
      const std::string which = (input ? "input " : "output ") + std::to_string(i);
      if (v.kind != TENON_KIND_TENSOR) return Support::no(TENON_REJECT_OTHER, which + " is not a tensor");
      if (v.dtype == TENON_DTYPE_UNDEFINED) return Support::no(TENON_REJECT_DTYPE, "the type of " + which + " is not known");
      if (v.dtype < 0 || v.dtype > last_dtype) return Support::no(TENON_REJECT_DTYPE, which + " has type " + std::to_string(v.dtype));
    }
  }
  return row->supports(node);
}

void claim(const Host& host, const NodeView& node, const OpRow& row, tenon_query_sink* sink) {
  const std::uint32_t index = node.index();
  tenon_claim c{};
  c.struct_size = sizeof c;
  c.node_count = 1;
  c.nodes = &index;
  c.token = index;
  if (row.data_dependent) c.flags |= TENON_CLAIM_DATA_DEPENDENT_SHAPE;
  for (std::uint32_t i = 0; i < node.input_count(); ++i) {
    if (!node.has_input(i)) continue;
    c.est_bytes += bytes_at_opt(node.input(i));
    if (node.is_constant(i)) c.weight_bytes += static_cast<std::uint64_t>(std::min(bytes_at_opt(node.input(i)), 1e18));
  }
  for (std::uint32_t o = 0; o < node.output_count(); ++o) {
    if (!node.has_output(o)) continue;
    c.est_bytes += bytes_at_opt(node.output(o));
    // Strings have no memory inside a part: each such value leaves it.
    if (node.output(o).dtype == TENON_DTYPE_STRING) c.flags |= TENON_CLAIM_DATA_DEPENDENT_SHAPE;
  }
  c.est_flops = row.flops ? row.flops(node) : 0;
  host.api->claim(sink, &c);
}

}  // namespace

void answer_query(const Host& host, const tenon_query& query, tenon_query_sink* sink) {
  const tenon_graph& graph = *query.graph;
  for (std::uint32_t n = 0; n < graph.nodes.count; ++n) {
    const NodeView node(graph, n);
    if (node.raw().flags & TENON_NODE_HOST_EVALUATED) continue;
    const OpRow* row = find_row(node.domain(), node.op_type());
    if (const Support s = check(node, row); s.reason == 0) claim(host, node, *row, sink);
    else host.api->reject(sink, n, s.reason, {s.text.data(), s.text.size()});
  }
}

}  // namespace tenon::cpu
