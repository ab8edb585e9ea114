// Source of 3x3 convolutions with stride 1 by Winograd's F(4x4, 3x3): transformed tiles of 6x6 inputs, 36 products, tiles of 4x4 outputs.
//
// A quarter of the multiplications of a plain convolution, at the price of two temps and a little accuracy: errors stay within 2e-5 of the
// largest output. Images are channels-last, channels a multiple of the vector. Pure functions; any thread.
#pragma once

#include <cstdint>

#include "plugins/opencl/codegen/conv.h"
#include "plugins/opencl/codegen/conv_geometry.h"
#include "plugins/opencl/codegen/conv_weights.h"
#include "plugins/opencl/codegen/epilogue.h"
#include "plugins/opencl/device/kernels.h"
#include "plugins/opencl/device/profile.h"

namespace tenon::opencl {

inline constexpr int kWinogradPoints = 36;

// Whether the sizes are those for which it has been measured to win.
bool suits_winograd(const Profile& profile, const ConvGeometry& g);
std::int64_t winograd_tiles(const ConvGeometry& g);

// The packed buffer: ConvPacking of 36 groups, then a bias for each output channel, as many as columns of a group.
ConvPacking winograd_packing(const ConvTile& tile, const ConvGeometry& g);
std::uint64_t winograd_bytes(const ConvPacking& p);
// weights: [oc][ic][3][3]; bias: oc, or null.
void pack_winograd(const ConvPacking& p, const float* weights, const float* bias, void* out);

struct WinogradKernel {
  int vec = 16, local = 1;
};
WinogradKernel winograd_form(const Profile& profile);

// Input to transformed tiles [36][tiles][ic]. Parameters: x, packed weights, out (base and byte offset each), ulong zeros (ConvPacking::zeros_at),
// conv_size_parameters(), int tiles_h, tiles_w.
KernelText winograd_input_kernel(const WinogradKernel& k);
// The 36 products: conv_kernel of this description and sizes, batched and pointwise, with an epilogue that stores [36][tiles][oc]: its
// parameters are that buffer.
class WinogradStore final : public Epilogue {
 public:
  std::string parameters() const override;
  std::string statements(const std::string& acc, int width, const std::string& b, const std::string& r, const std::string& c) const override;
  std::vector<std::string> helpers(const std::vector<int>&) const override { return {}; }
};
ConvGeometry winograd_product(const ConvGeometry& g);
// Products to outputs. Parameters: products, packed weights (base and byte offset each), ulong biases (ConvPacking::bytes),
// conv_size_parameters(), int tiles_h, tiles_w, then the epilogue's.
KernelText winograd_output_kernel(const WinogradKernel& k, const Epilogue& epilogue);
ConvRange winograd_range(const WinogradKernel& k, const ConvGeometry& g, std::int64_t channels);

}  // namespace tenon::opencl
