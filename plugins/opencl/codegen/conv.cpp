#include "plugins/opencl/codegen/conv.h"

#include <algorithm>

#include "plugins/opencl/codegen/conv_text.h"
#include "plugins/opencl/codegen/conv_weights.h"

namespace tenon::opencl {
namespace {

// Everything up to the product: where the tile is, and accumulators that begin with the bias.
std::string head(const ConvKernel& k, const Epilogue& epilogue) {
  const ConvTile& t = k.tile;
  const std::string vector = compute_name(k.compute, t.vec), compute = compute_name(k.compute), input = storage_name(k.input), weight = storage_name(k.weight);
  std::string s = cat("__attribute__((reqd_work_group_size(", t.local(), ", 1, 1)))\n",
                      "__kernel void KERNEL_NAME(__global const char* restrict x_base, ulong x_at, __global const char* restrict w_base, ulong w_at",
                      conv_size_parameters(), ", int panels_first", epilogue.parameters(), ") {\n");
  s += cat("  const int tile = panels_first ? get_group_id(1) : get_group_id(0), panel = panels_first ? get_group_id(0) : get_group_id(1);\n",
           "  const int panels = (OC + ", t.width() - 1, ") / ", t.width(), ", group = panel / panels;\n",
           "  const int C = ", k.batched ? "IC" : "G * IC", ", taps = KD * KH * KW;\n");
  if (k.transposed)
    s += "  const int phase = get_group_id(2), pz = phase / (SH * SW), py = phase / SW - pz * SH, px = phase % SW;\n"
         "  const int LD = (OD - pz + SD - 1) / SD, LH = (OH - py + SH - 1) / SH, LW = (OW - px + SW - 1) / SW;\n"
         "  if (pz >= OD || py >= OH || px >= OW) return;\n";
  else s += "  const int LD = OD, LH = OH, LW = OW;\n";
  s += "  const int P = LD * LH * LW, all = N * P;\n";
  if (t.local() == 1) s += cat("  const int first = tile * ", t.rows, ", lane = 0;\n");
  else s += cat("  const int lane = get_local_id(0) % ", t.lanes, ", first = (tile * ", t.stack, " + get_local_id(0) / ", t.lanes, ") * ", t.rows, ";\n");
  s += cat("  __global const ", input, "* x = (__global const ", input, "*)(x_base + x_at) + (size_t)group * IC",
           k.planar || k.batched ? " * (ID * IH * IW)" : "", ";\n");
  // The packed buffer: for integers the input's zero point, the biases, the weights, a pixel of zeros.
  s += cat("  __global const char* packed = w_base + w_at", k.integer() ? cat(" + ", kConvPackedHeader) : "", ";\n");
  if (k.integer()) s += "  const int zero_point = *(__global const int*)(w_base + w_at);\n";
  s += cat("  const size_t columns = (size_t)panels * G * ", t.width(), ";\n",
           "  __global const ", compute, "* bias = (__global const ", compute, "*)packed + (size_t)panel * ", t.width(), " + lane * ", t.vec, ";\n",
           "  __global const ", weight, "* all_weights = (__global const ", weight, "*)(packed + columns * sizeof(", compute, "));\n",
           "  __global const ", weight, "* own_weights = all_weights + (size_t)panel * ", t.width(), " * (taps * IC) + lane * ", t.vec, ", *w = own_weights;\n");
  for (int r = 0; r < t.rows; ++r)
    for (int j = 0; j < t.cols; ++j) {
      const int at = j * t.lanes * t.vec;
      s += cat("  ", vector, " a", r, "_", j, " = ", t.vec == 1 ? cat("bias[", at, "]") : cat("vload", t.vec, "(0, bias + ", at, ")"), ";\n");
    }
  return s;
}

// Products of `count` input channels that follow `c`, one after another.
std::string steps(const ConvKernel& k, int count) {
  const ConvTile& t = k.tile;
  const std::string vector = compute_name(k.compute, t.vec), compute = compute_name(k.compute), as_int = k.integer() ? "(int)" : "";
  std::string s;
  for (int u = 0; u < count; ++u) {
    for (int j = 0; j < t.cols; ++j)
      s += cat("      const ", vector, " w", u, "_", j, " = ", load_text(k.weight, t.vec, "w", cat(u * t.width() + j * t.lanes * t.vec)), ";\n");
    for (int r = 0; r < t.rows; ++r) {
      const std::string channel = cat("c + ", u);
      if (k.planar)
        s += cat("      { const ", compute, " f = ", as_int, load_text(k.input, 1, cat("x", r), cat("(", channel, ") * plane")), ", v = ok", r, " ? f",
                 k.integer() ? " - zero_point" : "", " : 0;");
      else
        s += cat("      { const ", compute, " v = ", as_int, load_text(k.input, 1, cat("x", r), channel), k.integer() ? cat(" - z", r) : "", ";");
      for (int j = 0; j < t.cols; ++j) {
        if (k.integer()) s += cat(" a", r, "_", j, " += (", vector, ")v * w", u, "_", j, ";");
        else s += cat(" a", r, "_", j, " = fma((", vector, ")v, w", u, "_", j, ", a", r, "_", j, ");");
      }
      s += " }\n";
    }
  }
  return s + cat("      w += ", count * t.width(), ";\n");
}

std::string channel_loop(const ConvKernel& k) {
  if (k.channels > 0) return cat("    { const size_t c = 0;\n", steps(k, k.channels), "    }\n");
  return cat("    for (size_t c = 0; c < (size_t)IC; ++c) {\n", steps(k, 1), "    }\n");
}

// Output coordinates go from pixel to pixel without divisions; those behind the last stay on it.
constexpr const char* kFirstPixel =
    "  int n = min(first, all - 1) / P, q = min(first, all - 1) - n * P, oz = q / (LH * LW), oy = q / LW - oz * LH, ox = q % LW;\n";

std::string next_pixel(int row) {
  return cat("  if (first + ", row, " < all && ++ox == LW) { ox = 0; if (++oy == LH) { oy = 0; if (++oz == LD) { oz = 0; ++n; } } }\n");
}

std::string pointwise_product(const ConvKernel& k) {
  std::string s = kFirstPixel;
  for (int r = 0; r < k.tile.rows; ++r) {
    s += cat("  __global const ", storage_name(k.input), "* x", r, " = x + ((size_t)(n * ID + oz * SD) * IH + oy * SH) * IW * C + (size_t)(ox * SW) * C;\n");
    if (k.integer()) s += cat("  const int z", r, " = zero_point;\n");
    if (r + 1 < k.tile.rows) s += next_pixel(r + 1);
  }
  return s + channel_loop(k);
}

// For each tap, a pixel's pointer is chosen among its input and the zeros, all pixels of the tile in one vector: no branch and no
// other path for tiles at borders.
std::string window_product(const ConvKernel& k) {
  const int rows = k.tile.rows, lanes = lanes_for(rows);
  const std::string ints = cat("int", lanes);
  std::string s = cat(kFirstPixel, "  ", ints, " zs, ys, xs, images;\n");
  for (int r = 0; r < lanes; ++r) {
    const std::string e = component(r);
    const auto origin = [&](const char* list, const char* out, char axis) {
      return k.transposed ? cat("  ", list, ".", e, " = ", out, ";") : cat("  ", list, ".", e, " = ", out, " * S", axis, " - P", axis, ";");
    };
    s += cat(origin("zs", "oz", 'D'), origin("ys", "oy", 'H'), origin("xs", "ox", 'W'), " images.", e, " = n * ", k.planar ? "C * " : "", "ID;\n");
    if (r + 1 < rows) s += next_pixel(r + 1);
  }
  if (k.planar) s += "  const size_t plane = (size_t)ID * IH * IW;\n";
  else s += cat("  __global const ", storage_name(k.input), "* zeros = (__global const ", storage_name(k.input), "*)(all_weights + columns * (taps * IC));\n");
  // Where tap k of an axis reads; of a transposed convolution only the taps that meet the phase do.
  const auto at_tap = [&](const char* at, const char* from, char axis, const char* phase) {
    const std::string tap = cat("k", at[1], " * D", axis);
    return k.transposed ? cat("const int t", at[1], " = ", phase, " + P", axis, " - ", tap, "; if (t", at[1], " % S", axis, " != 0) continue; const ", ints, " ", at, " = ", from, " + t",
                              at[1], " / S", axis)
                        : cat("const ", ints, " ", at, " = ", from, " + ", tap);
  };
  s += cat("  for (int kz = 0; kz < KD; ++kz) { ", at_tap("iz", "zs", 'D', "pz"), ", in_z = (iz >= 0) & (iz < ID), slice = (images + iz) * IH;\n",
           "  for (int ky = 0; ky < KH; ++ky) { ", at_tap("iy", "ys", 'H', "py"), ", in_y = in_z & (iy >= 0) & (iy < IH), line = (slice + iy) * IW;\n",
           "  for (int kx = 0; kx < KW; ++kx) { ", at_tap("ix", "xs", 'W', "px"), ", inside = in_y & (ix >= 0) & (ix < IW);\n",
           "    const ", ints, " at = (line + ix)", k.planar ? "" : " * C", ";\n",
           k.transposed ? cat("    w = own_weights + (size_t)((kz * KH + ky) * KW + kx) * IC * ", k.tile.width(), ";\n") : "");
  for (int r = 0; r < rows; ++r) {
    const std::string e = component(r);
    if (k.planar) {
      s += cat("    const int ok", r, " = inside.", e, "; __global const ", storage_name(k.input), "* x", r, " = x + (ok", r, " ? at.", e, " : 0);\n");
      continue;
    }
    s += cat("    __global const ", storage_name(k.input), "* x", r, " = inside.", e, " ? x + at.", e, " : zeros;\n");
    if (k.integer()) s += cat("    const int z", r, " = inside.", e, " ? zero_point : 0;\n");
  }
  return s + channel_loop(k) + "  } } }\n";
}

// The tile goes to memory first, so that the epilogue's text stands here twice (vectors, and a panel's last columns) and not once for
// each accumulator.
std::string tail(const ConvKernel& k, const Epilogue& epilogue) {
  const ConvTile& t = k.tile;
  const std::string vector = compute_name(k.compute, t.vec);
  std::string s = cat("  ", vector, " made[", t.rows * t.cols, "];\n");
  for (int r = 0; r < t.rows; ++r)
    for (int j = 0; j < t.cols; ++j) s += cat("  made[", r * t.cols + j, "] = a", r, "_", j, ";\n");
  s += cat("  const int count = min(", t.rows, ", all - first), column = (panel - group * panels) * ", t.width(), " + lane * ", t.vec, ";\n",
           "  int image = ", k.batched ? "group" : "first / P", ", place = ", k.batched ? "first" : "first - image * P", ";\n",
           "  for (int r = 0; r < count; ++r) {\n    const int pixel = ",
           k.transposed ? "((pz + place / (LH * LW) * SD) * OH + py + place / LW % LH * SH) * OW + px + place % LW * SW" : "place", ";\n",
           "    for (int j = 0; j < ", t.cols, "; ++j) {\n      const int within = column + j * ", t.lanes * t.vec, ", channel = ",
           k.batched ? "within" : "group * OC + within", ";\n      const ", vector, " result = made[r * ", t.cols, " + j];\n",
           "      if (within + ", t.vec, " <= OC) {\n", epilogue.statements("result", t.vec, "image", "pixel", "channel"), "\n      }");
  if (t.vec > 1) s += cat(" else ", store_singly(epilogue, compute_name(k.compute), t.vec, "result", "0", cat("min(", t.vec, ", OC - within)"), "image", "pixel", "channel"));
  return s + "\n    }\n    if (++place == P) place = 0, ++image;\n  }\n}\n";
}

}  // namespace

KernelText conv_kernel(const ConvKernel& described, const Epilogue& epilogue) {
  ConvKernel k = described;
  if (k.integer()) k.weight = TENON_DTYPE_INT16;
  return {epilogue.helpers({k.tile.vec, 1}), head(k, epilogue) + (k.pointwise ? pointwise_product(k) : window_product(k)) + tail(k, epilogue)};
}

}  // namespace tenon::opencl
