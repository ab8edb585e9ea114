// LayerNormalization, RMSNormalization, SimplifiedLayerNormalization and com.microsoft's versions with a residual.
#include <cstring>

#include "plugins/cpu/families.h"
#include "plugins/cpu/ops/norm_family.h"
#include "plugins/cpu/ops/norm_kernels.h"
#include "plugins/cpu/ops/reduce_types.h"

namespace tenon::cpu {
namespace {

// Writes a broadcast operand out to the shape of the rows.
struct SpreadStep {
  Ref from, to;
  const std::int64_t* dims;
  const std::int64_t* strides;
  std::int32_t rank, element_bytes;
  std::int64_t count;

  void operator()(const StepContext& c) const {
    const auto slice = c.slice(count);
    const char* in = c.ptr<const char>(from);
    char* out = c.ptr<char>(to);
    for (std::int64_t i = slice.begin; i < slice.end; ++i) {
      std::int64_t rest = i, offset = 0;
      for (std::int32_t d = rank; d-- > 0;) {
        offset += rest % dims[d] * strides[d];
        rest /= dims[d];
      }
      std::memcpy(out + i * element_bytes, in + offset * element_bytes, static_cast<std::size_t>(element_bytes));
    }
  }
};

// What multiplies or shifts the rows: repeated for every row, or one for each row of the whole tensor.
struct RowOperand {
  Ref ref;
  std::int64_t period = 1;  // rows after which it repeats

  template <class T>
  const T* at(const StepContext& c, std::int64_t row, std::int64_t n) const {
    return ref.present() ? c.ptr<const T>(ref) + row % period * n : nullptr;
  }
};

struct LayerStep {
  Ref x, y, sum, mean, inv;
  RowOperand skip, bias, gamma, beta;
  std::int64_t rows, n;
  double epsilon;
  std::int32_t dtype, mean_dtype, inv_dtype;
  bool rms, plain;
  EpiloguePlan epilogue;

  void operator()(const StepContext& c) const {
    visit_float(dtype, [&](auto tag) { run<typename decltype(tag)::type>(c); });
  }

  template <class T>
  void run(const StepContext& c) const {
    const auto slice = c.slice(rows);
    for (std::int64_t r = slice.begin; r < slice.end; ++r) {
      LayerRow<T> row{c.ptr<const T>(x) + r * n, skip.at<T>(c, r, n), bias.at<T>(c, r, n),   gamma.at<T>(c, r, n),
                      beta.at<T>(c, r, n),       sum.present() ? c.ptr<T>(sum) + r * n : nullptr, c.ptr<T>(y) + r * n};
      LayerStats<T> stats;
      if constexpr (std::is_same_v<T, float>) {
        stats = plain ? plain_layer_norm_row(row, n, epsilon, rms) : layer_norm_row(row, n, static_cast<float>(epsilon), rms);
        apply_epilogue_rows(epilogue, c, row.y, r * n, n);
      } else {
        stats = plain_layer_norm_row(row, n, epsilon, rms);
      }
      write(c, mean, mean_dtype, r, stats.mean);
      write(c, inv, inv_dtype, r, stats.inv);
    }
  }

  void write(const StepContext& c, Ref to, std::int32_t type, std::int64_t row, double value) const {
    if (!to.present()) return;
    if (type == TENON_DTYPE_DOUBLE) c.ptr<double>(to)[row] = value;
    else c.ptr<float>(to)[row] = static_cast<float>(value);
  }
};

// Where an operator keeps its operands; -1: it has none.
struct LayerForm {
  bool rms;
  int skip, gamma, beta, bias;       // inputs
  int mean, inv, sum;                // outputs
};

class LayerNormOp final : public Op {
 public:
  LayerNormOp(const LayerForm& form, const NodeView& node, CompileContext& context)
      : form_(form), axis_(node.int_or("axis", -1)), epsilon_(node.float_or("epsilon", form.skip >= 0 ? 1e-12f : 1e-5f)),
        absorbs_(node.dtype(0) == TENON_DTYPE_FLOAT && !context.options().plain) {
    // Inputs that are left out stand where absorbed ones will: they must not be taken for each other.
    for (int* input : {&form_.skip, &form_.gamma, &form_.beta, &form_.bias})
      if (*input >= 0 && !node.has_input(static_cast<std::uint32_t>(*input))) *input = -1;
  }

  bool absorb(const NodeView& next, std::uint32_t slot, std::uint32_t first_input, CompileContext& context) override {
    return absorbs_ && epilogue_.add(next, slot, first_input, context);
  }

  void plan(PlanBuilder& builder) const override {
    const Shape& in = builder.in(0);
    const std::int64_t axis = in.rank() == 0 ? 0 : normal_axis(axis_, in.rank());
    LayerStep step{};
    step.rows = in.outer(axis);
    step.n = in.rank() == 0 ? 1 : in[axis] * in.inner(axis);
    if (step.rows * step.n == 0) return;
    step.x = builder.in_ref(0), step.y = builder.out_ref(0);
    if (!step.y.present()) step.y = builder.temp(static_cast<std::uint64_t>(in.count()) * (in.dtype == TENON_DTYPE_DOUBLE ? 8 : 4));
    if (form_.sum >= 0) step.sum = output(builder, form_.sum);
    if (form_.mean >= 0)
      step.mean = output(builder, form_.mean), step.mean_dtype = builder.out(static_cast<std::uint32_t>(form_.mean)).dtype;
    if (form_.inv >= 0) step.inv = output(builder, form_.inv), step.inv_dtype = builder.out(static_cast<std::uint32_t>(form_.inv)).dtype;
    if (form_.skip >= 0) step.skip = operand(builder, form_.skip, axis, step.rows, step.n);
    if (form_.bias >= 0) step.bias = operand(builder, form_.bias, axis, step.rows, step.n);
    if (form_.gamma >= 0) step.gamma = operand(builder, form_.gamma, axis, step.rows, step.n);
    if (form_.beta >= 0) step.beta = operand(builder, form_.beta, axis, step.rows, step.n);
    step.epsilon = static_cast<double>(epsilon_), step.dtype = in.dtype;
    step.rms = form_.rms, step.plain = builder.options().plain;
    step.epilogue = epilogue_.empty() ? EpiloguePlan{} : epilogue_.plan(builder);
    offer_inplace(builder, epilogue_);
    const double count = static_cast<double>(in.count());
    builder.step("LayerNormalization", step, {.est_ns = count * (in.dtype == TENON_DTYPE_FLOAT ? 0.3 : 3)});
  }

 private:
  static Ref output(PlanBuilder& builder, int o) { return builder.out_ref(static_cast<std::uint32_t>(o)); }

  // The usual shapes are [n] and the whole tensor (or its last dims); anything else is spread first.
  static RowOperand operand(PlanBuilder& builder, int input, std::int64_t axis, std::int64_t rows, std::int64_t n) {
    const std::uint32_t i = static_cast<std::uint32_t>(input);
    RowOperand operand{builder.in_ref(i), 1};
    if (!operand.ref.present()) return operand;
    const Shape &in = builder.in(0), &shape = builder.in(i);
    if (shape.dtype != in.dtype) throw Failure{TENON_UNIMPLEMENTED, "a scale of another type than the input"};
    // A suffix of the input's dims, after leading ones.
    std::int64_t lead = 0;
    while (lead < shape.rank() && shape[lead] == 1) ++lead;
    const std::int64_t tail = shape.rank() - lead;
    bool suffix = tail <= in.rank() && shape.count() % n == 0;
    for (std::int64_t d = 0; suffix && d < tail; ++d) suffix = shape[lead + d] == in[in.rank() - tail + d];
    if (suffix) {
      operand.period = shape.count() / n;
      return operand;
    }
    const std::int64_t first = in.rank() - shape.rank();
    if (first < 0) invalid_argument("a scale or bias of higher rank than the input");
    std::vector<std::int64_t> dims(in.dims.begin(), in.dims.end()), strides(dims.size(), 0);
    bool per_row = false;
    for (std::int64_t d = 0; d < shape.rank(); ++d) {
      if (shape[d] == 1) continue;
      if (shape[d] != in[first + d]) invalid_argument("a scale or bias that does not broadcast to the input");
      strides[static_cast<std::size_t>(first + d)] = shape.inner(d);
      per_row = per_row || first + d < axis;
    }
    if (!per_row) {
      dims.erase(dims.begin(), dims.begin() + axis);
      strides.erase(strides.begin(), strides.begin() + axis);
    }
    SpreadStep step{};
    step.element_bytes = shape.dtype == TENON_DTYPE_DOUBLE ? 8 : 4;
    step.count = per_row ? rows * n : n;
    step.from = operand.ref;
    step.to = operand.ref = builder.temp(static_cast<std::uint64_t>(step.count * step.element_bytes));
    step.dims = builder.keep<std::int64_t>(dims), step.strides = builder.keep<std::int64_t>(strides);
    step.rank = static_cast<std::int32_t>(dims.size());
    operand.period = per_row ? rows : 1;
    const Ref reads[] = {step.from}, writes[] = {step.to};
    builder.step("spread", step, {.est_ns = static_cast<double>(step.count) * 4}, reads, writes);
    return operand;
  }

  LayerForm form_;
  std::int64_t axis_;
  float epsilon_;
  bool absorbs_;
  Epilogue epilogue_;
};

constexpr LayerForm layer_form{false, -1, 1, 2, -1, 1, 2, -1};
constexpr LayerForm rms_form{true, -1, 1, -1, -1, -1, -1, -1};
constexpr LayerForm simplified_form{true, -1, 1, -1, -1, -1, 1, -1};
constexpr LayerForm skip_form{false, 1, 2, 3, 4, 1, 2, 3};
constexpr LayerForm skip_simplified_form{true, 1, 2, -1, 3, 1, 2, 3};

template <const LayerForm& Form>
std::unique_ptr<Op> make(const NodeView& node, CompileContext& context) {
  return std::make_unique<LayerNormOp>(Form, node, context);
}

template <const LayerForm& Form>
Support supports(const NodeView& node) {
  for (int i : {Form.skip, Form.gamma, Form.beta, Form.bias}) {
    if (i < 0 || !node.has_input(static_cast<std::uint32_t>(i))) continue;
    if (node.dtype(static_cast<std::uint32_t>(i)) != node.dtype(0)) return refuse_dtype(node.dtype(static_cast<std::uint32_t>(i)));
  }
  for (int o : {Form.mean, Form.inv}) {  // stash_type decides these
    if (o < 0 || !node.has_output(static_cast<std::uint32_t>(o))) continue;
    if (const std::int32_t dtype = node.output(static_cast<std::uint32_t>(o)).dtype; !is_float(compute_dtype(dtype))) return refuse_dtype(dtype);
  }
  return supports_float(node);
}

}  // namespace

std::span<const OpRow> layer_norm_rows() {
  static const OpRow rows[] = {
      {"", "LayerNormalization", supports<layer_form>, make<layer_form>},
      {"", "RMSNormalization", supports<rms_form>, make<rms_form>},
      {"", "SimplifiedLayerNormalization", supports<simplified_form>, make<simplified_form>},
      {"com.microsoft", "SimplifiedLayerNormalization", supports<simplified_form>, make<simplified_form>},
      {"com.microsoft", "SkipLayerNormalization", supports<skip_form>, make<skip_form>},
      {"com.microsoft", "SkipSimplifiedLayerNormalization", supports<skip_simplified_form>, make<skip_simplified_form>},
  };
  return rows;
}

std::span<const OpRow> norm_rows() {
  static const std::vector<OpRow> rows = [] {
    std::vector<OpRow> all;
    for (FamilyRows part : {layer_norm_rows, batch_norm_rows, group_norm_rows, softmax_rows, lrn_rows}) {
      for (const OpRow& row : part()) all.push_back(row);
    }
    return all;
  }();
  return rows;
}

}  // namespace tenon::cpu
