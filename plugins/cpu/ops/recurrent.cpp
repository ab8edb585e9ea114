// LSTM, GRU and RNN. float32: one product projects all steps of the input at once; then the recurrence walks the steps,
// panel by panel of hidden units. Sequences and directions are shared out to the workers; where there are fewer of them
// than workers, the panels are, with a barrier after each step.
#include "plugins/cpu/ops/recurrent.h"

#include <algorithm>
#include <cstring>

#include "plugins/cpu/families.h"
#include "plugins/cpu/gemm/product.h"
#include "plugins/cpu/ops/recurrent_packing.h"
#include "plugins/cpu/ops/reduce_types.h"

namespace tenon::cpu {
namespace {

constexpr std::int64_t max_chunk = 16;     // sequences that walk together
constexpr std::int64_t sum_floats = 4096;  // of panels that are summed before their cells, which then overlap

struct RecurrenceStep {
  RecurrentForm form;
  RecurrentSizes sizes;
  RecurrentPacking packing;
  RecurrentRefs refs;
  Ref projection, weights, kept_bias, peepholes;
  Ref states;  // for each direction and sequence: two h, c (LSTM) or z and r * h (GRU), padded
  std::int64_t chunk;

  static constexpr std::int64_t state_rows = 4;

  void operator()(const StepContext& c) const {
    const std::int64_t chunks = (sizes.batch + chunk - 1) / chunk, units = form.directions * chunks, panels = packing.panels();
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
  float* state(const StepContext& c, std::int64_t d, std::int64_t b, std::int64_t row) const {
    return c.ptr<float>(states) + ((d * sizes.batch + b) * state_rows + row) * packing.padded();
  }

  // Panels [begin, end) of the sequences from `first` on. false: the run was stopped at a barrier.
  bool walk(const StepContext& c, std::int64_t d, std::int64_t first, std::int64_t begin, std::int64_t end, bool shared) const {
    const std::int64_t rows = std::min(chunk, sizes.batch - first);
    const auto meet = [&] { return !shared || c.host->barrier(c.run) != TENON_STOP; };
    std::int64_t lengths[max_chunk], longest = 0;
    for (std::int64_t b = 0; b < rows; ++b) {
      if (!sequence_length(c, refs.lengths, sizes.steps, first + b, &lengths[b])) lengths[b] = 0;  // the run fails, at a barrier
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
        row.step = s;
        row.time = form.backwards(d) ? lengths[b] - 1 - s : s;
        row.batch = first + b;
        row.h = state(c, d, row.batch, s % 2);
        row.next = state(c, d, row.batch, (s + 1) % 2);
        row.third = state(c, d, row.batch, 2);
        row.fourth = state(c, d, row.batch, 3);
        row.projection = c.ptr<const float>(projection) + sizes.x_row(form, row.time, row.batch) * packing.columns() + packing.column(d, 0);
      }
      if (form.kind == RecurrentKind::gru && !form.linear_before_reset) {
        gru_first(c, d, active, count, begin, end);
        if (!meet()) return false;
      }
      advance(c, d, active, count, begin, end);
      if (!meet()) return false;
    }
    for (std::int64_t b = 0; b < rows; ++b) finish(c, d, first + b, begin, end, lengths[b]);
    return true;
  }

  struct Row {
    std::int64_t step, time, batch;  // step: how many have been walked before
    float *h, *next, *third, *fourth;
    const float* projection;
  };

  std::int64_t unit_end(std::int64_t panel) const { return std::min(panel * packing.lanes, sizes.hidden); }

  void start(const StepContext& c, std::int64_t d, std::int64_t b, std::int64_t begin, std::int64_t end, std::int64_t length) const {
    const std::int64_t from = unit_end(begin), to = unit_end(end), lanes = packing.lanes;
    float *h = state(c, d, b, 0), *cell = state(c, d, b, 2);
    std::fill(h + begin * lanes, h + end * lanes, 0.0f);
    std::fill(cell + begin * lanes, cell + end * lanes, 0.0f);
    const std::int64_t offset = sizes.state_row(form, d, b) * sizes.hidden;
    if (refs.h0.present()) std::copy(c.ptr<const float>(refs.h0) + offset + from, c.ptr<const float>(refs.h0) + offset + to, h + from);
    if (refs.c0.present()) std::copy(c.ptr<const float>(refs.c0) + offset + from, c.ptr<const float>(refs.c0) + offset + to, cell + from);
    if (!refs.y.present()) return;
    for (std::int64_t t = length; t < sizes.steps; ++t) {
      float* y = c.ptr<float>(refs.y) + sizes.y_row(form, t, d, b) * sizes.hidden;
      std::fill(y + from, y + to, 0.0f);
    }
  }

  void finish(const StepContext& c, std::int64_t d, std::int64_t b, std::int64_t begin, std::int64_t end, std::int64_t length) const {
    const std::int64_t from = unit_end(begin), to = unit_end(end), offset = sizes.state_row(form, d, b) * sizes.hidden;
    const float *h = state(c, d, b, length % 2), *cell = state(c, d, b, 2);
    if (refs.y_h.present()) std::copy(h + from, h + to, c.ptr<float>(refs.y_h) + offset + from);
    if (refs.y_c.present()) std::copy(cell + from, cell + to, c.ptr<float>(refs.y_c) + offset + from);
  }

  // Calls fn(row, at, panels) for the sums of each row with weights of so many gates, some panels at a time: `at` is the first.
  template <class Fn>
  void sum_panels(std::int64_t gates, const float* weights, const float* const* h, std::int64_t count, std::int64_t begin, std::int64_t end,
                  const Row* rows, Fn&& fn) const {
    alignas(64) float sums[sum_floats];
    static_assert(sum_floats >= max_chunk * max_gates * max_panel_lanes);
    const std::int64_t lanes = packing.lanes, floats = packing.panel_floats(gates), sum_step = count * gates * lanes;
    const auto products = packing.compact ? compact_panel_products : panel_products;
    // To and fro: what a step has read last is still in the cache when the next one begins there.
    const bool back = rows[0].step % 2 != 0;
    for (std::int64_t done = 0; done < end - begin;) {
      const std::int64_t some = std::min(end - begin - done, sum_floats / sum_step), p = back ? end - done - some : begin + done;
      for (std::int64_t i = 0; i < some; ++i) {
        const std::int64_t at = back ? some - 1 - i : i;
        products(gates, count, h, weights + (p + at) * floats, packing.depth(), sums + at * sum_step);
      }
      for (std::int64_t r = 0; r < count; ++r) {
        fn(rows[r], p * lanes, Panels{some, sum_step, sums + r * gates * lanes, rows[r].projection + p * packing.gates * lanes, form.clip});
      }
      done += some;
    }
  }

  // z and r * h of every row.
  void gru_first(const StepContext& c, std::int64_t d, const Row* rows, std::int64_t count, std::int64_t begin, std::int64_t end) const {
    const float* h[max_chunk];
    for (std::int64_t i = 0; i < count; ++i) h[i] = rows[i].h;
    const float* w = c.ptr<const float>(weights) + d * packing.recurrent_floats();
    sum_panels(2, w, h, count, begin, end, rows, [&](const Row& row, std::int64_t at, const Panels& panels) {
      gru_gates(panels, row.h + at, form.activations[d][0], row.third + at, row.fourth + at);
    });
  }

  void advance(const StepContext& c, std::int64_t d, const Row* rows, std::int64_t count, std::int64_t begin, std::int64_t end) const {
    const bool split = packing.split_hidden_gate;
    const float* h[max_chunk];
    for (std::int64_t i = 0; i < count; ++i) h[i] = split ? rows[i].fourth : rows[i].h;
    const float* w = c.ptr<const float>(weights) + d * packing.recurrent_floats();
    if (split) w += packing.panels() * packing.panel_floats(2);
    const Activation* f = form.activations[d];
    sum_panels(split ? 1 : packing.gates, w, h, count, begin, end, rows, [&](const Row& row, std::int64_t at, const Panels& panels) {
      if (form.kind == RecurrentKind::rnn) return rnn_cells(panels, f[0], row.next + at);
      if (form.kind == RecurrentKind::lstm) {
        const float* peep = peepholes.present() ? c.ptr<const float>(peepholes) + d * 3 * packing.padded() + at : nullptr;
        return lstm_cells(panels,
                          {peep, peep ? peep + packing.padded() : nullptr, peep ? peep + 2 * packing.padded() : nullptr, row.third + at,
                           row.next + at, form.input_forget},
                          f[0], f[1], f[2]);
      }
      if (split) return gru_cells(panels, row.third + at, row.h + at, f[1], row.next + at);
      const float* bias = kept_bias.present() ? c.ptr<const float>(kept_bias) + packing.columns() + d * packing.padded() + at : nullptr;
      gru_cells_linear(panels, bias, row.h + at, f[0], f[1], row.next + at);
    });
    if (!refs.y.present()) return;
    const std::int64_t from = unit_end(begin), to = unit_end(end);
    for (std::int64_t i = 0; i < count; ++i) {
      const Row& row = rows[i];
      float* y = c.ptr<float>(refs.y) + sizes.y_row(form, row.time, d, row.batch) * sizes.hidden;
      std::memcpy(y + from, row.next + from, static_cast<std::size_t>(to - from) * sizeof(float));
    }
  }
};

// Packs weights that only the run knows; one worker.
struct PackStep {
  RecurrentPacking packing;
  std::int64_t input;
  Ref w, r, bias, peepholes, packed_w, packed_r, packed_bias, packed_peepholes;

  void operator()(const StepContext& c) const {
    if (packed_w.present()) packing.pack_input(c.ptr<const float>(w), input, c.ptr<float>(packed_w));
    if (packed_r.present()) packing.pack_recurrent(c.ptr<const float>(r), c.ptr<float>(packed_r));
    if (packed_bias.present()) packing.pack_bias(c.ptr<const float>(bias), c.ptr<float>(packed_bias));
    if (packed_peepholes.present()) packing.pack_peepholes(c.ptr<const float>(peepholes), c.ptr<float>(packed_peepholes));
  }
};

class RecurrentOp final : public Op {
 public:
  RecurrentOp(const NodeView& node, CompileContext& context) {
    parse_recurrent_form(node, &form_);
    fast_ = node.dtype(0) == TENON_DTYPE_FLOAT && !context.options().plain;
    isa_ = context.options().isa, precision_ = context.options().precision;
    packing_.kind = form_.kind;
    packing_.directions = form_.directions;
    packing_.gates = form_.gates();
    packing_.lanes = panel_lanes();
    packing_.split_hidden_gate = form_.kind == RecurrentKind::gru && !form_.linear_before_reset;
    packing_.keeps_hidden_bias = form_.kind == RecurrentKind::gru && form_.linear_before_reset;
    if (!fast_) return;
    if (node.is_constant(1) && node.is_constant(2)) pack(node, context);
  }

  void plan(PlanBuilder& builder) const override {
    const Shape &x = builder.in(0), &w = builder.in(1), &r = builder.in(2);
    if (x.rank() != 3 || w.rank() != 3 || r.rank() != 3) invalid_argument("X, W and R must have rank 3");
    RecurrentSizes sizes{x[form_.batch_first ? 1 : 0], x[form_.batch_first ? 0 : 1], x[2], r[2]};
    check(builder, sizes);
    RecurrentRefs refs;
    const bool lstm = form_.kind == RecurrentKind::lstm;
    refs.x = builder.in_ref(0), refs.bias = builder.in_ref(3);
    if (!is_packed(sizes)) refs.w = builder.in_ref(1), refs.r = builder.in_ref(2);  // else they need not stand in memory as they are
    refs.lengths = builder.in_ref(4), refs.h0 = builder.in_ref(5);
    if (lstm) refs.c0 = builder.in_ref(6), refs.peepholes = builder.in_ref(7);
    refs.y = builder.out_ref(0), refs.y_h = builder.out_ref(1);
    if (lstm) refs.y_c = builder.out_ref(2);
    if (sizes.batch == 0 || sizes.hidden == 0) return;
    if (!fast_) {
      plan_recurrent_plain(builder, form_, sizes, refs, x.dtype);
      return;
    }
    plan_fast(builder, sizes, refs);
  }

 private:
  void check(PlanBuilder& builder, const RecurrentSizes& s) const {
    const std::int64_t d = form_.directions, g = form_.gates() * s.hidden;
    const auto expect = [&](std::uint32_t i, std::int64_t count, const char* name) {
      if (builder.in(i).dtype != TENON_DTYPE_UNDEFINED && builder.in(i).count() != count) {
        invalid_argument(std::string(name) + " has " + std::to_string(builder.in(i).count()) + " elements, " + std::to_string(count) +
                         " were expected");
      }
    };
    expect(1, d * g * s.input, "W");
    expect(2, d * g * s.hidden, "R");
    expect(3, d * 2 * g, "B");
    expect(4, s.batch, "sequence_lens");
    expect(5, d * s.batch * s.hidden, "initial_h");
    for (std::uint32_t o = 0; o < 3; ++o)  // inference took their last size from the attribute
      if (builder.out_ref(o).present() && builder.out(o).count() != (o == 0 ? s.steps : 1) * d * s.batch * s.hidden)
        invalid_argument("R has " + std::to_string(s.hidden) + " hidden units; hidden_size says otherwise");
    if (form_.kind != RecurrentKind::lstm) return;
    expect(6, d * s.batch * s.hidden, "initial_c");
    expect(7, d * 3 * s.hidden, "P");
  }

  void pack(const NodeView& node, CompileContext& context) {
    const tenon_value &r = node.input(2), &w = node.input(1);
    if (r.rank != 3 || w.rank != 3) return;
    const std::int64_t rows = form_.directions * form_.gates();
    packing_.hidden = r.dims[2];
    const std::int64_t input = w.dims[2];
    if (r.dims[0] * r.dims[1] != rows * packing_.hidden || w.dims[0] * w.dims[1] != rows * packing_.hidden) return;
    if (packing_.hidden == 0 || input == 0) return;
    packing_.compact = precision_ != Precision::highest && fixed_batch(node) < 3 && compactable(node, context);
    const gemm::Kernels& kernels = gemm::kernels(isa_, precision_);
    const std::string id = std::string(node.op_type()) + (packing_.split_hidden_gate ? "-split-" : "-") + (packing_.compact ? "compact-" : "") + std::to_string(packing_.lanes);
    const RecurrentPacking packing = packing_;
    const std::uint64_t r_bytes = static_cast<std::uint64_t>(packing.directions * packing.recurrent_floats()) * sizeof(float);
    r_.constant = context.packed(node, 2, "recurrent-r-" + id, r_bytes, [packing](const tenon_const_tensor& t, void* to) {
      packing.pack_recurrent(static_cast<const float*>(t.data), static_cast<float*>(to));
    });
    // The product takes few columns as they are.
    const bool panels = gemm::wants_packing(packing.columns());
    const std::uint64_t dense = static_cast<std::uint64_t>(input * packing.columns());
    const std::uint64_t w_floats = panels ? gemm::packed_floats(kernels, input, packing.columns()) : dense;
    w_.constant = context.packed(node, 1, "recurrent-w-" + id + "/" + gemm::packed_layout(kernels, input, packing.columns()), w_floats * sizeof(float),
                                 [packing, input, dense, panels, &kernels](const tenon_const_tensor& t, void* to) {
                                   const float* w = static_cast<const float*>(t.data);
                                   if (!panels) return packing.pack_input(w, input, static_cast<float*>(to));
                                   std::vector<float> columns(dense);
                                   packing.pack_input(w, input, columns.data());
                                   gemm::pack_b(kernels, columns.data(), packing.columns(), 1, input, packing.columns(),
                                                static_cast<float*>(to));
                                 });
    packed_hidden_ = packing_.hidden, packed_input_ = input;
    if (node.is_constant(3)) {
      const tenon_const_tensor b = context.constant(node, 3);
      if (b.bytes != static_cast<std::uint64_t>(2 * rows * packing.hidden) * sizeof(float)) return;
      float* bias = static_cast<float*>(context.alloc(static_cast<std::uint64_t>(packing.bias_floats()) * sizeof(float)));
      packing.pack_bias(static_cast<const float*>(b.data), bias);
      bias_.constant = bias;
    }
  }

  // The more rows share the weights, the more time computing takes and the less reading; compact ones are expanded for a few at a time.
  // A batch that the graph leaves open is taken for a small one.
  std::int64_t fixed_batch(const NodeView& node) const { return node.rank(0) == 3 ? node.input(0).dims[form_.batch_first ? 0 : 1] : 1; }
  // Asked of the weights as a packed form is, so that they are given back and the answer is kept.
  bool compactable(const NodeView& node, CompileContext& context) const {
    const std::string id = "recurrent-compactable-" + std::string(node.op_type()) + "-" + std::to_string(packing_.lanes);
    return *static_cast<const std::int32_t*>(context.packed(node, 2, id, sizeof(std::int32_t), [&](const tenon_const_tensor& t, void* to) {
      *static_cast<std::int32_t*>(to) = packing_.compactable(static_cast<const float*>(t.data)) ? 1 : 0;
    })) != 0;
  }

  bool is_packed(const RecurrentSizes& sizes) const {
    return w_.present() && packed_hidden_ == sizes.hidden && packed_input_ == sizes.input;
  }

  void plan_fast(PlanBuilder& builder, const RecurrentSizes& sizes, const RecurrentRefs& refs) const {
    RecurrentPacking packing = packing_;
    packing.hidden = sizes.hidden;
    const bool packed = is_packed(sizes);
    if (!packed) packing.compact = false;
    const auto floats = [&](std::int64_t n) {
      return builder.temp(static_cast<std::uint64_t>(std::max<std::int64_t>(n, 1)) * sizeof(float));
    };
    PackStep pack{};
    pack.packing = packing, pack.input = sizes.input;
    pack.w = refs.w, pack.r = refs.r, pack.bias = refs.bias, pack.peepholes = refs.peepholes;
    Ref w = w_, r = r_, bias = bias_, peepholes;
    if (!packed) {
      w = pack.packed_w = floats(sizes.input * packing.columns());
      r = pack.packed_r = floats(packing.directions * packing.recurrent_floats());
    }
    if (!refs.bias.present()) bias = Ref{};
    else if (!packed || !bias.present()) bias = pack.packed_bias = floats(packing.bias_floats());
    if (refs.peepholes.present()) peepholes = pack.packed_peepholes = floats(packing.peephole_floats());
    std::vector<Ref> reads, writes;
    for (Ref q : {pack.packed_w, pack.packed_r, pack.packed_bias, pack.packed_peepholes}) {
      if (q.present()) writes.push_back(q);
    }
    if (!writes.empty()) {
      for (Ref q : {refs.w, refs.r, refs.bias, refs.peepholes}) {
        if (q.present()) reads.push_back(q);
      }
      const double ns = static_cast<double>(sizes.input + sizes.hidden) * static_cast<double>(packing.columns());
      builder.step("pack weights", pack, {.spmd = false, .est_ns = ns}, reads, writes);
    }

    gemm::Problem problem;
    problem.m = sizes.steps * sizes.batch, problem.n = packing.columns(), problem.k = sizes.input;
    problem.a_row = sizes.input, problem.a_k = 1;
    problem.b_k = packing.columns(), problem.b_column = 1;
    problem.c_row = packing.columns(), problem.c_column = 1;
    gemm::ProductStep product{};
    product.gemm = gemm::plan(gemm::kernels(isa_, precision_), problem, packed && gemm::wants_packing(problem.n));
    product.a = refs.x, product.b = w, product.bias = bias;
    product.c = floats(problem.m * problem.n);
    reads = {refs.x};
    for (Ref q : {w, bias}) {
      if (q.present()) reads.push_back(q);
    }
    writes = {product.c};
    gemm::emit(builder, "input projection", product, reads, writes);

    RecurrenceStep step{};
    step.form = form_, step.sizes = sizes, step.packing = packing, step.refs = refs;
    step.projection = product.c, step.weights = r, step.peepholes = peepholes;
    if (packing.keeps_hidden_bias) step.kept_bias = bias;
    step.states = floats(form_.directions * sizes.batch * RecurrenceStep::state_rows * packing.padded());
    step.chunk = sizes.batch <= 8 ? sizes.batch : std::min(max_chunk, (sizes.batch + 1) / 2);
    reads.clear(), writes.clear();
    for (Ref q : {product.c, r, bias, peepholes, refs.lengths, refs.h0, refs.c0}) {
      if (q.present()) reads.push_back(q);
    }
    for (Ref q : {step.states, refs.y, refs.y_h, refs.y_c}) {
      if (q.present()) writes.push_back(q);
    }
    const double flops = static_cast<double>(form_.directions * sizes.steps * sizes.batch) *
                         static_cast<double>(2 * form_.gates() * sizes.hidden * sizes.hidden);
    builder.step("recurrence", step, {.est_ns = flops / 20}, reads, writes);
  }

  RecurrentForm form_;
  RecurrentPacking packing_;
  Isa isa_ = Isa::plain;
  Precision precision_ = Precision::high;
  bool fast_ = false;
  Ref w_, r_, bias_;  // constants packed in compile
  std::int64_t packed_hidden_ = -1, packed_input_ = -1;
};

Support supports(const NodeView& node) {
  RecurrentForm form;
  const std::string reason = parse_recurrent_form(node, &form);
  if (!reason.empty()) return Support::no(TENON_REJECT_ATTRIBUTE, reason);
  for (std::uint32_t i : {1u, 2u, 3u, 5u, 6u, 7u}) {
    if (node.has_input(i) && node.dtype(i) != node.dtype(0)) return refuse_dtype(node.dtype(i));
  }
  return supports_float(node);
}

std::unique_ptr<Op> make(const NodeView& node, CompileContext& context) { return std::make_unique<RecurrentOp>(node, context); }

}  // namespace

std::span<const OpRow> recurrent_rows() {
  static const OpRow rows[] = {
      {"", "LSTM", supports, make},
      {"", "GRU", supports, make},
      {"", "RNN", supports, make},
  };
  return rows;
}

}  // namespace tenon::cpu
