// TfIdfVectorizer: counts n-grams, with skips, of the words or numbers in each row.
//
// The pool of n-grams is a tree, made in compile: a walk down it follows the elements of a row.
#include <algorithm>
#include <unordered_map>

#include "plugins/cpu/ops/elements.h"
#include "plugins/cpu/ops/movement.h"

namespace tenon::cpu {
namespace {

struct Hash {
  using is_transparent = void;
  std::size_t operator()(std::string_view s) const { return std::hash<std::string_view>{}(s); }
};

struct Vectorizer {
  enum class Weighting : std::uint8_t { tf, idf, tfidf };
  struct Node {
    std::int64_t column = -1;                                    // of the n-gram that ends here; -1: none
    std::unordered_map<std::int64_t, std::int32_t> children;     // by element: a number, or the number of a word
  };

  Weighting weighting = Weighting::tf;
  std::int64_t shortest = 1, longest = 1, skips = 0, width = 0;
  std::vector<Node> nodes{1};
  std::unordered_map<std::string, std::int64_t, Hash, std::equal_to<>> words;
  std::vector<float> weights;

  // Counts the n-grams of one row.
  void count(std::span<const std::int64_t> row, float* out) const {
    const auto n = static_cast<std::int64_t>(row.size());
    std::int64_t least = shortest;
    for (std::int64_t step = 1; step <= std::min(skips + 1, std::max<std::int64_t>(n, 1)); ++step) {
      for (std::int64_t start = 0; start < n && (least <= 1 || (n - 1 - start) / step >= least - 1); ++start) {
        std::int32_t at = 0;
        std::int64_t item = start;
        for (std::int64_t size = 1; size <= longest && item < n; ++size) {
          const auto& children = nodes[static_cast<std::size_t>(at)].children;
          const auto child = children.find(row[static_cast<std::size_t>(item)]);
          if (child == children.end()) break;
          at = child->second;
          if (size >= least && nodes[static_cast<std::size_t>(at)].column >= 0) ++out[nodes[static_cast<std::size_t>(at)].column];
          if (n - item <= step) break;
          item += step;
        }
      }
      // Single elements do not depend on the step: they are counted once.
      if (least == 1 && ++least > longest) break;
    }
    if (weighting == Weighting::tf) return;
    for (std::int64_t i = 0; i < width; ++i) {
      const float w = weights.empty() ? 1 : weights[static_cast<std::size_t>(i)];
      out[i] = weighting == Weighting::idf ? (out[i] > 0 ? w : 0) : w * out[i];
    }
  }
};

// The columns of n-grams of each size follow each other in the pool; ngram_counts says where a size begins.
std::string build(const NodeView& node, Vectorizer& v) {
  const std::string_view mode = node.string_or("mode", "");
  if (mode == "TF") v.weighting = Vectorizer::Weighting::tf;
  else if (mode == "IDF") v.weighting = Vectorizer::Weighting::idf;
  else if (mode == "TFIDF") v.weighting = Vectorizer::Weighting::tfidf;
  else return "mode \"" + std::string(mode) + "\" is not known";
  v.shortest = node.int_or("min_gram_length", 1), v.longest = node.int_or("max_gram_length", 1), v.skips = node.int_or("max_skip_count", 0);
  if (v.shortest < 1 || v.longest < v.shortest || v.skips < 0 || v.skips > INT32_MAX)
    return "the gram lengths or max_skip_count are out of range";
  std::vector<std::int64_t> pool(node.ints("pool_int64s").begin(), node.ints("pool_int64s").end());
  for (const tenon_str& word : node.strings("pool_strings"))
    pool.push_back(v.words.emplace(std::string(word.data, word.size), static_cast<std::int64_t>(v.words.size())).first->second);
  const auto starts = node.ints("ngram_counts"), columns = node.ints("ngram_indexes");
  if (columns.empty()) return "ngram_indexes is empty";
  for (std::int64_t c : columns) {
    if (c < 0 || c > INT32_MAX) return "an n-gram index is out of range";
    v.width = std::max(v.width, c + 1);
  }
  const auto weights = node.floats("weights");
  v.weights.assign(weights.begin(), weights.end());
  if (!v.weights.empty() && static_cast<std::int64_t>(v.weights.size()) < v.width) return "weights has fewer elements than the output";
  std::size_t gram = 0;
  for (std::size_t k = 0; k < starts.size(); ++k) {
    const std::int64_t begin = starts[k], end = k + 1 < starts.size() ? starts[k + 1] : static_cast<std::int64_t>(pool.size());
    const auto size = static_cast<std::int64_t>(k) + 1;
    if (begin < 0 || end < begin || end > static_cast<std::int64_t>(pool.size())) return "ngram_counts is out of order";
    for (std::int64_t i = begin; i + size <= end; i += size, ++gram) {
      if (size < v.shortest || size > v.longest) continue;
      std::int32_t at = 0;
      for (std::int64_t j = i; j < i + size; ++j) {
        const auto next = static_cast<std::int32_t>(v.nodes.size());
        const auto [child, fresh] = v.nodes[static_cast<std::size_t>(at)].children.emplace(pool[static_cast<std::size_t>(j)], next);
        at = child->second;
        if (fresh) v.nodes.emplace_back();
      }
      if (gram >= columns.size()) return "ngram_indexes has fewer elements than the pool has n-grams";
      v.nodes[static_cast<std::size_t>(at)].column = columns[gram];
    }
  }
  return {};
}

struct CountStep {
  const Vectorizer* vectorizer;
  std::int32_t dtype;
  std::int64_t rows, length;
  Ref x, y;

  void operator()(const StepContext& c) const {
    const auto [begin, end] = c.slice(rows);
    std::vector<std::int64_t> row(static_cast<std::size_t>(length));
    for (std::int64_t r = begin; r < end; ++r) {
      for (std::int64_t i = 0; i < length; ++i) row[static_cast<std::size_t>(i)] = element(c, r * length + i);
      float* out = c.ptr<float>(y) + r * vectorizer->width;
      std::fill(out, out + vectorizer->width, 0.0f);
      vectorizer->count(row, out);
    }
  }
  // A word that the pool does not have is -1.
  std::int64_t element(const StepContext& c, std::int64_t i) const {
    if (dtype != TENON_DTYPE_STRING) return int_at(c.ptr<const void>(x), dtype, i);
    const auto word = vectorizer->words.find(c.text(x, i));
    return word == vectorizer->words.end() ? -1 : word->second;
  }
};

class TfIdfOp final : public Op {
 public:
  explicit TfIdfOp(const NodeView& node) : vectorizer_(std::make_shared<Vectorizer>()) { build(node, *vectorizer_); }

  void plan(PlanBuilder& b) const override {
    const Shape &x = b.in(0), &y = b.out(0);
    if (x.rank() > 2) throw Failure{TENON_INVALID_ARGUMENT, "the input must be [C] or [B, C]"};
    const std::int64_t rows = x.rank() == 2 ? x[0] : 1;
    if (y.count() != rows * vectorizer_->width)
      throw Failure{TENON_INVALID_ARGUMENT, "the attributes do not give the planned size"};
    if (rows == 0) return;
    b.hold(vectorizer_);
    const CountStep s{vectorizer_.get(), x.dtype, rows, x.count() / rows, b.in_ref(0), b.out_ref(0)};
    StepOptions options;
    options.est_ns =
        static_cast<double>(x.count()) * 50 * static_cast<double>(std::min<std::int64_t>(vectorizer_->skips + 1, s.length + 1)) +
        static_cast<double>(y.count());
    b.step("tf-idf", s, options, {{s.x}}, {{s.y}});
  }

 private:
  std::shared_ptr<Vectorizer> vectorizer_;
};

Support supports(const NodeView& node) {
  const std::int32_t dtype = node.dtype(0);
  if (dtype != TENON_DTYPE_STRING && dtype != TENON_DTYPE_INT32 && dtype != TENON_DTYPE_INT64)
    return Support::no(TENON_REJECT_DTYPE, "the input must be string, int32 or int64");
  Vectorizer v;
  const std::string wrong = build(node, v);
  return wrong.empty() ? Support::yes() : Support::no(TENON_REJECT_ATTRIBUTE, wrong);
}

constexpr OpRow rows[] = {
    {"", "TfIdfVectorizer", supports,
     [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<TfIdfOp>(node); }},
};

}  // namespace

std::span<const OpRow> tfidf_rows() { return rows; }

}  // namespace tenon::cpu
