#include "plugins/opencl/codegen/gemm.h"

#include <algorithm>

#include "plugins/opencl/codegen/gemm_parts.h"

namespace tenon::opencl {
namespace {

std::int64_t parts(std::int64_t n, std::int64_t size) { return (n + size - 1) / size; }

}  // namespace

KernelText gemm_kernel(const GemmConfig& config, const Epilogue& epilogue) {
  switch (config.skeleton) {
    case GemmConfig::Skeleton::local: return gemm_local(config, epilogue);
    case GemmConfig::Skeleton::split: return gemm_split(config, epilogue);
    case GemmConfig::Skeleton::dots: return gemm_dots(config, epilogue);
    default: return gemm_registers(config, epilogue);
  }
}

GemmRange gemm_range(const GemmConfig& config, const GemmProblem& p, std::uint32_t compute_units) {
  const std::int64_t panels = parts(p.n, config.columns), across = config.columns / config.item_columns;
  std::int64_t groups = 0, row_tiles = 1;
  switch (config.skeleton) {
    case GemmConfig::Skeleton::local: groups = parts(p.m, config.group / across * config.rows); break;
    case GemmConfig::Skeleton::split: groups = parts(p.m, config.rows); break;
    default: {
      // On a CPU-like device a group costs some hundred nanoseconds: it gets as many tiles as take microseconds, while every unit still has several.
      const std::int64_t tiles = parts(p.m, config.rows);
      const std::int64_t in_group = config.skeleton == GemmConfig::Skeleton::registers ? config.group / across : 1;
      if (config.group == 1) {
        const std::int64_t tile_products = std::max<std::int64_t>(1, std::int64_t{config.rows} * config.item_columns * p.k);
        const std::int64_t wanted = std::int64_t{1} << 22, all = tiles * panels * p.batch_count();
        row_tiles = std::max<std::int64_t>(1, std::min({wanted / tile_products, all / (std::int64_t{compute_units} * 8), tiles}));
      }
      groups = parts(tiles, row_tiles * in_group);
    }
  }
  GemmRange range;
  range.row_tiles = static_cast<int>(row_tiles);
  range.local[0] = static_cast<std::size_t>(config.group);
  range.global = {static_cast<std::size_t>(groups * config.group), static_cast<std::size_t>(panels), static_cast<std::size_t>(p.batch_count())};
  return range;
}

int gemm_sizes(const GemmConfig& config, const GemmProblem& p, int row_tiles, std::array<std::int32_t, kGemmSizes + kGemmBatchSizes>& out) {
  int n = 0;
  for (std::int64_t x : {p.m, p.n, p.k, p.a_row, p.a_k, p.b_panel, p.b_k, std::int64_t{row_tiles}}) out[static_cast<std::size_t>(n++)] = static_cast<std::int32_t>(x);
  if (!config.batched) return n;
  for (std::size_t i = 1; i < 4; ++i) out[static_cast<std::size_t>(n++)] = static_cast<std::int32_t>(p.batch[i]);
  for (const auto& strides : {p.a_batch, p.b_batch})
    for (std::int64_t x : strides) out[static_cast<std::size_t>(n++)] = static_cast<std::int32_t>(x);
  return n;
}

}  // namespace tenon::opencl
