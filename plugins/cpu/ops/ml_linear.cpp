// LinearClassifier and LinearRegressor.
#include "plugins/cpu/ops/ml_common.h"
#include "plugins/cpu/ops/ml_kernels.h"

namespace tenon::cpu {
namespace {

struct LinearStep {
  Ref x, scores, classes, scratch;
  std::uint64_t scratch_bytes;
  const float* coefficients;  // [targets, features]
  const float* transposed;    // [features, targets]
  const float* intercepts;    // null: 0
  const ClassLabels* labels;  // null: a regressor
  std::int64_t rows, features, targets, columns;
  std::int32_t dtype;
  PostTransform post;
  bool plain;

  void operator()(const StepContext& c) const {
    const auto slice = c.slice(rows);
    float* s = worker_scratch<float>(c, scratch, scratch_bytes);
    float* room = s + targets;
    for (std::int64_t r = slice.begin; r < slice.end; ++r) {
      const float* row = ml_row<float>(c.ptr<const char>(x), dtype, r, features, room);
      if (plain) {
        for (std::int64_t t = 0; t < targets; ++t) {
          double sum = 0;
          for (std::int64_t i = 0; i < features; ++i)
            sum += static_cast<double>(row[i]) * static_cast<double>(coefficients[t * features + i]);
          s[t] = static_cast<float>(sum);
        }
      } else if (targets < 4 && features >= 64) {
        for (std::int64_t t = 0; t < targets; ++t) s[t] = dot_run(row, coefficients + t * features, features);
      } else {
        dot_columns(row, transposed, features, targets, s);
      }
      for (std::int64_t t = 0; intercepts && t < targets; ++t) s[t] += intercepts[t];
      if (labels && classes.present()) c.ptr<std::int64_t>(classes)[r] = label(s);
      if (!scores.present()) continue;
      float* out = c.ptr<float>(scores) + r * columns;
      write_scores(post, labels ? SecondClass::complement : SecondClass::absent, s, targets, out, columns);
    }
  }

  std::int64_t label(const float* s) const {
    std::int64_t best;
    if (targets > 1) best = std::max_element(s, s + targets) - s;
    else if (labels->count() == 2) best = s[0] > 0 ? 1 : 0;
    else return s[0] > 0 ? 1 : 0;
    return labels->strings() ? best : labels->number(best);
  }
};

class LinearOp final : public Op {
 public:
  LinearOp(const NodeView& node, bool classifier)
      : classifier_(classifier), labels_(node, "classlabels_ints", "classlabels_strings") {
    parse_post_transform(node.string_or("post_transform", "NONE"), &post_);
    const auto coefficients = node.floats("coefficients"), intercepts = node.floats("intercepts");
    coefficients_.assign(coefficients.begin(), coefficients.end());
    intercepts_.assign(intercepts.begin(), intercepts.end());
    const std::int64_t size = static_cast<std::int64_t>(coefficients_.size());
    targets_ = node.int_or("targets", 1);
    if (classifier)
      targets_ = intercepts_.empty() ? std::max<std::int64_t>(labels_.count(), 1) : static_cast<std::int64_t>(intercepts_.size());
    if (targets_ < 1 || size % targets_ != 0)
      invalid_argument("the coefficients do not divide into " + std::to_string(targets_) + " targets");
    if (!intercepts_.empty() && static_cast<std::int64_t>(intercepts_.size()) < targets_) invalid_argument("too few intercepts");
    const std::int64_t features = size / targets_;
    transposed_.resize(coefficients_.size());
    for (std::int64_t t = 0; t < targets_; ++t) {
      for (std::int64_t i = 0; i < features; ++i) {
        transposed_[static_cast<std::size_t>(i * targets_ + t)] = coefficients_[static_cast<std::size_t>(t * features + i)];
      }
    }
  }

  void plan(PlanBuilder& builder) const override {
    const Shape& in = builder.in(0);
    const MlMatrix matrix(in);
    if (matrix.features * targets_ != static_cast<std::int64_t>(coefficients_.size())) {
      invalid_argument("the model has " + std::to_string(coefficients_.size()) + " coefficients for " + std::to_string(targets_) +
                       " targets, the input " + std::to_string(matrix.features) + " features");
    }
    if (matrix.rows == 0) return;
    LinearStep step{};
    step.x = builder.in_ref(0);
    const std::uint32_t score_output = classifier_ ? 1 : 0;
    step.scores = builder.out_ref(score_output);
    if (step.scores.present()) step.columns = builder.out(score_output).count() / matrix.rows;
    if (step.scores.present() && (classifier_ ? step.columns < 1 : step.columns != targets_))
      invalid_argument("unexpected shape of the scores");
    step.coefficients = coefficients_.data(), step.transposed = transposed_.data();
    step.intercepts = intercepts_.empty() ? nullptr : intercepts_.data();
    step.labels = classifier_ ? &labels_ : nullptr;
    step.rows = matrix.rows, step.features = matrix.features, step.targets = targets_;
    step.dtype = in.dtype, step.post = post_, step.plain = builder.options().plain;
    std::vector<Ref> writes;
    if (step.scores.present()) writes.push_back(step.scores);
    if (classifier_ && builder.out_ref(0).present()) {
      step.classes = labels_.strings() ? builder.temp(static_cast<std::uint64_t>(matrix.rows) * 8) : builder.out_ref(0);
      writes.push_back(step.classes);
    }
    step.scratch_bytes = static_cast<std::uint64_t>(targets_ + matrix.features) * sizeof(float);
    step.scratch = builder.scratch(step.scratch_bytes);
    const Ref reads[] = {step.x};
    const double ns = static_cast<double>(matrix.rows) * (50 + static_cast<double>(coefficients_.size()) * 0.3);
    builder.step("linear model", step, {.est_ns = ns}, reads, writes);
    if (classifier_ && labels_.strings() && step.classes.present()) plan_text_labels(builder, labels_, step.classes, 0, matrix.rows);
  }

 private:
  bool classifier_;
  ClassLabels labels_;
  PostTransform post_ = PostTransform::none;
  std::int64_t targets_;
  std::vector<float> coefficients_, transposed_, intercepts_;
};

Support supports(const NodeView& node) {
  PostTransform post;
  const std::string_view name = node.string_or("post_transform", "NONE");
  if (!parse_post_transform(name, &post)) return Support::no(TENON_REJECT_ATTRIBUTE, "post_transform " + std::string(name));
  return supports_ml(node);
}

}  // namespace

std::span<const OpRow> ml_linear_rows() {
  static const OpRow rows[] = {
      {"ai.onnx.ml", "LinearClassifier", supports,
       [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<LinearOp>(node, true); }},
      {"ai.onnx.ml", "LinearRegressor", supports,
       [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<LinearOp>(node, false); }},
  };
  return rows;
}

}  // namespace tenon::cpu
