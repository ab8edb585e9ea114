#include "plugins/opencl/codegen/linked_epilogue.h"

#include "plugins/opencl/codegen/expression_text.h"
#include "plugins/opencl/codegen/types.h"

namespace tenon::opencl {
namespace {

std::string parameters_of(const std::string& name, const ExpressionEpilogue::Operand& o, bool output) {
  std::string p = std::string(", __global ") + (output ? "" : "const ") + "char* " + name + "_base, ulong " + name + "_at";
  if (o.moves_b) p += ", int " + name + "_b";
  if (o.moves_r) p += ", int " + name + "_r";
  if (o.cols == 2) p += ", int " + name + "_c";
  return p;
}

// A pointer to the row's element at column 0, declared as name.
std::string pointer_of(const std::string& name, const ExpressionEpilogue::Operand& o, bool output, const std::string& b, const std::string& r) {
  const std::string type = std::string("__global ") + (output ? "" : "const ") + storage_name(o.dtype) + "*";
  std::string p = type + " " + name + " = (" + type + ")(" + name + "_base + " + name + "_at)";
  if (o.moves_b) p += " + (long)(" + b + ") * " + name + "_b";
  if (o.moves_r) p += " + (long)(" + r + ") * " + name + "_r";
  return p + "; ";
}

}  // namespace

std::string ExpressionEpilogue::parameters() const {
  std::string p;
  for (std::size_t o = 0; o < outputs_.size(); ++o) p += parameters_of("ey" + std::to_string(o), outputs_[o], true);
  for (std::size_t i = 0; i < operands_.size(); ++i) p += parameters_of("ex" + std::to_string(i), operands_[i], false);
  return p;
}

std::string ExpressionEpilogue::statements(const std::string& acc, int width, const std::string& b, const std::string& r, const std::string& c) const {
  std::string p = "{ ";
  for (std::size_t i = 0; i < operands_.size(); ++i) p += pointer_of("ex" + std::to_string(i), operands_[i], false, b, r);
  for (std::size_t o = 0; o < outputs_.size(); ++o) p += pointer_of("ey" + std::to_string(o), outputs_[o], true, b, r);
  const ExpressionText text = write_expression(expression_, width, "ev", [&](const Expression::Node& n) -> std::string {
    if (n.slot == 0) return acc;
    const Operand& o = operands_[n.slot - 1];
    const std::string name = "ex" + std::to_string(n.slot - 1);
    if (o.cols == 0) return "(" + compute_name(compute_of(o.dtype), width) + ")(" + load_text(o.dtype, 1, name, "0") + ")";
    if (o.cols == 1) return load_text(o.dtype, width, name, c);
    return gather_text(o.dtype, width, name, "(long)(" + c + ") * " + name + "_c", name + "_c");
  });
  p += text.statements;
  for (std::size_t o = 0; o < outputs_.size(); ++o) {
    const std::string name = "ey" + std::to_string(o), &value = text.names[expression_.outputs[o]];
    p += outputs_[o].cols == 2 ? scatter_text(outputs_[o].dtype, width, name, "(long)(" + c + ") * " + name + "_c", name + "_c", value)
                               : store_text(outputs_[o].dtype, width, name, c, value);
    p += " ";
  }
  return p + "}";
}

std::vector<std::string> ExpressionEpilogue::helpers(const std::vector<int>& widths) const { return expression_helpers(expression_, widths); }

}  // namespace tenon::opencl
