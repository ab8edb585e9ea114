// Reshape, Flatten, Squeeze, Unsqueeze, Identity: the same bytes under other dims. Shape and Size: dims as elements.
#include "plugins/cpu/families.h"
#include "plugins/cpu/ops/elements.h"
#include "plugins/cpu/ops/movement.h"

namespace tenon::cpu {
namespace {

// Copies only where the output must be memory of its own.
class ReshapeOp final : public Op {
 public:
  std::int32_t alias_of() const override { return 0; }

  void plan(PlanBuilder& b) const override {
    const Element kind = element_of(b.in(0).dtype);
    const std::int64_t count = b.in(0).count();
    if (count != b.out(0).count())
      throw Failure{TENON_INVALID_ARGUMENT,
                    "the output has " + std::to_string(b.out(0).count()) + " elements, the input " + std::to_string(count)};
    const Ref src = b.in_ref(0), dst = b.out_ref(0);
    if (count == 0) return;
    if (kind == Element::text) {
      b.step("copy strings", [=](const StepContext& c) { Copier(c, Element::text, src, dst).copy(0, 0, count); }, copy_options(kind, count),
             {{src}}, {{dst}});
      return;
    }
    const std::int64_t bytes = bytes_of(kind, count);
    b.inplace(0, 0);
    b.step("copy", [=](const StepContext& c) {
      const auto [begin, end] = c.slice(bytes, 4096);
      const char* s = c.ptr<const char>(src);
      char* d = c.ptr<char>(dst);
      if (s != d && begin < end) std::memcpy(d + begin, s + begin, static_cast<std::size_t>(end - begin));
    }, copy_options(Element::bytes1, 2 * bytes), {{src}}, {{dst}});
  }
};

// Shape and Size know their output while planning.
class ShapeOp final : public Op {
 public:
  ShapeOp(bool size, std::int64_t start, std::int64_t end) : size_(size), start_(start), end_(end) {}

  void plan(PlanBuilder& b) const override {
    const Shape& x = b.in(0);
    std::vector<std::int64_t> values;
    if (size_) {
      values.push_back(x.count());
    } else {
      const auto clamp = [&](std::int64_t at) { return std::min(std::max<std::int64_t>(at < 0 ? at + x.rank() : at, 0), x.rank()); };
      for (std::int64_t i = clamp(start_); i < clamp(end_); ++i) values.push_back(x[i]);
    }
    if (values.empty()) return;
    const std::int64_t* kept = b.keep(std::span<const std::int64_t>(values));
    const std::size_t bytes = values.size() * sizeof(std::int64_t);
    const Ref dst = b.out_ref(0);
    StepOptions one;
    one.spmd = false;
    b.step("shape", [=](const StepContext& c) { std::memcpy(c.ptr<char>(dst), kept, bytes); }, one, std::span<const Ref>{&dst, 0}, {{dst}});
  }

 private:
  bool size_;
  std::int64_t start_, end_;
};

std::unique_ptr<Op> make_reshape(const NodeView&, CompileContext&) { return std::make_unique<ReshapeOp>(); }
std::unique_ptr<Op> make_shape(const NodeView& node, CompileContext&) {
  return std::make_unique<ShapeOp>(node.op_type() == "Size", node.int_or("start", 0), node.int_or("end", INT64_MAX));
}

constexpr OpRow rows[] = {
    {"", "Reshape", any_type, make_reshape},   {"", "Flatten", any_type, make_reshape},  {"", "Squeeze", any_type, make_reshape},
    {"", "Unsqueeze", any_type, make_reshape}, {"", "Identity", any_type, make_reshape}, {"", "Shape", any_type, make_shape},
    {"", "Size", any_type, make_shape},
};

}  // namespace

std::span<const OpRow> reshape_rows() { return rows; }
std::unique_ptr<Op> make_copy() { return std::make_unique<ReshapeOp>(); }

}  // namespace tenon::cpu
