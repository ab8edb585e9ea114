// The kernel that folds along any axes.
//
// Where the innermost axis is folded, vectors run along it; where it is kept, along that. A fold with few results is made in parts first,
// so that every unit of the device has some. Half types are summed as float32; integers wrap at 64 bits and then at their own.
#include "plugins/opencl/ops/reduce.h"

#include <algorithm>
#include <cmath>

#include "plugins/opencl/codegen/expression_text.h"
#include "plugins/opencl/ops/movement.h"

namespace tenon::opencl {
namespace {

struct Axis {
  std::int64_t size, from, to;  // strides in x and y; to is 0 where folded
};

std::vector<Axis> joined(std::vector<Axis> axes) {
  std::erase_if(axes, [](const Axis& a) { return a.size == 1; });
  std::stable_sort(axes.begin(), axes.end(), [](const Axis& a, const Axis& b) { return a.from > b.from; });
  std::vector<Axis> out;
  for (const Axis& a : axes) {
    if (!out.empty() && out.back().from == a.from * a.size && out.back().to == a.to * a.size) out.back() = {out.back().size * a.size, a.from, a.to};
    else out.push_back(a);
  }
  return out;
}

// How a value goes into the accumulator (slots: accumulator, value, shift), how two accumulators become one, and what is stored
// (slots: accumulator, number of elements, shift).
struct Texts {
  std::int32_t accumulator;
  double start;
  std::int64_t start_integer;
  Expression take, merge, finish;
};

std::int32_t accumulator_of(Reduction kind, std::int32_t dtype) {
  if (dtype == TENON_DTYPE_DOUBLE) return TENON_DTYPE_DOUBLE;
  if (is_floating(dtype)) return TENON_DTYPE_FLOAT;
  if (kind == Reduction::max || kind == Reduction::min) return dtype;
  if (kind == Reduction::log_sum_exp) return TENON_DTYPE_DOUBLE;
  return is_unsigned_integer(dtype) ? TENON_DTYPE_UINT64 : TENON_DTYPE_INT64;
}

std::int64_t lowest(std::int32_t dtype) {
  if (!is_signed_integer(dtype)) return 0;
  return static_cast<std::int64_t>(~std::uint64_t{0} << (8 * storage_bytes(dtype) - 1));
}
std::int64_t highest(std::int32_t dtype) {
  if (dtype == TENON_DTYPE_BOOL) return 1;
  const std::int64_t bits = 8 * storage_bytes(dtype) - (is_signed_integer(dtype) ? 1 : 0);
  return bits == 64 ? -1 : static_cast<std::int64_t>((std::uint64_t{1} << bits) - 1);
}

Texts texts_of(Reduction kind, std::int32_t from, std::int32_t to, bool whole, bool finish) {
  Texts t;
  const std::int32_t acc_type = accumulator_of(kind, whole ? from : to);
  t.accumulator = whole ? acc_type : from;
  const std::int32_t a = t.accumulator;
  const bool floats = is_floating(a);
  t.start = kind == Reduction::prod ? 1 : kind == Reduction::max ? -INFINITY : kind == Reduction::min ? INFINITY : 0;
  t.start_integer = kind == Reduction::prod ? 1 : kind == Reduction::max ? lowest(a) : kind == Reduction::min ? highest(a) : 0;
  const char* fold = kind == Reduction::prod ? "mul" : kind == Reduction::max ? "max" : kind == Reduction::min ? "min" : "add";
  {
    Expression& e = t.merge;
    const std::uint32_t x = e.load(0, a), y = e.load(1, a);
    e.outputs = {e.call(fold, a, {x, y})};
  }
  {
    Expression& e = t.take;
    const std::uint32_t acc = e.load(0, a);
    std::uint32_t v = e.cast(a, e.load(1, from));
    if (whole && kind == Reduction::l1 && !is_unsigned_integer(a)) v = e.call("abs", a, {v});
    if (whole && (kind == Reduction::l2 || kind == Reduction::sum_square)) v = e.call("mul", a, {v, v});
    if (whole && kind == Reduction::log_sum_exp) v = e.call("exp", a, {e.call("sub", a, {v, e.load(2, a)})});
    e.outputs = {e.call(fold, a, {acc, v})};
  }
  {
    Expression& e = t.finish;
    std::uint32_t v = e.load(0, a);
    const std::int32_t real = floats ? a : TENON_DTYPE_DOUBLE;
    if (finish && kind == Reduction::mean) v = e.call("div", a, {v, e.load(1, a)});
    if (finish && kind == Reduction::l2) v = e.call("sqrt", real, {e.cast(real, v)});
    if (finish && kind == Reduction::log_sum) v = e.call("log", real, {e.cast(real, v)});
    if (finish && kind == Reduction::log_sum_exp) v = e.call("add", a, {e.call("log", a, {v}), e.load(2, a)});
    // Half types are rounded by the store.
    if (compute_of(e.nodes[v].dtype) != compute_of(to) || !is_floating(to)) v = e.cast(to, v);
    e.outputs = {v};
  }
  return t;
}

// One launch. whole: x holds elements, not accumulators; finish: y holds results. step > 0: kept[0] counts parts of folded[0], each of that
// many indices.
struct Fold {
  PlanBuilder& b;
  Reduction kind;
  std::vector<Axis> kept, folded;
  Tensor x, y;
  bool whole = true, finish = true;
  std::int64_t step = 0, count = 0;

  void launch() {
    if (kept.empty()) kept.push_back({1, 0, 0});
    if (folded.empty()) folded.push_back({1, 0, 0});
    const Texts texts = texts_of(kind, x.dtype, y.dtype, whole, finish);
    const int full = static_cast<int>(storage_bytes(texts.accumulator) == 8 || storage_bytes(x.dtype) == 8 ? std::max(b.profile().vector / 2, 1u)
                                                                                                           : b.profile().vector);
    const bool along = folded.back().from == 1 && full > 1, across = !along && kept.back().from == 1 && full > 1;
    Dims space;
    Tensor from = x, to = y;
    from.dims.clear(), from.strides.clear(), to.dims.clear(), to.strides.clear();
    for (const Axis& a : kept) {
      space.push_back(a.size);
      from.dims.push_back(a.size), from.strides.push_back(a.from);
      to.dims.push_back(a.size), to.strides.push_back(a.to);
    }
    SpaceKernel k(b, "reduce", space);
    k.out("y", to), k.in("x", from);
    double elements = 1;
    for (std::size_t r = 0; r < folded.size(); ++r) {
      const std::string n = std::to_string(r);
      k.integer("size" + n, folded[r].size), k.integer("stride" + n, folded[r].from);
      elements *= static_cast<double>(r == 0 && step > 0 ? step : folded[r].size);
    }
    if (step > 0) k.integer("step", step);
    k.scalar("long", "count", Arg::i64(count));
    const std::vector<int> widths = along ? std::vector<int>{1, 2, 4, 8, 16} : across ? std::vector<int>{1, full} : std::vector<int>{1};
    for (const Expression* e : {&texts.take, &texts.merge, &texts.finish}) k.helpers(expression_helpers(*e, widths));
    if (kind == Reduction::log_sum_exp) k.helpers(expression_helpers(largest(texts).take, widths));
    k.width(across ? full : 1);
    k.each([&](int width) { return text(k, texts, along ? full : 1, width); });
    k.cost(elements / (along ? full : 1));
    k.launch();
  }

 private:
  static std::string start(const Texts& t, int width) {
    Expression e;
    e.outputs = {e.literal(t.accumulator, is_floating(t.accumulator) ? t.start : 0)};
    if (!is_floating(t.accumulator)) e.nodes[0].integer = t.start_integer;
    return assignment(e, width, "acc", {});
  }

  Texts largest(const Texts& t) const {
    Texts out = t;
    out.take = {};
    const std::uint32_t acc = out.take.load(0, t.accumulator), v = out.take.cast(t.accumulator, out.take.load(1, x.dtype));
    out.take.outputs = {out.take.call("max", t.accumulator, {acc, v})};
    out.merge = {};
    const std::uint32_t m = out.merge.load(0, t.accumulator), n = out.merge.load(1, t.accumulator);
    out.merge.outputs = {out.merge.call("max", t.accumulator, {m, n})};
    out.start = -INFINITY;
    return out;
  }

  // Loops over the folded axes that leave their result in acc, a vector of `width` columns; full: elements at once along the last axis.
  std::string loops(const SpaceKernel& k, const Texts& t, int full, int width, const std::string& shift) const {
    const Compute c = compute_of(t.accumulator);
    const auto type = [&](int w) { return compute_name(c, w); };
    const auto spread = [&](int w) { return w == width ? shift : "(" + type(w) + ")" + shift; };
    std::string p, at = "base";
    p += "const long base = " + k.here("x") + "; " + start(t, width) + " ";
    if (full > 1) {
      p += type(full) + " v0, v1, v2, v3; ";
      for (const char* v : {"v0", "v1", "v2", "v3"}) p += replaced(start(t, full), "acc = ", std::string(v) + " = ") + " ";
    }
    const std::size_t last = folded.size() - 1;
    std::string close;
    for (std::size_t r = 0; r <= last; ++r) {
      const std::string n = std::to_string(r);
      const bool parts = r == 0 && step > 0;
      const std::string begin = parts ? "c0 * step" : "0", end = parts ? "min(size0, c0 * step + step)" : "size" + n;
      if (r < last || full == 1) {
        p += "for (int r" + n + " = " + begin + "; r" + n + " < " + end + "; ++r" + n + ") { const long o" + n + " = " + at + " + (long)r" + n +
             " * stride" + n + "; ";
        close += "} ";
        at = "o" + n;
        if (r == last) p += assignment(t.take, width, "acc", {"acc", k.load("x", at, width), shift}) + " ";
        continue;
      }
      p += "{ int r = " + begin + "; const int end = " + end + "; for (; r + " + std::to_string(4 * full) +
           " <= end; r += " + std::to_string(4 * full) + ") { ";
      for (int u = 0; u < 4; ++u) {
        const std::string v = "v" + std::to_string(u);
        p += assignment(t.take, full, v, {v, k.load("x", at + " + r + " + std::to_string(u * full), full), spread(full)}) + " ";
      }
      p += "} for (; r + " + std::to_string(full) + " <= end; r += " + std::to_string(full) + ") " +
           assignment(t.take, full, "v0", {"v0", k.load("x", at + " + r", full), spread(full)});
      p += " for (; r < end; ++r) " + assignment(t.take, 1, "acc", {"acc", k.load("x", at + " + r"), shift}) + " } ";
    }
    p += close;
    if (full > 1) {
      for (const char* v : {"v1", "v2", "v3"}) p += assignment(t.merge, full, "v0", {"v0", v}) + " ";
      std::string v = "v0";
      for (int w = full / 2; w >= 1; w /= 2) {
        const std::string half = "h" + std::to_string(w);
        p += type(w) + " " + half + "; " + assignment(t.merge, w, half, {v + ".lo", v + ".hi"}) + " ";
        v = half;
      }
      p += assignment(t.merge, 1, "acc", {"acc", v}) + " ";
    }
    return p;
  }

  static std::string replaced(std::string s, const std::string& what, const std::string& by) {
    const std::size_t at = s.find(what);
    return at == std::string::npos ? s : s.replace(at, what.size(), by);
  }

  std::string text(const SpaceKernel& k, const Texts& t, int full, int width) const {
    const std::string type = compute_name(compute_of(t.accumulator), width);
    std::string p = type + " acc; ";
    if (kind == Reduction::log_sum_exp) {
      // What is subtracted: the largest, unless it is no finite number.
      p += type + " shift; { " + loops(k, largest(t), full, width, "0") + " shift = isfinite(acc) ? acc : (" + type + ")0; } ";
    }
    p += "{ " + loops(k, t, full, width, kind == Reduction::log_sum_exp ? "shift" : "0") + "} ";
    const std::int32_t made = t.finish.nodes[t.finish.outputs[0]].dtype;
    p += compute_name(compute_of(made), width) + " result; " +
         assignment(t.finish, width, "result", {"acc", "(" + type + ")(" + compute_name(compute_of(t.accumulator)) + ")count", "shift"}) + " ";
    if (width > 1 && kept.back().to != 1)
      return p + scatter_text(y.dtype, width, "y", k.here("y"), "y_s" + std::to_string(kept.size() - 1), "result");
    return p + k.store("y", k.here("y"), "result", width);
  }
};

}  // namespace

void plan_reduction(PlanBuilder& b, Reduction kind, const Tensor& x, const std::vector<bool>& marks, const Tensor& y) {
  if (y.count() == 0) return;
  std::vector<Axis> kept, folded;
  std::int64_t results = 1, count = 1;
  const bool keeps = y.rank() == x.rank();
  for (std::size_t a = 0, o = 0; a < x.dims.size(); ++a) {
    if (marks[a]) {
      folded.push_back({x.dims[a], x.strides[a], 0});
      count *= x.dims[a];
      o += keeps;
    } else {
      kept.push_back({x.dims[a], x.strides[a], y.strides[o++]});
      results *= x.dims[a];
    }
  }
  kept = joined(std::move(kept));
  folded = joined(std::move(folded));
  Fold f{b, kind, kept, folded, x, y};
  f.count = count;
  const std::int64_t units = b.profile().cpu ? 2 * static_cast<std::int64_t>(b.profile().compute_units) : 1024;
  if (results < units && count >= 32768 && !folded.empty() && kind != Reduction::log_sum_exp) {
    const std::int64_t outer = folded[0].size, parts = std::min(units, folded.size() == 1 ? outer / 4096 : outer);
    if (parts > 1) {
      // In parts, then the parts together.
      f.step = (outer + parts - 1) / parts;
      if (folded.size() == 1) f.step = (f.step + 63) / 64 * 64;
      const std::int64_t made = (outer + f.step - 1) / f.step;
      const Tensor sums = b.temp(accumulator_of(kind, x.dtype), {made, results}, Layout::dense);
      std::vector<Axis> rest;
      std::int64_t stride = 1;
      for (std::size_t a = kept.size(); a-- > 0;) {
        rest.insert(rest.begin(), {kept[a].size, stride, kept[a].to});
        f.kept[a].to = stride;
        stride *= kept[a].size;
      }
      f.kept.insert(f.kept.begin(), {made, folded[0].from * f.step, results});
      f.kept[0].from = 0;
      f.y = sums;
      f.finish = false;
      f.launch();
      Fold merge{b, kind, rest, {{made, results, 0}}, sums, y};
      merge.count = count;
      merge.whole = false;
      return merge.launch();
    }
  }
  f.launch();
}

}  // namespace tenon::opencl
