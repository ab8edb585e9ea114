// com.microsoft MatMulNBits: A times a constant matrix of 2, 4 or 8 bits a weight.
#include <algorithm>

#include "plugins/cpu/gemm/nbits.h"
#include "plugins/cpu/gemm/nbits_int8.h"
#include "plugins/cpu/gemm/pages.h"
#include "plugins/cpu/ops/matmul.h"

namespace tenon::cpu {
namespace {

constexpr std::int64_t kFewRows = 8;  // up to here the weights are read as they are

enum Input : std::uint32_t { in_a, in_b, in_scales, in_zeros, in_groups, in_bias };

std::int64_t elements(const tenon_value& v) {
  std::int64_t n = 1;
  for (std::int32_t d = 0; d < v.rank; ++d) n *= v.dims[d];
  return n;
}

// Few rows: each worker takes panels of columns.
struct RowsStep {
  gemm::Quantized q;
  const gemm::QuantizedKernels* kernels;
  std::int64_t m;
  float alpha;
  Ref a, c, bias, scratch;
  std::uint64_t scratch_bytes;
  EpiloguePlan epilogue;

  void operator()(const StepContext& context) const {
    const float* x = context.ptr<const float>(a);
    float* y = context.ptr<float>(c);
    const float* add = bias.present() ? context.ptr<const float>(bias) : nullptr;
    const StepContext::Slice panels = context.slice(q.panels(), 64 / q.lanes);
    if (panels.begin == panels.end) return;
    float* sums = nullptr;
    if (q.zeros) {
      sums = worker_scratch<float>(context, scratch, scratch_bytes);
      for (std::int64_t r = 0; r < m; ++r)
        for (std::int64_t b = 0; b < q.blocks; ++b) {
          float sum = 0;
          for (std::int64_t k = b * q.block, end = std::min(q.k, k + q.block); k < end; ++k) sum += x[r * q.k + k];
          sums[r * q.blocks + b] = sum;
        }
    }
    alignas(64) float tile[kFewRows * 16];
    for (std::int64_t p = panels.begin; p < panels.end; ++p) {
      kernels->rows(q, p, x, q.k, m, sums, tile);
      const std::int64_t column = p * q.lanes, n = std::min(q.lanes, q.n - column);
      for (std::int64_t r = 0; r < m; ++r)
        for (std::int64_t j = 0; j < n; ++j) y[r * q.n + column + j] = tile[r * q.lanes + j] * alpha + (add ? add[column + j] : 0);
    }
    if (!epilogue.count) return;
    const std::int64_t column = panels.begin * q.lanes, n = std::min(q.n, panels.end * q.lanes) - column;
    for (std::int64_t r = 0; r < m; ++r) apply_epilogue(epilogue, context, y + r * q.n + column, r * q.n + column, n);
  }
};

// Activations rounded to 8 bits. Rows are cut into tiles, evenly; the tiles are quantized by a step of their own, or by each
// worker for itself where there is only one tile.
struct Int8Tiles {
  gemm::Quantized q;
  const gemm::Int8Kernels* kernels;
  std::int64_t m, tiles;

  std::int64_t row(std::int64_t tile) const { return tile * m / tiles; }
  std::uint64_t bytes() const { return static_cast<std::uint64_t>(m * gemm::Int8Rows::row_bytes(q)); }
  gemm::Int8Rows rows(std::int64_t tile, std::uint8_t* memory) const {
    return {row(tile + 1) - row(tile), memory + row(tile) * gemm::Int8Rows::row_bytes(q)};
  }
};

struct QuantizeStep {
  Int8Tiles t;
  Ref a, to;

  void operator()(const StepContext& context) const {
    const StepContext::Slice tiles = context.slice(t.tiles);
    for (std::int64_t i = tiles.begin; i < tiles.end; ++i)
      t.kernels->quantize(t.q, context.ptr<const float>(a) + t.row(i) * t.q.k, t.q.k, t.rows(i, context.ptr<std::uint8_t>(to)));
  }
};

struct Int8Step {
  Int8Tiles t;
  Ref a, quantized, c, bias;  // a: absent where quantized is ready
  float alpha;
  EpiloguePlan epilogue;

  void operator()(const StepContext& context) const {
    const gemm::Quantized& q = t.q;
    constexpr std::int64_t kPanels = 2, kColumns = 64;
    const std::int64_t width = kPanels * q.lanes, panels = q.panels();
    const StepContext::Slice slice = context.slice(panels, kPanels);
    if (slice.begin == slice.end) return;
    std::uint8_t* rows = a.present() ? worker_scratch<std::uint8_t>(context, quantized, t.bytes()) : context.ptr<std::uint8_t>(quantized);
    if (a.present()) t.kernels->quantize(q, context.ptr<const float>(a), q.k, t.rows(0, rows));
    const float* add = bias.present() ? context.ptr<const float>(bias) : nullptr;
    float* out = context.ptr<float>(c);
    // Columns whose rows of C stay in cache until the epilogue has been there.
    const std::int64_t group = std::max<std::int64_t>(kPanels, (128 << 10) / 4 / (t.m * width) * kPanels);
    for (std::int64_t p0 = slice.begin; p0 < slice.end; p0 += group) {
      const std::int64_t p1 = std::min(slice.end, p0 + group);
      for (std::int64_t p = p0; p < p1; p += kPanels) {
        const std::int64_t column = p * q.lanes, count = std::min(kPanels, p1 - p), n = std::min(count * q.lanes, q.n - column);
        alignas(64) float shift[kColumns] = {};
        if (add) std::copy_n(add + column, n, shift);
        for (std::int64_t i = 0; i < t.tiles; ++i) {
          const gemm::Int8Rows x = t.rows(i, rows);
          float* to = out + t.row(i) * q.n + column;
          if (n == count * q.lanes) {
            t.kernels->tile(q, p, count, x, alpha, shift, to, q.n);
            continue;
          }
          alignas(64) float tile[8 * kColumns];
          t.kernels->tile(q, p, count, x, alpha, shift, tile, kColumns);
          for (std::int64_t r = 0; r < x.rows; ++r) std::copy_n(tile + r * kColumns, n, to + r * q.n);
        }
      }
      if (!epilogue.count) continue;
      const std::int64_t column = p0 * q.lanes, n = std::min(q.n, p1 * q.lanes) - column;
      for (std::int64_t r = 0; r < t.m; ++r) apply_epilogue(epilogue, context, out + r * q.n + column, r * q.n + column, n);
    }
  }
};

class MatMulNBitsOp final : public Op {
 public:
  MatMulNBitsOp(const NodeView& node, CompileContext& context);
  void plan(PlanBuilder& builder) const override;
  bool absorb(const NodeView& next, std::uint32_t slot, std::uint32_t first_input, CompileContext& context) override;

 private:
  void pack(const NodeView& node, CompileContext& context);
  void dequantize(const NodeView& node, CompileContext& context);
  void plan_int8(PlanBuilder& builder, std::int64_t m, Ref bias, const EpiloguePlan& epilogue) const;

  bool plain_;
  gemm::Quantized q_;
  const gemm::Kernels* kernels_;
  const gemm::QuantizedKernels* quantized_;
  const gemm::Int8Kernels* int8_ = nullptr;  // where the model allows it
  const float* dense_ = nullptr;  // [N, K] (plain) or packed: where groups or the oracle ask for float32
  std::uint32_t own_inputs_, inputs_;       // of the node; with those of what was absorbed
  std::int64_t bias_ = -1;
  float alpha_ = 1;
  Epilogue epilogue_;
};

MatMulNBitsOp::MatMulNBitsOp(const NodeView& node, CompileContext& context)
    : plain_(context.options().plain),
      kernels_(&gemm::kernels(context.options().isa)),
      quantized_(&gemm::quantized_kernels(context.options().isa)) {
  own_inputs_ = inputs_ = node.input_count();
  q_.bits = static_cast<std::int32_t>(node.int_or("bits", 4));
  q_.k = node.int_or("K", 0);
  q_.n = node.int_or("N", 0);
  q_.block = node.int_or("block_size", 32);
  q_.blocks = (q_.k + q_.block - 1) / q_.block;
  q_.lanes = quantized_->lanes;
  if (node.has_input(in_bias)) bias_ = in_bias;
  if (node.int_or("accuracy_level", 0) == 4) int8_ = gemm::int8_kernels(context.options().isa);
  if (q_.n == 0) return;
  if (plain_ || node.has_input(in_groups)) dequantize(node, context);
  else pack(node, context);
}

void MatMulNBitsOp::pack(const NodeView& node, CompileContext& context) {
  const std::string form = "nbits/" + std::to_string(q_.bits) + "/" + std::to_string(q_.block) + "/" + std::to_string(q_.n) + "x" +
                           std::to_string(q_.k) + "/" + std::to_string(q_.lanes);
  q_.weights = static_cast<const std::uint32_t*>(
      context.packed(node, in_b, form + "/weights", q_.weight_bytes(), [&](const tenon_const_tensor& from, void* to) {
        gemm::prefer_large_pages(to, q_.weight_bytes());
        gemm::pack_weights(q_, static_cast<const std::uint8_t*>(from.data), static_cast<std::uint32_t*>(to));
      }));
  q_.scales = static_cast<const float*>(
      context.packed(node, in_scales, form + "/scales", q_.scale_bytes(), [&](const tenon_const_tensor& from, void* to) {
        gemm::pack_scales(q_, static_cast<const float*>(from.data), static_cast<float*>(to));
      }));
  if (!node.has_input(in_zeros)) return;
  q_.zeros = static_cast<const float*>(
      context.packed(node, in_zeros, form + "/zeros", q_.scale_bytes(), [&](const tenon_const_tensor& from, void* to) {
        if (from.dtype == TENON_DTYPE_UINT8)
          gemm::pack_zeros(q_, static_cast<const std::uint8_t*>(from.data), static_cast<float*>(to));
        else
          gemm::pack_zeros(q_, static_cast<const float*>(from.data), static_cast<float*>(to));
      }));
}

void MatMulNBitsOp::dequantize(const NodeView& node, CompileContext& context) {
  const auto* weights = static_cast<const std::uint8_t*>(context.constant(node, in_b).data);
  const auto* scales = static_cast<const float*>(context.constant(node, in_scales).data);
  const std::uint8_t* packed_zeros = nullptr;
  const float* float_zeros = nullptr;
  if (node.has_input(in_zeros)) {
    const tenon_const_tensor z = context.constant(node, in_zeros);
    if (z.dtype == TENON_DTYPE_UINT8) packed_zeros = static_cast<const std::uint8_t*>(z.data);
    else float_zeros = static_cast<const float*>(z.data);
  }
  const std::int32_t* groups = nullptr;
  if (node.has_input(in_groups)) {
    groups = static_cast<const std::int32_t*>(context.constant(node, in_groups).data);
    for (std::int64_t k = 0; k < q_.k; ++k)
      if (groups[k] < 0 || groups[k] >= q_.blocks) throw Failure{TENON_OUT_OF_RANGE, "g_idx names no block"};
  }
  // Row n of the dense form is column n of B.
  std::vector<float> columns(plain_ ? 0 : static_cast<std::size_t>(q_.k * kernels_->columns));
  const std::uint64_t floats = plain_ ? static_cast<std::uint64_t>(q_.n * q_.k) : gemm::packed_floats(*kernels_, q_.k, q_.n);
  float* dense = static_cast<float*>(context.alloc(std::max<std::uint64_t>(floats, 16) * sizeof(float)));
  dense_ = dense;
  for (std::int64_t n = 0; n < q_.n;) {
    if (plain_) {
      gemm::dequantize_column(q_, weights, scales, packed_zeros, float_zeros, groups, n, dense + n * q_.k);
      ++n;
      continue;
    }
    const std::int64_t count = std::min(kernels_->columns, q_.n - n);
    for (std::int64_t j = 0; j < count; ++j)
      gemm::dequantize_column(q_, weights, scales, packed_zeros, float_zeros, groups, n + j, columns.data() + j * q_.k);
    gemm::pack_b(*kernels_, columns.data(), 1, q_.k, q_.k, count, dense + n * q_.k);
    n += count;
  }
}

bool MatMulNBitsOp::absorb(const NodeView& next, std::uint32_t slot, std::uint32_t first_input, CompileContext& context) {
  if (plain_ || next.dtype(slot) != TENON_DTYPE_FLOAT) return false;
  if (epilogue_.empty() && bias_ < 0 && next.domain().empty() && next.input_count() == 2) {
    const std::uint32_t other = 1 - slot;
    if (next.op_type() == "Add" && next.rank(other) == 1 && next.input(other).dims[0] == q_.n && next.dtype(other) == TENON_DTYPE_FLOAT &&
        next.rank(slot) >= 1) {
      bias_ = first_input;
      inputs_ = first_input + 1;
      return true;
    }
    float factor;
    if (next.op_type() == "Mul" && next.rank(slot) >= std::max(next.rank(other), 0) && constant_scalar(next, other, context, &factor) &&
        factor > -1e18f && factor < 1e18f) {
      alpha_ *= factor;
      inputs_ = first_input + 1;
      return true;
    }
  }
  if (!epilogue_.add(next, slot, first_input, context)) return false;
  inputs_ = first_input + next.input_count() - 1;
  return true;
}

void MatMulNBitsOp::plan_int8(PlanBuilder& builder, std::int64_t m, Ref bias, const EpiloguePlan& epilogue) const {
  const Int8Tiles tiles{q_, int8_, m, (m + int8_->rows - 1) / int8_->rows};
  const double products = static_cast<double>(m) * static_cast<double>(q_.n) * static_cast<double>(q_.k);
  StepOptions options;
  options.est_ns = 60 + products / 128 + static_cast<double>(q_.n) * static_cast<double>(q_.k) * q_.bits / 8 / 16;
  Int8Step step{tiles, {}, {}, builder.out_ref(0), bias, alpha_, epilogue};
  if (tiles.tiles == 1) {
    step.a = builder.in_ref(in_a);
    step.quantized = builder.scratch(tiles.bytes());
    builder.step("product.nbits.int8", step, options);
    return;
  }
  step.quantized = builder.temp(tiles.bytes());
  StepOptions quantizing;
  quantizing.est_ns = static_cast<double>(m) * static_cast<double>(q_.k) * 0.2;
  const Ref a[] = {builder.in_ref(in_a)}, temp[] = {step.quantized};
  builder.step("quantize", QuantizeStep{tiles, a[0], temp[0]}, quantizing, a, temp);
  std::vector<Ref> reads{step.quantized};
  if (bias.operand != TENON_NO_VALUE) reads.push_back(bias);
  for (std::uint32_t i = own_inputs_; i < inputs_; ++i)
    if (const Ref r = builder.in_ref(i); r.operand != TENON_NO_VALUE) reads.push_back(r);
  const Ref writes[] = {step.c};
  builder.step("product.nbits.int8", step, options, reads, writes);
}

void MatMulNBitsOp::plan(PlanBuilder& builder) const {
  const gemm::View a = gemm::View::dense(builder.in(in_a));
  if (a.rank == 0 || a.dims[a.rank - 1] != q_.k) throw Failure{TENON_INVALID_ARGUMENT, "A has not K columns"};
  gemm::Problem p;
  p.m = 1;
  for (int d = 0; d + 1 < a.rank; ++d) p.m *= a.dims[d];
  p.n = q_.n, p.k = q_.k, p.a_row = q_.k, p.b_k = 1, p.b_column = q_.k, p.c_row = q_.n, p.alpha = alpha_;
  const Ref bias = bias_ >= 0 ? builder.in_ref(static_cast<std::uint32_t>(bias_)) : Ref{};
  if (bias_ >= 0 && builder.in(static_cast<std::uint32_t>(bias_)).count() != q_.n)
    throw Failure{TENON_INVALID_ARGUMENT, "bias has not N elements"};
  if (p.m == 0 || p.n == 0) return;
  if (plain_) {
    gemm::emit_reference(builder, "product.nbits", TENON_DTYPE_FLOAT, p, builder.in_ref(in_a), Ref{TENON_NO_VALUE, dense_},
                         builder.out_ref(0), {bias, 0, 1, 1});
    return;
  }
  EpiloguePlan epilogue;
  if (!epilogue_.empty()) epilogue = epilogue_.plan(builder);
  if (!dense_ && int8_) return plan_int8(builder, p.m, bias, epilogue);
  if (!dense_ && p.m <= kFewRows && p.k > 0) {
    RowsStep step{q_, quantized_, p.m, alpha_, builder.in_ref(in_a), builder.out_ref(0), bias, {}, 0, epilogue};
    if (q_.zeros) {
      step.scratch_bytes = static_cast<std::uint64_t>(p.m * q_.blocks) * sizeof(float);
      step.scratch = builder.scratch(step.scratch_bytes);
    }
    StepOptions options;
    options.est_ns = 60 + static_cast<double>(q_.n) * static_cast<double>(q_.k) * q_.bits / 8 / 8;
    builder.step("product.nbits", step, options);
    return;
  }
  gemm::ProductStep step;
  step.gemm = dense_ ? gemm::plan(*kernels_, p, true) : gemm::plan_quantized(*kernels_, p, *quantized_, q_);
  step.a = builder.in_ref(in_a);
  step.b = Ref{TENON_NO_VALUE, dense_ ? static_cast<const void*>(dense_) : q_.weights};
  step.c = builder.out_ref(0);
  step.bias = bias;
  step.epilogue = epilogue;
  gemm::emit(builder, "product.nbits", step);
}

bool constant(const NodeView& node, std::uint32_t i) { return !node.has_input(i) || node.is_constant(i); }

}  // namespace

Support supports_matmul_nbits(const NodeView& node) {
  if (!node.has_input(in_a) || !node.has_input(in_b) || !node.has_input(in_scales))
    return Support::no(TENON_REJECT_OTHER, "A, B and scales are expected");
  const std::int64_t bits = node.int_or("bits", 4), block = node.int_or("block_size", 32), k = node.int_or("K", -1),
                     n = node.int_or("N", -1);
  if (bits != 2 && bits != 4 && bits != 8) return Support::no(TENON_REJECT_ATTRIBUTE, "bits is none of 2, 4, 8");
  if (block < 16 || (block & (block - 1)) != 0 || block > 65536)
    return Support::no(TENON_REJECT_ATTRIBUTE, "block_size is no power of two from 16");
  if (k < 1 || n < 0 || k > (std::int64_t{1} << 31) || n > (std::int64_t{1} << 31))
    return Support::no(TENON_REJECT_ATTRIBUTE, "K or N is out of range");
  if (node.dtype(in_a) != TENON_DTYPE_FLOAT || node.dtype(in_scales) != TENON_DTYPE_FLOAT || node.dtype(in_b) != TENON_DTYPE_UINT8)
    return Support::no(TENON_REJECT_DTYPE, "float A and scales, uint8 B");
  for (std::uint32_t i : {in_b, in_scales, in_zeros, in_groups})
    if (!constant(node, i)) return Support::no(TENON_REJECT_NEEDS_CONSTANT, "quantized weights must be constant");
  const std::int64_t blocks = (k + block - 1) / block;
  const tenon_value& b = node.input(in_b);
  if (b.rank < 0 || elements(b) != n * blocks * (block * bits / 8))
    return Support::no(TENON_REJECT_OTHER, "B has another size than N, K, bits and block_size say");
  if (node.input(in_scales).rank < 0 || elements(node.input(in_scales)) != n * blocks)
    return Support::no(TENON_REJECT_OTHER, "scales are not one per block");
  if (node.has_input(in_zeros)) {
    const bool packed = node.dtype(in_zeros) == TENON_DTYPE_UINT8;
    if (!packed && node.dtype(in_zeros) != TENON_DTYPE_FLOAT) return Support::no(TENON_REJECT_DTYPE, "zero points are uint8 or float");
    const std::int64_t want = packed ? n * ((blocks * bits + 7) / 8) : n * blocks;
    if (node.input(in_zeros).rank < 0 || elements(node.input(in_zeros)) != want)
      return Support::no(TENON_REJECT_OTHER, "zero points are not one per block");
  }
  if (node.has_input(in_groups) &&
      (node.dtype(in_groups) != TENON_DTYPE_INT32 || node.input(in_groups).rank < 0 || elements(node.input(in_groups)) < k))
    return Support::no(TENON_REJECT_OTHER, "g_idx is not one int32 per row");
  if (node.has_input(in_bias) && node.dtype(in_bias) != TENON_DTYPE_FLOAT) return Support::no(TENON_REJECT_DTYPE, "bias is not float");
  return Support::yes();
}

std::unique_ptr<Op> make_matmul_nbits(const NodeView& node, CompileContext& context) {
  return std::make_unique<MatMulNBitsOp>(node, context);
}

double matmul_nbits_flops(const NodeView& node) {
  if (node.rank(in_a) < 1) return 0;
  double rows = 1;
  const tenon_value& a = node.input(in_a);
  for (std::int32_t d = 0; d + 1 < a.rank; ++d) rows *= static_cast<double>(std::max<std::int64_t>(a.dim_opt[d], 0));
  return 2 * rows * static_cast<double>(node.int_or("K", 0)) * static_cast<double>(node.int_or("N", 0));
}

}  // namespace tenon::cpu
