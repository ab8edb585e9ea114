// com.microsoft CausalConvWithState and its form for packed samples: each channel is convolved with its own kernel, looking back
// only; what a call cannot see of the past is handed from call to call.
#include <algorithm>
#include <cmath>

#include "plugins/cpu/ops/attention.h"
#include "plugins/cpu/ops/reduce_types.h"
#include "plugins/cpu/simd_math.h"

namespace tenon::cpu {
namespace {

struct CausalConvStep {
  static constexpr std::int64_t few_tokens = 8;  // below, a vector function costs more than it saves
  Ref x, weight, bias, past, y, present, offsets;  // offsets: int32 [batch + 1] where samples are packed
  std::int64_t batch, channels, length, taps, dilation;
  std::int64_t channel_stride, token_stride, sample_stride;  // of x and y
  std::int64_t state_channel, state_token;                   // of a sample's state
  std::int64_t window;                                       // states after each of the last tokens; 0: the last alone
  bool silu;
  const MathKernels* math;
  Ref scratch;
  std::uint64_t scratch_bytes;

  std::int64_t reach() const { return (taps - 1) * dilation; }

  void operator()(const StepContext& c) const {
    const auto slice = c.slice(batch * channels, 16);
    for (std::int64_t item = slice.begin; item < slice.end; ++item) {
      const std::int64_t b = item / channels, channel = item % channels;
      std::int64_t first = 0, last = length;
      if (offsets.present()) {
        const auto* at = c.ptr<const std::int32_t>(offsets) + b;
        first = at[0], last = at[1];
        if (first < 0 || last < first || last > length)
          return c.fail(TENON_OUT_OF_RANGE, "cumulative_sequence_length goes from " + std::to_string(first) + " to " +
                                                std::to_string(last) + ", with " + std::to_string(length) + " tokens");
      }
      const std::int64_t at = b * sample_stride + channel * channel_stride + first * token_stride;
      channel_of(c, b, channel, c.ptr<const float>(x) + at, y.present() ? c.ptr<float>(y) + at : nullptr, last - first);
    }
  }

 private:
  void channel_of(const StepContext& c, std::int64_t b, std::int64_t channel, const float* from, float* to, std::int64_t tokens) const {
    const std::int64_t states = batch * channels * reach(), slots = std::max<std::int64_t>(window, 1);
    const std::int64_t state = b * channels * reach() + channel * state_channel;
    const float* before = past.present() ? c.ptr<const float>(past) + (slots - 1) * states + state : nullptr;
    // What the past holds, then the tokens.
    float *row = worker_scratch<float>(c, scratch, scratch_bytes), *sums = row + reach() + tokens;
    for (std::int64_t s = 0; s < reach(); ++s) row[s] = before ? before[s * state_token] : 0;
    for (std::int64_t t = 0; t < tokens; ++t) row[reach() + t] = from[t * token_stride];
    const float* kernel = c.ptr<const float>(weight) + channel * taps;
    const float start = bias.present() ? c.ptr<const float>(bias)[channel] : 0;
    if (to && tokens < few_tokens) {
      for (std::int64_t t = 0; t < tokens; ++t) {
        float sum = start;
        for (std::int64_t j = 0; j < taps; ++j) sum += kernel[j] * row[j * dilation + t];
        to[t * token_stride] = silu ? sum / (1 + std::exp(-sum)) : sum;
      }
    } else if (to) {
      std::fill(sums, sums + tokens, start);
      for (std::int64_t j = 0; j < taps; ++j)
        for (std::int64_t t = 0; t < tokens; ++t) sums[t] += kernel[j] * row[j * dilation + t];
      if (silu) math->run(Unary::swish, sums, sums, tokens, 1);
      for (std::int64_t t = 0; t < tokens; ++t) to[t * token_stride] = sums[t];
    }
    if (!present.present()) return;
    for (std::int64_t slot = 0; slot < slots; ++slot) {
      float* out = c.ptr<float>(present) + slot * states + state;
      const std::int64_t seen = tokens - (slots - 1 - slot);  // tokens before this state
      const bool none = slot < slots - 1 && seen < 1;
      for (std::int64_t s = 0; s < reach(); ++s) out[s * state_token] = none ? 0 : row[seen + s];
    }
  }
};

class CausalConvOp final : public Op {
 public:
  CausalConvOp(const NodeView& node, CompileContext& context)
      : math_(&math_kernels(context.options().plain ? Isa::plain : context.options().isa)),
        packed_(node.op_type() == "VarlenCausalConvWithState"),
        last_(node.int_or("channels_last", 0) != 0),
        silu_(node.string_or("activation", "none") != "none"),
        dilation_(node.int_or("dilation", 1)),
        window_(node.int_or("state_window", 0)) {}

  void plan(PlanBuilder& b) const override {
    const Shape &x = b.in(0), &w = b.in(1);
    const std::uint32_t bias = packed_ ? 3 : 2, past = packed_ ? 4 : 3;
    CausalConvStep s{};
    if (w.rank() != 3 || w[1] != 1 || w[2] < 1) invalid_argument("weight must have shape [channels, 1, taps]");
    s.channels = w[0], s.taps = w[2], s.dilation = dilation_, s.window = window_, s.silu = silu_;
    if (packed_) {
      if (x.rank() != 2 || b.in(2).rank() != 1 || b.in(2)[0] < 1)
        invalid_argument("input must have shape [tokens, channels], cumulative_sequence_length one more than samples");
      s.batch = b.in(2)[0] - 1, s.length = x[0], s.offsets = b.in_ref(2);
    } else {
      if (last_ ? x.rank() < 3 : x.rank() != 3) invalid_argument("input must have shape [batch, channels, length], or channels last");
      s.batch = x[0], s.length = last_ ? x[1] : x[2];
    }
    const bool last = packed_ || last_;
    if ((last ? x.inner(packed_ ? 0 : 1) : x[1]) != s.channels) invalid_argument("input has another number of channels than weight");
    s.channel_stride = last ? 1 : s.length, s.token_stride = last ? s.channels : 1, s.sample_stride = packed_ ? 0 : s.channels * s.length;
    s.state_channel = last_ ? 1 : s.reach(), s.state_token = last_ ? s.channels : 1;
    const std::int64_t states = s.batch * s.channels * s.reach() * std::max<std::int64_t>(window_, 1);
    s.x = b.in_ref(0), s.weight = b.in_ref(1), s.bias = b.in_ref(bias), s.past = b.in_ref(past), s.y = b.out_ref(0),
    s.present = b.out_ref(1);
    if (s.bias.present() && b.in(bias).count() != s.channels) invalid_argument("bias must have a number for each channel");
    if ((s.past.present() && b.in(past).count() != states) || (s.present.present() && b.out(1).count() != states))
      invalid_argument("the state must have room for (taps - 1) * dilation tokens");
    if (s.batch * s.channels == 0) return;
    s.math = math_;
    s.scratch_bytes = static_cast<std::uint64_t>(s.reach() + 2 * s.length) * sizeof(float);
    s.scratch = b.scratch(s.scratch_bytes);
    b.step("causal convolution", s, {.est_ns = static_cast<double>(x.count() * (s.taps + 4)) / 4 + static_cast<double>(states)});
  }

 private:
  const MathKernels* math_;
  bool packed_, last_, silu_;
  std::int64_t dilation_, window_;
};

Support supports(const NodeView& node) {
  const bool packed = node.op_type() == "VarlenCausalConvWithState";
  for (std::uint32_t i = 0; i < node.input_count(); ++i)
    if (node.has_input(i) && node.dtype(i) != (packed && i == 2 ? TENON_DTYPE_INT32 : TENON_DTYPE_FLOAT))
      return refuse_dtype(node.dtype(i));
  for (const std::uint32_t i : {0u, 1u})
    if (!node.has_input(i)) return Support::no(TENON_REJECT_OTHER, "input and weight are required");
  if (packed && (!node.has_input(2) || !node.has_input(4)))
    return Support::no(TENON_REJECT_OTHER, "cumulative_sequence_length and initial_state are required");
  if (node.input_count() > (packed ? 5u : 4u) || node.has_output(2) || node.int_or("state_update_capacity", 0) != 0)
    return Support::no(TENON_REJECT_OTHER, "state updates and dynamic kernels are not supported");
  if (node.int_or("ndim", 1) != 1) return Support::no(TENON_REJECT_ATTRIBUTE, "ndim must be 1");
  for (const char* name : {"input_channel_offset", "input_channels", "state_length"})
    if (node.int_or(name, 0) != 0) return Support::no(TENON_REJECT_ATTRIBUTE, std::string(name) + " is not supported");
  if (node.int_or("state_channels_last", -1) != -1) return Support::no(TENON_REJECT_ATTRIBUTE, "state_channels_last is not supported");
  const std::string_view activation = node.string_or("activation", "none");
  if (activation != "none" && activation != "silu" && activation != "swish")
    return Support::no(TENON_REJECT_ATTRIBUTE, "activation \"" + std::string(activation) + "\" is not known");
  const std::int64_t window = node.int_or("state_window", 0), dilation = node.int_or("dilation", 1);
  if (window < 0 || window > 8 || dilation < 1 || dilation > 1 << 20)
    return Support::no(TENON_REJECT_ATTRIBUTE, "state_window must be from 0 to 8, dilation positive");
  return Support::yes();
}

constexpr auto make = [](const NodeView& node, CompileContext& context) -> std::unique_ptr<Op> {
  return std::make_unique<CausalConvOp>(node, context);
};
constexpr OpRow table[] = {
    {"", "CausalConvWithState", supports, make},
    {"com.microsoft", "CausalConvWithState", supports, make},
    {"com.microsoft", "VarlenCausalConvWithState", supports, make},
};

}  // namespace

std::span<const OpRow> causal_conv_rows() { return table; }

}  // namespace tenon::cpu
