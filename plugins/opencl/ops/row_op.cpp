#include "plugins/opencl/ops/row_op.h"

namespace tenon::opencl {
namespace {

// t as another view of the same elements, row-major among themselves.
Tensor viewed(PlanBuilder& builder, const Tensor& t, const Dims& dims) {
  if (t.dims == dims) return t;
  Tensor view;
  if (!reshaped(t, dims, view)) reshaped(builder.dense(t), dims, view);
  view.known = nullptr;
  return view;
}

}  // namespace

Layout RowOp::input_layout(PlanBuilder& builder, const Dims& dims) const {
  for (const Expression::Node& n : prologue_.nodes) {
    if (n.kind != Expression::Kind::load) continue;
    const Tensor& t = builder.in(n.slot);
    if (t.dims == dims && row_layout(t) == Layout::channels_last) return Layout::channels_last;
  }
  return Layout::dense;
}

void RowOp::launch(PlanBuilder& builder, Rows rows, std::vector<Tensor> operands) const {
  const Dims& dims = builder.out_shape(0).dims;
  // The prologue's operands stand behind the program's own, its first one in slot 0.
  Expression prologue = prologue_;
  rows.inputs = {Tensor{}};
  for (Tensor& t : operands) rows.inputs.push_back(broadcast(t, rows.dims));
  bool first = true;
  for (Expression::Node& n : prologue.nodes) {
    if (n.kind != Expression::Kind::load) continue;
    const Tensor t = viewed(builder, broadcast(builder.in(n.slot), dims), rows.dims);
    if (first) rows.inputs[0] = t, n.slot = 0;
    else rows.inputs.push_back(t), n.slot = static_cast<std::uint32_t>(rows.inputs.size() - 1);
    first = false;
  }
  if (first) throw Failure{TENON_UNSUPPORTED_SHAPE, "rows of nothing but constants"};
  if (prologue.nodes.size() > 1) rows.program.replace(0, prologue);
  // The epilogue takes what the output is computed in.
  Expression& e = rows.program.finish;
  const std::int32_t out = builder.out_shape(0).dtype;
  if (rows.linked && compute_of(e.nodes[e.outputs[0]].dtype) != compute_of(out)) e.outputs[0] = e.cast(out, e.outputs[0]);
  launch_rows(builder, std::move(rows));
}

}  // namespace tenon::opencl
