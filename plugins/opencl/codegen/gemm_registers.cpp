// The skeletons without barriers: tiles in registers, and dot products of rows.
#include <tenon/types.h>

#include "plugins/opencl/codegen/gemm_parts.h"

namespace tenon::opencl {
namespace {

std::string numbered(const std::string& name, int i) { return name + text_of(i); }
std::string cell(int r, int j) { return "c" + text_of(r) + "_" + text_of(j); }

// Products of bytes add up exactly in float32 as long as K is at most this: 256 * 255 * 255 is below 2^24.
constexpr int kExactDepth = 256;

// The vector of B's weights j of quantized columns, before its scale: part of a byte of each of them.
std::string weights_text(const GemmConfig& config, const std::string& lane, int j) {
  const int v = config.vector, bytes = config.columns * config.bits / 8;
  const std::string w = v == 1 ? "" : text_of(v), column = lane == "0" ? text_of(j * v) : "(lane + " + text_of(j * v) + ")";
  const std::string at = lane == "0" ? text_of(j * v % bytes) : column + " % " + text_of(bytes);
  const std::string shift = lane == "0" ? text_of(j * v / bytes * config.bits) : column + " / " + text_of(bytes) + " * " + text_of(config.bits);
  std::string byte = v == 1 ? "bp[" + at + "]" : "vload" + w + "(0, bp + " + at + ")";
  if (shift != "0") byte = "(" + byte + " >> (uchar" + w + ")(" + shift + "))";
  if (config.bits < 8) byte = "(" + byte + " & (uchar" + w + ")(" + text_of((1 << config.bits) - 1) + "))";
  return "convert_" + gemm_type(config, v) + "(" + byte + ")";
}

}  // namespace

KernelText gemm_registers(const GemmConfig& config, const Epilogue& epilogue) {
  const int v = config.vector, vectors = config.item_columns / v, lanes = config.columns / config.item_columns, rows = config.rows;
  const std::string vector = gemm_type(config, v), result = compute_name(gemm_result(config)), results = compute_name(gemm_result(config), v);
  const bool item = config.group == 1;
  const std::string lane = lanes == 1 ? "0" : "get_local_id(0) % " + text_of(lanes) + " * " + text_of(config.item_columns);
  std::string t = gemm_head(config, epilogue);
  t += filled(
      "  const int panel = get_global_id(1), n_panel = panel * $COLUMNS;\n"
      "  const int lane = $LANE;\n"
      // A panel of a row-major B moves left rather than read beyond the last column.
      "  const int n_begin = $BEGIN;\n"
      "  const int n_first = n_panel, n0 = n_begin + lane;\n"
      "  for (int t = 0; t < row_tiles; ++t) {\n"
      "    const int m0 = (($ITEM) * row_tiles + t) * $ROWS;\n"
      "    if (m0 >= M) break;\n"
      "    const int rows = min($ROWS, M - m0);\n"
      "    __global const $B* restrict bp = b + (size_t)panel * b_panel$B_AT;\n",
      {{"COLUMNS", text_of(config.columns)}, {"ROWS", text_of(rows)}, {"B", storage_name(config.b)}, {"LANE", lane},
       {"BEGIN", config.bits ? "n_panel" : filled("b_panel == $C && n_panel + $C > N && N >= $C ? N - $C : n_panel", {{"C", text_of(config.columns)}})},
       {"B_AT", config.bits ? "" : " - (n_panel - n_begin) + lane"},
       {"ITEM", lanes == 1 ? "(int)get_global_id(0)" : "(int)get_global_id(0) / " + text_of(lanes)}});
  for (int r = 0; r < rows; ++r)
    t += filled("    __global const $A* restrict a$R = a + (size_t)(m0 + min($R, rows - 1)) * a_row;\n", {{"A", storage_name(config.a)}, {"R", text_of(r)}});
  if (config.bytes) {
    t += filled("    int tile[$COUNT] __attribute__((aligned(64)));\n"
                "    for (int i = 0; i < $COUNT; ++i) tile[i] = 0;\n"
                "    for (int k0 = 0; k0 < K; k0 += $DEPTH) {\n"
                "    const int k1 = min(K, k0 + $DEPTH);\n",
                {{"COUNT", text_of(rows * config.item_columns)}, {"DEPTH", text_of(kExactDepth)}});
  } else if (!config.bits) {
    t += "    const int k0 = 0, k1 = K;\n";
  }
  for (int r = 0; r < rows; ++r) {
    t += "    " + vector + " ";
    for (int j = 0; j < vectors; ++j) t += cell(r, j) + " = 0" + (j + 1 < vectors ? ", " : ";\n");
  }
  if (config.bits) {
    t += filled("    __global const float* restrict sp = (__global const float*)(scales_base + scales_at) + (size_t)panel * ((K + block - 1) / block) * $TWO + lane;\n"
                "    for (int k0 = 0; k0 < K; k0 += block, sp += $TWO) {\n"
                "    const int k1 = min(K, k0 + block);\n",
                {{"TWO", text_of(2 * config.columns)}});
    for (int j = 0; j < vectors; ++j)
      t += "    const " + vector + " " + numbered("s", j) + " = " + gemm_load(config, TENON_DTYPE_FLOAT, v, "sp", text_of(j * v)) + ", " + numbered("z", j) + " = " +
           gemm_load(config, TENON_DTYPE_FLOAT, v, "sp", text_of(config.columns + j * v)) + ";\n";
  }
  t += "    for (int k = k0; k < k1; ++k) {\n";
  for (int j = 0; j < vectors; ++j)
    t += "      const " + vector + " " + numbered("b", j) + " = " +
         (config.bits ? "fma(" + weights_text(config, lane, j) + ", " + numbered("s", j) + ", " + numbered("z", j) + ")" : gemm_load(config, config.b, v, "bp", text_of(j * v))) + ";\n";
  t += config.bits ? "      bp += " + text_of(config.columns * config.bits / 8) + ";\n" : "      bp += b_k;\n";
  for (int r = 0; r < rows; ++r) {
    t += "      { const " + vector + " x = (" + vector + ")(" + gemm_load(config, config.a, 1, numbered("a", r), "0") + "); " + numbered("a", r) + " += a_k; ";
    for (int j = 0; j < vectors; ++j) t += gemm_accumulate(config, cell(r, j), "x", numbered("b", j));
    t += "}\n";
  }
  t += config.bits ? "    }\n    }\n" : "    }\n";
  if (config.bytes) {
    for (int r = 0; r < rows; ++r)
      for (int j = 0; j < vectors; ++j) {
        const std::string at = text_of(r * config.item_columns + j * v);
        t += v == 1 ? "    tile[" + at + "] += (int)" + cell(r, j) + ";\n"
                    : filled("    vstore$V(vload$V(0, tile + $AT) + convert_$TYPE($CELL), 0, tile + $AT);\n",
                             {{"V", text_of(v)}, {"AT", at}, {"TYPE", results}, {"CELL", cell(r, j)}});
      }
    t += "    }\n";
  } else if (item) {
    t += filled("    $TYPE tile[$COUNT] __attribute__((aligned(64)));\n", {{"TYPE", result}, {"COUNT", text_of(rows * config.item_columns)}});
    for (int r = 0; r < rows; ++r)
      for (int j = 0; j < vectors; ++j) {
        const std::string at = text_of(r * config.item_columns + j * v);
        t += v == 1 ? "    tile[" + at + "] = " + cell(r, j) + ";\n" : "    vstore" + text_of(v) + "(" + cell(r, j) + ", 0, tile + " + at + ");\n";
      }
  }
  if (item) {
    t += filled("    const int first = max(n_first - n0, 0), width = min($COLUMNS, N - n0);\n", {{"COLUMNS", text_of(config.item_columns)}});
    t += gemm_store_indexed(config, epilogue, config.item_columns);
  } else {
    t += "    " + results + " tile_[" + text_of(rows) + "][" + text_of(vectors) + "];\n";
    for (int r = 0; r < rows; ++r)
      for (int j = 0; j < vectors; ++j) {
        const std::string at = text_of(r * config.item_columns + j * v);
        t += "    tile_[" + text_of(r) + "][" + text_of(j) + "] = " + (!config.bytes ? cell(r, j) : v == 1 ? "tile[" + at + "]" : "vload" + text_of(v) + "(0, tile + " + at + ")") + ";\n";
      }
    t += gemm_store_unrolled(config, epilogue, "tile_", rows, vectors, "m0 + r", "n0 + j * " + text_of(v));
  }
  t += "  }\n}\n";
  return gemm_text(config, epilogue, std::move(t));
}

KernelText gemm_dots(const GemmConfig& config, const Epilogue& epilogue) {
  const int v = config.vector, columns = config.item_columns, rows = config.rows;
  const std::string vector = gemm_type(config, v), scalar = gemm_type(config, 1);
  std::string t = gemm_head(config, epilogue);
  t += filled(
      "  const int n0 = (int)get_global_id(1) * $COLUMNS + (int)get_local_id(0) * $ITEM;\n"
      "  const size_t b_n = (size_t)(b_panel / $COLUMNS);\n"
      "  for (int t = 0; t < row_tiles; ++t) {\n"
      "    const int m0 = ((int)get_group_id(0) * row_tiles + t) * $ROWS;\n"
      "    if (m0 >= M || n0 >= N) break;\n"
      "    const int rows = min($ROWS, M - m0), first = 0, width = min($ITEM, N - n0);\n"
      "    $SCALAR tile[$COUNT];\n",
      {{"COLUMNS", text_of(config.columns)}, {"ITEM", text_of(columns)}, {"ROWS", text_of(rows)}, {"SCALAR", scalar}, {"COUNT", text_of(rows * columns)}});
  for (int r = 0; r < rows; ++r)
    t += filled("    __global const $A* restrict a$R = a + (size_t)(m0 + min($R, rows - 1)) * a_row;\n", {{"A", storage_name(config.a)}, {"R", text_of(r)}});
  for (int j = 0; j < columns; ++j)
    t += filled("    __global const $B* restrict b$J = b + (size_t)(n0 + min($J, width - 1)) * b_n;\n", {{"B", storage_name(config.b)}, {"J", text_of(j)}});
  for (int r = 0; r < rows; ++r) {
    t += "    " + vector + " ";
    for (int j = 0; j < columns; ++j) t += cell(r, j) + " = 0" + (j + 1 < columns ? ", " : ";\n");
  }
  // A row of A is contiguous as well, or has one element per k.
  const auto loop = [&](const std::string& head, int width, bool tail) {
    std::string s = head;
    const std::string type = gemm_type(config, width);
    for (int r = 0; r < rows; ++r) s += "      const " + type + " x" + text_of(r) + " = " + gemm_load(config, config.a, width, numbered("a", r), "k") + ";\n";
    for (int j = 0; j < columns; ++j) {
      s += "      { const " + type + " y = " + gemm_load(config, config.b, width, numbered("b", j), "k") + "; ";
      for (int r = 0; r < rows; ++r) s += gemm_accumulate(config, tail && v > 1 ? cell(r, j) + ".s0" : cell(r, j), numbered("x", r), "y");
      s += "}\n";
    }
    return s + "    }\n";
  };
  t += "    int k = 0;\n";
  if (v > 1) t += loop("    for (; k + " + text_of(v) + " <= K; k += " + text_of(v) + ") {\n", v, false);
  t += loop("    for (; k < K; ++k) {\n", 1, true);
  for (int r = 0; r < rows; ++r)
    for (int j = 0; j < columns; ++j) {
      // Halves are added to each other, so that the order of sums is a tree.
      std::string sum = cell(r, j);
      t += "    { ";
      for (int w = v / 2; w >= 1; w /= 2) {
        const std::string next = "s" + text_of(w);
        t += "const " + gemm_type(config, w) + " " + next + " = " + sum + ".lo + " + sum + ".hi; ";
        sum = next;
      }
      t += "tile[" + text_of(r * columns + j) + "] = " + sum + "; }\n";
    }
  GemmConfig store = config;
  store.vector = columns;
  t += gemm_store_indexed(store, epilogue, columns) + "  }\n}\n";
  return gemm_text(store, epilogue, std::move(t));
}

}  // namespace tenon::opencl
