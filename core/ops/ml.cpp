#include "core/ops/ml.h"

#include <algorithm>
#include <set>

namespace tenon {
namespace {

using DimList = std::vector<Dim>;

// Rows of a batch: a vector is one row.
Dim rows(const DimList& x) { return x.size() == 1 ? Dim{1, 0} : x[0]; }

std::int64_t length(const Node& node, std::string_view name) {
  const Attribute* a = node.find(name);
  if (!a) return 0;
  if (const auto* v = std::get_if<std::vector<std::int64_t>>(&a->value)) return static_cast<std::int64_t>(v->size());
  if (const auto* v = std::get_if<std::vector<std::string>>(&a->value)) return static_cast<std::int64_t>(v->size());
  if (const auto* v = std::get_if<std::vector<float>>(&a->value)) return static_cast<std::int64_t>(v->size());
  if (const auto* v = std::get_if<ConstantPtr>(&a->value)) return (*v)->count();
  return 0;
}

std::int64_t longest(const Node& node, std::initializer_list<std::string_view> names) {
  std::int64_t n = 0;
  for (std::string_view name : names) n = std::max(n, length(node, name));
  return n;
}

void set(std::vector<Type>& outputs, std::size_t i, DimList dims) {
  if (i < outputs.size() && !outputs[i].dims) outputs[i].dims = std::move(dims);
}

}  // namespace

void complete_ml_shapes(const Node& node, std::span<const Type> inputs, std::vector<Type>& outputs) {
  if (node.domain != "ai.onnx.ml" || inputs.empty() || !inputs[0].is_tensor() || !inputs[0].dims || inputs[0].dims->empty()) return;
  const DimList& x = *inputs[0].dims;
  const std::string& op = node.op_type;
  const auto is = [&](std::initializer_list<std::string_view> names) { return std::find(names.begin(), names.end(), op) != names.end(); };
  if (is({"Scaler", "Normalizer", "Imputer", "Binarizer", "LabelEncoder", "CategoryMapper"})) {
    set(outputs, 0, x);
  } else if (op == "SVMClassifier") {
    // One score for each pair of classes, unless probabilities are made of them or there are no support vectors.
    const std::int64_t classes = longest(node, {"classlabels_ints", "classlabels_strings"});
    const bool pairs = length(node, "prob_a") == 0 && length(node, "vectors_per_class") > 0 && classes > 2;
    set(outputs, 0, {rows(x)});
    set(outputs, 1, {rows(x), classes > 0 ? Dim{pairs ? classes * (classes - 1) / 2 : classes, 0} : Dim{}});
  } else if (is({"LinearClassifier", "TreeEnsembleClassifier"})) {
    std::int64_t classes = longest(node, {"classlabels_ints", "classlabels_strings", "classlabels_int64s"});
    if (classes == 0) classes = length(node, "intercepts");
    set(outputs, 0, {rows(x)});
    set(outputs, 1, {rows(x), classes > 0 ? Dim{classes, 0} : Dim{}});
  } else if (is({"LinearRegressor", "TreeEnsembleRegressor"})) {
    const std::int64_t targets = node.int_or(op == "LinearRegressor" ? "targets" : "n_targets", 1);
    set(outputs, 0, {rows(x), {targets, 0}});
  } else if (op == "TreeEnsemble") {
    set(outputs, 0, {rows(x), {node.int_or("n_targets", 1), 0}});
  } else if (op == "SVMRegressor") {
    set(outputs, 0, {rows(x), {1, 0}});
  } else if (op == "ArrayFeatureExtractor" && inputs.size() > 1 && inputs[1].dims) {
    DimList dims = x;
    Dim n{1, 0};
    for (const Dim& d : *inputs[1].dims) n = !d.fixed() || !n.fixed() ? Dim{} : Dim{n.value * d.value, 0};
    dims.back() = n;
    if (dims.size() == 1) dims.insert(dims.begin(), {1, 0});
    set(outputs, 0, std::move(dims));
  } else if (op == "OneHotEncoder") {
    DimList dims = x;
    dims.push_back({longest(node, {"cats_int64s", "cats_strings"}), 0});
    set(outputs, 0, std::move(dims));
  } else if (op == "FeatureVectorizer") {
    Dim width{0, 0};
    const auto* sizes = node.ints("inputdimensions");
    for (std::size_t i = 0; i < inputs.size() && width.fixed(); ++i) {
      if (sizes && i < sizes->size()) width.value += (*sizes)[i];
      else if (inputs[i].dims && !inputs[i].dims->empty() && inputs[i].dims->back().fixed()) width.value += inputs[i].dims->back().value;
      else width = {};
    }
    set(outputs, 0, {rows(x), width});
  }
}

}  // namespace tenon
