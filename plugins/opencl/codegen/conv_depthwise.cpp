#include "plugins/opencl/codegen/conv_depthwise.h"

#include <algorithm>

#include "plugins/opencl/codegen/conv_text.h"

namespace tenon::opencl {
namespace {

// Vectors of channels in the compute type; pointer + index.
std::string read(const DepthwiseKernel& k, std::int32_t type, const std::string& pointer, const std::string& index) {
  const std::string loaded = load_text(type, k.vec, pointer, index);
  if (!k.integer()) return loaded;
  return k.vec == 1 ? "(int)(" + loaded + ")" : cat("convert_int", k.vec, "(", loaded, ")");
}

std::string product(const DepthwiseKernel& k, int pixel, const std::string& value, const std::string& weight) {
  const std::string a = cat("a", pixel);
  return k.integer() ? cat(a, " += ", value, " * ", weight, ";") : cat(a, " = fma(", value, ", ", weight, ", ", a, ");");
}

// One row of taps at the input row `line`, for the inside of the image (`p` is its first pixel) or for its borders.
std::string shared_row(const DepthwiseKernel& k, bool inside) {
  const std::string vector = compute_name(k.compute, k.vec), zero = k.integer() ? cat(" - (", vector, ")zero_point") : "";
  std::string s = "      {\n";
  for (int t = 0; t < k.taps; ++t) s += cat("        const ", vector, " w", t, " = ", read(k, k.weight, "row", cat(t, " * columns")), ";\n");
  const int span = (k.pixels - 1) * k.stride + k.taps;
  for (int i = 0; i < span; ++i) {
    if (inside) s += cat("        { const ", vector, " v = ", read(k, k.input, "p", cat(i, " * C")), zero, ";");
    else {
      s += cat("        { const int ix = left + ", i, ", in = ix >= 0 && ix < IW; const ", vector, " v = ",
               k.integer() ? cat("in ? ", read(k, k.input, "line", "(long)(in ? ix : 0) * C"), zero, " : (", vector, ")0")
                           : read(k, k.input, "(in ? line + (long)ix * C : zeros)", "0"),
               ";");
    }
    for (int r = 0; r < k.pixels; ++r)
      if (const int t = i - r * k.stride; t >= 0 && t < k.taps) s += " " + product(k, r, "v", cat("w", t));
    s += " }\n";
  }
  return s + "      }";
}

std::string any_row(const DepthwiseKernel& k) {
  const std::string vector = compute_name(k.compute, k.vec), zero = k.integer() ? cat(" - (", vector, ")zero_point") : "";
  std::string s = cat("      for (int kx = 0; kx < KW; ++kx) {\n        const ", vector, " wk = ", read(k, k.weight, "row", "kx * columns"), ";\n");
  for (int r = 0; r < k.pixels; ++r)
    s += cat("        { const int ix = left + ", r, " * SW + kx * DW, in = ix >= 0 && ix < IW; const ", vector, " v = ",
             k.integer() ? cat("in ? ", read(k, k.input, "line", "(long)(in ? ix : 0) * C"), zero, " : (", vector, ")0")
                         : read(k, k.input, "(in ? line + (long)ix * C : zeros)", "0"),
             "; ", product(k, r, "v", "wk"), " }\n");
  return s + "      }\n";
}

}  // namespace

DepthwiseKernel depthwise_form(const Profile& profile, const ConvGeometry& g, int lanes_of_type) {
  DepthwiseKernel k;
  k.local = profile.cpu ? 1 : static_cast<int>(profile.group);
  k.vec = lanes_of_type;
  for (int half = 0; half < 2 && k.vec > 4 && g.groups % k.vec != 0 && g.groups % 4 == 0; ++half) k.vec /= 2;
  while (k.vec > g.groups) k.vec /= 2;
  k.pixels = profile.cpu && profile.vector >= 16 ? 7 : 4;
  const bool fixed = g.w.kernel <= 7 && g.w.stride <= 2 && (g.w.dilation == 1 || g.w.kernel == 1);
  k.taps = fixed ? static_cast<int>(g.w.kernel) : 0;
  k.stride = fixed ? static_cast<int>(g.w.stride) : 0;
  return k;
}

ConvPacking depthwise_packing(const ConvGeometry& g) {
  ConvPacking p;
  p.groups = p.ic = 1, p.oc = g.groups, p.taps = g.taps();
  p.width = static_cast<int>((g.groups + kConvZeros - 1) / kConvZeros * kConvZeros);
  return p;
}

KernelText depthwise_kernel(const DepthwiseKernel& described, const Epilogue& epilogue) {
  DepthwiseKernel k = described;
  if (k.integer()) k.weight = TENON_DTYPE_INT16;
  const std::string vector = compute_name(k.compute, k.vec), input = storage_name(k.input), weight = storage_name(k.weight), compute = compute_name(k.compute);
  std::string s = cat("__attribute__((reqd_work_group_size(", k.local, ", 1, 1)))\n__kernel void KERNEL_NAME(__global const char* restrict x_base, ulong x_at, "
                      "__global const char* restrict w_base, ulong w_at", conv_size_parameters(), ", int blocks_each", epilogue.parameters(), ") {\n");
  s += cat("  const int C = G, start = get_global_id(0) * ", k.vec, ";\n  if (start >= C) return;\n",
           // The last block moves left, so that it reads whole vectors of real channels; it stores its own only.
           "  const int c0 = min(start, C - ", k.vec, "), blocks = (OW + ", k.pixels - 1, ") / ", k.pixels, ", runs = (blocks + blocks_each - 1) / blocks_each;\n",
           "  const int all_rows = get_global_id(1) / runs, run = get_global_id(1) - all_rows * runs, n = all_rows / (OD * OH);\n",
           "  const int row_of = all_rows - n * (OD * OH), oz = row_of / OH, oy = row_of - oz * OH;\n",
           "  const int columns = (C + ", kConvZeros - 1, ") / ", kConvZeros, " * ", kConvZeros, ";\n",
           "  __global const ", input, "* x = (__global const ", input, "*)(x_base + x_at) + c0;\n");
  if (k.integer()) s += "  const int zero_point = *(__global const int*)(w_base + w_at);\n";
  s += cat("  __global const ", compute, "* biases = (__global const ", compute, "*)(w_base + w_at", k.integer() ? cat(" + ", kConvPackedHeader) : "", ");\n",
           "  __global const ", weight, "* w = (__global const ", weight, "*)(biases + columns);\n");
  if (!k.integer()) s += cat("  __global const ", input, "* zeros = (__global const ", input, "*)(w + columns * (KD * KH * KW));\n");
  s += cat("  const ", vector, " bias = ", k.vec == 1 ? "biases[c0]" : cat("vload", k.vec, "(0, biases + c0)"), ";\n",
           "  for (int b = run * blocks_each; b < min(blocks, (run + 1) * blocks_each); ++b) {\n    const int left = b * ", k.pixels, " * SW - PW;\n   ");
  for (int r = 0; r < k.pixels; ++r) s += cat(" ", vector, " a", r, " = bias;");
  if (k.taps > 0) s += cat("\n    const int inside = left >= 0 && left + ", (k.pixels - 1) * k.stride + k.taps, " <= IW;");
  s += cat("\n    for (int kz = 0; kz < KD; ++kz) { const int iz = oz * SD - PD + kz * DD; if (iz < 0 || iz >= ID) continue;\n",
           "    for (int ky = 0; ky < KH; ++ky) { const int iy = oy * SH - PH + ky * DH; if (iy < 0 || iy >= IH) continue;\n",
           "      __global const ", input, "* line = x + (((size_t)n * ID + iz) * IH + iy) * IW * C;\n",
           "      __global const ", weight, "* row = w + (kz * KH + ky) * KW * columns + c0;\n");
  if (k.taps > 0) s += cat("      if (inside) {\n      __global const ", input, "* p = line + (long)left * C;\n", shared_row(k, true), " } else\n", shared_row(k, false), "\n");
  else s += any_row(k);
  s += cat("    } }\n    ", vector, " made[", k.pixels, "];\n   ");
  for (int r = 0; r < k.pixels; ++r) s += cat(" made[", r, "] = a", r, ";");
  s += cat("\n    const int first = b * ", k.pixels, ", count = min(", k.pixels, ", OW - first);\n    for (int r = 0; r < count; ++r) {\n      const ", vector,
           " result = made[r];\n      const int pixel = row_of * OW + first + r;\n      if (c0 == start) {\n", epilogue.statements("result", k.vec, "n", "pixel", "c0"), "\n      }");
  if (k.vec > 1) s += cat(" else ", store_singly(epilogue, compute, k.vec, "result", "start - c0", cat(k.vec), "n", "pixel", "c0"));
  s += "\n    }\n  }\n}\n";
  return {epilogue.helpers({k.vec, 1}), s};
}

DepthwiseLaunch depthwise_launch(const Profile& profile, const DepthwiseKernel& k, const ConvGeometry& g) {
  DepthwiseLaunch launch;
  const std::int64_t vectors = (g.groups + k.vec - 1) / k.vec, blocks = (g.w.out + k.pixels - 1) / k.pixels;
  // A processor's item makes a whole row; others want many items.
  launch.blocks_each = static_cast<std::int32_t>(profile.cpu ? std::max<std::int64_t>(blocks, 1) : 1);
  const std::int64_t runs = (blocks + launch.blocks_each - 1) / launch.blocks_each;
  launch.range.local = static_cast<std::uint64_t>(k.local);
  launch.range.global[0] = static_cast<std::uint64_t>((vectors + k.local - 1) / k.local * k.local);
  launch.range.global[1] = static_cast<std::uint64_t>(g.n * g.d.out * g.h.out * runs);
  return launch;
}

}  // namespace tenon::opencl
