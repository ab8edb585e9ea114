// LRN: each element divided by a power of the mean square over neighbouring channels.
#include <cmath>

#include "plugins/opencl/codegen/math_text.h"
#include "plugins/opencl/ops/norm_family.h"

namespace tenon::opencl {
namespace {

// y = x / (bias + alpha / size * sum of squares over channels [c - before, c + after]) ^ beta. [batch, channels, inner] of any strides of
// batch and channel. An item takes `chunk` inner elements of one channel.
KernelText lrn_kernel(std::int32_t dtype, int width, std::uint32_t group, double beta) {
  const Compute c = compute_of(dtype);
  const std::string storage = storage_name(dtype);
  const auto element = [&](int w) {
    const std::string t = compute_name(c, w);
    const auto power = [&]() -> std::string {
      if (beta == 0.75) return "x / (sqrt(m) * sqrt(sqrt(m)))";
      if (beta == 0.5) return "x / sqrt(m)";
      if (beta == 1) return "x / m";
      if (c != Compute::f32) return "x / pow(m, (" + t + ")beta)";
      return "x * " + math_call("exp", w) + "(-beta * " + math_call("log", w) + "(m))";
    };
    return t + " m = 0; for (int n = lo; n <= hi; ++n) { const " + t + " z = " + load_text(dtype, w, "from", "(long)n * x_c + i") + "; m = fma(z, z, m); } m = bias + scale * m; const " + t + " x = " +
           load_text(dtype, w, "from", "(long)ch * x_c + i") + "; " + store_text(dtype, w, "to", "i", power());
  };
  const std::string number = compute_name(c), w = std::to_string(width);
  std::string p = "__kernel __attribute__((reqd_work_group_size(" + std::to_string(group) + ", 1, 1))) void KERNEL_NAME(__global char* y_base, ulong y_at, __global const char* x_base, ulong x_at, int channels, int inner, "
                  "int chunk, int before, int after, int x_b, int x_c, " + number + " scale, " + number + " bias, " + number + " beta) {\n";
  p += "  const int ch = (int)get_global_id(1) % channels, b = (int)get_global_id(1) / channels, lo = max(ch - before, 0), hi = min(ch + after, channels - 1);\n";
  p += "  __global const " + storage + "* from = (__global const " + storage + "*)(x_base + x_at) + (long)b * x_b;\n  __global " + storage + "* to = (__global " + storage + "*)(y_base + y_at) + (long)b * x_b + (long)ch * x_c;\n";
  p += "  int i = (int)get_global_id(0) * chunk; const int end = min(i + chunk, inner);\n";
  if (width > 1) p += "  for (; i + " + w + " <= end; i += " + w + ") { " + element(width) + " }\n";
  p += "  for (; i < end; ++i) { " + element(1) + " }\n}\n";
  KernelText out{{}, p};
  if (c == Compute::f32)
    for (const char* name : {"exp", "log"})
      for (int n : {1, width}) out.helpers.push_back(math_helper(name, n));
  return out;
}

class LrnOp final : public Op {
 public:
  explicit LrnOp(const Node& node) : size_(node.integer("size", 1)), alpha_(node.number("alpha", 1e-4f)), beta_(node.number("beta", 0.75f)), bias_(node.number("bias", 1)) {}

  void plan(PlanBuilder& b) const override {
    const Tensor x = b.dense(b.in(0));
    if (x.rank() < 2) throw Failure{TENON_INVALID_ARGUMENT, "LRN needs an axis of channels"};
    const Tensor y = b.make_out(0);
    if (x.count() == 0) return;
    const Profile& profile = b.profile();
    const bool wide = x.dtype == TENON_DTYPE_DOUBLE;
    const std::int64_t channels = x.dims[1], inner = x.count() / (x.dims[0] * channels);
    const int width = static_cast<int>(wide ? std::max(profile.vector / 2, 1u) : profile.vector);
    const std::int64_t chunk = profile.cpu ? std::min<std::int64_t>((inner + width - 1) / width * width, 4096) : width;
    Launch l;
    l.name = "LRN";
    l.kernel = lrn_kernel(x.dtype, width, profile.group, beta_);
    l.args = {Arg::out(y), Arg::in(x)};
    for (std::int64_t n : {channels, inner, chunk, (size_ - 1) / 2, size_ / 2, channels * inner, inner}) l.args.push_back(Arg::i32(n));
    for (double v : {alpha_ / static_cast<double>(size_), bias_, beta_}) l.args.push_back(wide ? Arg::f64(v) : Arg::f32(static_cast<float>(v)));
    const std::int64_t items = (inner + chunk - 1) / chunk;
    l.local = {profile.group, 1, 1};
    l.global = {static_cast<std::size_t>((items + profile.group - 1) / profile.group * profile.group), static_cast<std::size_t>(x.dims[0] * channels), 1};
    l.flops = static_cast<double>(x.count() * (2 * size_ + 10));
    b.launch(std::move(l));
  }

 private:
  std::int64_t size_;
  double alpha_, beta_, bias_;
};

Support supports(const Node& node, const Profile&) {
  if (!is_floating(node.input(0)->dtype)) return Support::no(TENON_REJECT_DTYPE, "only floating types, not " + dtype_text(node.input(0)->dtype));
  if (node.integer("size", 0) < 1) return Support::no(TENON_REJECT_ATTRIBUTE, "size must be positive");
  return Support::yes();
}

}  // namespace

std::span<const OpRow> lrn_rows() {
  static const OpRow rows[] = {{"", "LRN", supports, [](const Node& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<LrnOp>(node); }}};
  return rows;
}

}  // namespace tenon::opencl
