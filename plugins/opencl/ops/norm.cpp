// LayerNormalization, RMSNormalization and their kin, with and without a residual.
#include "plugins/opencl/ops/norm_family.h"
#include "plugins/opencl/ops/row_op.h"
#include "plugins/opencl/ops/row_program.h"

namespace tenon::opencl {
namespace {

using Reduce = RowProgram::Reduce;

// Where an operator keeps its operands; -1: it has none.
struct LayerForm {
  bool rms;
  int skip, scale, shift, bias;  // inputs
  int mean, inverse, sum;        // outputs
};

constexpr LayerForm layer_form{false, -1, 1, 2, -1, 1, 2, -1};
constexpr LayerForm rms_form{true, -1, 1, -1, -1, -1, -1, -1};
constexpr LayerForm simplified_form{true, -1, 1, -1, -1, -1, 1, -1};
constexpr LayerForm skip_form{false, 1, 2, 3, 4, 1, 2, 3};
constexpr LayerForm skip_simplified_form{true, 1, 2, -1, 3, 1, 2, 3};

class LayerNormOp final : public RowOp {
 public:
  LayerNormOp(const LayerForm& form, const Node& node)
      : RowOp(node.input(0)->dtype), form_(form), axis_(node.integer("axis", -1)), type_(RowWriter::statistics_type(node.input(0)->dtype)),
        wants_sum_(form.sum >= 0 && node.output(static_cast<std::size_t>(form.sum))) {
    const std::int32_t dtype = node.input(0)->dtype, type = type_;
    const double epsilon = node.number("epsilon", form.skip >= 0 ? 1e-12f : 1e-5f);
    // Slot 0 is x, then those of skip, bias, scale, shift that are there.
    for (int input : {form.skip, form.bias, form.scale, form.shift})
      if (input >= 0 && node.input(static_cast<std::size_t>(input))) operands_.push_back(static_cast<std::size_t>(input));
    const auto slot = [&](int input) -> std::uint32_t {
      for (std::size_t i = 0; i < operands_.size(); ++i)
        if (input >= 0 && operands_[i] == static_cast<std::size_t>(input)) return static_cast<std::uint32_t>(i + 1);
      return 0;
    };
    const auto read = [&](RowWriter& w, int input) { return w.operand(slot(input), node.input(static_cast<std::size_t>(input))->dtype); };
    const auto x = [&](RowWriter& w) {
      RowWriter::Id v = w.operand(0, dtype);
      if (slot(form.skip)) v = w.add(v, read(w, form.skip));
      if (slot(form.bias)) v = w.add(v, read(w, form.bias));
      return v;
    };
    // Steps: sum, mean, sum of squares about it, one over the deviation; without the mean the last two alone.
    std::size_t square = 0;
    if (!form.rms) {
      RowWriter sum(type), mean(type), w(type);
      program_.steps.push_back({Reduce::sum, sum.result(x(sum))});
      program_.steps.push_back({Reduce::none, mean.result(mean.div(mean.step(0), mean.count()))});
      const auto centered = w.sub(w.element(0), w.step(1));
      program_.steps.push_back({Reduce::sum, w.result(w.mul(centered, centered))});
      square = 2;
    } else {
      RowWriter w(type);
      const auto v = x(w);
      program_.steps.push_back({Reduce::sum, w.result(w.mul(v, v))});
    }
    RowWriter once(type);
    const auto variance = once.add(once.div(once.step(square), once.count()), once.number(epsilon));
    program_.steps.push_back({Reduce::none, once.result(once.div(once.number(1), once.call("sqrt", {variance})))});
    RowWriter w(type);
    const auto sum = form.rms ? x(w) : w.element(0);
    auto v = form.rms ? sum : w.sub(sum, w.step(1));
    v = w.mul(v, w.step(square + 1));
    if (slot(form.scale)) v = w.mul(v, read(w, form.scale));
    if (slot(form.shift)) v = w.add(v, read(w, form.shift));
    program_.finish = w.result(v);
    if (wants_sum_) program_.finish.outputs.push_back(sum);
    inverse_step_ = static_cast<std::uint32_t>(square + 1);
  }

  bool takes_prologue(std::size_t input) const override { return !wants_sum_ && RowOp::takes_prologue(input); }

  void plan(PlanBuilder& builder) const override {
    Rows rows;
    rows.name = "LayerNormalization";
    rows.program = program_;
    rows.dims = builder.out_shape(0).dims;
    const std::size_t rank = rows.dims.size();
    rows.reduced.assign(rank, false);
    const auto axis = static_cast<std::size_t>(axis_ < 0 ? axis_ + static_cast<std::int64_t>(rank) : axis_);
    for (std::size_t a = form_.skip >= 0 ? rank - 1 : axis; a < rank; ++a) rows.reduced[a] = true;
    rows.layout = input_layout(builder, rows.dims);
    const auto output = [&](int o) { return o >= 0 && static_cast<std::size_t>(o) < builder.outputs() && builder.out_shape(static_cast<std::size_t>(o)).present(); };
    if (wants_sum_) {
      if (output(form_.sum)) rows.outputs.push_back(builder.make_out(static_cast<std::size_t>(form_.sum), rows.layout));
      else rows.program.finish.outputs.resize(1);
    }
    if (output(form_.mean)) {
      // A norm without a mean has none to give: zero.
      RowWriter w(type_);
      give(builder, rows, form_.mean, form_.rms ? w.result(w.number(0)) : w.result(w.step(1)));
    }
    if (output(form_.inverse)) {
      RowWriter w(type_);
      give(builder, rows, form_.inverse, w.result(w.step(inverse_step_)));
    }
    std::vector<Tensor> operands;
    for (std::size_t input : operands_) operands.push_back(builder.in(input));
    launch(builder, std::move(rows), std::move(operands));
  }

 private:
  // One more step, in the type of the output that it becomes.
  static void give(PlanBuilder& builder, Rows& rows, int output, Expression value) {
    const Tensor to = builder.make_out(static_cast<std::size_t>(output));
    if (compute_of(value.nodes[value.outputs[0]].dtype) != compute_of(to.dtype)) value.outputs[0] = value.cast(to.dtype, value.outputs[0]);
    rows.program.row_outputs.push_back(static_cast<std::uint32_t>(rows.program.steps.size()));
    rows.program.steps.push_back({Reduce::none, std::move(value)});
    rows.row_outputs.push_back(to);
  }

  LayerForm form_;
  std::int64_t axis_;
  std::int32_t type_;
  bool wants_sum_;
  std::vector<std::size_t> operands_;  // inputs, by slot from 1 on
  RowProgram program_;
  std::uint32_t inverse_step_ = 0;
};

template <const LayerForm& form>
std::unique_ptr<Op> make(const Node& node, CompileContext&) {
  return std::make_unique<LayerNormOp>(form, node);
}

template <const LayerForm& form>
Support supports(const Node& node, const Profile&) {
  const tenon_value& x = *node.input(0);
  if (!is_floating(x.dtype)) return Support::no(TENON_REJECT_DTYPE, "only floating types, not " + dtype_text(x.dtype));
  if (!node.output(0)) return Support::no(TENON_REJECT_OTHER, "the normalized tensor is omitted");
  if (x.rank == 0) return Support::no(TENON_REJECT_RANK, "a scalar has no rows");
  for (int i : {form.skip, form.scale, form.shift, form.bias}) {
    const tenon_value* v = i >= 0 ? node.input(static_cast<std::size_t>(i)) : nullptr;
    if (v && !is_floating(v->dtype)) return Support::no(TENON_REJECT_DTYPE, "only floating types, not " + dtype_text(v->dtype));
    if (v && v->rank > x.rank) return Support::no(TENON_REJECT_RANK, "input " + std::to_string(i) + " has more axes than input 0");
  }
  for (int o : {form.mean, form.inverse}) {
    const tenon_value* v = o >= 0 ? node.output(static_cast<std::size_t>(o)) : nullptr;
    if (v && !is_floating(v->dtype)) return Support::no(TENON_REJECT_DTYPE, "statistics of " + dtype_text(v->dtype));
  }
  const std::int64_t axis = node.integer("axis", -1);
  if (axis < -x.rank || axis >= x.rank) return Support::no(TENON_REJECT_ATTRIBUTE, "axis " + std::to_string(axis) + " of " + std::to_string(x.rank) + " axes");
  return Support::yes();
}

double flops(const Node& node) { return 10 * opt_count(*node.input(0)); }

}  // namespace

std::span<const OpRow> layer_norm_rows() {
  static const OpRow rows[] = {
      {"", "LayerNormalization", supports<layer_form>, make<layer_form>, flops},
      {"", "RMSNormalization", supports<rms_form>, make<rms_form>, flops},
      {"", "SimplifiedLayerNormalization", supports<simplified_form>, make<simplified_form>, flops},
      {"com.microsoft", "SimplifiedLayerNormalization", supports<simplified_form>, make<simplified_form>, flops},
      {"com.microsoft", "SkipLayerNormalization", supports<skip_form>, make<skip_form>, flops},
      {"com.microsoft", "SkipSimplifiedLayerNormalization", supports<skip_simplified_form>, make<skip_simplified_form>, flops},
  };
  return rows;
}

std::span<const OpRow> norm_rows() {
  static const std::vector<OpRow> rows = [] {
    std::vector<OpRow> all;
    for (const auto family : {layer_norm_rows, channel_norm_rows, lrn_rows}) {
      const std::span<const OpRow> some = family();
      all.insert(all.end(), some.begin(), some.end());
    }
    return all;
  }();
  return rows;
}

}  // namespace tenon::opencl
