// Conv: one to three spatial dims, groups, fused with what follows.
#include <algorithm>
#include <limits>

#include "plugins/cpu/families.h"
#include "plugins/cpu/ops/conv_depthwise.h"
#include "plugins/cpu/ops/conv_direct.h"
#include "plugins/cpu/ops/conv_expand.h"
#include "plugins/cpu/ops/conv_family.h"
#include "plugins/cpu/ops/conv_fusion.h"
#include "plugins/cpu/ops/conv_grouped.h"
#include "plugins/cpu/ops/conv_plain.h"
#include "plugins/cpu/ops/conv_point.h"
#include "plugins/cpu/ops/conv_split.h"
#include "plugins/cpu/ops/conv_weights.h"
#include "plugins/cpu/ops/conv_winograd.h"
#include "plugins/cpu/tuner.h"

namespace tenon::cpu {
namespace {

// Weights as a node declares them, where all is fixed.
struct KernelDims {
  bool known = false;
  std::int64_t oc = 0, ic = 0, taps = 1, kernel[kMaxSpatial] = {1, 1, 1};  // ic: of a group; kernel ends with the last dim

  static KernelDims of(const std::int64_t* dims, std::int64_t rank) {
    KernelDims k;
    k.known = rank >= 3 && rank <= 2 + kMaxSpatial;
    for (std::int64_t d = 0; d < rank; ++d) k.known = k.known && dims[d] > 0;
    if (!k.known) return k;
    k.oc = dims[0], k.ic = dims[1];
    for (std::int64_t d = 2; d < rank; ++d) k.taps *= k.kernel[kMaxSpatial - rank + d] = dims[d];
    return k;
  }
};

class Conv final : public Op {
 public:
  Conv(const NodeView& node, CompileContext& context)
      : groups_(node.int_or("group", 1)), options_(context.options()), has_bias_(node.has_input(2)),
        plain_(options_.plain || node.dtype(0) != TENON_DTYPE_FLOAT) {
    if (const std::string error = WindowAttributes::read(node, node.rank(0) - 2, window_); !error.empty())
      throw Failure{TENON_INVALID_ARGUMENT, error};
    oc_ = node.output(0).rank >= 2 ? node.output(0).dims[1] : -1;
    const tenon_value& w = node.input(1);
    winograd_ = options_.precision != Precision::highest && expects_winograd(node);
    const tenon_value& x = node.input(0);  // its channels must be known: they are what is blocked
    depthwise_ = groups_ > 1 && oc_ == groups_ && w.rank >= 3 && w.dims[1] == 1 && x.rank >= 2 && x.dims[1] == groups_;
    if (plain_ || !node.is_constant(1)) return;
    split_ = expects_split(node);
    const KernelDims k = KernelDims::of(node.input(1).dims, node.input(1).rank);
    if (!k.known || k.oc % groups_ != 0) return;
    constexpr std::string_view ways[] = {"winograd", "direct"};
    if (winograd_ && !split_) winograd_ = choose(context, node, ways) == 0;
    forms_ = make_forms(k);
    packed_ = pack_constant(*forms_.any(), node, 1, context);
    may_expand_ = forms_.direct && expands(k);
    may_scale_ = forms_.direct && groups_ == 1 && k.taps == 1 && window_.spatial == 2;
  }

  bool absorb(const NodeView& next, std::uint32_t slot, std::uint32_t first_input, CompileContext& context) override {
    if (plain_) return false;
    if (depthwise_next_) return depthwise_next_->fusion().add(next, slot, first_input, context);
    if (may_expand_ && fusion_.unary() && (depthwise_next_ = TakenDepthwise::take(next, slot, first_input, lanes(), context))) return true;
    return fusion_.add(next, slot, first_input, context);
  }

  // Squeeze-excite: an image multiplied with a number for each of its channels. A 1x1 convolution multiplies its weights instead,
  // where these are fewer.
  bool pull(const NodeView& producer, std::uint32_t slot, std::uint32_t first_input, CompileContext&) override {
    if (slot != 0 || !may_scale_ || gate_ != TENON_NO_VALUE || producer.op_type() != "Mul" || !producer.domain().empty()) return false;
    if (producer.dtype(0) != TENON_DTYPE_FLOAT || producer.dtype(1) != TENON_DTYPE_FLOAT) return false;
    for (std::uint32_t i : {0u, 1u}) {
      const tenon_value &x = producer.input(i), &gate = producer.input(1 - i);
      if (!scales_channels(x, gate, producer.output(0)) || producer.is_constant(1 - i)) continue;
      if (x.dim_opt[2] * x.dim_opt[3] * 2 < oc_) return false;
      (i == 0 ? gate_ : data_) = first_input, (i == 0 ? data_ : gate_) = 0;
      may_expand_ = false;
      return true;
    }
    return false;
  }

  std::int32_t layout(std::span<std::int32_t> inputs, std::int32_t machine_block) override {
    const std::int32_t in = inputs[data_], gate = gate_ != TENON_NO_VALUE ? inputs[gate_] : 0;
    std::fill(inputs.begin(), inputs.end(), 0);
    if (plain_ || machine_block == 0) return 0;
    if (gate_ != TENON_NO_VALUE) inputs[gate_] = gate;  // one pixel: the same bytes in blocks or not
    const std::int32_t block = block_for_channels(oc_, machine_block);
    if (depthwise_next_) {
      inputs[data_] = in != 0 ? in : block_for_channels(forms_.direct->packing().ic, machine_block);
      return depthwise_next_->fusion().want_blocks(inputs, block);
    }
    // Any layout is read as it is, but a depthwise convolution keeps it, and groups of eight channels are read in blocks.
    if (forms_.grouped && in == 0) inputs[data_] = block_for_channels(forms_.grouped->in_channels(), machine_block);
    else inputs[data_] = depthwise_ && (in == 0 || oc_ % in != 0) ? block : in;
    return fusion_.want_blocks(inputs, depthwise_ ? inputs[data_] : block);
  }

  void plan(PlanBuilder& builder) const override {
    const Shape &x = builder.in(data_), &w = builder.in(1), &y = builder.out(0);
    if (depthwise_next_) return plan_expand(builder);
    const ConvGeometry g = geometry(x, w, has_bias_ ? &builder.in(2) : nullptr, y);
    if (y.count() == 0) return;
    const Ref bias = has_bias_ ? builder.in_ref(2) : Ref{};
    if (plain_) return emit_plain_conv(builder, g, bias);
    require(g.ic > 0, "there are no input channels");
    Forms forms = forms_;
    Ref weights{TENON_NO_VALUE, packed_};
    if (!packed_) {
      forms = make_forms(KernelDims::of(w.dims.data(), w.rank()));
      weights = pack_in_plan(forms.any(), 1, builder);
    }
    const FusionPlan fused = fusion_.plan(builder);
    ConvProblem p;
    p.n = g.n;
    p.d = dim(g.d), p.h = dim(g.h), p.w = dim(g.w);
    p.src_block = x.block, p.dst_block = y.block;
    p.src = builder.in_ref(data_), p.weights = weights, p.bias = bias, p.dst = builder.out_ref(0);
    p.residual = fused.residual, p.low = fused.low, p.high = fused.high, p.all = fused.all, p.rest = fused.rest;
    std::vector<Ref> reads = fused.reads(builder, weights);
    if (gate_ != TENON_NO_VALUE) {
      const Shape& gate = builder.in(gate_);
      require(gate.rank() == 4 && gate[1] == g.ic && gate.count() == gate[0] * gate[1] && (gate[0] == 1 || gate[0] == g.n),
              "the factors of the input's channels have another shape than [1 or batch, channels, 1, 1]");
      p.scale = builder.in_ref(gate_), p.scale_image = gate[0] == 1 ? 0 : g.ic;
      reads.push_back(p.scale), reads.push_back(p.src);
    }
    const bool grouped = forms.grouped && emit_grouped_conv(builder, g, p, reads);
    if (forms.grouped && !grouped) {  // not blocked, or windows as no model has them: the general way
      forms.direct = DirectForm::conv(conv_tiles(options_.isa), groups_, g.ic, g.oc, g.taps());
      p.weights = pack_in_plan(forms.direct, 1, builder);
      reads = fused.reads(builder, p.weights);
    }
    bool separate = false, in_place = y.block != 0;
    if (forms.split) {
      separate = emit_split_conv(builder, *forms.split, g, p, reads, in_place);
      builder.hold(forms.split);
    } else if (forms.winograd) {
      separate = emit_winograd_conv(builder, *forms.winograd, g, p, reads);
      builder.hold(forms.winograd);
      in_place = direct_conv_reads_in_place(forms.winograd->packing(), y.block);
    } else if (forms.depthwise) {
      separate = emit_depthwise_conv(builder, g, p, reads);
    } else if (!grouped && (p.scale.present() || !emit_point_conv(builder, forms.direct->packing(), g, p, reads))) {
      separate = emit_direct_conv(builder, "conv.direct", {{{&forms.direct->packing(), p}}}, reads, {});
      in_place = direct_conv_reads_in_place(forms.direct->packing(), y.block);
    }
    if (separate) emit_epilogue(builder, fused.all);
    else if (fused.residual.present() && in_place) builder.inplace(fused.residual_input, 0);
  }

 private:
  // How the weights are packed decides how the convolution is done: one of these.
  struct Forms {
    std::shared_ptr<const DirectForm> direct;
    std::shared_ptr<const DepthwiseForm> depthwise;
    std::shared_ptr<const GroupedForm> grouped;
    std::shared_ptr<const WinogradForm> winograd;
    std::shared_ptr<const SplitForm> split;

    std::shared_ptr<const ConvWeightsForm> any() const {
      if (split) return split;
      if (depthwise) return depthwise;
      if (grouped) return grouped;
      if (winograd) return winograd;
      return direct;
    }
  };
  Forms make_forms(const KernelDims& k) const {
    Forms f;
    if (split_) f.split = std::make_shared<SplitForm>(options_, groups_, k.ic, k.oc / groups_, k.kernel[kMaxSpatial - 2], k.kernel[kMaxSpatial - 1]);
    else if (winograd_) f.winograd = std::make_shared<WinogradForm>(conv_tiles(options_.isa), k.ic, k.oc, k.kernel[0], k.taps / k.kernel[0]);
    else if (depthwise_) f.depthwise = std::make_shared<DepthwiseForm>(groups_, k.taps);
    else if (suits_grouped(options_.isa, window_, groups_, k.ic, k.oc / groups_, k.kernel + 1))
      f.grouped = std::make_shared<GroupedForm>(groups_, k.ic, k.kernel[1]);
    else f.direct = DirectForm::conv(conv_tiles(options_.isa), groups_, k.ic, k.oc / groups_, k.taps);
    return f;
  }
  std::int32_t lanes() const { return options_.isa >= Isa::avx512 ? 16 : options_.isa >= Isa::avx2 ? 8 : 0; }
  static bool scales_channels(const tenon_value& x, const tenon_value& gate, const tenon_value& product) {
    if (x.rank != 4 || gate.rank != 4 || x.dims[1] <= 0 || gate.dims[1] != x.dims[1]) return false;
    return gate.dims[2] == 1 && gate.dims[3] == 1 && same_shape(x, product);
  }
  // May a depthwise convolution that follows be done in the same step?
  bool expands(const KernelDims& k) const {
    if (lanes() == 0 || groups_ != 1 || k.taps != 1 || window_.spatial != 2 || k.ic % 8 != 0 || oc_ != k.oc || k.oc % lanes() != 0) return false;
    for (int d = 0; d < 2; ++d)
      if (window_.strides[d] != 1 || window_.pads_begin[d] != 0 || window_.pads_end[d] != 0) return false;
    return true;
  }
  void plan_expand(PlanBuilder& builder) const {
    const Shape& x = builder.in(0);
    require(x.rank() == 4 && x[1] == forms_.direct->packing().ic, "the input has other channels than the weights");
    const FusionPlan fused = fusion_.plan(builder);
    ConvProblem p;
    p.src = builder.in_ref(0), p.weights = {TENON_NO_VALUE, packed_}, p.bias = has_bias_ ? builder.in_ref(2) : Ref{};
    p.low = fused.low, p.high = fused.high, p.rest = fused.rest;
    depthwise_next_->plan(builder, forms_.direct->packing(), p);
  }
  // For one image of the sizes that the graph has or expects. False where they are not known.
  bool expected(const NodeView& node, ConvGeometry& g) const {
    const tenon_value &x = node.input(0), &w = node.input(1);
    if (w.rank != window_.spatial + 2 || w.dims[0] <= 0 || w.dims[1] <= 0 || w.dims[0] % groups_ != 0) return false;
    g.n = 1, g.groups = groups_, g.ic = w.dims[1], g.oc = w.dims[0] / groups_;
    Window* windows[kMaxSpatial] = {&g.d, &g.h, &g.w};
    for (int d = 0; d < window_.spatial; ++d) {
      std::int64_t size = x.dim_opt[2 + d];
      if (w.dims[2 + d] <= 0 || size <= 0 || size > (1 << 24)) return false;
      // Who dilates a line so far has long ones.
      if (window_.spatial == 1 && x.dims[2] < 0) size = std::max(size, 32 * window_.dilations[d]);
      *windows[kMaxSpatial - window_.spatial + d] = window_.resolve(d, size, w.dims[2 + d]);
    }
    return true;
  }
  bool expects_winograd(const NodeView& node) const {
    ConvGeometry g;
    return expected(node, g) && suits_winograd(g);
  }
  bool expects_split(const NodeView& node) const {
    ConvGeometry g;
    return split_conv_kernels(options_.isa, options_.precision) && expected(node, g) && suits_split_conv(g, options_.precision, winograd_);
  }
  static ConvDim dim(const Window& w) {
    ConvDim d;
    d.in = w.in, d.out = d.dst_size = w.out, d.stride = w.stride, d.first = -w.pad, d.step = w.dilation, d.taps = w.kernel;
    return d;
  }

  ConvGeometry geometry(const Shape& x, const Shape& w, const Shape* b, const Shape& y) const {
    const std::int64_t rank = window_.spatial + 2;
    require(x.rank() == rank && w.rank() == rank && y.rank() == rank, "ranks of input, weights and output differ");
    ConvGeometry g;
    g.n = x[0], g.groups = groups_, g.ic = w[1], g.oc = w[0] / groups_;
    require(w[0] % groups_ == 0, "Conv: " + std::to_string(w[0]) + " output channels in " + std::to_string(groups_) + " groups");
    require(x[1] == w[1] * groups_, "the input has " + std::to_string(x[1]) + " channels, the weights " + std::to_string(w[1]) +
                                        " in each of " + std::to_string(groups_) + " groups");
    require(!b || (b->rank() == 1 && (*b)[0] == w[0]), "one bias for each output channel is expected");
    require(y[0] == x[0] && y[1] == w[0], "the output has other channels than the weights");
    Window* windows[kMaxSpatial] = {&g.d, &g.h, &g.w};
    for (int i = 0; i < window_.spatial; ++i) {
      require(window_.kernel[i] == 0 || window_.kernel[i] == w[2 + i], "kernel_shape is not the weights' shape");
      Window& window = *windows[kMaxSpatial - window_.spatial + i];
      window = window_.resolve(i, x[2 + i], w[2 + i]);
      require(window.out == y[2 + i], "output dim " + std::to_string(2 + i) + " is " + std::to_string(y[2 + i]) + ", expected " +
                                          std::to_string(window.out));
    }
    return g;
  }

  WindowAttributes window_;
  std::int64_t groups_, oc_ = -1;
  Options options_;
  bool has_bias_, plain_, depthwise_ = false, winograd_ = false, split_ = false, may_expand_ = false, may_scale_ = false;
  std::uint32_t data_ = 0, gate_ = TENON_NO_VALUE;  // inputs: the image, and what its channels are multiplied with
  ConvFusion fusion_;
  std::unique_ptr<TakenDepthwise> depthwise_next_;
  Forms forms_;
  const float* packed_ = nullptr;
};

Support supports_conv(const NodeView& node) {
  if (!node.has_input(0) || !node.has_input(1) || !node.has_output(0))
    return Support::no(TENON_REJECT_OTHER, "an input or output is missing");
  if (node.dtype(0) != TENON_DTYPE_FLOAT && node.dtype(0) != TENON_DTYPE_DOUBLE) return Support::no(TENON_REJECT_DTYPE, "float types only");
  for (std::uint32_t i = 1; i < 3; ++i)
    if (node.has_input(i) && node.dtype(i) != node.dtype(0)) return Support::no(TENON_REJECT_DTYPE, "inputs have different types");
  if (const std::int64_t groups = node.int_or("group", 1); groups < 1 || groups > (1 << 30))
    return Support::no(TENON_REJECT_ATTRIBUTE, "group is out of range");
  return supports_window(node);
}

std::unique_ptr<Op> make_conv(const NodeView& node, CompileContext& context) { return std::make_unique<Conv>(node, context); }

double conv_flops(const NodeView& node) {
  const tenon_value &w = node.input(1), &y = node.output(0);
  double flops = 2;
  for (std::int32_t d = 1; d < w.rank; ++d) flops *= static_cast<double>(w.dim_opt[d]);
  for (std::int32_t d = 0; d < y.rank; ++d) flops *= static_cast<double>(y.dim_opt[d]);
  return flops;
}

}  // namespace

std::span<const OpRow> plain_conv_rows() {
  static const OpRow rows[] = {{"", "Conv", supports_conv, make_conv, false, conv_flops}};
  return rows;
}

std::span<const OpRow> conv_rows() {
  static const std::vector<OpRow> all = [] {
    std::vector<OpRow> rows;
    for (FamilyRows family : {plain_conv_rows, conv_transpose_rows, deform_conv_rows, col2im_rows})
      rows.insert(rows.end(), family().begin(), family().end());
    return rows;
  }();
  return all;
}

}  // namespace tenon::cpu
