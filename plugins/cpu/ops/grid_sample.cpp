// GridSample and AffineGrid.
//
// The taps of a grid point, offsets into a plane and weights, are found once and serve all channels.
#include <algorithm>
#include <cmath>
#include <limits>

#include "plugins/cpu/ops/elements.h"
#include "plugins/cpu/ops/movement.h"

namespace tenon::cpu {
namespace {

enum class Mode : std::uint8_t { nearest, linear, cubic };
enum class Padding : std::uint8_t { zeros, border, reflection };
constexpr int max_dims = 3, max_taps = 64;

struct Sampling {
  Mode mode = Mode::linear;
  Padding padding = Padding::zeros;
  bool align_corners = false;
  int dims = 2;
  std::int64_t size[max_dims] = {}, stride[max_dims] = {};  // of a plane, slowest first
};

// Mirrors x at low and high until it lies between them.
template <class C>
C reflect(C x, C low, C high) {
  const C range = high - low;
  if (!(range > 0)) return low;
  const C away = x < low ? low - x : x > high ? x - high : C{0};
  if (away == 0) return x;
  const C turns = std::floor(away / range), rest = away - turns * range;
  const bool from_low = (x < low) == (std::fmod(turns, C{2}) == 0);
  return from_low ? low + rest : high - rest;
}

// The element of one axis that index i shows; -1: zero.
std::int64_t element_at(const Sampling& s, int d, std::int64_t i) {
  const std::int64_t n = s.size[d];
  if (i >= 0 && i < n) return i;
  if (s.padding == Padding::zeros) return -1;
  if (s.padding == Padding::border) return i < 0 ? 0 : n - 1;
  const double low = s.align_corners ? 0 : -0.5, high = static_cast<double>(n) - (s.align_corners ? 1 : 0.5);
  return std::clamp<std::int64_t>(static_cast<std::int64_t>(reflect(static_cast<double>(i), low, high)), 0, n - 1);
}

template <class C>
struct Taps {
  int count = 0;
  std::int64_t offset[max_taps];
  C weight[max_taps];
};

// Neighbours of x along axis d, with weights; those that show zero are left out.
template <class C>
int neighbours(const Sampling& s, int d, C x, std::int64_t* index, C* weight) {
  const C length = static_cast<C>(s.size[d]);
  x = s.align_corners ? (x + 1) / 2 * (length - 1) : ((x + 1) * length - 1) / 2;
  // Not a number is far outside.
  constexpr C far = 1e9;
  x = x != x ? -far : std::clamp(x, -far, far);
  if (s.mode == Mode::nearest) x = std::nearbyint(x);
  const C low = s.align_corners ? C{0} : C{-0.5}, high = length - (s.align_corners ? C{1} : C{0.5});
  if (x < low || x > high) {
    if (s.padding == Padding::border) x = std::clamp(x, C{0}, length - 1);
    else if (s.padding == Padding::reflection) x = reflect(x, low, high);
  }
  const std::int64_t left = static_cast<std::int64_t>(std::floor(x));
  const C t = x - std::floor(x);
  C weights[4] = {1};
  std::int64_t first = left;
  int n = 1;
  if (s.mode == Mode::linear) {
    n = 2, weights[0] = 1 - t, weights[1] = t;
  } else if (s.mode == Mode::cubic) {
    const C a = C{-0.75}, u = 1 - t;
    n = 4, first = left - 1;
    weights[0] = ((a * (t + 1) - 5 * a) * (t + 1) + 8 * a) * (t + 1) - 4 * a;
    weights[1] = ((a + 2) * t - (a + 3)) * t * t + 1;
    weights[2] = ((a + 2) * u - (a + 3)) * u * u + 1;
    weights[3] = ((a * (u + 1) - 5 * a) * (u + 1) + 8 * a) * (u + 1) - 4 * a;
  }
  int kept = 0;
  for (int k = 0; k < n; ++k) {
    const std::int64_t i = element_at(s, d, first + k);
    if (i < 0) continue;
    index[kept] = i, weight[kept] = weights[k];
    ++kept;
  }
  return kept;
}

// point: coordinates in [-1, 1], fastest axis first.
template <class C>
void find_taps(const Sampling& s, const C* point, Taps<C>& taps) {
  taps.count = 1, taps.offset[0] = 0, taps.weight[0] = 1;
  for (int d = 0; d < s.dims; ++d) {
    std::int64_t index[4];
    C weight[4];
    const int n = neighbours(s, d, point[s.dims - 1 - d], index, weight), before = taps.count;
    // Backwards, so that what is still to be read is not overwritten.
    for (int i = before; i-- > 0;)
      for (int k = n; k-- > 0;) {
        taps.offset[i * n + k] = taps.offset[i] + index[k] * s.stride[d];
        taps.weight[i * n + k] = taps.weight[i] * weight[k];
      }
    taps.count = before * n;
  }
}

template <class T, class C>
T sampled(C v) {
  if constexpr (std::is_floating_point_v<T>) return static_cast<T>(v);
  else {
    const C low = static_cast<C>(std::numeric_limits<T>::min()), high = static_cast<C>(std::numeric_limits<T>::max());
    return v >= high ? std::numeric_limits<T>::max() : v > low ? static_cast<T>(v) : std::numeric_limits<T>::min();
  }
}

// C: type of coordinates and sums; G: of the grid.
template <class T, class C, class G>
struct SampleStep {
  Sampling sampling;
  std::int64_t batch, channels, plane, points;
  Ref x, grid, y;

  // Points are taken in chunks of one batch: their taps are found first, then a channel at a time.
  static constexpr std::int64_t chunk = 16;

  void operator()(const StepContext& c) const {
    const std::int64_t per_batch = (points + chunk - 1) / chunk;
    const auto [begin, end] = c.slice(batch * per_batch);
    const G* at = c.ptr<const G>(grid);
    Taps<C> taps[chunk];
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t n = i / per_batch, first = i % per_batch * chunk, count = std::min(chunk, points - first);
      for (std::int64_t p = 0; p < count; ++p) {
        C point[max_dims];
        for (int d = 0; d < sampling.dims; ++d) point[d] = static_cast<C>(at[(n * points + first + p) * sampling.dims + d]);
        find_taps(sampling, point, taps[p]);
      }
      const T* s = c.ptr<const T>(x) + n * channels * plane;
      T* d = c.ptr<T>(y) + n * channels * points + first;
      const bool two_by_two =
          sampling.mode == Mode::linear && std::all_of(taps, taps + count, [](const Taps<C>& t) { return t.count == 4; });
      for (std::int64_t k = 0; k < channels; ++k, s += plane, d += points)
        for (std::int64_t p = 0; p < count; ++p) d[p] = sample(s, taps[p], two_by_two);
    }
  }

  T sample(const T* s, const Taps<C>& taps, bool two_by_two) const {
    if (sampling.mode == Mode::nearest) return taps.count ? s[taps.offset[0]] : T{};
    if constexpr (!std::is_same_v<T, Bytes16>) {
      const auto term = [&](int t) { return taps.weight[t] * static_cast<C>(s[taps.offset[t]]); };
      if (two_by_two) return sampled<T>(term(0) + term(1) + term(2) + term(3));
      C sum = 0;
      for (int t = 0; t < taps.count; ++t) sum += term(t);
      return sampled<T>(sum);
    } else {
      return T{};
    }
  }
};

std::optional<Sampling> read_sampling(const NodeView& node) {
  Sampling s;
  const std::string_view mode = node.string_or("mode", "linear"), padding = node.string_or("padding_mode", "zeros");
  if (mode == "nearest") s.mode = Mode::nearest;
  else if (mode == "cubic" || mode == "bicubic") s.mode = Mode::cubic;
  else if (mode != "linear" && mode != "bilinear") return std::nullopt;
  if (padding == "border") s.padding = Padding::border;
  else if (padding == "reflection") s.padding = Padding::reflection;
  else if (padding != "zeros") return std::nullopt;
  s.align_corners = node.int_or("align_corners", 0) != 0;
  return s;
}

class GridSampleOp final : public Op {
 public:
  explicit GridSampleOp(const Sampling& sampling) : sampling_(sampling) {}

  void plan(PlanBuilder& b) const override {
    const Shape &x = b.in(0), &g = b.in(1), &y = b.out(0);
    const std::int64_t dims = x.rank() - 2;
    if (dims < 1 || dims > max_dims || g.rank() != x.rank() || g[-1] != dims || g[0] != x[0])
      throw Failure{TENON_INVALID_ARGUMENT,
                    "the input must be [N, C, ...] with 1 to 3 spatial dimensions, the grid [N, ..., dimensions]"};
    if (y.count() == 0) return;
    if (x.count() == 0) throw Failure{TENON_INVALID_ARGUMENT, "there is nothing to sample"};
    if (y.count() / (x[0] * x[1]) != g.count() / (g[0] * dims))
      throw Failure{TENON_INVALID_ARGUMENT, "the grid does not give the planned size"};
    const bool wide = g.dtype == TENON_DTYPE_DOUBLE;
    if (sampling_.mode == Mode::nearest) {
      with_bytes(element_of(x.dtype), [&](auto zero) {
        using T = decltype(zero);
        if (wide) emit<T, double, double>(b);
        else emit<T, float, float>(b);
      });
      return;
    }
    switch (x.dtype) {
      case TENON_DTYPE_FLOAT: return wide ? emit<float, double, double>(b) : emit<float, float, float>(b);
      case TENON_DTYPE_DOUBLE: return any_grid<double>(b, wide);
      case TENON_DTYPE_INT8: return any_grid<std::int8_t>(b, wide);
      case TENON_DTYPE_UINT8: return any_grid<std::uint8_t>(b, wide);
      case TENON_DTYPE_INT16: return any_grid<std::int16_t>(b, wide);
      case TENON_DTYPE_UINT16: return any_grid<std::uint16_t>(b, wide);
      case TENON_DTYPE_INT32: return any_grid<std::int32_t>(b, wide);
      case TENON_DTYPE_UINT32: return any_grid<std::uint32_t>(b, wide);
      case TENON_DTYPE_INT64: return any_grid<std::int64_t>(b, wide);
      default: return any_grid<std::uint64_t>(b, wide);
    }
  }

 private:
  template <class T>
  void any_grid(PlanBuilder& b, bool wide) const {
    if (wide) emit<T, double, double>(b);
    else emit<T, double, float>(b);
  }
  template <class T, class C, class G>
  void emit(PlanBuilder& b) const {
    const Shape &x = b.in(0), &y = b.out(0);
    SampleStep<T, C, G> s{sampling_, x[0], x[1], x.inner(1), y.inner(1), b.in_ref(0), b.in_ref(1), b.out_ref(0)};
    s.sampling.dims = static_cast<int>(x.rank() - 2);
    for (int d = 0; d < s.sampling.dims; ++d) s.sampling.size[d] = x[d + 2], s.sampling.stride[d] = x.inner(d + 2);
    StepOptions options;
    const double taps = std::pow(sampling_.mode == Mode::nearest ? 1 : sampling_.mode == Mode::linear ? 2 : 4, s.sampling.dims);
    options.est_ns = static_cast<double>(x[0] * s.points) * (20 + taps * 3 + static_cast<double>(x[1]) * taps);
    b.step("grid sample", s, options, {{s.x, s.grid}}, {{s.y}});
  }

  Sampling sampling_;
};

Support sample_supports(const NodeView& node) {
  const auto sampling = read_sampling(node);
  if (!sampling) return Support::no(TENON_REJECT_ATTRIBUTE, "mode or padding_mode is not known");
  const std::int32_t dtype = node.dtype(0);
  if (node.dtype(1) != TENON_DTYPE_FLOAT && node.dtype(1) != TENON_DTYPE_DOUBLE)
    return Support::no(TENON_REJECT_DTYPE, "the grid must be floating point");
  if (node.rank(0) > 2 + max_dims) return Support::no(TENON_REJECT_RANK, "rank " + std::to_string(node.rank(0)));
  if (Support s = any_type(node); s.reason) return s;
  const bool blends = dtype == TENON_DTYPE_FLOAT || dtype == TENON_DTYPE_DOUBLE || is_integer(dtype);
  if (sampling->mode == Mode::nearest ? !is_bytes(element_of(dtype)) : !blends)
    return Support::no(TENON_REJECT_DTYPE, "elements of type " + std::to_string(dtype) + " cannot be sampled so");
  return Support::yes();
}

// ---- AffineGrid -------------------------------------------------------------------------------------------------------

class AffineGridOp final : public Op {
 public:
  explicit AffineGridOp(const NodeView& node) : align_corners_(node.int_or("align_corners", 0) != 0) {}

  void plan(PlanBuilder& b) const override {
    const Shape &theta = b.in(0), &y = b.out(0);
    const std::int64_t dims = y.rank() - 2;
    if ((dims != 2 && dims != 3) || theta.rank() != 3 || theta[1] != dims || theta[2] != dims + 1 || y[-1] != dims || theta[0] != y[0])
      throw Failure{TENON_INVALID_ARGUMENT, "theta must be [N, 2, 3] with a size of 4 elements, or [N, 3, 4] with one of 5"};
    if (y.count() == 0) return;
    if (theta.dtype == TENON_DTYPE_DOUBLE) emit<double>(b, static_cast<int>(dims));
    else emit<float>(b, static_cast<int>(dims));
  }

 private:
  template <class T>
  void emit(PlanBuilder& b, int dims) const {
    const Shape& y = b.out(0);
    std::int64_t size[max_dims] = {1, 1, 1};  // slowest first
    for (int d = 0; d < dims; ++d) size[d] = y[d + 1];
    const std::int64_t points = y.count() / dims, plane = points / y[0];
    const Ref theta = b.in_ref(0), dst = b.out_ref(0);
    StepOptions options;
    options.est_ns = static_cast<double>(points) * 10;
    b.step("affine grid", [=, size0 = size[0], size1 = size[1], size2 = size[2], corners = align_corners_](const StepContext& c) {
      const std::int64_t sizes[] = {size0, size1, size2};
      const auto [begin, end] = c.slice(points, 64);
      for (std::int64_t i = begin; i < end; ++i) {
        double at[max_dims + 1];  // fastest axis first, then 1
        std::int64_t rest = i % plane;
        for (int d = 0; d < dims; ++d) {
          const std::int64_t n = sizes[dims - 1 - d], k = rest % n;
          rest /= n;
          if (corners) at[d] = n == 1 ? 0 : -1 + 2 * static_cast<double>(k) / static_cast<double>(n - 1);
          else at[d] = (2 * static_cast<double>(k) + 1) / static_cast<double>(n) - 1;
        }
        at[dims] = 1;
        const T* m = c.ptr<const T>(theta) + i / plane * dims * (dims + 1);
        for (int r = 0; r < dims; ++r) {
          double sum = 0;
          for (int k = 0; k <= dims; ++k) sum += static_cast<double>(m[r * (dims + 1) + k]) * at[k];
          c.ptr<T>(dst)[i * dims + r] = static_cast<T>(sum);
        }
      }
    }, options, {{theta}}, {{dst}});
  }

  bool align_corners_;
};

Support affine_supports(const NodeView& node) {
  if (node.dtype(0) != TENON_DTYPE_FLOAT && node.dtype(0) != TENON_DTYPE_DOUBLE)
    return Support::no(TENON_REJECT_DTYPE, "theta must be floating point");
  return Support::yes();
}

constexpr OpRow rows[] = {
    {"", "GridSample", sample_supports,
     [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<GridSampleOp>(*read_sampling(node)); }},
    {"", "AffineGrid", affine_supports,
     [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<AffineGridOp>(node); }},
};

}  // namespace

std::span<const OpRow> grid_sample_rows() { return rows; }

}  // namespace tenon::cpu
