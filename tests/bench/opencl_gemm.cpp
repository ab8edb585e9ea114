// Float32 products of the OpenCL provider's generator beside the CPU provider's on the same processor and, where libclblast is installed,
// CLBlast's on the same OpenCL device.
//
//   opencl_gemm_bench [--clblast] [M N K [batch]]
//
// Each number is the fastest of many runs, one kernel and the wait for it; the CPU provider runs on as many threads as the processor has
// cores. CLBlast compiles for half a minute first.
#include <algorithm>
#include <barrier>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <dlfcn.h>

#include "plugins/cpu/gemm/sgemm.h"
#include "plugins/opencl/codegen/gemm_choice.h"
#include "plugins/opencl/codegen/gemm_pack.h"
#include "plugins/opencl/device/device.h"

namespace {

using namespace tenon::opencl;
namespace cpu = tenon::cpu::gemm;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

double fastest(const std::function<void()>& f) {
  double best = 1e9;
  const double until = now() + 0.3;
  for (int rounds = 0; now() < until || rounds < 3; ++rounds) {
    const double t0 = now();
    f();
    best = std::min(best, now() - t0);
  }
  return best;
}

// Stores sums as they are.
class Store final : public Epilogue {
 public:
  std::string parameters() const override { return ", __global float* restrict stored, int stored_b, int stored_r"; }
  std::string statements(const std::string& acc, int width, const std::string& b, const std::string& r, const std::string& c) const override {
    const std::string at = "(long)(" + b + ") * stored_b + (long)(" + r + ") * stored_r + (" + c + ")";
    return width == 1 ? "stored[" + at + "] = " + acc + ";" : "vstore" + std::to_string(width) + "(" + acc + ", 0, stored + " + at + ");";
  }
  std::vector<std::string> helpers(const std::vector<int>&) const override { return {}; }
};

class Kernel {
 public:
  Kernel(const Device& device, const KernelText& text) : device_(device), built_(device.kernels->get({&text}).at(0)) {
    cl_int code = 0;
    kernel_ = KernelHandle(device.api->clCreateKernel(built_.program->program, built_.name.c_str(), &code), device.api->clReleaseKernel);
    check(code, "a kernel");
  }
  template <class T>
  void put(const T& value) {
    check(device_.api->clSetKernelArg(kernel_.get(), next_++, sizeof value, &value), "an argument");
  }
  void buffer(cl_mem mem, bool offset = true) {
    put(mem);
    if (offset) put(cl_ulong{0});
  }
  void enqueue(const GemmRange& range) const {
    check(device_.api->clEnqueueNDRangeKernel(device_.own_queue(), kernel_.get(), 3, nullptr, range.global.data(), range.local.data(), 0, nullptr, nullptr), "a launch");
  }
  void finish() const { check(device_.api->clFinish(device_.own_queue()), "waiting"); }

 private:
  const Device& device_;
  BuiltKernel built_;
  KernelHandle kernel_;
  cl_uint next_ = 0;
};

std::vector<float> numbers(std::int64_t count) {
  std::vector<float> v(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = static_cast<float>(static_cast<int>(i * 2654435761u >> 24 & 255) - 128) / 128;
  return v;
}

MemHandle upload(const Device& device, const std::vector<float>& v) {
  MemHandle m = device.allocate(v.size() * 4);
  check(device.api->clEnqueueWriteBuffer(device.own_queue(), m.get(), CL_TRUE, 0, v.size() * 4, v.data(), 0, nullptr, nullptr), "writing");
  return m;
}

// The CPU provider's product on all cores.
double cpu_seconds(std::int64_t batch, std::int64_t m, std::int64_t n, std::int64_t k, bool weights) {
  const cpu::Kernels& kernels = cpu::kernels(tenon::cpu::detect_isa());
  const std::vector<float> a = numbers(batch * m * k), b = numbers(batch * k * n);
  std::vector<float> c(static_cast<std::size_t>(batch * m * n));
  cpu::Problem p;
  p.m = m, p.n = n, p.k = k, p.a_row = k, p.b_k = n, p.c_row = n;
  p.push_batch(batch, m * k, weights ? 0 : k * n, m * n);
  const bool packed = weights && cpu::wants_packing(n);
  const auto floats = static_cast<std::size_t>(cpu::packed_floats(kernels, k, n));
  float* panels = static_cast<float*>(std::aligned_alloc(64, (floats * 4 + 127) / 64 * 64));
  if (packed) cpu::pack_b(kernels, b.data(), n, 1, k, n, panels);
  const cpu::Gemm gemm = cpu::plan(kernels, p, packed);
  const unsigned workers = std::max(1u, std::thread::hardware_concurrency());
  const std::size_t scratch_bytes = (gemm.scratch_bytes + 127) / 64 * 64;
  char* scratch = static_cast<char*>(std::aligned_alloc(64, scratch_bytes * workers));
  const auto part = [&](unsigned w) {
    cpu::RunArgs args{a.data(), packed ? panels : b.data(), c.data(), nullptr, scratch + scratch_bytes * w};
    args.worker = w, args.workers = workers;
    cpu::run(gemm, args);
  };
  std::barrier start(workers), end(workers);
  bool stop = false;
  std::vector<std::thread> gang;
  for (unsigned w = 1; w < workers; ++w)
    gang.emplace_back([&, w] {
      for (;;) {
        start.arrive_and_wait();
        if (stop) return;
        part(w);
        end.arrive_and_wait();
      }
    });
  const double best = fastest([&] {
    start.arrive_and_wait();
    part(0);
    end.arrive_and_wait();
  });
  stop = true;
  start.arrive_and_wait();
  for (std::thread& t : gang) t.join();
  std::free(panels);
  std::free(scratch);
  return best;
}

// CLBlast's C API, opened when it is there.
using Sgemm = int (*)(int layout, int a_turned, int b_turned, std::size_t m, std::size_t n, std::size_t k, float alpha, cl_mem a, std::size_t a_at, std::size_t a_row,
                      cl_mem b, std::size_t b_at, std::size_t b_row, float beta, cl_mem c, std::size_t c_at, std::size_t c_row, cl_command_queue* queue, cl_event* event);
Sgemm clblast() {
  void* library = dlopen("libclblast.so.1", RTLD_NOW);
  return library ? reinterpret_cast<Sgemm>(dlsym(library, "CLBlastSgemm")) : nullptr;
}

// weights: B is packed before; else it is read as it is.
void measure(const Device& device, Sgemm peer, std::int64_t batch, std::int64_t m, std::int64_t n, std::int64_t k, bool weights) {
  const Profile& profile = device.profile;
  const std::vector<float> a = numbers(batch * m * k), b = numbers(batch * k * n);
  GemmConfig config = choose_gemm(profile, Compute::f32, panel_columns(profile, Compute::f32, n), m, k);
  config.batched = batch > 1;
  GemmProblem p;
  p.m = m, p.n = n, p.k = k, p.a_row = k, p.b_k = n, p.b_panel = config.columns;
  p.batch[3] = batch, p.a_batch[3] = m * k, p.b_batch[3] = k * n;
  const MemHandle a_memory = upload(device, a), b_memory = upload(device, b), c_memory = device.allocate(static_cast<std::uint64_t>(batch * m * n) * 4);
  MemHandle packed_memory;
  if (weights) {
    std::vector<float> packed(static_cast<std::size_t>(packed_panel_bytes(k, n, config.columns, 4) / 4));
    pack_panels(b.data(), n, 1, k, n, config.columns, 4, packed.data());
    packed_memory = upload(device, packed);
    p.b_k = config.columns, p.b_panel = k * config.columns, p.b_batch[3] = 0;
  }
  Kernel kernel(device, gemm_kernel(config, Store()));
  kernel.buffer(a_memory.get());
  kernel.buffer(weights ? packed_memory.get() : b_memory.get());
  const GemmRange range = gemm_range(config, p, profile.compute_units);
  std::array<std::int32_t, kGemmSizes + kGemmBatchSizes> sizes;
  const int count = gemm_sizes(config, p, range.row_tiles, sizes);
  for (int i = 0; i < count; ++i) kernel.put(sizes[static_cast<std::size_t>(i)]);
  kernel.buffer(c_memory.get(), false);
  kernel.put(static_cast<std::int32_t>(m * n));
  kernel.put(static_cast<std::int32_t>(n));
  const double ours = fastest([&] {
    kernel.enqueue(range);
    kernel.finish();
  });
  const double theirs = cpu_seconds(batch, m, n, k, weights), flops = 2.0 * static_cast<double>(batch * m * n * k) * 1e-9;
  std::printf("%-7s %3ld x %5ld x %5ld x %5ld  opencl %9.1f us %7.1f GF/s   cpu provider %9.1f us %7.1f GF/s   %4.0f %%", weights ? "weights" : "values", static_cast<long>(batch),
              static_cast<long>(m), static_cast<long>(n), static_cast<long>(k), ours * 1e6, flops / ours, theirs * 1e6, flops / theirs, 100 * theirs / ours);
  if (peer && batch == 1) {
    cl_command_queue queue = device.own_queue();
    const auto size = [](std::int64_t x) { return static_cast<std::size_t>(x); };
    const double clblast_seconds = fastest([&] {
      cl_event event = nullptr;
      if (peer(101, 111, 111, size(m), size(n), size(k), 1, a_memory.get(), 0, size(k), b_memory.get(), 0, size(n), 0, c_memory.get(), 0, size(n), &queue, &event) == 0) {
        device.api->clWaitForEvents(1, &event);
        device.api->clReleaseEvent(event);
      }
    });
    std::printf("   clblast %9.1f us, %.0f x", clblast_seconds * 1e6, clblast_seconds / ours);
  }
  std::puts("");
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) try {
  int next = 1;
  Sgemm peer = nullptr;
  if (argc > next && std::string(argv[next]) == "--clblast") ++next, peer = clblast();
  const auto api = load_api("");
  const Device device(Host{}, api, select(enumerate_devices(*api), "any").at(0), DeviceOptions{});
  std::printf("%s\n", device.profile.name.c_str());
  if (argc - next >= 3) {
    const long batch = argc - next > 3 ? std::atol(argv[next + 3]) : 1;
    measure(device, peer, batch, std::atol(argv[next]), std::atol(argv[next + 1]), std::atol(argv[next + 2]), batch == 1);
    return 0;
  }
  struct Sizes {
    long m, n, k;
  };
  for (auto [m, n, k] : std::initializer_list<Sizes>{
           {512, 768, 3072}, {128, 768, 768}, {128, 3072, 768}, {128, 768, 3072}, {1024, 1024, 1024}, {384, 1024, 4096}, {49, 2048, 512}, {197, 768, 768}, {1500, 384, 1536},
           {1, 768, 768}, {1, 3072, 768}, {1, 1000, 2048}, {1, 4096, 4096}, {4, 4096, 4096}, {8, 4096, 4096}})
    measure(device, peer, 1, m, n, k, true);
  for (auto [m, n, k] : std::initializer_list<Sizes>{{1024, 1024, 1024}, {512, 512, 512}}) measure(device, peer, 1, m, n, k, false);
  for (auto [m, n, k] : std::initializer_list<Sizes>{{128, 64, 128}, {197, 64, 197}, {512, 64, 512}}) measure(device, nullptr, 12, m, n, k, false);
  return 0;
} catch (const Failure& f) {
  std::fprintf(stderr, "%s\n", f.text.c_str());
  return 1;
}
