// Expand and Tile: strided copies that read with stride 0 along repeated dims. The output's dims say all.
#include "plugins/cpu/ops/movement.h"
#include "plugins/cpu/ops/strided_copy.h"

namespace tenon::cpu {
namespace {

void emit_one(PlanBuilder& b, const char* name, std::span<const std::int64_t> dims, std::span<const std::int64_t> src,
              std::span<const std::int64_t> dst) {
  const CopyPiece piece{strided_copy(b, element_of(b.in(0).dtype), dims, src, dst), b.in_ref(0), b.out_ref(0)};
  emit_copies(b, name, {&piece, 1});
}

class ExpandOp final : public Op {
 public:
  void plan(PlanBuilder& b) const override {
    const Shape &x = b.in(0), &y = b.out(0);
    if (y.count() == 0) return;
    if (x.rank() > y.rank()) throw Failure{TENON_INVALID_ARGUMENT, "the output has fewer dimensions than the input"};
    const PlanList<std::int64_t> strides = dense_strides(x.dims);
    PlanList<std::int64_t> src(y.dims.size(), 0);
    const std::size_t lead = y.dims.size() - x.dims.size();
    for (std::size_t i = 0; i < x.dims.size(); ++i) {
      if (x.dims[i] == y.dims[lead + i]) src[lead + i] = strides[i];
      else if (x.dims[i] != 1)
        throw Failure{TENON_INVALID_ARGUMENT,
                      "a dimension of " + std::to_string(x.dims[i]) + " cannot become " + std::to_string(y.dims[lead + i])};
    }
    emit_one(b, "expand", y.dims, src, dense_strides(y.dims));
  }
};

class TileOp final : public Op {
 public:
  void plan(PlanBuilder& b) const override {
    const Shape &x = b.in(0), &y = b.out(0);
    if (y.count() == 0) return;
    if (x.rank() != y.rank()) throw Failure{TENON_INVALID_ARGUMENT, "input and output differ in rank"};
    const PlanList<std::int64_t> x_strides = dense_strides(x.dims), y_strides = dense_strides(y.dims);
    PlanList<std::int64_t> dims, src, dst;
    for (std::size_t i = 0; i < x.dims.size(); ++i) {
      if (x.dims[i] == 0 || y.dims[i] % x.dims[i])
        throw Failure{TENON_INVALID_ARGUMENT, "Tile: " + std::to_string(y.dims[i]) + " is no multiple of " + std::to_string(x.dims[i])};
      dims.push_back(y.dims[i] / x.dims[i]), src.push_back(0), dst.push_back(y_strides[i] * x.dims[i]);
      dims.push_back(x.dims[i]), src.push_back(x_strides[i]), dst.push_back(y_strides[i]);
    }
    emit_one(b, "tile", dims, src, dst);
  }
};

constexpr OpRow rows[] = {
    {"", "Expand", any_type, [](const NodeView&, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<ExpandOp>(); }},
    {"", "Tile", any_type, [](const NodeView&, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<TileOp>(); }},
};

}  // namespace

std::span<const OpRow> expand_tile_rows() { return rows; }

}  // namespace tenon::cpu
