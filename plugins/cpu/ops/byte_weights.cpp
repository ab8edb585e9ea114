#include "plugins/cpu/ops/byte_weights.h"

#include <algorithm>
#include <string>

#include "plugins/cpu/ops/byte_depthwise.h"
#include "plugins/cpu/ops/byte_winograd.h"
#include "plugins/cpu/ops/quantize.h"

namespace tenon::cpu {
namespace {

std::string zeros_id(const ByteConvSpec& s) {
  std::string id;
  for (std::int64_t j = 0; s.zeros && j < s.outputs(); ++j) id += "," + std::to_string(s.zeros[j]);
  return id;
}

bool weights_transposed(const NodeView& op) { return op.op_type() == "Gemm" && op.int_or("transB", 0) != 0; }

}  // namespace

std::optional<Quantization> byte_quantization(CompileContext& context, const NodeView& n, Places at, std::int32_t dtype) {
  if (!is_integer8(dtype) || !n.is_constant(at.scale) || n.input(at.scale).dtype != TENON_DTYPE_FLOAT) return {};
  const tenon_const_tensor scale = context.constant(n, at.scale);
  if (scale.bytes != sizeof(float)) return {};
  Quantization q{*static_cast<const float*>(scale.data), 0, dtype == TENON_DTYPE_INT8};
  if (!(q.scale > 1e-30f && q.scale < 1e30f)) return {};
  if (!n.has_input(at.zero)) return q;
  if (!n.is_constant(at.zero) || n.input(at.zero).dtype != dtype) return {};
  const tenon_const_tensor zero = context.constant(n, at.zero);
  if (zero.bytes != 1) return {};
  q.zero = read_quantized(zero.data, dtype, 0);
  return q;
}

bool column_scales(CompileContext& context, const NodeView& n, std::uint32_t at, std::int64_t count, std::vector<float>& out) {
  if (!n.is_constant(at) || n.input(at).dtype != TENON_DTYPE_FLOAT) return false;
  const tenon_const_tensor t = context.constant(n, at);
  const auto have = static_cast<std::int64_t>(t.bytes / sizeof(float));
  if (have != 1 && have != count) return false;
  const auto* from = static_cast<const float*>(t.data);
  for (std::int64_t j = 0; j < count; ++j) out.push_back(from[have == 1 ? 0 : j]);
  return std::all_of(out.begin(), out.end(), [](float s) { return s > 1e-30f && s < 1e30f; });
}

bool weight_zeros(CompileContext& context, const NodeView& n, std::uint32_t at, std::int32_t dtype, std::int64_t count,
                  std::vector<std::int32_t>& out) {
  out.assign(static_cast<std::size_t>(count), dtype == TENON_DTYPE_UINT8 ? -128 : 0);
  if (n.has_input(at)) {
    if (!n.is_constant(at) || n.input(at).dtype != dtype) return false;
    const tenon_const_tensor t = context.constant(n, at);
    const auto have = static_cast<std::int64_t>(t.bytes);
    if (have != 1 && have != count) return false;
    for (std::int64_t j = 0; j < count; ++j) out[static_cast<std::size_t>(j)] += read_quantized(t.data, dtype, have == 1 ? 0 : j);
  }
  if (std::all_of(out.begin(), out.end(), [](std::int32_t z) { return z == 0; })) out.clear();
  return true;
}

bool product_form(const NodeView& op, const tenon_value& x, const tenon_value& w, ByteConvSpec& s) {
  if (!is_integer8(w.dtype) || w.rank < 2) return false;
  for (std::int32_t d = 0; d < w.rank; ++d)
    if (w.dims[d] < 1 || w.dims[d] > (1 << 20)) return false;
  s.matrix = op.op_type() != "Conv" && op.op_type() != "QLinearConv";
  if (s.matrix) {
    if (w.rank != 2 || x.rank < 1) return false;
    if (op.op_type() == "Gemm" && (op.float_or("alpha", 1) != 1 || op.float_or("beta", 1) != 1 || op.int_or("transA", 0) != 0))
      return false;
    const bool turned = weights_transposed(op);
    s.form = {w.dims[turned ? 0 : 1], 1, w.dims[turned ? 1 : 0]};
    return s.form.piece <= 1 << 15;
  }
  s.groups = op.int_or("group", 1);
  if (w.rank < 3 || w.rank > 5 || x.rank != w.rank || s.groups < 1 || w.dims[0] % s.groups != 0 || x.dims[1] != w.dims[1] * s.groups)
    return false;
  if (!WindowAttributes::read(op, w.rank - 2, s.window).empty()) return false;
  std::int64_t taps = 1;
  for (std::int32_t d = 2; d < w.rank; ++d) taps *= s.kernel[kMaxSpatial - w.rank + d] = w.dims[d];
  s.channels = x.dims[1];
  s.depthwise = s.groups > 1 && s.groups == s.channels && w.dims[0] == s.channels;
  if (s.depthwise) {
    s.form = {1, taps, 1};
    return taps <= 256;
  }
  if (s.groups > 1 && w.dims[1] % 4 != 0) return false;  // pieces of a group are whole quads
  const std::int64_t piece = s.channels % 4 == 0 ? 1 : s.lines() ? s.kernel[kMaxSpatial - 1] : taps;  // taps
  s.form = {w.dims[0] / s.groups, taps / piece, piece * w.dims[1]};
  return taps * w.dims[1] <= 1 << 15;
}

std::int64_t weights_column_axis(const NodeView& op, const ByteConvSpec& s) { return s.matrix && !weights_transposed(op) ? 1 : 0; }

void pack_product(CompileContext& context, const NodeView& op, const NodeView& owner, std::uint32_t at, ByteConvSpec& s) {
  const bool flip = owner.input(at).dtype == TENON_DTYPE_UINT8, turned = weights_transposed(op);
  const ByteConvSpec spec = s;
  const gemm::ByteForm form = s.form;
  const std::string id = "bytes/product/" + std::to_string(form.segments) + "/" + std::to_string(s.matrix ? 0 : s.channels) + "/" +
                         std::to_string(s.groups) + (turned ? "/turned" : "") +
                         (s.depthwise ? zeros_id(s) : "");  // they are part of what is packed
  s.packed = static_cast<const std::int8_t*>(context.packed(owner, at, id, s.packed_bytes(), [&](const tenon_const_tensor& t, void* to) {
    auto* out = static_cast<std::int8_t*>(to);
    if (spec.matrix) return gemm::pack_byte_weights(form, t.data, flip, 0, turned ? 1 : form.n, turned ? form.piece : 1, out);
    if (spec.depthwise) return pack_byte_depthwise(spec, t.data, flip, to);
    // Channels to the end: the numbers of a tap together.
    const std::int64_t depth = form.segments * form.piece, taps = spec.taps(), channels = depth / taps;
    const auto* from = static_cast<const std::uint8_t*>(t.data);
    std::vector<std::uint8_t> last(static_cast<std::size_t>(taps == 1 ? 0 : form.n * depth));
    for (std::int64_t g = 0; g < spec.groups; ++g, from += form.n * depth) {
      for (std::int64_t j = 0; taps != 1 && j < form.n; ++j)
        for (std::int64_t tap = 0; tap < taps; ++tap) {
          std::uint8_t* tail = last.data() + j * depth + tap * channels;
          const std::uint8_t* head = from + j * depth + tap;
          for (std::int64_t c = 0; c < channels; ++c) tail[c] = head[c * taps];
        }
      gemm::pack_byte_weights(form, taps == 1 ? from : last.data(), flip, form.piece, 1, depth, out + g * form.bytes());
    }
  }));
  const Isa isa = context.options().isa;
  if (!suits_byte_winograd(s, isa)) return;
  s.winograd = static_cast<const std::int32_t*>(
      context.packed(owner, at, "bytes/winograd" + zeros_id(s), static_cast<std::uint64_t>(byte_winograd_entries(s, isa) * 4),
                     [&](const tenon_const_tensor&, void* to) { fill_byte_winograd(s, isa, static_cast<std::int32_t*>(to)); }));
}

}  // namespace tenon::cpu
