// Transpose: reads blocked inputs as they are, and writes a blocked output where NHWC becomes NCHW.
#include <algorithm>

#include "plugins/cpu/ops/movement.h"
#include "plugins/cpu/ops/strided_copy.h"

namespace tenon::cpu {
namespace {

class TransposeOp final : public Op {
 public:
  explicit TransposeOp(const NodeView& node) {
    const auto perm = node.ints("perm");
    perm_.assign(perm.begin(), perm.end());
    reversed_ = node.attribute("perm") == nullptr;
    if (node.rank(0) == 4 && node.dtype(0) == TENON_DTYPE_FLOAT) channels_ = node.input(0).dims[3];
  }

  std::int32_t layout(std::span<std::int32_t> inputs, std::int32_t machine_block) override {
    if (machine_block == 0 || inputs[0] != 0 || channels_ <= 0 || channels_ % machine_block) return 0;
    static constexpr std::int64_t to_channels_first[] = {0, 3, 1, 2};
    return std::equal(perm_.begin(), perm_.end(), std::begin(to_channels_first), std::end(to_channels_first)) ? machine_block : 0;
  }

  void plan(PlanBuilder& b) const override {
    const Shape &x = b.in(0), &y = b.out(0);
    const std::int64_t rank = x.rank();
    std::vector<std::int64_t> perm = perm_;
    if (reversed_)
      for (std::int64_t i = rank; i-- > 0;) perm.push_back(i);
    check(perm, rank);
    const PlanList<std::int64_t> x_dims = memory_dims(x), y_dims = memory_dims(y), x_strides = dense_strides(x_dims),
                                 y_strides = dense_strides(y_dims);
    std::vector<std::int64_t> dims, src, dst;
    for (std::int64_t o = 0; o < rank; ++o) {
      const std::size_t to = static_cast<std::size_t>(o), from = static_cast<std::size_t>(perm[to]);
      const std::int64_t block = x.block && from == 1 ? x.block : y.block && to == 1 ? y.block : 0;
      if (!block) {
        dims.push_back(x.dims[from]), src.push_back(x_strides[from]), dst.push_back(y_strides[to]);
        continue;
      }
      // One side keeps its channels in blocks, the other has them at an even stride.
      const bool x_blocked = x.block && from == 1, y_blocked = y.block && to == 1;
      dims.push_back(x.dims[from] / block), dims.push_back(block);
      src.push_back(x_blocked ? x_strides[1] : x_strides[from] * block), src.push_back(x_blocked ? 1 : x_strides[from]);
      dst.push_back(y_blocked ? y_strides[1] : y_strides[to] * block), dst.push_back(y_blocked ? 1 : y_strides[to]);
    }
    const CopyPiece piece{strided_copy(b, element_of(x.dtype), dims, src, dst), b.in_ref(0), b.out_ref(0)};
    emit_copies(b, "transpose", {&piece, 1});
  }

 private:
  static void check(const std::vector<std::int64_t>& perm, std::int64_t rank) {
    std::vector<bool> seen(static_cast<std::size_t>(rank), false);
    bool good = static_cast<std::int64_t>(perm.size()) == rank;
    for (std::size_t i = 0; good && i < perm.size(); ++i) {
      good = perm[i] >= 0 && perm[i] < rank && !seen[static_cast<std::size_t>(perm[i])];
      if (good) seen[static_cast<std::size_t>(perm[i])] = true;
    }
    if (!good) throw Failure{TENON_INVALID_ARGUMENT, "perm is no permutation of " + std::to_string(rank) + " axes"};
  }

  std::vector<std::int64_t> perm_;
  bool reversed_ = false;
  std::int64_t channels_ = 0;
};

constexpr OpRow rows[] = {
    {"", "Transpose", any_type,
     [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<TransposeOp>(node); }},
};

}  // namespace

std::span<const OpRow> transpose_rows() { return rows; }

}  // namespace tenon::cpu
