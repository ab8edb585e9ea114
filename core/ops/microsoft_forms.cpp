#include "core/ops/microsoft_forms.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace tenon {

const Type& Spelling::type(ValueId v) const {
  static const Type nothing;
  return v == none ? nothing : u.graph.values[v].type;
}

std::int64_t Spelling::rank(ValueId v, std::int64_t fallback) const {
  const auto& dims = type(v).dims;
  return dims ? static_cast<std::int64_t>(dims->size()) : fallback;
}

ValueId Spelling::fresh(const char* op) {
  const ValueId first = node.outputs.empty() ? none : node.outputs[0];
  const std::string base = first == none ? node.name : u.graph.values[first].name;
  return u.graph.add_value(base + "/" + op + "_" + std::to_string(count_++));
}

Node Spelling::make(const char* op, std::vector<ValueId> inputs, std::vector<ValueId> outputs, Attributes attributes, const char* domain) {
  while (!inputs.empty() && inputs.back() == none) inputs.pop_back();
  Node n = Upgrade::derived(node, op, std::move(inputs), std::move(outputs));
  n.domain = domain;
  for (Attribute& a : attributes) n.set(a.name, std::move(a.value));
  return n;
}

ValueId Spelling::add(const char* op, std::vector<ValueId> inputs, Attributes attributes, const char* domain) {
  const ValueId v = fresh(op);
  u.out.push_back(make(op, std::move(inputs), {v}, std::move(attributes), domain));
  return v;
}

std::vector<ValueId> Spelling::add_many(const char* op, std::vector<ValueId> inputs, std::size_t outputs, Attributes attributes,
                                        const char* domain) {
  std::vector<ValueId> made;
  for (std::size_t o = 0; o < outputs; ++o) made.push_back(fresh(op));
  u.out.push_back(make(op, std::move(inputs), made, std::move(attributes), domain));
  return made;
}

void Spelling::end(const char* op, std::vector<ValueId> inputs, Attributes attributes, const char* domain, std::size_t o) {
  if (wants(o)) u.out.push_back(make(op, std::move(inputs), {node.outputs[o]}, std::move(attributes), domain));
}

ValueId Spelling::ints(std::vector<std::int64_t> values, bool scalar) {
  return u.constant(node.name + "/ints_" + std::to_string(count_++), std::move(values), scalar);
}

ValueId Spelling::real(float value) {
  std::byte* data = nullptr;
  auto c = make_constant(TENON_DTYPE_FLOAT, {}, &data);
  std::memcpy(data, &value, sizeof value);
  return u.constant(node.name + "/real_" + std::to_string(count_++), ConstantPtr(*c));
}

ValueId Spelling::reals(std::span<const float> values) {
  std::byte* data = nullptr;
  auto c = make_constant(TENON_DTYPE_FLOAT, {static_cast<std::int64_t>(values.size())}, &data);
  std::memcpy(data, values.data(), values.size_bytes());
  return u.constant(node.name + "/reals_" + std::to_string(count_++), ConstantPtr(*c));
}

Status Spelling::activate(ValueId& v, const std::string& name, float alpha, float beta) {
  if (name.empty()) return {};
  const auto given = [](float x, float fallback) { return std::isnan(x) ? fallback : x; };
  if (name == "Relu" || name == "Tanh" || name == "Sigmoid" || name == "Softplus" || name == "Softsign" || name == "Gelu") {
    v = add(name.c_str(), {v});
  } else if (name == "LeakyRelu") {
    v = add("LeakyRelu", {v}, {{"alpha", given(alpha, 0.01f)}});
  } else if (name == "Elu") {
    v = add("Elu", {v}, {{"alpha", given(alpha, 1)}});
  } else if (name == "HardSigmoid") {
    v = add("HardSigmoid", {v}, {{"alpha", given(alpha, 0.2f)}, {"beta", given(beta, 0.5f)}});
  } else if (name == "ThresholdedRelu") {
    v = add("ThresholdedRelu", {v}, {{"alpha", given(alpha, 1)}});
  } else if (name == "Clip") {
    v = add("Clip", {v, std::isnan(alpha) ? none : cast_like(real(alpha), v), std::isnan(beta) ? none : cast_like(real(beta), v)});
  } else if (name == "HardSwish") {
    v = add("HardSwish", {v});
  } else {
    return error(TENON_UNIMPLEMENTED, "{}: the activation \"{}\" is not known", node.label(), name);
  }
  return {};
}

Spelling::Attributes Spelling::attributes_but(std::initializer_list<std::string_view> dropped) const {
  Attributes kept;
  for (const Attribute& a : node.attributes) {
    bool drop = false;
    for (std::string_view d : dropped) drop = drop || a.name == d;
    if (!drop) kept.push_back(a);
  }
  return kept;
}

Result<bool> spell_microsoft_op(Upgrade& u, const Node& node) {
  if (node.domain == "com.microsoft.nchwc")
    return error(TENON_UNIMPLEMENTED,
                 "{}: com.microsoft.nchwc is the layout of one kind of machine; onnxruntime writes it when it saves a model optimised with "
                 "all levels. Use the model from before that, or save it with the level \"extended\"",
                 node.label());
  for (const auto table : {spelled_float_ops(), spelled_quantized_ops(), spelled_weight_ops(), spelled_llm_ops(), spelled_small_ops()})
    for (const SpelledOp& op : table) {
      if (op.op_type != node.op_type) continue;
      for (std::size_t i = 0; i < op.min_inputs; ++i)
        if (i >= node.inputs.size() || node.inputs[i] == none) return invalid("{}: input {} is required and missing", node.label(), i);
      if (node.outputs.empty()) return invalid("{}: has no output", node.label());
      Spelling s(u, node);
      const std::size_t before = u.out.size();
      TENON_TRY(op.spell(s));
      for (std::size_t o = 0; o < node.outputs.size(); ++o) {
        bool made = node.outputs[o] == none;
        for (std::size_t n = before; n < u.out.size() && !made; ++n)
          made = std::find(u.out[n].outputs.begin(), u.out[n].outputs.end(), node.outputs[o]) != u.out[n].outputs.end();
        if (!made) return invalid("{}: the operator makes no output {}", node.label(), o);
      }
      return true;
    }
  return false;
}

}  // namespace tenon
