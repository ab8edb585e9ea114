// TopK: the k first of a line in order. A heap of the best so far stands in the results' own memory, its worst at the root; at the end it
// is taken apart from the worst up. Equal elements come by rising index, and a NaN is above all numbers, so the result is always the same.
#include "plugins/opencl/families.h"
#include "plugins/opencl/ops/movement.h"

namespace tenon::opencl {
namespace {

class TopKOp final : public Op {
 public:
  TopKOp(std::int64_t axis, bool largest) : axis_(axis), largest_(largest) {}

  void plan(PlanBuilder& b) const override {
    Tensor x = b.in(0);
    if (x.dims.empty()) x.dims = {1}, x.strides = {1};
    const auto axis = static_cast<std::size_t>(front_axis(axis_, x.rank()));
    const Tensor& shape = b.out_shape(0).present() ? b.out_shape(0) : b.out_shape(1);
    const Dims dims = shape.dims.empty() ? Dims{1} : shape.dims;
    const Tensor values = b.out_shape(0).present() ? b.make_out(0) : b.temp(x.dtype, dims, Layout::dense);
    const Tensor places = b.out_shape(1).present() ? b.make_out(1) : b.temp(TENON_DTYPE_INT64, dims, Layout::dense);
    const std::int64_t n = x.dims[axis], count = dims[axis];
    if (values.count() == 0) return;
    if (count > n) throw Failure{TENON_INVALID_ARGUMENT, std::to_string(count) + " of " + std::to_string(n) + " elements are asked for"};
    const Tensor y = dense_as(values, dims), z = dense_as(places, dims);
    Dims lines = dims;
    lines[axis] = 1;
    SpaceKernel k(b, "top k", lines);
    k.out("y", y), k.out("z", z), k.in("x", x), k.integer("n", n), k.integer("count", count);
    const std::string t = k.compute("x"), s = storage_name(x.dtype), a = std::to_string(axis);
    const auto at = [&](const std::string& j) {
      std::vector<std::string> c;
      for (std::size_t i = 0; i < dims.size(); ++i) c.push_back(i == axis ? j : k.at(i));
      return c;
    };
    const bool floats = is_floating(x.dtype);
    k.helper("inline bool tn_before_" + s + "_" + t + (largest_ ? "_l" : "_s") + "(" + t + " a, long i, " + t + " b, long j) { " +
             (floats ? std::string("if (a != a || b != b) { if (a != a && b != b) return i < j; return ") + (largest_ ? "a != a" : "b != b") + "; } "
                     : "") +
             "return a == b ? i < j : a " + (largest_ ? ">" : "<") + " b; }");
    const std::string before = "tn_before_" + s + "_" + t + (largest_ ? "_l" : "_s");
    const std::string load_j = load_text(x.dtype, 1, "v", "j * sv"), load_next = load_text(x.dtype, 1, "v", "(j + 1) * sv");
    // Moves element (value e, index i) down from `root` until nothing below it is worse.
    const std::string sift = "tn_sift_" + std::to_string(x.dtype) + (largest_ ? "_l" : "_s");
    k.helper("inline void " + sift + "(__global " + s + "* v, __global long* p, long sv, long sp, int root, int n, " + t +
             " e, long i) { int at = root; for (int j = 2 * at + 1; j < n; j = 2 * at + 1) { if (j + 1 < n && " + before + "(" + load_j +
             ", p[j * sp], " + load_next + ", p[(j + 1) * sp])) ++j; const " + t + " c = " + load_j + "; if (!" + before +
             "(e, i, c, p[j * sp])) break; v[at * sv] = v[j * sv]; p[at * sp] = p[j * sp]; at = j; } " + store_text(x.dtype, 1, "v", "at * sv", "e") +
             " p[at * sp] = i; }");
    const std::string vp = "y + line, z + places, y_s" + a + ", z_s" + a;
    k.each("const long line = " + k.index("y", at("0")) + ", places = " + k.index("z", at("0")) + "; " + "for (int j = 0; j < count; ++j) { " +
           k.store("y", "line + (long)j * y_s" + a, k.load("x", k.index("x", at("j")))) + "z[places + (long)j * z_s" + a + "] = j; } " +
           "for (int j = count / 2 - 1; j >= 0; --j) { const " + t + " e = " + k.load("y", "line + (long)j * y_s" + a) + "; " + sift + "(" + vp +
           ", j, count, e, z[places + (long)j * z_s" + a + "]); } " + t + " worst = " + k.load("y", "line") + "; long at = z[places]; " +
           "for (int j = count; j < n; ++j) { const " + t + " e = " + k.load("x", k.index("x", at("j"))) + "; if (" + before +
           "(e, j, worst, at)) { " + sift + "(" + vp + ", 0, count, e, j); worst = " + k.load("y", "line") + "; at = z[places]; } } " +
           "for (int last = count - 1; last > 0; --last) { const " + t + " e = " + k.load("y", "line + (long)last * y_s" + a) +
           "; const long i = z[places + (long)last * z_s" + a + "]; " + k.store("y", "line + (long)last * y_s" + a, k.load("y", "line")) +
           "z[places + (long)last * z_s" + a + "] = z[places]; " + sift + "(" + vp + ", 0, last, e, i); }");
    k.cost(2 * static_cast<double>(n) + 16 * static_cast<double>(count));
    k.launch();
  }

 private:
  std::int64_t axis_;
  bool largest_;
};

Support known_count(const Node& node, const Profile&) { return known_inputs(node, {1}); }
std::unique_ptr<Op> make(const Node& n, CompileContext&) { return std::make_unique<TopKOp>(n.integer("axis", -1), n.integer("largest", 1) != 0); }

const OpRow rows[] = {{"", "TopK", known_count, make}};

}  // namespace

std::span<const OpRow> topk_rows() { return rows; }

}  // namespace tenon::opencl
