#include "sdk/kit/model.h"

#include <algorithm>
#include <cstring>

namespace tenon::kit {
namespace {

// The wire format of protobuf, as far as models need it.
void varint(std::string& out, std::uint64_t v) {
  for (; v >= 0x80; v >>= 7) out += static_cast<char>(v | 0x80);
  out += static_cast<char>(v);
}
void number(std::string& out, std::uint32_t field, std::int64_t v) {
  varint(out, field << 3);
  varint(out, static_cast<std::uint64_t>(v));
}
void text(std::string& out, std::uint32_t field, std::string_view bytes) {
  varint(out, field << 3 | 2);
  varint(out, bytes.size());
  out += bytes;
}
void real(std::string& out, std::uint32_t field, float v) {
  varint(out, field << 3 | 5);
  out.append(reinterpret_cast<const char*>(&v), sizeof v);  // little endian, like every machine that loads providers
}

// Field numbers of onnx.proto.
std::string attribute_proto(const Attribute& a) {
  std::string out;
  text(out, 1, a.name);
  std::visit(
      [&](const auto& v) {
        using T = std::decay_t<decltype(v)>;
        std::int64_t type = 0;
        if constexpr (std::is_same_v<T, float>) type = 1, real(out, 2, v);
        else if constexpr (std::is_same_v<T, std::int64_t>) type = 2, number(out, 3, v);
        else if constexpr (std::is_same_v<T, std::string>) type = 3, text(out, 4, v);
        else if constexpr (std::is_same_v<T, std::vector<float>>) {
          type = 6;
          for (const float f : v) real(out, 7, f);
        } else {
          type = 7;
          for (const std::int64_t i : v) number(out, 8, i);
        }
        number(out, 20, type);
      },
      a.value);
  return out;
}

}  // namespace

Model& Model::input(std::string_view name, std::int32_t dtype, const Dims& dims) {
  std::string shape;
  for (const std::int64_t d : dims) {
    std::string dim;
    if (d < 0) text(dim, 2, "N" + std::to_string(-d));
    else number(dim, 1, d);
    text(shape, 1, dim);
  }
  std::string tensor, type, info;
  number(tensor, 1, dtype);
  text(tensor, 2, shape);
  text(type, 1, tensor);
  text(info, 1, name);
  text(info, 2, type);
  text(graph_, 11, info);
  return *this;
}

Model& Model::constant(std::string_view name, const Value& value) {
  std::string tensor;
  for (const std::int64_t d : value.dims()) number(tensor, 1, d);
  number(tensor, 2, value.dtype());
  text(tensor, 8, name);
  if (value.dtype() == TENON_DTYPE_STRING)
    for (std::size_t i = 0; i < value.count(); ++i) text(tensor, 6, value.string(i));
  else text(tensor, 9, {static_cast<const char*>(value.bytes()), value.size_bytes()});
  text(graph_, 5, tensor);
  return *this;
}

Model& Model::node(std::string_view op, const std::vector<std::string>& inputs, const std::vector<std::string>& outputs,
                   const std::vector<Attribute>& attributes, std::string_view domain) {
  std::string node;
  for (const std::string& name : inputs) text(node, 1, name);
  for (const std::string& name : outputs) text(node, 2, name);
  text(node, 3, "node" + std::to_string(nodes_++));
  text(node, 4, op);
  for (const Attribute& a : attributes) text(node, 5, attribute_proto(a));
  text(node, 7, domain);
  text(graph_, 1, node);
  if (!domain.empty() && std::find(domains_.begin(), domains_.end(), domain) == domains_.end()) domains_.emplace_back(domain);
  return *this;
}

Model& Model::output(std::string_view name) {
  std::string info;
  text(info, 1, name);
  text(graph_, 12, info);
  return *this;
}

std::string Model::bytes() const {
  std::string graph = graph_, model, opset;
  text(graph, 2, "kit");
  number(model, 1, 13);  // ir_version
  text(opset, 1, "");
  number(opset, 2, opset_);
  text(model, 8, opset);
  for (const std::string& domain : domains_) {
    std::string import;
    text(import, 1, domain);
    number(import, 2, 1);
    text(model, 8, import);
  }
  text(model, 7, graph);
  return model;
}

}  // namespace tenon::kit
