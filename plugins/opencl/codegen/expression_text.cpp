#include "plugins/opencl/codegen/expression_text.h"

#include <cmath>
#include <cstdio>
#include <map>
#include <set>

#include <tenon/types.h>

#include "plugins/opencl/codegen/cast_text.h"
#include "plugins/opencl/codegen/math_text.h"
#include "plugins/opencl/codegen/types.h"

namespace tenon::opencl {
namespace {

using Args = std::vector<std::string>;
// What a function's text depends on: width, the compute type of its arguments and of its result, the result's and first argument's types.
struct Site {
  int width;
  Compute in, out;
  std::int32_t dtype, from;
};

bool floats(Compute c) { return c == Compute::f32 || c == Compute::f64; }
bool wide(Compute c) { return c == Compute::f64 || c == Compute::i64 || c == Compute::u64; }
std::string suffix(int width) { return width == 1 ? "" : std::to_string(width); }

// A comparison as 0 or 1.
std::string truth(const Site& s, const std::string& comparison) {
  if (s.width == 1) return "(int)(" + comparison + ")";
  return "-" + std::string(wide(s.in) ? "convert_int" + suffix(s.width) : "") + "(" + comparison + ")";
}

// b where c (0 or 1) is set, else a; a and b of compute type t.
std::string choose(Compute t, int width, const std::string& a, const std::string& b, const std::string& c) {
  if (width == 1) return "((" + c + ") ? (" + b + ") : (" + a + "))";
  const std::string mask = wide(t) ? "convert_long" + suffix(width) + "(-(" + c + "))" : "-(" + c + ")";
  return "select(" + a + ", " + b + ", " + mask + ")";
}

// The same with a comparison of t's own as it stands.
std::string choose_by(Compute, int width, const std::string& a, const std::string& b, const std::string& comparison) {
  if (width == 1) return "((" + comparison + ") ? (" + b + ") : (" + a + "))";
  return "select(" + a + ", " + b + ", " + comparison + ")";
}

std::string call(const char* fn, const Args& a) {
  std::string out = std::string(fn) + "(";
  for (std::size_t i = 0; i < a.size(); ++i) out += (i ? ", " : "") + a[i];
  return out + ")";
}

std::string infix(const Args& a, const char* op) { return a[0] + " " + op + " " + a[1]; }

// Greater (or smaller) of two; a NaN wins.
std::string extreme(const Site& s, const Args& a, const char* op) {
  if (!floats(s.in)) return call(op[0] == '>' ? "max" : "min", a);
  return choose_by(s.in, s.width, a[1], a[0], "(" + a[0] + " " + op + " " + a[1] + ") | (" + a[0] + " != " + a[0] + ")");
}

// The value narrowed to what type can hold; text stays in the compute type.
std::string wrapped(std::int32_t dtype, int width, const std::string& value) {
  const std::string w = suffix(width);
  switch (dtype) {
    case TENON_DTYPE_INT8: return "convert_int" + w + "(convert_char" + w + "(" + value + "))";
    case TENON_DTYPE_INT16: return "convert_int" + w + "(convert_short" + w + "(" + value + "))";
    case TENON_DTYPE_UINT8: return "(" + value + ") & 0xffu";
    case TENON_DTYPE_UINT16: return "(" + value + ") & 0xffffu";
    default: return value;
  }
}

// The integers that a floating number becomes on its way to an integer type.
Compute integer_through(std::int32_t dtype) {
  if (dtype == TENON_DTYPE_UINT64) return Compute::u64;
  return dtype == TENON_DTYPE_INT64 || dtype == TENON_DTYPE_UINT32 ? Compute::i64 : Compute::i32;
}

// ONNX's Cast between the types that kernels know. Out of range: integers wrap, floating numbers as cast_text.h says.
std::string cast(const Site& s, const std::string& a) {
  const std::string to = compute_name(s.out, s.width);
  if (s.dtype == TENON_DTYPE_BOOL) {
    Site site = s;
    return truth(site, a + " != (" + compute_name(s.in, s.width) + ")0");
  }
  // Half types hold less than what they are computed in.
  if (s.dtype == TENON_DTYPE_FLOAT16 && s.from != TENON_DTYPE_FLOAT16) return call(("tn_round_half" + suffix(s.width)).c_str(), {"convert_" + to + "(" + a + ")"});
  if (s.in == s.out) return wrapped(s.dtype, s.width, a);
  if (floats(s.in) && !floats(s.out)) {
    // Through the lowest width that has a result for everything; narrower types keep the low bits.
    const Compute through = integer_through(s.dtype);
    const std::string value = to_integer_call(s.in, through, s.width) + "(" + a + ")";
    return through == s.out ? wrapped(s.dtype, s.width, value) : wrapped(s.dtype, s.width, "convert_" + to + "(" + value + ")");
  }
  return wrapped(s.dtype, s.width, "convert_" + to + "(" + a + ")");
}

std::string math(const char* name, const Site& s, const Args& a) {
  return s.out == Compute::f32 ? call(math_call(name, s.width).c_str(), a) : call(name, a);
}

// A comparison: the number of bits is one that shifts.
std::string shifts(const Site& s, const std::string& n) {
  const std::string t = "(" + compute_name(s.in, s.width) + ")", below = "(" + n + " < " + t + std::to_string(8 * storage_bytes(s.dtype)) + ")";
  return is_signed_integer(s.dtype) ? "(" + n + " >= " + t + "0) & " + below : below;
}

using Writer = std::string (*)(const Site&, const Args&);
const std::map<std::string, Writer>& writers() {
  static const std::map<std::string, Writer> table = {
      {"add", [](const Site& s, const Args& a) { return wrapped(s.dtype, s.width, infix(a, "+")); }},
      {"sub", [](const Site& s, const Args& a) { return wrapped(s.dtype, s.width, infix(a, "-")); }},
      {"mul", [](const Site& s, const Args& a) { return wrapped(s.dtype, s.width, infix(a, "*")); }},
      // An integer divided by zero is zero: the processor would trap.
      {"div", [](const Site& s, const Args& a) {
         if (floats(s.in)) return infix(a, "/");
         const std::string one = "(" + compute_name(s.in, s.width) + ")1", zero = "(" + compute_name(s.in, s.width) + ")0";
         const std::string safe = choose_by(s.in, s.width, a[1], one, a[1] + " == " + zero);
         return wrapped(s.dtype, s.width, choose_by(s.in, s.width, "tn_quotient(" + a[0] + ", " + safe + ")", zero, a[1] + " == " + zero));
       }},
      // fmod: the dividend's sign. mod: the divisor's.
      {"fmod", [](const Site& s, const Args& a) {
         if (floats(s.in)) return call("fmod", a);
         const std::string one = "(" + compute_name(s.in, s.width) + ")1", zero = "(" + compute_name(s.in, s.width) + ")0";
         return a[0] + " - " + choose_by(s.in, s.width, a[1], one, a[1] + " == " + zero) + " * tn_quotient(" + a[0] + ", " + choose_by(s.in, s.width, a[1], one, a[1] + " == " + zero) + ")";
       }},
      {"neg", [](const Site& s, const Args& a) { return wrapped(s.dtype, s.width, "-" + a[0]); }},
      {"abs", [](const Site& s, const Args& a) {
         if (floats(s.in)) return call("fabs", a);
         return is_signed_integer(s.dtype) ? wrapped(s.dtype, s.width, "convert_" + compute_name(s.out, s.width) + "(abs(" + a[0] + "))") : a[0];
       }},
      {"min", [](const Site& s, const Args& a) { return extreme(s, a, "<"); }},
      {"max", [](const Site& s, const Args& a) { return extreme(s, a, ">"); }},
      {"fma", [](const Site&, const Args& a) { return call("fma", a); }},
      {"sqrt", [](const Site&, const Args& a) { return call("sqrt", a); }},
      {"rsqrt", [](const Site&, const Args& a) { return "1 / sqrt(" + a[0] + ")"; }},
      {"floor", [](const Site&, const Args& a) { return call("floor", a); }},
      {"ceil", [](const Site&, const Args& a) { return call("ceil", a); }},
      {"rint", [](const Site&, const Args& a) { return call("rint", a); }},
      {"trunc", [](const Site&, const Args& a) { return call("trunc", a); }},
      {"exp", [](const Site& s, const Args& a) { return math("exp", s, a); }},
      {"log", [](const Site& s, const Args& a) { return math("log", s, a); }},
      {"log1p", [](const Site&, const Args& a) { return call("log1p", a); }},
      {"expm1", [](const Site&, const Args& a) { return call("expm1", a); }},
      {"tanh", [](const Site& s, const Args& a) { return math("tanh", s, a); }},
      {"erf", [](const Site& s, const Args& a) { return math("erf", s, a); }},
      {"sigmoid", [](const Site& s, const Args& a) { return s.out == Compute::f32 ? math("sigmoid", s, a) : "1 / (1 + exp(-" + a[0] + "))"; }},
      // Doubles one by one: a vector's elements come out scaled by a neighbour's exponent in some libraries.
      {"pow", [](const Site& s, const Args& a) {
         if (s.out != Compute::f64 || s.width == 1) return call("pow", a);
         std::string parts;
         for (int i = 0; i < s.width; ++i) {
           const std::string element = std::string(".s") + "0123456789abcdef"[i];
           parts += (i ? ", " : "") + call("pow", {a[0] + element, a[1] + element});
         }
         return "(" + compute_name(s.out, s.width) + ")(" + parts + ")";
       }},
      {"sin", [](const Site&, const Args& a) { return call("sin", a); }},
      {"cos", [](const Site&, const Args& a) { return call("cos", a); }},
      {"tan", [](const Site&, const Args& a) { return call("tan", a); }},
      {"asin", [](const Site&, const Args& a) { return call("asin", a); }},
      {"acos", [](const Site&, const Args& a) { return call("acos", a); }},
      {"atan", [](const Site&, const Args& a) { return call("atan", a); }},
      {"sinh", [](const Site&, const Args& a) { return call("sinh", a); }},
      {"cosh", [](const Site&, const Args& a) { return call("cosh", a); }},
      {"asinh", [](const Site&, const Args& a) { return call("asinh", a); }},
      {"acosh", [](const Site&, const Args& a) { return call("acosh", a); }},
      {"atanh", [](const Site&, const Args& a) { return call("atanh", a); }},
      {"lt", [](const Site& s, const Args& a) { return truth(s, infix(a, "<")); }},
      {"le", [](const Site& s, const Args& a) { return truth(s, infix(a, "<=")); }},
      {"gt", [](const Site& s, const Args& a) { return truth(s, infix(a, ">")); }},
      {"ge", [](const Site& s, const Args& a) { return truth(s, infix(a, ">=")); }},
      {"eq", [](const Site& s, const Args& a) { return truth(s, infix(a, "==")); }},
      {"ne", [](const Site& s, const Args& a) { return truth(s, infix(a, "!=")); }},
      // By bits: some compilers take vectors of x != x apart.
      {"isnan", [](const Site& s, const Args& a) {
         const std::string w = suffix(s.width);
         return truth(s, s.in == Compute::f64 ? "(as_long" + w + "(" + a[0] + ") & 0x7fffffffffffffffL) > 0x7ff0000000000000L" : "(as_int" + w + "(" + a[0] + ") & 0x7fffffff) > 0x7f800000");
       }},
      {"isposinf", [](const Site& s, const Args& a) { return truth(s, a[0] + " == (" + compute_name(s.in, s.width) + ")INFINITY"); }},
      {"isneginf", [](const Site& s, const Args& a) { return truth(s, a[0] + " == (" + compute_name(s.in, s.width) + ")-INFINITY"); }},
      {"and", [](const Site&, const Args& a) { return infix(a, "&"); }},
      {"or", [](const Site&, const Args& a) { return infix(a, "|"); }},
      {"xor", [](const Site&, const Args& a) { return infix(a, "^"); }},
      {"not", [](const Site&, const Args& a) { return a[0] + " ^ 1"; }},
      {"bitnot", [](const Site& s, const Args& a) { return wrapped(s.dtype, s.width, "~" + a[0]); }},
      // A shift by the type's width or more, or by less than nothing, leaves the sign alone.
      {"shl", [](const Site& s, const Args& a) {
         const std::string t = compute_name(s.in, s.width);
         return wrapped(s.dtype, s.width, choose_by(s.in, s.width, "(" + t + ")0", a[0] + " << (" + a[1] + " & (" + t + ")" + (wide(s.in) ? "63" : "31") + ")", shifts(s, a[1])));
       }},
      {"shr", [](const Site& s, const Args& a) {
         const std::string t = compute_name(s.in, s.width), most = wide(s.in) ? "63" : "31";
         const std::string rest = is_signed_integer(s.dtype) ? a[0] + " >> (" + t + ")" + most : "(" + t + ")0";
         return choose_by(s.in, s.width, rest, a[0] + " >> (" + a[1] + " & (" + t + ")" + most + ")", shifts(s, a[1]));
       }},
      // where(condition, a, b)
      {"where", [](const Site& s, const Args& a) { return choose(s.out, s.width, a[2], a[1], a[0]); }},
      {"cast", [](const Site& s, const Args& a) { return cast(s, a[0]); }},
  };
  return table;
}

std::string literal(const Expression::Node& n, int width) {
  const Compute c = compute_of(n.dtype);
  std::string value;
  char buffer[64];
  if (floats(c)) {
    if (std::isnan(n.real)) value = "NAN";
    else if (std::isinf(n.real)) value = n.real > 0 ? "INFINITY" : "-INFINITY";
    else {
      std::snprintf(buffer, sizeof buffer, c == Compute::f32 ? "%.9ef" : "%.17e", n.real);
      value = buffer;
    }
  } else {
    // The lowest long has no literal of its own.
    if (n.integer == INT64_MIN) value = "(-9223372036854775807L - 1)";
    else value = std::to_string(n.integer) + (wide(c) ? "L" : "");
  }
  return "(" + compute_name(c, width) + ")(" + value + ")";
}

}  // namespace

bool knows_function(const std::string& fn) { return writers().count(fn) != 0; }

ExpressionText write_expression(const Expression& e, int width, const std::string& prefix, const std::function<std::string(const Expression::Node&)>& load) {
  ExpressionText out;
  for (std::size_t i = 0; i < e.nodes.size(); ++i) {
    const Expression::Node& n = e.nodes[i];
    const std::string name = prefix + std::to_string(i);
    std::string value;
    if (n.kind == Expression::Kind::load) value = load(n);
    else if (n.kind == Expression::Kind::literal) value = literal(n, width);
    else {
      Args args;
      for (std::uint32_t a : n.args) args.push_back(out.names[a]);
      const std::int32_t from = e.nodes[n.args.back()].dtype;
      value = writers().at(n.fn)(Site{width, compute_of(from), compute_of(n.dtype), n.dtype, from}, args);
    }
    out.statements += "const " + compute_name(compute_of(n.dtype), width) + " " + name + " = " + value + "; ";
    out.names.push_back(name);
  }
  return out;
}

std::vector<std::string> expression_helpers(const Expression& e, const std::vector<int>& widths) {
  std::vector<std::string> out;
  std::set<std::string> seen;
  const auto add = [&](std::string text) {
    if (seen.insert(text).second) out.push_back(std::move(text));
  };
  for (const Expression::Node& n : e.nodes) {
    if (n.kind != Expression::Kind::call) continue;
    const Compute from = n.args.empty() ? Compute::f32 : compute_of(e.nodes[n.args[0]].dtype);
    for (int width : widths) {
      const std::string w = suffix(width);
      if (compute_of(n.dtype) == Compute::f32 && has_math(n.fn)) add(math_helper(n.fn, width));
      if (n.fn == "cast" && n.dtype == TENON_DTYPE_FLOAT16)
        add("inline float" + w + " tn_round_half" + w + "(float" + w + " x) { ushort h[" + std::to_string(width) + "]; vstore_half" + w + "_rte(x, 0, (half*)h); return vload_half" + w + "(0, (const half*)h); }");
      if (n.fn == "cast" && floats(from) && !floats(compute_of(n.dtype)) && n.dtype != TENON_DTYPE_BOOL) {
        // What the function calls stands alone, so that it is there once.
        const Compute through = integer_through(n.dtype);
        if (through == Compute::u64) add(to_integer_helper(from, Compute::i64, width));
        add(to_integer_helper(from, through, width));
      }
    }
    // Truncating division; the most negative number by -1 wraps instead of trapping.
    if ((n.fn == "div" || n.fn == "fmod") && !floats(from)) {
      for (int width : widths) {
        const std::string t = compute_name(from, width);
        const bool is_signed = from == Compute::i32 || from == Compute::i64;
        std::string body = "return a / b;";
        if (is_signed)
          body = width == 1 ? "return b == -1 ? 0 - a : a / b;" : "const " + t + " m = b == (" + t + ")-1; return select(a / select(b, (" + t + ")1, m), (" + t + ")0 - a, m);";
        add(std::string("inline ") + t + " __attribute__((overloadable)) tn_quotient(" + t + " a, " + t + " b) { " + body + " }");
      }
    }
  }
  return out;
}

}  // namespace tenon::opencl
