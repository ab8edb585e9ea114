#include "plugins/opencl/elementwise_op.h"

#include <algorithm>
#include <numeric>

#include "plugins/opencl/codegen/elementwise.h"

namespace tenon::opencl {
namespace {

constexpr std::int64_t chunk_elements = 8192;  // of one work item on CPU-like devices: enough to outweigh its start

// One axis of the iteration space, with every tensor's stride along it (outputs first).
struct Axis {
  std::int64_t size;
  std::vector<std::int64_t> strides;
};

// Axes from the outermost in: those of size 1 dropped, neighbours joined where every tensor allows it.
std::vector<Axis> axes_of(const std::vector<const Tensor*>& tensors) {
  const Dims& dims = tensors[0]->dims;
  std::vector<std::size_t> order(dims.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return tensors[0]->strides[a] > tensors[0]->strides[b]; });
  std::vector<Axis> out;
  for (std::size_t a : order) {
    if (dims[a] == 1) continue;
    Axis axis{dims[a], {}};
    for (const Tensor* t : tensors) axis.strides.push_back(t->strides[a]);
    if (!out.empty()) {
      Axis& last = out.back();
      bool joins = true;
      for (std::size_t t = 0; t < tensors.size(); ++t) joins &= last.strides[t] == axis.strides[t] * axis.size;
      if (joins) {
        last.size *= axis.size;
        last.strides = axis.strides;
        continue;
      }
    }
    out.push_back(std::move(axis));
  }
  return out;
}

Layout preferred_layout(const PlanBuilder& builder, const Expression& e, const Dims& dims) {
  if (dims.size() < 3) return Layout::dense;
  for (const Expression::Node& n : e.nodes) {
    if (n.kind != Expression::Kind::load) continue;
    const Tensor& t = builder.in(n.slot);
    if (t.dims == dims && is_laid_out(t, Layout::channels_last) && !is_dense(t)) return Layout::channels_last;
  }
  return Layout::dense;
}

}  // namespace

void launch_elementwise(PlanBuilder& builder, const Expression& e, const std::vector<Tensor>& inputs, const std::vector<Tensor>& outs, const char* name) {
  if (outs[0].count() == 0) return;
  const Profile& profile = builder.profile();
  std::vector<const Tensor*> tensors;
  for (const Tensor& t : outs) tensors.push_back(&t);
  for (const Tensor& t : inputs) tensors.push_back(&t);
  std::vector<Axis> axes = axes_of(tensors);
  if (axes.empty()) axes.push_back({1, std::vector<std::int64_t>(tensors.size(), 1)});
  const Axis inner = axes.back();
  axes.pop_back();

  ElementwiseForm form;
  form.expression = &e;
  form.outer = static_cast<int>(axes.size());
  form.group = profile.group;
  bool wide = false;
  for (const Expression::Node& n : e.nodes) wide |= storage_bytes(n.dtype) == 8;
  form.width = static_cast<int>(wide ? std::max(profile.vector / 2, 1u) : profile.vector);
  for (std::size_t t = 0; t < tensors.size(); ++t) {
    ElementwiseForm::Operand o;
    o.dtype = tensors[t]->dtype;
    o.step = inner.size == 1 || inner.strides[t] == 1 ? Step::unit : inner.strides[t] == 0 ? Step::none : Step::strided;
    if (t >= outs.size()) {
      o.uniform = std::all_of(tensors[t]->strides.begin(), tensors[t]->strides.end(), [](std::int64_t s) { return s == 0; }) || tensors[t]->count() == 1;
      form.inputs.push_back(o);
    } else {
      form.outputs.push_back(o);
    }
  }

  const std::int64_t rows = std::accumulate(axes.begin(), axes.end(), std::int64_t{1}, [](std::int64_t n, const Axis& a) { return n * a.size; });
  // A processor wants long stretches, but every unit some of them; others want neighbours in neighbouring items.
  std::int64_t chunk = form.width, rows_each = 1;
  if (profile.cpu) {
    const std::int64_t share = std::max<std::int64_t>((rows * inner.size + 2 * profile.compute_units - 1) / (2 * profile.compute_units), 1);
    const std::int64_t wanted = std::clamp<std::int64_t>(share, 64, chunk_elements);
    chunk = std::min<std::int64_t>((wanted + form.width - 1) / form.width * form.width, std::max<std::int64_t>(inner.size, 1));
    rows_each = std::max<std::int64_t>(wanted / std::max<std::int64_t>(inner.size, 1), 1);
  }
  Launch l;
  l.name = name;
  l.kernel = elementwise_kernel(form);
  for (const Tensor& t : outs) l.args.push_back(Arg::out(t));
  for (const Tensor& t : inputs) l.args.push_back(Arg::in(t));
  for (std::int64_t v : {inner.size, chunk, rows, rows_each}) l.args.push_back(Arg::i32(v));
  for (std::size_t a = 1; a < axes.size(); ++a) l.args.push_back(Arg::i32(axes[a].size));
  for (std::size_t t = 0; t < tensors.size(); ++t) {
    const ElementwiseForm::Operand& o = t < outs.size() ? form.outputs[t] : form.inputs[t - outs.size()];
    if (o.uniform) continue;
    for (const Axis& a : axes) l.args.push_back(Arg::i32(a.strides[t]));
    if (o.step == Step::strided) l.args.push_back(Arg::i32(inner.strides[t]));
  }
  const auto up = [](std::int64_t n, std::int64_t to) { return static_cast<std::size_t>((n + to - 1) / to); };
  l.local = {form.group, 1, 1};
  l.global = {up(static_cast<std::int64_t>(up(inner.size, chunk)), form.group) * form.group, up(rows, rows_each), 1};
  l.flops = static_cast<double>(outs[0].count()) * static_cast<double>(e.nodes.size());
  builder.launch(std::move(l));
}

void ElementwiseOp::plan(PlanBuilder& builder) const {
  std::size_t first = 0;
  while (first < builder.outputs() && !builder.out_shape(first).present()) ++first;
  const Dims dims = builder.out_shape(first).dims;
  const Layout layout = preferred_layout(builder, expression_, dims);
  std::vector<Tensor> inputs(builder.inputs()), outs;
  for (const Expression::Node& n : expression_.nodes)
    if (n.kind == Expression::Kind::load) inputs[n.slot] = broadcast(builder.in(n.slot), dims);
  // A slot that the expression does not read has no operand.
  Expression e = expression_;
  std::vector<Tensor> used;
  for (Expression::Node& n : e.nodes)
    if (n.kind == Expression::Kind::load) {
      used.push_back(inputs[n.slot]);
      n.slot = static_cast<std::uint32_t>(used.size() - 1);
    }
  for (std::size_t o = 0; o < e.outputs.size(); ++o) outs.push_back(builder.make_out(o, layout));
  launch_elementwise(builder, e, used, outs, "elementwise");
}

}  // namespace tenon::opencl
