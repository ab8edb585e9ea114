// What a node of the file says beside its inputs and outputs.
#include <cstring>

#include "core/onnx/importer.h"
#include "core/onnx/sparse.h"
#include "core/ops/gradient.h"

namespace tenon {

Status Importer::gradient_tensors(Node& n, Scope& scope, const FunctionFrame* frame) {
  TENON_ASSIGN(std::vector<std::string> names, gradient_names(n));
  names.push_back(n.string_or("y", ""));
  for (const std::string& name : names) {
    n.inputs.push_back(lookup(scope, local_name(name, frame)));
    if (n.inputs.back() == none) return invalid("{}: xs, zs or y names \"{}\", which nothing in its graph makes", n.label(), name);
  }
  return {};
}

Status Importer::attribute(const onnx::AttributeProto& given, Node& n, Scope& scope, int depth, const FunctionFrame* frame) {
  const onnx::AttributeProto* a = &given;
  if (!given.ref_attr_name().empty()) {
    if (!frame) return invalid("{}: attribute \"{}\" refers to \"{}\" outside a function", n.label(), given.name(), given.ref_attr_name());
    a = nullptr;
    for (const auto& c : frame->call->attribute())
      if (c.name() == given.ref_attr_name()) a = &c;
    if (!a)
      for (const auto& c : frame->function->attribute_proto())
        if (c.name() == given.ref_attr_name()) a = &c;
    if (!a) return {};  // not given by the caller and without default: absent
  }
  auto add = [&](AttributeValue v) { n.attributes.push_back({given.name(), std::move(v)}); };
  switch (a->type()) {
    case onnx::AttributeProto::FLOAT: add(a->f()); break;
    case onnx::AttributeProto::INT: add(static_cast<std::int64_t>(a->i())); break;
    case onnx::AttributeProto::STRING: add(a->s()); break;
    case onnx::AttributeProto::FLOATS: add(std::vector<float>(a->floats().begin(), a->floats().end())); break;
    case onnx::AttributeProto::INTS: add(std::vector<std::int64_t>(a->ints().begin(), a->ints().end())); break;
    case onnx::AttributeProto::STRINGS: add(std::vector<std::string>(a->strings().begin(), a->strings().end())); break;
    case onnx::AttributeProto::TENSOR: {
      auto c = constant_from_proto(a->t(), payloads_);
      if (!c.ok()) return std::move(c.status()).at(n.label());
      add(*std::move(c));
      break;
    }
    case onnx::AttributeProto::SPARSE_TENSOR: {
      auto c = dense_from_sparse(a->sparse_tensor(), payloads_);
      if (!c.ok()) return std::move(c.status()).at(n.label());
      add(*std::move(c));
      break;
    }
    case onnx::AttributeProto::TENSORS: {
      std::vector<ConstantPtr> list;
      for (const auto& t : a->tensors()) {
        TENON_ASSIGN(ConstantPtr c, constant_from_proto(t, payloads_));
        list.push_back(std::move(c));
      }
      add(std::move(list));
      break;
    }
    case onnx::AttributeProto::GRAPH: {
      auto body = std::make_shared<Graph>();
      Scope inner{*body, &scope, {}};
      if (Status s = graph(a->g(), inner, depth + 1, frame); !s.ok()) return std::move(s).at(n.label());
      add(GraphPtr(std::move(body)));
      break;
    }
    case onnx::AttributeProto::TYPE_PROTO:
      // Of Optional: the type of what is absent, and so of its output.
      if (n.outputs.empty() || n.outputs[0] == none) break;
      scope.graph.values[n.outputs[0]].type =
          Type{.kind = TENON_KIND_OPTIONAL, .dtype = TENON_DTYPE_UNDEFINED, .dims = {}, .element = std::make_shared<Type>(type_from_proto(a->tp(), model_.symbols))};
      break;
    default:
      return error(TENON_UNIMPLEMENTED, "{}: attribute \"{}\" has a type ({}) that is not supported", n.label(), given.name(), static_cast<int>(a->type()));
  }
  return {};
}

Status Importer::constant_node(const Node& n, Scope& scope) {
  if (n.outputs.size() != 1 || n.outputs[0] == none || n.attributes.size() != 1)
    return invalid("{}: a Constant has one output and one value, found {} attributes", n.label(), n.attributes.size());
  const AttributeValue& v = n.attributes[0].value;
  ConstantPtr c;
  auto numbers = [&](DType dtype, Dims dims, const void* data, std::size_t bytes) -> Status {
    std::byte* dst = nullptr;
    TENON_ASSIGN(auto made, make_constant(dtype, std::move(dims), &dst));
    if (bytes) std::memcpy(dst, data, bytes);
    c = made;
    return {};
  };
  if (const auto* t = std::get_if<ConstantPtr>(&v)) c = *t;
  else if (const auto* i = std::get_if<std::int64_t>(&v)) TENON_TRY(numbers(TENON_DTYPE_INT64, {}, i, 8));
  else if (const auto* f = std::get_if<float>(&v)) TENON_TRY(numbers(TENON_DTYPE_FLOAT, {}, f, 4));
  else if (const auto* is = std::get_if<std::vector<std::int64_t>>(&v))
    TENON_TRY(numbers(TENON_DTYPE_INT64, {static_cast<std::int64_t>(is->size())}, is->data(), is->size() * 8));
  else if (const auto* fs = std::get_if<std::vector<float>>(&v))
    TENON_TRY(numbers(TENON_DTYPE_FLOAT, {static_cast<std::int64_t>(fs->size())}, fs->data(), fs->size() * 4));
  else if (const auto* s = std::get_if<std::string>(&v)) {
    TENON_ASSIGN(auto made, make_constant(TENON_DTYPE_STRING, {}, nullptr));
    made->strings = {*s};
    c = made;
  } else if (const auto* ss = std::get_if<std::vector<std::string>>(&v)) {
    TENON_ASSIGN(auto made, make_constant(TENON_DTYPE_STRING, {static_cast<std::int64_t>(ss->size())}, nullptr));
    made->strings = *ss;
    c = made;
  } else {
    return error(TENON_UNIMPLEMENTED, "{}: attribute \"{}\" is not supported", n.label(), n.attributes[0].name);
  }
  Value& out = scope.graph.values[n.outputs[0]];
  out.type = Type{.kind = TENON_KIND_TENSOR, .dtype = c->dtype, .dims = std::vector<Dim>{}, .element = nullptr};
  for (std::int64_t d : c->dims) out.type.dims->push_back({d, 0});
  out.constant = std::move(c);
  return {};
}

}  // namespace tenon
