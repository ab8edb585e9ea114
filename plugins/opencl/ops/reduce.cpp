// The Reduce operators: all of them are folds.
#include "plugins/opencl/ops/reduce.h"

#include "plugins/opencl/families.h"
#include "plugins/opencl/ops/movement.h"

namespace tenon::opencl {
namespace {

class ReduceOp final : public Op {
 public:
  ReduceOp(Reduction kind, const Node& node) : kind_(kind), noop_(node.integer("noop_with_empty_axes", 0) != 0), axes_(node.integers("axes")) {}

  void plan(PlanBuilder& b) const override {
    const Tensor& x = b.in(0);
    std::vector<std::int64_t> axes = axes_;
    if (b.in(1).present()) axes = known_integers(b.in(1), "axes");
    std::vector<bool> marks(x.dims.size(), axes.empty() && !noop_);
    for (std::int64_t a : axes)
      if (!marks.empty()) marks[static_cast<std::size_t>(front_axis(a, x.rank()))] = true;
    plan_reduction(b, kind_, x, marks, b.make_out(0));
  }

 private:
  Reduction kind_;
  bool noop_;
  std::vector<std::int64_t> axes_;
};

Support supports(const Node& node, const Profile& profile) {
  if (!is_floating(node.input(0)->dtype) && !profile.fp64) {
    const std::string_view op = node.op_type();
    if (op == "ReduceL2" || op == "ReduceLogSum" || op == "ReduceLogSumExp")
      return Support::no(TENON_REJECT_DTYPE, "roots and logarithms of integers need float64, which the device lacks");
  }
  if (node.input(0)->dtype == TENON_DTYPE_BOOL && node.op_type() != "ReduceMax" && node.op_type() != "ReduceMin")
    return Support::no(TENON_REJECT_DTYPE, "no arithmetic on bool");
  return known_inputs(node, {1});
}

template <Reduction kind>
std::unique_ptr<Op> make(const Node& node, CompileContext&) {
  return std::make_unique<ReduceOp>(kind, node);
}
double flops(const Node& node) { return opt_count(*node.input(0)); }

template <Reduction kind>
constexpr OpRow row(const char* name) {
  return {"", name, supports, make<kind>, flops};
}

const OpRow rows[] = {
    row<Reduction::sum>("ReduceSum"),
    row<Reduction::mean>("ReduceMean"),
    row<Reduction::max>("ReduceMax"),
    row<Reduction::min>("ReduceMin"),
    row<Reduction::prod>("ReduceProd"),
    row<Reduction::l1>("ReduceL1"),
    row<Reduction::l2>("ReduceL2"),
    row<Reduction::log_sum>("ReduceLogSum"),
    row<Reduction::log_sum_exp>("ReduceLogSumExp"),
    row<Reduction::sum_square>("ReduceSumSquare"),
};

}  // namespace

std::span<const OpRow> reduce_rows() { return rows; }

}  // namespace tenon::opencl
