// Ml: what the ai.onnx.ml operators share: reading the input matrix, post transforms, class labels.
//
// Plain functions and data; any thread.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <numbers>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/cpu/op.h"
#include "plugins/cpu/ops/reduce_types.h"

namespace tenon::cpu {

std::span<const OpRow> ml_tree_rows();     // TreeEnsemble*
std::span<const OpRow> ml_linear_rows();   // LinearClassifier, LinearRegressor
std::span<const OpRow> ml_svm_rows();      // SVMClassifier, SVMRegressor
std::span<const OpRow> ml_feature_rows();  // Scaler, Normalizer, Imputer, Binarizer, FeatureVectorizer, ArrayFeatureExtractor
std::span<const OpRow> ml_label_rows();    // LabelEncoder, CategoryMapper, OneHotEncoder

inline std::string_view view_of(const tenon_str& s) { return {s.data, s.size}; }

// [rows, features]; one dimension is one row.
struct MlMatrix {
  std::int64_t rows = 1, features = 1;

  explicit MlMatrix(const Shape& shape) {
    if (shape.rank() > 2) invalid_argument("a matrix of rows of features was expected, found rank " + std::to_string(shape.rank()));
    if (shape.rank() == 2) rows = shape[0];
    if (shape.rank() >= 1) features = shape[-1];
  }
};

// Numbers of the input types of ai.onnx.ml: float, double, int64, int32.
template <class F>
bool visit_ml(std::int32_t dtype, F&& f) {
  switch (dtype) {
    case TENON_DTYPE_FLOAT: return f(TypeTag<float>{}), true;
    case TENON_DTYPE_DOUBLE: return f(TypeTag<double>{}), true;
    case TENON_DTYPE_INT64: return f(TypeTag<std::int64_t>{}), true;
    case TENON_DTYPE_INT32: return f(TypeTag<std::int32_t>{}), true;
    default: return false;
  }
}
inline Support supports_ml(const NodeView& node) {
  return visit_ml(node.dtype(0), [](auto) {}) ? Support::yes() : refuse_dtype(node.dtype(0));
}

// One row of the input as T: where it is, or converted into room.
template <class T>
const T* ml_row(const void* data, std::int32_t dtype, std::int64_t row, std::int64_t features, T* room) {
  const T* result = room;
  visit_ml(dtype, [&](auto tag) {
    using S = typename decltype(tag)::type;
    const S* from = static_cast<const S*>(data) + row * features;
    if constexpr (std::is_same_v<S, T>) result = from;
    else std::transform(from, from + features, room, [](S v) { return static_cast<T>(v); });
  });
  return result;
}

enum class PostTransform : std::uint8_t { none, softmax, logistic, softmax_zero, probit };

inline bool parse_post_transform(std::string_view name, PostTransform* out) {
  constexpr std::string_view names[] = {"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"};
  const auto at = std::find(std::begin(names), std::end(names), name);
  if (at == std::end(names)) return false;
  *out = static_cast<PostTransform>(at - std::begin(names));
  return true;
}

template <class T>
T ml_logistic(T x) {
  const T v = 1 / (1 + std::exp(-std::abs(x)));
  return x < 0 ? 1 - v : v;
}

// The inverse of the normal distribution, by Winitzki's approximation of the inverse error function.
template <class T>
T ml_probit(T p) {
  const T x = 2 * p - 1, rest = (1 - x) * (1 + x);
  if (rest == 0) return 0;
  const T log = std::log(rest), v = 2 / (std::numbers::pi_v<T> * T(0.147)) + T(0.5) * log;
  const T root = std::sqrt(-v + std::sqrt(v * v - log / T(0.147)));
  return T(1.41421356) * (x < 0 ? -root : root);
}

template <class T>
void post_transform(PostTransform kind, T* scores, std::int64_t n) {
  switch (kind) {
    case PostTransform::none: return;
    case PostTransform::logistic:
      for (std::int64_t i = 0; i < n; ++i) scores[i] = ml_logistic(scores[i]);
      return;
    case PostTransform::probit:
      for (std::int64_t i = 0; i < n; ++i) scores[i] = ml_probit(scores[i]);
      return;
    case PostTransform::softmax:
    case PostTransform::softmax_zero: {
      if (n == 0) return;
      const T top = *std::max_element(scores, scores + n), floor = kind == PostTransform::softmax_zero ? std::exp(-top) : T(0);
      T sum = 0;
      for (std::int64_t i = 0; i < n; ++i) {
        const bool zero = kind == PostTransform::softmax_zero && scores[i] <= T(1e-7) && scores[i] >= T(-1e-7);
        scores[i] = zero ? scores[i] * floor : std::exp(scores[i] - top);
        sum += scores[i];
      }
      for (std::int64_t i = 0; i < n; ++i) scores[i] = sum == 0 ? T(0.5) : scores[i] / sum;
      return;
    }
  }
}

// What a lone score means for two classes.
enum class SecondClass : std::uint8_t { absent, complement /* 1 - s, s */, opposite /* -s, s */ };

// Writes `columns` scores of one row: one score may stand for two classes, which a softmax then leaves alone; a lone score
// without a second class is only changed by PROBIT. So does onnxruntime.
template <class T>
void write_scores(PostTransform kind, SecondClass second, T* scores, std::int64_t n, float* out, std::int64_t columns) {
  T pair[2];
  if (n == 1 && columns == 2 && second != SecondClass::absent) {
    pair[1] = scores[0];
    pair[0] = second == SecondClass::opposite ? -pair[1] : 1 - pair[1];
    if (kind == PostTransform::logistic) pair[0] = -pair[1];
    if (kind == PostTransform::logistic || kind == PostTransform::probit) post_transform(kind, pair, 2);
    scores = pair, n = 2;
  } else if (n > 1 || kind == PostTransform::probit) {
    post_transform(kind, scores, n);
  }
  for (std::int64_t i = 0; i < columns; ++i) out[i] = i < n ? static_cast<float>(scores[i]) : 0.0f;
}

// Labels of classes: numbers or texts.
struct ClassLabels {
  std::vector<std::int64_t> numbers;
  std::vector<std::string> texts;

  // From the attributes of these names.
  ClassLabels(const NodeView& node, std::string_view number_name, std::string_view text_name) {
    const auto ints = node.ints(number_name);
    numbers.assign(ints.begin(), ints.end());
    for (const tenon_str& s : node.strings(text_name)) texts.emplace_back(s.data, s.size);
  }
  bool strings() const { return !texts.empty(); }
  std::int64_t count() const { return static_cast<std::int64_t>(strings() ? texts.size() : numbers.size()); }
  // Of class i; the class itself where there are no labels.
  std::int64_t number(std::int64_t i) const {
    return i < static_cast<std::int64_t>(numbers.size()) ? numbers[static_cast<std::size_t>(i)] : i;
  }
};

// Emits the step that writes the labels of classes (int64, one a row, in `classes`) as texts; -1 and other classes without
// a label become "".
inline void plan_text_labels(PlanBuilder& builder, const ClassLabels& labels, Ref classes, std::uint32_t output, std::int64_t rows) {
  struct TextStep {
    Ref classes, out;
    const ClassLabels* labels;
    std::int64_t rows;

    void operator()(const StepContext& c) const {
      for (std::int64_t i = 0; i < rows; ++i) {
        const std::int64_t k = c.ptr<const std::int64_t>(classes)[i];
        const std::string_view text = k >= 0 && k < labels->count() ? std::string_view(labels->texts[static_cast<std::size_t>(k)]) : "";
        if (!c.set_text(out, static_cast<std::uint64_t>(i), text)) return;
      }
    }
  };
  const Ref reads[] = {classes}, writes[] = {builder.out_ref(output)};
  builder.step("labels", TextStep{classes, builder.out_ref(output), &labels, rows},
               {.spmd = false, .est_ns = static_cast<double>(rows) * 50}, reads, writes);
}

}  // namespace tenon::cpu
