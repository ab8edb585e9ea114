// The convolutions of ResNet-50 and MobileNetV2 through the OpenCL provider's generator, layer by layer: plain, depthwise and Winograd.
//
//   opencl_conv_bench [resnet50|mobilenet_v2]
//
// Each number is the fastest of many runs of a layer's kernels and the wait for them; layers that occur often count as often. Images are
// channels-last, one at a time; nothing follows the convolution.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "plugins/opencl/codegen/conv_depthwise.h"
#include "plugins/opencl/codegen/winograd.h"
#include "plugins/opencl/device/device.h"

namespace {

using namespace tenon::opencl;

struct Layer {
  std::int64_t size, ic, oc, kernel, stride;
  bool depthwise;
  int times;
};

const std::vector<Layer> kResnet50 = {
    {224, 3, 64, 7, 2, false, 1},   {56, 64, 64, 1, 1, false, 1},    {56, 64, 64, 3, 1, false, 3},   {56, 64, 256, 1, 1, false, 4},   {56, 256, 64, 1, 1, false, 2},
    {56, 256, 128, 1, 1, false, 1}, {56, 128, 128, 3, 2, false, 1},  {28, 128, 128, 3, 1, false, 3}, {28, 128, 512, 1, 1, false, 4},  {56, 256, 512, 1, 2, false, 1},
    {28, 512, 128, 1, 1, false, 3}, {28, 512, 256, 1, 1, false, 1},  {28, 256, 256, 3, 2, false, 1}, {14, 256, 256, 3, 1, false, 5},  {14, 256, 1024, 1, 1, false, 6},
    {28, 512, 1024, 1, 2, false, 1}, {14, 1024, 256, 1, 1, false, 5}, {14, 1024, 512, 1, 1, false, 1}, {14, 512, 512, 3, 2, false, 1}, {7, 512, 512, 3, 1, false, 2},
    {7, 512, 2048, 1, 1, false, 3}, {14, 1024, 2048, 1, 2, false, 1}, {7, 2048, 512, 1, 1, false, 2}};
const std::vector<Layer> kMobilenet = {
    {224, 3, 32, 3, 2, false, 1},  {112, 32, 32, 3, 1, true, 1},  {112, 32, 16, 1, 1, false, 1}, {112, 16, 96, 1, 1, false, 1}, {112, 96, 96, 3, 2, true, 1},  {56, 96, 24, 1, 1, false, 1},
    {56, 24, 144, 1, 1, false, 2}, {56, 144, 144, 3, 1, true, 1}, {56, 144, 24, 1, 1, false, 1}, {56, 144, 144, 3, 2, true, 1}, {28, 144, 32, 1, 1, false, 1}, {28, 32, 192, 1, 1, false, 3},
    {28, 192, 192, 3, 1, true, 2}, {28, 192, 32, 1, 1, false, 2}, {28, 192, 192, 3, 2, true, 1}, {14, 192, 64, 1, 1, false, 1}, {14, 64, 384, 1, 1, false, 4}, {14, 384, 384, 3, 1, true, 4},
    {14, 384, 64, 1, 1, false, 3}, {14, 384, 96, 1, 1, false, 1}, {14, 96, 576, 1, 1, false, 3}, {14, 576, 576, 3, 1, true, 2}, {14, 576, 96, 1, 1, false, 2}, {14, 576, 576, 3, 2, true, 1},
    {7, 576, 160, 1, 1, false, 1}, {7, 160, 960, 1, 1, false, 3}, {7, 960, 960, 3, 1, true, 3},  {7, 960, 160, 1, 1, false, 2}, {7, 960, 320, 1, 1, false, 1}, {7, 320, 1280, 1, 1, false, 1}};

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// Stores what it gets at [r, c].
class Store final : public Epilogue {
 public:
  std::string parameters() const override { return ", __global float* restrict stored, int stored_r"; }
  std::string statements(const std::string& acc, int width, const std::string&, const std::string& r, const std::string& c) const override {
    const std::string at = "(long)(" + r + ") * stored_r + (" + c + ")";
    return width == 1 ? "stored[" + at + "] = " + acc + ";" : "vstore" + std::to_string(width) + "(" + acc + ", 0, stored + " + at + ");";
  }
  std::vector<std::string> helpers(const std::vector<int>&) const override { return {}; }
};

class Kernel {
 public:
  Kernel(const Device& device, const KernelText& text, const ConvRange& range) : device_(device), built_(device.kernels->get({&text}).at(0)), range_(range) {
    cl_int code = 0;
    kernel_ = KernelHandle(device.api->clCreateKernel(built_.program->program, built_.name.c_str(), &code), device.api->clReleaseKernel);
    check(code, "a kernel");
  }
  template <class T>
  Kernel& put(const T& value) {
    check(device_.api->clSetKernelArg(kernel_.get(), next_++, sizeof value, &value), "an argument");
    return *this;
  }
  Kernel& buffer(const MemHandle& m) { return put(m.get()).put(cl_ulong{0}); }
  Kernel& sizes(const ConvGeometry& g) {
    for (std::int32_t v : g.arguments()) put(v);
    return *this;
  }
  void enqueue() const {
    const std::size_t global[] = {range_.global[0], range_.global[1], range_.global[2]}, local[] = {range_.local, 1, 1};
    check(device_.api->clEnqueueNDRangeKernel(device_.own_queue(), kernel_.get(), 3, nullptr, global, local, 0, nullptr, nullptr), "a launch");
  }

 private:
  const Device& device_;
  BuiltKernel built_;
  ConvRange range_;
  KernelHandle kernel_;
  cl_uint next_ = 0;
};

double fastest(const Device& device, const std::vector<Kernel>& kernels) {
  double best = 1e9;
  const double until = now() + 0.2;
  for (int rounds = 0; now() < until || rounds < 3; ++rounds) {
    const double t0 = now();
    for (const Kernel& k : kernels) k.enqueue();
    check(device.api->clFinish(device.own_queue()), "waiting");
    best = std::min(best, now() - t0);
  }
  return best;
}

MemHandle filled(const Device& device, std::uint64_t bytes) {
  MemHandle m = device.allocate(bytes);
  const std::vector<float> half((bytes + 3) / 4, 0.5f);
  check(device.api->clEnqueueWriteBuffer(device.own_queue(), m.get(), CL_TRUE, 0, bytes, half.data(), 0, nullptr, nullptr), "writing");
  return m;
}

double measure(const Device& device, const Layer& layer) {
  const Profile& profile = device.profile;
  ConvGeometry g;
  g.groups = layer.depthwise ? layer.ic : 1, g.ic = layer.depthwise ? 1 : layer.ic, g.oc = layer.depthwise ? 1 : layer.oc;
  g.h = {layer.size, (layer.size + layer.stride - 1) / layer.stride, layer.kernel, layer.stride, 1, layer.kernel / 2};
  g.w = g.h;
  const auto columns = static_cast<std::int32_t>(layer.oc), lanes = static_cast<std::int32_t>(profile.vector);
  const auto floats = [&](std::int64_t n) { return filled(device, static_cast<std::uint64_t>(n) * 4); };
  const MemHandle x = floats(g.in_pixels() * layer.ic), y = floats(g.out_pixels() * layer.oc);
  std::vector<Kernel> kernels;
  std::string how = "plain";
  MemHandle w, points, products;
  if (layer.depthwise) {
    how = "depthwise";
    w = filled(device, depthwise_packing(g).bytes());
    const DepthwiseKernel k = depthwise_form(profile, g, lanes);
    const DepthwiseLaunch launch = depthwise_launch(profile, k, g);
    kernels.emplace_back(device, depthwise_kernel(k, Store()), launch.range).buffer(x).buffer(w).sizes(g).put(launch.blocks_each).put(y.get()).put(columns);
  } else if (suits_winograd(profile, g)) {
    how = "winograd";
    const ConvTile tile = conv_tile(profile, g.oc, lanes);
    const ConvPacking packing = winograd_packing(tile, g);
    w = filled(device, winograd_bytes(packing));
    const std::int64_t tiles = winograd_tiles(g);
    points = floats(kWinogradPoints * tiles * g.ic), products = floats(kWinogradPoints * tiles * g.oc);
    const WinogradKernel k = winograd_form(profile);
    const auto side = static_cast<std::int32_t>((g.h.out + 3) / 4);
    const ConvGeometry product = winograd_product(g);
    const ConvLaunch launch = conv_launch(tile, product);
    ConvKernel dense;
    dense.tile = tile, dense.pointwise = dense.batched = true;
    kernels.emplace_back(device, winograd_input_kernel(k), winograd_range(k, g, g.ic)).buffer(x).buffer(w).buffer(points).put(cl_ulong{packing.zeros_at()}).sizes(g).put(side).put(side);
    kernels.emplace_back(device, conv_kernel(dense, WinogradStore()), launch.range).buffer(points).buffer(w).sizes(product).put(launch.panels_first).buffer(products);
    kernels.emplace_back(device, winograd_output_kernel(k, Store()), winograd_range(k, g, g.oc))
        .buffer(products).buffer(w).put(cl_ulong{packing.bytes()}).sizes(g).put(side).put(side).put(y.get()).put(columns);
  } else {
    ConvKernel k;
    k.tile = conv_tile(profile, g.oc, lanes), k.pointwise = g.pointwise();
    if (g.ic <= 4 && !k.pointwise) k.channels = static_cast<int>(g.ic), k.planar = true;
    ConvPacking packing;
    packing.ic = g.ic, packing.oc = g.oc, packing.taps = g.taps(), packing.width = k.tile.width();
    w = filled(device, packing.bytes());
    const ConvLaunch launch = conv_launch(k.tile, g);
    kernels.emplace_back(device, conv_kernel(k, Store()), launch.range).buffer(x).buffer(w).sizes(g).put(launch.panels_first).put(y.get()).put(columns);
  }
  const double seconds = fastest(device, kernels), flops = 2e-9 * static_cast<double>(g.out_pixels() * layer.oc) * static_cast<double>(g.ic * g.taps());
  std::printf("%3ld x %4ld -> %4ld  %ldx%ld/%ld  x%d  %-9s %9.1f us %7.1f GF/s\n", static_cast<long>(layer.size), static_cast<long>(layer.ic), static_cast<long>(layer.oc),
              static_cast<long>(layer.kernel), static_cast<long>(layer.kernel), static_cast<long>(layer.stride), layer.times, how.c_str(), seconds * 1e6, flops / seconds);
  std::fflush(stdout);
  return seconds * layer.times;
}

}  // namespace

int main(int argc, char** argv) try {
  auto api = load_api("");
  const Device device(Host{}, api, select(enumerate_devices(*api), "any").at(0), DeviceOptions{});
  const std::string wanted = argc > 1 ? argv[1] : "";
  for (const auto& [name, layers] : {std::pair{"resnet50", &kResnet50}, std::pair{"mobilenet_v2", &kMobilenet}}) {
    if (!wanted.empty() && wanted != name) continue;
    double sum = 0;
    for (const Layer& layer : *layers) sum += measure(device, layer);
    std::printf("%s: %.2f ms\n", name, sum * 1e3);
  }
  return 0;
} catch (const Failure& f) {
  std::fprintf(stderr, "%s\n", f.text.c_str());
  return 1;
}
