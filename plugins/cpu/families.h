// The list of operator families: one line each here and in families.cpp.
// Read-only tables; any thread.
#pragma once

#include "plugins/cpu/op.h"

namespace tenon::cpu {

std::span<const OpRow> elementwise_rows();  // unary, binary, Where, Clip, Cast, activations
std::span<const OpRow> movement_rows();     // Reshape family, Transpose, Slice, Concat, Split, Expand, Tile, Pad, Range, strings...
std::span<const OpRow> gather_rows();       // Gather*, Scatter*, OneHot, Compress, NonZero, Unique, NMS...
std::span<const OpRow> reduce_rows();       // Reduce*, ArgMax/Min, CumSum, TopK
std::span<const OpRow> norm_rows();         // LayerNormalization, RMS, Instance, Group, BatchNormalization, Softmax family, LRN
std::span<const OpRow> matmul_rows();       // MatMul, Gemm, Einsum, MatMulNBits, FusedMatMul
std::span<const OpRow> conv_rows();         // Conv, ConvTranspose
std::span<const OpRow> pool_rows();         // Max, Average, Global pools
std::span<const OpRow> quantize_rows();     // Q/DQ, DynamicQuantizeLinear, MatMulInteger, ConvInteger, QLinear*
std::span<const OpRow> recurrent_rows();    // LSTM, GRU, RNN
std::span<const OpRow> byte_recurrent_rows();  // DynamicQuantizeLSTM
std::span<const OpRow> ml_rows();           // ai.onnx.ml
std::span<const OpRow> random_rows();       // Random*, Multinomial, Bernoulli, Dropout
std::span<const OpRow> resize_rows();       // Resize, GridSample, AffineGrid
std::span<const OpRow> attention_rows();    // Attention, RotaryEmbedding and their com.microsoft kin
std::span<const OpRow> image_rows();        // ImageDecoder
std::span<const OpRow> optimizer_rows();    // Adagrad, Adam, Momentum
std::span<const OpRow> mixture_rows();      // MoE, QMoE
std::span<const OpRow> microsoft_rows();    // operators of com.microsoft that belong to no other family
std::span<const OpRow> signal_rows();       // DFT, STFT, windows, MelWeightMatrix, losses

// Ops without a node, put in by the program. One input, one output.
std::unique_ptr<Op> make_reorder(std::int32_t from_block, std::int32_t to_block);  // ops/reorder.cpp
std::unique_ptr<Op> make_convert(std::int32_t from_dtype, std::int32_t to_dtype);  // ops/cast.cpp: half types to and from float32
std::unique_ptr<Op> make_copy();                                                   // ops/reshape.cpp

// The row of an op; null when no family has it.
const OpRow* find_row(std::string_view domain, std::string_view op_type);

}  // namespace tenon::cpu
