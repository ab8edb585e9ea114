// MatMulInteger, ConvInteger, QLinearMatMul, QLinearConv: 8-bit products with 32-bit sums, requantized where the op says so.
#include <algorithm>
#include <string>

#include "plugins/cpu/gemm/int_gemm.h"
#include "plugins/cpu/ops/byte_matmul.h"
#include "plugins/cpu/ops/conv_shape.h"
#include "plugins/cpu/ops/quantize.h"

namespace tenon::cpu {
namespace {

using gemm::IntKernels;

// Zero points of one operand as int32: one, or one for each row (column) of the matrix.
struct Zero {
  Ref ref;
  std::int32_t dtype = TENON_DTYPE_UINT8;
  std::int64_t count = 0;  // 0: none

  std::int32_t at(const StepContext& c, std::int64_t i) const { return count ? read_quantized(c.ptr<const void>(ref), dtype, count == 1 ? 0 : i) : 0; }
};
Zero zero_of(PlanBuilder& b, std::uint32_t input) {
  const Shape& s = b.in(input);
  if (s.dtype == TENON_DTYPE_UNDEFINED) return {};
  return {b.in_ref(input), s.dtype, s.count()};
}

// A scale or zero point is there once or for each of `many`; an omitted one (dtype UNDEFINED) is fine.
void expect_parameter(const PlanBuilder& b, std::uint32_t input, std::int64_t many, const char* name) {
  const Shape& s = b.in(input);
  if (s.dtype == TENON_DTYPE_UNDEFINED) return;
  require(s.count() == 1 || s.count() == many,
          std::string(name) + " has " + std::to_string(s.count()) + " elements, expected 1" + (many == 1 ? "" : " or " + std::to_string(many)));
}

// y = (sum + bias) * a_scale * b_scale / y_scale + y_zero; b_scale one or one for each output channel.
struct Requantize {
  bool on = false;
  Ref a_scale, b_scale, y_scale;
  Zero y_zero;
  std::int64_t b_scales = 1;
  std::int32_t dtype = TENON_DTYPE_UINT8;
};

void store(const StepContext& c, const Requantize& r, std::int32_t sum, std::int64_t channel, float a_scale, float y_scale, void* out, std::int64_t at) {
  const float b_scale = c.ptr<const float>(r.b_scale)[r.b_scales == 1 ? 0 : channel];
  const std::int32_t n = quantize(static_cast<float>(sum), y_scale / (a_scale * b_scale), r.y_zero.at(c, 0), range_of(r.dtype));
  if (r.dtype == TENON_DTYPE_INT8) static_cast<std::int8_t*>(out)[at] = static_cast<std::int8_t>(n);
  else static_cast<std::uint8_t*>(out)[at] = static_cast<std::uint8_t>(n);
}

// ---- matrix products ------------------------------------------------------------------------------------------------------

// Inputs a, b; where their zero points, scales and the output's are, by operator.
struct ProductInputs {
  std::uint32_t a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero;
  bool scaled;
};
void expect_parameters(const PlanBuilder& b, const ProductInputs& in, std::int64_t rows, std::int64_t columns) {
  expect_parameter(b, in.a_zero, rows, "the zero point of the first operand");
  expect_parameter(b, in.b_zero, columns, "the zero point of the second operand");
  if (!in.scaled) return;
  expect_parameter(b, in.a_scale, 1, "the scale of the first operand");
  expect_parameter(b, in.b_scale, columns, "the scale of the second operand");
  expect_parameter(b, in.y_scale, 1, "the scale of the output");
  expect_parameter(b, in.y_zero, 1, "the zero point of the output");
}
constexpr ProductInputs integer_inputs{0, 0, 2, 1, 0, 3, 0, 0, false}, linear_inputs{0, 1, 2, 3, 4, 5, 6, 7, true};

class IntegerMatMulOp final : public Op {
 public:
  // A constant B with a constant zero point is packed here, once for all sessions.
  IntegerMatMulOp(const NodeView& node, const ProductInputs& in, CompileContext& context) : in_(in) {
    const bool fixed = node.is_constant(in.b) && node.rank(in.b) == 2 && (!node.has_input(in.b_zero) || node.is_constant(in.b_zero));
    if (!fixed || context.options().plain) return;
    const IntKernels& kernels = gemm::int_kernels(context.options().isa);
    const tenon_value& b = node.input(in.b);
    const std::int64_t k = b.dims[0], n = b.dims[1];
    std::vector<std::int32_t> zeros(static_cast<std::size_t>(n), 0);
    std::string id = "int_b/" + std::to_string(kernels.columns) + "/" + std::to_string(static_cast<int>(context.options().isa));
    if (node.has_input(in.b_zero)) {
      const tenon_const_tensor z = context.constant(node, in.b_zero);
      for (std::int64_t j = 0; j < n; ++j) {
        zeros[static_cast<std::size_t>(j)] = read_quantized(z.data, z.dtype, z.rank == 0 || z.dims[0] == 1 ? 0 : j);
        id += (j == 0 || zeros[static_cast<std::size_t>(j)] != zeros[static_cast<std::size_t>(j - 1)]) ? "/" + std::to_string(j) + ":" + std::to_string(zeros[static_cast<std::size_t>(j)]) : "";
      }
    }
    packed_ = static_cast<const std::int16_t*>(
        context.packed(node, in.b, id, static_cast<std::uint64_t>(gemm::packed_b_count(kernels, k, n)) * 2, [&](const tenon_const_tensor& t, void* to) {
          const std::int64_t panels = (n + kernels.columns - 1) / kernels.columns;
          std::vector<std::int32_t> padded = zeros;
          padded.resize(static_cast<std::size_t>(panels * kernels.columns), 0);
          gemm::pack_b(kernels, t.data, t.dtype == TENON_DTYPE_INT8, n, 1, k, n, padded.data(), true, 0, panels, static_cast<std::int16_t*>(to));
        }));
  }

  void plan(PlanBuilder& b) const override {
    const Shape &a = b.in(in_.a), &w = b.in(in_.b), &y = b.out(0);
    require(a.rank() > 0 && w.rank() > 0, "A and B must have at least one dimension");
    const std::int64_t k = a[-1], n = w.rank() == 1 ? 1 : w[-1], m = a.rank() == 1 ? 1 : a[-2];
    if ((w.rank() == 1 ? w[0] : w[-2]) != k)
      throw Failure{TENON_INVALID_ARGUMENT, "A has " + std::to_string(k) + " columns, B has " + std::to_string(w.rank() == 1 ? w[0] : w[-2]) + " rows"};
    if (y.count() == 0) return;
    expect_parameters(b, in_, m, n);
    // Batches: the leading dims of the output, each operand broadcast into them.
    std::vector<std::int64_t> a_batch, b_batch;
    batches(y, m, n, a, w, a_batch, b_batch);
    const std::int64_t batch_count = static_cast<std::int64_t>(a_batch.size());
    const std::int64_t* a_at = b.keep(std::span<const std::int64_t>(a_batch));
    const std::int64_t* b_at = b.keep(std::span<const std::int64_t>(b_batch));
    const std::int64_t matrices = w.rank() <= 2 ? 1 : w.count() / std::max<std::int64_t>(k * n, 1);
    const IntKernels& kernels = gemm::int_kernels(b.options().isa);
    const std::int64_t packed = gemm::packed_b_count(kernels, k, n), panels = (n + kernels.columns - 1) / kernels.columns;
    const Zero a_zero = zero_of(b, in_.a_zero), b_zero = zero_of(b, in_.b_zero);
    const Ref wr = b.in_ref(in_.b), ar = b.in_ref(in_.a), yr = b.out_ref(0);
    const bool a_signed = a.dtype == TENON_DTYPE_INT8, b_signed = w.dtype == TENON_DTYPE_INT8;
    const Ref packed_b = packed_ ? Ref{TENON_NO_VALUE, packed_} : b.temp(static_cast<std::uint64_t>(packed * matrices) * 2);
    const double flops = 2.0 * static_cast<double>(y.count()) * static_cast<double>(k);
    StepOptions o;
    o.est_ns = static_cast<double>(k * n * matrices) * 0.5;
    std::vector<Ref> pack_reads{wr};
    if (b_zero.count) pack_reads.push_back(b_zero.ref);
    if (!packed_) b.step("pack B", [=, &kernels](const StepContext& c) {
      const auto [begin, end] = c.slice(panels * matrices);
      for (std::int64_t p = begin; p < end; ++p) {
        const std::int64_t matrix = p / panels, panel = p % panels;
        std::int32_t zeros[64];  // of this panel's columns
        for (std::int64_t j = 0; j < kernels.columns; ++j) zeros[j] = b_zero.at(c, std::min(panel * kernels.columns + j, n - 1));
        // pack_b numbers columns from the start of B: hand it this panel alone.
        const char* from = c.ptr<const char>(wr) + matrix * k * n + panel * kernels.columns;
        gemm::pack_b(kernels, from, b_signed, n, 1, k, std::min(kernels.columns, n - panel * kernels.columns), zeros, true, 0, 1,
                     c.ptr<std::int16_t>(packed_b) + matrix * packed + panel * gemm::int_pairs(k) * 2 * kernels.columns);
      }
    }, o, pack_reads, {{packed_b}});

    constexpr std::int64_t block = 24;  // rows of A packed at a time
    const std::int64_t blocks = (m + block - 1) / block;
    const std::uint64_t scratch_bytes = static_cast<std::uint64_t>(block * gemm::int_pairs(k) * 2 * 2 + block * n * 4 + 64);
    const Ref scratch = b.scratch(scratch_bytes);
    Requantize r;
    r.on = in_.scaled;
    if (r.on) {
      r.a_scale = b.in_ref(in_.a_scale), r.b_scale = b.in_ref(in_.b_scale), r.y_scale = b.in_ref(in_.y_scale);
      r.b_scales = b.in(in_.b_scale).count(), r.y_zero = zero_of(b, in_.y_zero), r.dtype = y.dtype;
    }
    std::vector<Ref> reads{ar, scratch};
    if (!packed_) reads.push_back(packed_b);
    for (const Ref& x : {a_zero.ref, r.a_scale, r.b_scale, r.y_scale, r.y_zero.ref})
      if (x.present()) reads.push_back(x);
    o.est_ns = flops / 100;
    // With one row the columns are split, else rows.
    const bool by_columns = batch_count * blocks < static_cast<std::int64_t>(b.options().max_workers);
    b.step("product", [=, &kernels](const StepContext& c) {
      const auto items = by_columns ? StepContext::Slice{0, batch_count * blocks} : c.slice(batch_count * blocks);
      const auto columns = by_columns ? c.slice(panels) : StepContext::Slice{0, panels};
      auto* rows16 = worker_scratch<std::int16_t>(c, scratch, scratch_bytes);
      auto* sums = reinterpret_cast<std::int32_t*>(rows16 + ((block * gemm::int_pairs(k) * 2 + 31) & ~std::int64_t{31}));
      const float a_scale = r.on ? *c.ptr<const float>(r.a_scale) : 1, y_scale = r.on ? *c.ptr<const float>(r.y_scale) : 1;
      for (std::int64_t i = items.begin; i < items.end; ++i) {
        const std::int64_t batch = i / blocks, row = i % blocks * block, height = std::min(block, m - row);
        std::int32_t zeros[block];
        for (std::int64_t j = 0; j < height; ++j) zeros[j] = a_zero.at(c, row + j);
        gemm::pack_a(c.ptr<const char>(ar) + a_at[batch] + row * k, a_signed, k, 1, k, height, zeros, true, rows16);
        const std::int16_t* b16 = c.ptr<const std::int16_t>(packed_b) + b_at[batch] * packed;
        const std::int64_t start = batch * m * n + row * n;
        if (!r.on) {
          gemm::multiply(kernels, rows16, height, b16, k, n, columns.begin, columns.end, c.ptr<std::int32_t>(yr) + start, n);
          continue;
        }
        gemm::multiply(kernels, rows16, height, b16, k, n, columns.begin, columns.end, sums, n);
        const std::int64_t first = columns.begin * kernels.columns, last = std::min(n, columns.end * kernels.columns);
        for (std::int64_t h = 0; h < height; ++h)
          for (std::int64_t j = first; j < last; ++j) store(c, r, sums[h * n + j], j, a_scale, y_scale, c.ptr<void>(yr), start + h * n + j);
      }
    }, o, reads, {{yr}});
  }

 private:
  // Offsets of A (in elements) and numbers of B's matrix, for each batch of the output.
  static void batches(const Shape& y, std::int64_t m, std::int64_t n, const Shape& a, const Shape& w, std::vector<std::int64_t>& a_out,
                      std::vector<std::int64_t>& b_out) {
    const std::int64_t total = y.count() / (m * n);
    const std::int64_t lead = std::max<std::int64_t>({a.rank() - 2, w.rank() - 2, 0});
    std::vector<std::int64_t> dims(static_cast<std::size_t>(lead), 1);
    const auto dim = [&](const Shape& s, std::int64_t d) {  // of the leading dims, from the right
      const std::int64_t at = s.rank() - 2 - (lead - d);
      return at >= 0 ? s[at] : 1;
    };
    for (std::int64_t d = 0; d < lead; ++d) dims[static_cast<std::size_t>(d)] = std::max(dim(a, d), dim(w, d));
    const std::int64_t k = a[-1];
    for (std::int64_t i = 0; i < total; ++i) {
      std::int64_t rest = i, a_index = 0, b_index = 0, a_stride = 1, b_stride = 1;
      for (std::int64_t d = lead; d-- > 0;) {
        const std::int64_t at = rest % dims[static_cast<std::size_t>(d)];
        rest /= dims[static_cast<std::size_t>(d)];
        a_index += (dim(a, d) == 1 ? 0 : at) * a_stride, a_stride *= dim(a, d);
        b_index += (dim(w, d) == 1 ? 0 : at) * b_stride, b_stride *= dim(w, d);
      }
      a_out.push_back(a_index * m * k);
      b_out.push_back(b_index);
    }
  }
  ProductInputs in_;
  const std::int16_t* packed_ = nullptr;
};

// ---- convolutions -----------------------------------------------------------------------------------------------------------

// Input, filter, their zero points and the rest, by operator.
constexpr ProductInputs conv_integer{0, 0, 2, 1, 0, 3, 0, 0, false}, conv_linear{0, 1, 2, 3, 4, 5, 6, 7, true};
constexpr std::uint32_t linear_bias = 8;

class IntegerConvOp final : public Op {
 public:
  IntegerConvOp(const NodeView& node, const ProductInputs& in) : in_(in), group_(node.int_or("group", 1)) {
    WindowAttributes::read(node, spatial_dims(node, in), window_);
  }
  // From the rank of whichever operand is known; below 1 where neither is.
  static int spatial_dims(const NodeView& node, const ProductInputs& in) { return std::max(node.rank(in.a), node.rank(in.b)) - 2; }

  void plan(PlanBuilder& b) const override {
    const Shape &x = b.in(in_.a), &w = b.in(in_.b), &y = b.out(0);
    if (y.count() == 0) return;
    const std::int64_t spatial = window_.spatial;
    require(x.rank() == spatial + 2 && w.rank() == x.rank() && y.rank() == x.rank(), "X, W and Y must have rank " + std::to_string(spatial + 2));
    require(group_ <= w[0] && x[1] == w[1] * group_ && w[0] % group_ == 0 && y[0] == x[0] && y[1] == w[0],
            "X has " + std::to_string(x[1]) + " channels; W takes " + std::to_string(w[1]) + " for each of " + std::to_string(group_) + " groups and makes " +
                std::to_string(w[0]));
    expect_parameters(b, in_, 1, w[0]);
    if (in_.scaled && b.in(linear_bias).dtype != TENON_DTYPE_UNDEFINED)
      require(b.in(linear_bias).count() == w[0], "the bias has " + std::to_string(b.in(linear_bias).count()) + " elements, expected " + std::to_string(w[0]));
    Geometry g;
    g.n = x[0], g.channels = w[1], g.outputs = w[0] / group_, g.group = group_;
    for (std::int64_t d = 0; d < 3; ++d) {
      const std::int64_t at = d - (3 - spatial);  // leading axes of size 1 make every convolution 3-D
      if (at < 0) continue;
      const Window v = window_.resolve(static_cast<int>(at), x[2 + at], w[2 + at]);
      require(v.out == y[2 + at], "spatial dim " + std::to_string(at) + " of Y would have " + std::to_string(v.out) + " elements, not " + std::to_string(y[2 + at]));
      g.in[d] = v.in, g.kernel[d] = v.kernel, g.out[d] = v.out, g.stride[d] = v.stride, g.dilation[d] = v.dilation, g.pad[d] = v.pad;
    }
    const std::int64_t k = g.depth(), pixels = g.out[0] * g.out[1] * g.out[2], outputs = g.outputs;
    const IntKernels& kernels = gemm::int_kernels(b.options().isa);
    const std::int64_t packed = gemm::packed_b_count(kernels, k, outputs), panels = (outputs + kernels.columns - 1) / kernels.columns;
    const Zero x_zero = zero_of(b, in_.a_zero), w_zero = zero_of(b, in_.b_zero);
    const Ref wr = b.in_ref(in_.b), xr = b.in_ref(in_.a), yr = b.out_ref(0);
    const bool x_signed = x.dtype == TENON_DTYPE_INT8, w_signed = w.dtype == TENON_DTYPE_INT8;
    const Ref packed_w = b.temp(static_cast<std::uint64_t>(packed * group_) * 2);
    StepOptions o;
    o.est_ns = static_cast<double>(k * outputs * group_) * 0.5;
    std::vector<Ref> pack_reads{wr};
    if (w_zero.count) pack_reads.push_back(w_zero.ref);
    const std::int64_t groups = group_;
    b.step("pack filter", [=, &kernels](const StepContext& c) {
      const auto [begin, end] = c.slice(panels * groups);
      for (std::int64_t p = begin; p < end; ++p) {
        const std::int64_t q = p / panels, panel = p % panels, first = panel * kernels.columns;
        std::int32_t zeros[64];
        for (std::int64_t j = 0; j < kernels.columns; ++j) zeros[j] = w_zero.at(c, q * outputs + std::min(first + j, outputs - 1));
        gemm::pack_b(kernels, c.ptr<const char>(wr) + (q * outputs + first) * k, w_signed, 1, k, k, std::min(kernels.columns, outputs - first), zeros, true, 0, 1,
                     c.ptr<std::int16_t>(packed_w) + q * packed + panel * gemm::int_pairs(k) * 2 * kernels.columns);
      }
    }, o, pack_reads, {{packed_w}});

    constexpr std::int64_t block = 24;  // output pixels at a time
    const std::int64_t blocks = (pixels + block - 1) / block;
    const std::int64_t row16 = gemm::int_pairs(k) * 2;
    const std::uint64_t scratch_bytes = static_cast<std::uint64_t>(block * row16 * 2 + block * outputs * 4 + 64);
    const Ref scratch = b.scratch(scratch_bytes);
    Requantize r;
    r.on = in_.scaled;
    Ref bias;
    if (r.on) {
      r.a_scale = b.in_ref(in_.a_scale), r.b_scale = b.in_ref(in_.b_scale), r.y_scale = b.in_ref(in_.y_scale);
      r.b_scales = b.in(in_.b_scale).count(), r.y_zero = zero_of(b, in_.y_zero), r.dtype = y.dtype;
      bias = b.in(linear_bias).dtype == TENON_DTYPE_UNDEFINED ? Ref{} : b.in_ref(linear_bias);
    }
    std::vector<Ref> reads{xr, packed_w, scratch};
    for (const Ref& ref : {x_zero.ref, r.a_scale, r.b_scale, r.y_scale, r.y_zero.ref, bias})
      if (ref.present()) reads.push_back(ref);
    o.est_ns = 2.0 * static_cast<double>(y.count()) * static_cast<double>(k) / 100;
    const Geometry* geometry = b.keep(std::span<const Geometry>(&g, 1));
    b.step("convolution", [=, &kernels](const StepContext& c) {
      const auto [begin, end] = c.slice(geometry->n * groups * blocks);
      auto* columns = worker_scratch<std::int16_t>(c, scratch, scratch_bytes);
      auto* sums = reinterpret_cast<std::int32_t*>(columns + ((block * row16 + 31) & ~std::int64_t{31}));
      const float a_scale = r.on ? *c.ptr<const float>(r.a_scale) : 1, y_scale = r.on ? *c.ptr<const float>(r.y_scale) : 1;
      const std::int32_t zero = x_zero.at(c, 0);
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t image = i / (groups * blocks), q = i / blocks % groups, pixel = i % blocks * block, height = std::min(block, pixels - pixel);
        for (std::int64_t h = 0; h < height; ++h)
          gather(*geometry, c.ptr<const char>(xr), x_signed, zero, image, q, pixel + h, columns + h * row16);
        gemm::multiply(kernels, columns, height, c.ptr<const std::int16_t>(packed_w) + q * packed, k, outputs, 0, panels, sums, outputs);
        for (std::int64_t j = 0; j < outputs; ++j) {
          const std::int64_t channel = q * outputs + j, start = (image * groups * outputs + channel) * pixels + pixel;
          const std::int32_t added = bias.present() ? c.ptr<const std::int32_t>(bias)[channel] : 0;
          for (std::int64_t h = 0; h < height; ++h) {
            const std::int32_t sum = sums[h * outputs + j] + added;
            if (r.on) store(c, r, sum, channel, a_scale, y_scale, c.ptr<void>(yr), start + h);
            else c.ptr<std::int32_t>(yr)[start + h] = sum;
          }
        }
      }
    }, o, reads, {{yr}});
  }

 private:
  struct Geometry {
    std::int64_t n = 1, channels = 1, outputs = 1, group = 1;
    std::int64_t in[3] = {1, 1, 1}, kernel[3] = {1, 1, 1}, out[3] = {1, 1, 1}, stride[3] = {1, 1, 1}, dilation[3] = {1, 1, 1}, pad[3] = {0, 0, 0};
    std::int64_t depth() const { return channels * kernel[0] * kernel[1] * kernel[2]; }
  };
  // The input under the filter at one output pixel; what lies outside is the zero point, that is 0 here.
  static void gather(const Geometry& g, const char* x, bool is_signed, std::int32_t zero, std::int64_t image, std::int64_t group, std::int64_t pixel,
                     std::int16_t* to) {
    const std::int64_t ox = pixel % g.out[2], oy = pixel / g.out[2] % g.out[1], oz = pixel / (g.out[2] * g.out[1]);
    std::int16_t* const start = to;
    for (std::int64_t ch = 0; ch < g.channels; ++ch) {
      const char* plane = x + ((image * g.group + group) * g.channels + ch) * g.in[0] * g.in[1] * g.in[2];
      for (std::int64_t kz = 0; kz < g.kernel[0]; ++kz)
        for (std::int64_t ky = 0; ky < g.kernel[1]; ++ky) {
          const std::int64_t iz = oz * g.stride[0] + kz * g.dilation[0] - g.pad[0], iy = oy * g.stride[1] + ky * g.dilation[1] - g.pad[1];
          const bool row_inside = iz >= 0 && iz < g.in[0] && iy >= 0 && iy < g.in[1];
          for (std::int64_t kx = 0; kx < g.kernel[2]; ++kx) {
            const std::int64_t ix = ox * g.stride[2] + kx * g.dilation[2] - g.pad[2];
            std::int32_t v = 0;
            if (row_inside && ix >= 0 && ix < g.in[2]) {
              const char raw = plane[(iz * g.in[1] + iy) * g.in[2] + ix];
              v = (is_signed ? static_cast<std::int32_t>(static_cast<signed char>(raw)) : static_cast<std::int32_t>(static_cast<unsigned char>(raw))) - zero;
            }
            *to++ = static_cast<std::int16_t>(v);
          }
        }
    }
    if ((to - start) % 2) *to = 0;
  }

  ProductInputs in_;
  std::int64_t group_;
  WindowAttributes window_;
};

template <const ProductInputs& in>
Support supports_product(const NodeView& n) {
  if (!is_integer8(n.dtype(in.a)) || !is_integer8(n.dtype(in.b))) return Support::no(TENON_REJECT_DTYPE, "both operands must be int8 or uint8");
  if (in.scaled && !is_integer8(n.output(0).dtype)) return Support::no(TENON_REJECT_DTYPE, "the output must be int8 or uint8");
  if (in.scaled && (n.dtype(in.a_scale) != TENON_DTYPE_FLOAT || n.dtype(in.b_scale) != TENON_DTYPE_FLOAT)) return Support::no(TENON_REJECT_DTYPE, "scales must be float32 or a half type");
  return Support::yes();
}
template <const ProductInputs& in>
Support supports_conv(const NodeView& n) {
  if (Support s = supports_product<in>(n); s.reason) return s;
  const int spatial = IntegerConvOp::spatial_dims(n, in);
  if (spatial < 1 || spatial > kMaxSpatial) return Support::no(TENON_REJECT_RANK, "only 1 to 3 spatial dimensions");
  if (n.int_or("group", 1) < 1) return Support::no(TENON_REJECT_ATTRIBUTE, "group is " + std::to_string(n.int_or("group", 1)));
  WindowAttributes window;
  if (const std::string error = WindowAttributes::read(n, spatial, window); !error.empty()) return Support::no(TENON_REJECT_ATTRIBUTE, error);
  return Support::yes();
}
template <const ProductInputs& in>
std::unique_ptr<Op> make_matmul(const NodeView& n, CompileContext& context) {
  if constexpr (!in.scaled)
    if (auto op = ByteMatMulOp::make(n, context)) return op;
  return std::make_unique<IntegerMatMulOp>(n, in, context);
}
template <const ProductInputs& in>
std::unique_ptr<Op> make_conv(const NodeView& n, CompileContext&) {
  return std::make_unique<IntegerConvOp>(n, in);
}

constexpr OpRow rows[] = {
    {"", "MatMulInteger", supports_product<integer_inputs>, make_matmul<integer_inputs>},
    {"", "QLinearMatMul", supports_product<linear_inputs>, make_matmul<linear_inputs>},
    {"", "ConvInteger", supports_conv<conv_integer>, make_conv<conv_integer>},
    {"", "QLinearConv", supports_conv<conv_linear>, make_conv<conv_linear>},
};

}  // namespace

std::span<const OpRow> integer_product_rows() { return rows; }

}  // namespace tenon::cpu
