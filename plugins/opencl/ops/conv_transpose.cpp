// ConvTranspose: one to three spatial dims, groups, any float type.
#include <algorithm>
#include <optional>

#include "plugins/opencl/ops/conv_family.h"
#include "plugins/opencl/ops/conv_forms.h"

namespace tenon::opencl {
namespace {

class ConvTranspose final : public Op {
 public:
  ConvTranspose(const Node& node, CompileContext& context) : groups_(node.integer("group", 1)), types_(ConvTypes::floating(node.input(0)->dtype)) {
    if (const std::string error = ConvWindow::read(node, node.input(0)->rank - 2, window_); !error.empty()) throw Failure{TENON_INVALID_ARGUMENT, error};
    const std::vector<std::int64_t> extra = node.integers("output_padding");
    for (std::size_t d = 0; d < std::min<std::size_t>(extra.size(), kMaxSpatial); ++d) output_padding_[d] = extra[d];
    sized_ = !node.integers("output_shape").empty();
    const tenon_value *w = node.input(1), *bias = node.input(2);
    if (!is_constant(w) || (bias && !is_constant(bias))) return;
    const ConvGeometry g = weights_of(Dims(w->dims, w->dims + w->rank));
    if (g.oc <= 0 || g.ic <= 0 || g.taps() <= 0) return;
    require(!bias || (bias->rank == 1 && bias->dims[0] == g.oc * groups_), "one bias for each output channel is expected");
    form_ = ConvForm::make(context.profile(), types_, g, true);
    const std::size_t inputs[] = {1, 2};
    weight_ = context.packed(node, {inputs, bias ? 2u : 1u}, form_->id(), form_->bytes(),
                             [form = *form_](std::span<const tenon_const_tensor> from, void* out) { pack_on_host(form, from, out); });
  }

  bool links_epilogue() const override { return true; }

  void plan(PlanBuilder& b) const override {
    const Tensor &x = b.in(0), &w = b.in(1), &bias = b.in(2);
    const ConvGeometry g = geometry(x.dims, w.dims, b.out_shape(0).dims);
    require(!bias.present() || (bias.rank() == 1 && bias.dim(0) == g.oc * groups_), "one bias for each output channel is expected");
    const LinkedEpilogue epilogue = b.link(image_space(x.rank()), types_.compute == Compute::f64 ? TENON_DTYPE_DOUBLE : TENON_DTYPE_FLOAT);
    if (b.out_shape(0).count() == 0) return;
    if (form_) return launch_conv(b, *form_, g, x, Arg::weight(weight_), *epilogue.text, epilogue.args);
    const ConvForm form = ConvForm::make(b.profile(), types_, g, true);
    launch_conv(b, form, g, x, Arg::in(pack_on_device(b, form, w, bias, {})), *epilogue.text, epilogue.args);
  }

 private:
  ConvGeometry weights_of(const Dims& w) const {
    require(w.size() >= 3 && w.size() <= 2 + kMaxSpatial && w[0] % groups_ == 0, "the weights' shape does not fit");
    ConvGeometry g;
    g.groups = groups_, g.ic = w[0] / groups_, g.oc = w[1];
    for (int d = 0; d < window_.spatial; ++d) window_.axis(g, d).kernel = w[static_cast<std::size_t>(d) + 2];
    return g;
  }

  ConvGeometry geometry(const Dims& x, const Dims& w, const Dims& y) const {
    const std::size_t rank = static_cast<std::size_t>(window_.spatial) + 2;
    require(x.size() == rank && w.size() == rank && y.size() == rank, "ranks of input, weights and output differ");
    require(w[0] == x[1], "the input has " + std::to_string(x[1]) + " channels, the weights " + std::to_string(w[0]));
    ConvGeometry g = weights_of(w);
    g.n = x[0];
    require(g.ic > 0, "there are no input channels");
    require(y[0] == x[0] && y[1] == g.oc * groups_, "the output has other channels than the weights");
    for (int d = 0; d < window_.spatial; ++d) {
      const auto i = static_cast<std::size_t>(d) + 2;
      require(window_.kernel[d] == 0 || window_.kernel[d] == w[i], "kernel_shape is not the weights' shape");
      window_.axis(g, d) = axis(d, x[i], w[i], y[i]);
    }
    return g;
  }

  ConvAxis axis(int d, std::int64_t in, std::int64_t kernel, std::int64_t out) const {
    constexpr std::int64_t limit = std::int64_t{1} << 30;
    ConvAxis a{in, out, kernel, window_.strides[d], window_.dilations[d], window_.pads_begin[d]};
    require(in >= 0 && in <= limit && kernel >= 1 && kernel <= limit && kernel - 1 <= limit / a.dilation, "sizes are out of range");
    using AutoPad = ConvWindow::AutoPad;
    const std::int64_t full = a.stride * (in - 1) + output_padding_[d] + (kernel - 1) * a.dilation + 1;
    if (window_.auto_pad == AutoPad::same_upper || window_.auto_pad == AutoPad::same_lower || sized_) {
      const std::int64_t total = std::max<std::int64_t>(0, full - out);
      a.pad = window_.auto_pad == AutoPad::same_upper ? total / 2 : total - total / 2;
      return a;
    }
    if (window_.auto_pad == AutoPad::valid) a.pad = 0;
    const std::int64_t expected = full - (window_.auto_pad == AutoPad::valid ? 0 : window_.pads_begin[d] + window_.pads_end[d]);
    require(expected == out, "output dim " + std::to_string(d + 2) + " is " + std::to_string(out) + ", expected " + std::to_string(expected));
    return a;
  }

  ConvWindow window_;
  std::int64_t groups_, output_padding_[kMaxSpatial] = {};
  bool sized_ = false;  // by output_shape
  ConvTypes types_;
  std::optional<ConvForm> form_;  // of constant weights
  Weight weight_;
};

Support supports_conv_transpose(const Node& node, const Profile& profile) {
  if (Support s = supports_float_conv(node, profile); s.reason) return s;
  for (std::int64_t p : node.integers("output_padding"))
    if (p < 0 || p > (1 << 30)) return Support::no(TENON_REJECT_ATTRIBUTE, "output_padding is out of range");
  return Support::yes();
}

std::unique_ptr<Op> make_conv_transpose(const Node& node, CompileContext& context) { return std::make_unique<ConvTranspose>(node, context); }

double conv_transpose_flops(const Node& node) {
  const tenon_value &x = *node.input(0), &w = *node.input(1);
  double flops = 2 * opt_count(x);
  for (std::int32_t d = 1; d < w.rank; ++d) flops *= opt_dim(w, d);
  return flops;
}

}  // namespace

std::span<const OpRow> transposed_conv_rows() {
  static const OpRow rows[] = {{"", "ConvTranspose", supports_conv_transpose, make_conv_transpose, conv_transpose_flops}};
  return rows;
}

}  // namespace tenon::opencl
