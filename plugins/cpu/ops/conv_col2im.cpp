// Col2Im: adds up overlapping blocks into images.
#include <complex>

#include "plugins/cpu/ops/conv_family.h"
#include "plugins/cpu/ops/conv_shape.h"
#include "plugins/cpu/ops/reduce_types.h"

namespace tenon::cpu {
namespace {

template <class T>
struct Col2ImStep {
  std::int64_t planes, columns, rows;  // of the input: images times channels; blocks; channels times block size
  std::int64_t channels;
  int spatial;
  Window dims[kMaxSpatial];            // in: of the image; kernel and out are found in the run
  std::int64_t pads[kMaxSpatial];      // both sides
  Ref x, block_shape, y;

  void operator()(const StepContext& context) const {
    const auto* block = context.ptr<const std::int64_t>(block_shape);
    Window w[kMaxSpatial];
    std::int64_t size = 1, blocks = 1;
    for (int d = 0; d < kMaxSpatial; ++d) {
      w[d] = dims[d];
      if (d < kMaxSpatial - spatial) continue;
      const std::int64_t kernel = block[d - (kMaxSpatial - spatial)];
      if (kernel < 1 || kernel > rows / size)
        return context.fail(TENON_INVALID_ARGUMENT, "block_shape does not divide the channels of the input");
      w[d].kernel = kernel;
      size *= kernel;
      const std::int64_t room = w[d].in + pads[d] - w[d].reach();
      w[d].out = room < 0 ? 0 : room / w[d].stride + 1;
      blocks = w[d].out == 0 || blocks > columns / w[d].out ? 0 : blocks * w[d].out;
    }
    if (channels * size != rows || blocks != columns)
      return context.fail(TENON_INVALID_ARGUMENT, "the input has " + std::to_string(rows) + " rows of " + std::to_string(columns) +
                                                      " blocks, which does not fit the image");
    const T* in = context.ptr<const T>(x);
    T* out = context.ptr<T>(y);
    const auto slice = context.slice(planes);
    for (std::int64_t p = slice.begin; p < slice.end; ++p) {
      const T* from = in + p * size * columns;
      T* to = out + p * w[0].in * w[1].in * w[2].in;
      for (std::int64_t a = 0; a < w[0].in; ++a)
        for (std::int64_t b = 0; b < w[1].in; ++b)
          for (std::int64_t c = 0; c < w[2].in; ++c) *to++ = sum(w, from, a, b, c);
    }
  }

  // The block that covers pixel i with its position k, if there is one.
  static bool covers(const Window& w, std::int64_t i, std::int64_t k, std::int64_t& block) {
    const std::int64_t at = i + w.pad - k * w.dilation;
    if (at < 0 || at % w.stride != 0) return false;
    block = at / w.stride;
    return block < w.out;
  }
  T sum(const Window* w, const T* from, std::int64_t a, std::int64_t b, std::int64_t c) const {
    // Integers wrap around.
    using Sum = std::conditional_t<std::is_integral_v<T>, std::uint64_t, std::conditional_t<std::is_floating_point_v<T>, double, T>>;
    Sum total = 0;
    std::int64_t ba, bb, bc;
    for (std::int64_t ka = 0; ka < w[0].kernel; ++ka) {
      if (!covers(w[0], a, ka, ba)) continue;
      for (std::int64_t kb = 0; kb < w[1].kernel; ++kb) {
        if (!covers(w[1], b, kb, bb)) continue;
        for (std::int64_t kc = 0; kc < w[2].kernel; ++kc)
          if (covers(w[2], c, kc, bc))
            total +=
                static_cast<Sum>(from[((ka * w[1].kernel + kb) * w[2].kernel + kc) * columns + (ba * w[1].out + bb) * w[2].out + bc]);
      }
    }
    if constexpr (std::is_same_v<T, bool>) return total != 0;
    else return static_cast<T>(total);
  }
};

class Col2Im final : public Op {
 public:
  Col2Im(const NodeView& node, CompileContext&) {
    if (const std::string error = WindowAttributes::read(node, node.output(0).rank - 2, window_); !error.empty())
      throw Failure{TENON_INVALID_ARGUMENT, error};
  }
  void plan(PlanBuilder& builder) const override {
    if (builder.in(0).dtype == TENON_DTYPE_BOOL) emit<bool>(builder);
    else if (builder.in(0).dtype == TENON_DTYPE_COMPLEX64) emit<std::complex<float>>(builder);
    else if (builder.in(0).dtype == TENON_DTYPE_COMPLEX128) emit<std::complex<double>>(builder);
    else visit_number(builder.in(0).dtype, [&](auto tag) { emit<typename decltype(tag)::type>(builder); });
  }

 private:
  template <class T>
  void emit(PlanBuilder& builder) const {
    const Shape &x = builder.in(0), &y = builder.out(0);
    require(x.rank() == 3 && y.rank() == window_.spatial + 2 && y[0] == x[0] && builder.in(2).count() == window_.spatial,
            "an input of rank 3 and a block size for each dim of the image are expected");
    Col2ImStep<T> step{y[0] * y[1], x[2], x[1], y[1], window_.spatial, {}, {}, builder.in_ref(0), builder.in_ref(2), builder.out_ref(0)};
    for (int i = 0; i < window_.spatial; ++i) {
      const int d = kMaxSpatial - window_.spatial + i;
      step.dims[d] = {y[2 + i], 0, 1, window_.strides[i], window_.dilations[i], window_.pads_begin[i]};
      step.pads[d] = window_.pads_begin[i] + window_.pads_end[i];
    }
    if (y.count() > 0) builder.step("col2im", step, {.est_ns = static_cast<double>(x.count() + y.count()) * 2});
  }
  WindowAttributes window_;
};

Support supports_col2im(const NodeView& node) {
  for (std::uint32_t i = 0; i < 3; ++i)
    if (!node.has_input(i)) return Support::no(TENON_REJECT_OTHER, "an input is missing");
  const std::int32_t t = node.dtype(0);
  if (!is_number(t) && t != TENON_DTYPE_BOOL && t != TENON_DTYPE_COMPLEX64 && t != TENON_DTYPE_COMPLEX128)
    return Support::no(TENON_REJECT_DTYPE, "text has no sum");
  if (node.dtype(2) != TENON_DTYPE_INT64) return Support::no(TENON_REJECT_DTYPE, "block_shape is int64");
  const std::int32_t rank = node.output(0).rank;
  if (node.rank(0) != 3 || rank < 3 || rank > 2 + kMaxSpatial)
    return Support::no(TENON_REJECT_RANK, "images of one to three dims are expected");
  WindowAttributes w;
  if (const std::string error = WindowAttributes::read(node, rank - 2, w); !error.empty())
    return Support::no(TENON_REJECT_ATTRIBUTE, error);
  return Support::yes();
}

std::unique_ptr<Op> make_col2im(const NodeView& node, CompileContext& context) { return std::make_unique<Col2Im>(node, context); }

}  // namespace

std::span<const OpRow> col2im_rows() {
  static const OpRow rows[] = {{"", "Col2Im", supports_col2im, make_col2im}};
  return rows;
}

}  // namespace tenon::cpu
