#include "plugins/cpu/ops/byte_matmul.h"

#include <algorithm>
#include <string>

#include "plugins/cpu/amx/tiles.h"
#include "plugins/cpu/gemm/byte_tiles.h"
#include "plugins/cpu/ops/byte_finish.h"
#include "plugins/cpu/ops/quantize.h"

namespace tenon::cpu {
namespace {

constexpr std::uint32_t a_input = 0, b_input = 1, a_zero_input = 2, b_zero_input = 3;
constexpr std::int64_t most_rows = 2 * gemm::byte_tile_rows;  // rows of A that are made ready together
constexpr std::int64_t chunk_panels = 16;                     // panels of B between which rows are finished

bool single(const NodeView& node, std::uint32_t input) {
  const tenon_value& v = node.input(input);
  return v.rank == 0 || (v.rank == 1 && v.dims[0] == 1);
}

struct ByteProduct {
  const gemm::ByteKernels* kernels;
  const ByteFinish* finish;
  gemm::ByteForm form;
  const std::int8_t* packed;
  const std::int32_t* zeros;  // of B's columns; null: all 0
  bool a_signed, real, tiles;
  std::int64_t m, chunks;
  Ref a, a_zero, y, scratch;
  EpiloguePlan epilogue;

  // This worker's memory: corrections of all columns, sums of a tile row, copies of rows of A where they are needed.
  std::int64_t row_bytes() const { return form.quads() * 4; }
  bool copies() const { return a_signed || form.piece % 4 != 0; }
  std::int64_t sums_row() const { return kernels->panels * gemm::byte_columns; }
  // Rows of a tile, and of a block of them.
  std::int64_t tallest() const { return tiles ? most_rows : gemm::byte_rows; }
  std::int64_t block_rows() const { return tiles ? most_rows : 4 * gemm::byte_rows; }
  std::uint64_t groups_at() const {
    const std::int64_t bytes = form.padded() * 4 + tallest() * sums_row() * 4 + (copies() ? block_rows() * row_bytes() : 0);
    return static_cast<std::uint64_t>(bytes + 63) / 64 * 64;
  }
  std::uint64_t scratch_bytes() const { return groups_at() + static_cast<std::uint64_t>(tiles ? 2 * gemm::byte_group_bytes(form) : 0); }

  void operator()(const StepContext& c) const {
    if (!tiles) return run(c);
#if defined(__x86_64__)
    const amx::TileScope scope;
    run(c);
#endif
  }
  void run(const StepContext& c) const {
    auto* add = worker_scratch<std::int32_t>(c, scratch, scratch_bytes());
    auto* sums = add + form.padded();
    auto* copied = reinterpret_cast<std::uint8_t*>(sums + tallest() * sums_row());
    auto* groups = reinterpret_cast<std::uint8_t*>(add) + groups_at();
    std::int32_t zero =
        a_zero.present() ? read_quantized(c.ptr<const void>(a_zero), a_signed ? TENON_DTYPE_INT8 : TENON_DTYPE_UINT8, 0) : 0;
    if (a_signed) zero += 128;
    const std::int32_t* column_sums = form.sums(packed);
    for (std::int64_t j = 0; j < form.padded(); ++j) add[j] = -zero * column_sums[j];
    const std::uint8_t *rows[most_rows], *tile[gemm::byte_rows];
    std::int32_t row_sums[most_rows];
    std::int64_t ready = -1;
    // Tiles as even as can be, and blocks of tiles too: workers get the same.
    const std::int64_t tile_count = (m + tallest() - 1) / tallest(), blocks = (m + block_rows() - 1) / block_rows();
    const auto tile_row = [&](std::int64_t t) { return t * m / tile_count; };
    const auto [begin, end] = c.slice(blocks * chunks);
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t block = i / chunks, first_tile = block * tile_count / blocks, last_tile = (block + 1) * tile_count / blocks;
      const std::int64_t first_row = tile_row(first_tile), height = tile_row(last_tile) - first_row;
      if (block != ready) {
        prepare(c.ptr<const std::uint8_t>(a) + first_row * form.piece, height, zero, copied, rows, row_sums);
        for (std::int64_t r = 0; tiles && r < height; r += gemm::byte_tile_rows)
          gemm::gather_byte_rows(form, rows + r, std::min(gemm::byte_tile_rows, height - r),
                                 groups + r / gemm::byte_tile_rows * gemm::byte_group_bytes(form));
      }
      ready = block;
      const std::int64_t first = i % chunks * chunk_panels, last = std::min(first + chunk_panels, form.panels());
      // Panels stay in the first cache while the tiles of the block go by.
      for (std::int64_t p = first; p < last; p += kernels->panels) {
        const std::int64_t wide = std::min(kernels->panels, last - p), column = p * gemm::byte_columns;
        const std::int64_t n = std::min(wide * gemm::byte_columns, form.n - column);
        for (std::int64_t t = first_tile; t < last_tile; ++t) {
          const std::int64_t row = tile_row(t), count = tile_row(t + 1) - row, r = row - first_row;
          if (!tiles) std::copy_n(rows + r, count, tile);
          multiply(tile, groups, p, wide, count, sums);
          for (std::int64_t h = 0; h < count; ++h)
            store(c, sums + h * sums_row(), add + column, row_sums[r + h], column, n, (row + h) * form.n + column);
        }
      }
      if (!epilogue.count) continue;
      const std::int64_t column = first * gemm::byte_columns, n = std::min(last * gemm::byte_columns, form.n) - column;
      for (std::int64_t h = 0; h < height; ++h) {
        const std::int64_t at = (first_row + h) * form.n + column;
        apply_epilogue(epilogue, c, c.ptr<float>(y) + at, at, n);
      }
    }
  }

  void multiply(const std::uint8_t* const* tile, const std::uint8_t* groups, std::int64_t panel, std::int64_t wide, std::int64_t count,
                std::int32_t* sums) const {
    const std::int8_t* w = packed + panel * form.panel_bytes();
    if (!tiles)
      return kernels->tile(tile, 0, 1, form.quads(), w, form.panel_bytes(), count, wide, sums, sums_row());
    for (std::int64_t p = 0; p < wide; p += 2)
      gemm::multiply_byte_tiles(form, {groups, count > gemm::byte_tile_rows ? 2 : 1, w + p * form.panel_bytes(),
                                       std::min<std::int64_t>(2, wide - p), nullptr, sums + p * gemm::byte_columns, sums_row()});
  }

  // Where the rows of a block are; their sums less zero points only where B's zero points need them.
  void prepare(const std::uint8_t* from, std::int64_t height, std::int32_t zero, std::uint8_t* copied, const std::uint8_t** rows,
               std::int32_t* row_sums) const {
    for (std::int64_t h = 0; h < height; ++h) {
      const std::uint8_t* x = from + h * form.piece;
      if (copies()) {
        std::uint8_t* to = copied + h * row_bytes();
        const std::uint8_t flip = a_signed ? 0x80 : 0;
        for (std::int64_t k = 0; k < form.piece; ++k) to[k] = x[k] ^ flip;
        std::fill(to + form.piece, to + row_bytes(), std::uint8_t{0});
        x = to;
      }
      rows[h] = x;
      if (!zeros) continue;
      std::int32_t sum = 0;
      for (std::int64_t k = 0; k < form.piece; ++k) sum += x[k];
      row_sums[h] = sum - zero * static_cast<std::int32_t>(form.piece);
    }
  }
  void store(const StepContext& c, std::int32_t* sums, const std::int32_t* add, std::int32_t row_sum, std::int64_t column, std::int64_t n,
             std::int64_t at) const {
    if (zeros)
      for (std::int64_t j = 0; j < n; ++j) sums[j] -= zeros[column + j] * row_sum;
    if (real) return finish->real(sums, add, n, c.ptr<float>(y) + at);
    std::int32_t* out = c.ptr<std::int32_t>(y) + at;
    for (std::int64_t j = 0; j < n; ++j) out[j] = sums[j] + add[j];
  }
};

}  // namespace

std::unique_ptr<Op> ByteMatMulOp::make(const NodeView& node, CompileContext& context) {
  if (context.options().plain || !gemm::byte_kernels(context.options().isa)) return nullptr;
  if (!node.is_constant(b_input) || node.rank(b_input) != 2 || node.rank(a_input) < 1) return nullptr;
  if (node.has_input(a_zero_input) && !single(node, a_zero_input)) return nullptr;
  if (node.has_input(b_zero_input) && !node.is_constant(b_zero_input)) return nullptr;
  const tenon_value& b = node.input(b_input);
  // A depth with which 32-bit sums of corrections cannot run over.
  if (b.dims[0] < 1 || b.dims[1] < 1 || b.dims[0] > (1 << 15)) return nullptr;
  auto op = std::make_unique<ByteMatMulOp>();
  op->form_ = {b.dims[1], 1, b.dims[0]};
  const bool flip = b.dtype == TENON_DTYPE_UINT8;
  std::vector<std::int32_t> zeros(static_cast<std::size_t>(op->form_.n), flip ? -128 : 0);
  if (node.has_input(b_zero_input)) {
    const tenon_const_tensor z = context.constant(node, b_zero_input);
    const bool one = single(node, b_zero_input);
    if (!one && (z.rank != 1 || z.dims[0] != op->form_.n)) return nullptr;
    for (std::size_t j = 0; j < zeros.size(); ++j) zeros[j] += read_quantized(z.data, z.dtype, one ? 0 : static_cast<std::int64_t>(j));
  }
  if (std::any_of(zeros.begin(), zeros.end(), [](std::int32_t z) { return z != 0; })) op->zeros_ = std::move(zeros);
  const gemm::ByteForm& form = op->form_;
  op->packed_ = static_cast<const std::int8_t*>(
      context.packed(node, b_input, "bytes/matmul", static_cast<std::uint64_t>(form.bytes()), [&](const tenon_const_tensor& t, void* to) {
        gemm::pack_byte_weights(form, t.data, flip, 0, form.n, 1, static_cast<std::int8_t*>(to));
      }));
  return op;
}

bool ByteMatMulOp::absorb(const NodeView& next, std::uint32_t slot, std::uint32_t first_input, CompileContext& context) {
  if (real_) return epilogue_.add(next, slot, first_input, context);
  return real_ = next.op_type() == "Cast" && next.domain().empty() && next.output(0).dtype == TENON_DTYPE_FLOAT;
}

void ByteMatMulOp::plan(PlanBuilder& b) const {
  const Shape &a = b.in(a_input), &y = b.out(0);
  if (a[-1] != form_.piece)
    throw Failure{TENON_INVALID_ARGUMENT, "A has " + std::to_string(a[-1]) + " columns, B has " + std::to_string(form_.piece) + " rows"};
  if (y.count() == 0) return;
  ByteProduct p{};
  p.kernels = gemm::byte_kernels(b.options().isa);
  p.finish = &byte_finish(b.options().isa);
  p.form = form_;
  p.packed = packed_;
  p.zeros = zeros_.empty() ? nullptr : b.keep(std::span<const std::int32_t>(zeros_));
  p.a_signed = a.dtype == TENON_DTYPE_INT8;
  p.real = real_;
  p.m = a.count() / form_.piece;
  // A few rows are a waste of tiles, and wait for the weights anyway.
  p.tiles = b.options().isa >= Isa::amx && p.m > 4;
  p.chunks = (form_.panels() + chunk_panels - 1) / chunk_panels;
  p.a = b.in_ref(a_input), p.a_zero = b.in_ref(a_zero_input), p.y = b.out_ref(0);
  if (!epilogue_.empty()) p.epilogue = epilogue_.plan(b);
  p.scratch = b.scratch(p.scratch_bytes());
  StepOptions o;
  o.est_ns = 2.0 * static_cast<double>(p.m * form_.n) * static_cast<double>(form_.piece) / (p.kernels->panels > 1 ? 300 : 60);
  b.step("bytes.product", p, o);
}

}  // namespace tenon::cpu
