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
  // With past_sequence_length the cache has its final size.
  const std::int64_t keys = given(in, 8) && given(in, 6) ? dim_of(in, 6, 2) : plus(given(in, 6) ? dim_of(in, 6, 2) : 0, fresh);
  if (rank_of(in, 0) >= 0) out[0] = of(in[0], {batch, queries, hidden});
  else out[0] = in[0];
  if (out.size() > 1) out[1] = of(in[0], {batch, heads, keys, depth});
  if (out.size() > 2) out[2] = of(in[0], {batch, heads, keys, value_depth});
  if (out.size() > 3) out[3] = of(in[0], {batch, heads, queries, keys});
  return {};
}

// Q [B, S, H] or Q, K and V packed in the last dimension; past [B, N, P, D]; the keys in all are the elements of input 6, or as
// many as the past has where the cache slides. The cache keeps the type and the last dimension that it has.
Status group_query_attention(const Node& node, std::span<const Type> in, Known known, std::vector<Type>& out) {
  if (in.size() < 7) return invalid("needs 7 inputs, found {}", in.size());
  const std::int64_t heads = node.int_or("num_heads", 0), kv_heads = node.int_or("kv_num_heads", 0);
  if (heads < 1 || kv_heads < 1) return invalid("attributes num_heads and kv_num_heads must be positive, found {} and {}", heads, kv_heads);
  const std::int64_t batch = dim_of(in, 0, 0), width = dim_of(in, 0, 2);
  const std::int64_t depth = given(in, 1) ? over(width, heads) : over(width, heads + 2 * kv_heads);
  out[0] = in[0];
  if (out[0].dims && out[0].dims->size() == 3) (*out[0].dims)[2] = {times(heads, depth), 0};
  const std::int64_t past = given(in, 3) ? dim_of(in, 3, 2) : 0;
  std::int64_t keys = -1, total = -1;
  if (known[6] && known[6]->count() == 1) total = integer_element(*known[6], 0).value_or(-1);
  if (node.int_or("sliding_window_cache", 0) != 0) keys = past;
  else if (total >= 0 && past >= 0) keys = std::max(total, past);
  const std::size_t cache = given(in, 3) ? 3 : 0;
  for (std::size_t o = 1; o < 3 && o < out.size(); ++o) out[o] = of(in[cache], {batch, kv_heads, keys, cache ? dim_of(in, 3, 3) : depth});
  for (std::size_t o = 3; o < out.size(); ++o) out[o] = of(in[0], {batch, heads, dim_of(in, 0, 1), total});
  return {};
}

// As GroupQueryAttention, with a cache that has its final size.
Status sparse_attention(const Node& node, std::span<const Type> in, Known, std::vector<Type>& out) {
  if (in.size() < 9) return invalid("needs 9 inputs, found {}", in.size());
  const std::int64_t heads = node.int_or("num_heads", 0);
  out[0] = in[0];
  if (!given(in, 1) && rank_of(in, 0) == 3) (*out[0].dims)[2] = {times(heads, dim_of(in, 3, 3)), 0};
  for (std::size_t o = 1; o < out.size(); ++o) out[o] = in[o + 2];
  return {};
}

// Q [tokens, H] or packed; the caches [blocks, size, heads, D] are what they were.
Status paged_attention(const Node& node, std::span<const Type> in, Known, std::vector<Type>& out) {
  if (in.size() < 8) return invalid("needs 8 inputs, found {}", in.size());
  const std::int64_t heads = node.int_or("num_heads", 0), kv_heads = node.int_or("kv_num_heads", 0), width = dim_of(in, 0, 1);
  if (heads < 1 || kv_heads < 1) return invalid("attributes num_heads and kv_num_heads must be positive, found {} and {}", heads, kv_heads);
  out[0] = of(in[0], {dim_of(in, 0, 0), given(in, 1) ? width : times(heads, over(width, heads + 2 * kv_heads))});
  for (std::size_t o = 1; o < out.size(); ++o) out[o] = in[o + 2];
  return {};
}

// Q [B, T, heads * key size], V [B, T, kv heads * value size]; state [B, kv heads, key size, value size], a window of them in front.
Status linear_attention(const Node& node, std::span<const Type> in, Known, std::vector<Type>& out) {
  if (in.size() < 3) return invalid("needs 3 inputs, found {}", in.size());
  const std::int64_t heads = node.int_or("q_num_heads", 0), states = node.int_or("kv_num_heads", 0),
                     window = node.int_or("state_window", 0);
  if (heads < 1 || states < 1) return invalid("attributes q_num_heads and kv_num_heads must be positive, found {} and {}", heads, states);
  const std::int64_t batch = dim_of(in, 0, 0), key = over(dim_of(in, 0, 2), heads), value = over(dim_of(in, 2, 2), states);
  out[0] = of(in[0], {batch, dim_of(in, 0, 1), times(std::max(heads, states), value)});
  if (out.size() < 2) return {};
  const Type& like = given(in, 3) ? in[3] : in[0];
  out[1] = window > 0 ? of(like, {window, batch, states, key, value}) : of(like, {batch, states, key, value});
  return {};
}

// Q, K and V [tokens, heads, size], or packed; state [B, heads, value size, key size].
Status gated_delta_net(const Node&, std::span<const Type> in, Known, std::vector<Type>& out) {
  if (in.empty()) return invalid("needs an input");
  const bool packed = !given(in, 2);
  if (packed && !given(in, 6)) return invalid("packed query, key and value need initial_state");
  out[0] = packed ? in[0] : in[2];
  if (packed && out[0].dims && !out[0].dims->empty()) {
    out[0].dims->back() = {dim_of(in, 6, 1), 0};
    out[0].dims->push_back({dim_of(in, 6, 2), 0});
  }
  if (out.size() < 2) return {};
  if (given(in, 6)) {
    out[1] = in[6];
    return {};
  }
  out[1].dtype = TENON_DTYPE_FLOAT;
  const std::int64_t rank = rank_of(in, 2), ends = given(in, 3) ? dim_of(in, 3, 0) : -1;
  if (rank < 3 || rank_of(in, 0) != rank) return {};
  out[1] = of(in[0], {ends < 1 ? -1 : ends - 1, dim_of(in, 2, rank - 2), dim_of(in, 2, rank - 1), dim_of(in, 0, rank - 1)});
  out[1].dtype = TENON_DTYPE_FLOAT;
  return {};
}

// X [B, C, L] or [B, L, channels...]; state as long as the kernel looks back, a window of them in front.
Status causal_conv(const Node& node, std::span<const Type> in, Known, std::vector<Type>& out) {
  if (in.size() < 2) return invalid("needs 2 inputs, found {}", in.size());
  out[0] = in[0];
  if (out.size() < 2) return {};
  out[1] = given(in, 3) ? in[3] : in[0];
  if (given(in, 3) || !in[0].dims || in[0].dims->size() < 3) return {};
  const std::int64_t taps = dim_of(in, 1, 2), window = node.int_or("state_window", 0);
  (*out[1].dims)[node.int_or("channels_last", 0) != 0 ? 1 : 2] = {taps < 1 ? -1 : times(taps - 1, node.int_or("dilation", 1)), 0};
  if (window > 0) out[1].dims->insert(out[1].dims->begin(), Dim{window, 0});
  return {};
}

Status varlen_causal_conv(const Node&, std::span<const Type> in, Known, std::vector<Type>& out) {
  if (in.size() < 5) return invalid("needs 5 inputs, found {}", in.size());
  out[0] = in[0];
  if (out.size() > 1) out[1] = in[4];
  return {};
}

Status same_as_second(const Node&, std::span<const Type> in, Known, std::vector<Type>& out) {
  if (in.size() < 2) return invalid("needs 2 inputs, found {}", in.size());
  out[0] = in[1];
  return {};
}

Status murmur_hash(const Node& node, std::span<const Type> in, Known, std::vector<Type>& out) {
  if (in.empty()) return invalid("needs an input");
  out[0] = in[0];
  out[0].dtype = node.int_or("positive", 1) != 0 ? TENON_DTYPE_UINT32 : TENON_DTYPE_INT32;
  return {};
}

// X [N, C, H, W], boxes [R, 4], which image each is in, crop_size: [height, width].
Status crop_and_resize(const Node&, std::span<const Type> in, Known known, std::vector<Type>& out) {
  if (in.size() < 4) return invalid("needs 4 inputs, found {}", in.size());
  std::int64_t size[2] = {-1, -1};
  for (std::size_t d = 0; d < 2 && known[3] && known[3]->count() == 2; ++d) size[d] = integer_element(*known[3], d).value_or(-1);
  out[0] = of(in[0], {dim_of(in, 1, 0), dim_of(in, 0, 1), size[0], size[1]});
  return {};
}

Status time_warping(const Node&, std::span<const Type> in, Known, std::vector<Type>& out) {
  if (in.empty()) return invalid("needs an input");
  out[0] = of(in[0], {2, -1});
  out[0].dtype = TENON_DTYPE_INT32;
  return {};
}

Status bifurcation(const Node&, std::span<const Type> in, Known, std::vector<Type>& out) {
  if (in.size() < 3) return invalid("needs 3 inputs, found {}", in.size());
  out[0] = of(in[1], {-1});
  if (out.size() > 1) out[1] = in[2];
  return {};
}

Status tokenizer(const Node&, std::span<const Type> in, Known, std::vector<Type>& out) {
  if (in.empty()) return invalid("needs an input");
  out[0] = in[0];
  if (out[0].dims) out[0].dims->push_back({-1, 0});
  return {};
}

// Y: [steps, directions, batch, hidden], then the last state and cell without the steps. layout 1: the batch is first.
Status quantized_lstm(const Node& node, std::span<const Type> in, Known, std::vector<Type>& out) {
  if (in.size() < 3) return invalid("needs 3 inputs, found {}", in.size());
  const bool batch_first = node.int_or("layout", 0) != 0;
  const std::int64_t steps = dim_of(in, 0, batch_first ? 1 : 0), batch = dim_of(in, 0, batch_first ? 0 : 1), hidden = dim_of(in, 2, 1);
  const std::int64_t directions = node.string_or("direction", "forward") == "bidirectional" ? 2 : 1;
  if (const std::int64_t said = node.int_or("hidden_size", hidden); hidden >= 0 && said != hidden)
    return invalid("hidden_size is {}, R has {} hidden units", said, hidden);
  out[0] = batch_first ? of(in[0], {batch, steps, directions, hidden}) : of(in[0], {steps, directions, batch, hidden});
  for (std::size_t o = 1; o < out.size(); ++o)
    out[o] = batch_first ? of(in[0], {batch, directions, hidden}) : of(in[0], {directions, batch, hidden});
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
    {"SparseAttention", 3, sparse_attention},
    {"PagedAttention", 3, paged_attention},
    {"LinearAttention", 2, linear_attention},
    {"GatedDeltaNet", 2, gated_delta_net},
    {"CausalConvWithState", 2, causal_conv},
    {"VarlenCausalConvWithState", 2, varlen_causal_conv},
    {"MRotaryEmbedding", 1, same_as_first},
    {"MoE", 1, same_as_first},
    {"QMoE", 1, same_as_first},
    {"DynamicQuantizeLSTM", 3, quantized_lstm},
    {"Inverse", 1, same_as_first},
    {"NGramRepeatBlock", 1, same_as_second},
    {"MurmurHash3", 1, murmur_hash},
    {"CropAndResize", 1, crop_and_resize},
    {"DynamicTimeWarping", 1, time_warping},
    {"BifurcationDetector", 2, bifurcation},
    {"Tokenizer", 1, tokenizer},
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
