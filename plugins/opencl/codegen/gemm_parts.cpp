#include "plugins/opencl/codegen/gemm_parts.h"

namespace tenon::opencl {
namespace {

// What happens to `acc`, `width` finished sums at row and column, before and in the epilogue.
std::string finish(const GemmConfig& config, const Epilogue& epilogue, int width, const std::string& row, const std::string& column) {
  const std::string type = compute_name(gemm_result(config), width);
  std::string out;
  if (config.bytes)
    out += filled("acc -= (zero_step ? $LOAD : ($TYPE)((int)zeros[0])) * ($TYPE)(sums[$ROW]); ",
                  {{"LOAD", "convert_" + type + "(" + (width == 1 ? "zeros[" + column + "]" : "vload" + text_of(width) + "(0, zeros + (" + column + "))") + ")"},
                   {"TYPE", type}, {"ROW", row}});
  if (config.scaled) out += "acc *= (" + type + ")(alpha); ";
  return out + epilogue.statements("acc", width, "batch", row, column);
}

}  // namespace

std::string gemm_head(const GemmConfig& config, const Epilogue& epilogue) {
  std::string parameters =
      "__global const char* restrict a_base, ulong a_at, __global const char* restrict b_base, ulong b_at,\n"
      "    int M, int N, int K, int a_row, int a_k, int b_panel, int b_k, int row_tiles";
  std::string offsets = "  const int batch = get_global_id(2);\n";
  std::string a = "a_at", b = "b_at";
  if (config.batched) {
    parameters +=
        ",\n    int batch1, int batch2, int batch3, int a_batch0, int a_batch1, int a_batch2, int a_batch3, int b_batch0, int b_batch1, int b_batch2, "
        "int b_batch3";
    offsets +=
        "  const int i3 = batch % batch3, i2 = batch / batch3 % batch2, i1 = batch / batch3 / batch2 % batch1, i0 = batch / batch3 / batch2 / batch1;\n"
        "  const long a_first = (long)i0 * a_batch0 + (long)i1 * a_batch1 + (long)i2 * a_batch2 + (long)i3 * a_batch3;\n"
        "  const long b_first = (long)i0 * b_batch0 + (long)i1 * b_batch1 + (long)i2 * b_batch2 + (long)i3 * b_batch3;\n";
  }
  if (config.scaled) parameters += ",\n    " + gemm_type(config, 1) + " alpha";
  if (config.bytes) parameters += ",\n    __global const char* restrict sums_base, ulong sums_at, __global const char* restrict zeros_base, ulong zeros_at, int zero_step";
  if (config.bits) parameters += ",\n    __global const char* restrict scales_base, ulong scales_at, int block";
  const auto pointer = [&](const char* name, const std::string& type, const std::string& first) {
    return filled("  __global const $TYPE* restrict $NAME = (__global const $TYPE*)($BASE + $AT)$FIRST;\n",
                  {{"TYPE", type}, {"NAME", name}, {"BASE", std::string(name) + "_base"}, {"AT", std::string(name) + "_at"}, {"FIRST", first.empty() ? "" : " + " + first}});
  };
  offsets += pointer("a", storage_name(config.a), config.batched ? "a_first" : "") + pointer("b", storage_name(config.b), config.batched ? "b_first" : "");
  // A's rows are dense, so that its first row has the number of its first element by the row's length.
  if (config.bytes) offsets += pointer("sums", "int", config.batched ? "a_first / K" : "") + pointer("zeros", storage_name(config.b), "");
  return filled("__kernel __attribute__((reqd_work_group_size($GROUP, 1, 1)))\nvoid KERNEL_NAME($PARAMETERS$EPILOGUE) {\n$OFFSETS",
                {{"GROUP", text_of(config.group)}, {"PARAMETERS", parameters}, {"EPILOGUE", epilogue.parameters()}, {"OFFSETS", offsets}});
}

KernelText gemm_text(const GemmConfig& config, const Epilogue& epilogue, std::string body) {
  return {epilogue.helpers(config.vector == 1 ? std::vector<int>{1} : std::vector<int>{config.vector, 1}), std::move(body)};
}

std::string gemm_load(const GemmConfig& config, std::int32_t dtype, int width, const std::string& pointer, const std::string& index) {
  const std::string text = load_text(dtype, width, pointer, index);
  return compute_of(dtype) == config.compute ? text : "convert_" + gemm_type(config, width) + "(" + text + ")";
}

std::string gemm_accumulate(const GemmConfig& config, const std::string& c, const std::string& x, const std::string& b) {
  const bool floats = config.compute == Compute::f32 || config.compute == Compute::f64;
  return floats ? c + " = fma(" + x + ", " + b + ", " + c + "); " : c + " += " + x + " * " + b + "; ";
}

std::string gemm_store_indexed(const GemmConfig& config, const Epilogue& epilogue, int columns) {
  const int v = config.vector < columns ? config.vector : columns;
  return filled(
      v == 1 ? "    for (int r = 0; r < rows; ++r)\n"
               "      for (int c = first; c < width; ++c) { $SCALAR acc = tile[r * $COLUMNS + c]; $FINISH1 }\n"
             : "    for (int r = 0; r < rows; ++r) {\n"
               "      int c = first;\n"
               "      for (; c + $V <= width; c += $V) { $VECTOR acc = vload$V(0, tile + r * $COLUMNS + c); $FINISHV }\n"
               "      for (; c < width; ++c) { $SCALAR acc = tile[r * $COLUMNS + c]; $FINISH1 }\n"
               "    }\n",
      {{"SCALAR", compute_name(gemm_result(config))}, {"VECTOR", compute_name(gemm_result(config), v)}, {"V", text_of(v)}, {"COLUMNS", text_of(columns)},
       {"FINISH1", finish(config, epilogue, 1, "(m0 + r)", "(n0 + c)")}, {"FINISHV", v == 1 ? "" : finish(config, epilogue, v, "(m0 + r)", "(n0 + c)")}});
}

std::string gemm_store_unrolled(const GemmConfig& config, const Epilogue& epilogue, const std::string& name, int rows, int vectors,
                                const std::string& row, const std::string& column) {
  const int v = config.vector;
  std::string scalars;
  for (int i = 0; i < v && v > 1; ++i)
    scalars += filled("          if (c + $I >= n_first && c + $I < N) { $SCALAR acc = $NAME[r][j].s$LANE; $FINISH }\n",
                      {{"I", text_of(i)}, {"SCALAR", compute_name(gemm_result(config))}, {"NAME", name}, {"LANE", std::string(1, "0123456789abcdef"[i])},
                       {"FINISH", finish(config, epilogue, 1, "m", "(c + " + text_of(i) + ")")}});
  return filled(
      "    __attribute__((opencl_unroll_hint($ROWS)))\n"
      "    for (int r = 0; r < $ROWS; ++r) {\n"
      "      const int m = $ROW;\n"
      "      if (m < M) {\n"
      "        __attribute__((opencl_unroll_hint($VECTORS)))\n"
      "        for (int j = 0; j < $VECTORS; ++j) {\n"
      "          const int c = $COLUMN;\n"
      "          if (c >= n_first && c + $V <= N) { $TYPE acc = $NAME[r][j]; $FINISH } else {\n"
      "$SCALARS          }\n"
      "        }\n"
      "      }\n"
      "    }\n",
      {{"ROWS", text_of(rows)}, {"VECTORS", text_of(vectors)}, {"ROW", row}, {"COLUMN", column}, {"V", text_of(v)}, {"NAME", name}, {"SCALARS", scalars},
       {"TYPE", compute_name(gemm_result(config), v)}, {"FINISH", finish(config, epilogue, v, "m", "c")}});
}

}  // namespace tenon::opencl
