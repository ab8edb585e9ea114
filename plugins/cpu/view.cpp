#include "plugins/cpu/op.h"

namespace tenon::cpu {
namespace {

template <class T>
const T& element(const tenon_span& span, std::uint64_t i) {
  return *reinterpret_cast<const T*>(static_cast<const char*>(span.data) + i * span.stride);
}

// ONNX AttributeProto.AttributeType.
enum AttributeType : std::int32_t {
  type_float = 1, type_int = 2, type_string = 3, type_tensor = 4, type_floats = 6, type_ints = 7, type_strings = 8,
};

template <class T>
std::span<const T> list(const tenon_attr* a, std::int32_t type) {
  if (!a || a->type != type || !a->data) return {};
  return {static_cast<const T*>(a->data), static_cast<std::size_t>(a->count)};
}

}  // namespace

NodeView::NodeView(const tenon_graph& graph, std::uint32_t index) : graph_(&graph), node_(&element<tenon_node>(graph.nodes, index)), index_(index) {}

const tenon_value& NodeView::input(std::uint32_t i) const { return element<tenon_value>(graph_->values, node_->inputs[i]); }
const tenon_value& NodeView::output(std::uint32_t i) const { return element<tenon_value>(graph_->values, node_->outputs[i]); }

const tenon_attr* NodeView::attribute(std::string_view name) const {
  for (std::uint64_t i = 0; i < node_->attributes.count; ++i) {
    const auto& a = element<tenon_attr>(node_->attributes, i);
    if (std::string_view(a.name.data, a.name.size) == name) return &a;
  }
  return nullptr;
}

std::int64_t NodeView::int_or(std::string_view name, std::int64_t fallback) const {
  const tenon_attr* a = attribute(name);
  return a && a->type == type_int && a->data ? *static_cast<const std::int64_t*>(a->data) : fallback;
}

float NodeView::float_or(std::string_view name, float fallback) const {
  const tenon_attr* a = attribute(name);
  return a && a->type == type_float && a->data ? *static_cast<const float*>(a->data) : fallback;
}

std::string_view NodeView::string_or(std::string_view name, std::string_view fallback) const {
  const tenon_attr* a = attribute(name);
  if (!a || a->type != type_string || !a->data) return fallback;
  const auto& s = *static_cast<const tenon_str*>(a->data);
  return {s.data, static_cast<std::size_t>(s.size)};
}

std::span<const std::int64_t> NodeView::ints(std::string_view name) const { return list<std::int64_t>(attribute(name), type_ints); }
std::span<const float> NodeView::floats(std::string_view name) const { return list<float>(attribute(name), type_floats); }
std::span<const tenon_str> NodeView::strings(std::string_view name) const { return list<tenon_str>(attribute(name), type_strings); }

const tenon_const_tensor* NodeView::tensor(std::string_view name) const {
  const tenon_attr* a = attribute(name);
  return a && a->type == type_tensor ? static_cast<const tenon_const_tensor*>(a->data) : nullptr;
}

void StepContext::fail(std::int32_t code, std::string_view text) const {
  const std::string whole = label ? std::string(label).append(": ").append(text) : std::string(text);
  host->fail(run, host->status_new(host_context, code, 0, {whole.data(), whole.size()}));
  if (failed) *failed = true;
}

bool StepContext::set_text(Ref r, std::uint64_t i, std::string_view value) const {
  tenon_status* status = host->string_set(&addresses[r.operand], i, {value.data(), value.size()});
  if (!status) return true;
  host->fail(run, status);
  if (failed) *failed = true;
  return false;
}

}  // namespace tenon::cpu
