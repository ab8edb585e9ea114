// The list of operator families: one line each here and in families.cpp.
// Read-only tables; any thread.
#pragma once

#include <span>

#include "plugins/opencl/op.h"

namespace tenon::opencl {

std::span<const OpRow> conv_rows();         // Conv and its kin
std::span<const OpRow> pool_rows();         // pools of windows and of whole images
std::span<const OpRow> matmul_rows();       // MatMul, FusedMatMul, Gemm
std::span<const OpRow> matmul_integer_rows();  // MatMulInteger, QLinearMatMul
std::span<const OpRow> matmul_nbits_rows();    // com.microsoft MatMulNBits
std::span<const OpRow> elementwise_rows();  // unary, binary, Where, Clip, Cast, activations
std::span<const OpRow> view_rows();         // Reshape family, Transpose, Slice, Split, Expand: nothing is moved
std::span<const OpRow> softmax_rows();      // Softmax, LogSoftmax
std::span<const OpRow> attention_rows();    // Attention, MultiHeadAttention, GroupQueryAttention, RotaryEmbedding
std::span<const OpRow> recurrent_rows();    // LSTM, GRU, RNN
std::span<const OpRow> norm_rows();         // layer, batch, instance, group and their kin
std::span<const OpRow> movement_rows();     // Concat, Pad, Gather, Scatter and their kin, tensors made of few numbers
std::span<const OpRow> reduce_rows();       // folds along axes
std::span<const OpRow> arg_rows();          // ArgMax, ArgMin, Hardmax
std::span<const OpRow> scan_rows();         // CumSum, CumProd
std::span<const OpRow> topk_rows();         // TopK
std::span<const OpRow> resize_rows();       // Resize
std::span<const OpRow> sample_rows();       // GridSample, AffineGrid
std::span<const OpRow> einsum_rows();       // Einsum
std::span<const OpRow> quantize_rows();     // QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear

// The row of an op; null when no family has it.
const OpRow* find_row(std::string_view domain, std::string_view op_type);
// True where the ranks of a node may be unknown until it is planned.
bool takes_any_rank(const OpRow& row);
// plain_types without the ranks.
Support known_types(const Node& node, const Profile& profile);

}  // namespace tenon::opencl
