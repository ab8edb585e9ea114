#include "plugins/cpu/ops/byte_conv.h"

#include <algorithm>
#include <cstring>

namespace tenon::cpu {
namespace {

constexpr std::int64_t block_rows = 8 * gemm::byte_rows;  // output pixels whose windows are looked up together
constexpr std::int64_t chunk_bytes = 256 * 1024;          // of weights that are used for all of them before the next

// A few bytes, without a call where they are 16 to 32: the windows of colour images.
inline void copy_few(std::uint8_t* to, const std::uint8_t* from, std::size_t n) {
  if (n < 16 || n > 32) return void(std::memcpy(to, from, n));
  std::uint8_t head[16], tail[16];
  std::memcpy(head, from, 16);
  std::memcpy(tail, from + n - 16, 16);
  std::memcpy(to, head, 16);
  std::memcpy(to + n - 16, tail, 16);
}

// Windows over images of bytes, channels last; the last dim is number 2.
struct Windows {
  Window w[kMaxSpatial];
  std::int64_t n = 1, channels = 1;

  std::int64_t pixels() const { return w[0].out * w[1].out * w[2].out; }
  bool whole(int d, std::int64_t o) const {
    const std::int64_t first = o * w[d].stride - w[d].pad;
    return first >= 0 && first + w[d].reach() <= w[d].in;
  }
  // Calls tap(number, source or null where it is padding) for each tap of an output pixel.
  template <class F>
  void taps(const std::uint8_t* x, std::int64_t row, F&& tap) const {
    const std::int64_t image = row / pixels(), pixel = row % pixels();
    const std::int64_t at[3] = {pixel / (w[1].out * w[2].out), pixel / w[2].out % w[1].out, pixel % w[2].out};
    std::int64_t number = 0;
    const std::uint8_t* start = x + image * w[0].in * w[1].in * w[2].in * channels;
    const auto inside = [&](int d, std::int64_t k, std::int64_t& i) {
      i = at[d] * w[d].stride - w[d].pad + k * w[d].dilation;
      return i >= 0 && i < w[d].in;
    };
    // Mostly the whole window is inside.
    if (whole(0, at[0]) && whole(1, at[1]) && whole(2, at[2])) {
      const auto first = [&](int d) { return at[d] * w[d].stride - w[d].pad; };
      const std::int64_t step = w[2].dilation * channels;
      for (std::int64_t kd = 0; kd < w[0].kernel; ++kd)
        for (std::int64_t kh = 0; kh < w[1].kernel; ++kh) {
          const std::uint8_t* from =
              start + (((first(0) + kd * w[0].dilation) * w[1].in + first(1) + kh * w[1].dilation) * w[2].in + first(2)) * channels;
          for (std::int64_t kw = 0; kw < w[2].kernel; ++kw, from += step) tap(number++, from);
        }
      return;
    }
    std::int64_t i[3];
    for (std::int64_t kd = 0; kd < w[0].kernel; ++kd) {
      const bool in_d = inside(0, kd, i[0]);
      for (std::int64_t kh = 0; kh < w[1].kernel; ++kh) {
        const bool in_h = inside(1, kh, i[1]) && in_d;
        for (std::int64_t kw = 0; kw < w[2].kernel; ++kw) {
          const bool in_w = inside(2, kw, i[2]) && in_h;
          tap(number++, in_w ? start + ((i[0] * w[1].in + i[1]) * w[2].in + i[2]) * channels : nullptr);
        }
      }
    }
  }

  // All taps of an output pixel one after the other. Neighbours in a row lie together where they are not spread.
  void gather(const std::uint8_t* x, std::int64_t row, std::uint8_t zero, std::uint8_t* to) const {
    const auto bytes = static_cast<std::size_t>(channels), line = bytes * static_cast<std::size_t>(w[2].kernel);
    if (w[2].dilation != 1)
      return taps(x, row, [&](std::int64_t tap, const std::uint8_t* from) {
        if (from) std::memcpy(to + tap * channels, from, bytes);
        else std::memset(to + tap * channels, zero, bytes);
      });
    const std::int64_t image = row / pixels(), pixel = row % pixels();
    const std::int64_t od = pixel / (w[1].out * w[2].out), oh = pixel / w[2].out % w[1].out, ow = pixel % w[2].out;
    std::int64_t first, last;
    w[2].inside(ow, first, last);
    for (std::int64_t kd = 0; kd < w[0].kernel; ++kd)
      for (std::int64_t kh = 0; kh < w[1].kernel; ++kh, to += line) {
        const std::int64_t d = od * w[0].stride - w[0].pad + kd * w[0].dilation, h = oh * w[1].stride - w[1].pad + kh * w[1].dilation;
        const bool in = d >= 0 && d < w[0].in && h >= 0 && h < w[1].in && first < last;
        if (!in || last - first < w[2].kernel) std::memset(to, zero, line);
        if (!in) continue;
        const std::int64_t at = ((image * w[0].in + d) * w[1].in + h) * w[2].in + ow * w[2].stride - w[2].pad + first;
        copy_few(to + first * channels, x + at * channels, static_cast<std::size_t>((last - first) * channels));
      }
  }
  bool pointwise() const {
    return std::all_of(w, w + kMaxSpatial, [](const Window& a) { return a.kernel == 1 && a.stride == 1 && a.pad == 0 && a.in == a.out; });
  }
};

Windows resolve(const WindowAttributes& window, const std::int64_t* kernel, const Shape& x, const Shape& y, std::int64_t channels) {
  Windows r;
  r.n = x[0], r.channels = channels;
  for (int d = 0; d < window.spatial; ++d) {
    const int at = kMaxSpatial - window.spatial + d;
    r.w[at] = window.resolve(d, x[2 + d], kernel[at]);
    require(r.w[at].out == y[2 + d], "the window and the output have different sizes");
  }
  return r;
}

struct ByteConvStep {
  const gemm::ByteKernels* kernels;
  const ByteFinish* finish;
  gemm::ByteForm form;
  const std::int8_t* packed;
  ByteColumns columns;
  ByteTarget to;
  ByteAddition addition;
  bool adds, matrix, gathers;
  std::uint8_t zero;
  std::int64_t m, chunk, chunks;  // rows; panels of a chunk
  const Windows* windows;
  const std::uint8_t* padding;  // a pixel of zero points
  Ref x, other, y, scratch;

  std::int64_t row_bytes() const { return form.quads() * 4; }
  std::int64_t sums_row() const { return kernels->panels * gemm::byte_columns; }
  std::uint64_t pointer_bytes() const { return static_cast<std::uint64_t>(block_rows * form.segments) * sizeof(const std::uint8_t*); }
  std::uint64_t scratch_bytes() const {
    return pointer_bytes() + static_cast<std::uint64_t>(gemm::byte_rows * sums_row() * 4 + (gathers ? block_rows * row_bytes() : 0));
  }

  void operator()(const StepContext& c) const {
    auto* memory = worker_scratch<std::uint8_t>(c, scratch, scratch_bytes());
    auto** pieces = reinterpret_cast<const std::uint8_t**>(memory);
    auto* sums = reinterpret_cast<std::int32_t*>(memory + pointer_bytes());
    auto* gathered = reinterpret_cast<std::uint8_t*>(sums + gemm::byte_rows * sums_row());
    const std::uint8_t* in = c.ptr<const std::uint8_t>(x);
    std::int64_t ready = -1;
    const std::int64_t blocks = (m + block_rows - 1) / block_rows;
    const auto [begin, end] = c.slice(blocks * chunks);
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t block = i / chunks, row = block * block_rows, height = std::min(block_rows, m - row);
      if (block != ready)
        for (std::int64_t r = 0; r < height; r += gemm::byte_rows)
          prepare(in, row + r, std::min(gemm::byte_rows, height - r), pieces + r * form.segments, gathered + r * row_bytes());
      ready = block;
      const std::int64_t first = i % chunks * chunk, last = std::min(first + chunk, form.panels());
      for (std::int64_t p = first; p < last; p += kernels->panels)
        for (std::int64_t r = 0; r < height; r += gemm::byte_rows) {
          const std::int64_t count = std::min(gemm::byte_rows, height - r), wide = std::min(kernels->panels, last - p);
          kernels->tile(pieces + r * form.segments, form.segments, form.quads(), packed + p * form.panel_bytes(), form.panel_bytes(), count,
                        wide, sums, sums_row());
          store(c, sums, row + r, count, p * gemm::byte_columns, wide * gemm::byte_columns);
        }
    }
  }

  void prepare(const std::uint8_t* in, std::int64_t row, std::int64_t count, const std::uint8_t** pieces, std::uint8_t* gathered) const {
    for (std::int64_t r = 0; r < count; ++r) {
      if (gathers) {
        std::uint8_t* to_row = gathered + r * row_bytes();
        pieces[r] = to_row;
        if (matrix) {
          std::memcpy(to_row, in + (row + r) * form.piece, static_cast<std::size_t>(form.piece));
        } else {
          windows->gather(in, row + r, zero, to_row);
        }
        for (std::int64_t k = form.piece; k < row_bytes(); ++k) to_row[k] = 0;
      } else if (matrix) {
        pieces[r] = in + (row + r) * form.piece;
      } else {
        windows->taps(in, row + r, [&](std::int64_t tap, const std::uint8_t* from) { pieces[tap * count + r] = from ? from : padding; });
      }
    }
  }

  void store(const StepContext& c, const std::int32_t* sums, std::int64_t row, std::int64_t count, std::int64_t column,
             std::int64_t wide) const {
    const std::int64_t n = std::min(wide, form.n - column);
    const ByteColumns here{columns.add + column, columns.factor + column, columns.shift ? columns.shift + column : nullptr};
    const std::int64_t at = row * form.n + column;
    const ByteTile tile{sums, sums_row(), count, n, c.ptr<std::uint8_t>(y) + at, form.n};
    if (adds) finish->add(tile, here, to, addition, c.ptr<const std::uint8_t>(other) + at);
    else finish->quantize(tile, here, to);
  }
};

struct BytePoolStep {
  const ByteFinish* finish;
  const Windows* windows;
  std::uint8_t flip;
  Ref x, y;

  void operator()(const StepContext& c) const {
    const auto [begin, end] = c.slice(windows->n * windows->pixels());
    const std::int64_t channels = windows->channels;
    for (std::int64_t row = begin; row < end; ++row) {
      std::uint8_t* out = c.ptr<std::uint8_t>(y) + row * channels;
      bool some = false;
      windows->taps(c.ptr<const std::uint8_t>(x), row, [&](std::int64_t, const std::uint8_t* from) {
        if (!from) return;
        if (some) finish->larger(out, from, flip, channels);
        else std::memcpy(out, from, static_cast<std::size_t>(channels));
        some = true;
      });
      if (!some) std::memset(out, flip, static_cast<std::size_t>(channels));  // the least number
    }
  }
};

}  // namespace

std::int32_t ByteConvOp::layout(std::span<std::int32_t> inputs, std::int32_t) {
  std::fill(inputs.begin(), inputs.end(), 0);
  if (spec_.matrix) return 0;
  // One channel has no order.
  inputs[0] = spec_.channels > 1 ? static_cast<std::int32_t>(spec_.channels) : 0;
  const std::int32_t made = spec_.form.n > 1 ? static_cast<std::int32_t>(spec_.form.n) : 0;
  if (spec_.adds) inputs[1] = made;
  return made;
}

void ByteConvOp::plan(PlanBuilder& b) const {
  const Shape &x = b.in(0), &y = b.out(0);
  if (y.count() == 0) return;
  ByteConvStep s{};
  s.kernels = gemm::byte_kernels(b.options().isa);
  s.finish = &byte_finish(b.options().isa);
  s.form = spec_.form, s.packed = spec_.packed, s.columns = spec_.columns;
  s.to = spec_.to, s.addition = spec_.addition, s.adds = spec_.adds, s.matrix = spec_.matrix, s.zero = spec_.x_zero;
  s.gathers = spec_.gathers();
  s.m = y.count() / s.form.n;
  if (s.matrix) {
    require(x[-1] == s.form.piece, "A has " + std::to_string(x[-1]) + " columns, B has " + std::to_string(s.form.piece) + " rows");
  } else {
    require(x[1] == spec_.channels, "X has " + std::to_string(x[1]) + " channels, W has " + std::to_string(spec_.channels));
    const Windows windows = resolve(spec_.window, spec_.kernel, x, y, spec_.channels);
    s.windows = b.keep(std::span<const Windows>(&windows, 1));
    s.matrix = windows.pointwise();
    const std::vector<std::uint8_t> padding(static_cast<std::size_t>(spec_.channels), spec_.x_zero);
    s.padding = b.keep(std::span<const std::uint8_t>(padding));
  }
  s.chunk = std::clamp<std::int64_t>(chunk_bytes / s.form.panel_bytes() / s.kernels->panels, 1, 64) * s.kernels->panels;
  s.chunks = (s.form.panels() + s.chunk - 1) / s.chunk;
  s.x = b.in_ref(0), s.y = b.out_ref(0);
  if (s.adds) s.other = b.in_ref(1);
  if (spec_.x_signed) {
    const Ref from = s.x, turned = b.temp(static_cast<std::uint64_t>(x.count()));
    const std::int64_t n = x.count();
    b.step("bytes.unsigned", [=](const StepContext& c) {
      const auto [begin, end] = c.slice(n, 1024);
      const auto* in = c.ptr<const std::uint8_t>(from);
      auto* out = c.ptr<std::uint8_t>(turned);
      for (std::int64_t i = begin; i < end; ++i) out[i] = in[i] ^ 0x80;
    }, {.est_ns = static_cast<double>(n) / 16}, {{from}}, {{turned}});
    s.x = turned;
  }
  s.scratch = b.scratch(s.scratch_bytes());
  std::vector<Ref> reads{s.x};
  if (s.adds) reads.push_back(s.other);
  const double products = static_cast<double>(s.m * s.form.n) * static_cast<double>(s.form.segments * s.form.piece);
  b.step(spec_.matrix ? "bytes.product" : "bytes.conv", s, {.est_ns = 2 * products / (s.kernels->panels > 1 ? 300 : 60)}, reads, {{s.y}});
}

std::int32_t ByteMaxPoolOp::layout(std::span<std::int32_t> inputs, std::int32_t) {
  return inputs[0] = channels_ > 1 ? static_cast<std::int32_t>(channels_) : 0;
}

void ByteMaxPoolOp::plan(PlanBuilder& b) const {
  const Shape &x = b.in(0), &y = b.out(0);
  if (y.count() == 0) return;
  std::int64_t kernel[kMaxSpatial] = {1, 1, 1};
  for (int d = 0; d < window_.spatial; ++d) kernel[kMaxSpatial - window_.spatial + d] = window_.kernel[d];
  const Windows windows = resolve(window_, kernel, x, y, channels_);
  const BytePoolStep step{&byte_finish(b.options().isa), b.keep(std::span<const Windows>(&windows, 1)), flip_, b.in_ref(0), b.out_ref(0)};
  b.step("bytes.pool", step, {.est_ns = static_cast<double>(y.count() * kernel[0] * kernel[1] * kernel[2]) / 16});
}

}  // namespace tenon::cpu
