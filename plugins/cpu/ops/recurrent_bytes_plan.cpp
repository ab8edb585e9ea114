// The steps of an LSTM with weights of bytes: the input becomes bytes, one product projects all steps of it, then the recurrence walks
// the steps. Workers share out sequences and directions, or the panels where there are fewer of them, with a barrier after each step.
#include <algorithm>
#include <cstring>

#include "plugins/cpu/ops/byte_finish.h"
#include "plugins/cpu/ops/recurrent_bytes.h"

namespace tenon::cpu {
namespace {

constexpr std::int64_t max_chunk = 16;     // sequences that walk together
constexpr std::int64_t sum_floats = 4096;  // of panels that are summed before their cells, which then overlap
constexpr std::int64_t tile_rows = 32;     // of the input, between which a panel stays in the first cache

// Rows behind the end of their sequence are left out of the range, and are 0.
struct QuantizeStep {
  ByteLstmPlan p;
  Ref rows, bytes;

  void operator()(const StepContext& c) const {
    const RecurrentSizes& s = p.sizes;
    const ByteFinish& finish = byte_finish(detect_isa());
    const float* x = c.ptr<const float>(p.refs.x);
    float least = 0, greatest = 0;
    for (std::int64_t b = 0; b < s.batch; ++b) {
      std::int64_t length = 0;
      if (!sequence_length(c, p.refs.lengths, s.steps, b, &length)) return;
      for (std::int64_t t = 0; t < length; ++t) finish.extremes(x + s.x_row(p.form, t, b) * s.input, s.input, &least, &greatest);
    }
    const ByteScale scale = byte_scale(least, greatest);
    for (std::int64_t b = 0; b < s.batch; ++b) {
      std::int64_t length = 0;
      sequence_length(c, p.refs.lengths, s.steps, b, &length);
      for (std::int64_t t = 0; t < s.steps; ++t) {
        const std::int64_t row = s.x_row(p.form, t, b);
        std::uint8_t* q = c.ptr<std::uint8_t>(bytes) + row * p.input.row_bytes();
        if (t < length) {
          c.ptr<ByteRow>(rows)[row] = quantize_row(x + row * s.input, s.input, scale, q);
        } else {
          std::memset(q, 0, static_cast<std::size_t>(p.input.row_bytes()));
          c.ptr<ByteRow>(rows)[row] = {q, {}, 0};
        }
      }
    }
  }
};

struct ProjectStep {
  BytePanels panels;
  std::int64_t m;
  Ref rows, bias, projection;

  void operator()(const StepContext& c) const {
    const RecurrentPacking& packing = panels.packing;
    const float* add = bias.present() ? c.ptr<const float>(bias) : nullptr;
    const auto slice = c.slice(packing.directions * packing.panels());
    for (std::int64_t row = 0; row < m; row += tile_rows) {
      const std::int64_t count = std::min(tile_rows, m - row);
      for (std::int64_t i = slice.begin; i < slice.end; ++i) {
        const std::int64_t d = i / packing.panels(), p = i % packing.panels();
        byte_panel_products(c.ptr<const ByteRow>(rows) + row, count, panels.panel(d, p, add), panels.groups(), panels.group,
                            c.ptr<float>(projection) + row * packing.columns() + packing.column(d, p), packing.columns());
      }
    }
  }
};

struct WalkStep {
  ByteLstmPlan p;
  Ref projection, scratch;
  Ref states;  // for each direction and sequence: two h, then c, padded
  std::int64_t chunk;

  static constexpr std::int64_t state_rows = 3;
  std::uint64_t scratch_bytes() const { return static_cast<std::uint64_t>(chunk * p.recurrent.row_bytes()); }

  void operator()(const StepContext& c) const {
    const std::int64_t chunks = (p.sizes.batch + chunk - 1) / chunk, units = p.form.directions * chunks, panels = packing().panels();
    const bool apart = c.workers > units && c.host && c.host->barrier && panels > 1;
    if (!apart) {
      const auto slice = c.slice(units);
      for (std::int64_t i = slice.begin; i < slice.end; ++i) walk(c, i / chunks, i % chunks * chunk, 0, panels, false);
      return;
    }
    const auto slice = c.slice(panels);
    for (std::int64_t i = 0; i < units; ++i) {
      if (!walk(c, i / chunks, i % chunks * chunk, slice.begin, slice.end, true)) return;
    }
  }

 private:
  struct Row {
    std::int64_t time, batch;
    float *h, *next, *cell;
    const float* projection;
  };

  const RecurrentPacking& packing() const { return p.recurrent.packing; }
  std::int64_t unit_end(std::int64_t panel) const { return std::min(panel * packing().lanes, p.sizes.hidden); }
  float* state(const StepContext& c, std::int64_t d, std::int64_t b, std::int64_t row) const {
    return c.ptr<float>(states) + ((d * p.sizes.batch + b) * state_rows + row) * packing().padded();
  }

  // Panels [begin, end) of the sequences from `first` on. false: the run was stopped at a barrier.
  bool walk(const StepContext& c, std::int64_t d, std::int64_t first, std::int64_t begin, std::int64_t end, bool shared) const {
    const std::int64_t rows = std::min(chunk, p.sizes.batch - first);
    const auto meet = [&] { return !shared || c.host->barrier(c.run) != TENON_STOP; };
    std::int64_t lengths[max_chunk], longest = 0;
    for (std::int64_t b = 0; b < rows; ++b) {
      sequence_length(c, p.refs.lengths, p.sizes.steps, first + b, &lengths[b]);  // checked by the first step
      longest = std::max(longest, lengths[b]);
      start(c, d, first + b, begin, end, lengths[b]);
    }
    if (!meet()) return false;
    for (std::int64_t s = 0; s < longest; ++s) {
      Row active[max_chunk];
      std::int64_t count = 0;
      for (std::int64_t b = 0; b < rows; ++b) {
        if (s >= lengths[b]) continue;
        Row& row = active[count++];
        row.time = p.form.backwards(d) ? lengths[b] - 1 - s : s;
        row.batch = first + b;
        row.h = state(c, d, row.batch, s % 2), row.next = state(c, d, row.batch, (s + 1) % 2), row.cell = state(c, d, row.batch, 2);
        row.projection = c.ptr<const float>(projection) + p.sizes.x_row(p.form, row.time, row.batch) * packing().columns() + packing().column(d, 0);
      }
      advance(c, d, active, count, begin, end, s % 2 != 0);
      if (!meet()) return false;
    }
    for (std::int64_t b = 0; b < rows; ++b) finish(c, d, first + b, begin, end, lengths[b]);
    return true;
  }

  void start(const StepContext& c, std::int64_t d, std::int64_t b, std::int64_t begin, std::int64_t end, std::int64_t length) const {
    const RecurrentRefs& refs = p.refs;
    const std::int64_t from = unit_end(begin), to = unit_end(end), lanes = packing().lanes;
    const std::int64_t offset = p.sizes.state_row(p.form, d, b) * p.sizes.hidden;
    for (const auto& [ref, memory] : {std::pair(refs.h0, state(c, d, b, 0)), std::pair(refs.c0, state(c, d, b, 2))}) {
      std::fill(memory + begin * lanes, memory + end * lanes, 0.0f);
      if (ref.present()) std::copy(c.ptr<const float>(ref) + offset + from, c.ptr<const float>(ref) + offset + to, memory + from);
    }
    if (!refs.y.present()) return;
    for (std::int64_t t = length; t < p.sizes.steps; ++t) {
      float* y = c.ptr<float>(refs.y) + p.sizes.y_row(p.form, t, d, b) * p.sizes.hidden;
      std::fill(y + from, y + to, 0.0f);
    }
  }

  void finish(const StepContext& c, std::int64_t d, std::int64_t b, std::int64_t begin, std::int64_t end, std::int64_t length) const {
    const std::int64_t from = unit_end(begin), to = unit_end(end), offset = p.sizes.state_row(p.form, d, b) * p.sizes.hidden;
    const float *h = state(c, d, b, length % 2), *cell = state(c, d, b, 2);
    if (p.refs.y_h.present()) std::copy(h + from, h + to, c.ptr<float>(p.refs.y_h) + offset + from);
    if (p.refs.y_c.present()) std::copy(cell + from, cell + to, c.ptr<float>(p.refs.y_c) + offset + from);
  }

  // Every worker makes bytes of the whole state, which is less than a barrier. back: the last panels first, which are still cached.
  void advance(const StepContext& c, std::int64_t d, const Row* rows, std::int64_t count, std::int64_t begin, std::int64_t end,
               bool back) const {
    ByteRow bytes[max_chunk];
    const ByteFinish& finish = byte_finish(detect_isa());
    for (std::int64_t r = 0; r < count; ++r) {
      float least = 0, greatest = 0;
      finish.extremes(rows[r].h, p.sizes.hidden, &least, &greatest);
      bytes[r] = quantize_row(rows[r].h, p.sizes.hidden, byte_scale(least, greatest),
                              worker_scratch<std::uint8_t>(c, scratch, scratch_bytes()) + r * p.recurrent.row_bytes());
    }
    alignas(64) float sums[sum_floats];
    static_assert(sum_floats >= max_chunk * byte_gates * max_panel_lanes);
    const std::int64_t lanes = packing().lanes, row_floats = byte_gates * lanes, sum_step = count * row_floats;
    const std::int64_t most = sum_floats / sum_step, sets = (end - begin + most - 1) / most;
    for (std::int64_t i = 0; i < sets; ++i) {
      const std::int64_t from = begin + (back ? sets - 1 - i : i) * most, some = std::min(most, end - from);
      for (std::int64_t j = 0; j < some; ++j) {
        const std::int64_t q = back ? some - 1 - j : j;
        byte_panel_products(bytes, count, p.recurrent.panel(d, from + q, nullptr), p.recurrent.groups(), p.recurrent.group,
                            sums + q * sum_step, row_floats);
      }
      for (std::int64_t r = 0; r < count; ++r) cells(c, d, rows[r], from, some, sum_step, sums + r * row_floats);
    }
    if (!p.refs.y.present()) return;
    const std::int64_t from = unit_end(begin), to = unit_end(end);
    for (std::int64_t r = 0; r < count; ++r) {
      float* y = c.ptr<float>(p.refs.y) + p.sizes.y_row(p.form, rows[r].time, d, rows[r].batch) * p.sizes.hidden;
      std::memcpy(y + from, rows[r].next + from, static_cast<std::size_t>(to - from) * sizeof(float));
    }
  }

  void cells(const StepContext& c, std::int64_t d, const Row& row, std::int64_t panel, std::int64_t some, std::int64_t sum_step,
             const float* sums) const {
    const std::int64_t at = panel * packing().lanes, padded = packing().padded();
    const float* peep = p.refs.peepholes.present() ? c.ptr<const float>(p.refs.peepholes) + d * 3 * padded + at : nullptr;
    const Activation* f = p.form.activations[d];
    lstm_cells(Panels{some, sum_step, sums, row.projection + panel * byte_gates * packing().lanes, p.form.clip},
               {peep, peep ? peep + padded : nullptr, peep ? peep + 2 * padded : nullptr, row.cell + at, row.next + at, p.form.input_forget},
               f[0], f[1], f[2]);
  }
};

}  // namespace

void plan_byte_lstm(PlanBuilder& builder, const ByteLstmPlan& plan) {
  const RecurrentSizes& s = plan.sizes;
  const std::int64_t m = s.steps * s.batch, columns = plan.input.packing.columns();
  const auto temp = [&](std::int64_t bytes) { return builder.temp(static_cast<std::uint64_t>(std::max<std::int64_t>(bytes, 64))); };
  const auto present = [](std::initializer_list<Ref> all) {
    std::vector<Ref> some;
    std::copy_if(all.begin(), all.end(), std::back_inserter(some), [](Ref r) { return r.present(); });
    return some;
  };
  const Ref rows = temp(m * static_cast<std::int64_t>(sizeof(ByteRow))), bytes = temp(m * plan.input.row_bytes());
  const double elements = static_cast<double>(m * s.input), sums = static_cast<double>(m * columns);
  builder.step("quantize", QuantizeStep{plan, rows, bytes}, {.spmd = false, .est_ns = elements * 0.2},
               present({plan.refs.x, plan.refs.lengths}), std::vector{rows, bytes});
  const Ref projection = temp(m * columns * static_cast<std::int64_t>(sizeof(float)));
  builder.step("input projection", ProjectStep{plan.input, m, rows, plan.refs.bias, projection},
               {.est_ns = sums * static_cast<double>(s.input) / 100}, present({rows, bytes, plan.refs.bias}), std::vector{projection});

  WalkStep walk{};
  walk.p = plan, walk.projection = projection;
  walk.chunk = s.batch <= 8 ? s.batch : std::min(max_chunk, (s.batch + 1) / 2);
  walk.scratch = builder.scratch(walk.scratch_bytes());
  walk.states = temp(plan.form.directions * s.batch * WalkStep::state_rows * plan.recurrent.packing.padded() * static_cast<std::int64_t>(sizeof(float)));
  builder.step("recurrence", walk, {.est_ns = sums * static_cast<double>(s.hidden) / 50},
               present({projection, plan.refs.peepholes, plan.refs.lengths, plan.refs.h0, plan.refs.c0}),
               present({walk.states, plan.refs.y, plan.refs.y_h, plan.refs.y_c}));
}

}  // namespace tenon::cpu
