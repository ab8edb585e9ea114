#include "plugins/opencl/ops/conv_forms.h"

#include <cstring>

namespace tenon::opencl {
namespace {

int lanes_of(const Profile& profile, Compute compute) {
  return static_cast<int>(compute == Compute::f64 ? std::max(profile.vector / 2, 1u) : profile.vector);
}

float float_of(std::int32_t dtype, const void* data, std::int64_t i) {
  const std::uint16_t bits = static_cast<const std::uint16_t*>(data)[i];
  if (dtype == TENON_DTYPE_BFLOAT16) {
    const std::uint32_t wide = static_cast<std::uint32_t>(bits) << 16;
    float f;
    std::memcpy(&f, &wide, sizeof f);
    return f;
  }
  _Float16 half;
  std::memcpy(&half, &bits, sizeof half);
  return static_cast<float>(half);
}

std::array<std::size_t, 3> range3(const ConvRange& r) { return {static_cast<std::size_t>(r.global[0]), static_cast<std::size_t>(r.global[1]), static_cast<std::size_t>(r.global[2])}; }

}  // namespace

ConvForm ConvForm::make(const Profile& profile, const ConvTypes& types, const ConvGeometry& g, bool transposed) {
  ConvForm f;
  f.types = types;
  f.depthwise = g.depthwise() && !transposed;
  f.transposed = transposed;
  if (f.depthwise) {
    f.packing = depthwise_packing(g);
  } else {
    f.tile = conv_tile(profile, g.oc, lanes_of(profile, types.compute));
    f.packing.groups = g.groups, f.packing.ic = g.ic, f.packing.oc = g.oc, f.packing.taps = g.taps();
    f.packing.width = f.tile.width();
  }
  f.packing.transposed = transposed;
  f.packing.integer = types.compute == Compute::i32;
  f.packing.weight_bytes = f.packing.integer ? 2 : static_cast<int>(storage_bytes(types.weight));
  f.packing.compute_bytes = types.compute == Compute::f64 ? 8 : 4;
  f.packing.input_bytes = static_cast<int>(storage_bytes(types.input));
  return f;
}

void pack_on_host(const ConvForm& form, std::span<const tenon_const_tensor> from, void* out) {
  const void* bias = from.size() > 1 ? from[1].data : nullptr;
  std::vector<float> widened;
  if (bias && storage_bytes(form.types.bias) == 2) {
    for (std::int64_t i = 0; i < form.packing.groups * form.packing.oc; ++i) widened.push_back(float_of(form.types.bias, bias, i));
    bias = widened.data();
  }
  pack_conv_weights(form.packing, from[0].data, bias, out);
}

Tensor pack_on_device(PlanBuilder& builder, const ConvForm& form, const Tensor& weights, const Tensor& bias, const ConvZeros& zeros) {
  const ConvPacking& p = form.packing;
  const Tensor packed = builder.temp(TENON_DTYPE_UINT8, {static_cast<std::int64_t>(p.bytes())}), w = builder.dense(weights);
  Launch l;
  l.name = "conv.pack";
  l.kernel = conv_pack_kernel({p.width, form.types.weight, form.types.bias, form.types.input, form.types.compute, p.transposed});
  l.args = {Arg::out(packed), Arg::in(w), Arg::in(bias.present() ? builder.dense(bias) : w), Arg::i32(bias.present())};
  for (std::int64_t v : {p.groups, p.ic, p.oc, p.taps}) l.args.push_back(Arg::i32(v));
  if (p.integer) {
    l.args.push_back(Arg::in(zeros.weight.present() ? builder.dense(zeros.weight) : w));
    l.args.push_back(Arg::i32(zeros.weight.present() ? zeros.weight.count() : 0));
    l.args.push_back(Arg::in(zeros.input.present() ? builder.dense(zeros.input) : w));
    l.args.push_back(Arg::i32(zeros.input.present()));
  }
  l.global = range3(conv_pack_range(p));
  builder.launch(std::move(l));
  return packed;
}

void launch_conv(PlanBuilder& builder, const ConvForm& form, const ConvGeometry& g, const Tensor& x, Arg weights, const Epilogue& epilogue, std::vector<Arg> epilogue_args) {
  if (!g.fits()) throw Failure{TENON_UNSUPPORTED_SHAPE, "more elements than kernels count"};
  const Profile& profile = builder.profile();
  Launch l;
  l.flops = 2.0 * static_cast<double>(g.n * g.out_pixels()) * static_cast<double>(g.groups * g.oc) * static_cast<double>(g.ic * g.taps());
  ConvRange range;
  std::int32_t last = 0;
  Tensor in = x;
  if (form.depthwise) {
    l.name = "conv.depthwise";
    in = builder.laid_out(x, Layout::channels_last);
    DepthwiseKernel k = depthwise_form(profile, g, lanes_of(profile, form.types.compute));
    k.input = form.types.input, k.weight = form.types.weight, k.compute = form.types.compute;
    l.kernel = depthwise_kernel(k, epilogue);
    const DepthwiseLaunch launch = depthwise_launch(profile, k, g);
    range = launch.range, last = launch.blocks_each;
  } else {
    l.name = "conv";
    ConvKernel k;
    k.tile = form.tile, k.transposed = form.transposed, k.pointwise = g.pointwise() && !form.transposed;
    k.input = form.types.input, k.weight = form.types.weight, k.compute = form.types.compute;
    if (g.groups == 1 && g.ic <= 4 && !k.pointwise && !k.transposed) {
      k.channels = static_cast<int>(g.ic);
      k.planar = !is_laid_out(x, Layout::channels_last);
    }
    in = builder.laid_out(x, k.planar ? Layout::dense : Layout::channels_last);
    l.kernel = conv_kernel(k, epilogue);
    const ConvLaunch launch = conv_launch(form.tile, g, form.transposed);
    range = launch.range, last = launch.panels_first;
  }
  l.args = {Arg::in(in), std::move(weights)};
  for (std::int32_t v : g.arguments()) l.args.push_back(Arg::i32(v));
  l.args.push_back(Arg::i32(last));
  for (Arg& a : epilogue_args) l.args.push_back(std::move(a));
  l.global = range3(range);
  l.local = {static_cast<std::size_t>(range.local), 1, 1};
  builder.launch(std::move(l));
}

}  // namespace tenon::opencl
