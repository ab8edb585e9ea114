// MaxPool, AveragePool, LpPool and their global forms.
#include "plugins/opencl/codegen/pool.h"

#include <algorithm>

#include "plugins/opencl/families.h"
#include "plugins/opencl/ops/conv_window.h"

namespace tenon::opencl {
namespace {

using Kind = PoolKernel::Kind;

class Pool final : public Op {
 public:
  Pool(const Node& node, bool global) : global_(global) {
    const std::string_view name = node.op_type();
    traits_.kind = name.find("Max") != std::string_view::npos ? Kind::max : name.find("Average") != std::string_view::npos ? Kind::average : Kind::lp;
    traits_.counts_padding = traits_.kind == Kind::average && !global && node.integer("count_include_pad", 0) != 0;
    traits_.column_major = node.integer("storage_order", 0) == 1;
    traits_.takes_nan = global;
    traits_.p = node.integer("p", 2);
    traits_.input = node.input(0)->dtype;
    if (global) return;
    if (const std::string error = ConvWindow::read(node, node.input(0)->rank - 2, window_); !error.empty()) throw Failure{TENON_INVALID_ARGUMENT, error};
  }

  bool links_epilogue() const override { return true; }

  void plan(PlanBuilder& b) const override {
    const Profile& profile = b.profile();
    std::int64_t ends[3] = {0, 0, 0};
    const ConvGeometry g = geometry(b.in(0).dims, b.out_shape(0).dims, ends);
    const Compute compute = compute_of(traits_.input);
    const std::int32_t accumulator = compute == Compute::f32 ? TENON_DTYPE_FLOAT : traits_.input;
    const LinkedEpilogue epilogue = b.link(image_space(b.in(0).rank()), accumulator);
    const bool wants_indices = b.outputs() > 1 && b.out_shape(1).present();
    const Tensor indices = wants_indices ? b.make_out(1, Layout::channels_last) : Tensor{};
    if (b.out_shape(0).count() == 0) return;
    if (!g.fits()) throw Failure{TENON_UNSUPPORTED_SHAPE, "more elements than kernels count"};
    PoolKernel k = pool_form(profile, g, static_cast<int>(compute == Compute::f64 ? std::max(profile.vector / 2, 1u) : profile.vector));
    k.kind = traits_.kind, k.input = traits_.input, k.p = traits_.p, k.counts_padding = traits_.counts_padding;
    k.takes_nan = traits_.takes_nan, k.column_major = traits_.column_major, k.indices = wants_indices;
    const PoolLaunch launch = pool_launch(profile, k, g);
    Launch l;
    l.name = "pool";
    l.kernel = pool_kernel(k, *epilogue.text);
    l.args = {Arg::in(b.laid_out(b.in(0), Layout::channels_last))};
    for (std::int32_t v : g.arguments()) l.args.push_back(Arg::i32(v));
    for (std::int64_t v : {g.d.in + ends[0], g.h.in + ends[1], g.w.in + ends[2]}) l.args.push_back(Arg::i32(v));
    l.args.push_back(Arg::i32(launch.pixels_each));
    if (wants_indices) {
      l.args.push_back(Arg::out(indices));
      for (std::int64_t v : {indices.strides[0], indices.strides[1], indices.strides.back()}) l.args.push_back(Arg::i64(v));
    }
    l.args.insert(l.args.end(), epilogue.args.begin(), epilogue.args.end());
    l.global = {static_cast<std::size_t>(launch.range.global[0]), static_cast<std::size_t>(launch.range.global[1]), 1};
    l.local = {static_cast<std::size_t>(launch.range.local), 1, 1};
    l.flops = static_cast<double>(b.out_shape(0).count()) * static_cast<double>(g.taps());
    b.launch(std::move(l));
  }

 private:
  // ends: how far padding reaches behind each axis.
  ConvGeometry geometry(const Dims& x, const Dims& y, std::int64_t* ends) const {
    require(x.size() >= 2 && y.size() == x.size() && x[0] == y[0] && x[1] == y[1], "a pool keeps batch and channels");
    ConvGeometry g;
    g.n = x[0], g.groups = x[1];
    if (global_) {
      ConvAxis* axes[] = {&g.w, &g.h, &g.d};
      for (std::size_t d = x.size(); d-- > 2;) {
        require(y[d] == 1, "a global pool keeps batch and channels only");
        axes[std::min<std::size_t>(x.size() - 1 - d, 2)]->in *= x[d];
      }
      for (ConvAxis* a : axes) a->kernel = std::max<std::int64_t>(a->in, 1);
      return g;
    }
    require(x.size() == static_cast<std::size_t>(window_.spatial) + 2, "the input has another rank than the pool's window");
    for (int d = 0; d < window_.spatial; ++d) {
      const auto i = static_cast<std::size_t>(d) + 2;
      ConvAxis& axis = window_.axis(g, d);
      axis = window_.resolve(d, x[i], window_.kernel[d]);
      ends[kMaxSpatial - window_.spatial + d] = window_.pad_end(d, axis);
      // Rounding up is a matter of opinion at the edge: what the model's shapes say is what is computed.
      require(y[i] >= 0 && y[i] <= axis.out + 1, "a pool's output dim " + std::to_string(i) + " is " + std::to_string(y[i]) + ", expected " + std::to_string(axis.out));
      axis.out = y[i];
    }
    return g;
  }

  PoolKernel traits_;
  ConvWindow window_;
  bool global_;
};

Support supports_common(const Node& node, const Profile& profile) {
  if (!node.input(0) || !node.output(0)) return Support::no(TENON_REJECT_OTHER, "an input or output is missing");
  if (Support s = plain_types(node, profile); s.reason) return s;
  const std::int32_t dtype = node.input(0)->dtype;
  const bool small = (dtype == TENON_DTYPE_UINT8 || dtype == TENON_DTYPE_INT8) && node.op_type() == "MaxPool";
  if (!is_floating(dtype) && !small) return Support::no(TENON_REJECT_DTYPE, "this pool does not take that type");
  if (node.integer("p", 2) < 1) return Support::no(TENON_REJECT_ATTRIBUTE, "p is below 1");
  return Support::yes();
}

Support supports_pool(const Node& node, const Profile& profile) {
  if (Support s = supports_common(node, profile); s.reason) return s;
  if (node.integers("kernel_shape").empty()) return Support::no(TENON_REJECT_ATTRIBUTE, "kernel_shape is missing");
  return supports_window(node);
}

Support supports_global(const Node& node, const Profile& profile) {
  if (Support s = supports_common(node, profile); s.reason) return s;
  if (node.input(0)->rank < 2) return Support::no(TENON_REJECT_RANK, "a batch and channels are expected");
  return Support::yes();
}

std::unique_ptr<Op> make_pool(const Node& node, CompileContext&) { return std::make_unique<Pool>(node, false); }
std::unique_ptr<Op> make_global(const Node& node, CompileContext&) { return std::make_unique<Pool>(node, true); }

double pool_flops(const Node& node) {
  double flops = opt_count(*node.output(0));
  for (std::int64_t k : node.integers("kernel_shape")) flops *= static_cast<double>(k);
  return flops;
}
double global_flops(const Node& node) { return opt_count(*node.input(0)); }

}  // namespace

std::span<const OpRow> pool_rows() {
  static const OpRow rows[] = {{"", "MaxPool", supports_pool, make_pool, pool_flops},         {"", "AveragePool", supports_pool, make_pool, pool_flops},
                               {"", "LpPool", supports_pool, make_pool, pool_flops},          {"", "GlobalMaxPool", supports_global, make_global, global_flops},
                               {"", "GlobalAveragePool", supports_global, make_global, global_flops}, {"", "GlobalLpPool", supports_global, make_global, global_flops}};
  return rows;
}

}  // namespace tenon::opencl
