// Attention for devices with groups: an item is a row, a group shares each tile of keys and values in local memory.
#include <tenon/types.h>

#include "plugins/opencl/codegen/attention_text.h"

namespace tenon::opencl::attention_text {

std::string local_body(const AttentionForm& f) {
  const std::string one = type(f, 1), d = number(f.depth), dv = number(f.value_depth), tile = number(f.tile), g = number(f.group);
  std::string p = "  __local " + one + " kt[" + number(f.tile * f.depth) + "], vt[" + number(f.tile * f.value_depth) + "];\n  const int item = get_local_id(0), mine = (int)get_global_id(0), n = min(mine, total - 1);\n  ";
  p += row(f, "n", "");
  p += "  " + one + " qs[" + d + "], o[" + dv + "], x[" + tile + "];\n  __global const " + storage_name(f.q) + "* from = q + (long)h * q_h + (long)i * q_r;\n";
  p += "  for (int e = 0; e < " + d + "; ++e) qs[e] = (" + load_text(f.q, 1, "from", "e") + ") * scale;\n  for (int e = 0; e < " + dv + "; ++e) o[e] = 0;\n";
  p += "  " + one + (f.sinks ? " top = sinks[h], sum = 1;\n" : " top = -INFINITY, sum = 0;\n");
  p += "  for (int t0 = 0; t0 < known; t0 += " + tile + ") {\n    const int here = min(" + tile + ", known - t0);\n";
  p += "    for (int n = item; n < " + number(f.tile * f.depth) + "; n += " + g + ") { const int j = n / " + d + "; __global const " + storage_name(f.k) + "* key = k + (long)(t0 + j) * k_r; kt[n] = j < here ? " +
       load_text(f.k, 1, "key", "n % " + d) + " : 0; }\n";
  p += "    for (int n = item; n < " + number(f.tile * f.value_depth) + "; n += " + g + ") { const int j = n / " + dv + "; __global const " + storage_name(f.v) + "* value = v + (long)(t0 + j) * v_r; vt[n] = j < here ? " +
       load_text(f.v, 1, "value", "n % " + dv) + " : 0; }\n    barrier(CLK_LOCAL_MEM_FENCE);\n    " + one + " most = top;\n";
  p += "    for (int j = 0; j < " + tile + "; ++j) {\n      " + one + " z = 0; for (int e = 0; e < " + d + "; ++e) z = fma(qs[e], kt[j * " + d + " + e], z);\n";
  if (f.capped) p += "      z = cap * " + tanh_of(f, 1, "z / cap") + ";\n";
  p += "      const int at = t0 + j; const bool seen = at >= lo && at < hi && j < here;\n";
  if (f.mask) {
    p += "      if (seen) { const long m_at = (long)h * mask_h + (long)i * mask_r + at; ";
    p += f.mask == TENON_DTYPE_BOOL ? "if (!mask[m_at]) z = -INFINITY; }\n" : "z += " + load_text(f.mask, 1, "mask", "m_at") + "; }\n";
  }
  p += "      x[j] = seen ? z : -INFINITY; most = fmax(most, x[j]);\n    }\n";
  p += "    const " + one + " base = most == -INFINITY ? 0 : most, turn = top == -INFINITY ? 0 : " + exp_of(f, 1, "top - base") + "; top = most; sum *= turn;\n";
  p += "    for (int e = 0; e < " + dv + "; ++e) o[e] *= turn;\n";
  p += "    for (int j = 0; j < " + tile + "; ++j) { const " + one + " w = x[j] == -INFINITY ? 0 : " + exp_of(f, 1, "x[j] - base") + "; sum += w; for (int e = 0; e < " + dv + "; ++e) o[e] = fma(w, vt[j * " + dv +
       " + e], o[e]); }\n    barrier(CLK_LOCAL_MEM_FENCE);\n  }\n";
  p += "  if (mine < total) {\n    const " + one + " part = top == -INFINITY || sum == 0 ? 0 : 1 / sum;\n    __global " + storage_name(f.y) + "* to = y + (long)h * y_h + (long)i * y_r;\n    for (int e = 0; e < " + dv +
       "; ++e) { " + store_text(f.y, 1, "to", "e", "(o[e] * part)") + " }\n  }\n";
  return p;
}

}  // namespace tenon::opencl::attention_text
