// BitCast: the same bytes as another type.
#include "plugins/opencl/families.h"
#include "plugins/opencl/ops/movement.h"

namespace tenon::opencl {
namespace {

class BitCastOp final : public Op {
 public:
  void plan(PlanBuilder& b) const override {
    const Tensor& shape = b.out_shape(0);
    const std::int64_t from = storage_bytes(b.in(0).dtype), to = storage_bytes(shape.dtype);
    Tensor view = from == to ? b.in(0) : b.dense(b.in(0));
    if (from != to) {
      view.dims = shape.dims;
      view.strides = strides_of(view.dims, Layout::dense);
      if (view.offset * from % to != 0) {
        // A window of a tensor may begin where no wider element does.
        Tensor moved = b.temp(b.in(0).dtype, b.in(0).dims, Layout::dense);
        b.copy(b.in(0), moved);
        view.buffer = moved.buffer, view.offset = 0;
      }
      view.offset = view.offset * from / to;
    }
    view.dtype = shape.dtype;
    view.known = nullptr;
    b.alias_out(0, view);
  }
};

std::unique_ptr<Op> make(const Node&, CompileContext&) { return std::make_unique<BitCastOp>(); }

const OpRow rows[] = {{"", "BitCast", nullptr, make}};

}  // namespace

std::span<const OpRow> cast_rows() { return rows; }

}  // namespace tenon::opencl
