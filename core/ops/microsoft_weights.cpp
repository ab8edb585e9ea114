// Operators of com.microsoft whose weights are compressed, spelled out: the weights are constants and fold once. The LSTM stays as it
// is where they are.
#include "core/ops/microsoft_forms.h"

namespace tenon {
namespace {

using std::int64_t;

ValueId byte(Spelling& s, std::uint8_t value) {
  std::byte* data = nullptr;
  auto c = make_constant(TENON_DTYPE_UINT8, {}, &data);
  *data = std::byte{value};
  return s.u.constant(s.node.name + "/byte_" + std::to_string(value), ConstantPtr(*c));
}

// A, B: [N * K / 2] bytes, absmax: one number for each block of B.
Status matmul_bnb4(Spelling& s) {
  static constexpr float fp4[16] = {0.0f, 5.208333333e-03f, 0.66666667f, 1.0f, 0.33333333f, 0.5f, 0.16666667f, 0.25f,
                                    -0.0f, -5.208333333e-03f, -0.66666667f, -1.0f, -0.33333333f, -0.5f, -0.16666667f, -0.25f};
  static constexpr float nf4[16] = {-1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f, -0.28444138169288635f,
                                    -0.18477343022823334f, -0.09105003625154495f, 0.0f, 0.07958029955625534f, 0.16093020141124725f,
                                    0.24611230194568634f, 0.33791524171829224f, 0.44070982933044434f, 0.5626170039176941f,
                                    0.7229568362236023f, 1.0f};
  const int64_t k = s.node.int_or("K", 0), n = s.node.int_or("N", 0), block = s.node.int_or("block_size", 64);
  if (k <= 0 || n <= 0 || block <= 0 || (k * n) % block != 0)
    return invalid("{}: K, N and block_size must be positive and K * N a multiple of block_size; found {}, {}, {}", s.node.label(), k, n,
                   block);
  const int64_t kind = s.node.int_or("quant_type", 1);
  if (kind != 0 && kind != 1) return invalid("{}: quant_type must be 0 (FP4) or 1 (NF4), found {}", s.node.label(), kind);
  const ValueId codes = nibbles(s, s.add("Reshape", {s.in(1), s.ints({-1})}), false);
  const ValueId table = s.reals(kind == 0 ? fp4 : nf4);
  const ValueId values = s.add("Gather", {table, s.cast(codes, TENON_DTYPE_INT32)}, {{"axis", int64_t{0}}});
  const ValueId blocks = s.add("Reshape", {values, s.ints({-1, block})});
  const ValueId scale = s.add("Reshape", {s.cast(s.in(2), TENON_DTYPE_FLOAT), s.ints({-1, 1})});
  const ValueId b = s.add("Reshape", {s.add("Mul", {blocks, scale}), s.ints({n, k})});
  const bool turned = s.node.int_or("transB", 1) != 0;
  s.end("MatMul", {s.in(0), s.cast_like(turned ? s.transpose(b, {1, 0}) : s.add("Reshape", {b, s.ints({k, n})}), s.in(0))});
  return {};
}

// data: 4-bit types, or bytes of two 4-bit or one 8-bit number; indices; scales; zero points?
Status gather_block_quantized(Spelling& s) {
  const int64_t bits = s.node.int_or("bits", 4), block = s.node.int_or("block_size", 128);
  const int64_t axis = s.node.int_or("gather_axis", 0), rank = s.rank(s.in(0), 2);
  int64_t along = s.node.int_or("quantize_axis", 1);
  if (along < 0) along += rank;
  const DType type = s.type(s.in(0)).dtype;
  if (type == TENON_DTYPE_UNDEFINED) return error(TENON_UNIMPLEMENTED, "{}: the type of the data must be declared", s.node.label());
  const bool bytes = type == TENON_DTYPE_UINT8;
  if (axis != 0 || along == 0 || (bytes && bits != 4 && bits != 8) || (bytes && along != rank - 1))
    return error(TENON_UNIMPLEMENTED, "{}: gather_axis must be 0, quantize_axis the last and bits 4 or 8; found {}, {}, {}", s.node.label(),
                 axis, along, bits);
  const auto rows = [&](ValueId v) { return s.add("Gather", {v, s.in(1)}, {{"axis", int64_t{0}}}); };
  ValueId x = rows(s.in(0)), scale = rows(s.in(2)), zero = s.has(3) ? rows(s.in(3)) : none;
  if (bytes && bits == 4) {
    x = nibbles(s, x, true);
    if (zero != none) {
      // An odd number of zero points leaves half of the last byte unused.
      const ValueId shape = s.add("Shape", {scale});
      const ValueId count = s.add("Slice", {shape, s.ints({-1}), s.ints({INT64_MAX}), s.ints({0})});
      zero = s.add("Slice", {nibbles(s, zero, true), s.ints({0}), count, s.ints({-1})});
    }
  }
  if (bytes && zero == none) zero = s.add("Expand", {byte(s, bits == 4 ? 8 : 128), s.add("Shape", {scale})});
  // indices replace the first axis: what follows it counts from the end.
  s.end("DequantizeLinear", {x, scale, zero}, {{"axis", along - rank}, {"block_size", block}});
  return {};
}

// Whether a weight of dynamic_lstm and its scale and zero point are constants of the types that there are kernels for.
bool constant_bytes(const Spelling& s, std::size_t weight, std::size_t scale) {
  const Graph& graph = s.u.graph;
  const ConstantPtr *w = graph.constant(s.in(weight)), *factor = graph.constant(s.in(scale)), *zero = graph.constant(s.in(scale + 1));
  return w && factor && zero && ((*w)->dtype == TENON_DTYPE_INT8 || (*w)->dtype == TENON_DTYPE_UINT8) && (*zero)->dtype == (*w)->dtype &&
         (*factor)->dtype == TENON_DTYPE_FLOAT && (*w)->dims.size() == 3;
}

// X, W: [D, I, 4H], R: [D, H, 4H], B?, lengths?, h0?, c0?, P?, then scale and zero point of W and of R. Constant weights have
// kernels; others are widened, and the input is not rounded to 8 bits.
Status dynamic_lstm(Spelling& s) {
  for (const std::size_t i : {8, 9, 10, 11})
    if (!s.has(i)) return invalid("{}: input {} is required and missing", s.node.label(), i);
  if (constant_bytes(s, 1, 8) && constant_bytes(s, 2, 10)) {
    s.u.out.push_back(s.node);
    return {};
  }
  const auto wide = [&](std::size_t weight, std::size_t scale) {
    // A scale for each direction, or for each direction and column: [D, 1, 1 or 4H].
    const ValueId directions = s.add("Slice", {s.add("Shape", {s.in(weight)}), s.ints({0}), s.ints({1}), s.ints({0})});
    const ValueId shape = s.add("Concat", {directions, s.ints({1, -1})}, {{"axis", int64_t{0}}});
    const ValueId factor = s.add("Reshape", {s.in(scale), shape});
    const ValueId zero = s.add("Reshape", {s.cast(s.in(scale + 1), TENON_DTYPE_FLOAT), shape});
    const ValueId centred = s.add("Sub", {s.cast(s.in(weight), TENON_DTYPE_FLOAT), zero});
    return s.transpose(s.add("Mul", {centred, factor}), {0, 2, 1});
  };
  const ValueId w = wide(1, 8), r = wide(2, 10);
  const auto made = s.add_many("LSTM", {s.in(0), w, r, s.in(3), s.in(4), s.in(5), s.in(6), s.in(7)}, 3, s.attributes_but({}));
  for (std::size_t o = 0; o < 3; ++o)
    if (s.wants(o)) s.end_as(made[o], o);
  return {};
}

constexpr SpelledOp table[] = {
    {"MatMulBnb4", 3, matmul_bnb4},
    {"GatherBlockQuantized", 3, gather_block_quantized},
    {"DynamicQuantizeLSTM", 3, dynamic_lstm},
};

}  // namespace

ValueId nibbles(Spelling& s, ValueId bytes, bool low_first) {
  const ValueId low = s.add("BitwiseAnd", {bytes, byte(s, 15)});
  const ValueId high = s.add("BitShift", {bytes, byte(s, 4)}, {{"direction", std::string("RIGHT")}});
  const ValueId last = s.ints({-1});
  const ValueId a = s.add("Unsqueeze", {low_first ? low : high, last}), b = s.add("Unsqueeze", {low_first ? high : low, last});
  const ValueId pairs = s.add("Concat", {a, b}, {{"axis", int64_t{-1}}});
  // [..., n, 2] to [..., 2n].
  const ValueId shape = s.add("Shape", {bytes});
  const ValueId lead = s.add("Slice", {shape, s.ints({0}), s.ints({-1}), s.ints({0})});
  return s.add("Reshape", {pairs, s.add("Concat", {lead, s.ints({-1})}, {{"axis", int64_t{0}}})}, {{"allowzero", int64_t{0}}});
}

std::span<const SpelledOp> spelled_weight_ops() { return table; }

}  // namespace tenon
