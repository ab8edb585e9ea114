#include <numbers>

#include "core/graph/elements.h"
#include "core/passes/list.h"
#include "core/passes/outline.h"

namespace tenon {
namespace {

constexpr double cubic = 0.044715;
const double root = 0.7978845608028654;  // sqrt(2 / pi)

class Gelu {
 public:
  Gelu(Edit& edit, NodeId last) : pattern_(edit), edit_(edit), last_(last) {}

  bool run() {
    const Node& n = edit_.graph.nodes[last_];
    type_ = &edit_.graph.values[n.outputs[0]].type;
    if (!is_real(type_->dtype)) return false;
    const auto top = pattern_.product(n.outputs[0], *type_);
    if (top.factors.size() != 2 || !near(top.number, 0.5)) return false;
    const std::size_t start = pattern_.mark();
    for (std::size_t i = 0; i < 2; ++i) {
      x_ = top.factors[i];
      if (rank_of(edit_.graph, x_) != rank_of(edit_.graph, n.outputs[0])) continue;  // a number of higher rank widens
      const char* form = curve(top.factors[1 - i]);
      if (form) {
        Node node;
        node.op_type = "Gelu";
        node.set("approximate", std::string(form));
        return pattern_.replace(last_, std::move(node), {{x_, x_}});
      }
      pattern_.back_to(start);
    }
    return false;
  }

 private:
  bool near(double a, double b) const { return pattern_.near(a, b, type_->dtype); }
  bool only_x(const std::vector<ValueId>& factors, std::size_t times) const {
    if (factors.size() != times) return false;
    for (ValueId f : factors)
      if (f != x_) return false;
    return true;
  }

  // v is 1 + erf(x / sqrt(2)) or 1 + tanh(...): the name of the form.
  const char* curve(ValueId v) {
    const ValueId e = pattern_.beside(v, "Add", 1);
    if (e == none) return nullptr;
    if (const Node* erf = pattern_.take(e, "Erf")) {
      const auto z = pattern_.product(erf->inputs[0], *type_);
      return near(z.number, 1 / std::numbers::sqrt2) && only_x(z.factors, 1) ? "none" : nullptr;
    }
    if (const Node* tanh = pattern_.take(e, "Tanh")) return polynomial(tanh->inputs[0]) ? "tanh" : nullptr;
    return nullptr;
  }

  // sqrt(2 / pi) * (x + 0.044715 x^3) in one of its spellings.
  bool polynomial(ValueId v) {
    const std::size_t start = pattern_.mark();
    const auto z = pattern_.product(v, *type_);
    if (near(z.number, root) && z.factors.size() == 1 && sum(z.factors[0], 1)) return true;
    if (near(z.number, root) && z.factors.size() == 2) {
      for (std::size_t i = 0; i < 2; ++i)
        if (z.factors[i] == x_)
          if (const ValueId p = pattern_.beside(z.factors[1 - i], "Add", 1); p != none && power(p, 2, cubic)) return true;
    }
    pattern_.back_to(start);
    return sum(v, root);
  }

  // v = scale * x + scale * 0.044715 * x^3.
  bool sum(ValueId v, double scale) {
    const Node* add = pattern_.take(v, "Add");
    if (!add || add->inputs.size() != 2) return false;
    const std::size_t start = pattern_.mark();
    for (std::size_t i = 0; i < 2; ++i) {
      if (power(add->inputs[i], 1, scale) && power(add->inputs[1 - i], 3, scale * cubic)) return true;
      pattern_.back_to(start);
    }
    return false;
  }

  // v = number * x^exponent.
  bool power(ValueId v, std::size_t exponent, double number) {
    if (exponent == 1 && number == 1) return edit_.now(v) == x_;
    const auto p = pattern_.product(v, *type_);
    if (!near(p.number, number)) return false;
    std::size_t got = 0;
    for (ValueId f : p.factors) {
      if (f == x_) ++got;
      else if (pattern_.beside(f, "Pow", 3) == x_) got += 3;
      else if (pattern_.squared(f) == x_) got += 2;
      else return false;
    }
    return got == exponent;
  }

  Pattern pattern_;
  Edit& edit_;
  NodeId last_;
  const Type* type_ = nullptr;
  ValueId x_ = none;
};

}  // namespace

Status outline_gelu(PassContext& context) {
  Edit edit(context);
  for (NodeId n = static_cast<NodeId>(context.graph.nodes.size()); n-- > 0;) {
    const Node& node = context.graph.nodes[n];
    if ((node.is("Mul") || node.is("Div")) && node.outputs[0] != none) Gelu(edit, n).run();
  }
  return {};
}

}  // namespace tenon
