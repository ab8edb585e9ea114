// The kernel of an expression over tensors of any strides: rows of one innermost axis, outer axes by index arithmetic once a row.
//
// One text serves every size: sizes and strides are arguments; only the number of outer axes and how each tensor moves along the innermost
// one are part of it. Pure function.
#pragma once

#include <cstdint>
#include <vector>

#include "plugins/opencl/codegen/expression.h"
#include "plugins/opencl/device/kernels.h"

namespace tenon::opencl {

// Along the innermost axis: one element for all, neighbours in memory, or apart.
enum class Step : std::uint8_t { none, unit, strided };

struct ElementwiseForm {
  struct Operand {
    std::int32_t dtype = 0;
    Step step = Step::unit;
    bool uniform = false;  // one element for everything: read once
  };
  const Expression* expression = nullptr;
  std::vector<Operand> inputs;   // by slot
  std::vector<Operand> outputs;  // by output
  int outer = 0;                 // axes outside the innermost
  int width = 1;                 // elements at once
  std::uint32_t group = 1;       // work-group size
};

// Parameters: outputs, inputs (base, byte offset each), int inner, int chunk, int rows, int rows_each, int size of each outer axis but the
// first, then for each tensor (outputs first) that is not uniform: int stride of each outer axis, and int inner stride where strided.
// Global: [ceil(inner / chunk) up to the group, ceil(rows / rows_each), 1].
KernelText elementwise_kernel(const ElementwiseForm& form);

}  // namespace tenon::opencl
