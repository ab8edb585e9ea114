// Rows: the launch of a row program (codegen/row.h) over tensors of any strides.
// Used while a plan is made, by one unit.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "plugins/opencl/codegen/row.h"
#include "plugins/opencl/op.h"

namespace tenon::opencl {

struct Rows {
  const char* name = "";
  RowProgram program;
  Dims dims;                        // of all elements
  std::vector<bool> reduced;        // by axis: the row's
  std::vector<Tensor> inputs;       // by slot, broadcast to dims
  std::vector<Tensor> outputs;      // of program.finish; without the first where `linked`
  std::vector<Tensor> row_outputs;  // of any dims that broadcast to dims, as the program lists them
  bool linked = true;               // finish's first output is output 0 of the unit, made here in `layout`, with the unit's epilogue
  Layout layout = Layout::dense;
  // Where dims are another view of output 0: its strides in that view, and how the epilogue finds an element (row.h's b, r, c).
  struct View {
    Dims strides;
    TileSpace space;
    std::int64_t split = 1;
    std::string b, r, c;
  };
  std::optional<View> view;
};

// Throws Failure: UNSUPPORTED_SHAPE where no walk over the axes does it.
void launch_rows(PlanBuilder& builder, Rows rows);

// Channels-last where x is laid out so and not densely.
Layout row_layout(const Tensor& x);

}  // namespace tenon::opencl
