#include "plugins/opencl/codegen/winograd.h"

#include <cstring>
#include <vector>

#include "plugins/opencl/codegen/conv_text.h"

namespace tenon::opencl {
namespace {

// Where the item is: tile (n, ty, tx) and channels from c0 on.
std::string where(const WinogradKernel& k, const char* channels) {
  return cat("  const int c0 = get_global_id(0) * ", k.vec, ", tile = get_global_id(1), tiles = N * tiles_h * tiles_w;\n  if (c0 >= ", channels, ") return;\n",
             "  const int n = tile / (tiles_h * tiles_w), ty = tile / tiles_w - n * tiles_h, tx = tile % tiles_w;\n");
}

// One dimension of the input's transform: six vectors named by `in` become six named by `out`.
std::string input_line(const std::string& type, const std::string (&in)[6], const std::string (&out)[6]) {
  return cat("    { const ", type, " p = ", in[4], " - 4 * ", in[2], ", q = ", in[3], " - 4 * ", in[1], ", r = ", in[4], " - ", in[2], ", s = 2 * (", in[3], " - ", in[1], ");\n      ",
             out[0], " = 4 * ", in[0], " - 5 * ", in[2], " + ", in[4], "; ", out[1], " = p + q; ", out[2], " = p - q; ", out[3], " = r + s; ", out[4], " = r - s; ", out[5], " = 4 * ",
             in[1], " - 5 * ", in[3], " + ", in[5], "; }\n");
}

// And of the output's: six become four.
std::string output_line(const std::string& type, const std::string (&in)[6], const std::string (&out)[4]) {
  return cat("    { const ", type, " p = ", in[1], " + ", in[2], ", q = ", in[1], " - ", in[2], ", r = ", in[3], " + ", in[4], ", s = ", in[3], " - ", in[4], ";\n      ", out[0], " = ",
             in[0], " + p + r; ", out[1], " = q + 2 * s; ", out[2], " = p + 4 * r; ", out[3], " = q + 8 * s + ", in[5], "; }\n");
}

std::string store(const WinogradKernel& k, const std::string& value, const std::string& to) { return cat("vstore", k.vec, "(", value, ", 0, ", to, ");"); }
std::string fetch(const WinogradKernel& k, const std::string& from) { return cat("vload", k.vec, "(0, ", from, ")"); }

}  // namespace

bool suits_winograd(const Profile& profile, const ConvGeometry& g) {
  const auto plain = [](const ConvAxis& a) { return a.kernel == 3 && a.stride == 1 && a.dilation == 1; };
  const int vec = winograd_form(profile).vec;
  if (g.groups != 1 || g.d.in != 1 || g.d.kernel != 1 || g.d.pad != 0 || g.d.out != 1 || !plain(g.h) || !plain(g.w) || g.ic % vec != 0 || g.oc % vec != 0) return false;
  if (g.ic < 32 || g.oc < 32) return false;
  const std::int64_t tiles = winograd_tiles(g);
  // Fewer tiles do not pay for four times the weights; more take more memory than they save time.
  return tiles >= 12 && tiles * kWinogradPoints * (g.ic + g.oc) <= (16 << 20);
}

std::int64_t winograd_tiles(const ConvGeometry& g) { return g.n * ((g.h.out + 3) / 4) * ((g.w.out + 3) / 4); }

ConvPacking winograd_packing(const ConvTile& tile, const ConvGeometry& g) {
  ConvPacking p;
  p.groups = kWinogradPoints, p.ic = g.ic, p.oc = g.oc, p.taps = 1, p.width = tile.width();
  return p;
}

std::uint64_t winograd_bytes(const ConvPacking& p) { return p.bytes() + static_cast<std::uint64_t>(p.panels() / kWinogradPoints * p.width) * sizeof(float); }

void pack_winograd(const ConvPacking& p, const float* weights, const float* bias, void* out) {
  static constexpr double kG[6][3] = {{1.0 / 4, 0, 0},           {-1.0 / 6, -1.0 / 6, -1.0 / 6}, {-1.0 / 6, 1.0 / 6, -1.0 / 6},
                                      {1.0 / 24, 1.0 / 12, 1.0 / 6}, {1.0 / 24, -1.0 / 12, 1.0 / 6},  {0, 0, 1}};
  std::vector<float> points(static_cast<std::size_t>(kWinogradPoints * p.oc * p.ic));
  for (std::int64_t i = 0; i < p.oc * p.ic; ++i) {
    const float* w = weights + i * 9;
    double half[6][3];
    for (int a = 0; a < 6; ++a)
      for (int x = 0; x < 3; ++x) half[a][x] = kG[a][0] * w[x] + kG[a][1] * w[3 + x] + kG[a][2] * w[6 + x];
    for (int a = 0; a < 6; ++a)
      for (int b = 0; b < 6; ++b)
        points[static_cast<std::size_t>((a * 6 + b) * p.oc * p.ic + i)] = static_cast<float>(half[a][0] * kG[b][0] + half[a][1] * kG[b][1] + half[a][2] * kG[b][2]);
  }
  pack_conv_weights(p, points.data(), nullptr, out);
  float* biases = reinterpret_cast<float*>(static_cast<char*>(out) + p.bytes());
  std::memset(biases, 0, winograd_bytes(p) - p.bytes());
  if (bias) std::memcpy(biases, bias, static_cast<std::size_t>(p.oc) * sizeof(float));
}

WinogradKernel winograd_form(const Profile& profile) { return {static_cast<int>(profile.vector), profile.cpu ? 1 : static_cast<int>(profile.group)}; }

KernelText winograd_input_kernel(const WinogradKernel& k) {
  const std::string type = cat("float", k.vec);
  std::string s = cat("__attribute__((reqd_work_group_size(", k.local, ", 1, 1)))\n__kernel void KERNEL_NAME(__global const char* restrict x_base, ulong x_at, "
                      "__global const char* restrict w_base, ulong w_at, __global char* restrict out_base, ulong out_at, ulong zeros_from", conv_size_parameters(), ", int tiles_h, int tiles_w) {\n",
                      where(k, "IC"),
                      "  __global const float* x = (__global const float*)(x_base + x_at) + (size_t)n * IH * IW * IC + c0;\n"
                      "  __global const float* zeros = (__global const float*)(w_base + w_at + zeros_from);\n"
                      "  __global float* out = (__global float*)(out_base + out_at) + (size_t)tile * IC + c0;\n"
                      "  const size_t step = (size_t)tiles * IC;\n  const int top = ty * 4 - PH, left = tx * 4 - PW;\n  ",
                      type, " d[36];\n");
  for (int j = 0; j < 6; ++j) {
    std::string in[6], to[6];
    s += cat("  { const int ix = left + ", j, ", in_x = ix >= 0 && ix < IW;\n");
    for (int i = 0; i < 6; ++i) {
      in[i] = cat("v", i), to[i] = cat("d[", i * 6 + j, "]");
      s += cat("    const int iy", i, " = top + ", i, "; const ", type, " v", i, " = ",
               fetch(k, cat("(in_x && iy", i, " >= 0 && iy", i, " < IH ? x + ((size_t)iy", i, " * IW + ix) * IC : zeros)")), ";\n");
    }
    s += input_line(type, in, to) + "  }\n";
  }
  for (int i = 0; i < 6; ++i) {
    std::string in[6], to[6], stores;
    for (int j = 0; j < 6; ++j) {
      in[j] = cat("d[", i * 6 + j, "]"), to[j] = cat("u", j);
      stores += cat(" ", store(k, to[j], cat("out + ", i * 6 + j, " * step")));
    }
    s += cat("  { ", type, " u0, u1, u2, u3, u4, u5;\n", input_line(type, in, to), "   ", stores, "\n  }\n");
  }
  return {{}, s + "}\n"};
}

ConvGeometry winograd_product(const ConvGeometry& g) {
  ConvGeometry p;
  p.groups = kWinogradPoints, p.ic = g.ic, p.oc = g.oc;
  p.w.in = p.w.out = winograd_tiles(g);
  return p;
}

std::string WinogradStore::parameters() const { return ", __global char* restrict m_base, ulong m_at"; }

std::string WinogradStore::statements(const std::string& acc, int width, const std::string& b, const std::string& r, const std::string& c) const {
  const std::string at = cat("((size_t)", b, " * IW + ", r, ") * OC + ", c);
  return store_text(TENON_DTYPE_FLOAT, width, "((__global float*)(m_base + m_at))", at, acc);
}

KernelText winograd_output_kernel(const WinogradKernel& k, const Epilogue& epilogue) {
  const std::string type = cat("float", k.vec);
  std::string s = cat("__attribute__((reqd_work_group_size(", k.local, ", 1, 1)))\n__kernel void KERNEL_NAME(__global const char* restrict m_base, ulong m_at, "
                      "__global const char* restrict w_base, ulong w_at, ulong biases", conv_size_parameters(), ", int tiles_h, int tiles_w", epilogue.parameters(), ") {\n", where(k, "OC"),
                      "  __global const float* m = (__global const float*)(m_base + m_at) + (size_t)tile * OC + c0;\n  const size_t step = (size_t)tiles * OC;\n  const ", type, " bias = ",
                      fetch(k, "(__global const float*)(w_base + w_at + biases) + c0"), ";\n  ", type, " d[24], made[16];\n");
  for (int j = 0; j < 6; ++j) {
    std::string in[6], to[4];
    s += "  {";
    for (int i = 0; i < 6; ++i) in[i] = cat("v", i), s += cat(" const ", type, " v", i, " = ", fetch(k, cat("m + ", i * 6 + j, " * step")), ";");
    for (int i = 0; i < 4; ++i) to[i] = cat("d[", i * 6 + j, "]");
    s += "\n" + output_line(type, in, to) + "  }\n";
  }
  for (int i = 0; i < 4; ++i) {
    std::string in[6], to[4], adds;
    for (int j = 0; j < 6; ++j) in[j] = cat("d[", i * 6 + j, "]");
    for (int j = 0; j < 4; ++j) to[j] = cat("made[", i * 4 + j, "]"), adds += cat(" ", to[j], " += bias;");
    s += output_line(type, in, to) + "   " + adds + "\n";
  }
  return {epilogue.helpers({k.vec}),
          s + cat("  for (int i = 0; i < 16; ++i) {\n    const int oy = ty * 4 + i / 4, ox = tx * 4 + i % 4;\n    if (oy >= OH || ox >= OW) continue;\n    const int pixel = oy * OW + ox;\n    const ",
                  type, " result = made[i];\n", epilogue.statements("result", k.vec, "n", "pixel", "c0"), "\n  }\n}\n")};
}

ConvRange winograd_range(const WinogradKernel& k, const ConvGeometry& g, std::int64_t channels) {
  ConvRange range;
  const std::uint64_t local = static_cast<std::uint64_t>(k.local), vectors = static_cast<std::uint64_t>((channels + k.vec - 1) / k.vec);
  range.local = local;
  range.global[0] = (vectors + local - 1) / local * local;
  range.global[1] = static_cast<std::uint64_t>(winograd_tiles(g));
  return range;
}

}  // namespace tenon::opencl
