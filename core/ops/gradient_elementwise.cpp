// Gradients of elementwise operators: each input's is the output's times the slope, summed where it was broadcast.
#include "core/ops/gradient_rules.h"

namespace tenon {
namespace {

// Of one input and no broadcasting: what flows back, from x, y and dy.
template <ValueId (*back)(Backward&)>
Status unary(Backward& b) {
  b.give(0, back(b));
  return {};
}

ValueId times(Backward& b, ValueId p, ValueId q) { return b.b.add("Mul", {p, q}); }
ValueId over(Backward& b, ValueId p, ValueId q) { return b.b.add("Div", {p, q}); }
ValueId minus(Backward& b, ValueId p, ValueId q) { return b.b.add("Sub", {p, q}); }
ValueId negated(Backward& b, ValueId v) { return b.b.add("Neg", {v}); }
ValueId number(Backward& b, double value) { return b.b.number(value, b.y()); }
ValueId square(Backward& b, ValueId v) { return times(b, v, v); }
// dy where x is above 0, else other.
ValueId above_zero(Backward& b, ValueId other) { return b.b.add("Where", {b.b.add("Greater", {b.x(), number(b, 0)}), b.dy(), other}); }
ValueId attribute(Backward& b, const char* name, float fallback) { return number(b, b.node.float_or(name, fallback)); }

ValueId same(Backward& b) { return b.dy(); }
ValueId neg(Backward& b) { return negated(b, b.dy()); }
ValueId exp(Backward& b) { return times(b, b.dy(), b.y()); }
ValueId log(Backward& b) { return over(b, b.dy(), b.x()); }
ValueId sqrt(Backward& b) { return over(b, b.dy(), times(b, number(b, 2), b.y())); }
ValueId reciprocal(Backward& b) { return negated(b, times(b, b.dy(), square(b, b.y()))); }
ValueId tanh(Backward& b) { return times(b, b.dy(), minus(b, number(b, 1), square(b, b.y()))); }
ValueId sigmoid(Backward& b) { return times(b, b.dy(), times(b, b.y(), minus(b, number(b, 1), b.y()))); }
ValueId softplus(Backward& b) { return times(b, b.dy(), b.b.add("Sigmoid", {b.x()})); }
ValueId relu(Backward& b) { return above_zero(b, number(b, 0)); }
ValueId leaky_relu(Backward& b) { return above_zero(b, times(b, b.dy(), attribute(b, "alpha", 0.01f))); }
ValueId elu(Backward& b) { return above_zero(b, times(b, b.dy(), times(b, attribute(b, "alpha", 1), b.b.add("Exp", {b.x()})))); }
ValueId abs(Backward& b) { return times(b, b.dy(), b.b.add("Sign", {b.x()})); }
ValueId sin(Backward& b) { return times(b, b.dy(), b.b.add("Cos", {b.x()})); }
ValueId cos(Backward& b) { return negated(b, times(b, b.dy(), b.b.add("Sin", {b.x()}))); }
// 2 / sqrt(pi) exp(-x^2)
ValueId erf(Backward& b) {
  return times(b, b.dy(), times(b, number(b, 1.1283791670955126), b.b.add("Exp", {negated(b, square(b, b.x()))})));
}

Status sum(Backward& b) {
  for (std::size_t i = 0; i < b.node.inputs.size(); ++i)
    if (b.wants(i)) TENON_TRY(b.give_summed(i, b.dy()));
  return {};
}
Status mean(Backward& b) {
  const ValueId share = over(b, b.dy(), number(b, static_cast<double>(b.node.inputs.size())));
  for (std::size_t i = 0; i < b.node.inputs.size(); ++i)
    if (b.wants(i)) TENON_TRY(b.give_summed(i, share));
  return {};
}
Status sub(Backward& b) {
  if (b.wants(0)) TENON_TRY(b.give_summed(0, b.dy()));
  if (b.wants(1)) TENON_TRY(b.give_summed(1, negated(b, b.dy())));
  return {};
}
Status mul(Backward& b) {
  if (b.wants(0)) TENON_TRY(b.give_summed(0, times(b, b.dy(), b.x(1))));
  if (b.wants(1)) TENON_TRY(b.give_summed(1, times(b, b.dy(), b.x(0))));
  return {};
}
Status div(Backward& b) {
  const ValueId share = over(b, b.dy(), b.x(1));
  if (b.wants(0)) TENON_TRY(b.give_summed(0, share));
  if (b.wants(1)) TENON_TRY(b.give_summed(1, negated(b, times(b, share, b.y()))));
  return {};
}
// d x^p: p x^(p-1), 0 where p is 0, and x^p log x, 0 where x is 0. The exponent may have a type of its own.
Status pow(Backward& b) {
  const ValueId zero = number(b, 0);
  const bool cast = b.b.dtype(b.x(1)) != b.b.dtype(b.x(0));
  const auto to_type_of = [&](ValueId v, ValueId like) { return cast ? b.b.add("Cast", {v}, {{"to", std::int64_t{b.b.dtype(like)}}}) : v; };
  const ValueId p = to_type_of(b.x(1), b.x(0));
  if (b.wants(0)) {
    const ValueId slope = times(b, p, b.b.add("Pow", {b.x(0), minus(b, p, number(b, 1))}));
    TENON_TRY(b.give_summed(0, times(b, b.dy(), b.b.add("Where", {b.b.add("Equal", {p, zero}), zero, slope}))));
  }
  if (b.wants(1)) {
    const ValueId slope = times(b, b.y(), b.b.add("Log", {b.x(0)}));
    const ValueId back = times(b, b.dy(), b.b.add("Where", {b.b.add("Equal", {b.x(0), zero}), zero, slope}));
    TENON_TRY(b.give_summed(1, to_type_of(back, b.x(1))));
  }
  return {};
}
Status where(Backward& b) {
  const ValueId zero = number(b, 0);
  if (b.wants(1)) TENON_TRY(b.give_summed(1, b.b.add("Where", {b.x(0), b.dy(), zero})));
  if (b.wants(2)) TENON_TRY(b.give_summed(2, b.b.add("Where", {b.x(0), zero, b.dy()})));
  return {};
}
// Where the bounds let the element through; the bounds themselves get none.
Status clip(Backward& b) {
  if (b.wants(1) || b.wants(2)) return error(TENON_UNIMPLEMENTED, "{}: there is no gradient for its bounds", b.node.label());
  b.give(0, b.b.add("Where", {b.b.add("Equal", {b.x(), b.y()}), b.dy(), number(b, 0)}));
  return {};
}
Status cast(Backward& b) {
  b.give(0, b.b.add("Cast", {b.dy()}, {{"to", std::int64_t{b.b.dtype(b.x())}}}));
  return {};
}

constexpr GradientRule rules[] = {
    {"Abs", unary<abs>}, {"Add", sum}, {"Cast", cast}, {"CastLike", cast}, {"Clip", clip}, {"Cos", unary<cos>}, {"Div", div},
    {"Elu", unary<elu>}, {"Erf", unary<erf>}, {"Exp", unary<exp>}, {"Identity", unary<same>}, {"LeakyRelu", unary<leaky_relu>},
    {"Log", unary<log>}, {"Mean", mean}, {"Mul", mul}, {"Neg", unary<neg>}, {"Pow", pow}, {"Reciprocal", unary<reciprocal>},
    {"Relu", unary<relu>}, {"Sigmoid", unary<sigmoid>}, {"Sin", unary<sin>}, {"Softplus", unary<softplus>}, {"Sqrt", unary<sqrt>},
    {"Sub", sub}, {"Sum", sum}, {"Tanh", unary<tanh>}, {"Where", where},
};

}  // namespace

std::span<const GradientRule> elementwise_gradients() { return rules; }

}  // namespace tenon
