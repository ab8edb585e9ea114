#include "plugins/opencl/ops/movement_copy.h"

#include <algorithm>

#include "plugins/opencl/codegen/movement_tile.h"
#include "plugins/opencl/elementwise_op.h"
#include "plugins/opencl/ops/movement.h"

namespace tenon::opencl {
namespace {

struct Axis {
  std::int64_t size, from, to;  // strides
};

// Axes by falling stride in the result: those of size 1 left out, neighbours that both walk as one joined.
std::vector<Axis> axes_of(const Tensor& from, const Tensor& to) {
  std::vector<Axis> axes, out;
  for (std::size_t a = 0; a < to.dims.size(); ++a)
    if (to.dims[a] != 1) axes.push_back({to.dims[a], from.strides[a], to.strides[a]});
  std::stable_sort(axes.begin(), axes.end(), [](const Axis& a, const Axis& b) { return a.to > b.to; });
  for (const Axis& a : axes) {
    if (!out.empty() && out.back().from == a.from * a.size && out.back().to == a.to * a.size) out.back() = {out.back().size * a.size, a.from, a.to};
    else out.push_back(a);
  }
  return out;
}

// True where tiles have been emitted: neighbours in the result are apart in the source and the other way round.
bool in_tiles(PlanBuilder& b, const Tensor& from, const Tensor& to) {
  const Profile& profile = b.profile();
  if (!profile.cpu || to.count() < 1024) return false;
  std::vector<Axis> axes = axes_of(from, to);
  const auto next = std::find_if(axes.begin(), axes.end(), [](const Axis& a) { return a.to == 1; });
  const auto along = std::find_if(axes.begin(), axes.end(), [](const Axis& a) { return a.from == 1; });
  if (next == axes.end() || along == axes.end() || next == along) return false;
  const Axis a = *next, c = *along;
  TileForm form;
  form.dtype = to.dtype;
  form.width = static_cast<int>(storage_bytes(to.dtype) == 8 ? std::max(profile.vector / 2, 4u) : profile.vector);
  if (c.size < form.width || a.size < 2) return false;
  std::vector<Axis> outer;
  std::int64_t rows = 1;
  for (const Axis& o : axes)
    if (o.to != a.to && !(o.from == 1 && o.to == c.to)) outer.push_back(o), rows *= o.size;
  form.outer = static_cast<int>(outer.size());
  const std::int64_t units = 4 * static_cast<std::int64_t>(profile.compute_units), total = to.count();
  const std::int64_t wanted = std::clamp<std::int64_t>(total / units, 1024, 65536);
  const std::int64_t stretch = std::clamp<std::int64_t>((wanted / a.size + form.width - 1) / form.width * form.width, form.width,
                                                        (c.size + form.width - 1) / form.width * form.width);
  Launch l;
  l.name = "transpose";
  l.kernel = tile_kernel(form);
  l.args = {Arg::out(to), Arg::in(from), Arg::i32(a.size), Arg::i32(c.size), Arg::i32(stretch), Arg::i32(c.to), Arg::i32(a.from)};
  for (std::size_t o = 1; o < outer.size(); ++o) l.args.push_back(Arg::i32(outer[o].size));
  for (const Axis& o : outer) l.args.push_back(Arg::i32(o.to));
  for (const Axis& o : outer) l.args.push_back(Arg::i32(o.from));
  l.global = {static_cast<std::size_t>((c.size + stretch - 1) / stretch), static_cast<std::size_t>(rows), 1};
  l.flops = static_cast<double>(total);
  b.launch(std::move(l));
  return true;
}

}  // namespace

void launch_copy(PlanBuilder& b, const Tensor& from, const Tensor& to) {
  const Tensor x = as_bits(from), y = as_bits(to);
  if (y.count() == 0 || in_tiles(b, x, y)) return;
  Expression e;
  e.outputs = {e.load(0, x.dtype)};
  launch_elementwise(b, e, {x}, {y}, "copy");
}

}  // namespace tenon::opencl
