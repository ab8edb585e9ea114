#include "plugins/opencl/codegen/gemm_pack.h"

#include <algorithm>
#include <cstring>

#include "plugins/opencl/codegen/gemm_text.h"

namespace tenon::opencl {
namespace {

template <class T>
void pack(const T* b, std::int64_t k_stride, std::int64_t n_stride, std::int64_t k, std::int64_t n, int columns, T* to) {
  for (std::int64_t n0 = 0; n0 < n; n0 += columns) {
    const std::int64_t width = std::min<std::int64_t>(columns, n - n0);
    for (std::int64_t i = 0; i < k; ++i, to += columns) {
      const T* row = b + i * k_stride + n0 * n_stride;
      if (n_stride == 1) {
        std::memcpy(to, row, static_cast<std::size_t>(width) * sizeof(T));
      } else {
        for (std::int64_t j = 0; j < width; ++j) to[j] = row[j * n_stride];
      }
      std::fill(to + width, to + columns, T{});
    }
  }
}

const char* const kBatch =
    "  const int i3 = batch % batch3, i2 = batch / batch3 % batch2, i1 = batch / batch3 / batch2 % batch1, i0 = batch / batch3 / batch2 / batch1;\n"
    "  __global const $FROM* restrict from = (__global const $FROM*)(from_base + from_at) + ((long)i0 * from_batch0 + (long)i1 * from_batch1 + (long)i2 * "
    "from_batch2 + (long)i3 * from_batch3);\n";
const char* const kBatchParameters = "int batch1, int batch2, int batch3, int from_batch0, int from_batch1, int from_batch2, int from_batch3";

// Moves bits where nothing is converted: half types stay what they are.
std::string loaded(const PackConfig& c, int width, const std::string& index) {
  if (c.from != c.to) return load_text(c.from, width, "from", index);
  return width == 1 ? "from[" + index + "]" : "vload" + text_of(width) + "(0, from + (" + index + "))";
}

// A loop over squares of 16 columns n and 16 k, which leaves n behind the last square.
std::string square_text(const PackConfig& c) {
  std::string t = "  if (k_stride == 1 && k1 - k0 == " + text_of(kPackDepth) + ")\n    for (; n + 16 <= width; n += 16)\n      for (int k = k0; k < k1; k += 16) {\n";
  const std::string type = storage_name(c.to) + "16";
  for (int i = 0; i < 16; ++i) t += "        const " + type + " r0_" + text_of(i) + " = " + loaded(c, 16, "(long)(n + " + text_of(i) + ") * n_stride + k") + ";\n";
  // Four times, neighbours in a perfect shuffle of the rows are woven into each other.
  for (int step = 0; step < 4; ++step)
    for (int i = 0; i < 8; ++i) {
      const std::string x = "r" + text_of(step) + "_" + text_of(i), y = "r" + text_of(step) + "_" + text_of(i + 8), to = "        const " + type + " r" + text_of(step + 1) + "_";
      for (int half = 0; half < 2; ++half) {
        t += to + text_of(2 * i + half) + " = (" + type + ")(";
        for (int w = 0; w < 8; ++w) {
          const std::string lane = std::string(".s") + "0123456789abcdef"[half * 8 + w];
          t += x + lane + ", " + y + lane + (w < 7 ? ", " : ");\n");
        }
      }
    }
  for (int i = 0; i < 16; ++i) t += "        vstore16(r4_" + text_of(i) + ", 0, to + (size_t)(k + " + text_of(i) + ") * " + text_of(c.columns) + " + n);\n";
  return t + "      }\n";
}

}  // namespace

std::int64_t packed_panel_bytes(std::int64_t k, std::int64_t n, int columns, std::int64_t element_bytes) {
  return (n + columns - 1) / columns * columns * k * element_bytes;
}

void pack_panels(const void* b, std::int64_t k_stride, std::int64_t n_stride, std::int64_t k, std::int64_t n, int columns, std::int64_t element_bytes, void* to) {
  const auto run = [&]<class T>(T) { pack(static_cast<const T*>(b), k_stride, n_stride, k, n, columns, static_cast<T*>(to)); };
  switch (element_bytes) {
    case 1: return run(std::uint8_t{});
    case 2: return run(std::uint16_t{});
    case 4: return run(std::uint32_t{});
    default: return run(std::uint64_t{});
  }
}

KernelText pack_panels_kernel(const PackConfig& c) {
  std::string t = filled(
      "__kernel __attribute__((reqd_work_group_size($GROUP, 1, 1)))\n"
      "void KERNEL_NAME(__global const char* restrict from_base, ulong from_at, __global char* restrict to_base, ulong to_at, int K, int N, int k_stride, int n_stride,\n"
      "    $BATCH) {\n"
      "  const int panel = get_global_id(1), batch = get_global_id(2), n0 = panel * $COLUMNS, width = min($COLUMNS, N - n0);\n",
      {{"GROUP", text_of(c.group)}, {"BATCH", kBatchParameters}, {"COLUMNS", text_of(c.columns)}});
  t += filled(kBatch, {{"FROM", storage_name(c.from)}});
  t += filled(
      "  __global $TO* restrict to = (__global $TO*)(to_base + to_at) + ((size_t)batch * get_global_size(1) + panel) * K * $COLUMNS;\n"
      "  from += (long)n0 * n_stride;\n",
      {{"TO", storage_name(c.to)}, {"COLUMNS", text_of(c.columns)}});
  if (c.group == 1) {
    // Where k is contiguous, squares of 16 rows become 16 columns in registers; where n is, rows are copied as vectors.
    const bool squares = c.columns % 16 == 0;
    t += filled(
        "  const int k0 = (int)get_global_id(0) * $DEPTH, k1 = min(K, k0 + $DEPTH);\n"
        "  if (n_stride == 1 && width == $COLUMNS) {\n"
        "    for (int k = k0; k < k1; ++k)\n"
        "      for (int n = 0; n < $COLUMNS; n += $V) vstore$V($LOADV, 0, to + (size_t)k * $COLUMNS + n);\n"
        "    return;\n"
        "  }\n"
        "  int n = 0;\n"
        "$SQUARES"
        "  for (; n < $COLUMNS; ++n) {\n"
        "    if (n >= width) {\n"
        "      for (int k = k0; k < k1; ++k) to[(size_t)k * $COLUMNS + n] = 0;\n"
        "    } else if (k_stride == 1) {\n"
        "      for (int k = k0; k < k1; ++k) to[(size_t)k * $COLUMNS + n] = $LOADK;\n"
        "    } else {\n"
        "      for (int k = k0; k < k1; ++k) to[(size_t)k * $COLUMNS + n] = $LOAD1;\n"
        "    }\n"
        "  }\n"
        "}\n",
        {{"DEPTH", text_of(kPackDepth)}, {"COLUMNS", text_of(c.columns)}, {"V", text_of(std::min(16, c.columns))}, {"SQUARES", squares ? square_text(c) : ""},
         {"LOADV", loaded(c, std::min(16, c.columns), "(long)k * k_stride + n")}, {"LOADK", loaded(c, 1, "(long)n * n_stride + k")},
         {"LOAD1", loaded(c, 1, "(long)n * n_stride + (long)k * k_stride")}});
  } else {
    t += filled(
        "  const int i = get_global_id(0), k = i / $COLUMNS, n = i % $COLUMNS;\n"
        "  if (k < K) to[(size_t)k * $COLUMNS + n] = n < width ? $LOAD : 0;\n"
        "}\n",
        {{"COLUMNS", text_of(c.columns)}, {"LOAD", loaded(c, 1, "(long)n * n_stride + (long)k * k_stride")}});
  }
  return {{}, t};
}

KernelText pack_rows_kernel(const PackConfig& c) {
  const bool item = c.group == 1;
  std::string t = filled(
      "__kernel __attribute__((reqd_work_group_size($GROUP, 1, 1)))\n"
      "void KERNEL_NAME(__global const char* restrict from_base, ulong from_at, __global char* restrict to_base, ulong to_at, int M, int K, int row_stride, int k_stride,\n"
      "    $BATCH$ZEROS) {\n"
      "  const int m = get_group_id(0), id = get_local_id(0), batch = get_global_id(2);\n",
      {{"GROUP", text_of(c.group)}, {"BATCH", kBatchParameters},
       {"ZEROS", c.zeros ? ",\n    __global const char* restrict zeros_base, ulong zeros_at, int zero_batch, int zero_row, __global char* restrict sums_base, ulong sums_at" : ""}});
  t += filled(kBatch, {{"FROM", storage_name(c.from)}});
  t += filled(
      "  __global $TO* restrict to = (__global $TO*)(to_base + to_at) + ((size_t)batch * M + m) * K;\n"
      "  from += (long)m * row_stride;\n"
      "  int k = id;\n",
      {{"TO", storage_name(c.to)}});
  if (c.zeros)
    t += filled("  const int zero = ((__global const $FROM*)(zeros_base + zeros_at))[(size_t)batch * zero_batch + (size_t)m * zero_row];\n  int sum = 0;\n", {{"FROM", storage_name(c.from)}});
  const std::string one = loaded(c, 1, "(long)k * k_stride"), many = loaded(c, 16, "k");
  if (c.zeros) {
    if (item)
      t += "  if (k_stride == 1) {\n    int16 sums = 0;\n    for (; k + 16 <= K; k += 16) { const int16 x = convert_int16(" + many +
           ") - zero; sums += x; vstore16(convert_float16(x), 0, to + k); }\n"
           "    const int8 s8 = sums.lo + sums.hi; const int4 s4 = s8.lo + s8.hi; const int2 s2 = s4.lo + s4.hi; sum = s2.lo + s2.hi;\n  }\n";
    t += filled("  for (; k < K; k += $GROUP) { const int x = (int)($LOAD) - zero; sum += x; to[k] = (float)x; }\n", {{"GROUP", text_of(c.group)}, {"LOAD", one}});
    if (!item)
      t += filled(
          "  __local int part[$GROUP];\n"
          "  part[id] = sum;\n"
          "  barrier(CLK_LOCAL_MEM_FENCE);\n"
          "  for (int i = 1; i < $GROUP && id == 0; ++i) sum += part[i];\n",
          {{"GROUP", text_of(c.group)}});
    t += "  if (id == 0) ((__global int*)(sums_base + sums_at))[(size_t)batch * M + m] = sum;\n";
  } else {
    if (item) t += "  if (k_stride == 1)\n    for (; k + 16 <= K; k += 16) vstore16(" + many + ", 0, to + k);\n";
    t += filled("  for (; k < K; k += $GROUP) to[k] = $LOAD;\n", {{"GROUP", text_of(c.group)}, {"LOAD", one}});
  }
  return {{}, t + "}\n"};
}

}  // namespace tenon::opencl
