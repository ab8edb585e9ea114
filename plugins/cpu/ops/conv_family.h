// The files that make up the convolution family. Read-only tables; any thread.
#pragma once

#include "plugins/cpu/op.h"

namespace tenon::cpu {

std::span<const OpRow> plain_conv_rows();      // conv.cpp
std::span<const OpRow> conv_transpose_rows();  // conv_transpose.cpp
std::span<const OpRow> deform_conv_rows();     // conv_deform.cpp
std::span<const OpRow> col2im_rows();          // conv_col2im.cpp

}  // namespace tenon::cpu
