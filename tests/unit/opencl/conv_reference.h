// What convolutions and pools are to give, written down plainly, and a way to run a generated kernel.
//
// Inputs and outputs are channels-last; values are small whole numbers, so that sums are exact in any order. Tests only.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <variant>
#include <vector>

#include "plugins/opencl/codegen/conv_geometry.h"
#include "plugins/opencl/codegen/epilogue.h"
#include "tests/unit/opencl/device.h"

namespace tenon::opencl {

// Stores [b, r, c] densely as float (or int): its parameters are the output, then int rows and columns.
class DenseStore final : public Epilogue {
 public:
  explicit DenseStore(std::string type = "float") : type_(std::move(type)) {}
  std::string parameters() const override;
  std::string statements(const std::string& acc, int width, const std::string& b, const std::string& r, const std::string& c) const override;
  std::vector<std::string> helpers(const std::vector<int>&) const override { return {}; }

 private:
  std::string type_;
};

// Kernel arguments: a buffer stands for base and offset.
using KernelArg = std::variant<cl_mem, std::int32_t, std::uint64_t>;
void run_kernel(const KernelText& text, const std::vector<KernelArg>& args, const ConvRange& range);

// Elements on the device and back.
MemHandle upload(const void* data, std::uint64_t bytes);
template <class T>
MemHandle upload(const std::vector<T>& v) {
  return upload(v.data(), v.size() * sizeof(T));
}
std::vector<float> download(cl_mem from, std::size_t count);

// [n, pixels, groups * oc] of x [n, pixels, groups * ic] and w [groups * oc][ic][taps], or transposed w [groups * ic][oc][taps].
std::vector<float> reference_conv(const ConvGeometry& g, const std::vector<float>& x, const std::vector<float>& w, const std::vector<float>& bias, bool transposed);
// fold over the inputs of each window: called with the numbers inside.
std::vector<float> reference_pool(const ConvGeometry& g, const std::vector<float>& x, const std::function<float(const std::vector<float>&)>& fold);

// Whole numbers from -range to range, the same for each seed.
std::vector<float> whole_numbers(std::size_t count, unsigned seed, int range = 4);

// An axis with `out` made to fit.
ConvAxis axis(std::int64_t in, std::int64_t kernel, std::int64_t stride = 1, std::int64_t pad = 0, std::int64_t dilation = 1);
ConvAxis transposed_axis(std::int64_t in, std::int64_t kernel, std::int64_t stride = 1, std::int64_t pad = 0, std::int64_t dilation = 1);

// Devices that kernels are written for; all run wherever the test does.
Profile processor(std::uint32_t vector);
Profile graphics();

}  // namespace tenon::opencl
