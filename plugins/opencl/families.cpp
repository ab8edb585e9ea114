#include "plugins/opencl/families.h"

#include <algorithm>
#include <map>
#include <utility>

namespace tenon::opencl {

namespace {

using Family = std::span<const OpRow> (*)();
// Those whose make and supports look at ranks, and those that leave ranks to plan.
constexpr Family ranked[] = {conv_rows, matmul_rows, matmul_integer_rows, matmul_nbits_rows, pool_rows, softmax_rows, norm_rows, attention_rows, recurrent_rows};
constexpr Family unranked[] = {elementwise_rows, view_rows, movement_rows, reduce_rows, arg_rows, scan_rows, topk_rows, quantize_rows, resize_rows, sample_rows, einsum_rows};

struct Found {
  const OpRow* row;
  bool any_rank;
};
using Table = std::map<std::pair<std::string_view, std::string_view>, Found>;

const Table& table() {
  static const Table rows = [] {
    Table all;
    const auto add = [&](std::span<const Family> families, bool any_rank) {
      for (const Family family : families)
        for (const OpRow& row : family()) all.emplace(std::pair<std::string_view, std::string_view>(row.domain, row.op_type), Found{&row, any_rank});
    };
    add(ranked, false);
    add(unranked, true);
    return all;
  }();
  return rows;
}

}  // namespace

const OpRow* find_row(std::string_view domain, std::string_view op_type) {
  const auto it = table().find({domain, op_type});
  return it == table().end() ? nullptr : it->second.row;
}

bool takes_any_rank(const OpRow& row) { return table().at({row.domain, row.op_type}).any_rank; }

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

Support known_types(const Node& node, const Profile& profile) {
  for (const bool input : {true, false})
    for (std::size_t i = 0; i < (input ? node.input_count() : node.output_count()); ++i) {
      const tenon_value* v = input ? node.input(i) : node.output(i);
      if (!v) continue;
      const std::string which = (input ? "input " : "output ") + std::to_string(i);
      if (v->kind != TENON_KIND_TENSOR) return Support::no(TENON_REJECT_OTHER, which + " is not a tensor");
      if (!has_storage(v->dtype)) return Support::no(TENON_REJECT_DTYPE, which + " is " + dtype_text(v->dtype) + ", which no kernel here reads");
      if (v->dtype == TENON_DTYPE_DOUBLE && !profile.fp64) return Support::no(TENON_REJECT_DTYPE, which + " is float64, which the device lacks");
    }
  return Support::yes();
}

Support plain_types(const Node& node, const Profile& profile) {
  if (Support s = known_types(node, profile); s.reason != 0) return s;
  for (const bool input : {true, false})
    for (std::size_t i = 0; i < (input ? node.input_count() : node.output_count()); ++i)
      if (const tenon_value* v = input ? node.input(i) : node.output(i); v && v->rank < 0)
        return Support::no(TENON_REJECT_RANK, "the rank of " + ((input ? "input " : "output ") + std::to_string(i)) + " is not known");
  return Support::yes();
}

}  // namespace tenon::opencl
