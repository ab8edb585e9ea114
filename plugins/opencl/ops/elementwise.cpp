// Elementwise operators: each row says its expression; the kernels are written from that.
#include <cmath>

#include "plugins/opencl/elementwise_op.h"
#include "plugins/opencl/families.h"

namespace tenon::opencl {
namespace {

using Id = std::uint32_t;

// The expression of one node while it is written.
struct Builder {
  const Node& node;
  CompileContext& context;
  Expression e;

  Id in(std::size_t i) { return e.load(static_cast<std::uint32_t>(i), node.input(i)->dtype); }
  std::int32_t type() const { return node.input(0)->dtype; }
  Id literal(double v) { return e.literal(type(), v); }
  Id call(const char* fn, std::initializer_list<Id> args) { return e.call(fn, type(), args); }
  Id test(const char* fn, std::initializer_list<Id> args) { return e.call(fn, TENON_DTYPE_BOOL, args); }
  Id where(Id condition, Id a, Id b) { return call("where", {condition, a, b}); }
  double real(const char* name, double fallback) const { return node.number(name, static_cast<float>(fallback)); }
};

using Body = Id (*)(Builder&);

template <Body body>
std::unique_ptr<Op> make(const Node& node, CompileContext& context) {
  Builder b{node, context, {}};
  b.e.outputs = {body(b)};
  return std::make_unique<ElementwiseOp>(std::move(b.e));
}

Support any(const Node&, const Profile&) { return Support::yes(); }
Support floating(const Node& node, const Profile&) {
  return is_floating(node.input(0)->dtype) ? Support::yes() : Support::no(TENON_REJECT_DTYPE, "only floating types, not " + dtype_text(node.input(0)->dtype));
}
Support numeric(const Node& node, const Profile&) {
  return node.input(0)->dtype != TENON_DTYPE_BOOL ? Support::yes() : Support::no(TENON_REJECT_DTYPE, "no bool");
}

// fn(x)
template <const char* const& fn>
Id unary(Builder& b) { return b.call(fn, {b.in(0)}); }
// fn(a, b), the result of the arguments' type
template <const char* const& fn>
Id binary(Builder& b) { return b.call(fn, {b.in(0), b.in(1)}); }
template <const char* const& fn>
Id comparison(Builder& b) { return b.test(fn, {b.in(0), b.in(1)}); }
// fn over any number of inputs
template <const char* const& fn>
Id folded(Builder& b) {
  Id acc = b.in(0);
  for (std::size_t i = 1; i < b.node.input_count(); ++i) acc = b.call(fn, {acc, b.in(i)});
  return acc;
}

#define NAME(x) constexpr const char* x##_name = #x
NAME(add); NAME(sub); NAME(mul); NAME(div); NAME(neg); NAME(abs); NAME(min); NAME(max); NAME(sqrt); NAME(floor); NAME(ceil); NAME(rint);
NAME(exp); NAME(log); NAME(tanh); NAME(erf); NAME(sigmoid); NAME(sin); NAME(cos); NAME(tan); NAME(asin); NAME(acos); NAME(atan); NAME(sinh);
NAME(cosh); NAME(asinh); NAME(acosh); NAME(atanh); NAME(lt); NAME(le); NAME(gt); NAME(ge); NAME(eq); NAME(bitnot); NAME(isnan);
constexpr const char* and_name = "and";
constexpr const char* or_name = "or";
constexpr const char* xor_name = "xor";
constexpr const char* not_name = "not";
#undef NAME

Id relu(Builder& b) { const Id x = b.in(0), zero = b.literal(0); return b.where(b.test("lt", {x, zero}), zero, x); }
Id leaky_relu(Builder& b) { const Id x = b.in(0); return b.where(b.test("lt", {x, b.literal(0)}), b.call("mul", {x, b.literal(b.real("alpha", 0.01))}), x); }
Id prelu(Builder& b) { const Id x = b.in(0); return b.where(b.test("lt", {x, b.literal(0)}), b.call("mul", {x, b.in(1)}), x); }
Id elu(Builder& b) {
  const Id x = b.in(0), minus = b.call("sub", {b.call("exp", {b.call("min", {x, b.literal(0)})}), b.literal(1)});
  return b.where(b.test("lt", {x, b.literal(0)}), b.call("mul", {minus, b.literal(b.real("alpha", 1))}), x);
}
Id celu(Builder& b) {
  const double alpha = b.real("alpha", 1);
  const Id x = b.in(0), scaled = b.call("mul", {b.call("min", {x, b.literal(0)}), b.literal(1 / alpha)});
  return b.where(b.test("lt", {x, b.literal(0)}), b.call("mul", {b.call("sub", {b.call("exp", {scaled}), b.literal(1)}), b.literal(alpha)}), x);
}
Id selu(Builder& b) {
  const double alpha = b.real("alpha", 1.67326319217681884765625), gamma = b.real("gamma", 1.05070102214813232421875);
  const Id x = b.in(0), minus = b.call("sub", {b.call("exp", {b.call("min", {x, b.literal(0)})}), b.literal(1)});
  return b.call("mul", {b.literal(gamma), b.where(b.test("gt", {x, b.literal(0)}), x, b.call("mul", {minus, b.literal(alpha)}))});
}
Id thresholded_relu(Builder& b) { const Id x = b.in(0); return b.where(b.test("gt", {x, b.literal(b.real("alpha", 1))}), x, b.literal(0)); }
Id hard_sigmoid(Builder& b) {
  const Id y = b.call("add", {b.call("mul", {b.in(0), b.literal(b.real("alpha", 0.2))}), b.literal(b.real("beta", 0.5))});
  return b.call("max", {b.call("min", {y, b.literal(1)}), b.literal(0)});
}
Id hard_swish(Builder& b) {
  const Id x = b.in(0), y = b.call("add", {b.call("mul", {x, b.literal(1.0 / 6)}), b.literal(0.5)});
  return b.call("mul", {x, b.call("max", {b.call("min", {y, b.literal(1)}), b.literal(0)})});
}
// log(1 + exp(x)) without overflow
Id softplus_of(Builder& b, Id x) {
  const Id tail = b.call("log", {b.call("add", {b.literal(1), b.call("exp", {b.call("neg", {b.call("abs", {x})})})})});
  return b.call("add", {b.call("max", {x, b.literal(0)}), tail});
}
Id softplus(Builder& b) { return softplus_of(b, b.in(0)); }
Id mish(Builder& b) { const Id x = b.in(0); return b.call("mul", {x, b.call("tanh", {softplus_of(b, x)})}); }
Id softsign(Builder& b) { const Id x = b.in(0); return b.call("div", {x, b.call("add", {b.literal(1), b.call("abs", {x})})}); }
Id swish(Builder& b) { const Id x = b.in(0); return b.call("mul", {x, b.call("sigmoid", {b.call("mul", {x, b.literal(b.real("alpha", 1))})})}); }
Id quick_gelu(Builder& b) { const Id x = b.in(0); return b.call("mul", {x, b.call("sigmoid", {b.call("mul", {x, b.literal(b.real("alpha", 1.702))})})}); }
Id gelu_tanh(Builder& b, Id x) {
  const Id cube = b.call("mul", {b.call("mul", {x, x}), x});
  const Id inner = b.call("mul", {b.literal(0.7978845608028654), b.call("add", {x, b.call("mul", {b.literal(0.044715), cube})})});
  return b.call("mul", {b.call("mul", {b.literal(0.5), x}), b.call("add", {b.literal(1), b.call("tanh", {inner})})});
}
Id gelu_erf(Builder& b, Id x) {
  return b.call("mul", {b.call("mul", {b.literal(0.5), x}), b.call("add", {b.literal(1), b.call("erf", {b.call("mul", {x, b.literal(0.70710678118654752)})})})});
}
Id gelu(Builder& b) { return b.node.text("approximate", "none") == "tanh" ? gelu_tanh(b, b.in(0)) : gelu_erf(b, b.in(0)); }
Id biased_input(Builder& b) { return b.node.input(1) ? b.call("add", {b.in(0), b.in(1)}) : b.in(0); }
Id bias_gelu(Builder& b) { return gelu_erf(b, biased_input(b)); }
Id fast_gelu(Builder& b) { return gelu_tanh(b, biased_input(b)); }
Id reciprocal(Builder& b) { return b.call("div", {b.literal(1), b.in(0)}); }
Id sign(Builder& b) {
  const Id x = b.in(0), zero = b.literal(0);
  const Id positive = b.e.cast(b.type(), b.test("gt", {x, zero}));
  if (is_unsigned_integer(b.type())) return positive;
  const Id negative = b.e.cast(b.type(), b.test("lt", {x, zero})), s = b.call("sub", {positive, negative});
  return is_floating(b.type()) ? b.where(b.test("isnan", {x}), x, s) : s;
}
Id shrink(Builder& b) {
  const double lambd = b.real("lambd", 0.5), bias = b.real("bias", 0);
  const std::int32_t wide = is_floating(b.type()) ? b.type() : TENON_DTYPE_FLOAT;
  const Id x = b.e.cast(wide, b.in(0)), zero = b.e.literal(wide, 0), l = b.e.literal(wide, lambd), s = b.e.literal(wide, bias);
  const Id low = b.test("lt", {x, b.e.literal(wide, -lambd)}), high = b.test("gt", {x, l});
  const Id shrunk = b.e.call("where", wide, {low, b.e.call("add", wide, {x, s}), b.e.call("where", wide, {high, b.e.call("sub", wide, {x, s}), zero})});
  return b.e.cast(b.type(), shrunk);
}
Id is_inf(Builder& b) {
  const Id x = b.in(0);
  const bool positive = b.node.integer("detect_positive", 1) != 0, negative = b.node.integer("detect_negative", 1) != 0;
  if (positive && negative) return b.test("or", {b.test("isposinf", {x}), b.test("isneginf", {x})});
  if (positive) return b.test("isposinf", {x});
  if (negative) return b.test("isneginf", {x});
  return b.test("and", {b.test("isposinf", {x}), b.test("isneginf", {x})});
}
Id is_nan(Builder& b) { return b.test("isnan", {b.in(0)}); }
Id logic(Builder& b, const char* fn) { return b.test(fn, {b.in(0), b.in(1)}); }
Id logical_and(Builder& b) { return logic(b, "and"); }
Id logical_or(Builder& b) { return logic(b, "or"); }
Id logical_xor(Builder& b) { return logic(b, "xor"); }
Id equal(Builder& b) { return b.test("eq", {b.in(0), b.in(1)}); }
Id where_op(Builder& b) {
  const std::int32_t type = b.node.input(1)->dtype;
  return b.e.call("where", type, {b.in(0), b.in(1), b.in(2)});
}
Id clip(Builder& b) {
  Id x = b.in(0);
  if (b.node.input(1)) x = b.call("max", {x, b.in(1)});
  if (b.node.input(2)) x = b.call("min", {x, b.in(2)});
  return x;
}
Id cast(Builder& b) { return b.e.cast(b.node.output(0)->dtype, b.in(0)); }
Id identity(Builder& b) { return b.in(0); }
Id mean(Builder& b) {
  Id acc = b.in(0);
  for (std::size_t i = 1; i < b.node.input_count(); ++i) acc = b.call("add", {acc, b.in(i)});
  return b.call("div", {acc, b.literal(static_cast<double>(b.node.input_count()))});
}
Id mod(Builder& b) {
  const Id x = b.in(0), y = b.in(1), r = b.call("fmod", {x, y});
  if (b.node.integer("fmod", 0) != 0 || is_unsigned_integer(b.type())) return r;
  // The divisor's sign: what is left over is moved by one divisor where signs differ.
  const Id zero = b.literal(0), differs = b.test("xor", {b.test("lt", {r, zero}), b.test("lt", {y, zero})});
  return b.where(b.test("and", {differs, b.test("ne", {r, zero})}), b.call("add", {r, y}), r);
}
Id shift(Builder& b) { return b.call(b.node.text("direction", "LEFT") == "LEFT" ? "shl" : "shr", {b.in(0), b.in(1)}); }

// x ** y; a constant exponent that is a small number needs no power function.
Id pow_op(Builder& b) {
  const Id x = b.in(0);
  if (const tenon_value* y = b.node.input(1); is_constant(y) && is_floating(b.type())) {
    const tenon_const_tensor t = b.context.constant(b.node, 1);
    double exponent = NAN;
    std::int64_t count = 1;
    for (std::uint64_t d = 0; d < t.rank; ++d) count *= t.dims[d];
    if (count == 1 && t.dtype == TENON_DTYPE_FLOAT) exponent = *static_cast<const float*>(t.data);
    if (count == 1 && t.dtype == TENON_DTYPE_INT64) exponent = static_cast<double>(*static_cast<const std::int64_t*>(t.data));
    if (count == 1 && y->rank <= b.node.input(0)->rank) {
      if (exponent == 1) return x;
      if (exponent == 2) return b.call("mul", {x, x});
      if (exponent == 3) return b.call("mul", {b.call("mul", {x, x}), x});
      if (exponent == 0.5) return b.call("sqrt", {x});
      if (exponent == -1) return b.call("div", {b.literal(1), x});
    }
  }
  if (is_floating(b.type())) return b.call("pow", {x, b.e.cast(b.type(), b.in(1))});
  // Integers: exact as far as a double is.
  const Id power = b.e.call("pow", TENON_DTYPE_DOUBLE, {b.e.cast(TENON_DTYPE_DOUBLE, x), b.e.cast(TENON_DTYPE_DOUBLE, b.in(1))});
  return b.e.cast(b.type(), power);
}
Support pow_types(const Node& node, const Profile& profile) {
  if (!is_floating(node.input(0)->dtype) && !profile.fp64) return Support::no(TENON_REJECT_DTYPE, "integer powers need float64, which the device lacks");
  return Support::yes();
}

// Inputs that differ in type where the operator allows it have been cast by then; all others are equal by the specification.
template <Body body>
constexpr OpRow row(const char* name, Support (*supports)(const Node&, const Profile&) = any, const char* domain = "") {
  return {domain, name, supports, make<body>};
}

constexpr const char* microsoft = "com.microsoft";

const OpRow rows[] = {
    row<folded<add_name>>("Sum"), row<folded<min_name>>("Min", numeric), row<folded<max_name>>("Max", numeric), row<mean>("Mean"),
    row<binary<add_name>>("Add"), row<binary<sub_name>>("Sub"), row<binary<mul_name>>("Mul"), row<binary<div_name>>("Div"),
    row<pow_op>("Pow", pow_types), row<mod>("Mod"),
    row<unary<neg_name>>("Neg"), row<unary<abs_name>>("Abs"), row<unary<sqrt_name>>("Sqrt", floating), row<unary<floor_name>>("Floor", floating),
    row<unary<ceil_name>>("Ceil", floating), row<unary<rint_name>>("Round", floating), row<unary<exp_name>>("Exp", floating),
    row<unary<log_name>>("Log", floating), row<unary<tanh_name>>("Tanh", floating), row<unary<erf_name>>("Erf", floating),
    row<unary<sigmoid_name>>("Sigmoid", floating), row<unary<sin_name>>("Sin", floating), row<unary<cos_name>>("Cos", floating),
    row<unary<tan_name>>("Tan", floating), row<unary<asin_name>>("Asin", floating), row<unary<acos_name>>("Acos", floating),
    row<unary<atan_name>>("Atan", floating), row<unary<sinh_name>>("Sinh", floating), row<unary<cosh_name>>("Cosh", floating),
    row<unary<asinh_name>>("Asinh", floating), row<unary<acosh_name>>("Acosh", floating), row<unary<atanh_name>>("Atanh", floating),
    row<reciprocal>("Reciprocal", floating), row<sign>("Sign"),
    row<comparison<lt_name>>("Less"), row<comparison<le_name>>("LessOrEqual"), row<comparison<gt_name>>("Greater"),
    row<comparison<ge_name>>("GreaterOrEqual"), row<equal>("Equal"), row<logical_and>("And"), row<logical_or>("Or"), row<logical_xor>("Xor"),
    row<unary<not_name>>("Not"), row<binary<and_name>>("BitwiseAnd"), row<binary<or_name>>("BitwiseOr"), row<binary<xor_name>>("BitwiseXor"),
    row<unary<bitnot_name>>("BitwiseNot"), row<shift>("BitShift"), row<is_nan>("IsNaN", floating), row<is_inf>("IsInf", floating),
    row<where_op>("Where"), row<clip>("Clip", numeric), row<cast>("Cast"), row<cast>("CastLike"), row<identity>("Identity"),
    row<relu>("Relu"), row<leaky_relu>("LeakyRelu", floating), row<prelu>("PRelu"), row<elu>("Elu", floating), row<celu>("Celu", floating),
    row<selu>("Selu", floating), row<thresholded_relu>("ThresholdedRelu", floating), row<hard_sigmoid>("HardSigmoid", floating),
    row<hard_swish>("HardSwish", floating), row<softplus>("Softplus", floating), row<mish>("Mish", floating), row<softsign>("Softsign", floating),
    row<gelu>("Gelu", floating), row<swish>("Swish", floating), row<shrink>("Shrink"),
    row<gelu>("Gelu", floating, microsoft), row<bias_gelu>("BiasGelu", floating, microsoft), row<fast_gelu>("FastGelu", floating, microsoft),
    row<quick_gelu>("QuickGelu", floating, microsoft),
};

}  // namespace

std::span<const OpRow> elementwise_rows() { return rows; }

}  // namespace tenon::opencl
