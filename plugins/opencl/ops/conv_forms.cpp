#include "plugins/opencl/ops/conv_forms.h"

#include <cstring>

#include "plugins/opencl/elementwise_op.h"

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

// Processors read an input's numbers one by one and many times: those that must be widened are widened once.
bool widens(const Profile& profile, std::int32_t dtype) { return profile.cpu && is_floating(dtype) && storage_bytes(dtype) == 2; }

// x in that layout and type.
Tensor as_input(PlanBuilder& builder, const Tensor& x, std::int32_t dtype, Layout layout) {
  if (x.dtype == dtype) return builder.laid_out(x, layout);
  const Tensor wide = builder.temp(dtype, x.dims, layout);
  Expression e;
  e.outputs = {e.cast(dtype, e.load(0, x.dtype))};
  launch_elementwise(builder, e, {x}, {wide}, "widen");
  return wide;
}

}  // namespace

ConvForm ConvForm::make(const Profile& profile, const ConvTypes& types, const ConvGeometry& g, bool transposed) {
  ConvForm f;
  f.types = types;
  f.depthwise = g.depthwise() && !transposed;
  f.transposed = transposed;
  if (!f.depthwise && widens(profile, types.input)) f.types.input = TENON_DTYPE_FLOAT;
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
  f.packing.input_bytes = static_cast<int>(storage_bytes(f.types.input));
  return f;
}

ConvForm ConvForm::make_winograd(const Profile& profile, const ConvTypes& types, const ConvGeometry& g) {
  ConvForm f;
  f.types = types;
  f.types.input = TENON_DTYPE_FLOAT;
  f.winograd = true;
  f.tile = conv_tile(profile, g.oc, lanes_of(profile, Compute::f32));
  f.packing = winograd_packing(f.tile, g);
  return f;
}

void pack_on_host(const ConvForm& form, std::span<const tenon_const_tensor> from, void* out) {
  std::vector<float> wide_weights, wide_bias;
  const auto widened = [](const void* data, std::int32_t dtype, std::int64_t count, std::vector<float>& wide) -> const void* {
    if (!data || storage_bytes(dtype) != 2) return data;
    for (std::int64_t i = 0; i < count; ++i) wide.push_back(float_of(dtype, data, i));
    return wide.data();
  };
  const ConvPacking& p = form.packing;
  const std::int64_t outs = form.winograd ? p.oc : p.groups * p.oc;
  const void *weights = from[0].data, *bias = widened(from.size() > 1 ? from[1].data : nullptr, form.types.bias, outs, wide_bias);
  if (!form.winograd) return pack_conv_weights(p, weights, bias, out);
  weights = widened(weights, form.types.weight, p.oc * p.ic * 9, wide_weights);
  pack_winograd(p, static_cast<const float*>(weights), static_cast<const float*>(bias), out);
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

namespace {

void launch_winograd(PlanBuilder& builder, const ConvForm& form, const ConvGeometry& g, const Tensor& x, const Arg& weights, const Epilogue& epilogue, std::vector<Arg> epilogue_args) {
  const WinogradKernel k = winograd_form(builder.profile());
  const std::int64_t tiles = winograd_tiles(g), tiles_h = (g.h.out + 3) / 4, tiles_w = (g.w.out + 3) / 4;
  const Tensor points = builder.temp(TENON_DTYPE_FLOAT, {kWinogradPoints, tiles, g.ic}), products = builder.temp(TENON_DTYPE_FLOAT, {kWinogradPoints, tiles, g.oc});
  const auto sizes = [](Launch& l, const ConvGeometry& of) {
    for (std::int32_t v : of.arguments()) l.args.push_back(Arg::i32(v));
  };
  const auto start = [](Launch& l, const ConvRange& range) {
    l.global = range3(range);
    l.local = {static_cast<std::size_t>(range.local), 1, 1};
  };
  Launch in;
  in.name = "conv.winograd.in";
  in.kernel = winograd_input_kernel(k);
  in.args = {Arg::in(as_input(builder, x, TENON_DTYPE_FLOAT, Layout::channels_last)), weights, Arg::out(points), Arg::u64(form.packing.zeros_at())};
  sizes(in, g);
  in.args.push_back(Arg::i32(tiles_h)), in.args.push_back(Arg::i32(tiles_w));
  start(in, winograd_range(k, g, g.ic));
  builder.launch(std::move(in));

  Launch multiply;
  const ConvGeometry product = winograd_product(g);
  ConvKernel dense;
  dense.tile = form.tile, dense.pointwise = dense.batched = true;
  const WinogradStore store;
  multiply.name = "conv.winograd";
  multiply.kernel = conv_kernel(dense, store);
  multiply.args = {Arg::in(points), weights};
  sizes(multiply, product);
  const ConvLaunch launch = conv_launch(form.tile, product);
  multiply.args.push_back(Arg::i32(launch.panels_first)), multiply.args.push_back(Arg::out(products));
  start(multiply, launch.range);
  multiply.flops = 2.0 * kWinogradPoints * static_cast<double>(tiles * g.ic) * static_cast<double>(g.oc);
  builder.launch(std::move(multiply));

  Launch out;
  out.name = "conv.winograd.out";
  out.kernel = winograd_output_kernel(k, epilogue);
  out.args = {Arg::in(products), weights, Arg::u64(form.packing.bytes())};
  sizes(out, g);
  out.args.push_back(Arg::i32(tiles_h)), out.args.push_back(Arg::i32(tiles_w));
  for (Arg& a : epilogue_args) out.args.push_back(std::move(a));
  start(out, winograd_range(k, g, g.oc));
  builder.launch(std::move(out));
}

}  // namespace

// What the sizes of one convolution are called in the table of measured choices.
static std::string conv_key(const ConvGeometry& g, const ConvForm& form) {
  std::string key = form.transposed ? "conv transposed" : "conv";
  for (std::int32_t v : g.arguments()) key += " " + std::to_string(v);
  return key + " " + dtype_text(form.types.input) + " " + dtype_text(form.types.weight);
}

void launch_conv(PlanBuilder& builder, const ConvForm& form, const ConvGeometry& g, const Tensor& x, Arg weights, const Epilogue& epilogue, std::vector<Arg> epilogue_args) {
  if (!g.fits()) throw Failure{TENON_UNSUPPORTED_SHAPE, "more elements than kernels count"};
  if (form.winograd) return launch_winograd(builder, form, g, x, weights, epilogue, std::move(epilogue_args));
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
    in = as_input(builder, x, form.types.input, k.planar ? Layout::dense : Layout::channels_last);
    ConvTileVariant variant;
    if (l.flops >= 1e7) variant = conv_tile_variant(form.tile, builder.choice(conv_key(g, form), kConvTileVariants, 0));
    if (variant.rows > 0) k.tile.rows = variant.rows;
    l.kernel = conv_kernel(k, epilogue);
    const ConvLaunch launch = conv_launch(k.tile, g, form.transposed, variant.other_order);
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
