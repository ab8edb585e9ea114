#include "core/onnx/infer_guard.h"

#include <algorithm>

#include <fmt/format.h>

namespace tenon {
namespace {

std::string outside(const Node& node, const char* attribute, std::int64_t fallback, std::int64_t least, std::int64_t most) {
  const std::int64_t value = node.int_or(attribute, fallback);
  return value < least || value > most ? fmt::format("{} {} is outside [{}, {}]", attribute, value, least, most) : "";
}

// Letters, commas, spaces, "..." and one "->".
std::string equation_fault(const std::string& equation) {
  for (std::size_t i = 0; i < equation.size(); ++i) {
    const char c = equation[i];
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == ',' || c == ' ') continue;
    if (equation.compare(i, 3, "...") == 0) i += 2;
    else if (equation.compare(i, 2, "->") == 0) i += 1;
    else return fmt::format("its equation has a character ({}) at {} that means nothing", int{static_cast<unsigned char>(c)}, i);
  }
  return "";
}

}  // namespace

bool has_inference_guard(const Node& node) {
  return node.is("LayerNormalization") || node.is("RMSNormalization") || node.is("GatherND") || node.is("Einsum");
}

std::string inference_fault(const Node& node, std::span<const std::int64_t> ranks) {
  if (!has_inference_guard(node)) return "";
  const auto rank = [&](std::size_t i) { return i < ranks.size() ? ranks[i] : -1; };
  if ((node.op_type == "LayerNormalization" || node.op_type == "RMSNormalization") && rank(0) >= 0)
    return outside(node, "axis", -1, -rank(0), rank(0) - 1);
  if (node.op_type == "GatherND" && rank(0) >= 1 && rank(1) >= 1)
    return outside(node, "batch_dims", 0, 0, std::min(rank(0), rank(1)) - 1);
  return node.op_type == "Einsum" ? equation_fault(node.string_or("equation", "")) : "";
}

}  // namespace tenon
