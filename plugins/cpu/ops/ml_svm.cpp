// SVMClassifier and SVMRegressor: kernels against all support vectors, then votes, probabilities or a sum.
#include "plugins/cpu/ops/ml_common.h"
#include "plugins/cpu/ops/ml_kernels.h"

namespace tenon::cpu {
namespace {

enum class SvmKernel : std::uint8_t { linear, poly, rbf, sigmoid };

bool parse_kernel(std::string_view name, SvmKernel* out) {
  constexpr std::string_view names[] = {"LINEAR", "POLY", "RBF", "SIGMOID"};
  const auto at = std::find(std::begin(names), std::end(names), name);
  if (at == std::end(names)) return false;
  *out = static_cast<SvmKernel>(at - std::begin(names));
  return true;
}

struct SvmModel {
  SvmKernel kernel = SvmKernel::linear;
  float gamma = 0, coef0 = 0, degree = 0;
  std::int64_t vectors = 0, features = 0, classes = 1;  // vectors 0: the coefficients are those of a linear model
  std::vector<float> support;       // [features, vectors]; linear model: [features, classes]
  std::vector<float> coefficients;  // [classes - 1, vectors], or [vectors] of a regressor
  std::vector<float> rho, prob_a, prob_b;
  std::vector<std::int64_t> starts, counts;  // of each class among the vectors
  bool positive = true;

  // Kernel of one row with every support vector.
  void kernels(const float* x, bool plain, float* out) const {
    const std::int64_t n = vectors > 0 ? vectors : classes;
    if (plain) {
      for (std::int64_t v = 0; v < n; ++v) {
        double sum = 0;
        for (std::int64_t i = 0; i < features; ++i) {
          const double a = static_cast<double>(x[i]), b = static_cast<double>(support[static_cast<std::size_t>(i * n + v)]);
          sum += kernel == SvmKernel::rbf ? (a - b) * (a - b) : a * b;
        }
        out[v] = static_cast<float>(kernel == SvmKernel::rbf ? std::exp(-static_cast<double>(gamma) * sum) : sum);
      }
    } else if (kernel == SvmKernel::rbf) {
      distance_columns(x, support.data(), features, n, out);
      exp_run(out, n, -gamma, out);
    } else {
      dot_columns(x, support.data(), features, n, out);
    }
    if (kernel == SvmKernel::poly) {
      for (std::int64_t v = 0; v < n; ++v) out[v] = std::pow(gamma * out[v] + coef0, degree);
    } else if (kernel == SvmKernel::sigmoid) {
      for (std::int64_t v = 0; v < n; ++v) out[v] = std::tanh(gamma * out[v] + coef0);
    }
  }

  float weighted(const float* k, std::int64_t row, std::int64_t begin, std::int64_t count) const {
    return dot_run(coefficients.data() + row * vectors + begin, k + begin, count);
  }
};

// Pairwise probabilities into one for each class (Wu, Lin and Weng, second method), as libsvm does.
void couple(std::int64_t k, const float* r, float* q, float* qp, float* p) {
  const float eps = 0.005f / static_cast<float>(k);
  for (std::int64_t t = 0; t < k; ++t) {
    p[t] = 1.0f / static_cast<float>(k);
    q[t * k + t] = 0;
    for (std::int64_t j = 0; j < k; ++j) {
      if (j == t) continue;
      q[t * k + t] += r[j * k + t] * r[j * k + t];
      q[t * k + j] = j < t ? q[j * k + t] : -r[j * k + t] * r[t * k + j];
    }
  }
  for (std::int64_t i = 0; i < std::max<std::int64_t>(100, k); ++i) {
    float pqp = 0, worst = 0;
    for (std::int64_t t = 0; t < k; ++t) {
      qp[t] = 0;
      for (std::int64_t j = 0; j < k; ++j) qp[t] += q[t * k + j] * p[j];
      pqp += p[t] * qp[t];
    }
    for (std::int64_t t = 0; t < k; ++t) worst = std::max(worst, std::abs(qp[t] - pqp));
    if (worst < eps) return;
    for (std::int64_t t = 0; t < k; ++t) {
      const float diff = (-qp[t] + pqp) / q[t * k + t];
      p[t] += diff;
      pqp = (pqp + diff * (diff * q[t * k + t] + 2 * qp[t])) / (1 + diff) / (1 + diff);
      for (std::int64_t j = 0; j < k; ++j) {
        qp[j] = (qp[j] + diff * q[t * k + j]) / (1 + diff);
        p[j] /= 1 + diff;
      }
    }
  }
}

struct SvmStep {
  const SvmModel* model;
  const ClassLabels* labels;  // null: a regressor
  Ref x, scores, classes, scratch;
  std::uint64_t scratch_bytes;
  std::int64_t rows, columns;
  std::int32_t dtype;
  PostTransform post;
  bool plain, one_class;

  // Floats of scratch: kernels, scores, votes, pair probabilities, and the row.
  static std::int64_t room(const SvmModel& m) {
    const std::int64_t k = m.classes;
    return std::max(m.vectors, k) + k * (k + 1) / 2 + 3 * k + 2 * k * k + m.features + 16;
  }

  void operator()(const StepContext& c) const {
    const SvmModel& m = *model;
    const auto slice = c.slice(rows);
    float* kernels = worker_scratch<float>(c, scratch, scratch_bytes);
    for (std::int64_t r = slice.begin; r < slice.end; ++r) {
      float* s = kernels + std::max(m.vectors, m.classes);
      float* converted = kernels + room(m) - m.features;
      m.kernels(ml_row<float>(c.ptr<const char>(x), dtype, r, m.features, converted), plain, kernels);
      if (labels) classify(c, r, kernels, s);
      else regress(c, r, kernels);
    }
  }

  void regress(const StepContext& c, std::int64_t row, const float* k) const {
    const SvmModel& m = *model;
    float value = m.rho.empty() ? 0.0f : m.rho[0];
    value += m.vectors > 0 ? m.weighted(k, 0, 0, m.vectors) : k[0];
    if (one_class) value = value > 0 ? 1.0f : -1.0f;
    else if (post == PostTransform::probit) value = ml_probit(value);
    if (scores.present()) c.ptr<float>(scores)[row] = value;
  }

  void classify(const StepContext& c, std::int64_t row, const float* k, float* s) const {
    const SvmModel& m = *model;
    const std::int64_t classes_count = m.classes, pairs = classes_count * (classes_count - 1) / 2;
    float* votes = s + std::max(pairs, classes_count);
    std::int64_t n = classes_count, best;
    float weight;
    const bool probabilities = m.vectors > 0 && !m.prob_a.empty();
    if (m.vectors == 0) {
      for (std::int64_t i = 0; i < n; ++i) s[i] = k[i] + m.rho[0];
      best = std::max_element(s, s + n) - s;
      weight = s[best];
    } else {
      std::fill(votes, votes + classes_count, 0.0f);
      std::int64_t at = 0;
      for (std::int64_t i = 0; i < classes_count; ++i) {
        for (std::int64_t j = i + 1; j < classes_count; ++j, ++at) {
          const std::size_t a = static_cast<std::size_t>(i), b = static_cast<std::size_t>(j);
          s[at] = m.weighted(k, j - 1, m.starts[a], m.counts[a]) + m.weighted(k, i, m.starts[b], m.counts[b]) +
                  m.rho[static_cast<std::size_t>(at)];
          votes[s[at] > 0 ? i : j] += 1;
        }
      }
      n = pairs;
      best = std::max_element(votes, votes + classes_count) - votes;
      weight = votes[best];
      if (probabilities) {
        float* estimate = estimates(s, votes + classes_count);
        std::copy(estimate, estimate + classes_count, s);
        n = classes_count;
      }
    }
    SecondClass second = SecondClass::absent;
    if (m.rho.size() == 1 && labels->count() == 2) second = post == PostTransform::none ? SecondClass::opposite : SecondClass::complement;
    if (labels->count() < 2) best = weight > 0 ? 1 : 0;
    if (classes.present()) c.ptr<std::int64_t>(classes)[row] = labels->strings() || labels->count() < 2 ? best : labels->number(best);
    if (scores.present()) write_scores(post, second, s, n, c.ptr<float>(scores) + row * columns, columns);
  }

  float* estimates(const float* s, float* room_left) const {
    const SvmModel& m = *model;
    const std::int64_t k = m.classes;
    float *pair = room_left, *q = pair + k * k, *qp = q + k * k, *p = qp + k;
    std::int64_t at = 0;
    std::fill(pair, pair + k * k, 0.0f);
    for (std::int64_t i = 0; i < k; ++i) {
      for (std::int64_t j = i + 1; j < k; ++j, ++at) {
        const std::size_t a = static_cast<std::size_t>(at);
        const float v = 1 - ml_logistic(s[at] * m.prob_a[a] + m.prob_b[a]);
        pair[i * k + j] = std::clamp(v, 1e-7f, 1 - 1e-7f);
        pair[j * k + i] = 1 - pair[i * k + j];
      }
    }
    couple(k, pair, q, qp, p);
    return p;
  }
};

class SvmOp final : public Op {
 public:
  SvmOp(const NodeView& node, bool classifier)
      : classifier_(classifier), labels_(node, "classlabels_ints", "classlabels_strings"), one_class_(node.int_or("one_class", 0) != 0) {
    parse_post_transform(node.string_or("post_transform", "NONE"), &post_);
    parse_kernel(node.string_or("kernel_type", "LINEAR"), &model_.kernel);
    const auto params = node.floats("kernel_params");
    if (params.size() >= 3) model_.gamma = params[0], model_.coef0 = params[1], model_.degree = params[2];
    const auto take = [&](const char* name) {
      const auto v = node.floats(name);
      return std::vector<float>(v.begin(), v.end());
    };
    model_.rho = take("rho"), model_.prob_a = take("prob_a"), model_.prob_b = take("prob_b");
    std::vector<float> coefficients = take("coefficients"), support = take("support_vectors");
    model_.positive = std::none_of(coefficients.begin(), coefficients.end(), [](float v) { return v < 0; });
    for (std::int64_t n : classifier ? node.ints("vectors_per_class") : std::span<const std::int64_t>{}) {
      if (n < 0 || n > static_cast<std::int64_t>(support.size())) invalid_argument("vectors_per_class does not fit the support vectors");
      model_.starts.push_back(model_.vectors);
      model_.counts.push_back(n);
      model_.vectors += n;
    }
    if (!classifier) model_.vectors = node.int_or("n_supports", 0);
    if (model_.vectors < 0) invalid_argument("n_supports is negative");
    model_.classes = classifier ? std::max<std::int64_t>(labels_.count(), 1) : 1;
    const std::int64_t size = static_cast<std::int64_t>(coefficients.size());
    if (model_.vectors == 0) {
      model_.kernel = SvmKernel::linear;
      if (size % model_.classes != 0) invalid_argument("the coefficients do not divide into the classes");
      model_.features = size / model_.classes;
      model_.support = transposed(coefficients, model_.classes, model_.features);
    } else {
      if (static_cast<std::int64_t>(support.size()) % model_.vectors != 0) invalid_argument("support_vectors do not divide into vectors");
      model_.features = static_cast<std::int64_t>(support.size()) / model_.vectors;
      model_.support = transposed(support, model_.vectors, model_.features);
      if (classifier) model_.classes = std::max<std::int64_t>(model_.classes, static_cast<std::int64_t>(model_.counts.size()));
      if (classifier && static_cast<std::int64_t>(model_.counts.size()) != model_.classes)
        invalid_argument("vectors_per_class and labels differ");
      if (size < model_.vectors * std::max<std::int64_t>(1, model_.classes - 1)) invalid_argument("too few coefficients");
    }
    model_.coefficients = std::move(coefficients);
    const std::size_t pairs = static_cast<std::size_t>(model_.classes * (model_.classes - 1) / 2);
    const std::size_t needed = classifier ? (model_.vectors > 0 ? pairs : 1) : 0;
    if (model_.rho.size() < needed) invalid_argument("too few numbers in rho");
    if (!model_.prob_a.empty() && (model_.prob_a.size() < pairs || model_.prob_b.size() < pairs))
      invalid_argument("too few numbers in prob_a or prob_b");
  }

  void plan(PlanBuilder& builder) const override {
    const Shape& in = builder.in(0);
    const MlMatrix matrix(in);
    if (matrix.features != model_.features) {
      invalid_argument("the model has " + std::to_string(model_.features) + " features, the input " + std::to_string(matrix.features));
    }
    if (matrix.rows == 0) return;
    SvmStep step{};
    step.model = &model_, step.labels = classifier_ ? &labels_ : nullptr;
    step.x = builder.in_ref(0);
    const std::uint32_t score_output = classifier_ ? 1 : 0;
    step.scores = builder.out_ref(score_output);
    if (step.scores.present()) step.columns = builder.out(score_output).count() / matrix.rows;
    if (step.scores.present() && (classifier_ ? step.columns < 1 : step.columns != 1)) invalid_argument("unexpected shape of the scores");
    step.rows = matrix.rows, step.dtype = in.dtype, step.post = post_;
    step.plain = builder.options().plain, step.one_class = one_class_;
    std::vector<Ref> writes;
    if (step.scores.present()) writes.push_back(step.scores);
    if (classifier_ && builder.out_ref(0).present()) {
      step.classes = labels_.strings() ? builder.temp(static_cast<std::uint64_t>(matrix.rows) * 8) : builder.out_ref(0);
      writes.push_back(step.classes);
    }
    step.scratch_bytes = static_cast<std::uint64_t>(SvmStep::room(model_)) * sizeof(float);
    step.scratch = builder.scratch(step.scratch_bytes);
    const Ref reads[] = {step.x};
    const double ns = static_cast<double>(matrix.rows) * static_cast<double>(model_.support.size()) * 0.2;
    builder.step("support vectors", step, {.est_ns = ns}, reads, writes);
    if (classifier_ && labels_.strings() && step.classes.present()) plan_text_labels(builder, labels_, step.classes, 0, matrix.rows);
  }

 private:
  static std::vector<float> transposed(const std::vector<float>& m, std::int64_t rows, std::int64_t cols) {
    std::vector<float> out(m.size());
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t i = 0; i < cols; ++i) out[static_cast<std::size_t>(i * rows + r)] = m[static_cast<std::size_t>(r * cols + i)];
    }
    return out;
  }

  bool classifier_;
  ClassLabels labels_;
  bool one_class_;
  PostTransform post_ = PostTransform::none;
  SvmModel model_;
};

Support supports(const NodeView& node) {
  PostTransform post;
  SvmKernel kernel;
  const std::string_view name = node.string_or("post_transform", "NONE"), type = node.string_or("kernel_type", "LINEAR");
  if (!parse_post_transform(name, &post)) return Support::no(TENON_REJECT_ATTRIBUTE, "post_transform " + std::string(name));
  if (!parse_kernel(type, &kernel)) return Support::no(TENON_REJECT_ATTRIBUTE, "kernel_type " + std::string(type));
  return supports_ml(node);
}

}  // namespace

std::span<const OpRow> ml_svm_rows() {
  static const OpRow rows[] = {
      {"ai.onnx.ml", "SVMClassifier", supports,
       [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<SvmOp>(node, true); }},
      {"ai.onnx.ml", "SVMRegressor", supports,
       [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<SvmOp>(node, false); }},
  };
  return rows;
}

}  // namespace tenon::cpu
