// DynamicQuantizeLSTM: an LSTM with constant weights of int8 or uint8. Core spells it out where they are not constant.
#include "plugins/cpu/ops/recurrent_bytes.h"

#include <algorithm>
#include <vector>

#include "plugins/cpu/families.h"
#include "plugins/cpu/ops/quantize.h"
#include "plugins/cpu/ops/reduce_types.h"

namespace tenon::cpu {

BytePanel BytePanels::panel(std::int64_t direction, std::int64_t p, const float* add) const {
  const std::int64_t at = packing.column(direction, p);
  const auto* sums = reinterpret_cast<const std::int32_t*>(weights + packing.directions * packing.panels() * panel_bytes());
  return {weights + (direction * packing.panels() + p) * panel_bytes(), sums + at, zeros + at, scales + at, add ? add + at : nullptr};
}

void BytePanels::pack(const void* w, bool flip, std::int8_t* to) const {
  const auto* from = static_cast<const std::uint8_t*>(w);
  const std::uint8_t turn = flip ? 0x80 : 0;
  const std::int64_t width = byte_gates * packing.hidden, all = packing.directions * packing.panels() * panel_bytes();
  auto* sums = reinterpret_cast<std::int32_t*>(to + all);
  std::fill(to, to + all, std::int8_t{0});
  std::fill(sums, sums + packing.columns(), 0);
  const std::int64_t lanes = packing.lanes;
  for (std::int64_t d = 0; d < packing.directions; ++d) {
    for (std::int64_t p = 0; p < packing.panels(); ++p, to += panel_bytes()) {
      const std::int64_t units = std::min(lanes, packing.hidden - p * lanes);
      for (std::int64_t k = 0; k < depth; ++k) {
        for (std::int64_t g = 0; g < byte_gates; ++g) {
          const std::uint8_t* row = from + (d * depth + k) * width + g * packing.hidden + p * lanes;
          std::int8_t* out = to + (k / group * byte_gates + g) * lanes * group + k % group;
          std::int32_t* sum = sums + packing.column(d, p) + g * lanes;
          for (std::int64_t u = 0; u < units; ++u) {
            const auto v = static_cast<std::int8_t>(row[u] ^ turn);
            out[u * group] = v;
            sum[u] += v;
          }
        }
      }
    }
  }
}

namespace {

constexpr std::uint32_t w_input = 1, r_input = 2, bias_input = 3, lengths_input = 4, h_input = 5, c_input = 6, peepholes_input = 7;
constexpr std::uint32_t w_scale_input = 8, r_scale_input = 10;  // a zero point behind each

// Packs what only the run knows; one worker.
struct PackStep {
  RecurrentPacking packing;
  Ref bias, peepholes, packed_bias, packed_peepholes;

  void operator()(const StepContext& c) const {
    if (packed_bias.present()) packing.pack_bias(c.ptr<const float>(bias), c.ptr<float>(packed_bias));
    if (packed_peepholes.present()) packing.pack_peepholes(c.ptr<const float>(peepholes), c.ptr<float>(packed_peepholes));
  }
};

class ByteLstmOp final : public Op {
 public:
  ByteLstmOp(const NodeView& node, CompileContext& context) {
    const std::string reason = parse_recurrent_form(node, &form_);
    if (!reason.empty()) throw Failure{TENON_UNIMPLEMENTED, reason};
    const tenon_value &w = node.input(w_input), &r = node.input(r_input);
    const std::int64_t hidden = r.dims[1], width = byte_gates * hidden;
    if (w.dims[0] != form_.directions || r.dims[0] != form_.directions || w.dims[2] != width || r.dims[2] != width)
      throw Failure{TENON_INVALID_ARGUMENT, "W must be [directions, input_size, 4 * hidden_size] and R [directions, hidden_size, 4 * hidden_size]"};
    plain_ = context.options().plain || std::max(w.dims[1], hidden) > most_byte_depth;
    for (auto [panels, depth] : {std::pair(&input_, w.dims[1]), std::pair(&recurrent_, hidden)}) {
      RecurrentPacking& p = panels->packing;
      p.kind = RecurrentKind::lstm, p.directions = form_.directions, p.gates = byte_gates, p.hidden = hidden, p.lanes = panel_lanes();
      panels->depth = depth, panels->group = byte_group(context.options().isa);
    }
    if (plain_) {
      plain_w_ = widened(node, context, w_input, w_scale_input);
      plain_r_ = widened(node, context, r_input, r_scale_input);
      return;
    }
    pack(node, context, w_input, w_scale_input, input_);
    pack(node, context, r_input, r_scale_input, recurrent_);
    if (node.is_constant(bias_input)) {
      const tenon_const_tensor b = context.constant(node, bias_input);
      if (b.bytes != static_cast<std::uint64_t>(form_.directions * 2 * width) * sizeof(float)) return;  // plan says so
      auto* bias = static_cast<float*>(context.alloc(static_cast<std::uint64_t>(input_.packing.bias_floats()) * sizeof(float)));
      input_.packing.pack_bias(static_cast<const float*>(b.data), bias);
      bias_.constant = bias;
    }
  }

  void plan(PlanBuilder& builder) const override {
    const Shape& x = builder.in(0);
    if (x.rank() != 3) throw Failure{TENON_INVALID_ARGUMENT, "X must have rank 3, found " + std::to_string(x.rank())};
    const RecurrentSizes s{x[form_.batch_first ? 1 : 0], x[form_.batch_first ? 0 : 1], x[2], recurrent_.depth};
    check(builder, s);
    RecurrentRefs refs;
    refs.x = builder.in_ref(0), refs.lengths = builder.in_ref(lengths_input);
    refs.h0 = builder.in_ref(h_input), refs.c0 = builder.in_ref(c_input);
    refs.y = builder.out_ref(0), refs.y_h = builder.out_ref(1), refs.y_c = builder.out_ref(2);
    if (s.batch == 0 || s.hidden == 0) return;
    if (plain_) {
      refs.w.constant = plain_w_, refs.r.constant = plain_r_;
      refs.bias = builder.in_ref(bias_input), refs.peepholes = builder.in_ref(peepholes_input);
      return plan_recurrent_plain(builder, form_, s, refs, TENON_DTYPE_FLOAT);
    }
    const RecurrentPacking& packing = recurrent_.packing;
    const auto floats = [&](std::int64_t n) { return builder.temp(static_cast<std::uint64_t>(n) * sizeof(float)); };
    PackStep pack{packing, {}, {}, {}, {}};
    std::vector<Ref> reads, writes;
    refs.bias = bias_;
    if (!bias_.present() && builder.in_ref(bias_input).present()) {
      reads.push_back(pack.bias = builder.in_ref(bias_input));
      writes.push_back(refs.bias = pack.packed_bias = floats(packing.bias_floats()));
    }
    if (builder.in_ref(peepholes_input).present()) {
      reads.push_back(pack.peepholes = builder.in_ref(peepholes_input));
      writes.push_back(refs.peepholes = pack.packed_peepholes = floats(packing.peephole_floats()));
    }
    if (!writes.empty()) builder.step("pack bias", pack, {.spmd = false, .est_ns = static_cast<double>(packing.columns())}, reads, writes);
    plan_byte_lstm(builder, {form_, s, refs, input_, recurrent_});
  }

 private:
  // Scales or zero points: one for each direction, or for each column of each. Whether it is the second.
  bool each_column(const tenon_const_tensor& t, std::uint64_t size, const char* name) const {
    const auto directions = static_cast<std::uint64_t>(form_.directions), columns = directions * static_cast<std::uint64_t>(byte_gates * recurrent_.depth);
    const std::uint64_t count = t.bytes / size;
    if (count != directions && count != columns)
      throw Failure{TENON_INVALID_ARGUMENT, std::string(name) + " has " + std::to_string(count) + " elements, " + std::to_string(directions) + " or " +
                                                std::to_string(columns) + " were expected"};
    return count == columns;
  }

  // Scales and zero points of all columns, in the order of panels. Zero points are those of int8.
  void spread(const NodeView& node, CompileContext& context, std::uint32_t scale_input, BytePanels& panels) const {
    const std::uint64_t count = static_cast<std::uint64_t>(std::max<std::int64_t>(panels.packing.columns(), 1));
    auto* scales = static_cast<float*>(context.alloc(count * sizeof(float)));
    auto* zeros = static_cast<std::int32_t*>(context.alloc(count * sizeof(std::int32_t)));
    const tenon_const_tensor scale = context.constant(node, scale_input), zero = context.constant(node, scale_input + 1);
    panels.spread(static_cast<const float*>(scale.data), each_column(scale, sizeof(float), "a scale"), scales);
    std::vector<std::int32_t> signed_zeros;
    const bool is_signed = node.dtype(scale_input + 1) == TENON_DTYPE_INT8;
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(zero.bytes); ++i)
      signed_zeros.push_back(read_quantized(zero.data, node.dtype(scale_input + 1), i) - (is_signed ? 0 : 128));
    panels.spread(signed_zeros.data(), each_column(zero, 1, "a zero point"), zeros);
    panels.scales = scales, panels.zeros = zeros;
  }

  void pack(const NodeView& node, CompileContext& context, std::uint32_t input, std::uint32_t scale_input, BytePanels& panels) const {
    spread(node, context, scale_input, panels);
    const bool flip = node.dtype(input) == TENON_DTYPE_UINT8;
    const std::string id = std::string("recurrent-bytes-") + (flip ? "u" : "s") + std::to_string(panels.group) + "-" + std::to_string(panels.packing.lanes);
    const BytePanels form = panels;
    panels.weights = static_cast<const std::int8_t*>(context.packed(node, input, id, std::max<std::uint64_t>(form.bytes(), 64), [form, flip](const tenon_const_tensor& t, void* to) {
      form.pack(t.data, flip, static_cast<std::int8_t*>(to));
    }));
  }

  // [directions, gates * hidden, depth] of float32, as LSTM has them.
  const float* widened(const NodeView& node, CompileContext& context, std::uint32_t input, std::uint32_t scale_input) const {
    const tenon_const_tensor w = context.constant(node, input), scale = context.constant(node, scale_input), zero = context.constant(node, scale_input + 1);
    const bool scales = each_column(scale, sizeof(float), "a scale"), zeros = each_column(zero, 1, "a zero point");
    const std::int64_t width = byte_gates * recurrent_.depth, depth = node.input(input).dims[1];
    auto* wide = static_cast<float*>(context.alloc(std::max<std::uint64_t>(w.bytes, 1) * sizeof(float)));
    for (std::int64_t d = 0; d < form_.directions; ++d) {
      for (std::int64_t j = 0; j < width; ++j) {
        const std::int64_t each = d * width + j;
        const float factor = static_cast<const float*>(scale.data)[scales ? each : d];
        const std::int32_t z = read_quantized(zero.data, node.dtype(scale_input + 1), zeros ? each : d);
        for (std::int64_t k = 0; k < depth; ++k)
          wide[each * depth + k] = factor * static_cast<float>(read_quantized(w.data, node.dtype(input), (d * depth + k) * width + j) - z);
      }
    }
    return wide;
  }

  void check(PlanBuilder& builder, const RecurrentSizes& s) const {
    const std::int64_t d = form_.directions, state = d * s.batch * s.hidden;
    const auto expect = [&](const Shape& shape, std::int64_t count, const char* name) {
      if (shape.dtype != TENON_DTYPE_UNDEFINED && shape.count() != count)
        throw Failure{TENON_INVALID_ARGUMENT, std::string(name) + " has " + std::to_string(shape.count()) + " elements, " +
                                                  std::to_string(count) + " were expected"};
    };
    if (s.input != input_.depth)
      throw Failure{TENON_INVALID_ARGUMENT, "X has rows of " + std::to_string(s.input) + ", W has " + std::to_string(input_.depth)};
    expect(builder.in(bias_input), d * 2 * byte_gates * s.hidden, "B");
    expect(builder.in(lengths_input), s.batch, "sequence_lens");
    expect(builder.in(h_input), state, "initial_h");
    expect(builder.in(c_input), state, "initial_c");
    expect(builder.in(peepholes_input), d * 3 * s.hidden, "P");
    static constexpr const char* outputs[] = {"Y", "Y_h", "Y_c"};  // inference took their last size from the attribute
    for (std::uint32_t o = 0; o < 3; ++o)
      if (builder.out_ref(o).present()) expect(builder.out(o), o == 0 ? s.steps * state : state, outputs[o]);
  }

  RecurrentForm form_;
  bool plain_ = false;
  BytePanels input_, recurrent_;
  Ref bias_;  // packed in compile
  const float *plain_w_ = nullptr, *plain_r_ = nullptr;
};

Support supports(const NodeView& node) {
  RecurrentForm form;
  const std::string reason = parse_recurrent_form(node, &form);
  if (!reason.empty()) return Support::no(TENON_REJECT_ATTRIBUTE, reason);
  for (std::uint32_t i : {w_input, r_input}) {
    const std::uint32_t scale = i == w_input ? w_scale_input : r_scale_input;
    if (!node.is_constant(i) || !node.is_constant(scale) || !node.is_constant(scale + 1))
      return Support::no(TENON_REJECT_NEEDS_CONSTANT, "weights, scales and zero points must be constant");
    if (!is_integer8(node.dtype(i)) || node.dtype(scale + 1) != node.dtype(i) || node.dtype(scale) != TENON_DTYPE_FLOAT)
      return Support::no(TENON_REJECT_DTYPE, "weights and zero points must be int8 or uint8, scales float32");
    if (node.rank(i) != 3) return Support::no(TENON_REJECT_RANK, "W and R must have rank 3");
  }
  for (std::uint32_t i : {0u, bias_input, h_input, c_input, peepholes_input})
    if (node.has_input(i) && node.input(i).dtype != TENON_DTYPE_FLOAT) return refuse_dtype(node.dtype(i));
  return Support::yes();
}

std::unique_ptr<Op> make(const NodeView& node, CompileContext& context) { return std::make_unique<ByteLstmOp>(node, context); }

}  // namespace

std::span<const OpRow> byte_recurrent_rows() {
  static const OpRow rows[] = {{"com.microsoft", "DynamicQuantizeLSTM", supports, make}};
  return rows;
}

}  // namespace tenon::cpu
