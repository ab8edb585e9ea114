// Kernels of convolutions and pools, as they are generated for processors and for graphics devices, beside plain loops.
#include <algorithm>
#include <cmath>
#include <cstring>

#include <gmock/gmock.h>

#include "plugins/opencl/codegen/conv.h"
#include "plugins/opencl/codegen/conv_depthwise.h"
#include "plugins/opencl/codegen/conv_weights.h"
#include "plugins/opencl/codegen/pool.h"
#include "plugins/opencl/codegen/winograd.h"
#include "tests/unit/opencl/conv_reference.h"

namespace tenon::opencl {
namespace {

using ::testing::Pointwise;

ConvGeometry sizes(std::int64_t n, std::int64_t groups, std::int64_t ic, std::int64_t oc, ConvAxis d, ConvAxis h, ConvAxis w) {
  ConvGeometry g;
  g.n = n, g.groups = groups, g.ic = ic, g.oc = oc, g.d = d, g.h = h, g.w = w;
  return g;
}

class OpenclConv : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    if (!device()) GTEST_SKIP() << no_device();
  }
  Profile profile() const { return GetParam() == 0 ? graphics() : processor(static_cast<std::uint32_t>(GetParam())); }
  int lanes() const { return static_cast<int>(profile().vector); }

  struct Problem {
    std::vector<float> x, w, bias;
  };
  static Problem problem(const ConvGeometry& g) {
    return {whole_numbers(static_cast<std::size_t>(g.n * g.in_pixels() * g.groups * g.ic), 1), whole_numbers(static_cast<std::size_t>(g.groups * g.oc * g.ic * g.taps()), 2),
            whole_numbers(static_cast<std::size_t>(g.groups * g.oc), 3)};
  }
  static std::vector<float> run(const KernelText& text, const ConvGeometry& g, cl_mem x, cl_mem w, std::int32_t last, const ConvRange& range) {
    const auto count = static_cast<std::size_t>(g.n * g.out_pixels() * g.groups * g.oc);
    const MemHandle y = upload(std::vector<float>(count, -1e9f));
    std::vector<KernelArg> args{x, w};
    for (std::int32_t v : g.arguments()) args.push_back(v);
    args.insert(args.end(), {last, y.get(), static_cast<std::int32_t>(g.out_pixels()), static_cast<std::int32_t>(g.groups * g.oc)});
    run_kernel(text, args, range);
    return download(y.get(), count);
  }
  static std::vector<char> packed(const ConvPacking& p, const Problem& problem) {
    std::vector<char> out(p.bytes());
    pack_conv_weights(p, problem.w.data(), problem.bias.data(), out.data());
    return out;
  }
  void expect_dense(const ConvGeometry& g, bool transposed = false, int channels = 0) const {
    const Problem p = problem(g);
    ConvKernel k;
    k.tile = conv_tile(profile(), g.oc, lanes());
    k.transposed = transposed, k.channels = channels;
    k.pointwise = g.pointwise() && !transposed;
    ConvPacking form;
    form.groups = g.groups, form.ic = g.ic, form.oc = g.oc, form.taps = g.taps(), form.width = k.tile.width(), form.transposed = transposed;
    const std::vector<char> on_host = packed(form, p);
    const MemHandle w = upload(on_host), x = upload(p.x);
    const ConvLaunch launch = conv_launch(k.tile, g, transposed);
    EXPECT_EQ(run(conv_kernel(k, DenseStore()), g, x.get(), w.get(), launch.panels_first, launch.range), reference_conv(g, p.x, p.w, p.bias, transposed));

    // What the device packs is what the host packs.
    const MemHandle raw = upload(p.w), bias = upload(p.bias), made = upload(std::vector<char>(form.bytes(), 7));
    const auto n = [](std::int64_t v) { return static_cast<std::int32_t>(v); };
    ConvPackKernel pack;
    pack.width = form.width, pack.transposed = transposed;
    run_kernel(conv_pack_kernel(pack), {made.get(), raw.get(), bias.get(), 1, n(form.groups), n(form.ic), n(form.oc), n(form.taps)}, conv_pack_range(form));
    const std::size_t used = (form.zeros_at() + static_cast<std::uint64_t>(std::max<std::int64_t>(form.ic, kConvZeros)) * sizeof(float)) / sizeof(float);
    std::vector<float> expected(used);
    std::copy_n(reinterpret_cast<const float*>(on_host.data()), used, expected.begin());
    EXPECT_EQ(download(made.get(), used), expected);
  }
};

TEST_P(OpenclConv, DenseOfAnyWindow) {
  expect_dense(sizes(2, 1, 16, 64, {}, axis(8, 1), axis(7, 1)));                        // a product of pixels
  expect_dense(sizes(1, 1, 20, 70, {}, axis(9, 1, 2), axis(8, 1, 2)));                  // strided, columns that fill no panel
  expect_dense(sizes(2, 1, 5, 7, {}, axis(9, 3, 1, 1), axis(10, 3, 2, 1)));             // borders, several images in a tile
  expect_dense(sizes(1, 2, 6, 20, {}, axis(11, 3, 1, 2, 2), axis(13, 5, 1, 4, 2)));     // dilated, in groups
  expect_dense(sizes(1, 8, 4, 4, {}, axis(6, 3, 1, 1), axis(6, 3, 1, 1)));              // many small groups
  expect_dense(sizes(1, 1, 4, 9, axis(5, 3, 2, 1), axis(6, 3, 1, 1), axis(7, 2)));      // three dims
  expect_dense(sizes(1, 1, 30, 18, {}, {}, axis(1, 1)));                                // one pixel
  expect_dense(sizes(1, 1, 3, 20, {}, axis(11, 7, 2, 3), axis(12, 7, 2, 3)), false, 3);  // a first layer
}

TEST_P(OpenclConv, Transposed) {
  expect_dense(sizes(2, 1, 6, 10, {}, transposed_axis(5, 3, 2, 1), transposed_axis(4, 4, 2, 1)), true);
  expect_dense(sizes(1, 2, 3, 5, {}, transposed_axis(4, 2, 3), transposed_axis(5, 3, 1, 1, 2)), true);  // phases without a tap
  expect_dense(sizes(1, 1, 2, 3, transposed_axis(3, 3, 2), transposed_axis(3, 2, 2), transposed_axis(2, 3, 1)), true);
}

TEST_P(OpenclConv, PlanarFirstLayer) {
  const ConvGeometry g = sizes(2, 1, 3, 20, {}, axis(11, 3, 2, 1), axis(12, 3, 2, 1));
  const Problem p = problem(g);
  ConvKernel k;
  k.tile = conv_tile(profile(), g.oc, lanes());
  k.planar = true, k.channels = 3;
  ConvPacking form;
  form.ic = 3, form.oc = g.oc, form.taps = g.taps(), form.width = k.tile.width();
  std::vector<float> planar(p.x.size());
  const auto pixels = static_cast<std::size_t>(g.in_pixels());
  for (std::size_t i = 0; i < p.x.size(); ++i) planar[i / (3 * pixels) * 3 * pixels + i % 3 * pixels + i / 3 % pixels] = p.x[i];
  const MemHandle x = upload(planar), w = upload(packed(form, p));
  const ConvLaunch launch = conv_launch(k.tile, g);
  EXPECT_EQ(run(conv_kernel(k, DenseStore()), g, x.get(), w.get(), launch.panels_first, launch.range), reference_conv(g, p.x, p.w, p.bias, false));
}

TEST_P(OpenclConv, Depthwise) {
  for (const ConvGeometry& g : {sizes(2, 32, 1, 1, {}, axis(15, 3, 1, 1), axis(16, 3, 1, 1)), sizes(1, 20, 1, 1, {}, axis(9, 3, 2, 1), axis(18, 3, 2, 1)),
                                sizes(1, 19, 1, 1, {}, axis(7, 5, 1, 2), axis(21, 3, 1, 2, 2)), sizes(1, 5, 1, 1, axis(5, 3, 1, 1), axis(4, 3, 1, 1), axis(9, 3, 3, 1)),
                                sizes(1, 1, 1, 1, {}, {}, axis(30, 9, 1, 4))}) {
    const Problem p = problem(g);
    const DepthwiseKernel k = depthwise_form(profile(), g, lanes());
    const MemHandle x = upload(p.x), w = upload(packed(depthwise_packing(g), p));
    const DepthwiseLaunch launch = depthwise_launch(profile(), k, g);
    EXPECT_EQ(run(depthwise_kernel(k, DenseStore()), g, x.get(), w.get(), launch.blocks_each, launch.range), reference_conv(g, p.x, p.w, p.bias, false));
  }
}

// Bytes with zero points: padding counts as the input's zero point.
TEST_P(OpenclConv, Bytes) {
  for (const ConvGeometry& g : {sizes(1, 1, 9, 18, {}, axis(7, 3, 1, 1), axis(6, 3, 2, 1)), sizes(1, 24, 1, 1, {}, axis(7, 3, 1, 1), axis(9, 3, 1, 1))}) {
    const Problem p = problem(g);
    std::vector<std::uint8_t> x(p.x.size());
    std::vector<std::int8_t> w(p.w.size());
    std::vector<std::int32_t> bias(p.bias.begin(), p.bias.end());
    std::transform(p.x.begin(), p.x.end(), x.begin(), [](float f) { return static_cast<std::uint8_t>(f + 128); });
    std::transform(p.w.begin(), p.w.end(), w.begin(), [](float f) { return static_cast<std::int8_t>(f - 3); });
    const std::int8_t weight_zero = -3;
    const ByteWeights bytes{w.data(), true, &weight_zero, 1, 128};
    ConvPacking form;
    KernelText text;
    ConvRange range;
    std::int32_t last = 0;
    if (g.depthwise()) {
      DepthwiseKernel k = depthwise_form(profile(), g, lanes());
      k.input = TENON_DTYPE_UINT8, k.weight = TENON_DTYPE_INT8, k.compute = Compute::i32;
      form = depthwise_packing(g);
      text = depthwise_kernel(k, DenseStore("int"));
      const DepthwiseLaunch launch = depthwise_launch(profile(), k, g);
      range = launch.range, last = launch.blocks_each;
    } else {
      ConvKernel k;
      k.tile = conv_tile(profile(), g.oc, lanes());
      k.input = TENON_DTYPE_UINT8, k.weight = TENON_DTYPE_INT8, k.compute = Compute::i32;
      form.ic = g.ic, form.oc = g.oc, form.taps = g.taps(), form.width = k.tile.width();
      text = conv_kernel(k, DenseStore("int"));
      const ConvLaunch launch = conv_launch(k.tile, g);
      range = launch.range, last = launch.panels_first;
    }
    form.integer = true, form.weight_bytes = 2, form.input_bytes = 1;
    std::vector<char> packed(form.bytes());
    pack_conv_bytes(form, bytes, bias.data(), packed.data());
    const MemHandle in = upload(x), weights = upload(packed);
    std::vector<float> sums = run(text, g, in.get(), weights.get(), last, range);
    for (float& f : sums) {
      std::int32_t i;
      std::memcpy(&i, &f, sizeof i);
      f = static_cast<float>(i);
    }
    EXPECT_EQ(sums, reference_conv(g, p.x, p.w, p.bias, false));
  }
}

TEST_P(OpenclConv, WinogradStaysWithinItsError) {
  const ConvGeometry g = sizes(2, 1, 32, 48, {}, axis(13, 3, 1, 1), axis(18, 3, 1, 1));
  ASSERT_TRUE(suits_winograd(profile(), g));
  Problem p = problem(g);
  for (float& f : p.w) f = std::sin(f * 1.7f);
  const ConvTile tile = conv_tile(profile(), g.oc, lanes());
  const ConvPacking form = winograd_packing(tile, g);
  std::vector<char> packed(winograd_bytes(form));
  pack_winograd(form, p.w.data(), p.bias.data(), packed.data());
  const std::int64_t tiles = winograd_tiles(g);
  const auto floats = [](std::int64_t n) { return upload(std::vector<float>(static_cast<std::size_t>(n))); };
  const MemHandle x = upload(p.x), w = upload(packed), points = floats(kWinogradPoints * tiles * g.ic), products = floats(kWinogradPoints * tiles * g.oc);
  const MemHandle y = floats(g.n * g.out_pixels() * g.oc);
  const WinogradKernel k = winograd_form(profile());
  const auto with_sizes = [](std::vector<KernelArg> args, const ConvGeometry& of, std::vector<KernelArg> more) {
    for (std::int32_t v : of.arguments()) args.push_back(v);
    args.insert(args.end(), more.begin(), more.end());
    return args;
  };
  run_kernel(winograd_input_kernel(k), with_sizes({x.get(), w.get(), points.get(), form.zeros_at()}, g, {4, 5}), winograd_range(k, g, g.ic));
  ConvKernel dense;
  dense.tile = tile, dense.pointwise = dense.batched = true;
  const ConvGeometry product = winograd_product(g);
  const ConvLaunch launch = conv_launch(tile, product);
  run_kernel(conv_kernel(dense, WinogradStore()), with_sizes({points.get(), w.get()}, product, {launch.panels_first, products.get()}), launch.range);
  run_kernel(winograd_output_kernel(k, DenseStore()),
             with_sizes({products.get(), w.get(), form.bytes()}, g, {4, 5, y.get(), static_cast<std::int32_t>(g.out_pixels()), static_cast<std::int32_t>(g.oc)}), winograd_range(k, g, g.oc));
  const std::vector<float> expected = reference_conv(g, p.x, p.w, p.bias, false), got = download(y.get(), expected.size());
  float largest = 0, error = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) largest = std::max(largest, std::abs(expected[i])), error = std::max(error, std::abs(expected[i] - got[i]));
  EXPECT_LE(error, 2e-5f * largest);
}

TEST_P(OpenclConv, Pools) {
  const ConvGeometry windows = sizes(2, 20, 1, 1, {}, axis(9, 3, 2, 1), axis(10, 2, 1, 0, 2)), whole = sizes(2, 35, 1, 1, {}, {}, axis(40, 40));
  for (const ConvGeometry& g : {windows, whole})
    for (const auto kind : {PoolKernel::Kind::max, PoolKernel::Kind::average, PoolKernel::Kind::lp}) {
      const std::vector<float> x = whole_numbers(static_cast<std::size_t>(g.n * g.in_pixels() * g.groups), 5);
      PoolKernel k = pool_form(profile(), g, lanes());
      k.kind = kind;
      k.p = 1;
      const PoolLaunch launch = pool_launch(profile(), k, g);
      const auto count = static_cast<std::size_t>(g.n * g.out_pixels() * g.groups);
      const MemHandle in = upload(x), y = upload(std::vector<float>(count, -1e9f));
      std::vector<KernelArg> args{in.get()};
      for (std::int32_t v : g.arguments()) args.push_back(v);
      for (std::int64_t v : {g.d.in, g.h.in, g.w.in, std::int64_t{launch.pixels_each}}) args.push_back(static_cast<std::int32_t>(v));
      args.insert(args.end(), {y.get(), static_cast<std::int32_t>(g.out_pixels()), static_cast<std::int32_t>(g.groups)});
      run_kernel(pool_kernel(k, DenseStore()), args, launch.range);
      const std::vector<float> expected = reference_pool(g, x, [&](const std::vector<float>& window) {
        if (kind == PoolKernel::Kind::max) return *std::max_element(window.begin(), window.end());
        float sum = 0;
        for (float f : window) sum += kind == PoolKernel::Kind::lp ? std::abs(f) : f;
        return kind == PoolKernel::Kind::lp ? sum : sum / static_cast<float>(window.size());
      });
      EXPECT_THAT(download(y.get(), count), Pointwise(::testing::FloatNear(1e-5f), expected));
    }
}

INSTANTIATE_TEST_SUITE_P(Kernels, OpenclConv, ::testing::Values(0, 8, 16),
                         [](const auto& info) { return info.param == 0 ? std::string("graphics") : "processor_" + std::to_string(info.param); });

}  // namespace
}  // namespace tenon::opencl
