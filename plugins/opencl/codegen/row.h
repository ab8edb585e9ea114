// The kernel of row operators (Softmax, norms): reductions over a row, what follows from them once a row, and at last every element again.
//
// Two forms of one program. Along: the row's elements are neighbours in memory, vectors run along it; a work group shares a row where the
// device has groups. Across: neighbours in memory belong to different rows, each lane of a vector (or each work item) is a row of its own.
// Sizes and strides are arguments. Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "plugins/opencl/codegen/elementwise.h"
#include "plugins/opencl/codegen/epilogue.h"
#include "plugins/opencl/codegen/expression.h"
#include "plugins/opencl/device/kernels.h"

namespace tenon::opencl {

// Loads of its expressions: slots below row_slot are operands; row_slot + k is step k's result, element_slot + k the value that step k
// reduces, for this element; count_slot is the number of elements in a row.
struct RowProgram {
  static constexpr std::uint32_t row_slot = 1u << 16, element_slot = 2u << 16, count_slot = 3u << 16;
  enum class Reduce : std::uint8_t { none, max, sum };  // none: computed once a row, from results of steps before and operands that do not move along it
  struct Step {
    Reduce reduce = Reduce::none;
    Expression value;  // one output
  };
  std::vector<Step> steps;
  Expression finish;                       // of each element; output 0 first
  std::vector<std::uint32_t> row_outputs;  // steps that are stored once a row

  // Element `slot` of every expression becomes e, an expression of operands.
  void replace(std::uint32_t slot, const Expression& e);
};

struct RowForm {
  struct Operand {
    std::int32_t dtype = 0;
    Step step = Step::unit;  // along the vector's axis
  };
  const RowProgram* program = nullptr;
  std::vector<Operand> outputs;      // of finish; without the first where there is an epilogue
  std::vector<Operand> row_outputs;  // as in the program
  std::vector<Operand> inputs;       // by slot
  const Epilogue* epilogue = nullptr;
  std::string b = "0", r = "row", c = "i";  // where an element is for the epilogue, of the variables row, split, j, n1, i, lane
  int outer = 0;                     // axes that make up the row's number
  bool two_levels = false;           // the row is n0 stretches of n1 elements
  bool across = false;
  bool keep = false;                 // values of steps are kept in private memory. REQUIRES !two_levels, n1 * lanes at once <= keep_limit
  int width = 1;
  std::uint32_t group = 1;           // a power of two
};
inline constexpr std::int64_t keep_limit = 4096;  // elements

// True where some expression needs an element of a step that is more than a load: keeping it pays.
bool wants_keeping(const RowProgram& program);

// Parameters: outputs, row outputs, inputs (base, byte offset each), int n1, n0, rows, rows_each, lanes, lanes_each, split, the size of each
// outer axis but the first; then of each tensor in the same order: int stride of each outer axis, of j (two_levels, not row outputs), of i
// (across, not row outputs), of the vector's axis where strided. Last the epilogue's.
// Global: along [group, ceil(rows / rows_each)], across [ceil(lanes / lanes_each) up to the group, ceil(rows / rows_each)].
KernelText row_kernel(const RowForm& form);

}  // namespace tenon::opencl
