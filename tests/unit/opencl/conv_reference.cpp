#include "tests/unit/opencl/conv_reference.h"

#include <random>

namespace tenon::opencl {

std::string DenseStore::parameters() const { return ", __global char* y_base, ulong y_at, int y_rows, int y_columns"; }

std::string DenseStore::statements(const std::string& acc, int width, const std::string& b, const std::string& r, const std::string& c) const {
  const std::string y = "((__global " + type_ + "*)(y_base + y_at) + ((size_t)(" + b + ") * y_rows + (" + r + ")) * y_columns + (" + c + "))";
  return width == 1 ? "*" + y + " = " + acc + ";" : "vstore" + std::to_string(width) + "(" + acc + ", 0, " + y + ");";
}

void run_kernel(const KernelText& text, const std::vector<KernelArg>& args, const ConvRange& range) {
  const Api& api = *device()->api;
  const BuiltKernel built = device()->kernels->get({&text}).at(0);
  cl_int code = 0;
  const KernelHandle k(api.clCreateKernel(built.program->program, built.name.c_str(), &code), api.clReleaseKernel);
  check(code, "a kernel");
  cl_uint at = 0;
  const auto set = [&](const auto& v) { check(api.clSetKernelArg(k.get(), at, sizeof v, &v), "argument " + std::to_string(at)), ++at; };
  for (const KernelArg& a : args) {
    std::visit(set, a);
    if (std::holds_alternative<cl_mem>(a)) set(std::uint64_t{0});
  }
  const std::size_t global[] = {range.global[0], range.global[1], range.global[2]}, local[] = {range.local, 1, 1};
  check(api.clEnqueueNDRangeKernel(device()->own_queue(), k.get(), 3, nullptr, global, local, 0, nullptr, nullptr), "a launch");
  check(api.clFinish(device()->own_queue()), "a run");
}

MemHandle upload(const void* data, std::uint64_t bytes) {
  MemHandle m = device()->allocate(std::max<std::uint64_t>(bytes, 1));
  if (bytes) check(device()->api->clEnqueueWriteBuffer(device()->own_queue(), m.get(), CL_TRUE, 0, bytes, data, 0, nullptr, nullptr), "writing");
  return m;
}

std::vector<float> download(cl_mem from, std::size_t count) {
  std::vector<float> out(count);
  check(device()->api->clEnqueueReadBuffer(device()->own_queue(), from, CL_TRUE, 0, count * sizeof(float), out.data(), 0, nullptr, nullptr), "reading");
  return out;
}

namespace {

// Calls fn(output pixel, input pixel, tap) for all that meet.
template <class Fn>
void each_tap(const ConvGeometry& g, bool transposed, const Fn& fn) {
  const auto meets = [&](const ConvAxis& a, std::int64_t o, std::int64_t k, std::int64_t& i) {
    i = transposed ? o + a.pad - k * a.dilation : o * a.stride - a.pad + k * a.dilation;
    if (transposed && i % a.stride != 0) return false;
    if (transposed) i /= a.stride;
    return i >= 0 && i < a.in;
  };
  for (std::int64_t oz = 0; oz < g.d.out; ++oz)
    for (std::int64_t oy = 0; oy < g.h.out; ++oy)
      for (std::int64_t ox = 0; ox < g.w.out; ++ox)
        for (std::int64_t t = 0; t < g.taps(); ++t) {
          std::int64_t iz, iy, ix;
          if (meets(g.d, oz, t / (g.h.kernel * g.w.kernel), iz) && meets(g.h, oy, t / g.w.kernel % g.h.kernel, iy) && meets(g.w, ox, t % g.w.kernel, ix))
            fn((oz * g.h.out + oy) * g.w.out + ox, (iz * g.h.in + iy) * g.w.in + ix, t);
        }
}

}  // namespace

std::vector<float> reference_conv(const ConvGeometry& g, const std::vector<float>& x, const std::vector<float>& w, const std::vector<float>& bias, bool transposed) {
  const std::int64_t channels = g.groups * g.ic, outs = g.groups * g.oc;
  std::vector<float> y(static_cast<std::size_t>(g.n * g.out_pixels() * outs));
  for (std::int64_t n = 0; n < g.n; ++n) {
    for (std::int64_t p = 0; p < g.out_pixels(); ++p)
      for (std::int64_t o = 0; o < outs; ++o) y[static_cast<std::size_t>((n * g.out_pixels() + p) * outs + o)] = bias[static_cast<std::size_t>(o)];
    each_tap(g, transposed, [&](std::int64_t out, std::int64_t in, std::int64_t t) {
      for (std::int64_t o = 0; o < outs; ++o)
        for (std::int64_t i = 0; i < g.ic; ++i) {
          const std::int64_t group = o / g.oc, c = group * g.ic + i;
          const std::int64_t weight = (transposed ? c * g.oc + o % g.oc : o * g.ic + i) * g.taps() + t;
          y[static_cast<std::size_t>((n * g.out_pixels() + out) * outs + o)] +=
              x[static_cast<std::size_t>((n * g.in_pixels() + in) * channels + c)] * w[static_cast<std::size_t>(weight)];
        }
    });
  }
  return y;
}

std::vector<float> reference_pool(const ConvGeometry& g, const std::vector<float>& x, const std::function<float(const std::vector<float>&)>& fold) {
  std::vector<std::vector<float>> windows(static_cast<std::size_t>(g.n * g.out_pixels() * g.groups));
  for (std::int64_t n = 0; n < g.n; ++n)
    each_tap(g, false, [&](std::int64_t out, std::int64_t in, std::int64_t) {
      for (std::int64_t c = 0; c < g.groups; ++c)
        windows[static_cast<std::size_t>((n * g.out_pixels() + out) * g.groups + c)].push_back(x[static_cast<std::size_t>((n * g.in_pixels() + in) * g.groups + c)]);
    });
  std::vector<float> y;
  for (const auto& window : windows) y.push_back(fold(window));
  return y;
}

std::vector<float> whole_numbers(std::size_t count, unsigned seed, int range) {
  std::mt19937 engine(seed);
  std::vector<float> v(count);
  for (float& f : v) f = static_cast<float>(static_cast<int>(engine() % static_cast<unsigned>(2 * range + 1)) - range);
  return v;
}

ConvAxis axis(std::int64_t in, std::int64_t kernel, std::int64_t stride, std::int64_t pad, std::int64_t dilation) {
  return {in, (in + 2 * pad - (kernel - 1) * dilation - 1) / stride + 1, kernel, stride, dilation, pad};
}

ConvAxis transposed_axis(std::int64_t in, std::int64_t kernel, std::int64_t stride, std::int64_t pad, std::int64_t dilation) {
  return {in, (in - 1) * stride + (kernel - 1) * dilation + 1 - 2 * pad, kernel, stride, dilation, pad};
}

Profile processor(std::uint32_t vector) {
  Profile p;
  p.cpu = true, p.vector = vector, p.group = 1;
  return p;
}

Profile graphics() {
  Profile p;
  p.vector = 4, p.group = 64;
  return p;
}

}  // namespace tenon::opencl
