#include "core/ops/gradient_rules.h"

#include <algorithm>
#include <optional>

#include "core/graph/elements.h"

namespace tenon {

std::string GradientBuilder::fresh_name() {
  return (gradient_.name.empty() ? gradient_.op_type : gradient_.name) + "/" + std::to_string(count_++);
}

Node GradientBuilder::make(const char* op, std::vector<ValueId> inputs, std::vector<ValueId> outputs, Attributes attributes) const {
  Node n = Upgrade::derived(gradient_, op, std::move(inputs), std::move(outputs));
  for (Attribute& a : attributes) n.set(a.name, std::move(a.value));
  return n;
}

ValueId GradientBuilder::add(const char* op, std::vector<ValueId> inputs, Attributes attributes) {
  return add_many(op, std::move(inputs), 1, std::move(attributes))[0];
}

std::vector<ValueId> GradientBuilder::add_many(const char* op, std::vector<ValueId> inputs, std::size_t outputs, Attributes attributes) {
  std::vector<ValueId> made;
  for (std::size_t o = 0; o < outputs; ++o) made.push_back(graph.add_value(fresh_name()));
  fresh_.push_back(make(op, std::move(inputs), made, std::move(attributes)));
  return made;
}

void GradientBuilder::end(const char* op, std::vector<ValueId> inputs, ValueId output) {
  fresh_.push_back(make(op, std::move(inputs), {output}, {}));
}

namespace {

ConstantPtr real_constant(double value, DType dtype, Dims dims) {
  std::byte* data = nullptr;
  auto c = make_constant(dtype, std::move(dims), &data);
  store_real(dtype, data, 0, value);
  return *c;
}

}  // namespace

ValueId GradientBuilder::number(double value, ValueId like) {
  return graph.add_constant(fresh_name(), real_constant(value, dtype(like), {}));
}

ValueId GradientBuilder::ints(std::vector<std::int64_t> values) {
  return graph.add_constant(fresh_name(), int64_constant(values));
}

ValueId GradientBuilder::filled(double value, ValueId v) {
  return add("ConstantOfShape", {shape(v)}, {{"value", real_constant(value, dtype(v), {1})}});
}

ValueId GradientBuilder::turned(ValueId v, std::int64_t rank) {
  std::vector<std::int64_t> perm;
  for (std::int64_t d = 0; d < rank; ++d) perm.push_back(d);
  std::swap(perm[perm.size() - 1], perm[perm.size() - 2]);
  return add("Transpose", {v}, {{"perm", std::move(perm)}});
}

ValueId Backward::dy(std::size_t o) {
  ValueId& v = output_gradients_[o];
  if (v == none) v = b.filled(0, node.outputs[o]);
  return v;
}

Result<std::vector<Dim>> Backward::dims(ValueId v) const {
  const Value& value = b.graph.values[v];
  if (!value.type.dims)
    return error(TENON_UNIMPLEMENTED, "{}: its gradient needs the rank of \"{}\", which is not known; declare it in value_info",
                 node.label(), value.name);
  return *value.type.dims;
}

std::vector<Dim> broadcast_dims(const std::vector<Dim>& p, const std::vector<Dim>& q) {
  if (p.size() < q.size()) return broadcast_dims(q, p);
  std::vector<Dim> out = p;
  for (std::size_t d = 0; d < q.size(); ++d) {
    Dim& to = out[out.size() - q.size() + d];
    if (to.value == 1 || (q[d].fixed() && q[d].value != 1)) to = q[d];
    else if (!(to == q[d]) && !to.fixed() && q[d].value != 1) to = {-1, 0};
  }
  return out;
}

Status Backward::give_summed(std::size_t i, ValueId gradient) {
  // Inference gives no dims where those of the inputs may or may not fit.
  const auto& values = b.graph.values;
  std::optional<std::vector<Dim>> all = values[y()].type.dims;
  bool ranked = values[x(i)].type.dims.has_value();
  if (!all) {
    all.emplace();
    for (ValueId v : node.inputs)
      if (v != none && values[v].type.dims) all = broadcast_dims(*all, *values[v].type.dims);
      else ranked = ranked && v == none;
  }
  if (ranked) return give_summed(i, gradient, *all);
  // The axes where the shapes differ, once they are known.
  const ValueId all_sizes = b.shape(gradient), rank = b.shape(all_sizes), sizes = b.shape(x(i));
  const ValueId padded = b.add("Concat", {b.add("Expand", {b.ints({1}), rank}), sizes}, {{"axis", std::int64_t{0}}});
  const ValueId wide = b.add("Slice", {padded, b.add("Neg", {rank}), b.ints({INT64_MAX})});
  const ValueId differs = b.add("Not", {b.add("Equal", {wide, all_sizes})});
  const ValueId axes = b.add("Reshape", {b.add("NonZero", {differs}), b.ints({-1})});
  const ValueId sum = b.add("ReduceSum", {gradient, axes}, {{"keepdims", std::int64_t{1}}, {"noop_with_empty_axes", std::int64_t{1}}});
  give(i, b.add("Reshape", {sum, sizes}, {{"allowzero", std::int64_t{1}}}));
  return {};
}

Status Backward::give_summed(std::size_t i, ValueId gradient, const std::vector<Dim>& all) {
  TENON_ASSIGN(const std::vector<Dim> own, dims(x(i)));
  if (own.size() > all.size()) return invalid("{}: input {} has more dimensions than the output", node.label(), i);
  const std::size_t lead = all.size() - own.size();
  const auto same = [](const Dim& p, const Dim& q) { return p == q && (p.fixed() || p.symbol != 0); };
  // Axes that were stretched, and axes of which only the run knows whether they were.
  std::vector<std::int64_t> stretched, open;
  for (std::size_t d = 0; d < all.size(); ++d) {
    if (d < lead || (own[d - lead].value == 1 && !same(own[d - lead], all[d]))) stretched.push_back(static_cast<std::int64_t>(d));
    else if (!same(own[d - lead], all[d]) && !own[d - lead].fixed()) open.push_back(static_cast<std::int64_t>(d));
  }
  if (!open.empty()) {
    // An open axis of n elements that came from k, 1 or n, becomes n / k rows of k, which are added up.
    const ValueId sizes = b.shape(gradient), kept = b.shape(x(i)), one = b.ints({1});
    std::vector<ValueId> parts;
    std::vector<std::int64_t> axes;
    for (std::size_t d = 0; d < all.size(); ++d) {
      const auto axis = static_cast<std::int64_t>(d);
      const bool is_open = std::find(open.begin(), open.end(), axis) != open.end();
      const ValueId n = b.add("Gather", {sizes, b.ints({axis})});
      const bool is_stretched = std::find(stretched.begin(), stretched.end(), axis) != stretched.end();
      if (is_open || is_stretched) axes.push_back(static_cast<std::int64_t>(parts.size()));
      if (is_open) {
        const ValueId k = b.add("Gather", {kept, b.ints({axis - static_cast<std::int64_t>(lead)})});
        parts.push_back(b.add("Div", {n, b.add("Max", {k, one})}));
        parts.push_back(k);
      } else {
        parts.push_back(n);
      }
    }
    const ValueId shape = b.add("Concat", parts, {{"axis", std::int64_t{0}}});
    const ValueId rows = b.add("Reshape", {gradient, shape}, {{"allowzero", std::int64_t{1}}});
    const ValueId sum = b.add("ReduceSum", {rows, b.ints(axes)}, {{"keepdims", std::int64_t{0}}});
    give(i, b.add("Reshape", {sum, kept}, {{"allowzero", std::int64_t{1}}}));
    return {};
  }
  if (!stretched.empty()) gradient = b.add("ReduceSum", {gradient, b.ints(stretched)}, {{"keepdims", std::int64_t{1}}});
  if (lead) {
    std::vector<std::int64_t> axes;
    for (std::size_t d = 0; d < lead; ++d) axes.push_back(static_cast<std::int64_t>(d));
    gradient = b.add("Squeeze", {gradient, b.ints(axes)});
  }
  give(i, gradient);
  return {};
}

const GradientRule* find_gradient_rule(const Node& node) {
  if (!node.domain.empty()) return nullptr;
  for (const auto table : {elementwise_gradients(), tensor_gradients()})
    for (const GradientRule& rule : table)
      if (rule.op_type == node.op_type) return &rule;
  return nullptr;
}

std::string gradient_operators() {
  std::vector<std::string_view> names;
  for (const auto table : {elementwise_gradients(), tensor_gradients()})
    for (const GradientRule& rule : table) names.push_back(rule.op_type);
  std::sort(names.begin(), names.end());
  std::string text;
  for (std::string_view name : names) text += (text.empty() ? "" : ", ") + std::string(name);
  return text;
}

}  // namespace tenon
