// MatMulInteger and QLinearMatMul: products of bytes, exact in int32, requantized where the operator says so.
#include "plugins/opencl/families.h"
#include "plugins/opencl/ops/gemm_product.h"
#include "plugins/opencl/ops/gemm_requantize.h"
#include "plugins/opencl/ops/matmul.h"

namespace tenon::opencl {
namespace {

// Where an operator has its inputs; A is input 0.
struct ByteInputs {
  std::size_t a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero;
  bool scaled;
};
constexpr ByteInputs integer_inputs{0, 2, 1, 0, 3, 0, 0, false}, linear_inputs{1, 2, 3, 4, 5, 6, 7, true};

class ByteMatMulOp final : public Op {
 public:
  ByteMatMulOp(const Node& node, const ByteInputs& in, CompileContext& context) : in_(in), packed_(pack_constant_b(node, in.b, false, context)) {}

  void plan(PlanBuilder& builder) const override {
    Product product;
    product.a = as_matrix(builder.in(0), true);
    product.b = as_matrix(builder.in(in_.b), false);
    product.packed = packed_;
    product.bytes = true;
    product.a_zero = builder.in(in_.a_zero);
    product.b_zero = builder.in(in_.b_zero);
    const Tensor out = builder.out_shape(0);
    const std::int64_t rank = out.rank();
    const bool rows = builder.in(0).rank() > 1, columns = builder.in(in_.b).rank() > 1;
    const auto batch_axes = static_cast<std::size_t>(rank - (rows ? 1 : 0) - (columns ? 1 : 0));
    product.batch.assign(out.dims.begin(), out.dims.begin() + static_cast<std::ptrdiff_t>(batch_axes));
    const PlannedProduct planned(builder, product);
    const TileSpace space = planned.space(batch_axes, rows ? static_cast<std::int64_t>(batch_axes) : -1, columns ? rank - 1 : -1);
    if (!in_.scaled) {
      const LinkedEpilogue linked = builder.link(space, planned.accumulator());
      return planned.launch(builder, *linked.text, linked.args, "matmul_integer");
    }
    const auto scale = [&](std::size_t i, std::int64_t many, const char* what) {
      const Tensor& t = builder.in(i);
      if (t.count() != 1 && t.count() != many)
        throw Failure{TENON_UNSUPPORTED_SHAPE, std::string(what) + " has " + std::to_string(t.count()) + " elements, expected 1" + (many == 1 ? "" : " or " + std::to_string(many))};
      return builder.dense(t);
    };
    const LinkedEpilogue linked = builder.link(space, out.dtype);
    const GemmRequantize epilogue(linked.text,
                                  {scale(in_.a_scale, 1, "the scale of the first operand"), scale(in_.b_scale, product.packed.weight.present() ? packed_.dims.back() : product.b.dim(-1), "the scale of the second operand"),
                                   scale(in_.y_scale, 1, "the scale of the output"), scale(in_.y_zero, 1, "the zero point of the output")},
                                  out.dtype);
    std::vector<Arg> args = epilogue.args();
    args.insert(args.end(), linked.args.begin(), linked.args.end());
    planned.launch(builder, epilogue, std::move(args), "matmul_quantized");
  }
  bool links_epilogue() const override { return true; }

 private:
  ByteInputs in_;
  PackedB packed_;
};

bool is_byte(std::int32_t dtype) { return dtype == TENON_DTYPE_UINT8 || dtype == TENON_DTYPE_INT8; }

template <const ByteInputs& in>
Support supports(const Node& node, const Profile& profile) {
  if (node.input_count() < (in.scaled ? 8 : 2) || !node.input(0) || !node.input(in.b)) return Support::no(TENON_REJECT_OTHER, "inputs are missing");
  if (Support s = plain_types(node, profile); s.reason) return s;
  for (const std::size_t i : {std::size_t{0}, in.b, in.a_zero, in.b_zero})
    if (node.input(i) && !is_byte(node.input(i)->dtype)) return Support::no(TENON_REJECT_DTYPE, "input " + std::to_string(i) + " is " + dtype_text(node.input(i)->dtype) + ", expected int8 or uint8");
  if (in.scaled && !is_byte(node.output(0)->dtype)) return Support::no(TENON_REJECT_DTYPE, "the output is " + dtype_text(node.output(0)->dtype));
  for (const std::size_t i : {std::size_t{0}, in.b})
    if (node.input(i)->rank < 1) return Support::no(TENON_REJECT_RANK, "a scalar is no matrix");
  for (const std::size_t i : {in.a_zero, in.b_zero})
    if (node.input(i) && node.input(i)->rank > 1) return Support::no(TENON_REJECT_RANK, "zero points of single matrices of a batch");
  return Support::yes();
}

template <const ByteInputs& in>
double flops(const Node& node) {
  return 2 * opt_count(*node.output(0)) * opt_dim(*node.input(0), -1);
}

template <const ByteInputs& in>
std::unique_ptr<Op> make(const Node& node, CompileContext& context) {
  return std::make_unique<ByteMatMulOp>(node, in, context);
}

}  // namespace

std::span<const OpRow> matmul_integer_rows() {
  static const OpRow rows[] = {
      {"", "MatMulInteger", supports<integer_inputs>, make<integer_inputs>, flops<integer_inputs>},
      {"", "QLinearMatMul", supports<linear_inputs>, make<linear_inputs>, flops<linear_inputs>},
  };
  return rows;
}

}  // namespace tenon::opencl
