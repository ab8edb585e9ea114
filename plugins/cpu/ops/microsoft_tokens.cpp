// com.microsoft operators on token ids: NGramRepeatBlock, BifurcationDetector, DynamicTimeWarping.
#include <algorithm>
#include <limits>

#include "plugins/cpu/ops/elements.h"
#include "plugins/cpu/ops/microsoft.h"
#include "plugins/cpu/ops/reduce_types.h"

namespace tenon::cpu {
namespace {

// ---- NGramRepeatBlock ---------------------------------------------------------------------------------------------------

// A token that would complete an n-gram that was there already has no chance.
struct BlockStep {
  Ref ids, scores, y;
  std::int64_t batch, length, words, size;

  void operator()(const StepContext& c) const {
    const auto slice = c.slice(batch);
    for (std::int64_t b = slice.begin; b < slice.end; ++b) {
      const auto* id = c.ptr<const std::int64_t>(ids) + b * length;
      const float* from = c.ptr<const float>(scores) + b * words;
      float* to = c.ptr<float>(y) + b * words;
      if (from != to) std::copy(from, from + words, to);
      for (std::int64_t i = 0; i + size <= length; ++i) {
        if (!std::equal(id + i, id + i + size - 1, id + length - size + 1)) continue;
        const std::int64_t word = id[i + size - 1];
        if (word < 0 || word >= words)
          return c.fail(TENON_OUT_OF_RANGE, "input_ids has " + std::to_string(word) + ", with " + std::to_string(words) + " scores");
        to[word] = -std::numeric_limits<float>::infinity();
      }
    }
  }
};

class BlockOp final : public Op {
 public:
  explicit BlockOp(const NodeView& node) : size_(node.int_or("ngram_size", 0)) {}

  void plan(PlanBuilder& b) const override {
    const Shape &ids = b.in(0), &scores = b.in(1);
    if (ids.rank() != 2 || scores.rank() != 2 || ids[0] != scores[0])
      invalid_argument("input_ids must have shape [batch, length], scores [batch, words]");
    if (scores.count() == 0) return;
    b.inplace(1, 0);
    b.step("block n-grams", BlockStep{b.in_ref(0), b.in_ref(1), b.out_ref(0), ids[0], ids[1], scores[1], size_},
           {.est_ns = static_cast<double>(ids.count() * 2) + static_cast<double>(scores.count()) / 8});
  }

 private:
  std::int64_t size_;
};

Support supports_block(const NodeView& node) {
  if (node.dtype(0) != TENON_DTYPE_INT64) return refuse_dtype(node.dtype(0));
  if (node.dtype(1) != TENON_DTYPE_FLOAT) return refuse_dtype(node.dtype(1));
  if (node.int_or("ngram_size", 0) < 1) return Support::no(TENON_REJECT_ATTRIBUTE, "ngram_size must be positive");
  return Support::yes();
}

// ---- BifurcationDetector ------------------------------------------------------------------------------------------------

struct BifurcationStep {
  Ref source, current, matched, predicted;
  Output tokens, match;
  std::int64_t sources, currents, predictions, least, most;

  void operator()(const StepContext& c) const {
    const auto *from = c.ptr<const std::int64_t>(source), *had = c.ptr<const std::int64_t>(current);
    std::vector<std::int64_t> all(had, had + currents);
    if (predicted.present()) {
      const std::int64_t at = *c.ptr<const std::int64_t>(matched);
      if (at < 0 || at > sources || predictions != sources + 1 - at)
        return c.fail(TENON_INVALID_ARGUMENT,
                      "pred_tokens must have one token more than src_tokens has from prev_suffix_match_idx on; found " +
                          std::to_string(predictions) + ", " + std::to_string(sources) + " and " + std::to_string(at));
      const auto* next = c.ptr<const std::int64_t>(predicted);
      std::int64_t same = 0;
      while (same < sources - at && next[same] == from[at + same]) ++same;
      all.insert(all.end(), next, next + same + 1);
    }
    const auto length = static_cast<std::int64_t>(all.size());
    tenon_address address;
    if (tokens.wanted()) {
      if (!open_output(c, tokens, {length}, address)) return;
      std::copy(all.begin(), all.end(), data_of<std::int64_t>(address));
    }
    if (match.wanted() && open_output(c, match, {}, address)) *data_of<std::int64_t>(address) = after_suffix(from, all, length);
  }

  // Where the source goes on after the longest ending of the tokens that it has once; -1 where it has none so.
  std::int64_t after_suffix(const std::int64_t* from, const std::vector<std::int64_t>& all, std::int64_t length) const {
    for (std::int64_t n = least; n <= most && n <= length; ++n) {
      const std::int64_t* end = from + sources;
      const auto* found = std::search(from, end, all.data() + length - n, all.data() + length);
      if (found == end) return -1;
      if (std::search(found + 1, end, all.data() + length - n, all.data() + length) == end) return found - from + n;
    }
    return -1;
  }
};

class BifurcationOp final : public Op {
 public:
  explicit BifurcationOp(const NodeView& node)
      : least_(node.int_or("min_ngram_size", 1)), most_(node.int_or("max_ngram_size", 3)), outputs_(node.output_count()) {}

  void plan(PlanBuilder& b) const override {
    if (b.in(2).count() != 1) invalid_argument("prev_suffix_match_idx is one number");
    BifurcationStep s{b.in_ref(0), b.in_ref(1), b.in_ref(2), b.in_ref(3), output_of(b, 0), {}, b.in(0).count(), b.in(1).count(),
                      b.in_ref(3).present() ? b.in(3).count() : 0, least_, most_};
    std::vector<Ref> reads{s.source, s.current, s.matched}, writes;
    if (outputs_ > 1) s.match = output_of(b, 1);
    if (s.predicted.present()) reads.push_back(s.predicted);
    for (const Output* o : {&s.tokens, &s.match})
      if (o->wanted()) writes.push_back(o->ref);
    b.step("bifurcation", s, {.spmd = false, .est_ns = static_cast<double>(s.sources) * 10, .allocates = true}, reads, writes);
  }

 private:
  std::int64_t least_, most_;
  std::uint32_t outputs_;
};

Support supports_bifurcation(const NodeView& node) {
  for (std::uint32_t i = 0; i < 4; ++i)
    if ((i < 3 || node.has_input(i)) && node.dtype(i) != TENON_DTYPE_INT64) return refuse_dtype(node.dtype(i));
  const std::int64_t least = node.int_or("min_ngram_size", 1), most = node.int_or("max_ngram_size", 3);
  if (least < 1 || most < least) return Support::no(TENON_REJECT_ATTRIBUTE, "min_ngram_size must be positive and at most max_ngram_size");
  return Support::yes();
}

// ---- DynamicTimeWarping -------------------------------------------------------------------------------------------------

// The cheapest way through the costs, from the first corner to the last, by steps right, down and both.
struct WarpingStep {
  Ref x;
  Output y;
  std::int64_t rows, columns;

  void operator()(const StepContext& c) const {
    const float* cost = c.ptr<const float>(x);
    const std::int64_t width = columns + 1;
    std::vector<float> sum(static_cast<std::size_t>((rows + 1) * width), std::numeric_limits<float>::infinity());
    std::vector<std::int8_t> came(sum.size(), 2);  // 0: from both, 1: from above, 2: from the left
    const auto at = [&](std::int64_t i, std::int64_t j) { return static_cast<std::size_t>(i * width + j); };
    sum[0] = 0;
    for (std::int64_t j = 1; j <= columns; ++j)
      for (std::int64_t i = 1; i <= rows; ++i) {
        const float both = sum[at(i - 1, j - 1)], above = sum[at(i - 1, j)], left = sum[at(i, j - 1)];
        const int way = both < above && both < left ? 0 : above < both && above < left ? 1 : 2;
        came[at(i, j)] = static_cast<std::int8_t>(way);
        sum[at(i, j)] = cost[(i - 1) * columns + j - 1] + (way == 0 ? both : way == 1 ? above : left);
      }
    std::vector<std::int32_t> path[2];
    for (std::int64_t i = rows, j = columns; i > 0 || j > 0;) {
      path[0].push_back(static_cast<std::int32_t>(i - 1)), path[1].push_back(static_cast<std::int32_t>(j - 1));
      const int way = i == 0 ? 2 : j == 0 ? 1 : came[at(i, j)];
      if (way != 2) --i;
      if (way != 1) --j;
    }
    const auto length = static_cast<std::int64_t>(path[0].size());
    tenon_address address;
    if (!open_output(c, y, {2, length}, address)) return;
    for (int k = 0; k < 2; ++k) std::copy(path[k].rbegin(), path[k].rend(), data_of<std::int32_t>(address) + k * length);
  }
};

class WarpingOp final : public Op {
 public:
  void plan(PlanBuilder& b) const override {
    const Shape& x = b.in(0);
    if (x.rank() < 2 || x.rank() > 3 || (x.rank() == 3 && x[0] != 1))
      invalid_argument("the costs must have shape [rows, columns] or [1, rows, columns]");
    if ((x[-2] == 0) != (x[-1] == 0)) invalid_argument("there is no way through costs without rows or columns");
    const WarpingStep s{b.in_ref(0), output_of(b, 0), x[-2], x[-1]};
    b.step("time warping", s, {.spmd = false, .est_ns = static_cast<double>(x.count()) * 4, .allocates = true}, {{s.x}}, {{s.y.ref}});
  }
};

Support supports_warping(const NodeView& node) {
  return node.dtype(0) == TENON_DTYPE_FLOAT ? Support::yes() : refuse_dtype(node.dtype(0));
}

constexpr OpRow table[] = {
    {"com.microsoft", "NGramRepeatBlock", supports_block,
     [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<BlockOp>(node); }},
    {"com.microsoft", "BifurcationDetector", supports_bifurcation,
     [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<BifurcationOp>(node); }, true},
    {"com.microsoft", "DynamicTimeWarping", supports_warping,
     [](const NodeView&, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<WarpingOp>(); }, true},
};

}  // namespace

std::span<const OpRow> token_rows() { return table; }

}  // namespace tenon::cpu
