#include "plugins/cpu/ops/strided_copy.h"

#include <algorithm>
#include <utility>

namespace tenon::cpu {
namespace {

// ---- 16-byte vectors: an N x N tile is transposed by log2(N) rounds of interleaving rows i and i + N / 2 ---------------------

template <class T>
struct Tile {
  static constexpr int size = 16 / sizeof(T);
  typedef T Vec __attribute__((vector_size(16)));

  static Vec load(const T* p) {
    Vec v;
    std::memcpy(&v, p, sizeof(v));
    return v;
  }
  template <std::size_t... I>
  static Vec low(Vec a, Vec b, std::index_sequence<I...>) {
    return __builtin_shufflevector(a, b, (I / 2 + I % 2 * size)...);
  }
  template <std::size_t... I>
  static Vec high(Vec a, Vec b, std::index_sequence<I...>) {
    return __builtin_shufflevector(a, b, (size / 2 + I / 2 + I % 2 * size)...);
  }
  // d[i * d_stride + j] = s[j * s_stride + i]
  static void transpose(const T* s, std::int64_t s_stride, T* d, std::int64_t d_stride) {
    constexpr auto lanes = std::make_index_sequence<size>{};
    Vec rows[size], next[size];
    for (int i = 0; i < size; ++i) rows[i] = load(s + i * s_stride);
#pragma GCC unroll 4
    for (int round = 1; round < size; round *= 2) {
#pragma GCC unroll 8
      for (int i = 0; i < size / 2; ++i) {
        next[2 * i] = low(rows[i], rows[i + size / 2], lanes);
        next[2 * i + 1] = high(rows[i], rows[i + size / 2], lanes);
      }
#pragma GCC unroll 16
      for (int i = 0; i < size; ++i) rows[i] = next[i];
    }
    for (int i = 0; i < size; ++i) std::memcpy(d + i * d_stride, &rows[i], sizeof(Vec));
  }
};

// d[i * d_stride + j] = s[j * s_stride + i] for i < rows, j < columns.
template <class T>
void transpose_block(const T* s, std::int64_t s_stride, T* d, std::int64_t d_stride, std::int64_t rows, std::int64_t columns) {
  std::int64_t i = 0, j = 0;
  if constexpr (sizeof(T) < 16) {
    constexpr std::int64_t n = Tile<T>::size;
    const std::int64_t full_rows = rows - rows % n, full_columns = columns - columns % n;
    for (j = 0; j < full_columns; j += n)
      for (i = 0; i < full_rows; i += n) Tile<T>::transpose(s + j * s_stride + i, s_stride, d + i * d_stride + j, d_stride);
    for (i = 0; i < full_rows; ++i)
      for (j = full_columns; j < columns; ++j) d[i * d_stride + j] = s[j * s_stride + i];
    i = full_rows;
  }
  for (; i < rows; ++i)
    for (j = 0; j < columns; ++j) d[i * d_stride + j] = s[j * s_stride + i];
}

// Walks a box of indices, keeping both offsets.
struct Odometer {
  const StridedCopy& c;
  int rank;
  std::int64_t index[StridedCopy::max_rank] = {};
  std::int64_t src, dst;

  Odometer(const StridedCopy& copy, int dims, std::int64_t at) : c(copy), rank(dims), src(copy.src_at), dst(copy.dst_at) {
    for (int k = rank; k-- > 0; at /= c.dims[k]) {
      index[k] = at % c.dims[k];
      src += index[k] * c.src[k];
      dst += index[k] * c.dst[k];
    }
  }
  void next() {
    for (int k = rank; k-- > 0;) {
      src += c.src[k];
      dst += c.dst[k];
      if (++index[k] < c.dims[k]) return;
      src -= c.src[k] * c.dims[k];
      dst -= c.dst[k] * c.dims[k];
      index[k] = 0;
    }
  }
};

template <class T>
void copy_run(const T* s, std::int64_t ss, T* d, std::int64_t ds, std::int64_t n) {
  const std::int64_t bytes = n * static_cast<std::int64_t>(sizeof(T));
  if (ss == 1 && ds == 1 && bytes == 64) {
    std::memcpy(d, s, 64);
  } else if (ss == 1 && ds == 1 && bytes == 32) {
    std::memcpy(d, s, 32);
  } else if (ss == 1 && ds == 1 && bytes > 32) {
    std::memcpy(d, s, static_cast<std::size_t>(n) * sizeof(T));
  } else if (ss == 0 && ds == 1) {
    const T value = *s;
    std::fill_n(d, n, value);
  } else {
    for (std::int64_t i = 0; i < n; ++i) d[i * ds] = s[i * ss];
  }
}

template <class T>
void copy_rows(const StridedCopy& c, const StepContext& context, const T* s, T* d) {
  const std::int64_t n = c.dims[c.rank - 1], ss = c.src[c.rank - 1], ds = c.dst[c.rank - 1];
  auto [begin, end] = context.slice(c.count(), std::max<std::int64_t>(1, 4096 / static_cast<std::int64_t>(sizeof(T))));
  if (begin >= end) return;
  Odometer at(c, c.rank - 1, begin / n);
  for (std::int64_t j = begin % n; begin < end; at.next(), j = 0) {
    const std::int64_t m = std::min(n - j, end - begin);
    copy_run(s + at.src + j * ss, ss, d + at.dst + j * ds, ds, m);
    begin += m;
  }
}

// A unit of work: 16 lines of the output that lie in the same lines of the input, and a stretch of the last dim.
constexpr std::int64_t tile_columns = 512;

template <class T>
void copy_tiles(StridedCopy c, const StepContext& context, const T* s, T* d) {
  const int last = c.rank - 1;
  const std::int64_t rows = c.dims[c.tile_row], columns = c.dims[last], s_stride = c.src[last], d_stride = c.dst[c.tile_row];
  const std::int64_t tile_rows = std::max<std::int64_t>(64 / static_cast<std::int64_t>(sizeof(T)), 4);
  const std::int64_t row_tiles = (rows + tile_rows - 1) / tile_rows, column_tiles = (columns + tile_columns - 1) / tile_columns;
  for (int k = c.tile_row; k < last - 1; ++k) c.dims[k] = c.dims[k + 1], c.src[k] = c.src[k + 1], c.dst[k] = c.dst[k + 1];
  const int outer_rank = last - 1;
  std::int64_t outer = 1;
  for (int k = 0; k < outer_rank; ++k) outer *= c.dims[k];
  const auto [begin, end] = context.slice(outer * row_tiles * column_tiles);
  for (std::int64_t unit = begin; unit < end; ++unit) {
    const std::int64_t j = unit % column_tiles * tile_columns, i = unit / column_tiles % row_tiles * tile_rows;
    const Odometer at(c, outer_rank, unit / (column_tiles * row_tiles));
    transpose_block(s + at.src + j * s_stride + i, s_stride, d + at.dst + i * d_stride + j, d_stride, std::min(tile_rows, rows - i),
                    std::min(tile_columns, columns - j));
  }
}

void copy_elements(const StridedCopy& c, const StepContext& context, Ref src, Ref dst) {
  const Copier copier(context, c.kind, src, dst);
  const std::int64_t n = c.count();
  Odometer at(c, c.rank, 0);
  std::int64_t last = c.dst_at;
  for (int k = 0; k < c.rank; ++k) last += (c.dims[k] - 1) * c.dst[k];
  for (std::int64_t i = 0; i < n; ++i, at.next()) copier.copy(at.dst, at.src, 1);
  copier.seal(last + 1);
}

// Adds a dim inside the others; merges it with the one before where both walk on evenly.
bool append(StridedCopy& c, std::int64_t dim, std::int64_t src, std::int64_t dst) {
  if (dim == 1) return true;
  const int last = c.rank - 1;
  if (c.rank && c.src[last] == src * dim && c.dst[last] == dst * dim) {
    c.dims[last] *= dim, c.src[last] = src, c.dst[last] = dst;
    return true;
  }
  if (c.rank == StridedCopy::max_rank) return false;
  c.dims[c.rank] = dim, c.src[c.rank] = src, c.dst[c.rank] = dst;
  ++c.rank;
  return true;
}

void widen(StridedCopy& c) {
  const int last = c.rank - 1;
  const std::int64_t run = c.dims[last], bytes = element_bytes(c.kind) * run;
  if (!is_bytes(c.kind) || c.src[last] != 1 || c.dst[last] != 1 || bytes > 16 || (bytes & (bytes - 1)) || run < 2) return;
  if (c.src_at % run || c.dst_at % run) return;
  for (int k = 0; k < last; ++k)
    if (c.src[k] % run || c.dst[k] % run) return;
  c.kind = bytes == 2 ? Element::bytes2 : bytes == 4 ? Element::bytes4 : bytes == 8 ? Element::bytes8 : Element::bytes16;
  c.src_at /= run, c.dst_at /= run;
  for (int k = 0; k < last; ++k) c.src[k] /= run, c.dst[k] /= run;
  c.rank = std::max(1, last);
  if (last == 0) c.dims[0] = 1, c.src[0] = c.dst[0] = 1;
}

}  // namespace

bool make_strided_copy(Element kind, std::span<const std::int64_t> dims, std::span<const std::int64_t> src,
                       std::span<const std::int64_t> dst, std::int64_t src_at, std::int64_t dst_at, bool plain, StridedCopy& out) {
  StridedCopy c;
  c.kind = kind;
  c.src_at = src_at, c.dst_at = dst_at;
  // Merged first, so that the limit counts what cannot be merged; then outermost where the output is written last.
  for (std::size_t i = 0; i < dims.size(); ++i)
    if (!append(c, dims[i], src[i], dst[i])) return false;
  int order[StridedCopy::max_rank];
  for (int k = 0; k < c.rank; ++k) order[k] = k;
  for (int k = 1; k < c.rank; ++k)
    for (int m = k; m > 0 && c.dst[order[m - 1]] < c.dst[order[m]]; --m) std::swap(order[m - 1], order[m]);
  const StridedCopy given = c;
  c.rank = 0;
  for (int k = 0; k < given.rank; ++k) append(c, given.dims[order[k]], given.src[order[k]], given.dst[order[k]]);
  if (c.rank == 0) c.rank = 1, c.dims[0] = 1, c.src[0] = c.dst[0] = 1;
  widen(c);
  const int last = c.rank - 1;
  if (!plain && is_bytes(c.kind) && c.rank > 1 && c.dst[last] == 1 && c.src[last] > 1 && c.dims[last] >= 4)
    for (int k = 0; k < last; ++k)
      if (c.src[k] == 1 && c.dims[k] >= 4 && c.dst[k] > 0) c.tiles = true, c.tile_row = k;
  out = c;
  return true;
}

void run_strided_copy(const StridedCopy& c, const StepContext& context, Ref src, Ref dst) {
  if (c.count() == 0) return;
  if (!is_bytes(c.kind)) {
    if (context.worker == 0) copy_elements(c, context, src, dst);
    return;
  }
  with_bytes(c.kind, [&](auto zero) {
    using T = decltype(zero);
    const T* s = context.ptr<const T>(src);
    T* d = context.ptr<T>(dst);
    if (c.tiles) copy_tiles(c, context, s, d);
    else copy_rows(c, context, s, d);
  });
}

void emit_copies(PlanBuilder& builder, const char* name, std::span<const CopyPiece> pieces) {
  std::int64_t bytes = 0;
  bool spmd = true;
  PlanList<CopyPiece> kept;
  PlanList<Ref> reads, writes;
  for (const CopyPiece& p : pieces) {
    if (p.copy.count() == 0) continue;
    bytes += 2 * p.copy.count() * std::max<std::int64_t>(element_bytes(p.copy.kind), 1);
    spmd = spmd && is_bytes(p.copy.kind);
    kept.push_back(p);
    reads.push_back(p.src);
    writes.push_back(p.dst);
  }
  if (kept.empty()) return;
  StepOptions options = copy_options(spmd ? Element::bytes1 : Element::text, bytes);
  if (kept.size() == 1) {
    builder.step(name, [p = kept[0]](const StepContext& c) { run_strided_copy(p.copy, c, p.src, p.dst); }, options, reads, writes);
    return;
  }
  const CopyPiece* first = builder.keep(std::span<const CopyPiece>(kept));
  const std::size_t count = kept.size();
  builder.step(name, [first, count](const StepContext& c) {
    for (std::size_t i = 0; i < count; ++i) run_strided_copy(first[i].copy, c, first[i].src, first[i].dst);
  }, options, reads, writes);
}

StridedCopy strided_copy(const PlanBuilder& builder, Element kind, std::span<const std::int64_t> dims, std::span<const std::int64_t> src,
                         std::span<const std::int64_t> dst, std::int64_t src_at, std::int64_t dst_at) {
  StridedCopy copy;
  if (!make_strided_copy(kind, dims, src, dst, src_at, dst_at, builder.options().plain, copy))
    throw Failure{TENON_UNIMPLEMENTED, "data movement over more than " + std::to_string(StridedCopy::max_rank) + " independent dimensions"};
  return copy;
}

}  // namespace tenon::cpu
