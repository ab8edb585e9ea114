#include "plugins/opencl/codegen/attention.h"

#include <tenon/types.h>

#include "plugins/opencl/codegen/attention_text.h"
#include "plugins/opencl/codegen/math_text.h"

namespace tenon::opencl {
namespace attention_text {

std::string number(std::int64_t n) { return std::to_string(n); }
Compute compute(const AttentionForm& form) { return form.v == TENON_DTYPE_DOUBLE ? Compute::f64 : Compute::f32; }
std::string type(const AttentionForm& form, int width) { return compute_name(compute(form), width); }

namespace {
std::string math(const AttentionForm& form, const char* name, int width, const std::string& x) {
  return (compute(form) == Compute::f32 ? math_call(name, width) : name) + "(" + x + ")";
}
}  // namespace

std::string exp_of(const AttentionForm& form, int width, const std::string& x) { return math(form, "exp", width, x); }
std::string tanh_of(const AttentionForm& form, int width, const std::string& x) { return math(form, "tanh", width, x); }

std::vector<std::string> helpers(const AttentionForm& form) {
  std::vector<std::string> out;
  if (compute(form) == Compute::f64) return out;
  for (int width : {1, form.width}) {
    if (form.cpu || width == 1) out.push_back(math_helper("exp", width));
    if (form.capped && (form.cpu || width == 1)) out.push_back(math_helper("tanh", width));
  }
  return out;
}

std::string parameters(const AttentionForm& form) {
  std::string p = "__global char* y_base, ulong y_at";
  const auto buffer = [&](const char* name, bool there = true) {
    if (there) p += std::string(", __global const char* ") + name + "_base, ulong " + name + "_at";
  };
  buffer("q"), buffer("k"), buffer("v"), buffer("mask", form.mask != 0), buffer("lengths", form.lengths), buffer("firsts", form.firsts), buffer("sinks", form.sinks);
  p += ", int kv_heads, int group_heads, int queries, int keys";
  for (const char* name : {"y", "q", "k", "v", "mask"}) {
    if (name[0] == 'm' && form.mask == 0) continue;
    for (const char* axis : {"_b", "_h", "_r"}) p += std::string(", int ") + name + axis;
  }
  return p + ", int mask_keys, int past, int left, int right, " + type(form, 1) + " scale, " + type(form, 1) + " cap";
}

std::string pointers(const AttentionForm& form) {
  std::string p = "  const int b = (int)get_global_id(1) / kv_heads, kv = (int)get_global_id(1) % kv_heads;\n";
  const auto pointer = [&](const std::string& name, const std::string& storage, const std::string& offset, bool output = false) {
    const std::string t = std::string("__global ") + (output ? "" : "const ") + storage + "*";
    p += "  " + t + " " + name + " = (" + t + ")(" + name + "_base + " + name + "_at)" + offset + ";\n";
  };
  pointer("y", storage_name(form.y), " + (long)b * y_b", true);
  pointer("q", storage_name(form.q), " + (long)b * q_b");
  pointer("k", form.panels ? type(form, 1) : storage_name(form.k), " + (long)b * k_b + (long)kv * k_h");
  pointer("v", storage_name(form.v), " + (long)b * v_b + (long)kv * v_h");
  if (form.mask) pointer("mask", storage_name(form.mask), " + (long)b * mask_b");
  if (form.lengths) pointer("lengths", "int", "");
  if (form.firsts) pointer("firsts", "int", "");
  if (form.sinks) pointer("sinks", "float", "");
  p += "  const int total = group_heads * queries, known = " + std::string(form.lengths ? "clamp(lengths[b], 0, keys)" : "keys") + ", place = " + (form.firsts ? "firsts[b]" : "past") + ";\n";
  return p;
}

std::string row(const AttentionForm& form, const std::string& r, const std::string& s) {
  std::string p = "const int h" + s + " = kv * group_heads + (" + r + ") / queries, i" + s + " = (" + r + ") % queries; ";
  p += "const int hi" + s + " = max(min(" + std::string(form.mask ? "min(known, mask_keys)" : "known") + ", place + i" + s + " + right + 1), 0), lo" + s + " = max(place + i" + s + " - left, 0);\n";
  return p;
}

}  // namespace attention_text

KernelText attention_kernel(const AttentionForm& form) {
  using namespace attention_text;
  KernelText out;
  out.helpers = helpers(form);
  out.body = "__kernel __attribute__((reqd_work_group_size(" + number(form.group) + ", 1, 1))) void KERNEL_NAME(" + parameters(form) + ") {\n" + pointers(form) +
             (form.cpu ? cpu_body(form) : local_body(form)) + "}\n";
  return out;
}

}  // namespace tenon::opencl
