#include "sdk/kit/operator_table.h"

#include <initializer_list>

namespace tenon::kit {
namespace {

using Ints = std::vector<std::int64_t>;

Operand T(Dims dims, double lo = -4, double hi = 4) { return {0, std::move(dims), lo, hi, {}, false, false, false}; }
Operand N(Dims dims, double lo, double hi) { return {0, std::move(dims), lo, hi, {}, false, false, true}; }
Operand C(Operand o) { return o.constant = true, o; }  // the same as an initializer
Operand of(std::int32_t dtype, Dims dims, double lo, double hi) { return {dtype, std::move(dims), lo, hi, {}, false, false, false}; }
Operand F(Dims dims, double lo = -4, double hi = 4) { return of(TENON_DTYPE_FLOAT, std::move(dims), lo, hi); }
Operand B(Dims dims) { return of(TENON_DTYPE_BOOL, std::move(dims), 0, 1); }
Operand Index(Dims dims, double lo, double hi) { return of(TENON_DTYPE_INT64, std::move(dims), lo, hi); }
Operand U8(Dims dims, double lo = 0, double hi = 200) { return of(TENON_DTYPE_UINT8, std::move(dims), lo, hi); }
Operand I8(Dims dims, double lo = -100, double hi = 100) { return of(TENON_DTYPE_INT8, std::move(dims), lo, hi); }
// A constant list of whole numbers: axes, shapes, pads.
Operand L(std::initializer_list<double> values) {
  return {TENON_DTYPE_INT64, {static_cast<std::int64_t>(values.size())}, 0, 0, std::vector<double>(values), true, false, false};
}
// One constant number of the swept type, of float32, of any type.
Operand S(double value) { return {0, {}, 0, 0, {value}, true, false, false}; }
Operand FS(double value) { return {TENON_DTYPE_FLOAT, {}, 0, 0, {value}, true, false, false}; }
Operand typed(std::int32_t dtype, double value) { return {dtype, {}, 0, 0, {value}, true, false, false}; }
const Operand none{0, {}, 0, 0, {}, false, true, false};

Attribute i(const char* name, std::int64_t value) { return {name, value}; }
Attribute f(const char* name, float value) { return {name, value}; }
Attribute s(const char* name, const char* value) { return {name, std::string(value)}; }
Attribute is(const char* name, Ints values) { return {name, std::move(values)}; }

class Table {
 public:
  std::vector<Row> rows;

  Row& row(std::string op, std::vector<Operand> operands, std::vector<Attribute> attributes = {}, int outputs = 1) {
    rows.push_back({std::move(op), std::move(operands), std::move(attributes), outputs, 1, 0, "", false, false});
    return rows.back();
  }
  // Elements change places only.
  void move(std::string op, std::vector<Operand> operands, std::vector<Attribute> attributes = {}, int outputs = 1) {
    Row& r = row(std::move(op), std::move(operands), std::move(attributes), outputs);
    r.moves = r.specials = true;
  }
  void unary(std::initializer_list<const char*> ops, double lo = -4, double hi = 4) {
    for (const char* op : ops) {
      row(op, {T({-1, -2, -3}, lo, hi)}).specials = true;
      row(op, {T({-4}, lo, hi)}).specials = true;
    }
  }
  void binary(std::initializer_list<const char*> ops, double lo = -4, double hi = 4) {
    for (const char* op : ops) {
      row(op, {T({-1, -2}, lo, hi), T({-1, -2}, lo, hi)}).specials = true;
      row(op, {T({-1, -2, -3}, lo, hi), T({-2, 1}, lo, hi)}).specials = true;
      row(op, {T({-1, -2}, lo, hi), C(T({-2}, lo, hi))});
    }
  }
  void reduce(std::initializer_list<const char*> ops, double lo = -4, double hi = 4) {
    for (const char* op : ops) {
      row(op, {T({-1, -2, -3}, lo, hi), L({-1})});
      row(op, {T({-1, -2, -3, 4}, lo, hi), L({1, 2})}, {i("keepdims", 0)});
      row(op, {T({-1, -2}, lo, hi)});
    }
  }
};

void elementwise(Table& t) {
  t.unary({"Abs",       "Neg",       "Ceil",     "Floor", "Round", "Sign",       "Identity",
           "Relu",      "LeakyRelu", "Elu",      "Celu",  "Selu",  "Sigmoid",    "HardSigmoid",
           "HardSwish", "Softplus",  "Softsign", "Tanh",  "Gelu",  "Mish",       "ThresholdedRelu",
           "Erf",       "Exp",       "Sin",      "Cos",   "Tan",   "Atan",       "Sinh",
           "Cosh",      "Asinh",     "IsNaN",    "IsInf", "Swish", "BitwiseNot", "Not",
           "Shrink"});
  t.unary({"Log", "Sqrt", "Reciprocal"}, 0.5, 8);
  t.unary({"Asin", "Acos"}, -1, 1);
  t.unary({"Atanh"}, -0.9, 0.9);
  t.unary({"Acosh"}, 1, 8);
  t.binary({"Add", "Sub", "Mul", "Min", "Max", "Mean", "Sum", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And",
            "Or", "Xor", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "PRelu"});
  t.binary({"Div"}, 1, 6);
  t.binary({"Pow"}, 0.5, 3);
  t.row("Mod", {T({-1, -2}, 1, 9), T({-2}, 1, 5)});
  t.row("Mod", {T({-1, -2}, -9, 9), T({-2}, 1, 5)}, {i("fmod", 1)});
  t.row("BitShift", {T({-1, -2}, 0, 9), T({-2}, 0, 3)}, {s("direction", "LEFT")});
  t.row("Clip", {T({-1, -2}), S(1), S(3)});
  t.row("Clip", {T({-1, -2}), S(1)});
  t.move("Where", {B({-1, -2}), T({-1, -2}), T({-2})});
  t.row("Max", {T({-1, -2}), T({-2}), T({-1, -2})});
  for (const std::int32_t to :
       {TENON_DTYPE_FLOAT, TENON_DTYPE_FLOAT16, TENON_DTYPE_INT32, TENON_DTYPE_INT64, TENON_DTYPE_UINT8, TENON_DTYPE_BOOL})
    t.row("Cast", {N({-1, -2}, 0, 4)}, {i("to", to)});
  t.row("CastLike", {N({-1, -2}, 0, 4), F({1})});
  t.row("Dropout", {T({-1, -2})});
}

void reductions(Table& t) {
  t.reduce({"ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp"});
  t.reduce({"ReduceLogSum"}, 0.5, 4);
  t.reduce({"ReduceProd"}, 0.5, 1.5);
  for (const char* op : {"ArgMax", "ArgMin"}) {
    t.row(op, {T({-1, -2, -3}, -40, 40)}, {i("axis", 1)});
    t.row(op, {T({-1, -2}, -3, 3)}, {i("axis", -1), i("keepdims", 0), i("select_last_index", 1)});
  }
  t.row("CumSum", {T({-1, -2}, 0, 2), typed(TENON_DTYPE_INT64, 1)});
  t.row("CumSum", {T({-1, -2}, 0, 2), typed(TENON_DTYPE_INT64, 0)}, {i("exclusive", 1), i("reverse", 1)});
  t.row("TopK", {T({-1, 9}, -100, 100), L({3})}, {}, 1);
  for (const char* op : {"Softmax", "LogSoftmax"}) {
    t.row(op, {T({-1, -2, -3})});
    t.row(op, {T({-1, -2, -3})}, {i("axis", 1)});
  }
  t.row("Hardmax", {T({-1, -2}, -40, 40)});
}

void movement(Table& t) {
  t.move("Transpose", {T({-1, -2, -3})}, {is("perm", {2, 0, 1})});
  t.move("Transpose", {T({-1, -2})});
  t.move("Reshape", {T({2, -1, 6}), L({0, 3, -1})});
  t.move("Flatten", {T({-1, -2, -3})}, {i("axis", 2)});
  t.move("Squeeze", {T({-1, 1, -2, 1}), L({1, 3})});
  t.move("Unsqueeze", {T({-1, -2}), L({0, 2})});
  t.move("Expand", {T({-1, 1, 3}), L({1, 4, 3})});
  t.move("Tile", {T({-1, -2}), L({2, 3})});
  t.move("Concat", {T({-1, 2, -2}), T({-1, 3, -2}), C(T({-1, 1, -2}))}, {i("axis", 1)});
  t.move("Concat", {T({-1, 2}), T({-1, 3})}, {i("axis", -1)});
  t.move("Split", {T({-1, 7}), L({2, 5})}, {i("axis", 1)}, 2);
  t.move("Split", {T({6, -1})}, {i("num_outputs", 2)}, 2);
  t.move("Slice", {T({9, -1, 8}), L({1, -6}), L({8, 100}), L({0, 2}), L({2, 1})});
  t.move("Slice", {T({9, -1}), L({7}), L({1}), L({0}), L({-2})});
  t.move("Pad", {T({-1, -2}), L({1, 0, 2, 3}), S(2)});
  t.move("Pad", {T({-1, 6}), L({0, 2, 0, 3})}, {s("mode", "reflect")});
  t.move("Pad", {T({-1, 6}), L({0, 2, 1, 3})}, {s("mode", "edge")});
  t.move("Gather", {T({7, -1}), Index({-2, 2}, -7, 6)});
  t.move("Gather", {T({-1, 7}), Index({-2}, 0, 6)}, {i("axis", 1)});
  t.move("GatherElements", {T({7, -1}), Index({4, -1}, -7, 6)});
  t.move("GatherND", {T({4, 5, -1}), Index({-2, 2}, -4, 3)});
  t.row("ScatterElements", {T({5, 6}), {TENON_DTYPE_INT64, {2, 3}, 0, 0, {0, 3, 4, 1, 2, 0}, false, false, false}, T({2, 3})});
  t.row("ScatterElements", {T({5, 6}), Index({2, 3}, 0, 4), T({2, 3})}, {s("reduction", "add")});
  t.move("ScatterND", {T({5, -1}), {TENON_DTYPE_INT64, {2, 1}, 0, 0, {3, 1}, false, false, false}, T({2, -1})});
  t.move("DepthToSpace", {T({-1, 8, -2, -3})}, {i("blocksize", 2)});
  t.move("DepthToSpace", {T({-1, 8, -2, -3})}, {i("blocksize", 2), s("mode", "CRD")});
  t.move("SpaceToDepth", {T({-1, 2, 4, 6})}, {i("blocksize", 2)});
  t.move("ReverseSequence", {T({6, 3, -1}), {TENON_DTYPE_INT64, {3}, 0, 0, {2, 6, 1}, false, false, false}});
  t.move("Trilu", {T({-1, -2, -3})});
  t.move("Trilu", {T({-1, -2}), typed(TENON_DTYPE_INT64, 1)}, {i("upper", 0)});
  t.row("OneHot", {Index({-1}, 0, 4), typed(TENON_DTYPE_INT64, 5), {0, {2}, 0, 0, {1, 3}, true, false, false}});
  t.move("Compress", {T({6, -1}), {TENON_DTYPE_BOOL, {6}, 0, 0, {1, 0, 0, 1, 1, 0}, false, false, false}}, {i("axis", 0)});
  t.row("NonZero", {T({-1, -2}, 0, 1)});
  t.row("EyeLike", {T({-1, -2})});
  t.row("Resize", {T({1, 2, -1, -2}), none, {TENON_DTYPE_FLOAT, {4}, 0, 0, {1, 1, 2, 3}, true, false, false}}, {s("mode", "nearest")});
  t.row("Resize", {T({1, 2, -1, -2}), none, {TENON_DTYPE_FLOAT, {4}, 0, 0, {1, 1, 2, 2}, true, false, false}},
        {s("mode", "linear"), s("coordinate_transformation_mode", "half_pixel")});
  t.row("Resize", {T({1, 2, 4, 5}), none, none, L({1, 2, 7, 3})},
        {s("mode", "linear"), s("coordinate_transformation_mode", "align_corners")});
  t.row("GridSample", {T({1, 2, 5, 6}), F({1, 3, 4, 2}, -1, 1)}, {i("align_corners", 1)});
}

void products(Table& t) {
  t.row("MatMul", {T({-1, -2}, -2, 2), T({-2, -3}, -2, 2)});
  t.row("MatMul", {T({-1, -2}, -2, 2), C(T({-2, -3}, -2, 2))});
  t.row("MatMul", {T({2, -1, -2, -3}, -2, 2), T({-1, -3, -4}, -2, 2)});
  t.row("MatMul", {T({33, 70}, -2, 2), C(T({70, 45}, -2, 2))});
  t.row("MatMul", {T({-1}, -2, 2), T({-1, -2}, -2, 2)});
  t.row("Gemm", {T({-1, -2}, -2, 2), T({-2, -3}, -2, 2), T({-3}, -2, 2)});
  t.row("Gemm", {T({-2, -1}, -2, 2), C(T({-3, -2}, -2, 2)), C(T({-1, 1}, -2, 2))},
        {i("transA", 1), i("transB", 1), f("alpha", 0.5f), f("beta", 2)});
  t.row("Einsum", {T({-1, -2}, -2, 2), T({-2, -3}, -2, 2)}, {s("equation", "ij,jk->ik")});
  for (const bool constant : {false, true, false}) {
    const auto w = [&](Operand o) { return constant ? C(o) : o; };
    t.row("Conv", {T({2, 3, 9, 8}, -2, 2), w(T({4, 3, 3, 3}, -2, 2)), w(T({4}, -2, 2))}, {is("pads", {1, 1, 1, 1})});
    t.row("Conv", {T({1, 4, -1, -2}, -2, 2), w(T({6, 4, 1, 1}, -2, 2))});
    t.row("Conv", {T({1, 6, 10, 9}, -2, 2), w(T({6, 1, 3, 3}, -2, 2)), w(T({6}, -2, 2))},
          {i("group", 6), is("pads", {1, 1, 1, 1}), is("strides", {2, 1})});
    t.row("Conv", {T({1, 4, 12}, -2, 2), w(T({6, 2, 3}, -2, 2))}, {i("group", 2), is("dilations", {2}), s("auto_pad", "SAME_UPPER")});
    t.row("ConvTranspose", {T({1, 3, 5, 4}, -2, 2), w(T({3, 2, 3, 3}, -2, 2)), w(T({2}, -2, 2))},
          {is("strides", {2, 2}), is("output_padding", {1, 0})});
  }
  t.row("Attention", {T({1, 5, 8}, -1, 1), T({1, 6, 8}, -1, 1), T({1, 6, 8}, -1, 1)}, {i("q_num_heads", 2), i("kv_num_heads", 2)});
  t.row("RotaryEmbedding", {T({1, 2, 3, 8}), T({1, 3, 4}, -1, 1), T({1, 3, 4}, -1, 1)});
  const auto gates = [&](const char* op, std::int64_t n, std::int64_t rows) {
    t.row(op, {T({4, 2, 3}, -1, 1), C(T({1, rows, 3}, -1, 1)), C(T({1, rows, n}, -1, 1)), C(T({1, 2 * rows}, -1, 1))},
          {i("hidden_size", n)}, 2);
  };
  gates("LSTM", 5, 20), gates("GRU", 5, 15), gates("RNN", 5, 5);
}

void networks(Table& t) {
  for (const char* op : {"MaxPool", "AveragePool"}) {
    t.row(op, {T({1, 3, 9, 8})}, {is("kernel_shape", {3, 2}), is("strides", {2, 1})});
    t.row(op, {T({2, 3, -1, 8})}, {is("kernel_shape", {1, 3}), is("pads", {0, 1, 0, 1})});
    t.row(op, {T({1, 2, 12})}, {is("kernel_shape", {3}), i("ceil_mode", 1), is("strides", {2})});
  }
  t.row("AveragePool", {T({1, 3, 8, 8})}, {is("kernel_shape", {3, 3}), is("pads", {1, 1, 1, 1}), i("count_include_pad", 1)});
  t.row("LpPool", {T({1, 3, 8, 8})}, {is("kernel_shape", {2, 2})});
  for (const char* op : {"GlobalAveragePool", "GlobalMaxPool"}) t.row(op, {T({-1, 3, -2, -3})});
  t.row("BatchNormalization", {T({2, 3, -1, 5}), T({3}, 0.5, 2), T({3}), T({3}), T({3}, 0.5, 2)});
  t.row("BatchNormalization", {T({2, 3, -1, 5}), C(T({3}, 0.5, 2)), C(T({3})), C(T({3})), C(T({3}, 0.5, 2))});
  t.row("InstanceNormalization", {T({2, 3, -1, 5}), T({3}, 0.5, 2), T({3})});
  t.row("LayerNormalization", {T({-1, 3, 8}), C(T({8}, 0.5, 2)), C(T({8}))});
  t.row("LayerNormalization", {T({-1, 3, 8}), T({3, 8}, 0.5, 2)}, {i("axis", 1)});
  t.row("RMSNormalization", {T({-1, 3, 8}), T({8}, 0.5, 2)});
  t.row("GroupNormalization", {T({2, 6, -1, 5}), T({6}, 0.5, 2), T({6})}, {i("num_groups", 3)});
  t.row("LpNormalization", {T({-1, 5}, 0.5, 4)});
  t.row("MeanVarianceNormalization", {T({2, 3, 4, 5})});
  t.row("LRN", {T({1, 6, -1, 5})}, {i("size", 3)});
}

void texts(Table& t) {
  t.row("StringConcat", {T({-1, -2}), T({-2})});
  t.row("RegexFullMatch", {T({-1, -2})}, {s("pattern", "[a-z]+")});
  t.row("StringNormalizer", {T({-1})}, {s("case_change_action", "UPPER"), i("is_case_sensitive", 1)});
  t.row("Unique", {T({9}, 0, 3)}, {}, 4);
}

void quantized(Table& t) {
  const Operand scale = FS(0.125), zero_u8 = typed(TENON_DTYPE_UINT8, 100), zero_i8 = typed(TENON_DTYPE_INT8, 0);
  t.row("QuantizeLinear", {T({-1, -2}), S(0.0625), zero_u8}).whole_steps = 1;
  t.row("QuantizeLinear", {T({-1, -2}), S(0.0625), zero_i8}).whole_steps = 1;
  t.row("DequantizeLinear", {T({-1, -2}, -40, 40), scale});
  t.row("DynamicQuantizeLinear", {T({-1, -2})}, {}, 3).whole_steps = 1;
  t.row("MatMulInteger", {T({-1, -2}, -90, 90), C(I8({-2, -3}))});
  t.row("MatMulInteger", {T({-1, -2}, -90, 90), U8({-2, -3}), S(3), zero_u8});
  t.row("ConvInteger", {T({1, 3, 6, 5}, -90, 90), C(U8({4, 3, 3, 3}))});
  t.row("QLinearMatMul", {T({-1, -2}, -90, 90), scale, S(3), C(I8({-2, -3})), scale, zero_i8, FS(4), S(5)}).whole_steps = 1;
  t.row("QLinearConv", {T({1, 3, 6, 5}, -90, 90), scale, S(3), C(I8({4, 3, 3, 3})), scale, zero_i8, FS(4), S(5)},
        {is("pads", {1, 1, 1, 1})})
      .whole_steps = 1;
}

}  // namespace

const std::vector<Row>& operator_rows() {
  static const std::vector<Row> rows = [] {
    Table t;
    elementwise(t), reductions(t), movement(t), products(t), networks(t), texts(t), quantized(t);
    return std::move(t.rows);
  }();
  return rows;
}

}  // namespace tenon::kit
