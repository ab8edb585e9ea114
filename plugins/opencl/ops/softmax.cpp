// Softmax and LogSoftmax over any axis.
#include "plugins/opencl/families.h"
#include "plugins/opencl/ops/row_op.h"
#include "plugins/opencl/ops/row_program.h"

namespace tenon::opencl {
namespace {

using Reduce = RowProgram::Reduce;

class SoftmaxOp final : public RowOp {
 public:
  SoftmaxOp(const Node& node, bool log) : RowOp(node.input(0)->dtype), axis_(node.integer("axis", -1)), log_(log) {
    const std::int32_t dtype = node.input(0)->dtype, type = RowWriter::statistics_type(dtype);
    {
      RowWriter w(type);
      program_.steps.push_back({Reduce::max, w.result(w.operand(0, dtype))});
    }
    {
      RowWriter w(type);
      program_.steps.push_back({Reduce::sum, w.result(w.call("exp", {w.sub(w.operand(0, dtype), w.step(0))}))});
    }
    RowWriter once(type), w(type);
    if (log) {
      program_.steps.push_back({Reduce::none, once.result(once.call("log", {once.step(1)}))});
      program_.finish = w.result(w.sub(w.sub(w.operand(0, dtype), w.step(0)), w.step(2)));
    } else {
      program_.steps.push_back({Reduce::none, once.result(once.div(once.number(1), once.step(1)))});
      program_.finish = w.result(w.mul(w.element(1), w.step(2)));
    }
  }

  void plan(PlanBuilder& builder) const override {
    Rows rows;
    rows.name = log_ ? "LogSoftmax" : "Softmax";
    rows.program = program_;
    rows.dims = builder.out_shape(0).dims;
    rows.reduced.assign(rows.dims.size(), false);
    if (!rows.dims.empty()) rows.reduced[static_cast<std::size_t>(axis_ < 0 ? axis_ + static_cast<std::int64_t>(rows.dims.size()) : axis_)] = true;
    rows.layout = input_layout(builder, rows.dims);
    launch(builder, std::move(rows), {});
  }

 private:
  std::int64_t axis_;
  bool log_;
  RowProgram program_;
};

Support supports(const Node& node, const Profile&) {
  const tenon_value& x = *node.input(0);
  const std::int64_t axis = node.integer("axis", -1);
  if (!is_floating(x.dtype)) return Support::no(TENON_REJECT_DTYPE, "only floating types, not " + dtype_text(x.dtype));
  if (x.rank > 0 && (axis < -x.rank || axis >= x.rank)) return Support::no(TENON_REJECT_ATTRIBUTE, "axis " + std::to_string(axis) + " of " + std::to_string(x.rank) + " axes");
  return Support::yes();
}

double flops(const Node& node) { return 20 * opt_count(*node.output(0)); }

template <bool log>
std::unique_ptr<Op> make(const Node& node, CompileContext&) {
  return std::make_unique<SoftmaxOp>(node, log);
}

const OpRow rows[] = {
    {"", "Softmax", supports, make<false>, flops},
    {"", "LogSoftmax", supports, make<true>, flops},
};

}  // namespace

std::span<const OpRow> softmax_rows() { return rows; }

}  // namespace tenon::opencl
