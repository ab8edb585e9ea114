// Softmax and LogSoftmax along any axis; along the last one with a scale and a mask of the producers in the same pass.
#include "plugins/cpu/ops/softmax.h"

#include "plugins/cpu/ops/norm_family.h"
#include "plugins/cpu/ops/norm_kernels.h"
#include "plugins/cpu/ops/reduce_types.h"

namespace tenon::cpu {
namespace {

constexpr std::int32_t max_rank = 8;

// y = softmax(scale * x + mask) of each row.
struct RowStep {
  Ref x, mask, y;
  std::int64_t rows, n;
  float scale;
  bool log;
  // Offset of the mask's row: sum of index * stride over the dims but the last.
  std::int32_t rank;
  std::int64_t dims[max_rank], strides[max_rank];

  void operator()(const StepContext& c) const {
    const auto slice = c.slice(rows);
    const float* in = c.ptr<const float>(x);
    float* out = c.ptr<float>(y);
    if (!mask.present()) {
      softmax_rows(in + slice.begin * n, nullptr, scale, slice.end - slice.begin, n, log, out + slice.begin * n);
      return;
    }
    for (std::int64_t r = slice.begin; r < slice.end;) {
      const float* m = c.ptr<const float>(mask);
      std::int64_t rest = r;
      for (std::int32_t d = rank; d-- > 0;) {
        m += rest % dims[d] * strides[d];
        rest /= dims[d];
      }
      // Rows that share the mask's row go together.
      std::int64_t together = 1;
      if (rank > 0 && strides[rank - 1] == 0) together = std::min(slice.end - r, dims[rank - 1] - r % dims[rank - 1]);
      softmax_rows(in + r * n, m, scale, together, n, log, out + r * n);
      r += together;
    }
  }
};

// Along an axis that is not the last.
struct ColumnStep {
  Ref x, y;
  std::int64_t outer, n, inner;
  bool log;

  void operator()(const StepContext& c) const {
    constexpr std::int64_t width = 64;
    const std::int64_t blocks = (inner + width - 1) / width;
    const auto slice = c.slice(outer * blocks);
    for (std::int64_t item = slice.begin; item < slice.end; ++item) {
      const std::int64_t col = item % blocks * width, base = item / blocks * n * inner + col;
      softmax_columns(c.ptr<const float>(x) + base, n, inner, std::min(width, inner - col), log, c.ptr<float>(y) + base);
    }
  }
};

struct PlainStep {
  Ref x, y;
  std::int64_t outer, n, inner;
  std::int32_t dtype;
  bool log;

  void operator()(const StepContext& c) const {
    const auto slice = c.slice(outer * inner);
    visit_float(dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      for (std::int64_t line = slice.begin; line < slice.end; ++line) {
        const std::int64_t base = line / inner * n * inner + line % inner;
        plain_softmax_line(c.ptr<const T>(x) + base, n, inner, log, c.ptr<T>(y) + base);
      }
    });
  }
};

bool same_dims(const tenon_value& a, const tenon_value& b) {
  if (a.rank < 0 || a.rank != b.rank) return false;
  for (std::int32_t i = 0; i < a.rank; ++i) {
    if (a.dims[i] != b.dims[i]) return false;
    if (a.dims[i] < 0 && (a.dim_symbols[i] == 0 || a.dim_symbols[i] != b.dim_symbols[i])) return false;
  }
  return true;
}

void add_mask(RowStep& step, const Shape& in, const Shape& mask, Ref ref) {
  step.mask = ref;
  step.rank = static_cast<std::int32_t>(in.rank()) - 1;
  const std::int64_t first = in.rank() - mask.rank();
  if (mask[-1] != in[-1]) invalid_argument("a mask whose last dimension is not that of the scores");
  for (std::int32_t d = 0; d < step.rank; ++d) {
    step.dims[d] = in[d];
    const std::int64_t at = d - first;
    step.strides[d] = at >= 0 && mask[at] != 1 ? mask.inner(at) : 0;
    if (at >= 0 && mask[at] != 1 && mask[at] != in[d]) invalid_argument("a mask that does not broadcast to the scores");
  }
}

}  // namespace

SoftmaxOp::SoftmaxOp(const NodeView& node, CompileContext& context, bool log)
    : axis_(node.int_or("axis", -1)), rank_(node.rank(0)), log_(log),
      fuses_(node.dtype(0) == TENON_DTYPE_FLOAT && !context.options().plain && rank_ > 0 && rank_ <= max_rank &&
             (axis_ == -1 || axis_ == rank_ - 1)) {}

// Softmax(x + mask), Softmax(x * factor), Softmax(x / divisor).
bool SoftmaxOp::pull(const NodeView& producer, std::uint32_t slot, std::uint32_t first_input, CompileContext& context) {
  if (!fuses_ || slot != data_ || !producer.domain().empty() || producer.input_count() != 2) return false;
  if (producer.dtype(0) != TENON_DTYPE_FLOAT || producer.input(0).dtype != TENON_DTYPE_FLOAT) return false;
  if (producer.op_type() == "Add" && mask_ == TENON_NO_VALUE && scale_ == 1.0f) {
    for (std::uint32_t i : {0u, 1u}) {
      if (!same_dims(producer.input(i), producer.output(0)) || !mask_fits(producer.input(1 - i))) continue;
      data_ = i == 0 ? slot : first_input;
      mask_ = i == 0 ? first_input : slot;
      return true;
    }
    return false;
  }
  const bool mul = producer.op_type() == "Mul", div = producer.op_type() == "Div";
  if (!mul && !div) return false;
  for (std::uint32_t i : {0u, 1u}) {
    if ((div && i == 1) || !producer.is_constant(1 - i) || !same_dims(producer.input(i), producer.output(0))) continue;
    const tenon_const_tensor factor = context.constant(producer, 1 - i);
    if (factor.bytes != sizeof(float)) continue;
    float value;
    std::memcpy(&value, factor.data, sizeof value);
    scale_ *= div ? 1.0f / value : value;
    data_ = i == 0 ? slot : first_input;
    return true;
  }
  return false;
}

// A full last dim (or one that is as unknown as the data's is not decided here): rows of the mask must be dense.
bool SoftmaxOp::mask_fits(const tenon_value& mask) const {
  return mask.dtype == TENON_DTYPE_FLOAT && mask.rank >= 1 && mask.rank <= rank_ && mask.dims[mask.rank - 1] != 1;
}

void SoftmaxOp::plan(PlanBuilder& builder) const {
  const Shape& in = builder.in(data_);
  const std::int64_t count = in.count();
  if (count == 0) return;
  const Ref x = builder.in_ref(data_), y = builder.out_ref(0);
  const std::int64_t axis = in.rank() == 0 ? 0 : normal_axis(axis_, in.rank());
  const std::int64_t n = in.rank() == 0 ? 1 : in[axis], outer = in.outer(axis), inner = in.rank() == 0 ? 1 : in.inner(axis);
  builder.inplace(data_, 0);
  if (scale_ == 1.0f && mask_ == TENON_NO_VALUE) {
    plan_softmax(builder, in.dtype, outer, n, inner, log_, x, y);
    return;
  }
  RowStep step{};
  step.x = x, step.y = y, step.rows = outer, step.n = n, step.scale = scale_, step.log = log_;
  if (mask_ != TENON_NO_VALUE) add_mask(step, in, builder.in(mask_), builder.in_ref(mask_));
  builder.step("Softmax", step, {.est_ns = static_cast<double>(count) * 0.5});
}

void plan_softmax(PlanBuilder& builder, std::int32_t dtype, std::int64_t outer, std::int64_t n, std::int64_t inner, bool log, Ref x,
                  Ref y) {
  const Ref reads[] = {x}, writes[] = {y};
  const double count = static_cast<double>(outer * n) * static_cast<double>(inner);
  if (dtype != TENON_DTYPE_FLOAT || builder.options().plain) {
    builder.step("Softmax", PlainStep{x, y, outer, n, inner, dtype, log}, {.est_ns = count * 10}, reads, writes);
  } else if (inner == 1) {
    RowStep step{};
    step.x = x, step.y = y, step.rows = outer, step.n = n, step.scale = 1, step.log = log;
    builder.step("Softmax", step, {.est_ns = count * 0.5}, reads, writes);
  } else {
    builder.step("Softmax", ColumnStep{x, y, outer, n, inner, log}, {.est_ns = count * 0.6}, reads, writes);
  }
}

std::span<const OpRow> softmax_rows() {
  static const OpRow rows[] = {
      {"", "Softmax", supports_float,
       [](const NodeView& node, CompileContext& context) -> std::unique_ptr<Op> {
         return std::make_unique<SoftmaxOp>(node, context, false);
       }},
      {"", "LogSoftmax", supports_float,
       [](const NodeView& node, CompileContext& context) -> std::unique_ptr<Op> {
         return std::make_unique<SoftmaxOp>(node, context, true);
       }},
  };
  return rows;
}

}  // namespace tenon::cpu
