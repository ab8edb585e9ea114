// Col2Im: every element of the image sums up the columns that were taken from it.
#include "plugins/opencl/families.h"
#include "plugins/opencl/ops/movement.h"

namespace tenon::opencl {
namespace {

class Col2ImOp final : public Op {
 public:
  explicit Col2ImOp(const Node& node) : dilations_(node.integers("dilations")), pads_(node.integers("pads")), strides_(node.integers("strides")) {}

  void plan(PlanBuilder& b) const override {
    const Tensor x = b.in(0), y = b.make_out(0);
    const std::size_t spatial = y.dims.size() - 2;
    const std::vector<std::int64_t> block = known_integers(b.in(2), "block_shape");
    if (block.size() != spatial || x.rank() != 3)
      throw Failure{TENON_INVALID_ARGUMENT, "an input of rank 3 and a block size for each dim of the image are expected"};
    SpaceKernel k(b, "col2im", y.dims);
    k.out("y", y), k.in("x", x);
    std::string open, close, at = k.at(1), window = "0", guard = "true";
    double taps = 1;
    for (std::size_t d = 0; d < spatial; ++d) {
      const std::string n = std::to_string(d);
      const std::int64_t dilation = dilations_.empty() ? 1 : dilations_[d], stride = strides_.empty() ? 1 : strides_[d],
                         before = pads_.empty() ? 0 : pads_[d], after = pads_.empty() ? 0 : pads_[d + spatial];
      k.integer("block" + n, block[d]), k.integer("dilation" + n, dilation), k.integer("stride" + n, stride), k.integer("pad" + n, before);
      k.integer("windows" + n, (y.dims[d + 2] + before + after - dilation * (block[d] - 1) - 1) / stride + 1);
      open += "for (int k" + n + " = 0; k" + n + " < block" + n + "; ++k" + n + ") { const int p" + n + " = " + k.at(d + 2) + " + pad" + n + " - k" +
              n + " * dilation" + n + ", w" + n + " = p" + n + " / stride" + n + "; if (p" + n + " < 0 || w" + n + " * stride" + n + " != p" + n +
              " || w" + n + " >= windows" + n + ") continue; ";
      close += "} ";
      at = "(" + at + ") * block" + n + " + k" + n;
      window = "(" + window + ") * windows" + n + " + w" + n;
      taps *= static_cast<double>(block[d]);
    }
    const std::string type = k.compute("x");
    k.each(type + " sum = 0; " + open + apply_text("add", x.dtype, 1, "sum", "sum", k.load("x", k.index("x", {"c0", at, window}))) + close +
           k.store("y", k.here("y"), "sum"));
    k.cost(2 * taps);
    k.launch();
  }

 private:
  std::vector<std::int64_t> dilations_, pads_, strides_;
};

Support supports(const Node& node, const Profile&) {
  if (node.input(0)->dtype == TENON_DTYPE_BOOL) return Support::no(TENON_REJECT_DTYPE, "no sums of bool");
  return known_inputs(node, {1, 2});
}
std::unique_ptr<Op> make(const Node& node, CompileContext&) { return std::make_unique<Col2ImOp>(node); }

const OpRow rows[] = {{"", "Col2Im", supports, make}};

}  // namespace

std::span<const OpRow> window_rows() { return rows; }

}  // namespace tenon::opencl
