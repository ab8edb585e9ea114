// NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss.
#include <string_view>

#include "plugins/cpu/ops/norm_family.h"
#include "plugins/cpu/ops/reduce_types.h"
#include "plugins/cpu/ops/signal_family.h"

namespace tenon::cpu {
namespace {

enum class Reduction : std::uint8_t { none, sum, mean };

// log_prob: [batch, classes, inner]. `none` writes a loss for each target; else one worker adds them up.
struct LossStep {
  Ref log_prob, target, weight, loss;
  std::int64_t batch, classes, inner, ignored;
  std::int32_t dtype, target_dtype;
  Reduction reduction;
  bool ignores;

  void operator()(const StepContext& c) const {
    visit_float(dtype, [&](auto tag) { run<typename decltype(tag)::type>(c); });
  }

  template <class T>
  void run(const StepContext& c) const {
    const T* x = c.ptr<const T>(log_prob);
    const T* w = weight.present() ? c.ptr<const T>(weight) : nullptr;
    T* out = c.ptr<T>(loss);
    const auto slice = c.slice(batch * inner);
    double sum = 0, weights = 0;
    for (std::int64_t i = slice.begin; i < slice.end; ++i) {
      const std::int64_t k = integer_at(c.ptr<const char>(target), target_dtype, i);
      double value = 0, factor = 0;
      if (!ignores || k != ignored) {
        if (k < 0 || k >= classes) {
          c.fail(TENON_OUT_OF_RANGE, "target " + std::to_string(k) + " is outside " + std::to_string(classes) + " classes");
          return;
        }
        factor = w ? static_cast<double>(w[k]) : 1.0;
        value = -factor * static_cast<double>(x[(i / inner * classes + k) * inner + i % inner]);
      }
      if (reduction == Reduction::none) out[i] = static_cast<T>(value);
      sum += value;
      weights += factor;
    }
    if (reduction == Reduction::sum) *out = static_cast<T>(sum);
    if (reduction == Reduction::mean) *out = static_cast<T>(sum / weights);
  }
};

class LossOp final : public Op {
 public:
  LossOp(const NodeView& node, bool softmax)
      : softmax_(softmax), ignored_(node.int_or("ignore_index", 0)), ignores_(node.attribute("ignore_index") != nullptr) {
    const std::string_view reduction = node.string_or("reduction", "mean");
    reduction_ = reduction == "none" ? Reduction::none : reduction == "sum" ? Reduction::sum : Reduction::mean;
  }

  void plan(PlanBuilder& builder) const override {
    const Shape& in = builder.in(0);
    if (in.rank() < 2) invalid_argument("a loss needs scores of rank 2 or more");
    LossStep step{};
    step.batch = in[0], step.classes = in[1], step.inner = in.inner(1);
    if (builder.in(1).count() != step.batch * step.inner) invalid_argument("the targets do not fit the scores");
    if (builder.in_ref(2).present() && builder.in(2).count() != step.classes) invalid_argument("one weight is needed for each class");
    Ref log_prob = builder.in_ref(0);
    if (softmax_ && in.count() > 0) {
      log_prob = builder.out_ref(1);
      const std::uint64_t bytes = static_cast<std::uint64_t>(in.count()) * (in.dtype == TENON_DTYPE_DOUBLE ? 8 : 4);
      if (!log_prob.present()) log_prob = builder.temp(bytes);
      plan_softmax(builder, in.dtype, step.batch, step.classes, step.inner, true, builder.in_ref(0), log_prob);
    }
    step.log_prob = log_prob, step.target = builder.in_ref(1), step.weight = builder.in_ref(2), step.loss = builder.out_ref(0);
    if (!step.loss.present() || (reduction_ == Reduction::none && step.batch * step.inner == 0)) return;
    step.dtype = in.dtype, step.target_dtype = builder.in(1).dtype;
    step.reduction = reduction_, step.ignored = ignored_, step.ignores = ignores_;
    std::vector<Ref> reads{step.log_prob, step.target};
    if (step.weight.present()) reads.push_back(step.weight);
    const Ref writes[] = {step.loss};
    builder.step("loss", step, {.spmd = reduction_ == Reduction::none, .est_ns = static_cast<double>(step.batch * step.inner) * 4}, reads,
                 writes);
  }

 private:
  bool softmax_;
  std::int64_t ignored_;
  bool ignores_;
  Reduction reduction_;
};

Support supports(const NodeView& node) {
  const std::string_view reduction = node.string_or("reduction", "mean");
  if (reduction != "none" && reduction != "sum" && reduction != "mean") {
    return Support::no(TENON_REJECT_ATTRIBUTE, "reduction " + std::string(reduction));
  }
  const std::int32_t target = node.dtype(1);
  if (target != TENON_DTYPE_INT32 && target != TENON_DTYPE_INT64) return refuse_dtype(target);
  if (node.has_input(2) && node.dtype(2) != node.dtype(0)) return refuse_dtype(node.dtype(2));
  return supports_float(node);
}

}  // namespace

std::span<const OpRow> loss_rows() {
  static const OpRow rows[] = {
      {"", "NegativeLogLikelihoodLoss", supports,
       [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<LossOp>(node, false); }},
      {"", "SoftmaxCrossEntropyLoss", supports,
       [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<LossOp>(node, true); }},
  };
  return rows;
}

}  // namespace tenon::cpu
