#include <algorithm>

#include "core/graph/elements.h"
#include "core/passes/derive.h"
#include "core/passes/list.h"
#include "core/passes/outline.h"

namespace tenon {
namespace {

constexpr std::int64_t ones_limit = 65536;  // elements of a scale that the spelling leaves out

class Norm {
 public:
  Norm(Edit& edit, NodeId last) : pattern_(edit), edit_(edit), graph_(edit.graph), last_(last) {}

  bool run() {
    const ValueId y = graph_.nodes[last_].outputs[0];
    const DType dtype = graph_.values[y].type.dtype;
    if (dtype != TENON_DTYPE_FLOAT && dtype != TENON_DTYPE_FLOAT16 && dtype != TENON_DTYPE_BFLOAT16) return false;
    // y = normal * scale + bias, y = normal * scale, y = normal.
    if (const Node* add = pattern_.take(y, "Add"); add && add->inputs.size() == 2) {
      for (std::size_t i = 0; i < 2; ++i)
        if (scaled(add->inputs[i], edit_.input(*add, 1 - i), 1)) return true;
      return false;
    }
    if (scaled(y, none, 0)) return true;
    pattern_.back_to(0);
    return normal(y) && finish(none, none);
  }

 private:
  bool scaled(ValueId v, ValueId bias, std::size_t kept) {
    pattern_.back_to(kept);
    const Node* mul = pattern_.take(v, "Mul");
    if (!mul || mul->inputs.size() != 2) return false;
    const std::size_t start = pattern_.mark();
    for (std::size_t i = 0; i < 2; ++i) {
      pattern_.back_to(start);
      if (normal(mul->inputs[i]) && finish(edit_.input(*mul, 1 - i), bias)) return true;
    }
    return false;
  }

  // v = (x - mean) / sqrt(mean((x - mean)^2) + epsilon), or without the mean. Computed in float32 it may stand between
  // two Casts: that is what stash_type says.
  bool normal(ValueId v) {
    widened_ = false;
    if (const Node* cast = edit_.producer(v, "Cast")) {
      if (graph_.values[edit_.input(*cast, 0)].type.dtype != TENON_DTYPE_FLOAT) return false;
      pattern_.take(v, "Cast");
      widened_ = true;
      v = cast->inputs[0];
    }
    const std::size_t start = pattern_.mark();
    if (const Node* div = pattern_.take(v, "Div"))
      if (const ValueId s = root(div->inputs[1]); s != none && spread(edit_.input(*div, 0), s)) return true;
    pattern_.back_to(start);
    if (const Node* mul = pattern_.take(v, "Mul")) {
      const std::size_t inside = pattern_.mark();
      for (std::size_t i = 0; i < 2; ++i) {
        pattern_.back_to(inside);
        if (const ValueId s = inverse_root(mul->inputs[i]); s != none && spread(edit_.input(*mul, 1 - i), s)) return true;
      }
    }
    return false;
  }

  ValueId root(ValueId v) {
    const Node* sqrt = pattern_.take(v, "Sqrt");
    return sqrt ? edit_.input(*sqrt, 0) : pattern_.beside(v, "Pow", 0.5);
  }
  ValueId inverse_root(ValueId v) {
    if (const Node* r = pattern_.take(v, "Reciprocal")) return root(r->inputs[0]);
    if (const ValueId x = pattern_.beside(v, "Pow", -0.5); x != none) return x;
    const Node* div = edit_.producer(v, "Div");
    if (!div || div->inputs.size() != 2 || scalar_of(graph_, edit_.input(*div, 0)) != 1.0) return none;
    pattern_.take(v, "Div");
    return root(div->inputs[1]);
  }

  // s = mean(d^2) + epsilon, and d is x - mean(x) or x itself.
  bool spread(ValueId d, ValueId s) {
    const Node* add = pattern_.take(s, "Add");
    if (!add || add->inputs.size() != 2) return false;
    ValueId variance = none;
    for (std::size_t i = 0; i < 2; ++i)
      if (const auto e = scalar_of(graph_, edit_.input(*add, i)); e && graph_.constant(edit_.input(*add, i))->get()->dims.size() <= 1) {
        epsilon_ = static_cast<float>(*e);
        variance = edit_.input(*add, 1 - i);
      }
    if (variance == none || !(epsilon_ >= 0)) return false;
    const ValueId square = averaged(variance, axes_);
    const ValueId base = square == none ? none : pattern_.squared(square);
    if (base == none) return false;
    const std::size_t start = pattern_.mark();
    if (const Node* sub = pattern_.take(d, "Sub"); sub && sub->inputs.size() == 2) {
      const ValueId x = edit_.input(*sub, 0);
      std::vector<std::int64_t> axes;
      if (averaged(edit_.input(*sub, 1), axes) == x && axes == axes_) {
        const Node* other = base == d ? sub : pattern_.take(base, "Sub");
        if (!other || edit_.input(*other, 0) != x || edit_.input(*other, 1) != edit_.input(*sub, 1)) return false;
        op_ = "LayerNormalization";
        return outer_x(x);
      }
    }
    pattern_.back_to(start);
    if (base != d) return false;
    op_ = "RMSNormalization";
    return outer_x(d);
  }

  // v = ReduceMean(x) over constant trailing axes, which come out counted from the end and sorted; x.
  ValueId averaged(ValueId v, std::vector<std::int64_t>& out_axes) {
    const Node* mean = pattern_.take(v, "ReduceMean");
    if (!mean || mean->inputs.size() != 2 || mean->int_or("keepdims", 1) != 1) return none;
    const ValueId x = edit_.input(*mean, 0);
    const auto axes = ints_of(graph_, edit_.input(*mean, 1));
    const std::int64_t rank = rank_of(graph_, x);
    if (!axes || axes->empty() || rank < 0) return none;
    out_axes = *axes;
    for (std::int64_t& a : out_axes) a -= a >= 0 ? rank : 0;
    std::sort(out_axes.begin(), out_axes.end());
    for (std::size_t i = 0; i < out_axes.size(); ++i)
      if (out_axes[i] != static_cast<std::int64_t>(i) - static_cast<std::int64_t>(out_axes.size())) return none;
    return static_cast<std::int64_t>(out_axes.size()) <= rank ? x : none;
  }

  bool outer_x(ValueId x) {
    if (!widened_) {
      x_ = edit_.now(x);
      return true;
    }
    const Node* cast = edit_.producer(x, "Cast");
    if (!cast || cast->int_or("to", 0) != TENON_DTYPE_FLOAT) return false;
    pattern_.take(x, "Cast");
    x_ = edit_.input(*cast, 0);
    return true;
  }

  // The trailing sizes of x that are normalised; nullopt unless all are numbers.
  std::optional<Dims> normalised() const {
    const auto& dims = graph_.values[x_].type.dims;
    if (!dims || dims->size() < axes_.size()) return std::nullopt;
    Dims out;
    for (std::size_t d = dims->size() - axes_.size(); d < dims->size(); ++d) {
      if (!(*dims)[d].fixed()) return std::nullopt;
      out.push_back((*dims)[d].value);
    }
    return out;
  }

  // A parameter whose dims are the normalised ones, behind ones when it is a constant; none otherwise.
  ValueId parameter(ValueId v, const Dims& dims, DType dtype) {
    const Type& t = graph_.values[v].type;
    if (!t.is_tensor() || t.dtype != dtype || !t.fixed() || t.dims->size() < dims.size()) return none;
    const std::size_t extra = t.dims->size() - dims.size();
    for (std::size_t d = 0; d < t.dims->size(); ++d)
      if ((*t.dims)[d].value != (d < extra ? 1 : dims[d - extra])) return none;
    if (extra == 0) return v;
    const ConstantPtr* c = graph_.constant(v);
    if (!c || t.dims->size() > graph_.values[x_].type.dims->size()) return none;
    return edit_.add_constant(graph_.values[v].name + "/flat", with_dims(*c, dims));
  }

  bool finish(ValueId scale, ValueId bias) {
    const Type x = graph_.values[x_].type;
    if (x.dtype != graph_.values[graph_.nodes[last_].outputs[0]].type.dtype || (bias != none && op_[0] == 'R')) return false;
    if (rank_of(graph_, x_) != rank_of(graph_, graph_.nodes[last_].outputs[0])) return false;  // a number of higher rank widens
    const auto dims = normalised();
    if (!dims || !element_count(*dims).valid()) return false;
    std::vector<Pattern::Input> inputs{{x_, x_}};
    ValueId given = none;
    if (scale != none) {
      given = parameter(scale, *dims, x.dtype);
    } else if (element_count(*dims).value() <= ones_limit) {
      std::byte* data = nullptr;
      auto ones = make_constant(x.dtype, *dims, &data);
      if (!ones.ok()) return false;
      for (std::size_t i = 0; i < static_cast<std::size_t>((*ones)->count()); ++i) store_real(x.dtype, data, i, 1);
      given = edit_.add_constant(graph_.values[graph_.nodes[last_].outputs[0]].name + "/ones", *ones);
    }
    if (given == none) return false;
    inputs.push_back({given, scale});
    if (bias != none) {
      const ValueId b = parameter(bias, *dims, x.dtype);
      if (b == none) return false;
      inputs.push_back({b, bias});
    }
    Node node;
    node.op_type = op_;
    node.set("axis", -static_cast<std::int64_t>(axes_.size()));
    node.set("epsilon", epsilon_);
    return pattern_.replace(last_, std::move(node), inputs);
  }

  Pattern pattern_;
  Edit& edit_;
  Graph& graph_;
  NodeId last_;
  const char* op_ = "";
  bool widened_ = false;
  float epsilon_ = 0;
  std::vector<std::int64_t> axes_;
  ValueId x_ = none;
};

}  // namespace

Status outline_norm(PassContext& context) {
  Edit edit(context);
  // Backwards: the longest spelling first.
  for (NodeId n = static_cast<NodeId>(context.graph.nodes.size()); n-- > 0;) {
    const Node& node = context.graph.nodes[n];
    if ((node.is("Add") || node.is("Mul") || node.is("Div")) && node.outputs[0] != none) Norm(edit, n).run();
  }
  return {};
}

}  // namespace tenon
