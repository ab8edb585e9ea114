// Pad (constant, reflect, edge, wrap; negative pads crop) and CenterCropPad: each output index has an input index or none.
//
// Rows run over the last padded axis; what lies inside it is copied as one run.
#include <algorithm>

#include "plugins/cpu/ops/elements.h"
#include "plugins/cpu/ops/movement.h"

namespace tenon::cpu {
namespace {

enum class Mode : std::uint8_t { constant, reflect, edge, wrap };
constexpr int max_rank = 16;

// The input index that output index o shows, -1 for the constant. before: pad in front, negative where cropped.
std::int64_t source(Mode mode, std::int64_t o, std::int64_t before, std::int64_t size) {
  const std::int64_t i = o - before;
  if (i >= 0 && i < size) return i;
  switch (mode) {
    case Mode::edge: return i < 0 ? 0 : size - 1;
    case Mode::wrap: return (i % size + size) % size;
    case Mode::reflect: {
      if (size == 1) return 0;
      const std::int64_t near = i < 0 ? -i : 2 * (size - 1) - i;  // the usual case needs no division
      if (near >= 0 && near < size) return near;
      const std::int64_t period = 2 * (size - 1), m = (i % period + period) % period;
      return m < size ? m : period - m;
    }
    default: return -1;
  }
}

struct PadStep {
  Mode mode;
  Element kind;
  std::int32_t rank;
  bool run_time;  // pads and axes are read by the step
  std::int64_t dims[max_rank], out[max_rank], before[max_rank];
  std::int32_t axes_dtype;
  std::int64_t axis_count;
  Ref src, dst, value, pads, axes;

  void operator()(const StepContext& c) const {
    PadStep now = *this;
    if (run_time)
      if (const char* wrong = now.read(c.ptr<const void>(pads), axes.present() ? c.ptr<const void>(axes) : nullptr))
        return c.fail(TENON_INVALID_ARGUMENT, wrong);
    now.run(c);
  }

  // Fills before from the lists; a text says what is wrong.
  const char* read(const void* pad_list, const void* axis_list) {
    std::int64_t after[max_rank] = {};
    bool seen[max_rank] = {};
    std::fill(before, before + rank, 0);
    for (std::int64_t k = 0; k < axis_count; ++k) {
      const std::int64_t axis = resolve_axis(axis_list ? int_at(axis_list, axes_dtype, k) : k, rank);
      if (axis < 0) return "an axis is outside the rank of the input";
      if (seen[axis]) return "an axis is named twice";
      seen[axis] = true;
      before[axis] = int_at(pad_list, TENON_DTYPE_INT64, k);
      after[axis] = int_at(pad_list, TENON_DTYPE_INT64, axis_count + k);
    }
    for (int a = 0; a < rank; ++a) {
      std::int64_t sum;
      if (__builtin_add_overflow(before[a], after[a], &sum) || __builtin_add_overflow(sum, dims[a], &sum) || sum != out[a])
        return "the pads do not give the planned size";
      if (before[a] > out[a] || before[a] < -dims[a]) return "more is cropped than there is";
      if (mode != Mode::constant && dims[a] == 0 && out[a] > 0) return "there is nothing to repeat";
    }
    return nullptr;
  }

  void run(const StepContext& c) const {
    int last = rank - 1;
    std::int64_t inner = 1, rows = 1;
    while (last > 0 && before[last] == 0 && out[last] == dims[last]) inner *= dims[last--];
    for (int a = 0; a < last; ++a) rows *= out[a];
    std::int64_t strides[max_rank];  // of input rows, in units of the last padded axis
    std::int64_t n = dims[last];
    for (int a = last; a-- > 0; n *= dims[a]) strides[a] = n;
    const std::int64_t size = dims[last], wide = out[last], front = before[last];
    const std::int64_t low = std::clamp<std::int64_t>(front, 0, wide), high = std::clamp(front + size, low, wide);
    const Copier copier(c, kind, src, dst), constants(c, kind, value, dst);
    const auto blank = [&](std::int64_t to, std::int64_t count) {
      if (value.present()) constants.fill(to, 0, count);
      else copier.zero(to, count);
    };
    auto [row, end] = c.slice(rows);
    if (!is_bytes(kind)) row = 0, end = c.worker == 0 ? rows : 0;
    std::int64_t index[max_rank] = {};
    std::int64_t rest = row;
    for (int a = last; a-- > 0; rest /= out[a]) index[a] = rest % out[a];
    for (; row < end; ++row) {
      const std::int64_t to = row * wide * inner;
      std::int64_t from = 0;
      for (int a = 0; a < last && from >= 0; ++a) {
        const std::int64_t i = source(mode, index[a], before[a], dims[a]);
        from = i < 0 ? -1 : from + i * strides[a];
      }
      if (from < 0) {
        blank(to, wide * inner);
      } else if (mode == Mode::constant) {
        blank(to, low * inner);
        if (high > low) copier.copy(to + low * inner, (from + low - front) * inner, (high - low) * inner);
        blank(to + high * inner, (wide - high) * inner);
      } else {
        for (std::int64_t j = 0; j < low; ++j) copier.copy(to + j * inner, (from + source(mode, j, front, size)) * inner, inner);
        if (high > low) copier.copy(to + low * inner, (from + low - front) * inner, (high - low) * inner);
        for (std::int64_t j = high; j < wide; ++j) copier.copy(to + j * inner, (from + source(mode, j, front, size)) * inner, inner);
      }
      for (int a = last; a-- > 0;) {
        if (++index[a] < out[a]) break;
        index[a] = 0;
      }
    }
    if (!is_bytes(kind) && c.worker == 0) copier.seal(rows * wide * inner);
  }
};

// What Pad and CenterCropPad share: sizes and operands.
PadStep prepare(PlanBuilder& b, Mode mode) {
  PadStep s{};
  s.mode = mode;
  s.kind = element_of(b.in(0).dtype);
  const PlanList<std::int64_t> dims = memory_dims(b.in(0)), out = memory_dims(b.out(0));
  if (dims.size() != out.size()) throw Failure{TENON_INVALID_ARGUMENT, "input and output differ in rank"};
  if (dims.size() > max_rank) throw Failure{TENON_UNIMPLEMENTED, "Pad of rank " + std::to_string(dims.size())};
  s.rank = static_cast<std::int32_t>(dims.size());
  std::copy(dims.begin(), dims.end(), s.dims);
  std::copy(out.begin(), out.end(), s.out);
  if (s.rank == 0) s.rank = 1, s.dims[0] = s.out[0] = 1;
  s.src = b.in_ref(0), s.dst = b.out_ref(0);
  return s;
}

class PadOp final : public Op {
 public:
  PadOp(const NodeView& node, CompileContext& context, Mode mode) : mode_(mode) {
    // Blocked values may be padded where batch and channels are left alone.
    if (node.dtype(0) != TENON_DTYPE_FLOAT || node.rank(0) < 3 || !node.is_constant(1) || node.has_input(3)) return;
    const tenon_const_tensor pads = context.constant(node, 1);
    const std::int64_t rank = node.rank(0);
    if (pads.rank != 1 || pads.dims[0] != 2 * rank) return;
    spatial_ = true;
    for (std::int64_t k : {std::int64_t{0}, std::int64_t{1}, rank, rank + 1}) spatial_ = spatial_ && int_at(pads.data, pads.dtype, k) == 0;
  }

  std::int32_t layout(std::span<std::int32_t> inputs, std::int32_t) override {
    for (std::size_t i = spatial_ ? 1 : 0; i < inputs.size(); ++i) inputs[i] = 0;
    return spatial_ ? inputs[0] : 0;
  }

  void plan(PlanBuilder& b) const override {
    if (b.out(0).count() == 0) return;
    PadStep s = prepare(b, mode_);
    const Shape &list = b.in(1), &axes = b.in(3);
    const bool some_axes = axes.dtype != TENON_DTYPE_UNDEFINED;
    s.axis_count = some_axes ? axes.count() : b.in(0).rank();
    s.axes_dtype = axes.dtype;
    if (list.count() != 2 * s.axis_count)
      throw Failure{TENON_INVALID_ARGUMENT,
                    "Pad: " + std::to_string(2 * s.axis_count) + " pads are needed, found " + std::to_string(list.count())};
    if (mode_ == Mode::constant && b.in(2).dtype != TENON_DTYPE_UNDEFINED && b.in(2).count() > 0) s.value = b.in_ref(2);
    const void *pads = known_data(b, 1), *axis_list = known_data(b, 3);
    std::vector<Ref> reads{s.src};
    if (s.value.present()) reads.push_back(s.value);
    if ((pads || s.axis_count == 0) && (axis_list || !some_axes)) {
      if (const char* wrong = s.read(pads, axis_list)) throw Failure{TENON_INVALID_ARGUMENT, wrong};
    } else {
      s.run_time = true;
      s.pads = b.in_ref(1), reads.push_back(s.pads);
      if (some_axes) s.axes = b.in_ref(3), reads.push_back(s.axes);
    }
    b.step("pad", s, copy_options(s.kind, bytes_of(s.kind, b.in(0).count()) + bytes_of(s.kind, b.out(0).count())), reads, {{s.dst}});
  }

 private:
  Mode mode_;
  bool spatial_ = false;
};

class CenterCropPadOp final : public Op {
 public:
  void plan(PlanBuilder& b) const override {
    if (b.out(0).count() == 0) return;
    PadStep s = prepare(b, Mode::constant);
    for (int a = 0; a < s.rank; ++a) {
      const std::int64_t more = s.out[a] - s.dims[a];
      s.before[a] = more >= 0 ? more / 2 : -(-more / 2);
    }
    b.step("center crop pad", s, copy_options(s.kind, 2 * bytes_of(s.kind, b.out(0).count())), {{s.src}}, {{s.dst}});
  }
};

std::optional<Mode> mode_of(const NodeView& node) {
  const std::string_view mode = node.string_or("mode", "constant");
  if (mode == "constant") return Mode::constant;
  if (mode == "reflect") return Mode::reflect;
  if (mode == "edge") return Mode::edge;
  if (mode == "wrap") return Mode::wrap;
  return std::nullopt;
}

Support supports(const NodeView& node) {
  if (!mode_of(node)) return Support::no(TENON_REJECT_ATTRIBUTE, "mode \"" + std::string(node.string_or("mode", "")) + "\" is not known");
  if (node.dtype(1) != TENON_DTYPE_INT64) return Support::no(TENON_REJECT_DTYPE, "pads must be int64");
  if (node.has_input(2) && node.dtype(2) != node.dtype(0))
    return Support::no(TENON_REJECT_DTYPE, "constant_value has another type than data");
  if (Support s = index_type(node, 3); s.reason) return s;
  return any_type(node);
}

constexpr OpRow rows[] = {
    {"", "Pad", supports,
     [](const NodeView& node, CompileContext& context) -> std::unique_ptr<Op> {
       return std::make_unique<PadOp>(node, context, *mode_of(node));
     }},
    {"", "CenterCropPad", any_type,
     [](const NodeView&, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<CenterCropPadOp>(); }},
};

}  // namespace

std::span<const OpRow> pad_rows() { return rows; }

}  // namespace tenon::cpu
