#include "plugins/cpu/quantized_elementwise.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "plugins/cpu/epilogue.h"
#include "plugins/cpu/ops/byte_combine.h"
#include "plugins/cpu/ops/byte_map.h"
#include "plugins/cpu/quantized_units.h"

namespace tenon::cpu {
namespace {

using Table = std::array<float, 256>;  // real numbers by the bytes of the source
constexpr std::size_t most_units = 64;  // of one expression


class Matcher : UnitGraph {
 public:
  using UnitGraph::UnitGraph;

  // The last ones first: an expression takes the quantized values inside it along.
  void run() {
    for (auto u = static_cast<std::uint32_t>(units_.size()); u-- > 0;)
      if (unfused(u, "QuantizeLinear") && !map(u)) combine(u);
    std::erase_if(units_, [](const Unit& unit) { return !unit.op; });
  }

 private:
  // An expression over one tensor of bytes, as far as it has been followed.
  struct Expression {
    std::uint32_t source = no_value;
    std::vector<std::uint32_t> units;  // what makes it, operands first; one that is read twice stands here twice
  };

  bool unfused(std::uint32_t u, std::string_view type) const { return units_[u].op && !units_[u].bytes && is(u, type); }
  const tenon_value& value(std::uint32_t v) const { return element<tenon_value>(graph_.values, values_[v].graph_value); }

  bool map(std::uint32_t q) {
    const auto to = of_linear(q);
    Expression e;
    Table numbers;
    if (!to || !follow(input(q, 0), e, numbers) || e.source == no_value || !same_shape(value(e.source), node(q).output(0))) return false;
    std::array<std::uint8_t, 256> table;
    for (std::size_t i = 0; i < table.size(); ++i) table[i] = to->byte(numbers[i]);
    place_at(q, std::make_unique<ByteMapOp>(table), {e.source}, e.units);
    return true;
  }

  // What v is for each byte of the source. False where it is more than an expression over one tensor.
  bool follow(std::uint32_t v, Expression& e, Table& out) {
    const std::uint32_t u = v == no_value ? no_value : producer_[v];
    if (u == no_value || !units_[u].op || units_[u].bytes || e.units.size() >= most_units) return false;
    const bool followed = is(u, "DequantizeLinear") ? follow_bytes(u, e, out) : follow_operator(u, e, out);
    if (followed) e.units.push_back(u);
    return followed;
  }
  bool follow_bytes(std::uint32_t u, Expression& e, Table& out) {
    const auto q = of_linear(u);
    if (!q) return false;
    const NodeView n = node(u);
    if (n.is_constant(0)) {  // one number, quantized as everything is
      const tenon_const_tensor c = context_.constant(n, 0);
      if (c.bytes == 1) out.fill(q->real(*static_cast<const std::uint8_t*>(c.data)));
      return c.bytes == 1;
    }
    const std::uint32_t bytes = input(u, 0), inner = made_by(bytes, "QuantizeLinear");
    if (bytes != e.source && inner != no_value && !units_[inner].bytes)
      if (const auto to = of_linear(inner)) {
        Expression deeper = e;
        if (follow(input(inner, 0), deeper, out) && deeper.source != no_value) {
          if (to->is_signed != q->is_signed) return false;
          for (float& x : out) x = q->real(to->byte(x));
          deeper.units.push_back(inner);
          e = std::move(deeper);
          return true;
        }
      }
    if (e.source != no_value && bytes != e.source) return false;
    e.source = bytes;
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = q->real(static_cast<std::uint8_t>(i));
    return true;
  }
  bool follow_operator(std::uint32_t u, Expression& e, Table& out) {
    const NodeView n = node(u);
    std::vector<std::uint32_t> varying;
    for (std::uint32_t i = 0; i < n.input_count(); ++i)
      if (n.has_input(i) && !n.is_constant(i)) varying.push_back(i);
    if (varying.empty() || varying.size() > 2) return false;
    std::vector<EpilogueItem> items;
    if (!append_items(n, varying[0], TENON_NO_VALUE, context_, items)) return false;
    if (varying.size() == 1) {
      const auto operand = [](const EpilogueItem& item) { return item.binary && item.input != TENON_NO_VALUE; };
      if (std::any_of(items.begin(), items.end(), operand) || !follow(input(u, varying[0]), e, out)) return false;
      for (float& x : out)
        for (const EpilogueItem& item : items) x = item.binary ? apply_binary(item.op, x, item.a) : apply_unary(item.unary, item.a, item.b, x);
      return true;
    }
    Table other;
    if (items.size() != 1 || !items[0].binary || items[0].input != varying[1]) return false;
    if (!follow(input(u, varying[0]), e, out) || !follow(input(u, varying[1]), e, other)) return false;
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = apply_binary(items[0].op, out[i], other[i]);
    return true;
  }

  // [Relu or Clip] QuantizeLinear behind a sum, difference or product of two quantized tensors; one may have one pixel.
  bool combine(std::uint32_t q) {
    const auto to = of_linear(q);
    std::uint32_t u = input(q, 0) == no_value ? no_value : producer_[input(q, 0)];
    if (!to || u == no_value || !units_[u].op || units_[u].bytes || only_reader(units_[u].outputs[0]) != q) return false;
    ByteCombination c{.scale = to->scale, .to = byte_target(to->is_signed, to->zero)};
    std::vector<std::uint32_t> taken;
    if (is(u, "Relu") || is(u, "Clip")) {
      std::vector<EpilogueItem> items;
      if (!append_items(node(u), 0, TENON_NO_VALUE, context_, items) || items.size() != 1 || items[0].binary) return false;
      const bool relu = items[0].unary == Unary::relu;
      const float low = relu ? 0 : items[0].a, high = relu ? INFINITY : items[0].b;
      if ((!relu && items[0].unary != Unary::clip) || !(low <= high)) return false;
      c.to.bound(low, high, c.scale);
      taken.push_back(u);
      const std::uint32_t before = input(u, 0);
      u = before == no_value ? no_value : producer_[before];
      if (u == no_value || !units_[u].op || units_[u].bytes || only_reader(before) != taken[0]) return false;
    }
    const NodeView op = node(u);
    if (!op.domain().empty() || op.input_count() != 2 || op.rank(0) < 0) return false;
    if (op.op_type() == "Add") c.kind = ByteCombination::Kind::sum;
    else if (op.op_type() == "Sub") c.kind = ByteCombination::Kind::difference;
    else if (op.op_type() == "Mul") c.kind = ByteCombination::Kind::product;
    else return false;
    std::uint32_t sources[2], back[2];
    for (std::size_t i : {0u, 1u}) {
      back[i] = made_by(input(u, i), "DequantizeLinear");
      if (back[i] == no_value || units_[back[i]].bytes || node(back[i]).is_constant(0)) return false;
      const auto from = of_linear(back[i]);
      if (!from) return false;
      sources[i] = input(back[i], 0), c.operands[i] = *from;
    }
    const tenon_value& out = node(q).output(0);
    if (!same_shape(value(sources[0]), out)) {  // the whole image first
      if (c.kind == ByteCombination::Kind::difference) return false;
      std::swap(sources[0], sources[1]), std::swap(c.operands[0], c.operands[1]);
    }
    const tenon_value &x = value(sources[0]), &y = value(sources[1]);
    if (!same_shape(x, out)) return false;
    c.channels = x.rank >= 3 && x.rank <= 5 && x.dims[1] > 0 && x.dims[1] <= 1 << 20 ? x.dims[1] : 0;
    if (!same_shape(y, out)) {
      c.pixel = c.channels > 0 && y.rank == x.rank && y.dims[1] == x.dims[1];
      for (std::int32_t d = 2; d < y.rank; ++d) c.pixel = c.pixel && y.dims[d] == 1;
      if (!c.pixel) return false;
    }
    taken.insert(taken.end(), {u, back[0], back[1]});
    place_at(q, std::make_unique<ByteCombineOp>(c), {sources[0], sources[1]}, {taken.rbegin(), taken.rend()});
    return true;
  }

  // units: operands first.
  void place_at(std::uint32_t q, std::unique_ptr<Op> op, std::vector<std::uint32_t> inputs, std::vector<std::uint32_t> units) {
    Unit unit = std::move(units_[q]);
    kill_reads(unit, q);
    unit.op = std::move(op);
    unit.inputs = std::move(inputs);
    std::reverse(units.begin(), units.end());
    place(std::move(unit), q, q, units);
  }
};

}  // namespace

void fuse_quantized_elementwise(const tenon_graph& graph, const std::vector<Value>& values, std::vector<Unit>& units, CompileContext& context) {
  Matcher(graph, values, units, context).run();
}

}  // namespace tenon::cpu
