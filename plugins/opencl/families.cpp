#include "plugins/opencl/families.h"

#include <algorithm>
#include <map>
#include <utility>

namespace tenon::opencl {

const OpRow* find_row(std::string_view domain, std::string_view op_type) {
  static const auto rows = [] {
    std::map<std::pair<std::string_view, std::string_view>, const OpRow*> table;
    for (const auto family : {conv_rows, matmul_rows, matmul_integer_rows, pool_rows, softmax_rows, norm_rows, elementwise_rows, view_rows, movement_rows, reduce_rows, arg_rows, scan_rows, topk_rows, quantize_rows})
      for (const OpRow& row : family()) table.emplace(std::pair<std::string_view, std::string_view>(row.domain, row.op_type), &row);
    return table;
  }();
  auto it = rows.find({domain, op_type});
  return it == rows.end() ? nullptr : it->second;
}

double opt_count(const tenon_value& v) {
  double n = 1;
  for (std::int32_t d = 0; d < v.rank; ++d) n *= std::max(opt_dim(v, d), 0.0);
  return n;
}

bool known_before_run(const Node& node, std::size_t i) {
  if (is_constant(node.input(i))) return true;
  const tenon_graph& graph = node.graph();
  const std::uint32_t wanted = node.raw().inputs[i];
  const plugin::Span<tenon_node> nodes(graph.nodes);
  for (std::size_t n = 0; n < node.index(); ++n)
    for (std::uint32_t o = 0; o < nodes[n].output_count; ++o)
      if (nodes[n].outputs[o] == wanted) return (nodes[n].flags & TENON_NODE_HOST_EVALUATED) != 0;
  return true;
}

Support plain_types(const Node& node, const Profile& profile) {
  for (const bool input : {true, false})
    for (std::size_t i = 0; i < (input ? node.input_count() : node.output_count()); ++i) {
      const tenon_value* v = input ? node.input(i) : node.output(i);
      if (!v) continue;
      const std::string which = (input ? "input " : "output ") + std::to_string(i);
      if (v->kind != TENON_KIND_TENSOR) return Support::no(TENON_REJECT_OTHER, which + " is not a tensor");
      if (!has_storage(v->dtype)) return Support::no(TENON_REJECT_DTYPE, which + " is " + dtype_text(v->dtype) + ", which no kernel here reads");
      if (v->dtype == TENON_DTYPE_DOUBLE && !profile.fp64) return Support::no(TENON_REJECT_DTYPE, which + " is float64, which the device lacks");
      if (v->rank < 0) return Support::no(TENON_REJECT_RANK, "the rank of " + which + " is not known");
    }
  return Support::yes();
}

}  // namespace tenon::opencl
