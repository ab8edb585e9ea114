// What the tests of products share: kernels called by hand, whole numbers, profiles of devices that are not there.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "plugins/opencl/codegen/gemm_choice.h"
#include "plugins/opencl/codegen/gemm_pack.h"
#include "tests/unit/opencl/device.h"

namespace tenon::opencl {

// Stores sums as they are.
class Store final : public Epilogue {
 public:
  explicit Store(Compute type) : type_(compute_name(type)) {}
  std::string parameters() const override { return ", __global " + type_ + "* restrict stored, int stored_b, int stored_r"; }
  std::string statements(const std::string& acc, int width, const std::string& b, const std::string& r, const std::string& c) const override {
    const std::string at = "(long)(" + b + ") * stored_b + (long)(" + r + ") * stored_r + (" + c + ")";
    return width == 1 ? "stored[" + at + "] = " + acc + ";" : "vstore" + std::to_string(width) + "(" + acc + ", 0, stored + " + at + ");";
  }
  std::vector<std::string> helpers(const std::vector<int>&) const override { return {}; }

 private:
  std::string type_;
};

// A kernel with its arguments, set one after another.
class Call {
 public:
  explicit Call(const KernelText& text) : built_(device()->kernels->get({&text}).at(0)) {
    cl_int code = 0;
    kernel_ = KernelHandle(device()->api->clCreateKernel(built_.program->program, built_.name.c_str(), &code), device()->api->clReleaseKernel);
    check(code, "a kernel");
  }
  void buffer(const MemHandle& m, bool offset = true) {
    cl_mem mem = m.get();
    put(sizeof mem, &mem);
    const cl_ulong zero = 0;
    if (offset) put(sizeof zero, &zero);
  }
  void number(std::int64_t n) {
    const auto i = static_cast<std::int32_t>(n);
    put(sizeof i, &i);
  }
  // The sizes of a product, M to the last batch stride.
  void sizes(const GemmConfig& config, const GemmProblem& problem, const GemmRange& range) {
    std::array<std::int32_t, kGemmSizes + kGemmBatchSizes> all;
    const int count = gemm_sizes(config, problem, range.row_tiles, all);
    for (int i = 0; i < count; ++i) number(all[static_cast<std::size_t>(i)]);
  }
  void run(const std::array<std::size_t, 3>& global, const std::array<std::size_t, 3>& local) {
    check(device()->api->clEnqueueNDRangeKernel(device()->own_queue(), kernel_.get(), 3, nullptr, global.data(), local.data(), 0, nullptr, nullptr), "a launch");
  }

 private:
  void put(std::size_t size, const void* value) { check(device()->api->clSetKernelArg(kernel_.get(), next_++, size, value), "an argument"); }
  BuiltKernel built_;
  KernelHandle kernel_;
  cl_uint next_ = 0;
};

template <class T>
MemHandle upload(const std::vector<T>& v) {
  MemHandle m = device()->allocate(v.size() * sizeof(T) + 64);
  if (!v.empty()) check(device()->api->clEnqueueWriteBuffer(device()->own_queue(), m.get(), CL_TRUE, 0, v.size() * sizeof(T), v.data(), 0, nullptr, nullptr), "writing");
  return m;
}
template <class T>
std::vector<T> download(const MemHandle& m, std::size_t count) {
  std::vector<T> v(count);
  check(device()->api->clEnqueueReadBuffer(device()->own_queue(), m.get(), CL_TRUE, 0, count * sizeof(T), v.data(), 0, nullptr, nullptr), "reading");
  return v;
}

template <class T>
constexpr std::int32_t dtype_of() {
  if constexpr (std::is_same_v<T, float>) return TENON_DTYPE_FLOAT;
  else if constexpr (std::is_same_v<T, double>) return TENON_DTYPE_DOUBLE;
  else if constexpr (std::is_same_v<T, std::int32_t>) return TENON_DTYPE_INT32;
  else if constexpr (std::is_same_v<T, std::uint64_t>) return TENON_DTYPE_UINT64;
  else if constexpr (std::is_same_v<T, std::uint8_t>) return TENON_DTYPE_UINT8;
  else return TENON_DTYPE_INT8;
}

// Small whole numbers: every type and order of sums gives the same.
template <class T>
std::vector<T> numbers(std::size_t count, int least, int most) {
  std::vector<T> v(count);
  std::uint32_t state = 1;
  for (T& x : v) {
    state = state * 1664525u + 1013904223u;
    x = static_cast<T>(least + static_cast<int>((state >> 16) % static_cast<std::uint32_t>(most - least + 1)));
  }
  return v;
}

inline Profile cpu_profile(std::uint32_t vector) {
  Profile p;
  p.cpu = true;
  p.vector = vector;
  p.compute_units = 2;
  p.max_group = 4096;
  p.group = 1;
  return p;
}
inline Profile gpu_profile(bool local) {
  Profile p;
  p.discrete_local = local;
  p.compute_units = 8;
  p.max_group = 256;
  return p;
}

}  // namespace tenon::opencl
