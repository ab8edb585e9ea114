#include <cmath>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "core/graph/elements.h"
#include "core/passes/derive.h"
#include "core/passes/edit.h"
#include "core/passes/list.h"

namespace tenon {
namespace {

// y = a * x + b, for each output channel.
struct Affine {
  std::vector<double> a, b;
};

std::optional<std::vector<double>> reals(const Constant* c, std::size_t count) {
  if (!c || !is_real(c->dtype) || c->count() != static_cast<std::int64_t>(count)) return std::nullopt;
  std::vector<double> out(count);
  for (std::size_t i = 0; i < count; ++i) out[i] = real_element(c->dtype, c->data, i);
  return out;
}

std::optional<Affine> batch_norm(Edit& edit, const Node& n, std::size_t channels) {
  if (n.inputs.size() != 5 || n.outputs.size() != 1 || n.int_or("training_mode", 0)) return std::nullopt;
  const auto scale = reals(edit.constant(n, 1), channels), bias = reals(edit.constant(n, 2), channels);
  const auto mean = reals(edit.constant(n, 3), channels), variance = reals(edit.constant(n, 4), channels);
  if (!scale || !bias || !mean || !variance) return std::nullopt;
  const double epsilon = n.float_or("epsilon", 1e-5f);
  Affine out;
  for (std::size_t c = 0; c < channels; ++c) {
    const double a = (*scale)[c] / std::sqrt((*variance)[c] + epsilon);
    if (!std::isfinite(a)) return std::nullopt;
    out.a.push_back(a);
    out.b.push_back((*bias)[c] - (*mean)[c] * a);
  }
  return out;
}

// One number, or one per channel at `axis` of a tensor of this rank, 1 elsewhere.
std::optional<std::vector<double>> per_channel(const Constant* c, std::size_t channels, std::size_t axis, std::size_t rank) {
  if (!c || !is_real(c->dtype) || c->dims.size() > rank) return std::nullopt;
  if (c->count() == 1) return std::vector<double>(channels, real_element(c->dtype, c->data, 0));
  const std::size_t missing = rank - c->dims.size();
  for (std::size_t d = 0; d < c->dims.size(); ++d)
    if (c->dims[d] != (d + missing == axis ? static_cast<std::int64_t>(channels) : 1)) return std::nullopt;
  return reals(c, channels);
}

// y op c, or c op y where that is the same.
bool per_channel_op(std::string_view op, std::size_t constant_input) {
  return op == "Mul" || op == "Add" || (constant_input == 1 && (op == "Sub" || op == "Div"));
}

// Where the output channels lie in the weights: weight element i belongs to channel (i / inner) % channels, and for
// grouped ConvTranspose ([C, M/group, ...]) to that plus its group's offset.
struct Layout {
  std::size_t channels = 0, per_group = 0, inner = 1, group_size = 0;  // group_size: elements of one group's weights

  std::size_t channel(std::size_t run) const {  // run: i / inner
    return group_size ? run * inner / group_size * per_group + run % per_group : run % per_group;
  }
};

constexpr std::uint64_t made_from = 65536;  // bytes of weights that are made when they are read

class Folder {
 public:
  explicit Folder(PassContext& context) : edit_(context), graph_(context.graph) {}

  Status node(NodeId id) {
    // As long as something per channel follows the same producer: Conv, Mul, Add, BatchNormalization.
    while (graph_.nodes[id].op_type.size()) {
      bool folded = false;
      TENON_TRY(follow(id, folded));
      if (!folded) return {};
    }
    return {};
  }

  // The one reader of each value, by a sweep; none when there are more.
  void index_readers() {
    reader_.assign(graph_.values.size(), none);
    for (NodeId n = 0; n < graph_.nodes.size(); ++n)
      for (ValueId v : graph_.nodes[n].inputs)
        if (v != none) reader_[v] = n;
  }

 private:
  std::optional<Layout> layout(const Node& n, const Constant& w) const {
    const auto inner = [&](std::size_t from) {
      std::size_t k = 1;
      for (std::size_t d = from; d < w.dims.size(); ++d) k *= static_cast<std::size_t>(w.dims[d]);
      return k;
    };
    Layout out;
    const std::size_t rank = w.dims.size();
    if (n.op_type == "Conv") {
      if (rank < 3) return std::nullopt;
      out.channels = out.per_group = static_cast<std::size_t>(w.dims[0]);
      out.inner = inner(1);
    } else if (n.op_type == "ConvTranspose") {
      const auto groups = static_cast<std::size_t>(std::max<std::int64_t>(1, n.int_or("group", 1)));
      if (rank < 3 || static_cast<std::size_t>(w.dims[0]) % groups) return std::nullopt;
      out.per_group = static_cast<std::size_t>(w.dims[1]);
      out.channels = out.per_group * groups;
      out.inner = inner(2);
      out.group_size = static_cast<std::size_t>(w.dims[0]) / groups * out.per_group * out.inner;
    } else {  // Gemm: [K, N], or [N, K] when transposed
      if (rank != 2) return std::nullopt;
      const bool transposed = n.int_or("transB", 0) != 0;
      out.channels = out.per_group = static_cast<std::size_t>(w.dims[transposed ? 0 : 1]);
      out.inner = transposed ? inner(1) : 1;
    }
    if (out.channels == 0 || out.inner == 0 || w.count() == 0) return std::nullopt;
    return out;
  }

  // The node after `id`, when it is the only reader and affine per channel, goes into the weights.
  Status follow(NodeId id, bool& folded) {
    Node& n = graph_.nodes[id];
    const ValueId y = n.outputs[0];
    if (y == none || edit_.uses(y) != 1 || edit_.is_output(y) || reader_[y] == none) return {};
    Node& next = graph_.nodes[reader_[y]];
    if (!next.domain.empty() || next.outputs.size() != 1 || next.outputs[0] == none) return {};
    const ConstantPtr w = edit_.constant(n, 1) ? graph_.values[edit_.input(n, 1)].constant : nullptr;
    const Type& type = graph_.values[y].type;
    if (!w || !is_real(w->dtype) || !type.dims || w->dtype != type.dtype) return {};
    const auto at = layout(n, *w);
    if (!at) return {};
    const bool conv = n.op_type.starts_with("Conv");
    const std::size_t rank = type.dims->size(), axis = 1;
    if (rank < 2 || (!conv && rank != 2)) return {};

    std::optional<Affine> affine;
    const std::size_t other = next.inputs.size() == 2 && edit_.input(next, 0) == y ? 1 : 0;
    if (next.op_type == "BatchNormalization" && edit_.input(next, 0) == y) {
      affine = batch_norm(edit_, next, at->channels);
    } else if (conv && next.inputs.size() == 2 && per_channel_op(next.op_type, other)) {
      const auto c = per_channel(edit_.constant(next, other), at->channels, axis, rank);
      if (!c) return {};
      const std::size_t channels = at->channels;
      affine = Affine{std::vector<double>(channels, 1.0), std::vector<double>(channels, 0.0)};
      for (std::size_t k = 0; k < channels; ++k) {
        const double v = (*c)[k];
        if (next.op_type == "Mul") affine->a[k] = v;
        else if (next.op_type == "Div") affine->a[k] = 1 / v;
        else affine->b[k] = next.op_type == "Add" ? v : -v;
        if (!std::isfinite(affine->a[k])) return {};
      }
    }
    if (!affine) return {};
    std::vector<double> bias(at->channels, 0.0);
    if (const ValueId b = edit_.input(n, 2); b != none) {
      const double beta = n.op_type == "Gemm" ? n.float_or("beta", 1.0f) : 1.0;
      const auto own = conv ? reals(edit_.constant(n, 2), at->channels) : per_channel(edit_.constant(n, 2), at->channels, 1, 2);
      if (!own) return {};
      for (std::size_t k = 0; k < bias.size(); ++k) bias[k] = (*own)[k] * beta;
    }
    return fold(id, next, w, *at, *affine, std::move(bias), folded);
  }

  Status fold(NodeId id, Node& next, const ConstantPtr& w, const Layout& at, const Affine& affine, std::vector<double> bias, bool& folded) {
    Node& n = graph_.nodes[id];
    const ValueId y = n.outputs[0], out = next.outputs[0];
    const std::string base = graph_.values[out].name;
    bool scales = false;
    double largest = 0;
    for (double a : affine.a) scales = scales || a != 1, largest = std::max(largest, std::fabs(a));
    const bool may_overflow = largest > 1 && (w->dtype == TENON_DTYPE_FLOAT16 || largest > 1e10);
    if (scales) {
      std::shared_ptr<const Constant> weights;
      if (w->dtype == TENON_DTYPE_FLOAT && w->bytes >= made_from && !may_overflow) {
        weights = scaled_when_read(w, at, affine.a);
      } else {
        TENON_ASSIGN(const ConstantPtr source, with_bytes(w));
        std::byte* data = nullptr;
        TENON_ASSIGN(weights, unwritten_constant(w->dtype, w->dims, &data));
        scale(*source, at, affine.a, data);
        forget_source(*source);
        for (std::size_t i = 0; may_overflow && i < static_cast<std::size_t>(w->count()); ++i)
          if (!std::isfinite(real_element(w->dtype, data, i))) return {};  // weights that no longer fit stay apart
      }
      edit_.set_input(n, 1, edit_.add_constant(base + "/weight", std::move(weights)));
    }
    std::byte* data = nullptr;
    TENON_ASSIGN(auto shifted, make_constant(w->dtype, {static_cast<std::int64_t>(at.channels)}, &data));
    for (std::size_t c = 0; c < at.channels; ++c) store_real(w->dtype, data, c, bias[c] * affine.a[c] + affine.b[c]);
    edit_.set_input(n, 2, edit_.add_constant(base + "/bias", std::move(shifted)));
    if (n.op_type == "Gemm") n.set("beta", 1.0f);
    n.sources.insert(n.sources.end(), next.sources.begin(), next.sources.end());
    reader_.resize(graph_.values.size(), none);
    // The node makes what the last one made.
    edit_.remove(edit_.id_of(next));
    Node moved = n;
    for (ValueId& v : moved.outputs)
      if (v == y) v = out;
    edit_.put(id, std::move(moved));
    ++edit_.context.rewrites;
    folded = true;
    return {};
  }

  // Large weights are packed once they are read: their scaled form need not stand beside that.
  static ConstantPtr scaled_when_read(const ConstantPtr& w, const Layout& at, const std::vector<double>& a) {
    auto recipe = std::make_shared<Recipe>();
    if (const std::string place = place_of(*w); !place.empty()) {
      const XXH128_hash_t factors = XXH3_128bits(a.data(), a.size() * sizeof(double));
      recipe->identity = fmt::format("{} by {:016x}{:016x} {} {} {}", place, factors.high64, factors.low64, at.inner, at.per_group, at.group_size);
    }
    recipe->make = [w, at, a](std::byte* to) -> Status {
      TENON_TRY(copy_bytes(*w, to));
      const std::size_t runs = static_cast<std::size_t>(w->count()) / at.inner;
      for (std::size_t r = 0; r < runs; ++r) scale_floats(to + r * at.inner * sizeof(float), at.inner, a[at.channel(r)]);
      return {};
    };
    auto out = wrap_constant(w->dtype, w->dims, nullptr, w->bytes, nullptr);
    out->recipe = std::move(recipe);
    return out;
  }

  static void scale(const Constant& w, const Layout& at, const std::vector<double>& a, std::byte* to) {
    const std::size_t runs = static_cast<std::size_t>(w.count()) / at.inner;
    for (std::size_t r = 0; r < runs; ++r) {
      const double by = a[at.channel(r)];
      for (std::size_t i = r * at.inner; i < (r + 1) * at.inner; ++i) store_real(w.dtype, to, i, real_element(w.dtype, w.data, i) * by);
    }
  }

  static void scale_floats(std::byte* data, std::size_t count, double by) {
    for (std::size_t i = 0; i < count; ++i) store_bits(data, i, static_cast<float>(load_bits<float>(data, i) * by));
  }

  Edit edit_;
  Graph& graph_;
  std::vector<NodeId> reader_;
};

}  // namespace

Status conv_norm(PassContext& context) {
  Folder folder(context);
  folder.index_readers();
  for (NodeId id = 0; id < context.graph.nodes.size(); ++id) {
    const Node& n = context.graph.nodes[id];
    if (n.is("Conv") || n.is("ConvTranspose") || n.is("Gemm")) TENON_TRY(folder.node(id));
  }
  return {};
}

}  // namespace tenon
