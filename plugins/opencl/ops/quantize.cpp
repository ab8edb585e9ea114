// QuantizeLinear, DequantizeLinear (per tensor, per axis, in blocks), DynamicQuantizeLinear.
//
// Scales are seen along their axis by strides, so that one expression serves all kinds; a per-tensor scale makes the op elementwise, and it
// may then be fused with its neighbours.
#include <algorithm>

#include "plugins/opencl/elementwise_op.h"
#include "plugins/opencl/families.h"
#include "plugins/opencl/ops/movement.h"
#include "plugins/opencl/ops/reduce.h"

namespace tenon::opencl {
namespace {

using Id = std::uint32_t;

// The least and greatest number of a quantized type.
std::pair<double, double> range_of(std::int32_t dtype) {
  switch (dtype) {
    case TENON_DTYPE_INT8:
      return {-128, 127};
    case TENON_DTYPE_UINT8:
      return {0, 255};
    case TENON_DTYPE_INT16:
      return {-32768, 32767};
    default:
      return {0, 65535};
  }
}

// round(x / scale) + zero, held inside the type. A NaN passes both bounds, and becomes the zero point: the lowest int has no low bits.
Id quantized(Expression& e, Id x, Id scale, Id zero, bool has_zero, std::int32_t to) {
  const std::int32_t f = TENON_DTYPE_FLOAT, i = TENON_DTYPE_INT32, yes = TENON_DTYPE_BOOL;
  const auto [least, greatest] = range_of(to);
  Id low = e.literal(f, least), high = e.literal(f, greatest);
  if (has_zero) low = e.call("sub", f, {low, e.cast(f, zero)}), high = e.call("sub", f, {high, e.cast(f, zero)});
  Id q = e.call("rint", f, {e.call("div", f, {e.cast(f, x), e.cast(f, scale)})});
  q = e.call("where", f, {e.call("lt", yes, {q, low}), low, q});
  q = e.call("where", f, {e.call("gt", yes, {q, high}), high, q});
  Id n = e.cast(i, q);
  if (has_zero) n = e.call("add", i, {n, e.cast(i, zero)});
  return e.cast(to, n);
}

Id dequantized(Expression& e, Id x, Id scale, Id zero, bool has_zero, std::int32_t to) {
  const std::int32_t f = TENON_DTYPE_FLOAT;
  // 32 bits are subtracted as integers: a float does not hold them all.
  const bool wide = e.nodes[x].dtype == TENON_DTYPE_INT32;
  Id v = x;
  if (has_zero) v = wide ? e.call("sub", TENON_DTYPE_INT32, {x, zero}) : e.call("sub", f, {e.cast(f, x), e.cast(f, zero)});
  const Id product = e.call("mul", f, {e.cast(f, v), e.cast(f, scale)});
  return e.cast(to, product);
}

Expression expression_of(const Node& node, bool quantize) {
  Expression e;
  const bool has_zero = node.input(2) != nullptr;
  const Id x = e.load(0, node.input(0)->dtype), scale = e.load(1, node.input(1)->dtype), zero = has_zero ? e.load(2, node.input(2)->dtype) : 0;
  const std::int32_t to = node.output(0)->dtype;
  e.outputs = {quantize ? quantized(e, x, scale, zero, has_zero, to) : dequantized(e, x, scale, zero, has_zero, to)};
  return e;
}

class LinearOp final : public Op {
 public:
  LinearOp(Expression e, bool has_zero, std::int64_t axis, std::int64_t block)
      : expression_(std::move(e)), has_zero_(has_zero), axis_(axis), block_(block) {}

  void plan(PlanBuilder& b) const override {
    const Tensor& x = b.in(0);
    if (b.out_shape(0).count() == 0) return void(b.make_out(0));
    if (block_ != 0 && b.in(1).rank() == x.rank() && x.rank() > 0) return in_blocks(b);
    std::vector<Tensor> inputs{x, along(b.in(1), x)};
    if (has_zero_) inputs.push_back(along(b.in(2), x));
    launch_elementwise(b, expression_, inputs, {b.make_out(0, layout_wanted(x))}, "quantize");
  }

 private:
  // One number for each index of the axis, or one for all, as a tensor of x's dims.
  Tensor along(const Tensor& t, const Tensor& x) const {
    Tensor out = t;
    out.dims = x.dims;
    out.known = nullptr;
    out.strides.assign(x.dims.size(), 0);
    if (t.count() == 1) return out;
    const auto axis = static_cast<std::size_t>(front_axis(axis_, x.rank()));
    if (t.rank() != 1 || t.dims[0] != x.dims[axis])
      throw Failure{TENON_INVALID_ARGUMENT,
                    std::to_string(t.count()) + " scales for " + std::to_string(x.dims[axis]) + " indices of axis " + std::to_string(axis)};
    out.strides[axis] = t.strides[0];
    return out;
  }

  // The axis as [blocks, block], and what is left of the last one on its own.
  void in_blocks(PlanBuilder& b) const {
    const Tensor& x = b.in(0);
    const auto axis = static_cast<std::size_t>(front_axis(axis_, x.rank()));
    const std::int64_t size = x.dims[axis], blocks = b.in(1).dims[axis], whole = size / block_;
    if (blocks != (size + block_ - 1) / block_)
      throw Failure{TENON_INVALID_ARGUMENT, "the scales do not have the shape that block_size " + std::to_string(block_) + " asks for"};
    const Tensor out = b.make_out(0);
    const auto part = [&](std::int64_t first, std::int64_t count, std::int64_t each) {
      const auto cut = [&](const Tensor& t, bool spread) {
        Tensor v = sliced(t, static_cast<std::int64_t>(axis), spread ? first : first * block_, spread ? count : count * each, 1);
        v.known = nullptr;
        v.dims[axis] = count;
        v.dims.insert(v.dims.begin() + static_cast<std::ptrdiff_t>(axis) + 1, each);
        const std::int64_t stride = v.strides[axis];
        v.strides.insert(v.strides.begin() + static_cast<std::ptrdiff_t>(axis) + 1, spread ? 0 : stride);
        if (!spread) v.strides[axis] = stride * each;
        return v;
      };
      std::vector<Tensor> inputs{cut(x, false), cut(b.in(1), true)};
      if (has_zero_) inputs.push_back(cut(b.in(2), true));
      launch_elementwise(b, expression_, inputs, {cut(out, false)}, "quantize");
    };
    if (whole > 0) part(0, whole, block_);
    if (blocks > whole) part(whole, 1, size - whole * block_);
  }

  Expression expression_;
  bool has_zero_;
  std::int64_t axis_, block_;
};

// uint8 with the scale and zero point that fit the data's range, 0 included.
class DynamicOp final : public Op {
 public:
  void plan(PlanBuilder& b) const override {
    const Tensor& x = b.in(0);
    const std::int32_t f = TENON_DTYPE_FLOAT;
    const auto one = [&](std::size_t i, std::int32_t dtype) {
      return b.outputs() > i && b.out_shape(i).present() ? b.make_out(i) : b.temp(dtype, {}, Layout::dense);
    };
    const Tensor y = b.make_out(0), scale = one(1, f), zero = one(2, TENON_DTYPE_UINT8);
    const Tensor least = b.temp(f, {}, Layout::dense), greatest = b.temp(f, {}, Layout::dense);
    const std::vector<bool> all(x.dims.size(), true);
    plan_reduction(b, Reduction::min, x, all, least);
    plan_reduction(b, Reduction::max, x, all, greatest);
    Expression e;
    const Id none = e.literal(f, 0), low = e.call("min", f, {e.load(0, f), none}), high = e.call("max", f, {e.load(1, f), none});
    const Id width = e.call("div", f, {e.call("sub", f, {high, low}), e.literal(f, 255)});
    const Id safe = e.call("where", f, {e.call("gt", TENON_DTYPE_BOOL, {width, none}), width, e.literal(f, 1)});
    Id z = e.call("sub", f, {none, e.call("div", f, {low, safe})});
    z = e.call("rint", f, {e.call("min", f, {e.call("max", f, {z, none}), e.literal(f, 255)})});
    z = e.call("where", f, {e.call("isnan", TENON_DTYPE_BOOL, {z}), none, z});
    e.outputs = {width, e.cast(TENON_DTYPE_UINT8, z)};
    launch_elementwise(b, e, {least, greatest}, {scale, zero}, "range");
    if (y.count() == 0) return;
    Expression q;
    const Id s = q.load(1, f), used = q.call("where", f, {q.call("gt", TENON_DTYPE_BOOL, {s, q.literal(f, 0)}), s, q.literal(f, 1)});
    q.outputs = {quantized(q, q.load(0, f), used, q.load(2, TENON_DTYPE_UINT8), true, TENON_DTYPE_UINT8)};
    launch_elementwise(b, q, {x, broadcast(scale, x.dims), broadcast(zero, x.dims)}, {y}, "quantize");
  }
};

Support supports(const Node& node, const Profile&) {
  const bool quantize = node.op_type() == "QuantizeLinear";
  const std::int32_t t = node.input(0)->dtype, to = node.output(0)->dtype, small = quantize ? to : t, real = quantize ? t : to;
  const bool integer = small == TENON_DTYPE_INT8 || small == TENON_DTYPE_UINT8 || small == TENON_DTYPE_INT16 || small == TENON_DTYPE_UINT16;
  if (!integer && (quantize || small != TENON_DTYPE_INT32))
    return Support::no(TENON_REJECT_DTYPE, "no quantized numbers of type " + dtype_text(small));
  const auto single = [](std::int32_t d) { return is_floating(d) && d != TENON_DTYPE_DOUBLE; };
  if (!single(real) && !(quantize && real == TENON_DTYPE_INT32))
    return Support::no(TENON_REJECT_DTYPE, "no real numbers of type " + dtype_text(real));
  if (!single(node.input(1)->dtype) && node.input(1)->dtype != TENON_DTYPE_INT32)
    return Support::no(TENON_REJECT_DTYPE, "no scale of type " + dtype_text(node.input(1)->dtype));
  return Support::yes();
}

// A scale that is known to be one number.
bool is_single(const tenon_value& v) {
  for (std::int32_t d = 0; d < v.rank; ++d)
    if (v.dims[d] != 1) return false;
  return v.rank >= 0;
}

std::unique_ptr<Op> make_linear(const Node& node, CompileContext&) {
  const bool quantize = node.op_type() == "QuantizeLinear";
  Expression e = expression_of(node, quantize);
  const std::int64_t block = node.integer("block_size", 0);
  if (block == 0 && is_single(*node.input(1)) && node.input(1)->rank <= node.input(0)->rank) return std::make_unique<ElementwiseOp>(std::move(e));
  return std::make_unique<LinearOp>(std::move(e), node.input(2) != nullptr, node.integer("axis", 1), block);
}
std::unique_ptr<Op> make_dynamic(const Node&, CompileContext&) { return std::make_unique<DynamicOp>(); }
Support only_float(const Node& node, const Profile&) {
  return node.input(0)->dtype == TENON_DTYPE_FLOAT ? Support::yes() : Support::no(TENON_REJECT_DTYPE, "only float32");
}

const OpRow rows[] = {
    {"", "QuantizeLinear", supports, make_linear},
    {"", "DequantizeLinear", supports, make_linear},
    {"", "DynamicQuantizeLinear", only_float, make_dynamic},
    {"com.microsoft", "QuantizeLinear", supports, make_linear},
    {"com.microsoft", "DequantizeLinear", supports, make_linear},
};

}  // namespace

std::span<const OpRow> quantize_rows() { return rows; }

}  // namespace tenon::opencl
