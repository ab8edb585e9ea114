// Norms with a factor for each channel: BatchNormalization, InstanceNormalization, GroupNormalization; and those without factors:
// LpNormalization, MeanVarianceNormalization.
#include "plugins/opencl/ops/norm_family.h"
#include "plugins/opencl/ops/row_op.h"
#include "plugins/opencl/ops/row_program.h"

namespace tenon::opencl {
namespace {

using Reduce = RowProgram::Reduce;

// Appends sum, mean, sum of squares about it: steps 0 to 2.
void centered_steps(RowProgram& program, std::int32_t dtype, std::int32_t type) {
  RowWriter sum(type), mean(type), w(type);
  program.steps.push_back({Reduce::sum, sum.result(sum.operand(0, dtype))});
  program.steps.push_back({Reduce::none, mean.result(mean.div(mean.step(0), mean.count()))});
  const auto centered = w.sub(w.element(0), w.step(1));
  program.steps.push_back({Reduce::sum, w.result(w.mul(centered, centered))});
}

// [C] along axis 1 of dims.
Tensor by_channel(const Tensor& t, const Dims& dims) {
  if (t.rank() != 1 || dims.size() < 2 || t.dims[0] != dims[1]) throw Failure{TENON_INVALID_ARGUMENT, "a factor of a channel norm needs one number for each channel"};
  Tensor out = t;
  out.known = nullptr;
  out.dims.assign(dims.size(), 1);
  out.strides.assign(dims.size(), 0);
  out.dims[1] = t.dims[0];
  out.strides[1] = t.strides[0];
  return broadcast(out, dims);
}

// y = (x - mean) / sqrt(variance + epsilon) * scale + bias with given statistics: rows without a reduction.
class BatchNormOp final : public RowOp {
 public:
  explicit BatchNormOp(const Node& node) : RowOp(node.input(0)->dtype) {
    const std::int32_t dtype = node.input(0)->dtype, type = RowWriter::statistics_type(dtype);
    // Once a channel: a = scale / deviation, b = bias - mean * a.
    RowWriter factor(type), shift(type), w(type);
    const auto deviation = factor.call("sqrt", {factor.add(factor.operand(4, node.input(4)->dtype), factor.number(node.number("epsilon", 1e-5f)))});
    program_.steps.push_back({Reduce::none, factor.result(factor.div(factor.operand(1, node.input(1)->dtype), deviation))});
    program_.steps.push_back({Reduce::none, shift.result(shift.sub(shift.operand(2, node.input(2)->dtype), shift.mul(shift.operand(3, node.input(3)->dtype), shift.step(0))))});
    program_.finish = w.result(w.add(w.mul(w.operand(0, dtype), w.step(0)), w.step(1)));
  }

  void plan(PlanBuilder& builder) const override {
    Rows rows;
    rows.name = "BatchNormalization";
    rows.program = program_;
    rows.dims = builder.out_shape(0).dims;
    rows.reduced.assign(rows.dims.size(), true);
    rows.reduced[0] = rows.reduced[1] = false;
    rows.layout = input_layout(builder, rows.dims);
    std::vector<Tensor> factors;
    for (std::size_t i = 1; i < 5; ++i) factors.push_back(by_channel(builder.in(i), rows.dims));
    launch(builder, std::move(rows), std::move(factors));
  }

 private:
  RowProgram program_;
};

class GroupNormOp final : public RowOp {
 public:
  // groups 0: one for each channel.
  GroupNormOp(const Node& node, std::int64_t groups) : RowOp(node.input(0)->dtype), groups_(groups) {
    const std::int32_t dtype = node.input(0)->dtype, type = RowWriter::statistics_type(dtype);
    centered_steps(program_, dtype, type);
    RowWriter once(type), w(type);
    const auto variance = once.add(once.div(once.step(2), once.count()), once.number(node.number("epsilon", 1e-5f)));
    program_.steps.push_back({Reduce::none, once.result(once.div(once.number(1), once.call("sqrt", {variance})))});
    const auto normal = w.mul(w.sub(w.element(0), w.step(1)), w.step(3));
    program_.finish = w.result(w.add(w.mul(normal, w.operand(1, node.input(1)->dtype)), w.operand(2, node.input(2)->dtype)));
  }

  void plan(PlanBuilder& builder) const override {
    const Dims& dims = builder.out_shape(0).dims;
    if (dims.size() < 2) throw Failure{TENON_INVALID_ARGUMENT, "a normalization over channels needs at least two dimensions"};
    Rows rows;
    rows.name = "GroupNormalization";
    rows.program = program_;
    rows.layout = input_layout(builder, dims);
    const std::int64_t channels = dims[1], groups = groups_ > 0 ? groups_ : channels;
    if (groups != 0 && channels % groups != 0) throw Failure{TENON_INVALID_ARGUMENT, "the channels do not divide into num_groups groups"};
    if (groups == channels || groups == 0) {
      rows.dims = dims;
      rows.reduced.assign(dims.size(), true);
      rows.reduced[0] = rows.reduced[1] = false;
      launch(builder, std::move(rows), {by_channel(builder.in(1), dims), by_channel(builder.in(2), dims)});
      return;
    }
    // [N, groups, channels of a group, space]
    std::int64_t space = 1;
    for (std::size_t a = 2; a < dims.size(); ++a) space *= dims[a];
    const std::int64_t each = channels / groups;
    rows.dims = {dims[0], groups, each, space};
    rows.reduced = {false, false, true, true};
    Rows::View& view = rows.view.emplace();
    view.space.layout = rows.layout;
    view.space.batch = {0};
    view.split = groups;
    view.b = "row / split";
    std::vector<std::int64_t> spatial;
    for (std::size_t a = 2; a < dims.size(); ++a) spatial.push_back(static_cast<std::int64_t>(a));
    if (rows.layout == Layout::channels_last || space == 1) {
      view.strides = {channels * space, each, 1, channels};
      view.space.rows = spatial, view.space.cols = {1};
      view.r = "j", view.c = "row % split * n1 + i";
    } else {
      view.strides = {channels * space, each * space, space, 1};
      view.space.rows = {1}, view.space.cols = spatial;
      view.r = "row % split * n0 + j", view.c = "i";
    }
    const auto factor = [&](const Tensor& t) {
      if (t.rank() != 1 || (t.dims[0] != channels && t.dims[0] != groups)) throw Failure{TENON_INVALID_ARGUMENT, "scale and bias must have one number for each channel or group"};
      Tensor out = t;
      out.known = nullptr;
      out.dims = rows.dims;
      out.strides = t.dims[0] == channels ? Dims{0, each * t.strides[0], t.strides[0], 0} : Dims{0, t.strides[0], 0, 0};
      return out;
    };
    std::vector<Tensor> factors{factor(builder.in(1)), factor(builder.in(2))};
    launch(builder, std::move(rows), std::move(factors));
  }

 private:
  std::int64_t groups_;
  RowProgram program_;
};

// Along one axis, or over several, without factors.
class PlainNormOp final : public RowOp {
 public:
  PlainNormOp(const Node& node, bool lp) : RowOp(node.input(0)->dtype), lp_(lp) {
    const std::int32_t dtype = node.input(0)->dtype, type = RowWriter::statistics_type(dtype);
    if (lp) {
      axes_ = {node.integer("axis", -1)};
      const bool absolute = node.integer("p", 2) == 1;
      RowWriter w(type), once(type), last(type);
      const auto x = w.operand(0, dtype);
      program_.steps.push_back({Reduce::sum, w.result(absolute ? w.call("abs", {x}) : w.mul(x, x))});
      const auto norm = absolute ? once.step(0) : once.call("sqrt", {once.step(0)});
      const auto empty = once.e.call("eq", TENON_DTYPE_BOOL, {norm, once.number(0)});
      // A row of zeros stays one.
      program_.steps.push_back({Reduce::none, once.result(once.call("where", {empty, once.number(1), norm}))});
      program_.finish = last.result(last.div(last.operand(0, dtype), last.step(1)));
      return;
    }
    axes_ = node.integers("axes");
    if (axes_.empty()) axes_ = {0, 2, 3};
    centered_steps(program_, dtype, type);
    RowWriter once(type), w(type);
    const auto deviation = once.call("sqrt", {once.div(once.step(2), once.count())});
    program_.steps.push_back({Reduce::none, once.result(once.div(once.number(1), once.add(deviation, once.number(1e-9))))});
    program_.finish = w.result(w.mul(w.sub(w.element(0), w.step(1)), w.step(3)));
  }

  void plan(PlanBuilder& builder) const override {
    Rows rows;
    rows.name = lp_ ? "LpNormalization" : "MeanVarianceNormalization";
    rows.program = program_;
    rows.dims = builder.out_shape(0).dims;
    const auto rank = static_cast<std::int64_t>(rows.dims.size());
    rows.reduced.assign(rows.dims.size(), false);
    for (std::int64_t a : axes_) {
      if (a < -rank || a >= rank) throw Failure{TENON_INVALID_ARGUMENT, "axis " + std::to_string(a) + " of " + std::to_string(rank) + " axes"};
      rows.reduced[static_cast<std::size_t>(a < 0 ? a + rank : a)] = true;
    }
    rows.layout = input_layout(builder, rows.dims);
    launch(builder, std::move(rows), {});
  }

 private:
  bool lp_;
  std::vector<std::int64_t> axes_;
  RowProgram program_;
};

Support floats(const Node& node, const Profile&) {
  for (std::size_t i = 0; i < node.input_count(); ++i)
    if (node.input(i) && !is_floating(node.input(i)->dtype)) return Support::no(TENON_REJECT_DTYPE, "only floating types, not " + dtype_text(node.input(i)->dtype));
  return Support::yes();
}
Support batch_norm(const Node& node, const Profile& profile) {
  if (node.integer("training_mode", 0) != 0) return Support::no(TENON_REJECT_ATTRIBUTE, "statistics of the batch itself");
  if (node.input(0)->rank < 2) return Support::no(TENON_REJECT_RANK, "no axis of channels");
  for (std::size_t o = 1; o < node.output_count(); ++o)
    if (node.output(o)) return Support::no(TENON_REJECT_OTHER, "only the normalized tensor is made");
  if (node.input(0)->dtype != TENON_DTYPE_DOUBLE)
    for (std::size_t i = 1; i < 5; ++i)
      if (node.input(i)->dtype == TENON_DTYPE_DOUBLE && !profile.fp64) return Support::no(TENON_REJECT_DTYPE, "float64 statistics");
  return floats(node, profile);
}
Support groups(const Node& node, const Profile& profile) {
  if (node.integer("num_groups", 1) < 1) return Support::no(TENON_REJECT_ATTRIBUTE, "num_groups must be positive");
  return floats(node, profile);
}
Support lp(const Node& node, const Profile& profile) {
  const std::int64_t p = node.integer("p", 2);
  if (p != 1 && p != 2) return Support::no(TENON_REJECT_ATTRIBUTE, "p must be 1 or 2");
  return floats(node, profile);
}

double flops(const Node& node) { return 8 * opt_count(*node.input(0)); }

}  // namespace

std::span<const OpRow> channel_norm_rows() {
  static const OpRow rows[] = {
      {"", "BatchNormalization", batch_norm, [](const Node& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<BatchNormOp>(node); }, flops},
      {"", "InstanceNormalization", floats, [](const Node& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<GroupNormOp>(node, 0); }, flops},
      {"", "GroupNormalization", groups, [](const Node& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<GroupNormOp>(node, node.integer("num_groups", 1)); }, flops},
      {"", "LpNormalization", lp, [](const Node& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<PlainNormOp>(node, true); }, flops},
      {"", "MeanVarianceNormalization", floats, [](const Node& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<PlainNormOp>(node, false); }, flops},
  };
  return rows;
}

}  // namespace tenon::opencl
