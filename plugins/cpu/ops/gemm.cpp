// Gemm: MatMulOp with two dims, factors and a third operand.
#include "plugins/cpu/ops/matmul.h"

namespace tenon::cpu {

Support supports_gemm(const NodeView& node) {
  if (node.input_count() < 2 || !node.has_input(0) || !node.has_input(1)) return Support::no(TENON_REJECT_OTHER, "two inputs are expected");
  if (!gemm::reference_takes(node.dtype(0))) return Support::no(TENON_REJECT_DTYPE, "no product of this type");
  for (std::uint32_t i = 0; i < 3; ++i) {
    if (!node.has_input(i)) continue;
    if (node.dtype(i) != node.dtype(0)) return Support::no(TENON_REJECT_DTYPE, "operands of different types");
    if (i < 2 && node.rank(i) >= 0 && node.rank(i) != 2) return Support::no(TENON_REJECT_RANK, "a matrix has two dims");
    if (i == 2 && node.rank(i) > 2) return Support::no(TENON_REJECT_RANK, "C has at most two dims");
  }
  return Support::yes();
}

std::unique_ptr<Op> make_gemm(const NodeView& node, CompileContext& context) {
  return std::make_unique<MatMulOp>(node, context, MatMulOp::Kind::gemm);
}

}  // namespace tenon::cpu
