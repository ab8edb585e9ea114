#include <algorithm>
#include <string_view>

#include "plugins/cpu/ops/elementwise_loops.h"
#include "plugins/cpu/ops/number_cast.h"

namespace tenon::cpu {
namespace {

using namespace loops;

// ---- numbers of every kind --------------------------------------------------------------------------------------------

struct Abs {
  template <class T>
  static T call(T x, const LoopArgs&) {
    if constexpr (std::is_floating_point_v<T>) return std::abs(x);
    else if constexpr (std::is_signed_v<T>) return x < 0 ? wrap_neg(x) : x;
    else return x;
  }
};
struct Neg {
  template <class T>
  static T call(T x, const LoopArgs&) {
    if constexpr (std::is_floating_point_v<T>) return -x;
    else return wrap_neg(x);
  }
};
struct Sign {
  template <class T>
  static T call(T x, const LoopArgs&) {
    if constexpr (std::is_floating_point_v<T>) return x > 0 ? T{1} : x < 0 ? T{-1} : x;
    else if constexpr (std::is_signed_v<T>) return static_cast<T>((x > 0) - (x < 0));
    else return x != 0;
  }
};
struct Relu {
  template <class T>
  static T call(T x, const LoopArgs&) {
    return x < 0 ? T{0} : x;
  }
};
// Integers are computed as doubles and truncated.
template <class T>
T from_double(double x) {
  if constexpr (std::is_floating_point_v<T>) return static_cast<T>(x);
  else return to_integer<T>(x);
}
struct Erf {
  template <class T>
  static T call(T x, const LoopArgs&) {
    return from_double<T>(std::erf(static_cast<double>(x)));
  }
};
// a: lambd, b: bias
struct Shrink {
  template <class T>
  static T call(T x, const LoopArgs& g) {
    const auto v = static_cast<double>(x);
    return v < -g.a ? from_double<T>(v + g.b) : v > g.a ? from_double<T>(v - g.b) : T{0};  // of NaN 0: neither comparison holds
  }
};

// ---- floats: float32 is computed as float64, so this is also the oracle of what has vector code -------------------------

using Function = double (*)(double x, double a, double b);
template <Function f>
struct Math {
  template <class T>
  static T call(T x, const LoopArgs& g) {
    return static_cast<T>(f(static_cast<double>(x), g.a, g.b));
  }
};

double sigmoid(double x, double, double) { return 1 / (1 + std::exp(-x)); }
double elu(double x, double a, double) { return x > 0 ? x : a * std::expm1(x); }
double selu(double x, double a, double b) { return b * elu(x, a, 0); }
double celu(double x, double a, double) { return x > 0 ? x : a * std::expm1(x / a); }
double leaky_relu(double x, double a, double) { return x < 0 ? a * x : x; }
double thresholded_relu(double x, double a, double) { return x > a ? x : 0; }
double hard_sigmoid(double x, double a, double b) { return std::min(std::max(a * x + b, 0.0), 1.0); }
double hard_swish(double x, double, double) { return x * hard_sigmoid(x, 1.0 / 6, 0.5); }
double swish(double x, double a, double) { return x / (1 + std::exp(-a * x)); }
double softplus(double x, double, double) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }
double mish(double x, double, double) { return x * std::tanh(softplus(x, 0, 0)); }
double softsign(double x, double, double) { return x / (1 + std::abs(x)); }
double gelu_erf(double x, double, double) { return 0.5 * x * std::erfc(x * -0.70710678118654752440); }
double gelu_tanh(double x, double, double) { return swish(x, 2 * 0.79788456080286535588 * (1 + 0.044715 * x * x), 0); }
double ceil(double x, double, double) { return std::ceil(x); }
double floor(double x, double, double) { return std::floor(x); }
double round(double x, double, double) { return std::nearbyint(x); }
double sqrt(double x, double, double) { return std::sqrt(x); }
double exp(double x, double, double) { return std::exp(x); }
double log(double x, double, double) { return std::log(x); }
double reciprocal(double x, double, double) { return 1 / x; }
double sin(double x, double, double) { return std::sin(x); }
double cos(double x, double, double) { return std::cos(x); }
double tan(double x, double, double) { return std::tan(x); }
double asin(double x, double, double) { return std::asin(x); }
double acos(double x, double, double) { return std::acos(x); }
double atan(double x, double, double) { return std::atan(x); }
double sinh(double x, double, double) { return std::sinh(x); }
double cosh(double x, double, double) { return std::cosh(x); }
double tanh(double x, double, double) { return std::tanh(x); }
double asinh(double x, double, double) { return std::asinh(x); }
double acosh(double x, double, double) { return std::acosh(x); }
double atanh(double x, double, double) { return std::atanh(x); }

// ---- rows -------------------------------------------------------------------------------------------------------------

template <class F, class... Lists>
Kernel of_types(const NodeView& node, Lists... lists) {
  if (!uniform(node)) return {};
  return {.loop = pick_any(node.dtype(0), []<class T>() -> Loop { return unary<T, T, F>; }, lists...)};
}
template <class F>
Kernel numbers(const NodeView& node) {
  return of_types<F>(node, Floats{}, Signed{}, Unsigned{});
}
template <class F>
Kernel signed_numbers(const NodeView& node) {
  return of_types<F>(node, Floats{}, Signed{});
}
template <Function f>
Kernel floats(const NodeView& node) {
  Kernel k = of_types<Math<f>>(node, Floats{});
  k.ns = 8;
  return k;
}
// Attribute alpha, and what the default says of it.
template <Function f>
Kernel with_alpha(const NodeView& node, float alpha) {
  Kernel k = floats<f>(node);
  k.a = node.float_or("alpha", alpha);
  return k;
}
Kernel leaky(const NodeView& node) { return with_alpha<leaky_relu>(node, 0.01f); }
Kernel elu_of(const NodeView& node) { return with_alpha<elu>(node, 1); }
Kernel celu_of(const NodeView& node) { return with_alpha<celu>(node, 1); }
Kernel thresholded(const NodeView& node) { return with_alpha<thresholded_relu>(node, 1); }
Kernel swish_of(const NodeView& node) { return with_alpha<swish>(node, 1); }
Kernel quick_gelu(const NodeView& node) { return with_alpha<swish>(node, 1.702f); }
Kernel selu_of(const NodeView& node) {
  Kernel k = with_alpha<selu>(node, 1.67326319217681884765625f);
  k.b = node.float_or("gamma", 1.05070102214813232421875f);
  return k;
}
Kernel hard(const NodeView& node) {
  Kernel k = with_alpha<hard_sigmoid>(node, 0.2f);
  k.b = node.float_or("beta", 0.5f);
  return k;
}
Kernel shrink(const NodeView& node) {
  Kernel k = numbers<Shrink>(node);
  k.a = node.float_or("lambd", 0.5f), k.b = node.float_or("bias", 0);
  return k;
}
Kernel gelu(const NodeView& node) {
  const std::string_view how = node.string_or("approximate", "none");
  return how == "none" ? floats<gelu_erf>(node) : how == "tanh" ? floats<gelu_tanh>(node) : Kernel{};
}

// With a bias that is broadcast.
template <Function f>
struct Biased {
  template <class T>
  static T call(T x, T y) {
    return static_cast<T>(f(static_cast<double>(x + y), 0, 0));
  }
};
template <Function f>
Kernel biased(const NodeView& node) {
  if (!uniform(node)) return {};
  if (!node.has_input(1)) return floats<f>(node);
  return {.loop = pick(node.dtype(0), Floats{}, []<class T>() -> Loop { return binary<T, T, T, Biased<f>>; }), .ns = 8};
}

constexpr TypedRow rows[] = {
    {"", "Abs", 1, 1, numbers<Abs>},          {"", "Neg", 1, 1, signed_numbers<Neg>},   {"", "Sign", 1, 1, numbers<Sign>},
    {"", "Relu", 1, 1, signed_numbers<Relu>}, {"", "Erf", 1, 1, numbers<Erf>},          {"", "Shrink", 1, 1, shrink},
    {"", "Sigmoid", 1, 1, floats<sigmoid>},   {"", "Elu", 1, 1, elu_of},                {"", "Selu", 1, 1, selu_of},
    {"", "Celu", 1, 1, celu_of},              {"", "LeakyRelu", 1, 1, leaky},           {"", "ThresholdedRelu", 1, 1, thresholded},
    {"", "HardSigmoid", 1, 1, hard},          {"", "HardSwish", 1, 1, floats<hard_swish>}, {"", "Swish", 1, 1, swish_of},
    {"", "Softplus", 1, 1, floats<softplus>}, {"", "Mish", 1, 1, floats<mish>},         {"", "Softsign", 1, 1, floats<softsign>},
    {"", "Gelu", 1, 1, gelu},                 {"", "Ceil", 1, 1, floats<ceil>},         {"", "Floor", 1, 1, floats<floor>},
    {"", "Round", 1, 1, floats<round>},       {"", "Sqrt", 1, 1, floats<sqrt>},         {"", "Exp", 1, 1, floats<exp>},
    {"", "Log", 1, 1, floats<log>},           {"", "Reciprocal", 1, 1, floats<reciprocal>}, {"", "Sin", 1, 1, floats<sin>},
    {"", "Cos", 1, 1, floats<cos>},           {"", "Tan", 1, 1, floats<tan>},           {"", "Asin", 1, 1, floats<asin>},
    {"", "Acos", 1, 1, floats<acos>},         {"", "Atan", 1, 1, floats<atan>},         {"", "Sinh", 1, 1, floats<sinh>},
    {"", "Cosh", 1, 1, floats<cosh>},         {"", "Tanh", 1, 1, floats<tanh>},         {"", "Asinh", 1, 1, floats<asinh>},
    {"", "Acosh", 1, 1, floats<acosh>},       {"", "Atanh", 1, 1, floats<atanh>},       {"com.microsoft", "Gelu", 1, 1, floats<gelu_erf>},
    {"com.microsoft", "QuickGelu", 1, 1, quick_gelu}, {"com.microsoft", "BiasGelu", 2, 2, biased<gelu_erf>},
    {"com.microsoft", "FastGelu", 1, 2, biased<gelu_tanh>},
};

}  // namespace

std::span<const TypedRow> unary_kernels() { return rows; }

}  // namespace tenon::cpu
