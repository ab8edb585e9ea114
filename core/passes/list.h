// list: every pass, one file each; passes.cpp gives their order and levels.
#pragma once

#include "core/passes/pass.h"

namespace tenon {

// Nodes that nothing reads, and optional outputs that nobody wants.
Status dead_code(PassContext& context);
// Operators that are others under another name: CastLike, some of com.microsoft.
Status canonical_names(PassContext& context);
// Small values that do not depend on inputs; sizes that every run has; constants that only change their form.
Status constant_folding(PassContext& context);
// An If whose condition is constant becomes the branch that is taken.
Status constant_branches(PassContext& context);
// Nodes that hand their input on.
Status identities(PassContext& context);
// Pairs of Reshape, Squeeze, Unsqueeze, Flatten, Transpose and Cast; shapes that need no computing.
Status simplify_shapes(PassContext& context);
// Equal constants become one value.
Status share_constants(PassContext& context);
// Equal nodes become one.
Status common_subexpressions(PassContext& context);
// DequantizeLinear followed by the QuantizeLinear that undoes it.
Status quantize_pairs(PassContext& context);
// BatchNormalization and per-channel constants go into the weights of the Conv, ConvTranspose or Gemm before them.
Status conv_norm(PassContext& context);
// LayerNormalization and RMSNormalization spelled out.
Status outline_norm(PassContext& context);
// Gelu spelled out, by erf or by tanh.
Status outline_gelu(PassContext& context);
// Swish, HardSwish, HardSigmoid and Mish spelled out.
Status outline_activation(PassContext& context);

}  // namespace tenon
