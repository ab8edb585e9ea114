#include "plugins/opencl/codegen/expression.h"

#include <cstdio>

#include "plugins/opencl/codegen/types.h"

namespace tenon::opencl {

std::uint32_t Expression::load(std::uint32_t slot, std::int32_t dtype) {
  for (std::uint32_t n = 0; n < nodes.size(); ++n)
    if (nodes[n].kind == Kind::load && nodes[n].slot == slot) return n;
  Node node;
  node.dtype = dtype;
  node.slot = slot;
  nodes.push_back(node);
  return static_cast<std::uint32_t>(nodes.size() - 1);
}

std::uint32_t Expression::literal(std::int32_t dtype, double value) {
  Node node;
  node.kind = Kind::literal;
  node.dtype = dtype;
  node.real = value;
  if (!is_floating(dtype)) node.integer = static_cast<std::int64_t>(value);
  nodes.push_back(node);
  return static_cast<std::uint32_t>(nodes.size() - 1);
}

std::uint32_t Expression::call(std::string fn, std::int32_t dtype, std::initializer_list<std::uint32_t> args) {
  Node node;
  node.kind = Kind::call;
  node.dtype = dtype;
  node.fn = std::move(fn);
  node.args = args;
  nodes.push_back(node);
  return static_cast<std::uint32_t>(nodes.size() - 1);
}

std::uint32_t Expression::cast(std::int32_t dtype, std::uint32_t a) { return nodes[a].dtype == dtype ? a : call("cast", dtype, {a}); }

std::vector<std::uint32_t> Expression::splice(const Expression& other, std::span<const std::uint32_t> loads) {
  std::vector<std::uint32_t> map(other.nodes.size());
  for (std::size_t n = 0; n < other.nodes.size(); ++n) {
    Node node = other.nodes[n];
    if (node.kind == Kind::load) {
      map[n] = loads[node.slot];
      continue;
    }
    for (std::uint32_t& a : node.args) a = map[a];
    nodes.push_back(std::move(node));
    map[n] = static_cast<std::uint32_t>(nodes.size() - 1);
  }
  std::vector<std::uint32_t> out;
  for (std::uint32_t o : other.outputs) out.push_back(map[o]);
  return out;
}

std::string Expression::signature() const {
  std::string text;
  char buffer[64];
  for (const Node& n : nodes) {
    text += std::to_string(n.dtype);
    if (n.kind == Kind::load) text += "l" + std::to_string(n.slot);
    if (n.kind == Kind::literal) {
      std::snprintf(buffer, sizeof buffer, "#%a,%lld", n.real, static_cast<long long>(n.integer));
      text += buffer;
    }
    if (n.kind == Kind::call) text += n.fn + "(";
    for (std::uint32_t a : n.args) text += std::to_string(a) + ",";
    text += ";";
  }
  for (std::uint32_t o : outputs) text += ">" + std::to_string(o);
  return text;
}

}  // namespace tenon::opencl
