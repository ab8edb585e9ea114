// Conv: one to three spatial dims, groups, any float type.
#include <algorithm>
#include <optional>

#include "plugins/opencl/families.h"
#include "plugins/opencl/ops/conv_family.h"
#include "plugins/opencl/ops/conv_forms.h"
#include "plugins/opencl/ops/conv_window.h"

namespace tenon::opencl {

double conv_flops(const Node& node) {
  const tenon_value &w = *node.input(1), &y = *node.output(0);
  double flops = 2;
  for (std::int32_t d = 1; d < w.rank; ++d) flops *= opt_dim(w, d);
  return flops * opt_count(y);
}

ConvGeometry conv_geometry(const ConvWindow& window, std::int64_t groups, const Dims& x, const Dims& w, const Dims& y) {
  const std::size_t rank = static_cast<std::size_t>(window.spatial) + 2;
  require(x.size() == rank && w.size() == rank && y.size() == rank, "ranks of input, weights and output differ");
  require(w[0] % groups == 0, std::to_string(w[0]) + " output channels in " + std::to_string(groups) + " groups");
  require(x[1] == w[1] * groups, "the input has " + std::to_string(x[1]) + " channels, the weights " + std::to_string(w[1]) + " in each of " + std::to_string(groups) + " groups");
  require(y[0] == x[0] && y[1] == w[0], "the output has other channels than the weights");
  require(w[1] > 0, "there are no input channels");
  ConvGeometry g;
  g.n = x[0], g.groups = groups, g.ic = w[1], g.oc = w[0] / groups;
  for (int d = 0; d < window.spatial; ++d) {
    const auto i = static_cast<std::size_t>(d) + 2;
    require(window.kernel[d] == 0 || window.kernel[d] == w[i], "kernel_shape is not the weights' shape");
    ConvAxis& axis = window.axis(g, d);
    axis = window.resolve(d, x[i], w[i]);
    require(axis.out == y[i], "output dim " + std::to_string(i) + " is " + std::to_string(y[i]) + ", expected " + std::to_string(axis.out));
  }
  return g;
}

ConvGeometry weight_geometry(const Dims& w, std::int64_t groups) {
  require(w.size() >= 3 && w.size() <= 2 + kMaxSpatial && w[0] % groups == 0, "the weights' shape does not fit");
  ConvGeometry g;
  g.groups = groups, g.oc = w[0] / groups, g.ic = w[1];
  ConvAxis* axes[] = {&g.w, &g.h, &g.d};
  for (std::size_t d = w.size(); d-- > 2;) axes[w.size() - 1 - d]->kernel = w[d];
  return g;
}

Support supports_float_conv(const Node& node, const Profile& profile) {
  if (!node.input(0) || !node.input(1) || !node.output(0)) return Support::no(TENON_REJECT_OTHER, "an input or output is missing");
  if (Support s = plain_types(node, profile); s.reason) return s;
  if (!is_floating(node.input(0)->dtype)) return Support::no(TENON_REJECT_DTYPE, "float types only");
  for (std::size_t i = 1; i < 3; ++i)
    if (node.input(i) && node.input(i)->dtype != node.input(0)->dtype) return Support::no(TENON_REJECT_DTYPE, "inputs have different types");
  if (const std::int64_t groups = node.integer("group", 1); groups < 1 || groups > (1 << 30)) return Support::no(TENON_REJECT_ATTRIBUTE, "group is out of range");
  return supports_window(node);
}

namespace {

class Conv final : public Op {
 public:
  Conv(const Node& node, CompileContext& context) : groups_(node.integer("group", 1)), types_(ConvTypes::floating(node.input(0)->dtype)) {
    if (const std::string error = ConvWindow::read(node, node.input(0)->rank - 2, window_); !error.empty()) throw Failure{TENON_INVALID_ARGUMENT, error};
    const tenon_value *w = node.input(1), *bias = node.input(2);
    if (!is_constant(w) || (bias && !is_constant(bias))) return;
    const ConvGeometry g = weight_geometry(Dims(w->dims, w->dims + w->rank), groups_);
    if (g.oc <= 0 || g.ic <= 0 || g.taps() <= 0) return;
    require(!bias || (bias->rank == 1 && bias->dims[0] == w->dims[0]), "one bias for each output channel is expected");
    form_ = expects_winograd(node, context.profile(), g) ? ConvForm::make_winograd(context.profile(), types_, g) : ConvForm::make(context.profile(), types_, g);
    const std::size_t inputs[] = {1, 2};
    weight_ = context.packed(node, {inputs, bias ? 2u : 1u}, form_->id(), form_->bytes(),
                             [form = *form_](std::span<const tenon_const_tensor> from, void* out) { pack_on_host(form, from, out); });
  }

  bool links_epilogue() const override { return true; }

  void plan(PlanBuilder& b) const override {
    const Tensor &x = b.in(0), &w = b.in(1), &bias = b.in(2);
    const Dims& y = b.out_shape(0).dims;
    const ConvGeometry g = conv_geometry(window_, groups_, x.dims, w.dims, y);
    require(!bias.present() || (bias.rank() == 1 && bias.dim(0) == w.dim(0)), "one bias for each output channel is expected");
    const LinkedEpilogue epilogue = b.link(image_space(x.rank()), types_.compute == Compute::f64 ? TENON_DTYPE_DOUBLE : TENON_DTYPE_FLOAT);
    if (b.out_shape(0).count() == 0) return;
    if (form_) return launch_conv(b, *form_, g, x, Arg::weight(weight_), *epilogue.text, epilogue.args);
    const ConvForm form = ConvForm::make(b.profile(), types_, g);
    launch_conv(b, form, g, x, Arg::in(pack_on_device(b, form, w, bias, {})), *epilogue.text, epilogue.args);
  }

 private:
  // By the sizes that the graph has or expects; of others it is still right.
  bool expects_winograd(const Node& node, const Profile& profile, ConvGeometry g) const {
    const tenon_value& x = *node.input(0);
    if (types_.compute != Compute::f32 || window_.spatial != 2) return false;
    for (int d = 0; d < 2; ++d) {
      const double in = opt_dim(x, d + 2);
      if (in < 1 || in > (1 << 24)) return false;
      ConvAxis& axis = window_.axis(g, d);
      axis = window_.resolve(d, static_cast<std::int64_t>(in), axis.kernel);
    }
    g.n = std::max<std::int64_t>(1, static_cast<std::int64_t>(opt_dim(x, 0)));
    return suits_winograd(profile, g);
  }

  ConvWindow window_;
  std::int64_t groups_;
  ConvTypes types_;
  std::optional<ConvForm> form_;  // of constant weights
  Weight weight_;
};

std::unique_ptr<Op> make_conv(const Node& node, CompileContext& context) { return std::make_unique<Conv>(node, context); }

}  // namespace

std::span<const OpRow> dense_conv_rows() {
  static const OpRow rows[] = {{"", "Conv", supports_float_conv, make_conv, conv_flops}};
  return rows;
}

std::span<const OpRow> conv_rows() {
  static const std::vector<OpRow> all = [] {
    std::vector<OpRow> rows;
    for (const auto family : {dense_conv_rows, transposed_conv_rows, byte_conv_rows}) rows.insert(rows.end(), family().begin(), family().end());
    return rows;
  }();
  return all;
}

}  // namespace tenon::opencl
