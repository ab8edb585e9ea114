#include "plugins/opencl/ops/row_launch.h"

#include <algorithm>
#include <numeric>

namespace tenon::opencl {
namespace {

constexpr std::int64_t item_elements = 8192;  // of one work item on CPU-like devices

// One axis, or several walked as one, with every tensor's stride.
struct Axis {
  std::int64_t size = 1;
  std::vector<std::int64_t> strides;
  std::vector<std::int64_t> of;  // axes of dims
};

std::vector<Axis> joined_axes(const Dims& dims, const std::vector<std::size_t>& order, const std::vector<Tensor>& tensors, const std::vector<bool>& wanted) {
  std::vector<Axis> out;
  for (std::size_t a : order) {
    if (dims[a] == 1 || !wanted[a]) continue;
    Axis axis{dims[a], {}, {static_cast<std::int64_t>(a)}};
    for (const Tensor& t : tensors) axis.strides.push_back(t.strides[a]);
    if (!out.empty()) {
      Axis& last = out.back();
      bool joins = true;
      for (std::size_t t = 0; t < tensors.size(); ++t) joins &= last.strides[t] == axis.strides[t] * axis.size;
      if (joins) {
        last.size *= axis.size;
        last.strides = axis.strides;
        last.of.push_back(static_cast<std::int64_t>(a));
        continue;
      }
    }
    out.push_back(std::move(axis));
  }
  return out;
}

std::int64_t product(const std::vector<Axis>& axes) {
  return std::accumulate(axes.begin(), axes.end(), std::int64_t{1}, [](std::int64_t n, const Axis& a) { return n * a.size; });
}

Step step_of(std::int64_t size, std::int64_t stride) { return size == 1 || stride == 1 ? Step::unit : stride == 0 ? Step::none : Step::strided; }

std::int64_t divided_up(std::int64_t n, std::int64_t by) { return (n + by - 1) / by; }

}  // namespace

Layout row_layout(const Tensor& x) { return x.rank() >= 3 && !is_dense(x) && is_laid_out(x, Layout::channels_last) ? Layout::channels_last : Layout::dense; }

void launch_rows(PlanBuilder& builder, Rows rows) {
  const Dims& dims = rows.dims;
  std::int64_t elements = 1, length = 1;
  for (std::size_t a = 0; a < dims.size(); ++a) elements *= dims[a], length *= rows.reduced[a] ? dims[a] : 1;
  if (elements == 0) {
    if (rows.linked) (void)builder.link({}, TENON_DTYPE_FLOAT);
    return;
  }
  const Profile& profile = builder.profile();

  // The order of axes is that of the memory which is written.
  const Dims lead = rows.view ? rows.view->strides : rows.linked ? strides_of(dims, rows.layout) : !rows.outputs.empty() ? rows.outputs[0].strides : rows.inputs[0].strides;
  std::vector<std::size_t> order(dims.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return lead[a] > lead[b]; });
  std::vector<bool> kept(rows.reduced);
  kept.flip();

  const std::size_t first_row_output = rows.outputs.size(), first_input = first_row_output + rows.row_outputs.size();
  std::vector<Tensor> tensors;
  std::vector<Axis> outer, inner;
  const auto arrange = [&] {
    tensors.clear();
    for (const Tensor& t : rows.outputs) tensors.push_back(t);
    for (const Tensor& t : rows.row_outputs) {
      tensors.push_back(broadcast(t, dims));
      for (std::size_t a = 0; a < dims.size(); ++a)
        if (rows.reduced[a]) tensors.back().strides[a] = 0;
    }
    for (const Tensor& t : rows.inputs) tensors.push_back(t);
    Tensor written;  // what the epilogue stores keeps the axes in order
    written.dims = dims, written.strides = lead;
    tensors.push_back(written);
    outer = joined_axes(dims, order, tensors, kept);
    inner = joined_axes(dims, order, tensors, rows.reduced);
  };
  arrange();
  // The epilogue walks all outer axes but the lanes with one stride of what it stores.
  const auto apart = [&] {
    if (!rows.linked || rows.view || outer.size() < 3 || outer.back().strides.back() != 1) return false;
    const Axis &a = outer[outer.size() - 3], &b = outer[outer.size() - 2];
    return a.strides.back() != b.strides.back() * b.size || outer.size() > 3;
  };
  if (inner.size() > 2 || apart()) {
    for (Tensor& t : rows.inputs) {
      Tensor full = builder.temp(t.dtype, dims, rows.layout);
      builder.copy(t, full);
      t = full;
    }
    arrange();
  }
  if (inner.size() > 2) throw Failure{TENON_UNSUPPORTED_SHAPE, "rows over axes that are apart from each other"};
  const std::size_t written = tensors.size() - 1;

  RowForm form;
  form.program = &rows.program;
  form.two_levels = inner.size() == 2;
  const bool lanes_beside = !outer.empty() && outer.back().strides[written] == 1;
  form.across = lanes_beside && !inner.empty() ? true : inner.empty() && !outer.empty();
  bool wide = false;
  const auto look = [&](const Expression& e) {
    for (const Expression::Node& n : e.nodes) wide |= storage_bytes(n.dtype) == 8;
  };
  for (const RowProgram::Step& s : rows.program.steps) look(s.value);
  look(rows.program.finish);
  Axis lane;
  if (form.across) {
    lane = outer.back();
    outer.pop_back();
    form.width = !profile.cpu ? 1 : static_cast<int>(wide ? std::max(profile.vector / 2, 1u) : profile.vector);
    form.group = profile.group;
  } else {
    form.width = static_cast<int>(wide ? std::max(profile.vector / 2, 1u) : profile.vector);
    form.group = 1;
    while (form.group * 2 <= profile.group) form.group *= 2;
  }
  form.outer = static_cast<int>(outer.size());
  const std::int64_t n1 = inner.empty() ? 1 : inner.back().size, n0 = form.two_levels ? inner[0].size : 1, count = product(outer);
  form.keep = profile.cpu && !form.two_levels && n1 * (form.across ? form.width : 1) <= keep_limit && wants_keeping(rows.program);

  // ---- where the epilogue finds its place ----
  TileSpace space;
  space.layout = rows.layout;
  std::int64_t split = 1;
  std::vector<std::int64_t> outer_axes;
  for (const Axis& a : outer) outer_axes.insert(outer_axes.end(), a.of.begin(), a.of.end());
  if (rows.view) {
    space = rows.view->space, split = rows.view->split;
    form.b = rows.view->b, form.r = rows.view->r, form.c = rows.view->c;
  } else if (form.across) {
    space.batch = outer_axes;
    for (const Axis& a : inner) space.rows.insert(space.rows.end(), a.of.begin(), a.of.end());
    space.cols = lane.of;
    form.b = "row", form.r = form.two_levels ? "j * n1 + i" : "i", form.c = "lane";
  } else if (form.two_levels) {
    space.batch = inner[0].of, space.rows = outer_axes, space.cols = inner[1].of;
    form.b = "j";
  } else {
    if (!inner.empty()) space.cols = inner[0].of;
    space.rows = outer_axes;
    if (outer_axes.size() > 1) {
      space.batch = {outer_axes[0]};
      space.rows.erase(space.rows.begin());
      split = count / dims[static_cast<std::size_t>(outer_axes[0])];
      form.b = "row / split", form.r = "row % split";
    }
  }

  Launch l;
  l.name = rows.name;
  LinkedEpilogue epilogue;
  if (rows.linked) {
    const Expression& e = rows.program.finish;
    epilogue = builder.link(space, e.nodes[e.outputs[0]].dtype);
    form.epilogue = epilogue.text.get();
  }
  const auto stride_of = [&](std::size_t t) { return form.across ? lane.strides[t] : inner.empty() ? 0 : inner.back().strides[t]; };
  const std::int64_t size = form.across ? lane.size : n1;
  for (std::size_t t = 0; t < written; ++t) {
    const RowForm::Operand o{tensors[t].dtype, step_of(size, stride_of(t))};
    (t < first_row_output ? form.outputs : t < first_input ? form.row_outputs : form.inputs).push_back(o);
  }
  l.kernel = row_kernel(form);
  for (std::size_t t = 0; t < written; ++t) l.args.push_back(t < first_input ? Arg::out(tensors[t]) : Arg::in(tensors[t]));

  std::int64_t rows_each = 1, lanes_each = form.width;
  if (profile.cpu) {
    const std::int64_t share = std::clamp<std::int64_t>(divided_up(elements, 4 * profile.compute_units), 512, item_elements);
    if (form.across) lanes_each = std::max<std::int64_t>(std::min(share / length, lane.size) / form.width * form.width, form.width);
    rows_each = std::max<std::int64_t>(share / (form.across ? lanes_each * length : length), 1);
  }
  for (std::int64_t v : {n1, n0, count, rows_each, lane.size, lanes_each, split}) l.args.push_back(Arg::i32(v));
  for (std::size_t a = 1; a < outer.size(); ++a) l.args.push_back(Arg::i32(outer[a].size));
  for (std::size_t t = 0; t < written; ++t) {
    const bool element = t < first_row_output || t >= first_input;
    for (const Axis& a : outer) l.args.push_back(Arg::i32(a.strides[t]));
    if (form.two_levels && element) l.args.push_back(Arg::i32(inner[0].strides[t]));
    if (form.across && element) l.args.push_back(Arg::i32(inner.empty() ? 0 : inner.back().strides[t]));
    if (step_of(size, stride_of(t)) == Step::strided && (form.across || element)) l.args.push_back(Arg::i32(stride_of(t)));
  }
  l.args.insert(l.args.end(), epilogue.args.begin(), epilogue.args.end());
  l.local = {form.group, 1, 1};
  const std::int64_t across = form.across ? divided_up(divided_up(lane.size, lanes_each), form.group) * form.group : form.group;
  l.global = {static_cast<std::size_t>(across), static_cast<std::size_t>(divided_up(count, rows_each)), 1};
  l.flops = static_cast<double>(elements) * 8 * static_cast<double>(rows.program.steps.size() + 1);
  builder.launch(std::move(l));
}

}  // namespace tenon::opencl
