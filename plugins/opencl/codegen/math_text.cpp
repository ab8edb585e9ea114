#include "plugins/opencl/codegen/math_text.h"

#include <map>

namespace tenon::opencl {
namespace {

// exp rounds to an integer by adding 1.5 * 2^23, whose last bits then are the integer: drivers call a library for rint and clamp.
// F, I: float and int of the width; S(name): the function's name there. Coefficients: least-squares fits on Chebyshev nodes.
const std::map<std::string, std::string> bodies = {
    {"exp", R"(inline F S(tn_exp)(F x) {
  const F low = SELECT((F)-104.0f, x, x > -104.0f);
  const F c = SELECT((F)89.0f, low, low < 89.0f);
  const F shifted = fma(c, (F)1.44269504f, (F)12582912.0f);
  const F n = shifted - 12582912.0f;
  const F r = fma(n, (F)-1.42860677e-6f, fma(n, (F)-0.693145752f, c));
  F p = fma((F)1.395605505e-03f, r, (F)8.375134967e-03f);
  p = fma(p, r, (F)4.166608362e-02f);
  p = fma(p, r, (F)1.666641541e-01f);
  p = fma(p, r, (F)5.000000168e-01f);
  p = fma(p, r, (F)1.0f);
  p = fma(p, r, (F)1.0f);
  const I k = AS_I(shifted) - 0x4b400000, h = k >> 1;
  const F y = p * AS_F((h + 127) << 23) * AS_F((k - h + 127) << 23);
  return SELECT(y, x, x != x);
})"},
    {"log", R"(inline F S(tn_log)(F x) {
  const F big = SELECT(x, x * 8388608.0f, x < 1.17549435e-38f);
  const I bits = AS_I(big), e = (bits - 0x3f3504f3) >> 23;
  const F t = AS_F(bits - (e << 23)) - 1.0f;
  const F k = CONVERT_F(e) - SELECT((F)0.0f, (F)23.0f, x < 1.17549435e-38f);
  F p = fma((F)-8.305184109e-02f, t, (F)1.279881993e-01f);
  p = fma(p, t, (F)-1.294344921e-01f);
  p = fma(p, t, (F)1.419024855e-01f);
  p = fma(p, t, (F)-1.664348690e-01f);
  p = fma(p, t, (F)2.000187950e-01f);
  p = fma(p, t, (F)-2.500028088e-01f);
  p = fma(p, t, (F)3.333332654e-01f);
  const F s = t * t;
  F y = fma(k, (F)1.42860677e-6f, fma(p * s, t, -0.5f * s) ) + t;
  y = fma(k, (F)0.693145752f, y);
  y = SELECT(y, x, (x != x) | (x == INFINITY));
  y = SELECT(y, (F)-INFINITY, x == 0.0f);
  return SELECT(y, (F)NAN, x < 0.0f);
})"},
    {"tanh", R"(inline F S(tn_tanh)(F x) {
  const F a = fabs(x), s = x * x;
  F p = fma((F)2.298960819e-03f, s, (F)-8.350029170e-03f);
  p = fma(p, s, (F)2.177100414e-02f);
  p = fma(p, s, (F)-5.395955175e-02f);
  p = fma(p, s, (F)1.333330499e-01f);
  p = fma(p, s, (F)-3.333333318e-01f);
  const F near = fma(p * s, x, x);
  const F far = copysign(1.0f - 2.0f / (S(tn_exp)(2.0f * a) + 1.0f), x);
  return SELECT(near, far, a > 0.625f);
})"},
    {"erf", R"(inline F S(tn_erf)(F x) {
  const F a = fmin(fabs(x), (F)4.2f), s = x * x;
  F p = fma((F)-9.680130547e-06f, s, (F)1.127054244e-04f);
  p = fma(p, s, (F)-8.484711168e-04f);
  p = fma(p, s, (F)5.221074859e-03f);
  p = fma(p, s, (F)-2.686544581e-02f);
  p = fma(p, s, (F)1.128378275e-01f);
  p = fma(p, s, (F)-3.761263848e-01f);
  const F near = fma(p, s, (F)1.128379167f) * x;
  const F t = 1.0f / fma(a, (F)0.5f, (F)1.0f);
  F q = fma((F)1.728833393e-02f, t, (F)5.085274751e-02f);
  q = fma(q, t, (F)-3.534873888e-01f);
  q = fma(q, t, (F)4.486716165e-01f);
  q = fma(q, t, (F)-3.448829835e-02f);
  q = fma(q, t, (F)3.213487047e-01f);
  q = fma(q, t, (F)2.659612931e-01f);
  q = fma(q, t, (F)2.840694897e-01f);
  q = fma(q, t, (F)-1.050284601e-04f);
  const F far = copysign(1.0f - S(tn_exp)(-a * a) * q, x);
  return SELECT(SELECT(near, far, fabs(x) > 1.0f), x, x != x);
})"},
    {"sigmoid", R"(inline F S(tn_sigmoid)(F x) {
  return 1.0f / (1.0f + S(tn_exp)(-x));
})"},
};

std::string with_words(std::string text, int width) {
  const std::string w = width == 1 ? "" : std::to_string(width);
  const auto replace = [&](const std::string& from, const std::string& to) {
    for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) text.replace(at, from.size(), to);
  };
  for (const char* name : {"tn_exp", "tn_log", "tn_tanh", "tn_erf", "tn_sigmoid"}) replace(std::string("S(") + name + ")", name + w);
  replace("CONVERT_I", "convert_int" + w);
  replace("CONVERT_F", "convert_float" + w);
  replace("AS_F", "as_float" + w);
  replace("AS_I", "as_int" + w);
  replace("SELECT", "tn_select" + w);
  replace("(F)", "(float" + w + ")");
  replace("(F ", "(float" + w + " ");
  replace("inline F ", "inline float" + w + " ");
  replace(" F ", " float" + w + " ");
  replace("const I ", "const int" + w + " ");
  return text;
}

std::string select_helper(int width) {
  // In a vector the condition is a mask, alone it is 0 or 1.
  const std::string w = width == 1 ? "" : std::to_string(width), f = "float" + w;
  return "inline " + f + " tn_select" + w + "(" + f + " a, " + f + " b, int" + w + " c) { return " + (width == 1 ? "c ? b : a" : "select(a, b, c)") + "; }\n";
}

}  // namespace

bool has_math(const std::string& name) { return bodies.count(name) != 0; }

std::string math_call(const std::string& name, int width) { return "tn_" + name + (width == 1 ? "" : std::to_string(width)); }

std::string math_helper(const std::string& name, int width) {
  // Guarded, since several functions need exp.
  const auto guarded = [&](const std::string& what, const std::string& text) {
    const std::string guard = "TN_" + what + std::to_string(width);
    return "#ifndef " + guard + "\n#define " + guard + "\n" + text + "\n#endif\n";
  };
  std::string out = guarded("select", select_helper(width));
  if (name == "tanh" || name == "erf" || name == "sigmoid") out += guarded("exp", with_words(bodies.at("exp"), width));
  return out + guarded(name, with_words(bodies.at(name), width));
}

}  // namespace tenon::opencl
