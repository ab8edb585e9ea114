#include "core/ops/microsoft.h"

#include <algorithm>

#include "core/graph/elements.h"

namespace tenon {
namespace {

using Known = std::span<const ConstantPtr>;

bool given(std::span<const Type> in, std::size_t i) { return i < in.size() && in[i].dtype != TENON_DTYPE_UNDEFINED; }
std::int64_t rank_of(std::span<const Type> in, std::size_t i) {
  return given(in, i) && in[i].dims ? static_cast<std::int64_t>(in[i].dims->size()) : -1;
}
// -1 where it is not known.
std::int64_t dim_of(std::span<const Type> in, std::size_t i, std::int64_t d) {
  return d < rank_of(in, i) ? (*in[i].dims)[static_cast<std::size_t>(d)].value : -1;
}
Type of(const Type& like, std::initializer_list<std::int64_t> dims) {
  Type t = like;
  t.dims.emplace();
  for (std::int64_t d : dims) t.dims->push_back({d, 0});
  return t;
}
// Unknown stays unknown.
std::int64_t times(std::int64_t a, std::int64_t b) { return a < 0 || b < 0 ? -1 : a * b; }
std::int64_t plus(std::int64_t a, std::int64_t b) { return a < 0 || b < 0 ? -1 : a + b; }
std::int64_t over(std::int64_t a, std::int64_t b) { return a < 0 || b <= 0 ? -1 : a / b; }

Status same_as_first(const Node&, std::span<const Type> in, Known, std::vector<Type>& out) {
  if (in.empty()) return invalid("needs an input");
  for (Type& t : out) t = in[0];
  return {};
}

Status matmul_nbits(const Node& node, std::span<const Type> in, Known, std::vector<Type>& out) {
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

// The dims of an operand after transX and transBatchX: a batch that is moved stands before the columns.
std::vector<std::int64_t> product_dims(const Type& t, bool turned, bool batch_moved) {
  std::vector<std::int64_t> d;
  for (const Dim& dim : *t.dims) d.push_back(dim.value);
  if (d.size() < 2) return d;
  if (batch_moved) std::rotate(d.begin(), d.begin() + 1, d.end() - 1);
  if (turned) std::swap(d[d.size() - 1], d[d.size() - 2]);
  return d;
}

Status fused_matmul(const Node& node, std::span<const Type> in, Known, std::vector<Type>& out) {
  if (in.size() < 2) return invalid("needs two inputs");
  out[0] = in[0];
  out[0].dims.reset();
  if (!in[0].dims || !in[1].dims) return {};
  auto a = product_dims(in[0], node.int_or("transA", 0) != 0, node.int_or("transBatchA", 0) != 0);
  auto b = product_dims(in[1], node.int_or("transB", 0) != 0, node.int_or("transBatchB", 0) != 0);
  if (a.empty() || b.empty()) return invalid("a product of scalars");
  const bool row = a.size() == 1, column = b.size() == 1;
  if (row) a.insert(a.begin(), 1);
  if (column) b.push_back(1);
  const std::int64_t ka = a.back(), kb = b[b.size() - 2];
  if (ka >= 0 && kb >= 0 && ka != kb) return invalid("the inner dimensions differ: {} and {}", ka, kb);
  const std::size_t rank = std::max(a.size(), b.size());
  std::vector<Dim> dims;
  for (std::size_t d = 0; d + 2 < rank; ++d) {
    const std::int64_t x = d + a.size() < rank ? 1 : a[d + a.size() - rank], y = d + b.size() < rank ? 1 : b[d + b.size() - rank];
    if (x > 1 && y > 1 && x != y) return invalid("the batches differ: {} and {}", x, y);
    dims.push_back({x == 1 ? y : y == 1 ? x : std::max(x, y), 0});
  }
  if (!row) dims.push_back({a[a.size() - 2], 0});
  if (!column) dims.push_back({b.back(), 0});
  out[0].dims = std::move(dims);
  return {};
}

// Q [B, S, H] or packed [B, S, N, 3, D]; K and V [B, L, ...], packed [B, L, N, 2, D] or [B, N, L, D]. Past: [B, N, P, D].
Status multi_head_attention(const Node& node, std::span<const Type> in, Known, std::vector<Type>& out) {
  if (in.empty()) return invalid("needs an input");
  const std::int64_t heads = node.int_or("num_heads", 0);
  if (heads < 1) return invalid("attribute num_heads must be positive, found {}", heads);
  const std::int64_t batch = dim_of(in, 0, 0), queries = dim_of(in, 0, 1);
  std::int64_t hidden = -1, depth = -1, value_depth = -1, fresh = -1;
  if (rank_of(in, 0) == 5) {
    depth = value_depth = dim_of(in, 0, 4), fresh = queries, hidden = times(heads, depth);
  } else {
    depth = over(dim_of(in, 0, 2), heads);
    if (rank_of(in, 1) == 5) value_depth = depth, fresh = dim_of(in, 1, 1);
    else if (rank_of(in, 1) == 4) value_depth = dim_of(in, 2, 3), fresh = dim_of(in, 1, 2);
    else value_depth = over(dim_of(in, 2, 2), heads), fresh = dim_of(in, 1, 1);
    hidden = times(heads, value_depth);
  }
  const std::int64_t keys = plus(given(in, 6) ? dim_of(in, 6, 2) : 0, fresh);
  if (rank_of(in, 0) >= 0) out[0] = of(in[0], {batch, queries, hidden});
  else out[0] = in[0];
  if (out.size() > 1) out[1] = of(in[0], {batch, heads, keys, depth});
  if (out.size() > 2) out[2] = of(in[0], {batch, heads, keys, value_depth});
  if (out.size() > 3) out[3] = of(in[0], {batch, heads, queries, keys});
  return {};
}

// Q [B, S, H] or Q, K and V packed in the last dimension; past [B, N, P, D]; the keys in all are the elements of input 6.
Status group_query_attention(const Node& node, std::span<const Type> in, Known known, std::vector<Type>& out) {
  if (in.size() < 7) return invalid("needs 7 inputs, found {}", in.size());
  const std::int64_t heads = node.int_or("num_heads", 0), kv_heads = node.int_or("kv_num_heads", 0);
  if (heads < 1 || kv_heads < 1) return invalid("attributes num_heads and kv_num_heads must be positive, found {} and {}", heads, kv_heads);
  const std::int64_t batch = dim_of(in, 0, 0), width = dim_of(in, 0, 2);
  const std::int64_t depth = given(in, 1) ? over(width, heads) : over(width, heads + 2 * kv_heads);
  out[0] = in[0];
  if (out[0].dims && out[0].dims->size() == 3) (*out[0].dims)[2] = {times(heads, depth), 0};
  std::int64_t keys = -1;
  if (known[6] && known[6]->count() == 1) {
    const auto total = integer_element(*known[6], 0);
    const std::int64_t past = given(in, 3) ? dim_of(in, 3, 2) : 0;
    if (total && past >= 0) keys = std::max(*total, past);
  }
  for (std::size_t o = 1; o < 3 && o < out.size(); ++o) out[o] = of(in[0], {batch, kv_heads, keys, depth});
  for (std::size_t o = 3; o < out.size(); ++o) out[o] = of(in[0], {batch, heads, dim_of(in, 0, 1), keys});
  return {};
}

constexpr MicrosoftOp rows[] = {
    {"MatMulNBits", 1, matmul_nbits},
    {"FusedMatMul", 1, fused_matmul},
    {"Gelu", 1, same_as_first},
    {"FastGelu", 1, same_as_first},
    {"QuickGelu", 1, same_as_first},
    {"BiasGelu", 1, same_as_first},
    {"SkipLayerNormalization", 4, same_as_first},
    {"SkipSimplifiedLayerNormalization", 4, same_as_first},
    {"SimplifiedLayerNormalization", 2, same_as_first},
    {"RotaryEmbedding", 1, same_as_first},
    {"MultiHeadAttention", 4, multi_head_attention},
    {"GroupQueryAttention", 4, group_query_attention},
};
constexpr MicrosoftOp simplified{"SimplifiedLayerNormalization", 2, same_as_first};

}  // namespace

const MicrosoftOp* find_microsoft_op(const Node& node) {
  if (node.is("SimplifiedLayerNormalization")) return &simplified;
  if (node.domain != "com.microsoft") return nullptr;
  for (const MicrosoftOp& row : rows)
    if (row.op_type == node.op_type) return &row;
  return nullptr;
}

}  // namespace tenon
