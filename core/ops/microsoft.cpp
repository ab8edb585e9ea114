#include "core/ops/microsoft.h"

namespace tenon {
namespace {

Status same_as_first(const Node&, std::span<const Type> in, std::vector<Type>& out) {
  if (in.empty()) return invalid("needs an input");
  for (Type& t : out) t = in[0];
  return {};
}

Status matmul_nbits(const Node& node, std::span<const Type> in, std::vector<Type>& out) {
  if (in.empty()) return invalid("needs an input");
  out[0] = in[0];
  const std::int64_t k = node.int_or("K", -1), n = node.int_or("N", -1);
  if (k <= 0 || n <= 0) return invalid("attributes K and N must be positive, found {} and {}", k, n);
  if (!out[0].dims || out[0].dims->empty()) return {};
  Dim& last = out[0].dims->back();
  if (last.fixed() && last.value != k) return invalid("the last dimension of A must be K = {}, found {}", k, last.value);
  last = {n, 0};
  return {};
}

constexpr MicrosoftOp rows[] = {
    {"MatMulNBits", matmul_nbits}, {"Gelu", same_as_first}, {"FastGelu", same_as_first}, {"QuickGelu", same_as_first},
    {"BiasGelu", same_as_first},   {"SkipLayerNormalization", same_as_first}, {"SkipSimplifiedLayerNormalization", same_as_first},
};
constexpr MicrosoftOp simplified{"SimplifiedLayerNormalization", same_as_first};

}  // namespace

const MicrosoftOp* find_microsoft_op(const Node& node) {
  if (node.is("SimplifiedLayerNormalization")) return &simplified;
  if (node.domain != "com.microsoft") return nullptr;
  for (const MicrosoftOp& row : rows)
    if (row.op_type == node.op_type) return &row;
  return nullptr;
}

}  // namespace tenon
