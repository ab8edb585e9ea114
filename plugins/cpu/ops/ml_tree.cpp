// TreeEnsembleClassifier, TreeEnsembleRegressor and TreeEnsemble. Workers take blocks of rows; sixteen walks go on at a time,
// which hides the latency of the chain from node to node, and none of them branches.
#include "plugins/cpu/ops/ml_tree.h"

#include <cstring>
#include <limits>

#include "plugins/cpu/ops/ml_common.h"

namespace tenon::cpu {
namespace {

enum class Aggregate : std::uint8_t { average, sum, min, max };

constexpr std::int64_t block_rows = 128;
constexpr std::int64_t walks = 16;
constexpr std::int64_t turned_features = 256;  // up to here sixteen rows are turned, so that walks find theirs side by side

constexpr std::int64_t turned_count(std::int64_t features) { return features <= turned_features ? block_rows * features : 0; }

template <class T>
std::int32_t walk_test(const TreeModel<T>& model, std::int32_t root, const T* x) {
  std::int32_t at = root;
  for (;;) {
    const TreeNode<T>& node = model.nodes[static_cast<std::size_t>(at)];
    const TreeTest<T>& test = model.tests[static_cast<std::size_t>(at)];
    if (test.mode == TreeMode::leaf) return at;
    const T v = x[node.feature];
    bool yes = false;
    switch (test.mode) {
      case TreeMode::leq: yes = v <= test.value; break;
      case TreeMode::lt: yes = v < test.value; break;
      case TreeMode::gte: yes = v >= test.value; break;
      case TreeMode::gt: yes = v > test.value; break;
      case TreeMode::eq: yes = v == test.value; break;
      case TreeMode::neq: yes = v != test.value; break;
      default:
        for (std::int32_t m = test.member_begin; m < test.member_end && !yes; ++m) yes = v == model.members[static_cast<std::size_t>(m)];
    }
    if (v != v) yes = yes || test.missing_true;
    at = node.child + (yes == test.swapped ? 1 : 0);
  }
}

// Scores of a block of rows. x: rows of the block, of `features` numbers.
template <class T>
struct TreeWalk {
  const TreeModel<T>& model;
  Aggregate aggregate;
  const T* x;
  std::int64_t features, rows;
  T* turned;           // room for x, sixteen rows at a time as [features, 16]
  T* scores;           // [rows, targets]
  std::uint8_t* seen;  // [rows, targets]: has a score; null: not wanted

  void run() const {
    const std::int64_t n = rows * model.targets;
    std::fill(scores, scores + n, T(0));
    if (seen) std::fill(seen, seen + n, std::uint8_t(0));
    bool nan = false;
    for (std::int64_t i = 0; i < rows * features; ++i) nan |= x[i] != x[i];
    if (!nan && !model.near_ways.empty()) return run_ways(model.near_ways.data());
    if (!nan && !model.far_ways.empty()) return run_ways(model.far_ways.data());
    for (std::size_t t = 0; t < model.roots.size(); ++t) {
      for (std::int64_t r = 0; r < rows; ++r) add(walk_test(model, model.roots[t], x + r * features), r);
    }
  }

  template <class Way>
  void run_ways(const Way* ways) const {
    std::int32_t at[walks];
    const std::int64_t together = features <= turned_features ? rows / walks * walks : 0;
    for (std::int64_t r = 0; r < together; ++r) {
      T* to = turned + r / walks * walks * features + r % walks;
      for (std::int64_t f = 0; f < features; ++f) to[f * walks] = x[r * features + f];
    }
    for (std::size_t t = 0; together > 0 && t < model.roots.size(); ++t) {
      for (std::int64_t r = 0; r < together; r += walks) {
        std::fill(at, at + walks, model.roots[t]);
        walk<walks>(ways, model.depths[t], at, turned + r * features);
        for (std::int64_t i = 0; i < walks; ++i) add(at[i], r + i);
      }
    }
    // The last rows: sixteen trees at a time.
    for (std::int64_t r = together; r < rows; ++r) {
      for (std::size_t t = 0; t < model.roots.size(); t += walks) {
        const std::size_t count = std::min<std::size_t>(walks, model.roots.size() - t);
        std::int32_t depth = 0;
        for (std::size_t i = 0; i < walks; ++i) {
          at[i] = model.roots[i < count ? t + i : t];
          if (i < count) depth = std::max(depth, model.depths[t + i]);
        }
        walk<1>(ways, depth, at, x + r * features);
        for (std::size_t i = 0; i < count; ++i) add(at[i], r);
      }
    }
  }

  // Takes all walks to their leaves. step 1: through one row, else each through its own, feature by feature.
  template <std::int64_t step, class Way>
  static void walk(const Way* ways, std::int32_t depth, std::int32_t (&at)[walks], const T* row) {
    for (std::int32_t level = 1; level <= depth; ++level) {
#pragma GCC unroll 16
      for (std::int64_t i = 0; i < walks; ++i) {
        const Way& way = ways[at[i]];
        const T value = row[static_cast<std::int64_t>(way.feature) * step + (step == 1 ? 0 : i)];
        at[i] += static_cast<std::int32_t>(way.skip) + static_cast<std::int32_t>(!(value <= way.value));
      }
      if (level % 4 != 0) continue;
      std::uint32_t moving = 0;  // in a lopsided tree most walks end early
      for (std::int64_t i = 0; i < walks; ++i) moving |= ways[at[i]].skip;
      if (!moving) return;
    }
  }

  void add(std::int32_t leaf, std::int64_t row) const {
    const std::int32_t id = model.leaf_of[static_cast<std::size_t>(leaf)];
    const std::int64_t targets = model.targets;
    T* to = scores + row * targets;
    const bool sum = aggregate == Aggregate::sum || aggregate == Aggregate::average;
    if (sum && !seen && !model.dense.empty()) {
      const T* from = model.dense.data() + id * targets;
      for (std::int64_t k = 0; k < targets; ++k) to[k] += from[k];
      return;
    }
    const TreeLeaf<T> range = model.leaves[static_cast<std::size_t>(id)];
    for (std::int32_t w = range.begin; w < range.end; ++w) {
      const TreeWeight<T>& weight = model.weights[static_cast<std::size_t>(w)];
      T& score = to[weight.target];
      if (sum) {
        score += weight.weight;
      } else {
        const bool first = !seen[row * targets + weight.target];
        if (first || (aggregate == Aggregate::min ? weight.weight < score : weight.weight > score)) score = weight.weight;
      }
      if (seen) seen[row * targets + weight.target] = 1;
    }
  }
};

template <class T>
struct TreeStep {
  const TreeModel<T>* model;
  const ClassLabels* labels;  // null: a regressor
  Ref x, scores, classes, scratch;
  std::uint64_t scratch_bytes;
  std::int64_t rows, features, columns, element_bytes;
  std::int32_t dtype, score_dtype;
  Aggregate aggregate;
  PostTransform post;
  bool number_labels, wants_seen;

  void operator()(const StepContext& c) const {
    const auto slice = c.slice(rows, walks);
    const std::int64_t targets = model->targets;
    T* sums = worker_scratch<T>(c, scratch, scratch_bytes);
    T* room = sums + block_rows * targets;
    T* turned = room + block_rows * features;
    std::uint8_t* seen = wants_seen ? reinterpret_cast<std::uint8_t*>(turned + turned_count(features)) : nullptr;
    for (std::int64_t first = slice.begin; first < slice.end; first += block_rows) {
      const std::int64_t n = std::min(block_rows, slice.end - first);
      // All rows of the block as one.
      const T* from = ml_row<T>(c.ptr<const char>(x) + first * features * element_bytes, dtype, 0, n * features, room);
      TreeWalk<T>{*model, aggregate, from, features, n, turned, sums, seen}.run();
      for (std::int64_t r = 0; r < n; ++r) {
        if (labels) classify(c, first + r, sums + r * targets, seen ? seen + r * targets : nullptr);
        else regress(c, first + r, sums + r * targets);
      }
    }
  }

 private:
  void regress(const StepContext& c, std::int64_t row, T* scores_of) const {
    const std::int64_t targets = model->targets;
    for (std::int64_t k = 0; k < targets; ++k) {
      if (aggregate == Aggregate::average) scores_of[k] /= static_cast<T>(model->roots.size());
      if (k < static_cast<std::int64_t>(model->base_values.size())) scores_of[k] += model->base_values[static_cast<std::size_t>(k)];
    }
    if (targets > 1 || post == PostTransform::probit) post_transform(post, scores_of, targets);
    if (!scores.present()) return;
    for (std::int64_t k = 0; k < targets; ++k) {
      if (score_dtype == TENON_DTYPE_DOUBLE) c.ptr<double>(scores)[row * targets + k] = static_cast<double>(scores_of[k]);
      else c.ptr<float>(scores)[row * targets + k] = static_cast<float>(scores_of[k]);
    }
  }

  // Where all weights belong to the first of two classes, its score tells both: the rules for that are onnxruntime's.
  void classify(const StepContext& c, std::int64_t row, T* s, const std::uint8_t* seen) const {
    const std::vector<T>& base = model->base_values;
    const std::int64_t targets = model->targets, bases = static_cast<std::int64_t>(base.size());
    std::int64_t best = -1, n = targets;
    SecondClass second = SecondClass::absent;
    if (bases == targets) {
      for (std::int64_t k = 0; k < targets; ++k) s[k] += base[static_cast<std::size_t>(k)];
    } else if (bases == 1) {
      s[0] += base[0];
    }
    if (targets <= 2 && model->one_class) {
      const bool lone = targets == 1 || (!model->votes_second && bases < 2);
      const T weight = model->votes_second ? s[1] : s[0];
      best = weight > (model->positive ? T(0.5) : T(0)) ? 1 : 0;
      if (lone) n = 1, second = model->positive ? SecondClass::complement : SecondClass::opposite;
    } else {
      for (std::int64_t k = 0; k < targets; ++k) {
        if ((bases == targets || !seen || seen[k]) && (best < 0 || s[k] > s[best])) best = k;
      }
      best = std::max<std::int64_t>(best, 0);
    }
    if (classes.present()) c.ptr<std::int64_t>(classes)[row] = number_labels ? labels->number(best) : best;
    if (scores.present()) write_scores(post, second, s, n, c.ptr<float>(scores) + row * columns, columns);
  }
};

template <class T>
class TreeOp final : public Op {
 public:
  enum class Kind { classifier, regressor, ensemble };

  TreeOp(const NodeView& node, Kind kind)
      : kind_(kind), labels_(node, "classlabels_int64s", "classlabels_strings"),
        model_(kind == Kind::classifier  ? read_tree_classifier<T>(node, labels_.count())
               : kind == Kind::regressor ? read_tree_regressor<T>(node)
                                         : read_tree_ensemble<T>(node)) {
    if (kind == Kind::ensemble) {
      post_ = static_cast<PostTransform>(node.int_or("post_transform", 0));
      aggregate_ = static_cast<Aggregate>(node.int_or("aggregate_function", 1));
      return;
    }
    parse_post_transform(node.string_or("post_transform", "NONE"), &post_);
    const std::string_view aggregate = node.string_or("aggregate_function", "SUM");
    aggregate_ = aggregate == "AVERAGE" ? Aggregate::average
                 : aggregate == "MIN"   ? Aggregate::min
                 : aggregate == "MAX"   ? Aggregate::max
                                        : Aggregate::sum;
  }

  void plan(PlanBuilder& builder) const override {
    const Shape& in = builder.in(0);
    const MlMatrix matrix(in);
    const bool classifier = kind_ == Kind::classifier;
    if (matrix.features < std::max(model_.features, 1)) {
      invalid_argument("the trees read feature " + std::to_string(model_.features - 1) + ", the input has " +
                       std::to_string(matrix.features));
    }
    TreeStep<T> step{};
    step.model = &model_, step.labels = classifier ? &labels_ : nullptr;
    step.x = builder.in_ref(0), step.rows = matrix.rows, step.features = matrix.features, step.dtype = in.dtype;
    step.element_bytes = in.dtype == TENON_DTYPE_FLOAT || in.dtype == TENON_DTYPE_INT32 ? 4 : 8;
    step.aggregate = aggregate_, step.post = post_;
    const std::uint32_t score_output = classifier ? 1 : 0;
    step.scores = builder.out_ref(score_output), step.score_dtype = builder.out(score_output).dtype;
    const std::int64_t outputs = classifier ? std::max<std::int64_t>(model_.targets, 1) : model_.targets;
    if (step.scores.present() && matrix.rows > 0) step.columns = builder.out(score_output).count() / matrix.rows;
    if (step.scores.present() && matrix.rows > 0 && (classifier ? step.columns < 1 : step.columns != outputs)) {
      invalid_argument("the scores have " + std::to_string(step.columns) + " columns, " + std::to_string(outputs) + " were expected");
    }
    step.wants_seen =
        (classifier && model_.targets > 2 && !model_.complete) || aggregate_ == Aggregate::min || aggregate_ == Aggregate::max;
    step.number_labels = !labels_.strings();
    if (matrix.rows == 0) return;
    std::vector<Ref> writes;
    if (step.scores.present()) writes.push_back(step.scores);
    Ref classes;
    if (classifier && builder.out_ref(0).present()) {
      classes = labels_.strings() ? builder.temp(static_cast<std::uint64_t>(matrix.rows) * 8) : builder.out_ref(0);
      writes.push_back(classes);
    }
    step.classes = classes;
    step.scratch_bytes = static_cast<std::uint64_t>(block_rows * (matrix.features + model_.targets) + turned_count(matrix.features)) * sizeof(T) +
                         static_cast<std::uint64_t>(block_rows * model_.targets);
    step.scratch = builder.scratch(step.scratch_bytes);
    const Ref reads[] = {step.x};
    const double ns = static_cast<double>(matrix.rows) * static_cast<double>(model_.roots.size()) * 8;
    builder.step("trees", step, {.est_ns = ns}, reads, writes);
    if (classifier && labels_.strings() && classes.present()) plan_text_labels(builder, labels_, classes, 0, matrix.rows);
  }

 private:
  Kind kind_;
  ClassLabels labels_;
  TreeModel<T> model_;
  PostTransform post_ = PostTransform::none;
  Aggregate aggregate_ = Aggregate::sum;
};

std::unique_ptr<Op> make_classifier(const NodeView& node, CompileContext&) {
  if (node.dtype(0) == TENON_DTYPE_DOUBLE) return std::make_unique<TreeOp<double>>(node, TreeOp<double>::Kind::classifier);
  return std::make_unique<TreeOp<float>>(node, TreeOp<float>::Kind::classifier);
}
std::unique_ptr<Op> make_regressor(const NodeView& node, CompileContext&) {
  if (node.dtype(0) == TENON_DTYPE_DOUBLE) return std::make_unique<TreeOp<double>>(node, TreeOp<double>::Kind::regressor);
  return std::make_unique<TreeOp<float>>(node, TreeOp<float>::Kind::regressor);
}
std::unique_ptr<Op> make_ensemble(const NodeView& node, CompileContext&) {
  if (node.dtype(0) == TENON_DTYPE_DOUBLE) return std::make_unique<TreeOp<double>>(node, TreeOp<double>::Kind::ensemble);
  return std::make_unique<TreeOp<float>>(node, TreeOp<float>::Kind::ensemble);
}

Support supports(const NodeView& node) {
  PostTransform post;
  const std::string_view name = node.string_or("post_transform", "NONE"), aggregate = node.string_or("aggregate_function", "SUM");
  if (!parse_post_transform(name, &post)) return Support::no(TENON_REJECT_ATTRIBUTE, "post_transform " + std::string(name));
  if (aggregate != "SUM" && aggregate != "AVERAGE" && aggregate != "MIN" && aggregate != "MAX") {
    return Support::no(TENON_REJECT_ATTRIBUTE, "aggregate_function " + std::string(aggregate));
  }
  return supports_ml(node);
}

Support supports_ensemble(const NodeView& node) {
  const std::int64_t post = node.int_or("post_transform", 0), aggregate = node.int_or("aggregate_function", 1);
  if (post < 0 || post > 4) return Support::no(TENON_REJECT_ATTRIBUTE, "post_transform " + std::to_string(post));
  if (aggregate < 0 || aggregate > 3) return Support::no(TENON_REJECT_ATTRIBUTE, "aggregate_function " + std::to_string(aggregate));
  return supports_float(node);
}

}  // namespace

std::span<const OpRow> ml_tree_rows() {
  static const OpRow rows[] = {
      {"ai.onnx.ml", "TreeEnsembleClassifier", supports, make_classifier},
      {"ai.onnx.ml", "TreeEnsembleRegressor", supports, make_regressor},
      {"ai.onnx.ml", "TreeEnsemble", supports_ensemble, make_ensemble},
  };
  return rows;
}

}  // namespace tenon::cpu
