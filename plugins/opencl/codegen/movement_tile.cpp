#include "plugins/opencl/codegen/movement_tile.h"

#include <string>
#include <vector>

#include "plugins/opencl/codegen/types.h"

namespace tenon::opencl {
namespace {

std::string number(int n) { return std::to_string(n); }

// Elements of one half of x and y in turn.
std::string interleaved(const std::string& type, int width, bool high, const std::string& x, const std::string& y) {
  static const char* digits = "0123456789abcdef";
  std::string out = "(" + type + ")(";
  for (int i = 0; i < width; ++i) out += std::string(i ? ", " : "") + (i % 2 ? y : x) + ".s" + digits[(high ? width / 2 : 0) + i / 2];
  return out + ")";
}

// Rows of x at p, one for each of width elements of A, become rows of y, one for each of width elements of B. Row k and row k + width / 2
// are interleaved, as many times as the width has bits.
std::string turned(const TileForm& form) {
  const int w = form.width;
  const std::string type = storage_name(form.dtype) + number(w), load = "vload" + number(w) + "(0, p + ", store = "vstore" + number(w) + "(";
  std::string text;
  std::vector<std::string> rows;
  for (int i = 0; i < w; ++i) {
    rows.push_back("r" + number(i));
    text += "const " + type + " r" + number(i) + " = " + load + "(long)" + number(i) + " * x_a); ";
  }
  int stage = 0;
  for (int n = w; n > 1; n /= 2, ++stage) {
    std::vector<std::string> next;
    for (int k = 0; k < w; ++k) {
      const std::string name = "s" + number(stage) + "_" + number(k);
      text += "const " + type + " " + name + " = " +
              interleaved(type, w, k % 2 == 1, rows[static_cast<std::size_t>(k / 2)], rows[static_cast<std::size_t>(k / 2 + w / 2)]) + "; ";
      next.push_back(name);
    }
    rows = std::move(next);
  }
  for (int i = 0; i < w; ++i) text += store + rows[static_cast<std::size_t>(i)] + ", 0, q + (long)" + number(i) + " * y_b); ";
  return text;
}

}  // namespace

KernelText tile_kernel(const TileForm& form) {
  const std::string type = storage_name(form.dtype), w = number(form.width);
  std::string p =
      "__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void KERNEL_NAME(__global char* y_base, ulong y_at, __global const char* x_base, "
      "ulong x_at, int a, int b, int stretch, int y_b, int x_a";
  for (int o = 1; o < form.outer; ++o) p += ", int n" + number(o);
  for (const char* t : {"y", "x"})
    for (int o = 0; o < form.outer; ++o) p += std::string(", int ") + t + "_s" + number(o);
  p += ") {\n  __global " + type + "* y = (__global " + type + "*)(y_base + y_at);\n  __global const " + type + "* x = (__global const " + type +
       "*)(x_base + x_at);\n";
  if (form.outer > 0) p += "  int t = (int)get_global_id(1);\n";
  for (int o = form.outer - 1; o >= 0; --o) {
    const std::string n = number(o);
    p += "  { const int c = " + (o > 0 ? "t % n" + n + "; t /= n" + n : std::string("t")) + "; y += (long)c * y_s" + n + "; x += (long)c * x_s" + n +
         "; }\n";
  }
  p += "  const int last = min((int)get_global_id(0) * stretch + stretch, b);\n"
       "  for (int j = (int)get_global_id(0) * stretch; j < last; j += " +
       w +
       ")\n"
       "    for (int i = 0; i < a; i += " +
       w +
       ") {\n"
       "      __global const " +
       type +
       "* const p = x + (long)i * x_a + j;\n"
       "      __global " +
       type +
       "* const q = y + (long)j * y_b + i;\n"
       "      if (i + " +
       w + " <= a && j + " + w + " <= last) {\n        " + turned(form) +
       "\n      } else {\n"
       "        const int rows = min(a - i, " +
       w + "), columns = min(last - j, " + w +
       ");\n"
       "        for (int r = 0; r < rows; ++r)\n"
       "          for (int c = 0; c < columns; ++c) q[(long)c * y_b + r] = p[(long)r * x_a + c];\n"
       "      }\n    }\n}\n";
  return {{}, std::move(p)};
}

}  // namespace tenon::opencl
