#include "plugins/opencl/codegen/linked_epilogue.h"
#include "plugins/opencl/planner.h"

namespace tenon::opencl {
namespace {

// The stride with which a group of axes is walked as one, outermost first; false where no single stride does it.
bool joint_stride(const Tensor& t, const std::vector<std::int64_t>& axes, std::int64_t& stride) {
  stride = 0;
  bool first = true;
  std::int64_t size = 1;
  for (std::size_t i = axes.size(); i-- > 0;) {
    const auto a = static_cast<std::size_t>(axes[i]);
    if (t.dims[a] == 1) continue;
    if (first) stride = t.strides[a];
    else if (t.strides[a] != stride * size) return false;
    first = false;
    size *= t.dims[a];
  }
  return true;
}

}  // namespace

LinkedEpilogue Planner::link(const TileSpace& space, std::int32_t accumulator) {
  LinkedEpilogue out;
  std::vector<Tensor> outs{make_out(0, space.layout)};
  out.dims = outs[0].dims;
  Expression e = unit_->epilogue;
  if (e.nodes.empty()) {
    // What the op makes may be computed in another type than it is stored in.
    const std::uint32_t acc = e.load(0, accumulator);
    e.outputs = {e.cast(outs[0].dtype, acc)};
  } else {
    const std::int32_t raw = program_.values[unit_->raw].dtype;
    for (Expression::Node& n : e.nodes)
      if (n.kind == Expression::Kind::load && n.slot == 0 && compute_of(n.dtype) == compute_of(accumulator)) n.dtype = raw;
  }
  std::vector<ExpressionEpilogue::Operand> outputs, operands;
  std::vector<Arg> strides;
  const auto describe = [&](Tensor t, bool output) {
    std::int64_t b = 0, r = 0, c = 0;
    if (!joint_stride(t, space.batch, b) || !joint_stride(t, space.rows, r) || !joint_stride(t, space.cols, c)) {
      if (output) throw Failure{TENON_INTERNAL, "an output whose axes cannot be walked together"};
      // Spread over the whole output, once.
      Tensor full = temp(t.dtype, outs[0].dims, space.layout);
      copy(t, full);
      t = full;
      joint_stride(t, space.batch, b), joint_stride(t, space.rows, r), joint_stride(t, space.cols, c);
    }
    std::int64_t columns = 1;
    for (std::int64_t a : space.cols) columns *= outs[0].dims[static_cast<std::size_t>(a)];
    ExpressionEpilogue::Operand o{t.dtype, b != 0, r != 0, c == 0 && !(output || columns == 1) ? 0 : c == 1 || columns == 1 ? 1 : 2};
    (output ? outputs : operands).push_back(o);
    out.args.push_back(output ? Arg::out(t) : Arg::in(t));
    if (o.moves_b) out.args.push_back(Arg::i32(b));
    if (o.moves_r) out.args.push_back(Arg::i32(r));
    if (o.cols == 2) out.args.push_back(Arg::i32(c));
  };
  for (const Tensor& t : outs) describe(t, true);
  for (std::uint32_t v : unit_->epilogue_inputs) describe(broadcast(tensors_[v], outs[0].dims), false);
  out.text = std::make_shared<ExpressionEpilogue>(std::move(e), std::move(operands), std::move(outputs));
  return out;
}

}  // namespace tenon::opencl
