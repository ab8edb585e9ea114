// RotaryEmbedding: pairs of elements of each head turned by an angle that depends on the position.
#include "plugins/cpu/ops/rotary.h"

#include <cstring>

#include "plugins/cpu/ops/reduce_types.h"

namespace tenon::cpu {
namespace {

struct RotaryStep {
  Ref x, cos, sin, positions, y;
  std::int64_t batch, heads, rows, depth, half;       // half: pairs that are turned
  std::int64_t batch_stride, head_stride, row_stride;  // of x and y
  std::int64_t table_rows;
  bool interleaved, from_first;                        // from_first: one number, the position of the first row
  const std::uint8_t* streams;                         // which of three rows of positions each pair goes by; null: there is one
  Ref scratch;
  std::uint64_t scratch_bytes;

  void operator()(const StepContext& c) const {
    const auto slice = c.slice(batch * rows);
    for (std::int64_t item = slice.begin; item < slice.end; ++item) {
      const std::int64_t b = item / rows, t = item % rows;
      std::int64_t at = item;  // without positions, the tables have a row for each batch and position
      if (positions.present() && !streams) {
        at = from_first ? *c.ptr<const std::int64_t>(positions) + t : c.ptr<const std::int64_t>(positions)[item];
        if (!inside(c, at)) return;
      }
      const float *co = c.ptr<const float>(cos) + at * half, *si = c.ptr<const float>(sin) + at * half;
      if (streams) {
        float* room = worker_scratch<float>(c, scratch, scratch_bytes);
        for (std::int64_t i = 0; i < half; ++i) {
          at = c.ptr<const std::int64_t>(positions)[streams[i] * batch * rows + item];
          if (!inside(c, at)) return;
          room[i] = c.ptr<const float>(cos)[at * half + i], room[half + i] = c.ptr<const float>(sin)[at * half + i];
        }
        co = room, si = room + half;
      }
      for (std::int64_t h = 0; h < heads; ++h) {
        const std::int64_t offset = b * batch_stride + h * head_stride + t * row_stride;
        turn(c.ptr<const float>(x) + offset, co, si, c.ptr<float>(y) + offset);
      }
    }
  }

  bool inside(const StepContext& c, std::int64_t at) const {
    if (at >= 0 && at < table_rows) return true;
    c.fail(TENON_OUT_OF_RANGE, "position " + std::to_string(at) + " is outside " + std::to_string(table_rows) + " table rows");
    return false;
  }

  void turn(const float* in, const float* co, const float* si, float* out) const {
    const std::int64_t step = interleaved ? 2 : 1, second = interleaved ? 1 : half;
    for (std::int64_t i = 0; i < half; ++i) {
      const float a = in[i * step], b = in[i * step + second];
      out[i * step] = a * co[i] - b * si[i];
      out[i * step + second] = a * si[i] + b * co[i];
    }
    if (depth > 2 * half) std::memmove(out + 2 * half, in + 2 * half, static_cast<std::size_t>(depth - 2 * half) * sizeof(float));
  }
};

// com.microsoft has the positions before the tables, and the head size may be told by the tables alone. MRotaryEmbedding has
// three positions for each row, and sections of the pairs that go by them: one after another, or every third pair in turn.
class RotaryOp final : public Op {
 public:
  explicit RotaryOp(const NodeView& node)
      : microsoft_(!node.domain().empty()), heads_(node.int_or("num_heads", 0)),
        turned_(node.int_or("rotary_embedding_dim", 0)),
        interleaved_(node.int_or("interleaved", 0) != 0) {
    if (node.op_type() != "MRotaryEmbedding") return;
    const auto sections = node.ints("mrope_section");
    streams_.resize(static_cast<std::size_t>(sections[0] + sections[1] + sections[2]));
    for (std::size_t i = 0; i < streams_.size(); ++i) {
      const auto at = static_cast<std::int64_t>(i);
      std::uint8_t stream = at < sections[0] ? 0 : at < sections[0] + sections[1] ? 1 : 2;
      if (node.int_or("mrope_layout", 0) == 1)
        stream = at % 3 != 0 && at < 3 * sections[static_cast<std::size_t>(at % 3)] ? static_cast<std::uint8_t>(at % 3) : 0;
      streams_[i] = stream;
    }
  }

  void plan(PlanBuilder& builder) const override {
    const std::uint32_t cos_at = microsoft_ ? 2 : 1, sin_at = microsoft_ ? 3 : 2, positions_at = microsoft_ ? 1 : 3;
    const Shape &x = builder.in(0), &cos = builder.in(cos_at), &sin = builder.in(sin_at);
    const std::int64_t heads = heads_ > 0 || !microsoft_ || x.rank() != 3 || cos.rank() < 1 || cos[-1] < 1 ? heads_ : x[2] / (2 * cos[-1]);
    RotaryStep step{};
    if (x.rank() == 4) {
      step.heads = x[1], step.rows = x[2], step.depth = x[3];
      step.head_stride = x[2] * x[3], step.row_stride = x[3];
    } else if (x.rank() == 3 && heads > 0 && x[2] % heads == 0) {
      step.heads = heads, step.rows = x[1], step.depth = x[2] / heads;
      step.head_stride = step.depth, step.row_stride = x[2];
    } else {
      invalid_argument("RotaryEmbedding needs rank 4, or rank 3 and num_heads");
    }
    step.batch = x[0], step.batch_stride = x.inner(0);
    const std::int64_t turned = turned_ > 0 ? turned_ : step.depth;
    step.half = turned / 2;
    if (turned % 2 != 0 || turned > step.depth) invalid_argument("rotary_embedding_dim must be even and at most the head size");
    step.positions = builder.in_ref(positions_at);
    if (cos.rank() < 1 || cos[-1] != step.half || sin.count() != cos.count())
      invalid_argument("the tables do not have half the rotated size");
    step.table_rows = step.half > 0 ? cos.count() / step.half : 0;
    const std::int64_t items = step.batch * step.rows, streams = streams_.empty() ? 1 : 3;
    if (streams == 3 && static_cast<std::int64_t>(streams_.size()) != step.half)
      invalid_argument("mrope_section must add up to half the rotated size");
    step.from_first = microsoft_ && builder.in(positions_at).rank() < 2 && builder.in(positions_at).count() == 1;
    if (!step.from_first && (step.positions.present() ? builder.in(positions_at).count() != streams * items : step.table_rows != items)) {
      invalid_argument("positions or tables do not fit the input");
    }
    if (x.count() == 0) return;
    step.x = builder.in_ref(0), step.cos = builder.in_ref(cos_at), step.sin = builder.in_ref(sin_at), step.y = builder.out_ref(0);
    step.interleaved = interleaved_;
    if (streams == 3) {
      step.streams = builder.keep<std::uint8_t>(streams_);
      step.scratch_bytes = static_cast<std::uint64_t>(2 * step.half) * sizeof(float);
      step.scratch = builder.scratch(step.scratch_bytes);
    }
    builder.inplace(0, 0);
    builder.step("RotaryEmbedding", step, {.est_ns = static_cast<double>(x.count()) * 0.7});
  }

 private:
  bool microsoft_;
  std::int64_t heads_, turned_;
  bool interleaved_;
  std::vector<std::uint8_t> streams_;
};

// scale and is_packed_batching change nothing.
Support supports_microsoft(const NodeView& node) {
  for (std::uint32_t i : {0u, 2u, 3u}) {
    if (node.dtype(i) != TENON_DTYPE_FLOAT) return refuse_dtype(node.dtype(i));
  }
  if (node.dtype(1) != TENON_DTYPE_INT64) return refuse_dtype(node.dtype(1));
  if (node.op_type() != "MRotaryEmbedding") return Support::yes();
  const auto sections = node.ints("mrope_section");
  if (sections.size() != 3) return Support::no(TENON_REJECT_ATTRIBUTE, "mrope_section must have three numbers");
  std::int64_t pairs = 0;
  for (const std::int64_t n : sections) {
    if (n < 0 || n > 1 << 20) return Support::no(TENON_REJECT_ATTRIBUTE, "mrope_section has " + std::to_string(n));
    pairs += n;
  }
  const std::int64_t layout = node.int_or("mrope_layout", 0);
  if (pairs == 0 || layout < 0 || layout > 1)
    return Support::no(TENON_REJECT_ATTRIBUTE, "mrope_layout must be 0 or 1, mrope_section not empty");
  return Support::yes();
}

Support supports(const NodeView& node) {
  for (std::uint32_t i : {0u, 1u, 2u}) {
    if (node.dtype(i) != TENON_DTYPE_FLOAT) return refuse_dtype(node.dtype(i));
  }
  if (node.has_input(3) && node.dtype(3) != TENON_DTYPE_INT64) return refuse_dtype(node.dtype(3));
  return Support::yes();
}

}  // namespace

std::span<const OpRow> rotary_rows() {
  static constexpr auto make = [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> {
    return std::make_unique<RotaryOp>(node);
  };
  static const OpRow rows[] = {
      {"", "RotaryEmbedding", supports, make},
      {"com.microsoft", "RotaryEmbedding", supports_microsoft, make},
      {"com.microsoft", "MRotaryEmbedding", supports_microsoft, make},
  };
  return rows;
}

}  // namespace tenon::cpu
