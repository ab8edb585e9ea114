#include "plugins/cpu/ops/moe_weights.h"

#include <algorithm>
#include <cstring>

#include "plugins/cpu/ops/reduce_types.h"

namespace tenon::cpu {
namespace {

constexpr std::int64_t kRowBlock = 128;  // where one scale serves a whole output

std::uint32_t code_at(const std::uint8_t* bytes, std::int64_t index, std::int32_t bits) {
  const std::int64_t at = index * bits;
  std::uint32_t word = bytes[at / 8];
  if (at % 8 + bits > 8) word |= std::uint32_t{bytes[at / 8 + 1]} << 8;
  return word >> (at % 8) & ((1u << bits) - 1);
}

std::int64_t elements(const tenon_const_tensor& t) {
  std::int64_t n = 1;
  for (std::uint64_t d = 0; d < t.rank; ++d) n *= t.dims[d];
  return n;
}

// Zero points as they are stored: for each output a row of the blocks' ones, or all outputs in one row.
struct ZeroPoints {
  const std::uint8_t* bytes = nullptr;
  std::int32_t bits = 0;
  std::int64_t n = 0, blocks = 0;
  bool by_block = false;

  std::int64_t expert_bytes() const { return by_block ? n * ((blocks * bits + 7) / 8) : (n * bits + 7) / 8; }
  float at(std::int64_t expert, std::int64_t output, std::int64_t b) const {
    const std::uint8_t* from = bytes + expert * expert_bytes();
    if (by_block) return static_cast<float>(code_at(from + output * ((blocks * bits + 7) / 8), b, bits));
    return static_cast<float>(code_at(from, output, bits));
  }
};

}  // namespace

ExpertWeights::ExpertWeights(const NodeView& node, CompileContext& context, std::uint32_t input, const ExpertCoding& coding)
    : input_(input), plain_(context.options().plain), coded_(coding.bits != 0), kernels_(&gemm::kernels(context.options().isa, context.options().precision)),
      quantized_kernels_(&gemm::quantized_kernels(context.options().isa)) {
  if (!node.is_constant(input)) return;
  const tenon_const_tensor w = context.constant(node, input);
  if (w.rank != 3) invalid_argument("the weights of the experts must have rank 3");
  experts_ = w.dims[0], n_ = w.dims[1], k_ = coded_ ? w.dims[2] * 8 / coding.bits : w.dims[2];
  if (coded_) {
    if (plain_) decode(node, context, coding);
    else pack(node, context, coding);
    return;
  }
  packed_ = !plain_ && gemm::wants_packing(n_);
  if (!packed_) {
    dense_ = static_cast<const float*>(w.data);
    return;
  }
  const std::uint64_t floats = gemm::packed_floats(*kernels_, k_, n_);
  const std::string form = gemm::packed_layout(*kernels_, k_, n_) + "/experts/" + std::to_string(experts_) + "x" + std::to_string(n_) + "x" + std::to_string(k_);
  dense_ = static_cast<const float*>(context.packed(
      node, input, form, std::max<std::uint64_t>(floats * static_cast<std::uint64_t>(experts_), 16) * sizeof(float),
      [&](const tenon_const_tensor& from, void* to) {
        for (std::int64_t e = 0; e < experts_; ++e)
          gemm::pack_b(*kernels_, static_cast<const float*>(from.data) + e * n_ * k_, 1, k_, k_, n_,
                       static_cast<float*>(to) + static_cast<std::uint64_t>(e) * floats);
      }));
}

// Codes of 3 bits become codes of 4: 4 more, so that zero is where 4 bits have it.
void ExpertWeights::pack(const NodeView& node, CompileContext& context, const ExpertCoding& coding) {
  gemm::Quantized& q = quantized_;
  q.bits = coding.bits == 3 ? 4 : coding.bits;
  q.k = k_, q.n = n_, q.block = coding.block > 0 ? coding.block : kRowBlock, q.lanes = quantized_kernels_->lanes;
  q.blocks = (k_ + q.block - 1) / q.block;
  const std::int64_t scales = coding.block > 0 ? q.blocks : 1, row_bytes = q.blocks * q.block * q.bits / 8;
  if (elements(context.constant(node, coding.scales)) != experts_ * n_ * scales)
    invalid_argument("the scales of the experts' weights must be one for each block, or one for each output without block_size");
  const std::string form = "experts/" + std::to_string(coding.bits) + "/" + std::to_string(coding.block) + "/" + std::to_string(experts_) +
                           "x" + std::to_string(n_) + "x" + std::to_string(k_) + "/" + std::to_string(q.lanes);
  const auto all = static_cast<std::uint64_t>(experts_);
  q.weights = static_cast<const std::uint32_t*>(context.packed(
      node, input_, form + "/weights", std::max<std::uint64_t>(q.weight_bytes() * all, 64), [&](const tenon_const_tensor& from, void* to) {
        std::vector<std::uint8_t> rows(static_cast<std::size_t>(n_ * row_bytes));
        const std::int64_t stored = k_ * coding.bits / 8;
        for (std::int64_t e = 0; e < experts_; ++e) {
          const auto* bytes = static_cast<const std::uint8_t*>(from.data) + e * n_ * stored;
          for (std::int64_t n = 0; n < n_; ++n) {
            std::uint8_t* row = rows.data() + n * row_bytes;
            if (coding.bits != 3) {
              std::memcpy(row, bytes + n * stored, static_cast<std::size_t>(stored));
              continue;
            }
            std::fill(row, row + row_bytes, std::uint8_t{0});
            for (std::int64_t k = 0; k < k_; ++k)
              row[k / 2] = static_cast<std::uint8_t>(row[k / 2] | (code_at(bytes + n * stored, k, 3) + 4) << (k % 2 * 4));
          }
          gemm::pack_weights(q, rows.data(), static_cast<std::uint32_t*>(to) + static_cast<std::uint64_t>(e) * q.weight_bytes() / 4);
        }
      }));
  std::vector<float> row(static_cast<std::size_t>(n_ * q.blocks));
  q.scales = static_cast<const float*>(
      context.packed(node, coding.scales, form + "/scales", std::max<std::uint64_t>(q.scale_bytes() * all, 64),
                     [&](const tenon_const_tensor& from, void* to) {
                       for (std::int64_t e = 0; e < experts_; ++e) {
                         const auto* values = static_cast<const float*>(from.data) + e * n_ * scales;
                         for (std::int64_t i = 0; i < n_ * q.blocks; ++i)
                           row[static_cast<std::size_t>(i)] = values[scales == 1 ? i / q.blocks : i];
                         gemm::pack_scales(q, row.data(), static_cast<float*>(to) + static_cast<std::uint64_t>(e) * q.scale_bytes() / 4);
                       }
                     }));
  if (!node.has_input(coding.zeros) || coding.bits == 3) return;
  ZeroPoints zeros{nullptr, coding.bits, n_, q.blocks, coding.block > 0};
  if (elements(context.constant(node, coding.zeros)) != experts_ * zeros.expert_bytes())
    invalid_argument("the zero points of the experts' weights do not fit");
  q.zeros = static_cast<const float*>(
      context.packed(node, coding.zeros, form + "/zeros", std::max<std::uint64_t>(q.scale_bytes() * all, 64),
                     [&](const tenon_const_tensor& from, void* to) {
                       zeros.bytes = static_cast<const std::uint8_t*>(from.data);
                       for (std::int64_t e = 0; e < experts_; ++e) {
                         for (std::int64_t i = 0; i < n_ * q.blocks; ++i)
                           row[static_cast<std::size_t>(i)] = zeros.at(e, i / q.blocks, i % q.blocks);
                         gemm::pack_zeros(q, row.data(), static_cast<float*>(to) + static_cast<std::uint64_t>(e) * q.scale_bytes() / 4);
                       }
                     }));
}

void ExpertWeights::decode(const NodeView& node, CompileContext& context, const ExpertCoding& coding) {
  const std::int64_t block = coding.block > 0 ? coding.block : std::max<std::int64_t>(k_, 1), blocks = (k_ + block - 1) / block;
  const tenon_const_tensor scales = context.constant(node, coding.scales);
  if (elements(scales) != experts_ * n_ * std::max<std::int64_t>(blocks, coding.block > 0 ? 0 : 1))
    invalid_argument("the scales of the experts' weights must be one for each block, or one for each output without block_size");
  ZeroPoints zeros{nullptr, coding.bits, n_, blocks, coding.block > 0};
  if (node.has_input(coding.zeros)) {
    const tenon_const_tensor z = context.constant(node, coding.zeros);
    if (elements(z) != experts_ * zeros.expert_bytes()) invalid_argument("the zero points of the experts' weights do not fit");
    zeros.bytes = static_cast<const std::uint8_t*>(z.data);
  }
  const auto* bytes = static_cast<const std::uint8_t*>(context.constant(node, input_).data);
  auto* to =
      static_cast<float*>(context.alloc(std::max<std::uint64_t>(static_cast<std::uint64_t>(experts_ * n_ * k_), 16) * sizeof(float)));
  dense_ = to;
  for (std::int64_t e = 0; e < experts_; ++e)
    for (std::int64_t n = 0; n < n_; ++n)
      for (std::int64_t k = 0; k < k_; ++k) {
        const float zero = zeros.bytes ? zeros.at(e, n, k / block) : static_cast<float>(1 << (coding.bits - 1));
        const float code = static_cast<float>(code_at(bytes + (e * n_ + n) * (k_ * coding.bits / 8), k, coding.bits));
        *to++ = (code - zero) * static_cast<const float*>(scales.data)[(e * n_ + n) * blocks + k / block];
      }
}

ExpertWeights ExpertWeights::resolved(const PlanBuilder& builder) const {
  ExpertWeights w = *this;
  if (w.dense_ || w.quantized_.weights) return w;
  const Shape& shape = builder.in(input_);
  if (shape.rank() != 3) invalid_argument("the weights of the experts must have rank 3");
  w.experts_ = shape[0], w.n_ = shape[1], w.k_ = shape[2], w.ref_ = builder.in_ref(input_);
  return w;
}

gemm::Quantized ExpertWeights::of_expert(std::int64_t expert) const {
  gemm::Quantized q = quantized_;
  q.weights += static_cast<std::uint64_t>(expert) * q.weight_bytes() / 4;
  q.scales += static_cast<std::uint64_t>(expert) * q.scale_bytes() / 4;
  if (q.zeros) q.zeros += static_cast<std::uint64_t>(expert) * q.scale_bytes() / 4;
  return q;
}

gemm::Gemm ExpertWeights::product(std::int64_t rows, std::int64_t expert) const {
  gemm::Problem p;
  p.m = rows, p.n = n_, p.k = k_;
  p.a_row = k_, p.b_k = 1, p.b_column = k_, p.c_row = n_;
  if (quantized_.weights) return gemm::plan_quantized(*kernels_, p, *quantized_kernels_, of_expert(expert));
  return gemm::plan(*kernels_, p, packed_);
}

std::uint64_t ExpertWeights::scratch_bytes() const {
  if (plain_) return 64;
  std::uint64_t most = static_cast<std::uint64_t>(few_rows * quantized_.blocks) * sizeof(float) + 64;
  for (std::int64_t rows = 1; rows <= most_rows; ++rows) most = std::max(most, product(rows, 0).scratch_bytes);
  return most;
}

void ExpertWeights::run(const StepContext& c, std::int64_t expert, std::int64_t rows, const float* x, float* y, const float* bias,
                        void* scratch) const {
  const float* dense = ref_.present() ? c.ptr<const float>(ref_) : dense_;
  if (plain_) {
    const auto slice = c.slice(rows * n_);
    for (std::int64_t i = slice.begin; i < slice.end; ++i) {
      const float *a = x + i / n_ * k_, *w = dense + (expert * n_ + i % n_) * k_;
      double sum = bias ? static_cast<double>(bias[i % n_]) : 0;
      for (std::int64_t k = 0; k < k_; ++k) sum += static_cast<double>(a[k]) * static_cast<double>(w[k]);
      y[i] = static_cast<float>(sum);
    }
    return;
  }
  if (quantized_.weights && rows <= few_rows && k_ > 0)
    return run_few(c, of_expert(expert), rows, x, y, bias, static_cast<float*>(scratch));
  gemm::RunArgs args{};
  args.a = x, args.c = y, args.bias = bias, args.scratch = scratch, args.worker = c.worker, args.workers = c.workers;
  if (!quantized_.weights)
    args.b = dense + static_cast<std::uint64_t>(expert) *
                         (packed_ ? gemm::packed_floats(*kernels_, k_, n_) : static_cast<std::uint64_t>(n_ * k_));
  gemm::run(product(rows, expert), args);
}

void ExpertWeights::run_few(const StepContext& c, const gemm::Quantized& q, std::int64_t rows, const float* x, float* y, const float* bias,
                            float* sums) const {
  const auto panels = c.slice(q.panels(), 64 / q.lanes);
  if (panels.begin == panels.end) return;
  if (q.zeros)
    for (std::int64_t i = 0; i < rows * q.blocks; ++i) {
      const float* row = x + i / q.blocks * k_;
      sums[i] = 0;
      for (std::int64_t k = i % q.blocks * q.block, end = std::min(k_, k + q.block); k < end; ++k) sums[i] += row[k];
    }
  alignas(64) float tile[few_rows * 16];
  for (std::int64_t p = panels.begin; p < panels.end; ++p) {
    quantized_kernels_->rows(q, p, x, k_, rows, q.zeros ? sums : nullptr, tile);
    const std::int64_t column = p * q.lanes, n = std::min(q.lanes, n_ - column);
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t j = 0; j < n; ++j) y[r * n_ + column + j] = tile[r * q.lanes + j] + (bias ? bias[column + j] : 0);
  }
}

}  // namespace tenon::cpu
