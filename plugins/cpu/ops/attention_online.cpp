#include "plugins/cpu/ops/attention_online.h"

#include <cmath>
#include <limits>

namespace tenon::cpu {
namespace {

constexpr double log2_e = 1.4426950408889634;
constexpr std::int64_t few_rows = 4;          // up to here dot products beat packing
constexpr std::int64_t most_keys = 512;       // of a block: a tile's scores stay in the first-level cache
constexpr std::int64_t block_floats = 32768;  // of a block of keys or values: both stay in the second-level cache
constexpr std::int64_t query_floats = 131072;  // of the queries that share a block
constexpr std::int64_t row_pad = 16;          // keeps rows of scores from the same cache sets

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
std::int64_t round_up(std::int64_t a, std::int64_t b) { return ceil_div(a, b) * b; }

// Where the parts of a worker's scratch begin, in floats.
struct Room {
  std::int64_t q, k, v, scores, gathered, state, mask, ranges;
};

struct OnlineStep {
  AttentionShape s;
  AttentionRefs refs;
  const gemm::Kernels* kernels;
  std::int64_t blocks;      // of queries
  std::int64_t key_block;
  std::int64_t padded_depth;  // of values: whole panels
  Room room;
  Ref scratch;
  std::uint64_t scratch_bytes;

  void operator()(const StepContext& c) const {
    const auto slice = c.slice(s.batch * s.heads * blocks);
    for (std::int64_t u = slice.begin; u < slice.end; ++u) {
      const std::int64_t block = u % blocks, row = u / blocks;
      run(c, row / s.heads, row % s.heads, s.queries * block / blocks, s.queries * (block + 1) / blocks);
    }
  }

 private:
  std::int64_t panel_width(std::int64_t first, std::int64_t n) const { return n - first <= kernels->lanes ? kernels->lanes : kernels->columns; }

  void run(const StepContext& c, std::int64_t b, std::int64_t h, std::int64_t i0, std::int64_t i1) const {
    const gemm::Kernels& kr = *kernels;
    float* const base = worker_scratch<float>(c, scratch, scratch_bytes);
    float *queries = base + room.q, *keys = base + room.k, *values = base + room.v, *scores = base + room.scores;
    float *gathered = base + room.gathered, *state = base + room.state, *mask_room = base + room.mask;
    auto* ranges = reinterpret_cast<KeyRange*>(base + room.ranges);
    const std::int64_t kv = h / s.group(), count = i1 - i0, tiles = ceil_div(count, kr.rows), score_row = key_block + row_pad;
    const float* q = c.ptr<const float>(refs.q) + b * s.q.batch + h * s.q.head + i0 * s.q.row;
    const float* k = c.ptr<const float>(refs.k) + b * s.k.batch + kv * s.k.head;
    const float* v = c.ptr<const float>(refs.v) + b * s.v.batch + kv * s.v.head;
    const bool natural = refs.mask.present() || refs.chosen.present();
    const auto tile_row = [&](std::int64_t t) { return t * count / tiles; };

    for (std::int64_t t = 0; t < tiles; ++t) {
      const std::int64_t r = tile_row(t), rows = tile_row(t + 1) - r;
      kr.pack(queries + r * s.depth, rows, q + r * s.q.row, s.q.row, s.q.element, rows, s.depth);
    }
    online_scale(queries, count * s.depth, static_cast<float>(natural ? s.scale : s.scale * log2_e));
    KeyRange all{s.keys, 0};
    for (std::int64_t r = 0; r < count; ++r) {
      ranges[r] = key_range(s, refs, c, b, i0 + r);
      all = {std::min(all.begin, ranges[r].begin), std::max(all.end, ranges[r].end)};
      state[2 * r] = -std::numeric_limits<float>::infinity(), state[2 * r + 1] = 0;
    }
    std::fill(gathered, gathered + count * padded_depth, 0.0f);

    const void* shown = nullptr;  // the row of the mask that mask_room holds
    for (std::int64_t k0 = all.begin / key_block * key_block; k0 < all.end; k0 += key_block) {
      const std::int64_t n = std::min(key_block, all.end - k0);
      for (std::int64_t j = 0; j < n; j += kr.columns) {
        const std::int64_t width = panel_width(j, n);
        kr.pack(keys + j * s.depth, width, k + (k0 + j) * s.k.row, s.k.row, s.k.element, std::min(width, n - j), s.depth);
      }
      const bool direct = tiles == 1 && s.v.element == 1 && s.value_depth % kr.lanes == 0;
      for (std::int64_t j = 0; !direct && j < s.value_depth; j += kr.columns) {
        const std::int64_t width = panel_width(j, s.value_depth);
        kr.pack(values + j * n, width, v + k0 * s.v.row + j * s.v.element, s.v.element, s.v.row, std::min(width, s.value_depth - j), n);
      }
      shown = nullptr;
      for (std::int64_t t = 0; t < tiles; ++t) {
        const std::int64_t r0 = tile_row(t), rows = tile_row(t + 1) - r0;
        KeyRange range{s.keys, 0};
        for (std::int64_t r = r0; r < r0 + rows; ++r) range = {std::min(range.begin, ranges[r].begin), std::max(range.end, ranges[r].end)};
        const std::int64_t seen = std::min(n, range.end - k0);
        if (seen <= 0 || range.begin >= k0 + n) continue;
        gemm::TileArgs tile{};
        tile.a = queries + r0 * s.depth, tile.a_row = 1, tile.a_k = rows;
        tile.k = s.depth, tile.c_row = score_row;
        for (std::int64_t j = 0; j < seen; j += kr.columns) {
          tile.b = keys + j * s.depth, tile.b_k = panel_width(j, n);
          tile.c = scores + j;
          kr.tiles[tile.b_k == kr.lanes][rows - 1](tile);
        }
        OnlineRow row[gemm::kMaxRows];
        for (std::int64_t r = 0; r < rows; ++r) {
          const KeyRange one = ranges[r0 + r];
          const std::int64_t begin = std::clamp<std::int64_t>(one.begin - k0, 0, seen), end = std::clamp(one.end - k0, begin, seen);
          float* sums = gathered + (r0 + r) * padded_depth;
          row[r] = {scores + r * score_row, seen, begin, end, natural, nullptr, sums, padded_depth, state + 2 * (r0 + r)};
          if (refs.chosen.present())
            fill_hidden(row[r].x, seen, c.ptr<const std::uint8_t>(refs.chosen) + s.chosen_row(b, h, i0 + r0 + r) + k0 * s.chosen_strides[3],
                        s.chosen_strides[3], s.keeps, s.fill);
          if (refs.mask.present()) row[r].mask = mask_of(c, s.mask_row(b, h, i0 + r0 + r) + k0, n, mask_room + r * key_block, shown) + begin;
        }
        online_rows(row, rows);
        tile.a = scores, tile.a_row = score_row, tile.a_k = 1;
        tile.k = seen, tile.c_row = padded_depth, tile.accumulate = true;
        for (std::int64_t j = 0; j < s.value_depth; j += kr.columns) {
          const std::int64_t width = panel_width(j, s.value_depth);
          tile.b = direct ? v + k0 * s.v.row + j : values + j * n;
          tile.b_k = direct ? s.v.row : width;
          tile.c = gathered + r0 * padded_depth + j;
          kr.tiles[width == kr.lanes][rows - 1](tile);
        }
      }
    }
    float* y = c.ptr<float>(refs.y) + b * s.y.batch + h * s.y.head + i0 * s.y.row;
    for (std::int64_t r = 0; r < count; ++r) {
      const float sum = state[2 * r + 1];
      float* to = y + r * s.y.row;
      // Nothing to look at: zeros, or what a softmax of nothing but minus infinity is.
      if (sum == 0 && s.nothing == Nothing::nan) std::fill(to, to + s.value_depth, std::numeric_limits<float>::quiet_NaN());
      else if (sum == 0 || (sum != sum && s.nothing == Nothing::zero_for_nan)) std::fill(to, to + s.value_depth, 0.0f);
      else online_finish(gathered + r * padded_depth, s.value_depth, sum, to);
    }
  }

  // n values to add, from element `at` of the mask. `shown` is a mask row that room already holds; rows that share one are turned once.
  const float* mask_of(const StepContext& c, std::int64_t at, std::int64_t n, float* room_of_row, const void*& shown) const {
    if (s.mask_dtype != TENON_DTYPE_BOOL) return c.ptr<const float>(refs.mask) + at;
    const std::uint8_t* allowed = c.ptr<const std::uint8_t>(refs.mask) + at;
    float* to = s.mask_strides[2] == 0 ? worker_scratch<float>(c, scratch, scratch_bytes) + room.mask : room_of_row;
    if (shown == allowed && s.mask_strides[2] == 0) return to;
    for (std::int64_t j = 0; j < n; ++j) to[j] = allowed[j] ? 0.0f : -HUGE_VALF;
    shown = allowed;
    return to;
  }
};

}  // namespace

bool online_takes(const AttentionShape& s, const AttentionRefs& refs) {
  return s.queries > few_rows && s.depth > 0 && s.value_depth > 0 && s.keys > 0 && refs.y.present() && !refs.scores.present() &&
         !refs.blocks.present() && !s.sink && s.softcap == 0;
}

void plan_online(PlanBuilder& builder, const AttentionShape& s, const AttentionRefs& refs, Isa isa, std::span<const Ref> reads,
                 std::span<const Ref> writes) {
  OnlineStep step{};
  step.s = s, step.refs = refs, step.kernels = &gemm::kernels(isa);
  const gemm::Kernels& kr = *step.kernels;
  const std::int64_t depth = std::max(s.depth, s.value_depth);
  // Blocks of queries change no result, so there may be as many as the workers need; each packs all keys and values.
  const std::int64_t workers = builder.options().max_workers, heads = s.batch * s.heads;
  step.blocks = ceil_div(s.queries, std::clamp<std::int64_t>(query_floats / depth, 64, 2048));
  while (heads * step.blocks < 4 * workers && heads * step.blocks % workers != 0 && s.queries / (step.blocks + 1) >= 2 * kr.rows)
    ++step.blocks;
  // Blocks of even sizes; a last panel may be half a panel.
  const std::int64_t most = std::clamp<std::int64_t>(block_floats / depth / kr.columns * kr.columns, 2 * kr.columns, most_keys);
  step.key_block = round_up(ceil_div(s.keys, ceil_div(s.keys, most)), kr.columns);
  step.padded_depth = round_up(s.value_depth, std::max<std::int64_t>(16, kr.columns));
  const std::int64_t queries = ceil_div(s.queries, step.blocks);
  std::int64_t at = 0;
  const auto part = [&](std::int64_t floats) {
    const std::int64_t begin = at;
    at += round_up(floats, 16);
    return begin;
  };
  step.room.q = part(queries * s.depth);
  step.room.k = part(step.key_block * s.depth);
  step.room.v = part(step.key_block * step.padded_depth);
  step.room.scores = part(kr.rows * (step.key_block + row_pad));
  step.room.gathered = part(queries * step.padded_depth);
  step.room.state = part(2 * queries);
  step.room.mask = part(s.mask_dtype == TENON_DTYPE_BOOL ? kr.rows * step.key_block : 0);
  step.room.ranges = part(queries * static_cast<std::int64_t>(sizeof(KeyRange) / sizeof(float)));
  step.scratch_bytes = static_cast<std::uint64_t>(at) * sizeof(float);
  step.scratch = builder.scratch(step.scratch_bytes);
  const double flops = 2.0 * static_cast<double>(s.batch * s.heads * s.queries) * static_cast<double>(s.keys) *
                       static_cast<double>(s.depth + s.value_depth) * (s.causal ? 0.6 : 1.0);
  builder.step("attention", step, {.est_ns = flops / 60}, reads, writes);
}

}  // namespace tenon::cpu
