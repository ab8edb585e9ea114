// com.microsoft MoE and QMoE: each row goes to the experts that its router scores favour; their answers are mixed.
//
// Rows are gathered by expert, so that an expert is one product for all of its rows. The steps are the same for any routing;
// which rows an expert has is known in the run only.
#include <cmath>
#include <cstring>

#include "plugins/cpu/families.h"
#include "plugins/cpu/ops/moe_weights.h"
#include "plugins/cpu/ops/reduce_types.h"
#include "plugins/cpu/simd_math.h"

namespace tenon::cpu {
namespace {

enum class Activation : std::uint8_t { relu, gelu /* with tanh */, silu, identity, swiglu };

// Scores to the experts of each token and their shares.
struct RouteStep {
  Ref scores, mixing, experts, shares;  // mixing: shares before they are normed; absent: from the scores. experts: int32
  std::int64_t tokens, count, chosen;
  bool over_all;    // a softmax over all scores, not over those that are chosen
  bool normalised;  // the shares add up to one

  void operator()(const StepContext& c) const {
    const auto slice = c.slice(tokens, 16);
    for (std::int64_t t = slice.begin; t < slice.end; ++t) {
      const float* x = c.ptr<const float>(scores) + t * count;
      auto* expert = c.ptr<std::int32_t>(experts) + t * chosen;
      auto* share = c.ptr<float>(shares) + t * chosen;
      for (std::int64_t j = 0; j < chosen; ++j) expert[j] = best(x, expert, j);
      float sum = 0;
      if (mixing.present()) {
        for (std::int64_t j = 0; j < chosen; ++j) sum += share[j] = c.ptr<const float>(mixing)[t * count + expert[j]];
        if (!normalised) continue;
      } else {
        const float top = x[expert[0]];
        float all = 0;
        for (std::int64_t j = 0; j < chosen; ++j) sum += share[j] = std::exp(x[expert[j]] - top);
        for (std::int64_t e = 0; over_all && !normalised && e < count; ++e) all += std::exp(x[e] - top);
        if (over_all && !normalised) sum = all;
      }
      for (std::int64_t j = 0; j < chosen; ++j) share[j] = sum == 0 ? 0 : share[j] / sum;
    }
  }

  // The best expert that is not among the first `taken`; NaN is worse than all.
  std::int32_t best(const float* x, const std::int32_t* expert, std::int64_t taken) const {
    std::int32_t found = -1;
    for (std::int32_t e = 0; e < count; ++e) {
      if (std::find(expert, expert + taken, e) != expert + taken) continue;
      if (found < 0 || x[e] > x[found] || (x[found] != x[found] && x[e] == x[e])) found = e;
    }
    return found;
  }
};

// Rows of the same expert stand together: where each begins, and where the row of each choice is.
struct GroupStep {
  Ref experts, starts, places;  // starts: int64 [experts + 1]; places: int64 [tokens * chosen]
  std::int64_t choices, count;

  void operator()(const StepContext& c) const {
    const auto* expert = c.ptr<const std::int32_t>(experts);
    auto *start = c.ptr<std::int64_t>(starts), *place = c.ptr<std::int64_t>(places);
    std::fill(start, start + count + 1, 0);
    for (std::int64_t i = 0; i < choices; ++i) ++start[expert[i] + 1];
    for (std::int64_t e = 0; e < count; ++e) start[e + 1] += start[e];
    for (std::int64_t i = 0; i < choices; ++i) place[i] = start[expert[i]]++;
    for (std::int64_t e = count; e > 0; --e) start[e] = start[e - 1];
    start[0] = 0;
  }
};

struct GatherStep {
  Ref x, places, to;
  std::int64_t choices, chosen, width;

  void operator()(const StepContext& c) const {
    const auto slice = c.slice(choices);
    for (std::int64_t i = slice.begin; i < slice.end; ++i)
      std::memcpy(c.ptr<float>(to) + c.ptr<const std::int64_t>(places)[i] * width, c.ptr<const float>(x) + i / chosen * width,
                  static_cast<std::size_t>(width) * sizeof(float));
  }
};

struct ProjectStep {
  ExpertWeights weights;
  Ref x, y, bias, starts, scratch;
  std::uint64_t scratch_bytes;

  void operator()(const StepContext& c) const {
    void* room = worker_scratch<char>(c, scratch, scratch_bytes);
    const auto* start = c.ptr<const std::int64_t>(starts);
    for (std::int64_t e = 0; e < weights.experts(); ++e)
      for (std::int64_t row = start[e]; row < start[e + 1]; row += ExpertWeights::most_rows)
        weights.run(c, e, std::min(ExpertWeights::most_rows, start[e + 1] - row), c.ptr<const float>(x) + row * weights.inputs(),
                    c.ptr<float>(y) + row * weights.outputs(), bias.present() ? c.ptr<const float>(bias) + e * weights.outputs() : nullptr,
                    room);
  }
};

// What stands between the projections. Gate and linear part: side by side, one after the other, or in two tensors.
struct ActivateStep {
  static constexpr std::int64_t piece = 256;
  Ref x, linear, to;
  std::int64_t rows, width;
  Activation kind;
  std::int64_t fusion;  // of swiglu: 0 apart, 1 interleaved, 2 in halves
  float alpha, beta, limit;
  const MathKernels* math;

  void operator()(const StepContext& c) const {
    const std::int64_t pieces = (width + piece - 1) / piece;
    const auto slice = c.slice(rows * pieces);
    for (std::int64_t i = slice.begin; i < slice.end; ++i) {
      const std::int64_t row = i / pieces, first = i % pieces * piece;
      run(c, row, first, std::min(piece, width - first));
    }
  }

 private:
  void run(const StepContext& c, std::int64_t row, std::int64_t first, std::int64_t n) const {
    const bool joined = kind == Activation::swiglu && fusion != 0;
    const float* from = c.ptr<const float>(x) + row * width * (joined ? 2 : 1) + (fusion == 1 && joined ? 2 : 1) * first;
    const float* other = linear.present() ? c.ptr<const float>(linear) + row * width + first : nullptr;
    float* y = c.ptr<float>(to) + row * width + first;
    if (kind != Activation::swiglu) {
      switch (kind) {
        case Activation::relu: math->run(Unary::relu, from, y, n); break;
        case Activation::gelu: math->run(Unary::gelu_tanh, from, y, n); break;
        case Activation::silu: math->run(Unary::swish, from, y, n, 1); break;
        default: std::copy(from, from + n, y);
      }
      for (std::int64_t j = 0; other && j < n; ++j) y[j] *= other[j];
      return;
    }
    float gate[piece] = {}, up[piece];
    for (std::int64_t j = 0; j < n; ++j) {
      const float g = fusion == 1 ? from[2 * j] : from[j], l = fusion == 0 ? other[j] : fusion == 1 ? from[2 * j + 1] : from[width + j];
      gate[j] = g > limit ? limit : g;
      up[j] = (l > limit ? limit : l < -limit ? -limit : l) + beta;
    }
    math->run(Unary::swish, gate, gate, n, alpha);
    for (std::int64_t j = 0; j < n; ++j) y[j] = gate[j] * up[j];
  }
};

struct MixStep {
  Ref x, places, shares, to;
  std::int64_t tokens, chosen, width;

  void operator()(const StepContext& c) const {
    const auto slice = c.slice(tokens);
    for (std::int64_t t = slice.begin; t < slice.end; ++t) {
      float* y = c.ptr<float>(to) + t * width;
      std::fill(y, y + width, 0.0f);
      for (std::int64_t j = 0; j < chosen; ++j) {
        const float share = c.ptr<const float>(shares)[t * chosen + j];
        const float* row = c.ptr<const float>(x) + c.ptr<const std::int64_t>(places)[t * chosen + j] * width;
        for (std::int64_t i = 0; share != 0 && i < width; ++i) y[i] += share * row[i];
      }
    }
  }
};

// Where MoE and QMoE have their inputs.
struct Places {
  std::uint32_t weights[3], bias[3], scales[3], zeros[3], mixing;
};
constexpr std::uint32_t nowhere = 1000;
constexpr Places moe_places{{2, 4, 6}, {3, 5, 7}, {nowhere, nowhere, nowhere}, {nowhere, nowhere, nowhere}, nowhere};
constexpr Places qmoe_places{{2, 5, 8}, {4, 7, 10}, {3, 6, 9}, {11, 12, 13}, 14};
constexpr const char* width_names[] = {"fc1_expert_weight_bits", "fc2_expert_weight_bits", "fc3_expert_weight_bits"};

const Places& places_of(const NodeView& node) { return node.op_type() == "QMoE" ? qmoe_places : moe_places; }
std::int64_t bits_of(const NodeView& node, int projection) {
  if (node.op_type() != "QMoE") return 0;
  return node.int_or(width_names[projection], node.int_or("expert_weight_bits", 4));
}
std::optional<Activation> activation_of(const NodeView& node) {
  const std::string_view name = node.string_or("activation_type", "relu");
  if (name == "relu") return Activation::relu;
  if (name == "gelu") return Activation::gelu;
  if (name == "silu") return Activation::silu;
  if (name == "identity") return Activation::identity;
  if (name == "swiglu") return Activation::swiglu;
  return std::nullopt;
}

class MixtureOp final : public Op {
 public:
  MixtureOp(const NodeView& node, CompileContext& context)
      : at_(places_of(node)), activation_(*activation_of(node)), chosen_(node.int_or("k", 1)), fusion_(node.int_or("swiglu_fusion", 0)),
        over_all_(node.op_type() == "MoE"), normalised_(node.int_or("normalize_routing_weights", 0) != 0),
        alpha_(node.float_or("activation_alpha", 1)), beta_(node.float_or("activation_beta", 0)),
        limit_(node.float_or("swiglu_limit", HUGE_VALF)),
        math_(&math_kernels(context.options().plain ? Isa::plain : context.options().isa)) {
    for (int p = 0; p < 3; ++p)
      if (node.has_input(at_.weights[p]))
        weights_[p] =
            ExpertWeights(node, context, at_.weights[p],
                          {static_cast<std::int32_t>(bits_of(node, p)), node.int_or("block_size", 0), at_.scales[p], at_.zeros[p]});
  }

  void plan(PlanBuilder& b) const override {
    const Shape &x = b.in(0), &scores = b.in(1);
    if (x.rank() < 2 || scores.rank() != 2) invalid_argument("input must have rank 2 or 3, router_probs rank 2");
    const std::int64_t width = x[-1], tokens = x.outer(x.rank() - 1), count = scores[1], rows = tokens * chosen_;
    const ExpertWeights first = weights_[0].resolved(b), second = weights_[1].resolved(b);
    const ExpertWeights third = weights_[2].present() ? weights_[2].resolved(b) : ExpertWeights();
    const std::int64_t between = second.inputs(), paired = activation_ == Activation::swiglu && fusion_ != 0 ? 2 : 1;
    if (scores[0] != tokens) invalid_argument("router_probs must have a row for each token");
    if (chosen_ > count) invalid_argument("k is " + std::to_string(chosen_) + " for " + std::to_string(count) + " experts");
    if (first.experts() != count || second.experts() != count || first.inputs() != width || second.outputs() != width ||
        first.outputs() != paired * between)
      invalid_argument("the shapes of the experts' weights do not fit to input, router_probs and each other");
    if (third.present() && (third.experts() != count || third.inputs() != width || third.outputs() != between))
      invalid_argument("the shape of fc3_experts_weights does not fit");
    const std::int64_t widths[] = {first.outputs(), width, between};
    for (int p = 0; p < 3; ++p)
      if (bias(b, p).present() && b.in(at_.bias[p]).count() != count * widths[p])
        invalid_argument("the bias of fc" + std::to_string(p + 1) + " does not fit");
    const Ref mixing = at_.mixing != nowhere ? b.in_ref(at_.mixing) : Ref{};
    if (mixing.present() && b.in(at_.mixing).count() != tokens * count)
      invalid_argument("router_weights must have the shape of router_probs");
    if (x.count() == 0) return;

    const auto floats = [&](std::int64_t n) { return b.temp(static_cast<std::uint64_t>(std::max<std::int64_t>(n, 1)) * sizeof(float)); };
    const auto longs = [&](std::int64_t n) { return b.temp(static_cast<std::uint64_t>(n) * sizeof(std::int64_t)); };
    const RouteStep route{b.in_ref(1), mixing, floats(rows), floats(rows), tokens, count, chosen_, over_all_, normalised_};
    emit(b, "route", route, static_cast<double>(tokens * count * (chosen_ + 4)), {route.scores, mixing}, {route.experts, route.shares});
    const GroupStep group{route.experts, longs(count + 1), longs(rows), rows, count};
    const Ref chosen[] = {group.experts}, grouped[] = {group.starts, group.places};
    b.step("group by expert", group, {.spmd = false, .est_ns = static_cast<double>(rows * 3 + count)}, chosen, grouped);
    const GatherStep gather{b.in_ref(0), group.places, floats(rows * width), rows, chosen_, width};
    emit(b, "gather rows", gather, static_cast<double>(rows * width) / 4, {gather.x, gather.places}, {gather.to});

    const Ref hidden = project(b, first, gather.to, group.starts, 0, rows);
    const Ref linear = third.present() ? project(b, third, gather.to, group.starts, 2, rows) : Ref{};
    const ActivateStep act{hidden, linear, floats(rows * between), rows, between, activation_, fusion_, alpha_, beta_, limit_, math_};
    emit(b, "activate", act, static_cast<double>(rows * between), {hidden, linear}, {act.to});
    const Ref answers = project(b, second, act.to, group.starts, 1, rows);
    const MixStep mix{answers, group.places, route.shares, b.out_ref(0), tokens, chosen_, width};
    emit(b, "mix", mix, static_cast<double>(rows * width) / 2, {mix.x, mix.places, mix.shares}, {mix.to});
  }

 private:
  Ref bias(const PlanBuilder& b, int projection) const { return b.in_ref(at_.bias[projection]); }

  template <class Step>
  static void emit(PlanBuilder& b, const char* name, const Step& step, double ns, std::initializer_list<Ref> from,
                   std::initializer_list<Ref> to) {
    std::vector<Ref> reads, writes(to);
    for (const Ref r : from)
      if (r.present()) reads.push_back(r);
    b.step(name, step, {.est_ns = ns}, reads, writes);
  }

  Ref project(PlanBuilder& b, const ExpertWeights& w, Ref x, Ref starts, int projection, std::int64_t rows) const {
    const Ref y = b.temp(static_cast<std::uint64_t>(std::max<std::int64_t>(rows * w.outputs(), 1)) * sizeof(float));
    ProjectStep step{w, x, y, bias(b, projection), starts, {}, w.scratch_bytes()};
    step.scratch = b.scratch(step.scratch_bytes);
    // Few rows: the weights of their experts must be read. Many: multiplied.
    const double size = static_cast<double>(w.outputs()) * static_cast<double>(w.inputs());
    emit(b, "product.experts", step,
         60 + size * static_cast<double>(std::min(rows, w.experts())) / 16 + size * static_cast<double>(rows) / 40,
         {x, starts, step.bias, w.ref()}, {y});
    return y;
  }

  Places at_;
  Activation activation_;
  std::int64_t chosen_, fusion_;
  bool over_all_, normalised_;
  float alpha_, beta_, limit_;
  const MathKernels* math_;
  ExpertWeights weights_[3];
};

Support supports_quantized(const NodeView& node) {
  if (node.string_or("quant_type", "int") != "int") return Support::no(TENON_REJECT_ATTRIBUTE, "quant_type must be \"int\"");
  const std::int64_t block = node.int_or("block_size", 0);
  if (block != 0 && (block < 16 || block > 65536 || (block & (block - 1)) != 0))
    return Support::no(TENON_REJECT_ATTRIBUTE, "block_size is no power of two from 16");
  for (int p = 0; p < 3; ++p) {
    if (!node.has_input(qmoe_places.weights[p])) continue;
    const std::int64_t bits = bits_of(node, p);
    if (bits != 2 && bits != 3 && bits != 4 && bits != 8) return Support::no(TENON_REJECT_ATTRIBUTE, "weights must have 2, 3, 4 or 8 bits");
    if (bits == 3 && block < 32) return Support::no(TENON_REJECT_ATTRIBUTE, "weights of 3 bits need a block_size from 32");
    if (node.dtype(qmoe_places.weights[p]) != TENON_DTYPE_UINT8) return refuse_dtype(node.dtype(qmoe_places.weights[p]));
    if (node.dtype(qmoe_places.scales[p]) != TENON_DTYPE_FLOAT) return Support::no(TENON_REJECT_DTYPE, "scales of float are expected");
    if (node.has_input(qmoe_places.zeros[p]) && node.dtype(qmoe_places.zeros[p]) != TENON_DTYPE_UINT8)
      return refuse_dtype(node.dtype(qmoe_places.zeros[p]));
    for (const std::uint32_t i : {qmoe_places.weights[p], qmoe_places.scales[p], qmoe_places.zeros[p]})
      if (node.has_input(i) && !node.is_constant(i)) return Support::no(TENON_REJECT_NEEDS_CONSTANT, "quantised weights must be constant");
    if (block > 0 && node.input(qmoe_places.weights[p]).rank == 3 && node.input(qmoe_places.weights[p]).dims[2] * 8 / bits % block != 0)
      return Support::no(TENON_REJECT_OTHER, "hidden and inter size must be multiples of block_size");
  }
  for (std::uint32_t i = 15; i < node.input_count(); ++i)
    if (node.has_input(i)) return Support::no(TENON_REJECT_OTHER, "global and activation scales are not supported");
  return Support::yes();
}

Support supports(const NodeView& node) {
  const Places& at = places_of(node);
  const bool quantized = node.op_type() == "QMoE";
  for (const std::uint32_t i : {0u, 1u, at.weights[0], at.weights[1]})
    if (!node.has_input(i)) return Support::no(TENON_REJECT_OTHER, "input " + std::to_string(i) + " is required");
  for (const std::uint32_t i : {0u, 1u, at.bias[0], at.bias[1], at.bias[2], at.mixing})
    if (i != nowhere && node.has_input(i) && node.dtype(i) != TENON_DTYPE_FLOAT) return refuse_dtype(node.dtype(i));
  for (const std::uint32_t i : at.weights)
    if (!quantized && node.has_input(i) && node.dtype(i) != TENON_DTYPE_FLOAT) return refuse_dtype(node.dtype(i));
  const std::optional<Activation> activation = activation_of(node);
  const std::int64_t fusion = node.int_or("swiglu_fusion", 0);
  if (!activation)
    return Support::no(TENON_REJECT_ATTRIBUTE,
                       "activation_type \"" + std::string(node.string_or("activation_type", "")) + "\" is not known");
  if (node.int_or("k", 1) < 1) return Support::no(TENON_REJECT_ATTRIBUTE, "k must be positive");
  if (node.int_or("use_sparse_mixer", 0) != 0) return Support::no(TENON_REJECT_ATTRIBUTE, "use_sparse_mixer is not supported");
  if (node.int_or("swiglu_limit_after_activation", 0) != 0)
    return Support::no(TENON_REJECT_ATTRIBUTE, "swiglu_limit_after_activation is not supported");
  if (*activation == Activation::swiglu && (fusion < 0 || fusion > 2 || (fusion == 0) != node.has_input(at.weights[2])))
    return Support::no(TENON_REJECT_OTHER, "swiglu needs swiglu_fusion 1 or 2, or fc3_experts_weights without it");
  return quantized ? supports_quantized(node) : Support::yes();
}

double flops(const NodeView& node) {
  double per_row = 0;
  for (const std::uint32_t i : places_of(node).weights)
    if (node.rank(i) == 3)
      per_row += static_cast<double>(node.input(i).dims[1]) *
                 static_cast<double>(std::max<std::int64_t>(node.input(0).dim_opt[node.rank(0) - 1], 0));
  double rows = static_cast<double>(node.int_or("k", 1));
  for (std::int32_t d = 0; d + 1 < node.rank(0); ++d) rows *= static_cast<double>(std::max<std::int64_t>(node.input(0).dim_opt[d], 0));
  return 2 * rows * std::max(per_row, 0.0);
}

constexpr auto make = [](const NodeView& node, CompileContext& context) -> std::unique_ptr<Op> {
  return std::make_unique<MixtureOp>(node, context);
};
constexpr OpRow rows[] = {
    {"com.microsoft", "MoE", supports, make, false, flops},
    {"com.microsoft", "QMoE", supports, make, false, flops},
};

}  // namespace

std::span<const OpRow> mixture_rows() { return rows; }

}  // namespace tenon::cpu
