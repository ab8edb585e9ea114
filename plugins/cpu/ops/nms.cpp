// NonMaxSuppression: per batch and class, the best boxes that overlap no better one too much.
//
// Classes are independent: they are worked on in parallel and written in order.
#include <algorithm>

#include "plugins/cpu/ops/elements.h"
#include "plugins/cpu/ops/movement.h"

namespace tenon::cpu {
namespace {

struct Box {
  float x1, y1, x2, y2, area;
};

// Boxes that were chosen, as columns so that the comparison vectorises.
struct Chosen {
  std::vector<float> x1, y1, x2, y2, area;
  std::vector<std::int64_t> index;

  void clear() { x1.clear(), y1.clear(), x2.clear(), y2.clear(), area.clear(), index.clear(); }
  void add(const Box& b, std::int64_t i) {
    x1.push_back(b.x1), y1.push_back(b.y1), x2.push_back(b.x2), y2.push_back(b.y2), area.push_back(b.area), index.push_back(i);
  }
  bool overlaps(const Box& b, float threshold) const {
    constexpr std::size_t chunk = 16;
    if (!(b.area > 0)) return false;
    for (std::size_t i = 0; i < index.size(); i += chunk) {
      const std::size_t end = std::min(i + chunk, index.size());
      int hits = 0;
      for (std::size_t k = i; k < end; ++k) {
        const float w = std::min(x2[k], b.x2) - std::max(x1[k], b.x1), h = std::min(y2[k], b.y2) - std::max(y1[k], b.y1);
        const float common = w * h, all = area[k] + b.area - common;
        hits += (w > 0) & (h > 0) & (area[k] > 0) & (all > 0) & (common / all > threshold);
      }
      if (hits) return true;
    }
    return false;
  }
};

struct NmsStep {
  std::int64_t batches, classes, boxes;
  bool centers;
  Ref box, score, limit, iou, least;
  Output out;

  Box read(const float* b) const {
    Box r;
    if (centers) {
      r.x1 = b[0] - b[2] / 2, r.x2 = b[0] + b[2] / 2, r.y1 = b[1] - b[3] / 2, r.y2 = b[1] + b[3] / 2;
    } else {
      r.y1 = std::min(b[0], b[2]), r.y2 = std::max(b[0], b[2]), r.x1 = std::min(b[1], b[3]), r.x2 = std::max(b[1], b[3]);
    }
    r.area = (r.x2 - r.x1) * (r.y2 - r.y1);
    return r;
  }

  // Chosen boxes of one class, best first.
  void choose(const float* scores, const std::vector<Box>& all, std::int64_t first_box, std::int64_t most, float threshold,
              const float* floor, std::vector<std::int64_t>& result) const {
    std::vector<std::pair<float, std::int64_t>> candidates;
    for (std::int64_t i = 0; i < boxes; ++i)
      if (floor ? scores[i] > *floor : scores[i] == scores[i]) candidates.emplace_back(scores[i], i);
    const auto worse = [](const auto& a, const auto& b) { return a.first != b.first ? a.first < b.first : a.second > b.second; };
    std::make_heap(candidates.begin(), candidates.end(), worse);
    Chosen chosen;
    for (auto end = candidates.end(); end != candidates.begin() && static_cast<std::int64_t>(chosen.index.size()) < most; --end) {
      std::pop_heap(candidates.begin(), end, worse);
      const std::int64_t i = (end - 1)->second;
      const Box& b = all[static_cast<std::size_t>(first_box + i)];
      if (!chosen.overlaps(b, threshold)) chosen.add(b, i);
    }
    result = std::move(chosen.index);
  }

  void operator()(const StepContext& c) const {
    const std::int64_t most = limit.present() ? std::min(c.ptr<const std::int64_t>(limit)[0], boxes) : 0;
    std::vector<std::vector<std::int64_t>> results(static_cast<std::size_t>(batches * classes));
    if (most > 0 && boxes > 0) {
      struct Work {
        const NmsStep* step;
        const float* scores;
        std::vector<Box> all;
        std::int64_t most;
        float threshold;
        const float* floor;
        std::vector<std::int64_t>* results;
      } work{this,
             c.ptr<const float>(score),
             {},
             most,
             iou.present() ? c.ptr<const float>(iou)[0] : 0,
             least.present() ? c.ptr<const float>(least) : nullptr,
             results.data()};
      const float* corners = c.ptr<const float>(box);
      for (std::int64_t i = 0; i < batches * boxes; ++i) work.all.push_back(read(corners + 4 * i));
      c.host->parallel_for(c.run, results.size(), 1, [](void* context, std::uint64_t begin, std::uint64_t end, std::uint32_t) {
        const Work& w = *static_cast<const Work*>(context);
        for (std::uint64_t i = begin; i < end; ++i) {
          const std::int64_t item = static_cast<std::int64_t>(i), n = w.step->boxes;
          w.step->choose(w.scores + item * n, w.all, item / w.step->classes * n, w.most, w.threshold, w.floor, w.results[i]);
        }
      }, &work);
    }
    std::int64_t count = 0;
    for (const auto& r : results) count += static_cast<std::int64_t>(r.size());
    tenon_address address;
    if (!open_output(c, out, {count, 3}, address)) return;
    auto* y = data_of<std::int64_t>(address);
    for (std::size_t i = 0; i < results.size(); ++i)
      for (std::int64_t b : results[i])
        *y++ = static_cast<std::int64_t>(i) / classes, *y++ = static_cast<std::int64_t>(i) % classes, *y++ = b;
  }
};

class NmsOp final : public Op {
 public:
  explicit NmsOp(const NodeView& node) : centers_(node.int_or("center_point_box", 0) != 0) {}

  void plan(PlanBuilder& b) const override {
    const Shape &x = b.in(0), &s = b.in(1);
    if (x.rank() != 3 || s.rank() != 3 || x[2] != 4 || x[0] != s[0] || x[1] != s[2])
      throw Failure{TENON_INVALID_ARGUMENT, "boxes must be [batch, boxes, 4] and scores [batch, classes, boxes]"};
    NmsStep step{s[0], s[1], s[2], centers_, b.in_ref(0), b.in_ref(1), {}, {}, {}, output_of(b, 0)};
    std::vector<Ref> reads{step.box, step.score};
    Ref* scalars[] = {&step.limit, &step.iou, &step.least};
    for (std::uint32_t i = 0; i < 3; ++i) {
      if (b.in(i + 2).dtype == TENON_DTYPE_UNDEFINED) continue;
      if (b.in(i + 2).count() != 1)
        throw Failure{TENON_INVALID_ARGUMENT, "limits and thresholds must be single numbers"};
      *scalars[i] = b.in_ref(i + 2);
      reads.push_back(*scalars[i]);
    }
    StepOptions options;
    options.spmd = false, options.allocates = true;
    options.est_ns = static_cast<double>(s.count()) * 4;
    b.step("non-maximum suppression", step, options, reads, {{step.out.ref}});
  }

 private:
  bool centers_;
};

Support supports(const NodeView& node) {
  if (node.dtype(0) != TENON_DTYPE_FLOAT || node.dtype(1) != TENON_DTYPE_FLOAT)
    return Support::no(TENON_REJECT_DTYPE, "boxes and scores must be float32");
  if (node.has_input(2) && node.dtype(2) != TENON_DTYPE_INT64)
    return Support::no(TENON_REJECT_DTYPE, "max_output_boxes_per_class must be int64");
  for (std::uint32_t i = 3; i < 5; ++i)
    if (node.has_input(i) && node.dtype(i) != TENON_DTYPE_FLOAT) return Support::no(TENON_REJECT_DTYPE, "thresholds must be float32");
  return any_type(node);
}

constexpr OpRow rows[] = {
    {"", "NonMaxSuppression", supports,
     [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<NmsOp>(node); }, true},
};

}  // namespace

std::span<const OpRow> nms_rows() { return rows; }

}  // namespace tenon::cpu
