#include "plugins/opencl/codegen/pool.h"

#include <algorithm>
#include <string>

#include "plugins/opencl/codegen/conv_text.h"

namespace tenon::opencl {
namespace {

// The least number of a compute type, as far as inputs reach.
const char* lowest(std::int32_t dtype) {
  switch (dtype) {
    case TENON_DTYPE_INT8: return "-128";
    case TENON_DTYPE_INT16: return "-32768";
    case TENON_DTYPE_INT32: return "INT_MIN";
    case TENON_DTYPE_INT64: return "LONG_MIN";
    case TENON_DTYPE_DOUBLE: return "-(double)INFINITY";
    default: return is_unsigned_integer(dtype) ? "0" : "-INFINITY";
  }
}

// Taps k of output o that read inside of a dim: [name0, name1), and how many an average counts.
std::string axis_range(const std::string& a, const std::string& out, bool counts_padding) {
  return cat("    const int at_", a, " = ", out, " * S", a, " - P", a, ";\n",
             "    const int ", a, "0 = at_", a, " >= 0 ? 0 : min(K", a, ", (D", a, " - 1 - at_", a, ") / D", a, "), ", a, "1 = at_", a, " >= I", a, " ? 0 : min(K", a, ", (I", a,
             " - at_", a, " + D", a, " - 1) / D", a, ");\n",
             counts_padding ? cat("    const int count_", a, " = clamp((E", a, " - at_", a, " + D", a, " - 1) / D", a, ", 0, K", a, ");\n")
                            : cat("    const int count_", a, " = max(", a, "1 - ", a, "0, 0);\n"));
}

std::string begin(const PoolKernel& k, const std::string& vector, const std::string& ints) {
  if (k.kind != PoolKernel::Kind::max) return cat("    ", vector, " acc = 0;\n");
  return cat("    ", vector, " acc = ", lowest(k.input), ";\n", k.indices ? cat("    ", ints, " where = -1;\n") : "");
}

std::string step(const PoolKernel& k, const std::string& vector, const std::string& ints) {
  switch (k.kind) {
    case PoolKernel::Kind::max: {
      std::string s;
      if (k.indices) {
        const std::string plane = k.column_major ? "(ix * IH + iy) * ID + iz" : "(iz * IH + iy) * IW + ix";
        s = cat("where = ((where < 0) | convert_", ints, "(v > acc)) ? (", ints, ")(", plane, ") : where; ");
      }
      return s + (k.takes_nan ? "acc = ((v > acc) | (v != v)) ? v : acc;" : "acc = (v > acc) ? v : acc;");
    }
    case PoolKernel::Kind::average: return "line_sum += v;";
    case PoolKernel::Kind::lp: break;
  }
  return k.p == 1 ? "line_sum += fabs(v);" : k.p == 2 ? "line_sum = fma(v, v, line_sum);" : cat("line_sum += pow(fabs(v), (", vector, ")", k.p, ");");
}

std::string end(const PoolKernel& k, const std::string& vector, const std::string& compute) {
  if (k.kind == PoolKernel::Kind::average) return cat("    const ", vector, " result = acc / (", vector, ")(", compute, ")((", compute, ")count_D * count_H * count_W);\n");
  if (k.kind == PoolKernel::Kind::lp && k.p == 2) return cat("    const ", vector, " result = sqrt(acc);\n");
  if (k.kind == PoolKernel::Kind::lp && k.p > 2) return cat("    const ", vector, " result = pow(acc, (", vector, ")((", compute, ")1 / ", k.p, "));\n");
  return cat("    const ", vector, " result = acc;\n");
}

}  // namespace

PoolKernel pool_form(const Profile& profile, const ConvGeometry& g, int lanes_of_type) {
  PoolKernel k;
  k.local = profile.cpu ? 1 : static_cast<int>(profile.group);
  k.vec = lanes_of_type;
  for (int half = 0; half < 2 && k.vec > 4 && g.groups % k.vec != 0 && g.groups % 4 == 0; ++half) k.vec /= 2;
  while (k.vec > g.groups) k.vec /= 2;
  return k;
}

KernelText pool_kernel(const PoolKernel& k, const Epilogue& epilogue) {
  const Compute type = compute_of(k.input);
  const std::string compute = compute_name(type), vector = compute_name(type, k.vec), ints = compute_name(Compute::i32, k.vec), input = storage_name(k.input);
  std::string s = cat("__attribute__((reqd_work_group_size(", k.local, ", 1, 1)))\n__kernel void KERNEL_NAME(__global const char* restrict x_base, ulong x_at",
                      conv_size_parameters(), ", int ED, int EH, int EW, int pixels_each",
                      k.indices ? ", __global char* restrict index_base, ulong index_at, long index_n, long index_c, long index_p" : "", epilogue.parameters(), ") {\n");
  s += cat("  const int C = G, start = get_global_id(0) * ", k.vec, ";\n  if (start >= C) return;\n",
           // As in depthwise convolutions, the last block of channels moves left and stores its own only.
           "  const int c0 = min(start, C - ", k.vec, "), runs = (OW + pixels_each - 1) / pixels_each, P = OD * OH * OW;\n",
           "  const int all_rows = get_global_id(1) / runs, run = get_global_id(1) - all_rows * runs, n = all_rows / (OD * OH);\n",
           "  const int row_of = all_rows - n * (OD * OH), oz = row_of / OH, oy = row_of - oz * OH;\n",
           "  __global const ", input, "* x = (__global const ", input, "*)(x_base + x_at) + (size_t)n * (ID * IH * IW) * C + c0;\n");
  if (k.indices) s += "  __global long* index = (__global long*)(index_base + index_at) + n * index_n;\n";
  s += axis_range("D", "oz", k.counts_padding) + axis_range("H", "oy", k.counts_padding);
  // Sums are made line by line: what is lost to rounding grows with a line's length and the lines' number, not with their product.
  const bool sums = k.kind != PoolKernel::Kind::max;
  s += cat("  for (int ox = run * pixels_each; ox < min(OW, (run + 1) * pixels_each); ++ox) {\n", axis_range("W", "ox", k.counts_padding), begin(k, vector, ints),
           "    for (int kz = D0; kz < D1; ++kz) { const int iz = at_D + kz * DD;\n    for (int ky = H0; ky < H1; ++ky) { const int iy = at_H + ky * DH;\n",
           "      __global const ", input, "* line = x + (size_t)(iz * IH + iy) * IW * C;\n",
           sums ? cat("      ", vector, " line_sum = 0;\n") : "", "      for (int kx = W0; kx < W1; ++kx) { const int ix = at_W + kx * DW; const ", vector, " v = ",
           load_text(k.input, k.vec, "line", "(size_t)ix * C"), "; ", step(k, vector, ints), " }\n", sums ? "      acc += line_sum;\n" : "", "    } }\n", end(k, vector, compute), "    const int pixel = row_of * OW + ox;\n");
  if (k.indices) {
    const std::string one = "index[(c0 + e) * index_c + pixel * index_p] = ((long)n * C + c0 + e) * (ID * IH * IW) + max(";
    if (k.vec == 1) s += cat("    { const int e = 0; ", one, "where, 0); }\n");
    else s += cat("    { int wheres[", k.vec, "]; vstore", k.vec, "(where, 0, wheres); for (int e = start - c0; e < ", k.vec, "; ++e) ", one, "wheres[e], 0); }\n");
  }
  s += cat("    if (c0 == start) {\n", epilogue.statements("result", k.vec, "n", "pixel", "c0"), "\n    }");
  if (k.vec > 1) s += cat(" else ", store_singly(epilogue, compute, k.vec, "result", "start - c0", cat(k.vec), "n", "pixel", "c0"));
  s += "\n  }\n}\n";
  return {epilogue.helpers({k.vec, 1}), s};
}

PoolLaunch pool_launch(const Profile& profile, const PoolKernel& k, const ConvGeometry& g) {
  PoolLaunch launch;
  const std::int64_t vectors = (g.groups + k.vec - 1) / k.vec;
  launch.pixels_each = static_cast<std::int32_t>(profile.cpu ? std::max<std::int64_t>(g.w.out, 1) : 1);
  const std::int64_t runs = (g.w.out + launch.pixels_each - 1) / launch.pixels_each;
  launch.range.local = static_cast<std::uint64_t>(k.local);
  launch.range.global[0] = static_cast<std::uint64_t>((vectors + k.local - 1) / k.local * k.local);
  launch.range.global[1] = static_cast<std::uint64_t>(g.n * g.d.out * g.h.out * runs);
  return launch;
}

}  // namespace tenon::opencl
