// The skeletons for devices with fast local memory: tiles shared by a group, and few rows with K split among the items.
#include "plugins/opencl/codegen/gemm_parts.h"

namespace tenon::opencl {

// Items stand in a grid of (columns / item_columns) x rest; item (x, y) has rows y * rows + r, and vectors of columns x * vector apart by
// all items' vectors, so that neighbours read and store neighbouring vectors.
KernelText gemm_local(const GemmConfig& config, const Epilogue& epilogue) {
  const int v = config.vector, vectors = config.item_columns / v, across = config.columns / config.item_columns, down = config.group / across;
  const int tile_rows = down * config.rows;
  const std::string vector = gemm_type(config, v), scalar = gemm_type(config, 1), type = compute_name(gemm_result(config), v);
  std::string t = gemm_head(config, epilogue);
  t += filled(
      "  __local $SCALAR as[$DEPTH][$TILE_ROWS + 1];\n"
      "  __local $SCALAR bs[$DEPTH][$COLUMNS] __attribute__((aligned(64)));\n"
      "  const int id = get_local_id(0), x = id % $ACROSS, y = id / $ACROSS;\n"
      "  const int tile_m = (int)get_group_id(0) * $TILE_ROWS, panel = get_group_id(1), n0 = panel * $COLUMNS, n_first = n0;\n"
      "  b += (size_t)panel * b_panel;\n"
      "  $VECTOR c_[$ROWS][$VECTORS];\n"
      "  __attribute__((opencl_unroll_hint($ROWS)))\n"
      "  for (int r = 0; r < $ROWS; ++r)\n"
      "    __attribute__((opencl_unroll_hint($VECTORS)))\n"
      "    for (int j = 0; j < $VECTORS; ++j) c_[r][j] = 0;\n"
      "$SUMS"
      "  for (int k0 = 0; k0 < K; k0 += $DEPTH) {\n"
      // Neighbours load neighbours: along k where A's rows are contiguous, else along m.
      "    if (a_k == 1)\n"
      "      for (int i = id; i < $TILE_ROWS * $DEPTH; i += $GROUP) {\n"
      "        const int k = i % $DEPTH, m = i / $DEPTH;\n"
      "        as[k][m] = tile_m + m < M && k0 + k < K ? $LOAD_A : 0;\n"
      "      }\n"
      "    else\n"
      "      for (int i = id; i < $TILE_ROWS * $DEPTH; i += $GROUP) {\n"
      "        const int m = i % $TILE_ROWS, k = i / $TILE_ROWS;\n"
      "        as[k][m] = tile_m + m < M && k0 + k < K ? $LOAD_A : 0;\n"
      "      }\n"
      "    for (int i = id; i < $COLUMNS * $DEPTH; i += $GROUP) {\n"
      "      const int n = i % $COLUMNS, k = i / $COLUMNS;\n"
      "      bs[k][n] = n0 + n < N && k0 + k < K ? $LOAD_B : 0;\n"
      "    }\n"
      "    barrier(CLK_LOCAL_MEM_FENCE);\n"
      "    __attribute__((opencl_unroll_hint(4)))\n"
      "    for (int k = 0; k < $DEPTH; ++k) {\n"
      "      $VECTOR bv[$VECTORS];\n"
      "      __attribute__((opencl_unroll_hint($VECTORS)))\n"
      "      for (int j = 0; j < $VECTORS; ++j) bv[j] = $LOCAL_B;\n"
      "      __attribute__((opencl_unroll_hint($ROWS)))\n"
      "      for (int r = 0; r < $ROWS; ++r) {\n"
      "        const $VECTOR av = ($VECTOR)(as[k][y * $ROWS + r]);\n"
      "        __attribute__((opencl_unroll_hint($VECTORS)))\n"
      "        for (int j = 0; j < $VECTORS; ++j) { $ADD}\n"
      "      }\n"
      "    }\n"
      "    barrier(CLK_LOCAL_MEM_FENCE);\n"
      "$FLUSH"
      "  }\n",
      {{"SCALAR", scalar}, {"VECTOR", vector}, {"DEPTH", text_of(config.depth)}, {"TILE_ROWS", text_of(tile_rows)}, {"COLUMNS", text_of(config.columns)},
       {"ACROSS", text_of(across)}, {"ROWS", text_of(config.rows)}, {"VECTORS", text_of(vectors)}, {"GROUP", text_of(config.group)},
       {"LOAD_A", gemm_load(config, config.a, 1, "a", "(size_t)(tile_m + m) * a_row + (size_t)(k0 + k) * a_k")},
       {"LOAD_B", gemm_load(config, config.b, 1, "b", "(size_t)(k0 + k) * b_k + n")},
       {"LOCAL_B", v == 1 ? "bs[k][(j * " + text_of(across) + " + x)]" : "vload" + text_of(v) + "(j * " + text_of(across) + " + x, bs[k])"},
       {"ADD", gemm_accumulate(config, "c_[r][j]", "av", "bv[j]")},
       // Float sums of products of bytes are exact for 256 steps.
       {"SUMS", !config.bytes ? ""
                              : filled("  $TYPE sum_[$ROWS][$VECTORS];\n"
                                       "  __attribute__((opencl_unroll_hint($ROWS)))\n"
                                       "  for (int r = 0; r < $ROWS; ++r)\n"
                                       "    __attribute__((opencl_unroll_hint($VECTORS)))\n"
                                       "    for (int j = 0; j < $VECTORS; ++j) sum_[r][j] = 0;\n",
                                       {{"TYPE", type}, {"ROWS", text_of(config.rows)}, {"VECTORS", text_of(vectors)}})},
       {"FLUSH", !config.bytes ? ""
                               : filled("    if ((k0 + $DEPTH) % 256 == 0 || k0 + $DEPTH >= K) {\n"
                                        "      __attribute__((opencl_unroll_hint($ROWS)))\n"
                                        "      for (int r = 0; r < $ROWS; ++r)\n"
                                        "        __attribute__((opencl_unroll_hint($VECTORS)))\n"
                                        "        for (int j = 0; j < $VECTORS; ++j) { sum_[r][j] += convert_$TYPE(c_[r][j]); c_[r][j] = 0; }\n"
                                        "    }\n",
                                        {{"TYPE", type}, {"DEPTH", text_of(config.depth)}, {"ROWS", text_of(config.rows)}, {"VECTORS", text_of(vectors)}})}});
  t += gemm_store_unrolled(config, epilogue, config.bytes ? "sum_" : "c_", config.rows, vectors, "tile_m + y * " + text_of(config.rows) + " + r",
                           "n0 + (j * " + text_of(across) + " + x) * " + text_of(v));
  t += "}\n";
  return gemm_text(config, epilogue, std::move(t));
}

// Items stand in a grid of (columns / vector) lanes x slices; slice s adds k = s, s + slices, ...
KernelText gemm_split(const GemmConfig& config, const Epilogue& epilogue) {
  const int v = config.vector, lanes = config.columns / v, slices = config.group / lanes, rows = config.rows;
  const std::string vector = gemm_type(config, v), type = compute_name(gemm_result(config), v);
  std::string t = gemm_head(config, epilogue);
  t += filled(
      "  __local $TYPE part[$ROWS][$GROUP];\n"
      "  const int id = get_local_id(0), lane = id % $LANES * $V, slice = id / $LANES;\n"
      "  const int panel = get_group_id(1), n_panel = panel * $COLUMNS, n_first = n_panel;\n"
      "  const int n_begin = b_panel == $COLUMNS && n_panel + $COLUMNS > N && N >= $COLUMNS ? N - $COLUMNS : n_panel;\n"
      "  const int m0 = (int)get_group_id(0) * $ROWS, rows = min($ROWS, M - m0), n0 = n_begin + lane;\n"
      "  b += (size_t)panel * b_panel - (n_panel - n_begin) + lane;\n",
      {{"TYPE", type}, {"ROWS", text_of(rows)}, {"GROUP", text_of(config.group)}, {"LANES", text_of(lanes)}, {"V", text_of(v)}, {"COLUMNS", text_of(config.columns)}});
  for (int r = 0; r < rows; ++r) {
    t += filled("  __global const $A* restrict a$R = a + (size_t)(m0 + min($R, rows - 1)) * a_row;\n", {{"A", storage_name(config.a)}, {"R", text_of(r)}});
    t += "  " + type + " c" + text_of(r) + " = 0;\n";
  }
  // Products of bytes are added as integers right away: a slice is bound by memory.
  t += "  for (int k = slice; k < K; k += " + text_of(slices) + ") {\n    const " + vector + " y = " + gemm_load(config, config.b, v, "b", "(size_t)k * b_k") + ";\n";
  for (int r = 0; r < rows; ++r) {
    const std::string n = text_of(r), x = "(" + vector + ")(" + gemm_load(config, config.a, 1, "a" + n, "(size_t)k * a_k") + ")";
    t += "    " + (config.bytes ? "c" + n + " += convert_" + type + "(" + x + " * y);" : gemm_accumulate(config, "c" + n, x, "y")) + "\n";
  }
  t += "  }\n";
  for (int r = 0; r < rows; ++r) t += "  part[" + text_of(r) + "][id] = c" + text_of(r) + ";\n";
  t += filled(
      "  barrier(CLK_LOCAL_MEM_FENCE);\n"
      "  if (slice == 0) {\n"
      "    $TYPE tile_[$ROWS][1];\n"
      "    __attribute__((opencl_unroll_hint($ROWS)))\n"
      "    for (int r = 0; r < $ROWS; ++r) {\n"
      "      tile_[r][0] = part[r][id];\n"
      "      for (int s = 1; s < $SLICES; ++s) tile_[r][0] += part[r][s * $LANES + id];\n"
      "    }\n",
      {{"TYPE", type}, {"ROWS", text_of(rows)}, {"SLICES", text_of(slices)}, {"LANES", text_of(lanes)}});
  t += gemm_store_unrolled(config, epilogue, "tile_", rows, 1, "m0 + r", "n0") + "  }\n}\n";
  return gemm_text(config, epilogue, std::move(t));
}

}  // namespace tenon::opencl
