// InstanceNormalization and GroupNormalization: each group of channels by its own mean and variance.
#include <cmath>

#include "plugins/cpu/ops/norm_family.h"
#include "plugins/cpu/ops/reduce_kernels.h"
#include "plugins/cpu/ops/reduce_types.h"

namespace tenon::cpu {
namespace {

constexpr std::int64_t max_block = 16;

// x: [outer, groups, channels of a group, spatial]; blocked: the channels of a group come in whole blocks, or a block holds
// whole groups of one channel.
struct GroupStep {
  Ref x, y, scale, bias;
  std::int64_t outer, groups, group_channels, spatial, block;
  double epsilon;
  std::int32_t dtype;
  bool per_group, plain;  // per_group: scale and bias belong to groups, not channels
  EpiloguePlan epilogue;

  void operator()(const StepContext& c) const {
    if (dtype == TENON_DTYPE_DOUBLE) return run_plain<double>(c);
    if (plain) return run_plain<float>(c);
    if (block && group_channels == 1) return run_lanes(c);
    const float *in = c.ptr<const float>(x), *s = c.ptr<const float>(scale), *b = c.ptr<const float>(bias);
    float* out = c.ptr<float>(y);
    const auto slice = c.slice(outer * groups);
    const std::int64_t n = group_channels * spatial, width = block ? block : 1;
    for (std::int64_t item = slice.begin; item < slice.end; ++item) {
      const std::int64_t group = item % groups, offset = item * n;
      const float* p = in + offset;
      const float mean = mean_of(p, n);
      const float inv = 1.0f / std::sqrt(square_of(p, n, mean) / static_cast<float>(n) + static_cast<float>(epsilon));
      for (std::int64_t ch = 0; ch < group_channels; ch += width) {
        const std::int64_t first = ch * spatial;
        float fa[max_block], fb[max_block];
        for (std::int64_t i = 0; i < width; ++i) {
          const std::int64_t at = per_group ? group : group * group_channels + ch + i;
          fa[i] = s[at] * inv, fb[i] = b[at] - mean * fa[i];
        }
        if (block) affine_rows(p + first, spatial, block, fa, fb, out + offset + first);
        else affine_run(p + first, spatial, fa[0], fb[0], out + offset + first);
        apply_epilogue_rows(epilogue, c, out + offset + first, offset + first, spatial * width);
      }
    }
  }

  // Long runs are summed in pieces, which keeps the rounding error small.
  static float mean_of(const float* p, std::int64_t n) {
    constexpr std::int64_t piece = 8192;
    double sum = 0;
    for (std::int64_t i = 0; i < n; i += piece) sum += static_cast<double>(fold_run(Fold::sum, p + i, std::min(piece, n - i)));
    return static_cast<float>(sum / static_cast<double>(n));
  }
  static float square_of(const float* p, std::int64_t n, float mean) {
    constexpr std::int64_t piece = 8192;
    double sum = 0;
    for (std::int64_t i = 0; i < n; i += piece) {
      sum += static_cast<double>(fold_run(Fold::sum_square, p + i, std::min(piece, n - i), mean));
    }
    return static_cast<float>(sum);
  }

  // Blocked, a group a channel: block groups side by side.
  void run_lanes(const StepContext& c) const {
    const float *in = c.ptr<const float>(x), *s = c.ptr<const float>(scale), *b = c.ptr<const float>(bias);
    float* out = c.ptr<float>(y);
    const std::int64_t blocks = groups / block;
    const auto slice = c.slice(outer * blocks);
    constexpr std::int64_t piece = 1024;
    for (std::int64_t item = slice.begin; item < slice.end; ++item) {
      const std::int64_t offset = item * spatial * block, channel = item % blocks * block;
      const float* p = in + offset;
      float mean[max_block], fa[max_block], fb[max_block];
      const auto total = [&](Fold fold, const float* shift, double (&sums)[max_block]) {
        std::fill(sums, sums + max_block, 0.0);
        for (std::int64_t r = 0; r < spatial; r += piece) {
          float acc[max_block] = {};
          fold_rows(fold, p + r * block, std::min(piece, spatial - r), block, block, shift, acc);
          for (std::int64_t i = 0; i < block; ++i) sums[i] += static_cast<double>(acc[i]);
        }
      };
      double sums[max_block];
      total(Fold::sum, nullptr, sums);
      for (std::int64_t i = 0; i < block; ++i) mean[i] = static_cast<float>(sums[i] / static_cast<double>(spatial));
      total(Fold::sum_square, mean, sums);
      for (std::int64_t i = 0; i < block; ++i) {
        fa[i] = s[channel + i] / std::sqrt(static_cast<float>(sums[i] / static_cast<double>(spatial) + epsilon));
        fb[i] = b[channel + i] - mean[i] * fa[i];
      }
      affine_rows(p, spatial, block, fa, fb, out + offset);
      apply_epilogue_rows(epilogue, c, out + offset, offset, spatial * block);
    }
  }

  template <class T>
  void run_plain(const StepContext& c) const {
    const auto slice = c.slice(outer * groups);
    const std::int64_t n = group_channels * spatial;
    for (std::int64_t item = slice.begin; item < slice.end; ++item) {
      const T* in = c.ptr<const T>(x) + item * n;
      T* out = c.ptr<T>(y) + item * n;
      double mean = 0, square = 0;
      for (std::int64_t i = 0; i < n; ++i) mean += static_cast<double>(in[i]);
      mean /= static_cast<double>(n);
      for (std::int64_t i = 0; i < n; ++i) square += (static_cast<double>(in[i]) - mean) * (static_cast<double>(in[i]) - mean);
      const double inv = 1 / std::sqrt(square / static_cast<double>(n) + epsilon);
      for (std::int64_t i = 0; i < n; ++i) {
        const std::int64_t at = per_group ? item % groups : item % groups * group_channels + i / spatial;
        const double v = (static_cast<double>(in[i]) - mean) * inv;
        out[i] = static_cast<T>(v * static_cast<double>(c.ptr<const T>(scale)[at]) + static_cast<double>(c.ptr<const T>(bias)[at]));
      }
    }
  }
};

class GroupNormOp final : public Op {
 public:
  // groups 0: one for each channel.
  GroupNormOp(const NodeView& node, CompileContext& context, std::int64_t groups)
      : epsilon_(static_cast<double>(node.float_or("epsilon", 1e-5f))), groups_(groups),
        float32_(node.dtype(0) == TENON_DTYPE_FLOAT), plain_(context.options().plain),
        channels_(node.rank(0) > 1 ? node.input(0).dims[1] : -1) {}

  bool absorb(const NodeView& next, std::uint32_t slot, std::uint32_t first_input, CompileContext& context) override {
    return float32_ && !plain_ && epilogue_.add(next, slot, first_input, context);
  }

  std::int32_t layout(std::span<std::int32_t> inputs, std::int32_t machine_block) override {
    const std::int32_t block = inputs[0];
    for (std::int32_t& b : inputs) b = 0;
    if (machine_block == 0 || block == 0 || block > max_block || !float32_ || plain_ || !pointwise(epilogue_)) return 0;
    if (groups_ > 0 && groups_ != channels_ && (channels_ < 0 || channels_ / groups_ % block != 0)) return 0;
    return inputs[0] = block;
  }

  void plan(PlanBuilder& builder) const override {
    const Shape& in = builder.in(0);
    if (in.rank() < 2) invalid_argument("a normalization over channels needs at least two dimensions");
    GroupStep step{};
    const std::int64_t channels = in[1];
    step.groups = groups_ > 0 ? groups_ : channels;
    if (step.groups != 0 && channels % step.groups != 0) invalid_argument("the channels do not divide into num_groups groups");
    if (in.count() == 0) return;
    step.outer = in[0], step.group_channels = channels / step.groups, step.spatial = in.inner(1), step.block = in.block;
    const std::int64_t factors = builder.in(1).count();
    if (builder.in(2).count() != factors || (factors != channels && factors != step.groups)) {
      invalid_argument("scale and bias must have one number for each channel or group");
    }
    step.per_group = factors != channels;
    step.x = builder.in_ref(0), step.scale = builder.in_ref(1), step.bias = builder.in_ref(2), step.y = builder.out_ref(0);
    step.epsilon = epsilon_, step.dtype = in.dtype, step.plain = builder.options().plain;
    step.epilogue = epilogue_.empty() ? EpiloguePlan{} : epilogue_.plan(builder);
    offer_inplace(builder, epilogue_);
    builder.step("GroupNormalization", step, {.est_ns = static_cast<double>(in.count()) * 0.4});
  }

 private:
  double epsilon_;
  std::int64_t groups_;
  bool float32_, plain_;
  std::int64_t channels_;
  Epilogue epilogue_;
};

Support supports(const NodeView& node) {
  for (std::uint32_t i : {1u, 2u}) {
    if (node.dtype(i) != node.dtype(0)) return refuse_dtype(node.dtype(i));
  }
  return supports_float(node);
}

Support supports_groups(const NodeView& node) {
  if (node.int_or("num_groups", 0) < 1) return Support::no(TENON_REJECT_ATTRIBUTE, "num_groups must be positive");
  return supports(node);
}

}  // namespace

std::span<const OpRow> group_norm_rows() {
  static const OpRow rows[] = {
      {"", "InstanceNormalization", supports,
       [](const NodeView& node, CompileContext& context) -> std::unique_ptr<Op> {
         return std::make_unique<GroupNormOp>(node, context, 0);
       }},
      {"", "GroupNormalization", supports_groups,
       [](const NodeView& node, CompileContext& context) -> std::unique_ptr<Op> {
         return std::make_unique<GroupNormOp>(node, context, node.int_or("num_groups", 1));
       }},
  };
  return rows;
}

}  // namespace tenon::cpu
