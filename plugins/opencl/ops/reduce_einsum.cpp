// Einsum: one loop for each summed letter around the product of all inputs. Products that are worth more are MatMul nodes in a model.
#include <algorithm>
#include <map>

#include "plugins/opencl/families.h"
#include "plugins/opencl/ops/movement.h"

namespace tenon::opencl {
namespace {

// Letters of each term; '.' stands for one axis of an ellipsis, told apart by its distance from the right.
struct Equation {
  std::vector<std::string> terms;
  std::string result;
  bool implicit = true;
};

Equation parse(const std::string& text) {
  Equation e;
  std::string compact;
  for (char c : text)
    if (c != ' ') compact += c;
  std::size_t arrow = compact.find("->");
  std::string left = compact.substr(0, arrow);
  if (arrow != std::string::npos) e.result = compact.substr(arrow + 2), e.implicit = false;
  for (std::size_t at = 0; at <= left.size();) {
    const std::size_t comma = std::min(left.find(',', at), left.size());
    e.terms.push_back(left.substr(at, comma - at));
    at = comma + 1;
  }
  return e;
}

// One label for each axis: letters, and "#k" for the axis of the ellipsis that is k from its right end.
std::vector<std::string> labels_of(const std::string& term, std::int64_t rank) {
  const std::size_t dots = term.find("...");
  std::vector<std::string> out;
  const std::int64_t letters = static_cast<std::int64_t>(term.size()) - (dots == std::string::npos ? 0 : 3), spread = rank - letters;
  for (std::size_t i = 0; i < term.size(); ++i) {
    if (i == dots) {
      for (std::int64_t k = spread; k-- > 0;) out.push_back("#" + std::to_string(k));
      i += 2;
    } else {
      out.push_back(std::string(1, term[i]));
    }
  }
  if (static_cast<std::int64_t>(out.size()) != rank)
    throw Failure{TENON_INVALID_ARGUMENT, "term \"" + term + "\" for a tensor of rank " + std::to_string(rank)};
  return out;
}

class EinsumOp final : public Op {
 public:
  explicit EinsumOp(const std::string& text) : equation_(parse(text)) {}

  void plan(PlanBuilder& b) const override {
    const Tensor y = b.make_out(0);
    if (equation_.terms.size() != b.inputs()) throw Failure{TENON_INVALID_ARGUMENT, "the equation has another number of terms than there are inputs"};
    std::vector<std::vector<std::string>> terms;
    std::map<std::string, std::int64_t> sizes, uses;
    for (std::size_t i = 0; i < b.inputs(); ++i) {
      terms.push_back(labels_of(equation_.terms[i], b.in(i).rank()));
      for (std::size_t a = 0; a < terms[i].size(); ++a) {
        std::int64_t& size = sizes.emplace(terms[i][a], 1).first->second;
        if (size == 1) size = b.in(i).dims[a];
        ++uses[terms[i][a]];
      }
    }
    std::vector<std::string> result;
    if (equation_.implicit) {
      // The ellipsis, then letters that stand once, in their order.
      for (std::int64_t k = y.rank(); k-- > 0;)
        if (sizes.count("#" + std::to_string(k))) result.push_back("#" + std::to_string(k));
      for (const auto& [label, n] : uses)
        if (label[0] != '#' && n == 1) result.push_back(label);
    } else {
      result = labels_of(equation_.result, y.rank());
    }
    SpaceKernel k(b, "einsum", y.dims);
    k.out("y", y);
    std::map<std::string, std::string> coordinate;
    for (std::size_t a = 0; a < result.size(); ++a) coordinate[result[a]] = k.at(a);
    std::string open, close;
    double work = 1;
    int loops = 0;
    for (const auto& [label, size] : sizes) {
      if (coordinate.count(label)) continue;
      const std::string n = std::to_string(loops++);
      k.integer("size" + n, size);
      open += "for (int k" + n + " = 0; k" + n + " < size" + n + "; ++k" + n + ") { ";
      close += "} ";
      coordinate[label] = "k" + n;
      work *= static_cast<double>(size);
    }
    if (work * static_cast<double>(y.count()) > 1e8) throw Failure{TENON_UNSUPPORTED_SHAPE, "a product of this size without blocking"};
    const std::string type = k.compute("y");
    std::string text = type + " sum = 0; " + open + type + " term = 1; ";
    for (std::size_t i = 0; i < terms.size(); ++i) {
      const std::string name = "x" + std::to_string(i);
      k.in(name, b.in(i));
      std::vector<std::string> at;
      for (std::size_t a = 0; a < terms[i].size(); ++a) at.push_back(b.in(i).dims[a] == 1 ? "0" : coordinate[terms[i][a]]);
      text += apply_text("mul", y.dtype, 1, "term", "term", k.load(name, k.index(name, at))) + " ";
    }
    k.each(text + apply_text("add", y.dtype, 1, "sum", "sum", "term") + close + k.store("y", k.here("y"), "sum"));
    k.cost(2 * work);
    k.launch();
  }

 private:
  Equation equation_;
};

Support numeric(const Node& node, const Profile&) {
  return node.input(0)->dtype != TENON_DTYPE_BOOL ? Support::yes() : Support::no(TENON_REJECT_DTYPE, "no sums of bool");
}
std::unique_ptr<Op> make(const Node& node, CompileContext&) { return std::make_unique<EinsumOp>(node.text("equation", "")); }

const OpRow rows[] = {{"", "Einsum", numeric, make}};

}  // namespace

std::span<const OpRow> einsum_rows() { return rows; }

}  // namespace tenon::opencl
