// The files that make up the convolution family, and what they share. Read-only tables and pure functions; any thread.
#pragma once

#include <span>

#include "plugins/opencl/codegen/conv_geometry.h"
#include "plugins/opencl/op.h"
#include "plugins/opencl/ops/conv_window.h"

namespace tenon::opencl {

std::span<const OpRow> dense_conv_rows();  // conv.cpp: Conv
std::span<const OpRow> transposed_conv_rows();  // conv_transpose.cpp
std::span<const OpRow> byte_conv_rows();        // conv_bytes.cpp: ConvInteger, QLinearConv

// Operations of a node whose inputs 0 and 1 are input and weights [oc, ic / group, kernel...].
double conv_flops(const Node& node);
// Input, weights and bias of one float type, and a window that kernels know.
Support supports_float_conv(const Node& node, const Profile& profile);
// Sizes, checked against each other. Throws Failure.
ConvGeometry conv_geometry(const ConvWindow& window, std::int64_t groups, const Dims& x, const Dims& w, const Dims& y);
// What weights alone tell: channels and taps.
ConvGeometry weight_geometry(const Dims& w, std::int64_t groups);

}  // namespace tenon::opencl
