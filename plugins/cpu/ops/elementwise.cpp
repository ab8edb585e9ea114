#include "plugins/cpu/ops/elementwise.h"

#include <algorithm>
#include <string>

#include "plugins/cpu/families.h"
#include "plugins/cpu/ops/elements.h"

namespace tenon::cpu {
namespace {

// ---- ops of loops -----------------------------------------------------------------------------------------------------

struct LoopStep {
  Loop loop;
  Placement placement;
  Ref in[3], out;
  std::int32_t in_bytes[3], out_bytes;
  double a, b;
  const char* failure;

  void operator()(const StepContext& c) const {
    const auto [begin, end] = c.slice(placement.count, 4096);
    LoopArgs args{};
    args.a = a, args.b = b;
    const char* base[3] = {};
    for (std::int32_t o = 0; o < placement.operands; ++o) {
      if (in[o].present()) base[o] = c.ptr<const char>(in[o]);
      args.stride[o] = placement.strides[(o + 1) * placement.rank - 1];
    }
    char* to = c.ptr<char>(out);
    std::int32_t code = TENON_OK;
    for_runs(placement, begin, end, [&](const std::int64_t* offset, std::int64_t at, std::int64_t n) {
      for (std::int32_t o = 0; o < placement.operands; ++o) args.in[o] = base[o] ? base[o] + offset[o] * in_bytes[o] : nullptr;
      args.out = to + at * out_bytes;
      args.n = n;
      if (const std::int32_t result = loop(args)) code = result;
    });
    if (code) c.fail(code, failure);
  }
};

class TypedOp final : public Op {
 public:
  TypedOp(const NodeView& node, const Kernel& kernel) : name_(node.op_type()), kernel_(kernel), inputs_(node.input_count()) {}

  void plan(PlanBuilder& builder) const override {
    if (!builder.out_ref(0).present()) return;
    if (!kernel_.variadic) return emit(builder, inputs_, [](std::uint32_t i) { return i; }, kernel_.loop, kernel_.a);
    // out = loop(in 0, in 1), then out = loop(out, in i).
    if (inputs_ == 1) emit(builder, 2, [](std::uint32_t) { return 0u; }, kernel_.loop, kernel_.a, true);
    else emit(builder, 2, [](std::uint32_t i) { return i; }, kernel_.loop, kernel_.a);
    for (std::uint32_t i = 2; i < inputs_; ++i)
      emit(builder, 2, [i](std::uint32_t o) { return o == 0 ? from_out : i; }, kernel_.loop, kernel_.a);
    if (kernel_.finish) emit(builder, 1, [](std::uint32_t) { return from_out; }, kernel_.finish, inputs_);
  }

 private:
  static constexpr std::uint32_t from_out = TENON_NO_VALUE;

  // single: a variadic op of one input, which is copied.
  template <class Which>
  void emit(PlanBuilder& builder, std::uint32_t count, Which which, Loop loop, double a, bool single = false) const {
    LoopStep step{};
    std::uint32_t inputs[3];
    double bytes = static_cast<double>(element_bytes(element_of(builder.out(0).dtype)));
    step.out_bytes = static_cast<std::int32_t>(bytes);
    Ref reads[3];
    std::size_t read_count = 0;
    for (std::uint32_t o = 0; o < count; ++o) {
      const std::uint32_t i = inputs[o] = which(o);
      const Shape& shape = i == from_out ? builder.out(0) : builder.in(i);
      step.in[o] = i == from_out ? builder.out_ref(0) : builder.in_ref(i);
      step.in_bytes[o] = shape.dtype == TENON_DTYPE_UNDEFINED ? 0 : static_cast<std::int32_t>(element_bytes(element_of(shape.dtype)));
      if (step.in[o].present()) reads[read_count++] = step.in[o];
      bytes += step.in_bytes[o];
    }
    step.placement = place_operands(builder, std::span<const std::uint32_t>(inputs, count));
    step.loop = loop, step.a = a, step.b = kernel_.b, step.failure = kernel_.failure;
    step.out = builder.out_ref(0);
    if (single) step.loop = step.out_bytes == 1 ? copy<std::uint8_t> : step.out_bytes == 2 ? copy<std::uint16_t>
                          : step.out_bytes == 4 ? copy<std::uint32_t> : copy<std::uint64_t>;
    const double n = static_cast<double>(step.placement.count);
    const Ref writes[] = {step.out};
    builder.step(name_.c_str(), step, {.est_ns = 20 + n * (kernel_.ns + bytes / 10)}, std::span<const Ref>(reads, read_count), writes);
    // With more steps to come, another of them may read the same memory again.
    if (kernel_.variadic && inputs_ > 2) return;
    for (std::uint32_t o = 0; o < count; ++o)
      if (inputs[o] != from_out && builder.in(inputs[o]).dtype == builder.out(0).dtype &&
          builder.in(inputs[o]).count() == step.placement.count && !step.in[o].constant)
        builder.inplace(inputs[o], 0);
  }
  template <class T>
  static std::int32_t copy(const LoopArgs& args) {
    std::copy_n(static_cast<const T*>(args.in[0]), args.n, static_cast<T*>(args.out));
    return TENON_OK;
  }

  std::string name_;
  Kernel kernel_;
  std::uint32_t inputs_;
};

// ---- rows -------------------------------------------------------------------------------------------------------------

constexpr std::span<const TypedRow> (*parts[])() = {arithmetic_kernels, power_kernels, logic_kernels,
                                                    compare_kernels,    unary_kernels, select_kernels};

const TypedRow* find(const NodeView& node) {
  for (auto part : parts)
    for (const TypedRow& row : part())
      if (node.domain() == row.domain && node.op_type() == row.op_type) return &row;
  return nullptr;
}

bool of_text(const NodeView& node) {
  return (node.op_type() == "Equal" && node.dtype(0) == TENON_DTYPE_STRING) ||
         (node.op_type() == "Where" && node.dtype(1) == TENON_DTYPE_STRING);
}

Support supports(const NodeView& node) {
  const TypedRow* row = find(node);
  if (!row) return Support::no(TENON_REJECT_OP, "not an elementwise operator");
  std::uint32_t count = 0;
  for (std::uint32_t i = 0; i < node.input_count(); ++i) {
    if (node.has_input(i)) ++count;
    else if (i < row->min_inputs) return Support::no(TENON_REJECT_OTHER, "input " + std::to_string(i) + " is missing");
  }
  if (count < row->min_inputs || node.input_count() > row->max_inputs)
    return Support::no(TENON_REJECT_OTHER, "takes " + std::to_string(row->min_inputs) + " to " + std::to_string(row->max_inputs) +
                                               " inputs, found " + std::to_string(node.input_count()));
  if (Support known = any_type(node); known.reason) return known;
  if (of_text(node)) {
    const std::uint32_t last = node.op_type() == "Where" ? 2 : 1;
    if (node.dtype(last) != TENON_DTYPE_STRING) return Support::no(TENON_REJECT_DTYPE, "strings and numbers do not mix");
    return Support::yes();
  }
  if (!row->pick(node).loop) {
    std::string types;
    for (std::uint32_t i = 0; i < node.input_count(); ++i)
      types += (i ? ", " : "") + std::to_string(node.has_input(i) ? node.input(i).dtype : 0);
    return Support::no(TENON_REJECT_DTYPE, "no kernel for element types " + types + " or for these attributes");
  }
  return Support::yes();
}

std::unique_ptr<Op> make(const NodeView& node, CompileContext& context) {
  if (of_text(node)) return node.op_type() == "Equal" ? make_text_equal(node) : make_text_where(node);
  if (auto chain = make_chain(node, context)) return chain;
  return make_typed(node, find(node)->pick(node));
}

}  // namespace

std::unique_ptr<Op> make_typed(const NodeView& node, const Kernel& kernel) { return std::make_unique<TypedOp>(node, kernel); }

Placement place_operands(PlanBuilder& builder, std::span<const std::uint32_t> inputs) {
  const Shape& out = builder.out(0);
  const std::size_t out_rank = out.dims.size(), n = inputs.size();
  PlanList<std::int64_t> dims(out.dims.begin(), out.dims.end()), strides(n * out_rank, 0);
  for (std::size_t o = 0; o < n; ++o) {
    const Shape& in = inputs[o] == TENON_NO_VALUE ? out : builder.in(inputs[o]);
    if (in.dims.size() > out_rank) throw Failure{TENON_INVALID_ARGUMENT, "an operand has more dimensions than the output"};
    const PlanList<std::int64_t> dense = dense_strides(in.dims);
    const std::size_t shift = out_rank - in.dims.size();
    for (std::size_t d = 0; d < in.dims.size(); ++d) {
      if (in.dims[d] != 1 && in.dims[d] != dims[d + shift])
        throw Failure{TENON_INVALID_ARGUMENT, "operands do not broadcast: a dimension is " + std::to_string(in.dims[d]) +
                                                  " where the output has " + std::to_string(dims[d + shift])};
      strides[o * out_rank + d + shift] = in.dims[d] == 1 ? 0 : dense[d];
    }
  }
  std::size_t rank = 0;
  for (std::size_t d = 0; d < out_rank; ++d) {
    if (dims[d] == 1) continue;
    bool merge = rank > 0;
    for (std::size_t o = 0; o < n && merge; ++o) merge = strides[o * out_rank + rank - 1] == strides[o * out_rank + d] * dims[d];
    if (merge) dims[rank - 1] *= dims[d];
    else dims[rank++] = dims[d];
    for (std::size_t o = 0; o < n; ++o) strides[o * out_rank + rank - 1] = strides[o * out_rank + d];
  }
  if (rank == 0) dims.assign(1, 1), rank = 1;
  if (rank > 16) throw Failure{TENON_UNIMPLEMENTED, "broadcasting over more than 16 distinct dimensions"};
  PlanList<std::int64_t> packed(n * rank, 0);
  if (out_rank > 0)
    for (std::size_t o = 0; o < n; ++o) std::copy_n(&strides[o * out_rank], rank, &packed[o * rank]);
  Placement p;
  p.rank = static_cast<std::int32_t>(rank), p.operands = static_cast<std::int32_t>(n);
  p.dims = builder.keep(std::span<const std::int64_t>(dims).first(rank));
  p.strides = builder.keep(std::span<const std::int64_t>(packed));
  p.count = out.count();
  return p;
}

std::span<const OpRow> elementwise_rows() {
  static const std::vector<OpRow> rows = [] {
    std::vector<OpRow> all;
    for (auto part : parts)
      for (const TypedRow& row : part()) all.push_back({row.domain, row.op_type, supports, make});
    const auto cast = cast_rows();
    all.insert(all.end(), cast.begin(), cast.end());
    return all;
  }();
  return rows;
}

}  // namespace tenon::cpu
