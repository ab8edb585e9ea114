// ConvForm: which kernel a convolution uses and how its weights are packed for it, from the sizes of its weights.
//
// Made in make where weights are constant, else in plan; immutable. Any thread.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "plugins/opencl/codegen/conv.h"
#include "plugins/opencl/codegen/conv_depthwise.h"
#include "plugins/opencl/codegen/conv_weights.h"
#include "plugins/opencl/codegen/winograd.h"
#include "plugins/opencl/op.h"

namespace tenon::opencl {

struct ConvTypes {
  std::int32_t input = TENON_DTYPE_FLOAT, weight = TENON_DTYPE_FLOAT, bias = TENON_DTYPE_FLOAT;
  Compute compute = Compute::f32;  // i32: bytes

  static ConvTypes floating(std::int32_t dtype) { return {dtype, dtype, dtype, compute_of(dtype)}; }
  static ConvTypes bytes(std::int32_t input, std::int32_t weight) { return {input, weight, TENON_DTYPE_INT32, Compute::i32}; }
};

struct ConvForm {
  ConvTypes types;  // input: as the kernel reads it
  bool depthwise = false, transposed = false, winograd = false;
  ConvTile tile;  // dense
  ConvPacking packing;

  // groups, ic, oc and taps of g are the weights'.
  static ConvForm make(const Profile& profile, const ConvTypes& types, const ConvGeometry& g, bool transposed = false);
  // For sizes that suits_winograd; float32, or narrower.
  static ConvForm make_winograd(const Profile& profile, const ConvTypes& types, const ConvGeometry& g);
  // Of the packed buffer.
  std::uint64_t bytes() const { return winograd ? winograd_bytes(packing) : packing.bytes(); }
  std::string id() const { return packing.key() + ":" + dtype_text(types.weight) + ":" + dtype_text(types.input) + (winograd ? ":winograd" : ""); }
};

// Packs weights and bias (may be absent: count 0) from host memory.
void pack_on_host(const ConvForm& form, std::span<const tenon_const_tensor> weights_and_bias, void* out);

// Zero points of bytes; not present: 0.
struct ConvZeros {
  Tensor input, weight;
};
// The packed weights as a temp, made by a launch.
Tensor pack_on_device(PlanBuilder& builder, const ConvForm& form, const Tensor& weights, const Tensor& bias, const ConvZeros& zeros);

// Emits the convolution. weights: Arg::weight or Arg::in of what was packed. A float input with few channels is read as it lies.
void launch_conv(PlanBuilder& builder, const ConvForm& form, const ConvGeometry& g, const Tensor& x, Arg weights, const Epilogue& epilogue, std::vector<Arg> epilogue_args);

}  // namespace tenon::opencl
