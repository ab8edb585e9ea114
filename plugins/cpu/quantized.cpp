#include "plugins/cpu/quantized.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "plugins/cpu/epilogue.h"
#include "plugins/cpu/ops/byte_mean.h"
#include "plugins/cpu/quantized_concat.h"
#include "plugins/cpu/quantized_elementwise.h"
#include "plugins/cpu/quantized_units.h"

namespace tenon::cpu {
namespace {

class Matcher : UnitGraph {
 public:
  Matcher(const tenon_graph& graph, const std::vector<Value>& values, std::vector<Unit>& units, CompileContext& context)
      : UnitGraph(graph, values, units, context) {}

  void products() {
    each([&](std::uint32_t u, std::string_view type) {
      if (type == "Conv" || type == "Gemm" || type == "MatMul") product(u);
      else if (type == "QLinearConv" || type == "QLinearMatMul") linear(u);
    });
  }
  void pools() {
    each([&](std::uint32_t u, std::string_view type) {
      if (type == "MaxPool") pool(u);
    });
  }
  void means() {
    each([&](std::uint32_t u, std::string_view type) {
      if (type == "GlobalAveragePool" || type == "ReduceMean") mean(u);
    });
  }

 private:
  // Calls f with the units that no fused one has taken, and the types of their nodes.
  template <class F>
  void each(F f) {
    for (std::uint32_t u = 0; u < units_.size(); ++u)  // a fused unit stands behind the node it began with
      if (units_[u].op && !units_[u].bytes && node(u).domain().empty()) f(u, node(u).op_type());
    std::erase_if(units_, [](const Unit& unit) { return !unit.op; });
  }

  // ---- products ---------------------------------------------------------------------------------------------------------

  struct Product {
    ByteConvSpec spec;
    std::vector<std::uint32_t> nodes;      // taken over
    std::vector<std::uint32_t> sources;    // DequantizeLinear units that may have lost their last reader
    std::vector<float> factor, shift;      // real sum of a column = integer sum * factor * x scale + shift
    std::vector<std::int64_t> add;
  };

  // Adds a bias: float32, or int32 with scales that are those of the sums.
  bool bias(std::uint32_t v, float x_scale, Product& p) {
    if (v == no_value) return true;
    const std::int64_t n = p.spec.outputs();
    if (const std::uint32_t d = made_by(v, "DequantizeLinear"); d != no_value) {
      const NodeView b = node(d);
      if (b.rank(0) != 1 || !b.is_constant(0) || b.input(0).dtype != TENON_DTYPE_INT32 || b.input(0).dims[0] != n ||
          b.output(0).dtype != TENON_DTYPE_FLOAT)
        return false;
      std::vector<float> scale;
      if (b.int_or("block_size", 0) != 0 || !column_scales(context_, b, 1, n, scale)) return false;
      if (b.has_input(2)) {
        if (!b.is_constant(2)) return false;
        const tenon_const_tensor z = context_.constant(b, 2);
        const auto* bytes = static_cast<const char*>(z.data);
        if (std::any_of(bytes, bytes + z.bytes, [](char c) { return c != 0; })) return false;
      }
      const auto* numbers = static_cast<const std::int32_t*>(context_.constant(b, 0).data);
      for (std::int64_t j = 0; j < n; ++j) {
        const auto i = static_cast<std::size_t>(j);
        const float expected = x_scale * p.factor[i];
        if (std::fabs(scale[i] - expected) <= 1e-5f * expected) p.add[i] += numbers[j];
        else shift(p)[i] = static_cast<float>(numbers[j]) * scale[i];
      }
      p.sources.push_back(d);
      return true;
    }
    return false;
  }
  static std::vector<float>& shift(Product& p) {
    if (p.shift.empty()) p.shift.assign(p.factor.size(), 0.0f);
    return p.shift;
  }
  bool constant_bias(const NodeView& op, std::uint32_t at, Product& p) const {
    const tenon_value& v = op.input(at);
    if (v.dtype != TENON_DTYPE_FLOAT || v.rank != 1 || v.dims[0] != p.spec.outputs()) return false;
    const auto* numbers = static_cast<const float*>(context_.constant(op, at).data);
    for (std::size_t j = 0; j < p.factor.size(); ++j) {
      if (!std::isfinite(numbers[j])) return false;
      shift(p)[j] = numbers[j];
    }
    return true;
  }

  // Zero points of weights.
  bool zeros(const NodeView& owner, std::uint32_t at, std::int32_t dtype, Product& p) {
    std::vector<std::int32_t> numbers;
    if (!weight_zeros(context_, owner, at, dtype, p.spec.outputs(), numbers)) return false;
    if (numbers.empty()) return true;
    auto* kept = static_cast<std::int32_t*>(context_.alloc(numbers.size() * sizeof(std::int32_t)));
    std::copy(numbers.begin(), numbers.end(), kept);
    p.spec.zeros = kept;
    return true;
  }

  // ---- what follows -------------------------------------------------------------------------------------------------------

  struct Tail {
    std::uint32_t last;  // unit whose output 0 the new operator makes
    Quantization q;
    ByteTarget to;
  };
  // [Relu or Clip] QuantizeLinear behind a real value.
  std::optional<Tail> tail(std::uint32_t v, std::vector<std::uint32_t>& taken) const {
    std::uint32_t u = only_reader(v);
    std::optional<std::uint32_t> bound;
    if (u != no_value && (is(u, "Relu") || is(u, "Clip"))) bound = u, u = only_reader(units_[u].outputs[0]);
    if (u == no_value || !is(u, "QuantizeLinear") || (bound && input(*bound, 0) != v)) return {};
    if (input(u, 0) != (bound ? units_[*bound].outputs[0] : v)) return {};
    const auto q = of_linear(u);
    if (!q) return {};
    Tail t{u, *q, byte_target(q->is_signed, q->zero)};
    if (bound) {
      const NodeView n = node(*bound);
      float low = 0, high = INFINITY;
      if (n.op_type() == "Clip" && !clip_bounds(n, low, high)) return {};
      t.to.bound(low, high, q->scale);
      taken.push_back(*bound);
    }
    taken.push_back(u);
    return t;
  }
  bool clip_bounds(const NodeView& n, float& low, float& high) const {
    low = n.float_or("min", -INFINITY), high = n.float_or("max", INFINITY);
    for (std::uint32_t i = 1; i < 3; ++i) {
      if (!n.has_input(i)) continue;
      if (!n.is_constant(i) || n.input(i).dtype != TENON_DTYPE_FLOAT) return false;
      const tenon_const_tensor t = context_.constant(n, i);
      if (t.bytes != sizeof(float)) return false;
      (i == 1 ? low : high) = *static_cast<const float*>(t.data);
    }
    return low <= high;
  }

  // DequantizeLinear, Add of another dequantized tensor, [Relu,] QuantizeLinear behind the bytes that a product makes.
  void addition(Product& p, Tail& t, std::vector<std::uint32_t>& taken, std::uint32_t& other) {
    const std::uint32_t mine = units_[t.last].outputs[0], d = only_reader(mine);
    if (d == no_value || !is(d, "DequantizeLinear") || input(d, 0) != mine) return;
    const auto back = of_linear(d);
    const std::uint32_t real = units_[d].outputs[0], sum = only_reader(real);
    if (!back || sum == no_value || !is(sum, "Add") || !node(sum).has_output(0)) return;
    const std::size_t slot = input(sum, 0) == real ? 1 : 0;
    const std::uint32_t o = made_by(input(sum, slot), "DequantizeLinear");
    if (o == no_value || o == d || producer_[input(o, 0)] == no_value) return;
    const auto q = of_linear(o);
    if (!q || !same_shape(node(o).input(0), node(sum).output(0)) || !same_shape(node(d).input(0), node(sum).output(0))) return;
    std::vector<std::uint32_t> behind;
    const auto second = tail(units_[sum].outputs[0], behind);
    if (!second) return;
    if (back->zero != t.q.zero || back->is_signed != t.q.is_signed) return;
    p.spec.adds = true;
    p.spec.addition = {back->scale / second->q.scale, q->scale / second->q.scale, q->unsigned_zero(), q->flip(), second->to};
    other = input(o, 0);
    taken.push_back(d), taken.push_back(sum);
    taken.insert(taken.end(), behind.begin(), behind.end());
    p.sources.push_back(o);
    t.last = second->last;
  }

  // ---- patterns -------------------------------------------------------------------------------------------------------------

  void product(std::uint32_t u) {
    const NodeView op = node(u);
    const std::uint32_t dx = made_by(input(u, 0), "DequantizeLinear"), dw = made_by(input(u, 1), "DequantizeLinear");
    if (dx == no_value || dw == no_value || !op.has_output(0)) return;
    const auto x = of_linear(dx);
    const NodeView w = node(dw);
    if (!x || !w.is_constant(0) || w.output(0).dtype != TENON_DTYPE_FLOAT || w.int_or("block_size", 0) != 0) return;
    Product p;
    if (!product_form(op, node(dx).input(0), w.input(0), p.spec) || !zeros(w, 2, w.input(0).dtype, p)) return;
    if (!column_scales(context_, w, 1, p.spec.outputs(), p.factor)) return;
    const bool one_scale = context_.constant(w, 1).bytes == sizeof(float);
    std::int64_t axis = w.int_or("axis", 1);
    if (axis < 0) axis += w.rank(0);
    if (!one_scale && axis != weights_column_axis(op, p.spec)) return;
    p.add.assign(p.factor.size(), 0);
    p.sources = {dx, dw};
    if (op.has_input(2) && op.is_constant(2) ? !constant_bias(op, 2, p) : !bias(input(u, 2), x->scale, p)) return;
    std::vector<std::uint32_t> taken;
    auto t = tail(units_[u].outputs[0], taken);
    if (!t) return;
    pack_product(context_, op, w, 0, p.spec);
    if (!finish(u, *x, input(dx, 0), p, *t, taken)) (void)context_.constant(w, 0);  // they are read after all
  }

  void linear(std::uint32_t u) {
    const NodeView op = node(u);
    const auto x = byte_quantization(context_, op, {1, 2}, op.input(0).dtype),
               y = byte_quantization(context_, op, {6, 7}, op.output(0).dtype);
    Product p;
    if (!x || !y || !op.is_constant(3) || !product_form(op, op.input(0), op.input(3), p.spec) || !zeros(op, 5, op.input(3).dtype, p)) return;
    if (!column_scales(context_, op, 4, p.spec.outputs(), p.factor)) return;
    p.add.assign(p.factor.size(), 0);
    if (op.has_input(8)) {
      if (!op.is_constant(8) || op.input(8).dtype != TENON_DTYPE_INT32) return;
      const tenon_const_tensor b = context_.constant(op, 8);
      if (b.bytes != p.add.size() * sizeof(std::int32_t)) return;
      for (std::size_t j = 0; j < p.add.size(); ++j) p.add[j] = static_cast<const std::int32_t*>(b.data)[j];
    }
    Tail t{u, *y, byte_target(y->is_signed, y->zero)};
    std::vector<std::uint32_t> taken;
    pack_product(context_, op, op, 3, p.spec);
    if (!finish(u, *x, input(u, 0), p, t, taken)) (void)context_.constant(op, 3);
  }

  // False, and nothing changed, where sums could run over.
  bool finish(std::uint32_t u, const Quantization& x, std::uint32_t bytes, Product& p, Tail t, std::vector<std::uint32_t>& taken) {
    ByteConvSpec& s = p.spec;
    const auto n = p.factor.size();
    for (std::size_t j = 0; j < n; ++j) {
      p.add[j] -= std::int64_t{x.unsigned_zero()} * s.weight_sum(static_cast<std::int64_t>(j));
      if (p.add[j] < INT32_MIN || p.add[j] > INT32_MAX) return false;
    }
    s.to = t.to;
    s.x_signed = x.is_signed;
    s.x_zero = static_cast<std::uint8_t>(x.unsigned_zero());
    const float out_scale = t.q.scale;
    std::uint32_t other = no_value;
    addition(p, t, taken, other);
    columns(p, x.scale, out_scale);

    Unit unit = std::move(units_[u]);
    unit.op = std::make_unique<ByteConvOp>(s);
    kill_reads(unit, u);
    unit.inputs = {bytes};
    if (s.adds) unit.inputs.push_back(other);
    const std::uint32_t made = t.last == u ? unit.outputs[0] : units_[t.last].outputs[0];
    for (std::uint32_t k : taken) {
      unit.nodes.insert(unit.nodes.end(), units_[k].nodes.begin(), units_[k].nodes.end());
      kill_reads(units_[k], k);
      units_[k].op.reset();
    }
    unit.outputs = {made};
    place(std::move(unit), u, t.last, p.sources);
    return true;
  }
  void columns(Product& p, float x_scale, float out_scale) const {
    const auto n = static_cast<std::size_t>(p.spec.column_entries());
    auto* add = static_cast<std::int32_t*>(context_.alloc(n * 4));
    auto* factor = static_cast<float*>(context_.alloc(n * 4));
    float* shift = p.shift.empty() ? nullptr : static_cast<float*>(context_.alloc(n * 4));
    for (std::size_t j = 0; j < n; ++j) {
      const bool inside = j < p.factor.size();
      add[j] = inside ? static_cast<std::int32_t>(p.add[j]) : 0;
      factor[j] = inside ? x_scale * p.factor[j] / out_scale : 0;
      if (shift) shift[j] = inside ? p.shift[j] / out_scale : 0;
    }
    p.spec.columns = {add, factor, shift};
  }

  void pool(std::uint32_t u) {
    const NodeView op = node(u);
    const std::uint32_t d = made_by(input(u, 0), "DequantizeLinear"), q = only_reader(units_[u].outputs[0]);
    const bool real = op.dtype(0) == TENON_DTYPE_FLOAT;
    if (op.has_output(1) || op.rank(0) < 3 || op.rank(0) > 5 || (real && (d == no_value || q == no_value || !is(q, "QuantizeLinear"))))
      return;
    const std::uint32_t before = input(u, 0) == no_value ? no_value : producer_[input(u, 0)];
    if (!real && (before == no_value || !units_[before].bytes)) return;
    WindowAttributes window;
    const std::int64_t channels = op.input(0).dims[1];
    if (channels < 1 || channels > (1 << 20) || !WindowAttributes::read(op, op.rank(0) - 2, window).empty()) return;
    bool is_signed = op.dtype(0) == TENON_DTYPE_INT8;
    if (real) {
      const auto from = of_linear(d), to = of_linear(q);
      if (!from || !to || from->scale != to->scale || from->zero != to->zero || from->is_signed != to->is_signed) return;
      is_signed = from->is_signed;
    }
    Unit unit = std::move(units_[u]);
    unit.op = std::make_unique<ByteMaxPoolOp>(window, channels, is_signed);
    if (!real) {
      units_[u] = std::move(unit);
      units_[u].bytes = true;
      return;
    }
    kill_reads(unit, u);
    unit.inputs = {input(d, 0)};
    unit.outputs = {units_[q].outputs[0]};
    unit.nodes.insert(unit.nodes.end(), units_[q].nodes.begin(), units_[q].nodes.end());
    kill_reads(units_[q], q);
    units_[q].op.reset();
    place(std::move(unit), u, q, {d});
  }

  // DequantizeLinear and a mean over all pixels of bytes that a fused unit makes.
  void mean(std::uint32_t u) {
    const NodeView op = node(u);
    const std::uint32_t d = made_by(input(u, 0), "DequantizeLinear");
    if (d == no_value || input(d, 0) == no_value || producer_[input(d, 0)] == no_value || !units_[producer_[input(d, 0)]].bytes) return;
    const auto x = of_linear(d);
    const std::int64_t channels = op.rank(0) < 3 ? 0 : op.input(0).dims[1];
    if (!x || op.rank(0) > 5 || channels < 1 || channels > (1 << 20) || !over_pixels(op)) return;
    Unit unit = std::move(units_[u]);
    unit.op = std::make_unique<ByteMeanOp>(channels, *x);
    kill_reads(unit, u);
    unit.inputs = {input(d, 0)};
    place(std::move(unit), u, u, {d});
  }
  bool over_pixels(const NodeView& op) const {
    if (op.op_type() == "GlobalAveragePool") return true;
    std::vector<std::int64_t> axes(op.ints("axes").begin(), op.ints("axes").end());
    if (op.has_input(1)) {
      if (!op.is_constant(1) || op.input(1).dtype != TENON_DTYPE_INT64) return false;
      const tenon_const_tensor t = context_.constant(op, 1);
      axes.assign(static_cast<const std::int64_t*>(t.data), static_cast<const std::int64_t*>(t.data) + t.bytes / sizeof(std::int64_t));
    }
    for (std::int64_t& axis : axes) axis += axis < 0 ? op.rank(0) : 0;
    std::sort(axes.begin(), axes.end());
    std::vector<std::int64_t> pixels;
    for (std::int32_t axis = 2; axis < op.rank(0); ++axis) pixels.push_back(axis);
    return axes == pixels;
  }
};

}  // namespace

void fuse_quantized(const tenon_graph& graph, const std::vector<Value>& values, std::vector<Unit>& units, CompileContext& context) {
  if (!gemm::byte_kernels(context.options().isa)) return;
  Matcher(graph, values, units, context).products();
  fuse_quantized_elementwise(graph, values, units, context);
  Matcher(graph, values, units, context).pools();
  fuse_quantized_concat(graph, values, units, context);
  Matcher(graph, values, units, context).means();
}

}  // namespace tenon::cpu
