// ConvTranspose: an ordinary convolution for each phase of the output, since outputs that are a stride apart use the same taps.
#include <algorithm>
#include <numeric>

#include "plugins/cpu/ops/conv_direct.h"
#include "plugins/cpu/ops/conv_family.h"
#include "plugins/cpu/ops/conv_fusion.h"
#include "plugins/cpu/ops/conv_plain.h"
#include "plugins/cpu/ops/conv_weights.h"

namespace tenon::cpu {
namespace {

// More phases than this are left to the plain loops.
constexpr std::int64_t kMaxPhases = 4096;

// The kernel positions k of one dim with k * dilation = residue modulo stride, in the order of rising inputs.
struct PhaseTaps {
  std::vector<std::int64_t> k;  // falling
  std::int64_t step = 1;        // inputs between neighbours

  PhaseTaps(std::int64_t kernel, std::int64_t stride, std::int64_t dilation, std::int64_t residue) {
    for (std::int64_t i = kernel - 1; i >= 0; --i)
      if (i * dilation % stride == residue) k.push_back(i);
    step = dilation / std::gcd(stride, dilation);
  }
};

struct TransposeDims {
  std::int64_t groups = 1, ic = 0, oc = 0;  // per group
  std::int64_t kernel[kMaxSpatial] = {1, 1, 1}, stride[kMaxSpatial] = {1, 1, 1}, dilation[kMaxSpatial] = {1, 1, 1};

  std::int64_t phases() const { return stride[0] * stride[1] * stride[2]; }
};

// The weights of all phases, by residues of the three dims; a phase without taps has none.
class TransposeForm final : public ConvWeightsForm {
 public:
  TransposeForm(const ConvTiles& tiles, const TransposeDims& dims) : dims_(dims) {
    const std::int64_t taps = dims.kernel[0] * dims.kernel[1] * dims.kernel[2];
    for (std::int64_t p = 0; p < dims.phases(); ++p) {
      const std::vector<PhaseTaps> t = taps_of(p);
      std::vector<std::int64_t> offsets;
      for (std::int64_t d : t[0].k)
        for (std::int64_t h : t[1].k)
          for (std::int64_t w : t[2].k) offsets.push_back((d * dims.kernel[1] + h) * dims.kernel[2] + w);
      const auto count = static_cast<std::int64_t>(offsets.size());
      phases_.push_back({{"", ConvPacking(tiles, dims.groups, dims.ic, dims.oc, std::max<std::int64_t>(count, 1)), dims.ic * dims.oc * taps,
                          taps, dims.oc * taps, count ? offsets : std::vector<std::int64_t>{0}},
                         floats_,
                         items_,
                         count == 0});
      if (count == 0) continue;
      floats_ += phases_.back().form.floats();
      items_ += phases_.back().form.items();
    }
  }

  // Phase of the residues r.
  std::int64_t index(const std::int64_t* r) const { return (r[0] * dims_.stride[1] + r[1]) * dims_.stride[2] + r[2]; }
  const ConvPacking& packing(std::int64_t phase) const { return phases_[static_cast<std::size_t>(phase)].form.packing(); }
  std::int64_t offset(std::int64_t phase) const { return phases_[static_cast<std::size_t>(phase)].floats; }
  bool empty(std::int64_t phase) const { return phases_[static_cast<std::size_t>(phase)].empty; }

  std::int64_t floats() const override { return floats_; }
  std::int64_t items() const override { return items_; }
  void pack(const float* weights, float* dst, std::int64_t begin, std::int64_t end) const override {
    for (const Phase& p : phases_) {
      if (p.empty) continue;
      const std::int64_t b = std::max(begin, p.items), e = std::min(end, p.items + p.form.items());
      if (b < e) p.form.pack(weights, dst + p.floats, b - p.items, e - p.items);
    }
  }
  std::string layout_id() const override {
    std::string id = phases_[0].form.packing().layout_id("conv_transpose");
    for (int d = 0; d < kMaxSpatial; ++d)
      id += "/" + std::to_string(dims_.kernel[d]) + "," + std::to_string(dims_.stride[d]) + "," + std::to_string(dims_.dilation[d]);
    return id;
  }

 private:
  struct Phase {
    DirectForm form;
    std::int64_t floats, items;  // before it
    bool empty;
  };
  std::vector<PhaseTaps> taps_of(std::int64_t phase) const {
    const std::int64_t r[] = {phase / (dims_.stride[1] * dims_.stride[2]), phase / dims_.stride[2] % dims_.stride[1],
                              phase % dims_.stride[2]};
    std::vector<PhaseTaps> taps;
    for (int d = 0; d < kMaxSpatial; ++d) taps.emplace_back(dims_.kernel[d], dims_.stride[d], dims_.dilation[d], r[d]);
    return taps;
  }

  TransposeDims dims_;
  std::vector<Phase> phases_;
  std::int64_t floats_ = 0, items_ = 0;
};

class ConvTranspose final : public Op {
 public:
  ConvTranspose(const NodeView& node, CompileContext& context)
      : groups_(node.int_or("group", 1)), options_(context.options()), has_bias_(node.has_input(2)) {
    const int spatial = node.rank(0) - 2;
    if (const std::string error = WindowAttributes::read(node, spatial, window_); !error.empty())
      throw Failure{TENON_INVALID_ARGUMENT, error};
    const auto extra = node.ints("output_padding"), shape = node.ints("output_shape");
    for (std::size_t d = 0; d < static_cast<std::size_t>(spatial); ++d) {
      if (d < extra.size()) output_padding_[d] = extra[d];
      sized_ = sized_ || d < shape.size();
    }
    oc_ = node.output(0).rank >= 2 ? node.output(0).dims[1] : -1;
    std::int64_t phases = 1;
    for (int d = 0; d < spatial; ++d) phases = std::min(kMaxPhases + 1, phases * std::min(kMaxPhases + 1, window_.strides[d]));
    plain_ = options_.plain || node.dtype(0) != TENON_DTYPE_FLOAT || phases > kMaxPhases;
    if (plain_ || !node.is_constant(1)) return;
    const tenon_value& w = node.input(1);
    for (std::int32_t d = 0; d < w.rank; ++d)
      if (w.dims[d] <= 0) return;
    if (w.rank != spatial + 2 || w.dims[0] % groups_ != 0) return;
    form_ = make_form(w.dims);
    packed_ = pack_constant(*form_, node, 1, context);
  }

  bool absorb(const NodeView& next, std::uint32_t slot, std::uint32_t first_input, CompileContext& context) override {
    return !plain_ && fusion_.add(next, slot, first_input, context);
  }
  std::int32_t layout(std::span<std::int32_t> inputs, std::int32_t machine_block) override {
    const std::int32_t in = inputs[0];
    std::fill(inputs.begin(), inputs.end(), 0);
    if (plain_ || machine_block == 0) return 0;
    inputs[0] = in;
    return fusion_.want_blocks(inputs, block_for_channels(oc_, machine_block));
  }

  void plan(PlanBuilder& builder) const override {
    const Shape &x = builder.in(0), &w = builder.in(1), &y = builder.out(0);
    const ConvGeometry g = geometry(x, w, has_bias_ ? &builder.in(2) : nullptr, y);
    if (y.count() == 0) return;
    const Ref bias = has_bias_ ? builder.in_ref(2) : Ref{};
    if (plain_) return emit_plain_conv_transpose(builder, g, bias);
    require(g.ic > 0, "there are no input channels");
    std::shared_ptr<const TransposeForm> form = form_;
    Ref weights{TENON_NO_VALUE, packed_};
    if (!packed_) {
      form = make_form(w.dims.data());
      weights = pack_in_plan(form, 1, builder);
    }
    const FusionPlan fused = fusion_.plan(builder);
    std::vector<ConvPart> parts;
    bool in_place = true;
    const Window* windows[kMaxSpatial] = {&g.d, &g.h, &g.w};
    for (std::int64_t phase = 0; phase < g.d.stride * g.h.stride * g.w.stride; ++phase) {
      const std::int64_t at[] = {phase / (g.h.stride * g.w.stride), phase / g.w.stride % g.h.stride, phase % g.w.stride};
      ConvProblem p;
      ConvDim* dims[kMaxSpatial] = {&p.d, &p.h, &p.w};
      std::int64_t residues[kMaxSpatial];
      for (int d = 0; d < kMaxSpatial; ++d) {
        const std::int64_t stride = windows[d]->stride;
        residues[d] = ((at[d] + windows[d]->pad) % stride + stride) % stride;
        *dims[d] = dim(*windows[d], at[d], residues[d]);
      }
      const std::int64_t index = form->index(residues);
      if (form->empty(index))  // only the bias: one tap that never meets the input
        for (ConvDim* dim : dims) dim->taps = 1, dim->first = dim->in, dim->stride = 1;
      p.n = g.n;
      p.src_block = x.block, p.dst_block = y.block;
      p.src = builder.in_ref(0), p.weights = weights, p.bias = bias, p.dst = builder.out_ref(0);
      p.weights_offset = form->empty(index) ? 0 : form->offset(index);
      p.residual = fused.residual, p.low = fused.low, p.high = fused.high, p.all = fused.all, p.rest = fused.rest;
      in_place = in_place && direct_conv_reads_in_place(form->packing(index), y.block);
      parts.push_back({&form->packing(index), p});
    }
    builder.hold(form);
    const bool separate = emit_direct_conv(builder, "conv_transpose", parts, fused.reads(builder, weights), {});
    if (separate) emit_epilogue(builder, fused.all);
    else if (fused.residual.present() && in_place) builder.inplace(fused.residual_input, 0);
  }

 private:
  std::shared_ptr<const TransposeForm> make_form(const std::int64_t* w) const {
    TransposeDims dims;
    dims.groups = groups_, dims.ic = w[0] / groups_, dims.oc = w[1];
    for (int i = 0; i < window_.spatial; ++i) {
      const int d = kMaxSpatial - window_.spatial + i;
      dims.kernel[d] = w[2 + i], dims.stride[d] = window_.strides[i], dims.dilation[d] = window_.dilations[i];
    }
    return std::make_shared<TransposeForm>(conv_tiles(options_.isa), dims);
  }

  // Outputs at, at + stride, ... of one dim. window reads the output (in) and makes the input (out).
  static ConvDim dim(const Window& window, std::int64_t at, std::int64_t residue) {
    const PhaseTaps taps(window.kernel, window.stride, window.dilation, residue);
    ConvDim d;
    d.in = window.out;
    d.out = at < window.in ? (window.in - at + window.stride - 1) / window.stride : 0;
    d.dst_first = at, d.dst_step = window.stride, d.dst_size = window.in;
    d.taps = static_cast<std::int64_t>(taps.k.size());
    d.step = taps.step;
    if (d.taps > 0) d.first = (at + window.pad - taps.k[0] * window.dilation) / window.stride;
    return d;
  }

  ConvGeometry geometry(const Shape& x, const Shape& w, const Shape* b, const Shape& y) const {
    const std::int64_t rank = window_.spatial + 2;
    require(x.rank() == rank && w.rank() == rank && y.rank() == rank, "ranks of input, weights and output differ");
    require(w[0] == x[1] && w[0] % groups_ == 0, "the input has " + std::to_string(x[1]) + " channels, the weights " +
                                                     std::to_string(w[0]) + " in " + std::to_string(groups_) + " groups");
    ConvGeometry g;
    g.n = x[0], g.groups = groups_, g.ic = w[0] / groups_, g.oc = w[1];
    require(y[0] == x[0] && y[1] == g.oc * groups_, "the output has other channels than the weights");
    require(!b || (b->rank() == 1 && (*b)[0] == y[1]), "one bias for each output channel is expected");
    Window* windows[kMaxSpatial] = {&g.d, &g.h, &g.w};
    for (int i = 0; i < window_.spatial; ++i) {
      require(window_.kernel[i] == 0 || window_.kernel[i] == w[2 + i], "kernel_shape is not the weights' shape");
      *windows[kMaxSpatial - window_.spatial + i] = window(i, x[2 + i], w[2 + i], y[2 + i]);
    }
    return g;
  }
  Window window(int i, std::int64_t in, std::int64_t kernel, std::int64_t out) const {
    constexpr std::int64_t limit = std::int64_t{1} << 30;
    Window w{out, in, kernel, window_.strides[i], window_.dilations[i], window_.pads_begin[i]};
    require(in >= 0 && in <= limit && kernel >= 1 && kernel <= limit && kernel - 1 <= limit / w.dilation,
            "sizes are out of range");
    const std::int64_t full = w.stride * (in - 1) + output_padding_[i] + w.reach();
    const bool same = window_.auto_pad == AutoPad::same_upper || window_.auto_pad == AutoPad::same_lower;
    if (same || sized_) {
      const std::int64_t total = std::max<std::int64_t>(0, full - out);
      w.pad = window_.auto_pad == AutoPad::same_upper ? total / 2 : total - total / 2;
      return w;
    }
    if (window_.auto_pad == AutoPad::valid) w.pad = 0;
    const std::int64_t expected = full - (window_.auto_pad == AutoPad::valid ? 0 : window_.pads_begin[i] + window_.pads_end[i]);
    require(expected == out,
            "output dim " + std::to_string(2 + i) + " is " + std::to_string(out) + ", expected " + std::to_string(expected));
    return w;
  }

  WindowAttributes window_;
  std::int64_t groups_, oc_ = -1, output_padding_[kMaxSpatial] = {};
  bool sized_ = false;
  Options options_;
  bool has_bias_, plain_ = false;
  ConvFusion fusion_;
  std::shared_ptr<const TransposeForm> form_;
  const float* packed_ = nullptr;
};

Support supports_conv_transpose(const NodeView& node) {
  if (!node.has_input(0) || !node.has_input(1) || !node.has_output(0))
    return Support::no(TENON_REJECT_OTHER, "an input or output is missing");
  if (node.dtype(0) != TENON_DTYPE_FLOAT && node.dtype(0) != TENON_DTYPE_DOUBLE) return Support::no(TENON_REJECT_DTYPE, "float types only");
  for (std::uint32_t i = 1; i < 3; ++i)
    if (node.has_input(i) && node.dtype(i) != node.dtype(0)) return Support::no(TENON_REJECT_DTYPE, "inputs have different types");
  if (const std::int64_t groups = node.int_or("group", 1); groups < 1 || groups > (1 << 30))
    return Support::no(TENON_REJECT_ATTRIBUTE, "group is out of range");
  for (std::int64_t p : node.ints("output_padding"))
    if (p < 0 || p > (1 << 30)) return Support::no(TENON_REJECT_ATTRIBUTE, "output_padding is out of range");
  return supports_window(node);
}

std::unique_ptr<Op> make_conv_transpose(const NodeView& node, CompileContext& context) {
  return std::make_unique<ConvTranspose>(node, context);
}

double conv_transpose_flops(const NodeView& node) {
  const tenon_value &x = node.input(0), &w = node.input(1);
  double flops = 2;
  for (std::int32_t d = 1; d < w.rank; ++d) flops *= static_cast<double>(w.dim_opt[d]);
  for (std::int32_t d = 0; d < x.rank; ++d) flops *= static_cast<double>(x.dim_opt[d]);
  return flops;
}

}  // namespace

std::span<const OpRow> conv_transpose_rows() {
  static const OpRow rows[] = {{"", "ConvTranspose", supports_conv_transpose, make_conv_transpose, false, conv_transpose_flops}};
  return rows;
}

}  // namespace tenon::cpu
