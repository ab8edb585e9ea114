#include "plugins/opencl/codegen/cast_text.h"

namespace tenon::opencl {
namespace {

std::string suffix(int width) { return width == 1 ? "" : std::to_string(width); }
std::string letter(Compute from) { return from == Compute::f64 ? "d" : "f"; }

}  // namespace

std::string to_integer_call(Compute from, Compute to, int width) { return "tn_" + compute_name(to) + suffix(width) + letter(from); }

std::string to_integer_helper(Compute from, Compute to, int width) {
  const std::string w = suffix(width), f = compute_name(from, width), t = compute_name(to, width), name = to_integer_call(from, to, width);
  const std::string end = from == Compute::f64 ? "" : "f";
  const bool narrow = to == Compute::i32;
  const std::string limit = (narrow ? "2147483648.0" : "9223372036854775808.0") + end, lowest = narrow ? "INT_MIN" : "LONG_MIN";
  const std::string head = "inline " + t + " " + name + "(" + f + " x) { ";
  if (to == Compute::u64) {
    // The upper half is moved down and back; what is above both halves has no bits left.
    const std::string call = to_integer_call(from, Compute::i64, width), twice = "18446744073709551616.0" + end;
    if (width == 1)
      return head + "if (x >= " + twice + ") return 0; return x >= " + limit + " ? (ulong)" + call + "(x - " + limit +
             ") + ((ulong)1 << 63) : (ulong)" + call + "(x); }";
    const std::string mask = "long" + w;
    const std::string upper = from == Compute::f64 ? "x >= " + limit : "convert_long" + w + "(x >= " + limit + ")";
    const std::string above = from == Compute::f64 ? "x >= " + twice : "convert_long" + w + "(x >= " + twice + ")";
    return head + "const " + mask + " upper = " + upper + ", above = " + above + "; const ulong" + w + " low = as_ulong" + w + "(" + call +
           "(select(x, x - " + limit + ", x >= " + limit + "))); return select(select(low, low + ((ulong)1 << 63), upper), (ulong" + w +
           ")0, above); }";
  }
  // -2147483648.5 still becomes the lowest number, which is what does not fit becomes as well.
  if (width == 1) return head + "return fabs(x) < " + limit + " ? (" + t + ")x : " + lowest + "; }";
  const bool same_mask = (from == Compute::f64) == (to == Compute::i64);
  const std::string mask = same_mask ? "in" : (narrow ? "convert_int" : "convert_long") + w + "(in)";
  const std::string mask_type = (from == Compute::f64 ? "long" : "int") + w;
  return head + "const " + mask_type + " in = fabs(x) < " + limit + "; return select((" + t + ")" + lowest + ", convert_" + t + "(select((" + f +
         ")0, x, in)), " + mask + "); }";
}

}  // namespace tenon::opencl
