// Attention for CPU-like devices: blocks of rows in registers, both products as small matrix products on private memory.
#include <tenon/types.h>

#include "plugins/opencl/codegen/attention_text.h"

namespace tenon::opencl::attention_text {
namespace {

std::string counting(int width) {
  std::string out = "(int" + number(width) + ")(";
  for (int i = 0; i < width; ++i) out += (i ? ", " : "") + number(i);
  return out + ")";
}
std::string wide_mask(const AttentionForm& form, const std::string& m) { return compute(form) == Compute::f64 ? "convert_long" + number(form.width) + "(" + m + ")" : m; }
std::string sum_of(const AttentionForm& form, std::string v, int width, const char* op) {
  // Halves until one is left; fmax would take care of NaN lane by lane.
  std::string p;
  for (int half = width / 2; half >= 1; half /= 2) {
    const std::string next = v + "h", lo = v + ".lo", hi = v + ".hi";
    p += "const " + type(form, half) + " " + next + " = " + (op[0] == '+' ? lo + " + " + hi : "(" + lo + " > " + hi + " ? " + lo + " : " + hi + ")") + "; ";
    v = next;
  }
  return p;
}
std::string sum_name(std::string v, int width) {
  for (int half = width / 2; half >= 1; half /= 2) v += "h";
  return v;
}

// Rows of queries into private memory, scaled.
std::string read_queries(const AttentionForm& f) {
  const std::string d = number(f.depth), w = number(f.width);
  std::string p = "  " + type(f, 1) + " qs[" + number(f.rows * f.depth) + "], o[" + number(f.rows * f.value_depth) + "], s[" + number(f.rows * f.tile) + "];\n  " + type(f, 1) + " top[" +
                  number(f.rows) + "], sum[" + number(f.rows) + "], turn[" + number(f.rows) + "];\n  int lo[" + number(f.rows) + "], hi[" + number(f.rows) +
                  "]; long m_at[" + number(f.rows) + "];\n  const int first = (int)get_global_id(0) * " + number(f.rows) + ";\n  int begin = keys, end = 0;\n";
  p += "  for (int r = 0; r < " + number(f.rows) + "; ++r) {\n    const int n = min(first + r, total - 1); " + row(f, "n", "r");
  p += "    lo[r] = lor; hi[r] = hir; begin = min(begin, lor); end = max(end, hir);\n";
  p += "    m_at[r] = " + std::string(f.mask ? "(long)hr * mask_h + (long)ir * mask_r" : "0") + ";\n";
  p += "    __global const " + storage_name(f.q) + "* from = q + (long)hr * q_h + (long)ir * q_r;\n";
  p += "    int e = 0; for (; e + " + w + " <= " + d + "; e += " + w + ") vstore" + w + "((" + load_text(f.q, f.width, "from", "e") + ") * scale, 0, qs + r * " + d + " + e);\n";
  p += "    for (; e < " + d + "; ++e) qs[r * " + d + " + e] = (" + load_text(f.q, 1, "from", "e") + ") * scale;\n";
  p += "    for (e = 0; e < " + number(f.value_depth) + "; ++e) o[r * " + number(f.value_depth) + " + e] = 0;\n";
  p += std::string("    top[r] = ") + (f.sinks ? "sinks[hr]; sum[r] = 1" : "-INFINITY; sum[r] = 0") + ";\n  }\n";
  return p;
}

// s = queries * keys of a tile, from panels.
std::string scores_of_panels(const AttentionForm& f) {
  const std::string w = number(f.width), t = type(f, f.width), c = number(f.columns());
  std::string p = "    for (int at = 0; at < here; at += " + c + ") {\n      __global const " + type(f, 1) + "* panel = k + (long)((t0 + at) / " + c + ") * " + number(std::int64_t{f.depth} * f.columns()) + ";\n      ";
  for (int r = 0; r < f.rows; ++r) p += t + " a" + number(r) + " = 0, c" + number(r) + " = 0; ";
  p += "\n      for (int e = 0; e < " + number(f.depth) + "; ++e) { const " + t + " x0 = vload" + w + "(0, panel + e * " + c + "), x1 = vload" + w + "(0, panel + e * " + c + " + " + w + "); ";
  for (int r = 0; r < f.rows; ++r) {
    const std::string n = number(r);
    p += "{ const " + t + " g = (" + t + ")qs[" + number(r * f.depth) + " + e]; a" + n + " = fma(g, x0, a" + n + "); c" + n + " = fma(g, x1, c" + n + "); } ";
  }
  p += "}\n      ";
  for (int r = 0; r < f.rows; ++r) p += "vstore" + w + "(a" + number(r) + ", 0, s + " + number(r * f.tile) + " + at); vstore" + w + "(c" + number(r) + ", 0, s + " + number(r * f.tile + f.width) + " + at); ";
  return p + "\n    }\n";
}

// The same from rows of keys: sums over the head's elements.
std::string scores_of_rows(const AttentionForm& f) {
  const std::string w = number(f.width), t = type(f, f.width);
  std::string p = "    for (int j = 0; j < here; ++j) {\n      __global const " + storage_name(f.k) + "* key = k + (long)(t0 + j) * k_r;\n      ";
  for (int r = 0; r < f.rows; ++r) p += t + " a" + number(r) + " = 0; ";
  p += "\n      int e = 0; for (; e + " + w + " <= " + number(f.depth) + "; e += " + w + ") { const " + t + " x = " + load_text(f.k, f.width, "key", "e") + "; ";
  for (int r = 0; r < f.rows; ++r) p += "a" + number(r) + " = fma(vload" + w + "(0, qs + " + number(r * f.depth) + " + e), x, a" + number(r) + "); ";
  p += "}\n";
  for (int r = 0; r < f.rows; ++r) p += "      " + sum_of(f, "a" + number(r), f.width, "+") + type(f, 1) + " z" + number(r) + " = " + sum_name("a" + number(r), f.width) + ";\n";
  p += "      for (; e < " + number(f.depth) + "; ++e) { const " + type(f, 1) + " x = " + load_text(f.k, 1, "key", "e") + "; ";
  for (int r = 0; r < f.rows; ++r) p += "z" + number(r) + " = fma(qs[" + number(r * f.depth) + " + e], x, z" + number(r) + "); ";
  p += "}\n      ";
  for (int r = 0; r < f.rows; ++r) p += "s[" + number(r * f.tile) + " + j] = z" + number(r) + "; ";
  return p + "\n    }\n    for (int r = 0; r < " + number(f.rows) + "; ++r) for (int j = here; j < " + number(f.tile) + "; ++j) s[r * " + number(f.tile) + " + j] = 0;\n";
}

// Scores to exponentials of what they are below the row's greatest; what stood before is turned by `turn`.
std::string soften(const AttentionForm& f) {
  const std::string w = number(f.width), t = type(f, f.width), one = type(f, 1), tile = number(f.tile);
  std::string p = "    for (int r = 0; r < " + number(f.rows) + "; ++r) {\n      " + one + "* x = s + r * " + tile + "; " + t + " g = -INFINITY;\n";
  p += "      for (int at = 0; at < " + tile + "; at += " + w + ") {\n        " + t + " z = vload" + w + "(0, x + at);\n";
  if (f.capped) p += "        z = cap * " + tanh_of(f, f.width, "z / cap") + ";\n";
  const std::string seen = "(place_of >= lo[r]) & (place_of < hi[r])";
  p += "        const int" + w + " place_of = " + counting(f.width) + " + (t0 + at);\n        const int" + w + " seen = " + seen + ";\n";
  if (f.mask) {
    const bool truth = f.mask == TENON_DTYPE_BOOL;
    const std::string mt = truth ? "int" + w : t;
    p += "        " + mt + " m; const int left_over = mask_keys - t0 - at;\n        if (left_over >= " + w + ") m = " + load_text(f.mask, f.width, "mask", "m_at[r] + t0 + at") + ";\n";
    p += "        else { " + std::string(truth ? "int" : one) + " edge[" + w + "]; for (int n = 0; n < " + w + "; ++n) edge[n] = n < left_over ? " + load_text(f.mask, 1, "mask", "m_at[r] + t0 + at + n") +
         " : 0; m = vload" + w + "(0, edge); }\n";
    p += truth ? "        z = select((" + t + ")-INFINITY, z, " + wide_mask(f, "m != 0") + ");\n" : "        z += m;\n";
  }
  p += "        z = select((" + t + ")-INFINITY, z, " + wide_mask(f, "seen") + "); vstore" + w + "(z, 0, x + at); g = g > z ? g : z;\n      }\n";
  p += "      " + sum_of(f, "g", f.width, "max") + "const " + one + " most = fmax(top[r], " + sum_name("g", f.width) + "), base = most == -INFINITY ? 0 : most;\n";
  p += "      turn[r] = top[r] == -INFINITY ? 0 : " + exp_of(f, 1, "top[r] - base") + "; top[r] = most;\n      " + t + " u = 0;\n";
  p += "      for (int at = 0; at < " + tile + "; at += " + w + ") {\n        const " + t + " z = vload" + w + "(0, x + at); " + t + " e = " + exp_of(f, f.width, "z - base") + ";\n";
  p += "        e = select(e, (" + t + ")0, " + (compute(f) == Compute::f64 ? "z == (" + t + ")-INFINITY" : "z == -INFINITY") + "); vstore" + w + "(e, 0, x + at); u += e;\n      }\n";
  p += "      " + sum_of(f, "u", f.width, "+") + "sum[r] = sum[r] * turn[r] + " + sum_name("u", f.width) + ";\n    }\n";
  return p;
}

// o = o * turn + exponentials * values, for columns [e, e + vectors * width).
std::string values(const AttentionForm& f, int width, int vectors, const std::string& e) {
  const std::string t = type(f, width), w = width == 1 ? "" : number(width), dv = number(f.value_depth);
  const auto at = [&](int r, int v) { return "o + " + number(std::int64_t{r} * f.value_depth + std::int64_t{v} * width) + " + " + e; };
  std::string p = "{ ";
  for (int r = 0; r < f.rows; ++r)
    for (int v = 0; v < vectors; ++v)
      p += t + " a" + number(r) + "_" + number(v) + " = " + (width == 1 ? "*(" + at(r, v) + ")" : "vload" + w + "(0, " + at(r, v) + ")") + " * turn[" + number(r) + "]; ";
  p += "\n      for (int j = 0; j < here; ++j) { __global const " + storage_name(f.v) + "* value = v + (long)(t0 + j) * v_r + " + e + "; ";
  for (int v = 0; v < vectors; ++v) p += "const " + t + " x" + number(v) + " = " + load_text(f.v, width, "value", number(v * width)) + "; ";
  for (int r = 0; r < f.rows; ++r) {
    p += "{ const " + t + " g = (" + t + ")s[" + number(r * f.tile) + " + j]; ";
    for (int v = 0; v < vectors; ++v) p += "a" + number(r) + "_" + number(v) + " = fma(g, x" + number(v) + ", a" + number(r) + "_" + number(v) + "); ";
    p += "} ";
  }
  p += "}\n      ";
  for (int r = 0; r < f.rows; ++r)
    for (int v = 0; v < vectors; ++v) {
      const std::string a = "a" + number(r) + "_" + number(v);
      p += width == 1 ? "*(" + at(r, v) + ") = " + a + "; " : "vstore" + w + "(" + a + ", 0, " + at(r, v) + "); ";
    }
  return p + "}\n";
}

}  // namespace

std::string cpu_body(const AttentionForm& f) {
  const int block = 2 * f.width, whole = f.value_depth / block * block;
  const std::string tile = number(f.tile);
  std::string p = read_queries(f);
  p += "  for (int t0 = begin / " + tile + " * " + tile + "; t0 < end; t0 += " + tile + ") {\n    const int here = min(" + tile + ", end - t0);\n";
  if (f.panels) p += "    for (int n = 0; n < " + number(f.rows * f.tile) + "; ++n) s[n] = 0;\n";
  p += f.panels ? scores_of_panels(f) : scores_of_rows(f);
  p += soften(f);
  if (whole > 0) p += "    for (int e = 0; e < " + number(whole) + "; e += " + number(block) + ") " + values(f, f.width, 2, "e");
  int at = whole;
  for (int width = f.width; width >= 1; width /= 2) {
    if (f.value_depth - at < width) continue;
    if (width == 1 && f.value_depth - at > 1) continue;
    p += "    " + values(f, width, 1, number(at));
    at += width;
  }
  p += "  }\n";
  const std::string w = number(f.width), dv = number(f.value_depth);
  p += "  for (int r = 0; r < " + number(f.rows) + "; ++r) {\n    const int n = first + r; if (n >= total) break;\n    const int h = kv * group_heads + n / queries, i = n % queries;\n";
  p += "    __global " + storage_name(f.y) + "* to = y + (long)h * y_h + (long)i * y_r;\n    const " + type(f, 1) + " part = top[r] == -INFINITY || sum[r] == 0 ? 0 : 1 / sum[r];\n    int e = 0;\n";
  p += "    for (; e + " + w + " <= " + dv + "; e += " + w + ") { " + store_text(f.y, f.width, "to", "e", "(vload" + w + "(0, o + r * " + dv + " + e) * part)") + " }\n";
  p += "    for (; e < " + dv + "; ++e) { " + store_text(f.y, 1, "to", "e", "(o[r * " + dv + " + e] * part)") + " }\n  }\n";
  return p;
}

}  // namespace tenon::opencl::attention_text
