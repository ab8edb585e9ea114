// com.microsoft MatMulNBits: A times a constant matrix of 2, 4 or 8 bits a weight.
#include <cstring>

#include "plugins/opencl/codegen/gemm_choice.h"
#include "plugins/opencl/codegen/gemm_nbits.h"
#include "plugins/opencl/families.h"
#include "plugins/opencl/ops/gemm_addend.h"
#include "plugins/opencl/ops/gemm_product.h"

namespace tenon::opencl {
namespace {

enum Input : std::size_t { in_a, in_b, in_scales, in_zeros, in_groups, in_bias };

float half_to_float(std::uint16_t h) {
  const std::uint32_t sign = static_cast<std::uint32_t>(h & 0x8000u) << 16, exponent = h >> 10 & 31u, fraction = h & 0x3ffu;
  if (exponent == 0) {
    const float tiny = static_cast<float>(fraction) * 0x1p-24f;
    return sign ? -tiny : tiny;
  }
  const std::uint32_t bits = sign | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | fraction << 13;
  float f;
  std::memcpy(&f, &bits, sizeof f);
  return f;
}

// Elements as float32.
std::vector<float> floats(const tenon_const_tensor& t) {
  if (t.dtype == TENON_DTYPE_FLOAT) {
    const auto* p = static_cast<const float*>(t.data);
    return {p, p + t.bytes / sizeof(float)};
  }
  const auto* p = static_cast<const std::uint16_t*>(t.data);
  std::vector<float> out;
  for (std::uint64_t i = 0; i < t.bytes / 2; ++i) out.push_back(half_to_float(p[i]));
  return out;
}

class MatMulNBitsOp final : public Op {
 public:
  MatMulNBitsOp(const Node& node, CompileContext& context) {
    q_.k = node.integer("K", 0);
    q_.n = node.integer("N", 0);
    q_.bits = static_cast<int>(node.integer("bits", 4));
    q_.block = node.integer("block_size", 32);
    const Profile& profile = context.profile();
    q_.columns = profile.cpu ? static_cast<int>(profile.vector) * 4 : 64;
    const std::string id = "/" + std::to_string(q_.bits) + "/" + std::to_string(q_.block) + "/" + std::to_string(q_.columns) + "/" + std::to_string(q_.k) + "/" + std::to_string(q_.n);
    const std::array<std::size_t, 1> weights{in_b};
    weights_ = context.packed(node, weights, "gemm_nbits" + id, static_cast<std::uint64_t>(q_.weight_bytes()), [&](std::span<const tenon_const_tensor> from, void* to) {
      if (static_cast<std::int64_t>(from[0].bytes) < q_.n * q_.blocks() * q_.block * q_.bits / 8) throw Failure{TENON_INVALID_ARGUMENT, "B has fewer bytes than N and K ask for"};
      pack_quantized_weights(q_, static_cast<const std::uint8_t*>(from[0].data), static_cast<std::uint8_t*>(to));
    });
    std::vector<std::size_t> parameters{in_scales};
    if (node.input(in_zeros)) parameters.push_back(in_zeros);
    scales_ = context.packed(node, parameters, "gemm_nbits_scales" + id, static_cast<std::uint64_t>(q_.scale_floats()) * 4, [&](std::span<const tenon_const_tensor> from, void* to) {
      const std::vector<float> scales = floats(from[0]);
      std::vector<float> float_zeros;
      const std::uint8_t* zeros = nullptr;
      if (from.size() > 1 && from[1].dtype == TENON_DTYPE_UINT8) zeros = static_cast<const std::uint8_t*>(from[1].data);
      else if (from.size() > 1) float_zeros = floats(from[1]);
      const auto count = static_cast<std::uint64_t>(q_.n * q_.blocks());
      if (scales.size() < count || (!float_zeros.empty() && float_zeros.size() < count) || (zeros && from[1].bytes < static_cast<std::uint64_t>(q_.n * ((q_.blocks() * q_.bits + 7) / 8))))
        throw Failure{TENON_INVALID_ARGUMENT, "fewer scales or zero points than blocks"};
      pack_quantized_scales(q_, scales.data(), zeros, float_zeros.empty() ? nullptr : float_zeros.data(), static_cast<float*>(to));
    });
  }

  void plan(PlanBuilder& builder) const override {
    const Tensor a = builder.dense(builder.in(in_a));
    if (a.rank() < 1 || a.dim(-1) != q_.k) throw Failure{TENON_INVALID_ARGUMENT, "A has " + std::to_string(a.rank() < 1 ? 1 : a.dim(-1)) + " columns, K is " + std::to_string(q_.k)};
    GemmProblem p;
    p.m = a.count() / q_.k, p.n = q_.n, p.k = q_.k, p.a_row = q_.k, p.b_panel = q_.panel_bytes();
    const std::int64_t rank = builder.out_shape(0).rank();
    TileSpace space;
    for (std::int64_t i = 0; i + 1 < rank; ++i) space.rows.push_back(i);
    space.cols = {rank - 1};
    const LinkedEpilogue linked = builder.link(space, TENON_DTYPE_FLOAT);
    if (p.m == 0 || p.n == 0) return;
    std::shared_ptr<const Epilogue> epilogue = linked.text;
    std::vector<Arg> args = linked.args;
    if (builder.inputs() > in_bias && builder.in(in_bias).present()) {
      const auto addend = std::make_shared<GemmAddend>(linked.text, broadcast(builder.in(in_bias), {p.m, p.n}), TENON_DTYPE_FLOAT, 1);
      args = addend->args();
      args.insert(args.end(), linked.args.begin(), linked.args.end());
      epilogue = addend;
    }
    const GemmConfig config = choose(builder.profile(), p.m, a.dtype);
    const GemmRange range = gemm_range(config, p, builder.profile().compute_units);
    std::array<std::int32_t, kGemmSizes + kGemmBatchSizes> sizes;
    const int count = gemm_sizes(config, p, range.row_tiles, sizes);
    Launch l;
    l.name = "matmul_nbits";
    l.kernel = gemm_kernel(config, *epilogue);
    l.args = {Arg::in(a), Arg::weight(weights_)};
    for (int i = 0; i < count; ++i) l.args.push_back(Arg::i32(sizes[static_cast<std::size_t>(i)]));
    l.args.push_back(Arg::weight(scales_));
    l.args.push_back(Arg::i32(q_.block));
    for (Arg& arg : args) l.args.push_back(std::move(arg));
    l.global = range.global, l.local = range.local;
    l.flops = 2.0 * static_cast<double>(p.m) * static_cast<double>(p.n) * static_cast<double>(p.k);
    builder.launch(std::move(l));
  }
  bool links_epilogue() const override { return true; }

 private:
  GemmConfig choose(const Profile& profile, std::int64_t m, std::int32_t dtype) const {
    GemmConfig c = choose_gemm(profile, Compute::f32, q_.columns, m, q_.k);
    if (c.skeleton != GemmConfig::Skeleton::registers) {
      c = {};
      c.columns = q_.columns;
      c.vector = c.item_columns = 4;
      c.group = static_cast<int>(std::min<std::uint64_t>(profile.max_group, 64));
      c.rows = m <= 1 ? 1 : 4;
      while (c.columns / c.item_columns > c.group) c.item_columns *= 2;
    }
    c.a = dtype;
    c.b = TENON_DTYPE_UINT8;
    c.bits = q_.bits;
    return c;
  }

  QuantizedB q_;
  Weight weights_, scales_;
};

Support supports(const Node& node, const Profile& profile) {
  if (!node.input(in_a) || !node.input(in_b) || !node.input(in_scales)) return Support::no(TENON_REJECT_OTHER, "A, B and scales are expected");
  if (Support s = plain_types(node, profile); s.reason) return s;
  const std::int64_t bits = node.integer("bits", 4), block = node.integer("block_size", 32), k = node.integer("K", -1), n = node.integer("N", -1);
  if (bits != 2 && bits != 4 && bits != 8) return Support::no(TENON_REJECT_ATTRIBUTE, "bits is none of 2, 4, 8");
  if (block < 16 || (block & (block - 1)) != 0 || block > 65536) return Support::no(TENON_REJECT_ATTRIBUTE, "block_size is no power of two from 16");
  if (k < 1 || n < 1 || k > (std::int64_t{1} << 30) || n > (std::int64_t{1} << 30)) return Support::no(TENON_REJECT_ATTRIBUTE, "K or N is out of range");
  const auto floating = [](const tenon_value* v) { return v->dtype == TENON_DTYPE_FLOAT || v->dtype == TENON_DTYPE_FLOAT16; };
  if (!floating(node.input(in_a)) || !floating(node.input(in_scales)) || node.input(in_b)->dtype != TENON_DTYPE_UINT8)
    return Support::no(TENON_REJECT_DTYPE, "A and scales of float32 or float16 and B of uint8 are expected");
  if (node.input(in_a)->rank < 1) return Support::no(TENON_REJECT_RANK, "a scalar is no matrix");
  if (!is_constant(node.input(in_b)) || !is_constant(node.input(in_scales)) || (node.input(in_zeros) && !is_constant(node.input(in_zeros))))
    return Support::no(TENON_REJECT_OTHER, "B, its scales and zero points must be constants");
  if (const tenon_value* zeros = node.input(in_zeros); zeros && zeros->dtype != TENON_DTYPE_UINT8 && !floating(zeros)) return Support::no(TENON_REJECT_DTYPE, "zero points of " + dtype_text(zeros->dtype));
  if (node.input(in_groups)) return Support::no(TENON_REJECT_OTHER, "g_idx is not taken");
  return Support::yes();
}

double flops(const Node& node) { return 2 * opt_count(*node.output(0)) * static_cast<double>(node.integer("K", 1)); }

std::unique_ptr<Op> make(const Node& node, CompileContext& context) { return std::make_unique<MatMulNBitsOp>(node, context); }

}  // namespace

std::span<const OpRow> matmul_nbits_rows() {
  static const OpRow rows[] = {{"com.microsoft", "MatMulNBits", supports, make, flops}};
  return rows;
}

}  // namespace tenon::opencl
