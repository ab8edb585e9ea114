#include "plugins/opencl/codegen/recurrent.h"

#include <cstdio>
#include <functional>
#include <map>

#include <tenon/types.h>

#include "plugins/opencl/codegen/math_text.h"

namespace tenon::opencl {
namespace {

std::string number(std::int64_t n) { return std::to_string(n); }

struct Known {
  float alpha, beta;
  bool has_alpha, has_beta;
};
const std::map<std::string, Known>& activations() {
  static const std::map<std::string, Known> table = {
      {"relu", {0, 0, false, false}},       {"tanh", {0, 0, false, false}},         {"sigmoid", {0, 0, false, false}},     {"affine", {1, 0, true, true}},
      {"leakyrelu", {0.01f, 0, true, false}}, {"thresholdedrelu", {1, 0, true, false}}, {"scaledtanh", {1, 1, true, true}}, {"hardsigmoid", {0.2f, 0.5f, true, true}},
      {"elu", {1, 0, true, false}},         {"softsign", {0, 0, false, false}},     {"softplus", {0, 0, false, false}}};
  return table;
}

class Writer {
 public:
  explicit Writer(const RecurrentForm& form) : f_(form), compute_(compute_of(form.compute)) {}

  KernelText write() {
    KernelText out;
    if (compute_ == Compute::f32)
      for (const char* name : {"exp", "log", "tanh", "sigmoid"})
        for (int width : {1, f_.width}) out.helpers.push_back(math_helper(name, width));
    out.body = "__kernel __attribute__((reqd_work_group_size(" + number(f_.group) + ", 1, 1))) void KERNEL_NAME(" + parameters() + ") {\n" + body() + "}\n";
    return out;
  }

 private:
  std::string type(int width = 1) const { return compute_name(compute_, width); }
  template <class Fn>
  void buffers(Fn&& fn) const {
    const std::string t = type(), raw = storage_name(f_.dtype);
    fn("p", t, false), fn("r", t, false), fn("h", t, true), fn("c", t, true), fn("q", t, true), fn("s", t, true);
    if (f_.bias) fn("bias", raw, false);
    if (f_.peepholes) fn("peep", raw, false);
    if (f_.lengths) fn("lengths", "int", false);
    if (f_.h0) fn("h0", raw, false);
    if (f_.c0) fn("c0", raw, false);
    if (f_.y) fn("y", raw, true);
    if (f_.y_h) fn("y_h", raw, true);
    if (f_.y_c) fn("y_c", raw, true);
  }
  std::string parameters() const {
    std::string p;
    buffers([&](const std::string& name, const std::string&, bool output) { p += std::string("__global ") + (output ? "" : "const ") + "char* " + name + "_base, ulong " + name + "_at, "; });
    return p + "int steps, int batch, int hidden, int p_t, int p_b, int p_d, int y_t, int y_b, int y_d, int state_b, int state_d";
  }

  bool shared() const { return f_.group > 1; }
  std::string meet() const { return shared() ? "    barrier(CLK_GLOBAL_MEM_FENCE);\n" : ""; }

  // for (i over hidden units) at the vector's width, then one by one; body(width).
  std::string units(const std::function<std::string(int)>& body) const {
    const std::string w = number(f_.width), g = number(f_.group);
    if (shared()) return "    for (int i = item; i < hidden; i += " + g + ") { " + body(1) + "}\n";
    return "    int i = 0; for (; i + " + w + " <= hidden; i += " + w + ") { " + body(f_.width) + "}\n    for (; i < hidden; ++i) { " + body(1) + "}\n";
  }
  std::string each_row(const std::string& text) const { return "    for (int n = 0; n < " + number(f_.rows) + "; ++n) { const int b = first + n; if (b >= batch) break;\n" + text + "    }\n"; }

  std::string get(const std::string& pointer, const std::string& at, int width) const { return width == 1 ? pointer + "[" + at + "]" : "vload" + number(width) + "(0, " + pointer + " + " + at + ")"; }
  std::string put(const std::string& pointer, const std::string& at, const std::string& value, int width) const {
    return width == 1 ? pointer + "[" + at + "] = " + value + "; " : "vstore" + number(width) + "(" + value + ", 0, " + pointer + " + " + at + "); ";
  }
  std::string raw(const std::string& pointer, const std::string& at, int width) const { return load_text(f_.dtype, width, pointer, at); }

  // s = vector * R for columns [from, to), panel by panel.
  std::string product(const std::string& vector, const std::string& from, const std::string& to) const {
    const std::string c = number(f_.columns()), w = number(f_.width), t = type(f_.width);
    if (shared())
      return "    for (int n = 0; n < " + number(f_.rows) + "; ++n) { const int b = min(first + n, batch - 1);\n    for (int j = " + from + " + item; j < " + to + "; j += " + number(f_.group) + ") { __global const " + type() +
             "* column = r + (long)(j / " + c + ") * hidden * " + c + " + j % " + c + "; " + type() + " a = 0;\n      for (int k = 0; k < hidden; ++k) a = fma(" + vector + "[b * hidden + k], column[(long)k * " + c +
             "], a);\n      s[b * wide + j] = a; }\n    }\n";
    std::string p = "    for (int panel = (" + from + ") / " + c + "; panel * " + c + " < " + to + "; ++panel) {\n      __global const " + type() + "* column = r + (long)panel * hidden * " + c + ";\n      ";
    for (int n = 0; n < f_.rows; ++n) {
      const std::string i = number(n);
      p += t + " a" + i + " = 0, z" + i + " = 0; __global const " + type() + "* v" + i + " = " + vector + " + (long)min(first + " + i + ", batch - 1) * hidden; ";
    }
    p += "\n      for (int k = 0; k < hidden; ++k) { const " + t + " x0 = vload" + w + "(0, column + k * " + c + "), x1 = vload" + w + "(0, column + k * " + c + " + " + w + "); ";
    for (int n = 0; n < f_.rows; ++n) {
      const std::string i = number(n);
      p += "{ const " + t + " g = (" + t + ")v" + i + "[k]; a" + i + " = fma(g, x0, a" + i + "); z" + i + " = fma(g, x1, z" + i + "); } ";
    }
    p += "}\n      const int at = panel * " + c + ", left = wide - at;\n      ";
    for (int n = 0; n < f_.rows; ++n) {
      const std::string i = number(n);
      p += "{ __global " + type() + "* to = s + (long)min(first + " + i + ", batch - 1) * wide + at; if (left >= " + c + ") { vstore" + w + "(a" + i + ", 0, to); vstore" + w + "(z" + i + ", 0, to + " + w + "); } else { " +
           type() + " edge[" + c + "]; vstore" + w + "(a" + i + ", 0, edge); vstore" + w + "(z" + i + ", 0, edge + " + w + "); for (int e = 0; e < left; ++e) to[e] = edge[e]; } } ";
    }
    return p + "\n    }\n";
  }

  std::string constant(float v) const {
    char buffer[48];
    std::snprintf(buffer, sizeof buffer, compute_ == Compute::f32 ? "%.9ef" : "%.17e", static_cast<double>(v));
    return buffer;
  }
  std::string call(const char* fn, int width, const std::string& x) const { return (compute_ == Compute::f32 ? math_call(fn, width) : fn) + "(" + x + ")"; }
  std::string exp(int width, const std::string& x) const { return call("exp", width, x); }

  // x: the name of a variable.
  std::string act(const Activation& a, int width, const std::string& x) const {
    const std::string t = "(" + type(width) + ")", zero = t + "0", al = t + "(" + constant(a.alpha) + ")", be = t + "(" + constant(a.beta) + ")";
    if (a.name == "tanh") return call("tanh", width, x);
    if (a.name == "sigmoid") return compute_ == Compute::f32 ? call("sigmoid", width, x) : "1 / (1 + exp(-" + x + "))";
    if (a.name == "relu") return "fmax(" + x + ", " + zero + ")";
    if (a.name == "affine") return al + " * " + x + " + " + be;
    if (a.name == "leakyrelu") return "fmax(" + x + ", " + zero + ") + " + al + " * fmin(" + x + ", " + zero + ")";
    if (a.name == "thresholdedrelu") return width == 1 ? "(" + x + " > " + al + " ? " + x + " : " + zero + ")" : "select(" + zero + ", " + x + ", " + x + " > " + al + ")";
    if (a.name == "scaledtanh") {
      const std::string inner = be + " * " + x;
      return al + " * " + call("tanh", width, inner);
    }
    if (a.name == "hardsigmoid") return "fmin(fmax(" + al + " * " + x + " + " + be + ", " + zero + "), " + t + "1)";
    if (a.name == "elu") return "fmax(" + x + ", " + zero + ") + " + al + " * (" + exp(width, "fmin(" + x + ", " + zero + ")") + " - 1)";
    if (a.name == "softsign") return x + " / (1 + fabs(" + x + "))";
    // softplus
    return "fmax(" + x + ", " + zero + ") + " + call("log", width, "1 + " + exp(width, "-fabs(" + x + ")"));
  }
  // An activation of a gate: what goes in is clipped. Directions may differ.
  std::string gate(const std::string& name, int which, int width, const std::string& value) const {
    std::string p = type(width) + " " + name + " = " + value + "; ";
    if (f_.clip > 0) p += name + " = clamp(" + name + ", (" + type(width) + ")(" + constant(-f_.clip) + "), (" + type(width) + ")(" + constant(f_.clip) + ")); ";
    return p + activated(name, which, width);
  }
  std::string activated(const std::string& name, int which, int width) const {
    const Activation &a = f_.activations[0][which], &b = f_.activations[1][which];
    const bool same = f_.directions == 1 || (a.name == b.name && a.alpha == b.alpha && a.beta == b.beta);
    if (same) return name + " = " + act(a, width, name) + "; ";
    return "if (d == 0) { " + name + " = " + act(a, width, name) + "; } else { " + name + " = " + act(b, width, name) + "; } ";
  }
  std::string x_part(int g, int width) const {
    const std::string at = number(g) + " * hidden + i";
    return get("pr", at, width) + (f_.bias ? " + " + raw("bias", at, width) : "");
  }
  std::string h_part(int g, int width) const {
    const std::string at = number(g) + " * hidden + i";
    return get("sr", at, width) + (f_.bias ? " + " + raw("bias", "wide + " + at, width) : "");
  }
  std::string sum(int g, int width) const { return x_part(g, width) + " + " + h_part(g, width); }

  std::string cell(int width) const {
    const std::string t = type(width);
    std::string p;
    const auto peep = [&](int which, const std::string& c) { return f_.peepholes ? " + " + raw("peep", number(which) + " * hidden + i", width) + " * " + c : std::string(); };
    if (f_.kind == RecurrentKind::lstm) {
      p += t + " state = " + get("cr", "i", width) + "; " + gate("in", 0, width, sum(0, width) + peep(0, "state"));
      if (f_.input_forget) p += "const " + t + " forget = 1 - in; ";
      else p += gate("forget", 0, width, sum(2, width) + peep(2, "state"));
      p += gate("fresh", 1, width, sum(3, width)) + "state = forget * state + in * fresh; " + put("cr", "i", "state", width);
      p += gate("out", 0, width, sum(1, width) + peep(1, "state")) + activated("state", 2, width) + "const " + t + " next = out * state; ";
    } else if (f_.kind == RecurrentKind::rnn) {
      p += gate("next", 0, width, sum(0, width));
    } else if (f_.linear_before_reset) {
      p += gate("update", 0, width, sum(0, width)) + gate("reset", 0, width, sum(1, width)) + gate("fresh", 1, width, x_part(2, width) + " + reset * (" + h_part(2, width) + ")");
      p += "const " + t + " next = (1 - update) * fresh + update * " + get("hr", "i", width) + "; ";
    } else {
      p += "const " + t + " update = " + get("cr", "i", width) + "; " + gate("fresh", 1, width, sum(2, width)) + "const " + t + " next = (1 - update) * fresh + update * " + get("hr", "i", width) + "; ";
    }
    p += put("hr", "i", "next", width);
    if (f_.y) p += store_text(f_.dtype, width, "yr", "i", "next") + " ";
    return p;
  }

  std::string row_pointers() const {
    std::string p = "    const int length = " + std::string(f_.lengths ? "clamp(lengths[b], 0, steps)" : "steps") + "; const bool walks = step < length;\n    const int t = walks && back ? length - 1 - step : step;\n";
    p += "    __global const " + type() + "* pr = p + (long)t * p_t + (long)b * p_b; __global const " + type() + "* sr = s + (long)b * wide;\n";
    p += "    __global " + type() + " *hr = h + (long)b * hidden, *cr = c + (long)b * hidden, *qr = q + (long)b * hidden;\n";
    if (f_.y) p += "    __global " + storage_name(f_.dtype) + "* yr = y + (long)t * y_t + (long)b * y_b;\n";
    return p;
  }

  std::string body() const {
    const std::string wide = number(f_.gates()) + " * hidden";
    std::string p = "  const int d = (int)get_global_id(1), wide = " + wide + (shared() ? ", item = get_local_id(0), first = (int)get_group_id(0) * " : ", first = (int)get_global_id(0) * ") + number(f_.rows) + ";\n  const bool back = (" +
                    number(f_.backwards) + " >> d) & 1;\n";
    buffers([&](const std::string& name, const std::string& storage, bool output) {
      const std::string t = std::string("__global ") + (output ? "" : "const ") + storage + "*";
      p += "  " + t + " " + name + " = (" + t + ")(" + name + "_base + " + name + "_at)";
      if (name == "p") p += " + (long)d * p_d";
      if (name == "r") p += " + (long)d * ((wide + " + number(f_.columns() - 1) + ") / " + number(f_.columns()) + ") * " + number(f_.columns()) + " * hidden";
      if (name == "h" || name == "c" || name == "q") p += " + (long)d * batch * hidden";
      if (name == "s") p += " + (long)d * batch * wide";
      if (name == "bias") p += " + (long)d * 2 * wide";
      if (name == "peep") p += " + (long)d * 3 * hidden";
      if (name == "h0" || name == "c0" || name == "y_h" || name == "y_c") p += " + (long)d * state_d";
      if (name == "y") p += " + (long)d * y_d";
      p += ";\n";
    });
    p += each_row(units([&](int width) {
      const std::string zero = "(" + type(width) + ")0", at = "(long)b * state_b + i", to = "(long)b * hidden + i";
      return put("h", to, f_.h0 ? raw("h0", at, width) : zero, width) + put("c", to, f_.c0 ? raw("c0", at, width) : zero, width);
    }));
    p += meet();
    p += "  for (int step = 0; step < steps; ++step) {\n";
    const bool twice = f_.kind == RecurrentKind::gru && !f_.linear_before_reset;
    if (twice) {
      p += product("h", "0", "2 * hidden") + meet();
      p += each_row(row_pointers() + "    if (walks) {\n" + units([&](int width) {
                      return gate("update", 0, width, sum(0, width)) + gate("reset", 0, width, sum(1, width)) + put("cr", "i", "update", width) + put("qr", "i", "reset * " + get("hr", "i", width), width);
                    }) + "    }\n");
      p += meet() + product("q", "2 * hidden", "3 * hidden") + meet();
    } else {
      p += product("h", "0", "wide") + meet();
    }
    p += each_row(row_pointers() + "    if (walks) {\n" + units([&](int width) { return cell(width); }) + "    }\n" +
                  (f_.y ? "    else {\n" + units([&](int width) { return store_text(f_.dtype, width, "yr", "i", "(" + type(width) + ")0") + " "; }) + "    }\n" : ""));
    p += meet() + "  }\n";
    p += each_row(units([&](int width) {
      const std::string to = "(long)b * state_b + i", at = "(long)b * hidden + i";
      return (f_.y_h ? store_text(f_.dtype, width, "y_h", to, get("h", at, width)) + " " : "") + (f_.y_c ? store_text(f_.dtype, width, "y_c", to, get("c", at, width)) + " " : "");
    }));
    return p;
  }

  const RecurrentForm& f_;
  Compute compute_;
};

}  // namespace

bool know_activation(const std::string& name, Activation* out, bool* alpha, bool* beta) {
  std::string lower = name;
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  const auto at = activations().find(lower);
  if (at == activations().end()) return false;
  *out = {lower, at->second.alpha, at->second.beta};
  *alpha = at->second.has_alpha, *beta = at->second.has_beta;
  return true;
}

KernelText recurrent_kernel(const RecurrentForm& form) { return Writer(form).write(); }

}  // namespace tenon::opencl
