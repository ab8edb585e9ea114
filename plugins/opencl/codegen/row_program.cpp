#include <algorithm>

#include "plugins/opencl/codegen/row.h"

namespace tenon::opencl {
namespace {

// whole with e in place of its load of `slot`.
Expression replaced(const Expression& whole, std::uint32_t slot, const Expression& e) {
  Expression out;
  std::uint32_t made = 0;
  bool has = false;
  // Slots of row values are no indices: they are mapped through small numbers.
  Expression small = whole;
  std::uint32_t next = 0;
  std::vector<std::uint32_t> nodes;
  for (Expression::Node& n : small.nodes) {
    if (n.kind != Expression::Kind::load) continue;
    if (n.slot == slot) {
      if (!has) {
        std::vector<std::uint32_t> operands;
        for (const Expression::Node& m : e.nodes)
          if (m.kind == Expression::Kind::load) {
            if (operands.size() <= m.slot) operands.resize(m.slot + 1, 0);
            operands[m.slot] = out.load(m.slot, m.dtype);
          }
        made = out.splice(e, operands)[0];
        has = true;
      }
      nodes.push_back(made);
    } else {
      nodes.push_back(out.load(n.slot, n.dtype));
    }
    n.slot = next++;
  }
  out.outputs = out.splice(small, nodes);
  return out;
}

}  // namespace

void RowProgram::replace(std::uint32_t slot, const Expression& e) {
  for (Step& s : steps) s.value = replaced(s.value, slot, e);
  finish = replaced(finish, slot, e);
}

bool wants_keeping(const RowProgram& program) {
  const auto reads = [&](const Expression& e) {
    for (const Expression::Node& n : e.nodes) {
      if (n.kind != Expression::Kind::load || n.slot < RowProgram::element_slot || n.slot >= RowProgram::count_slot) continue;
      if (program.steps[n.slot - RowProgram::element_slot].value.nodes.size() > 2) return true;
    }
    return false;
  };
  return reads(program.finish) || std::any_of(program.steps.begin(), program.steps.end(), [&](const RowProgram::Step& s) { return reads(s.value); });
}

}  // namespace tenon::opencl
