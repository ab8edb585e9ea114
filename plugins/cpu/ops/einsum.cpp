// Einsum: pairwise contraction from the left. A pair that is a batch of matrix products goes to the float32 kernels, with
// strides or from dense copies; everything else runs in a plain loop over output and summed axes.
#include <algorithm>
#include <array>
#include <optional>

#include "plugins/cpu/ops/matmul.h"
#include "plugins/cpu/ops/reduce_types.h"

namespace tenon::cpu {
namespace {

constexpr int kLabels = 52 + gemm::kMaxRank;  // letters, then the dims of the ellipsis from the right
constexpr int kMaxAxes = 24;
constexpr int kEllipsis = -1;

int letter(char c) { return c >= 'A' && c <= 'Z' ? c - 'A' : c >= 'a' && c <= 'z' ? 26 + c - 'a' : -2; }

struct Equation {
  std::vector<std::vector<int>> terms;  // labels or kEllipsis
  std::vector<int> out;
};

// Nothing where the text is no equation of that many operands.
std::optional<Equation> parse(std::string_view text, std::size_t operands) {
  Equation e;
  std::vector<int> term;
  bool in_output = false;
  const auto finish = [&] {
    if (in_output) e.out = term;
    else e.terms.push_back(term);
    term.clear();
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == ' ') continue;
    if (c == ',') {
      if (in_output) return std::nullopt;
      finish();
    } else if (c == '-') {
      if (in_output || i + 1 >= text.size() || text[i + 1] != '>') return std::nullopt;
      ++i;
      finish();
      in_output = true;
    } else if (c == '.') {
      if (text.substr(i, 3) != "..." || std::count(term.begin(), term.end(), kEllipsis)) return std::nullopt;
      i += 2;
      term.push_back(kEllipsis);
    } else {
      const int l = letter(c);
      if (l < 0) return std::nullopt;
      term.push_back(l);
    }
  }
  finish();
  if (e.terms.size() != operands) return std::nullopt;
  std::array<int, kLabels> uses{};
  bool ellipsis = false;
  for (const auto& t : e.terms)
    for (int l : t) l == kEllipsis ? (void)(ellipsis = true) : (void)++uses[static_cast<std::size_t>(l)];
  if (in_output) {
    std::array<int, kLabels> seen{};
    for (int l : e.out)
      if (l == kEllipsis ? !ellipsis : uses[static_cast<std::size_t>(l)] == 0 || seen[static_cast<std::size_t>(l)]++) return std::nullopt;
  } else {
    if (ellipsis) e.out.push_back(kEllipsis);
    for (int l = 0; l < 52; ++l)
      if (uses[static_cast<std::size_t>(l)] == 1) e.out.push_back(l);
  }
  return e;
}

// An operand by label: size 0 where it has no such axis would be ambiguous, hence `has`.
struct Operand {
  Ref ref;
  std::array<bool, kLabels> has{};
  std::array<std::int64_t, kLabels> strides{};
};

struct Axis {
  std::int64_t size = 1, x = 0, y = 0, z = 0;
};
struct Axes {
  int count = 0;
  Axis at[kMaxAxes];

  void push(const Axis& a) {
    if (a.size == 1) return;
    if (count == kMaxAxes) throw Failure{TENON_UNSUPPORTED_SHAPE, "too many axes"};
    at[count++] = a;
  }
  std::int64_t total() const {
    std::int64_t n = 1;
    for (int i = 0; i < count; ++i) n *= at[i].size;
    return n;
  }
  // Joins neighbours that are one axis for all three operands.
  void merge() {
    int n = 0;
    for (int i = 0; i < count; ++i) {
      if (n > 0) {
        Axis& outer = at[n - 1];
        const Axis& inner = at[i];
        if (outer.x == inner.x * inner.size && outer.y == inner.y * inner.size && outer.z == inner.z * inner.size) {
          outer = {outer.size * inner.size, inner.x, inner.y, inner.z};
          continue;
        }
      }
      at[n++] = at[i];
    }
    count = n;
  }
  template <class Key>
  void sort(const Key& key) {
    std::stable_sort(at, at + count, [&](const Axis& a, const Axis& b) { return key(a) > key(b); });
  }
};

template <class T>
struct Accumulator {
  using whole = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;
  using type = std::conditional_t<std::is_integral_v<T>, whole, double>;
};

// z = sum of x * y; y may be absent.
template <class T>
struct LoopStep {
  Axes out, sum;
  Ref x, y, z;

  void operator()(const StepContext& context) const {
    using S = typename Accumulator<T>::type;
    const T* x0 = context.ptr<const T>(x);
    const T* y0 = y.present() ? context.ptr<const T>(y) : nullptr;
    T* z0 = context.ptr<T>(z);
    const StepContext::Slice part = context.slice(out.total(), 16);
    const std::int64_t terms = sum.total();
    for (std::int64_t i = part.begin; i < part.end; ++i) {
      std::int64_t ox = 0, oy = 0, oz = 0, rest = i;
      for (int d = out.count - 1; d >= 0; --d) {
        const Axis& a = out.at[d];
        const std::int64_t at = rest % a.size;
        rest /= a.size;
        ox += at * a.x, oy += at * a.y, oz += at * a.z;
      }
      S total{};
      if (sum.count == 0) {
        total = y0 ? static_cast<S>(x0[ox]) * static_cast<S>(y0[oy]) : static_cast<S>(x0[ox]);
      } else {
        const Axis& inner = sum.at[sum.count - 1];
        for (std::int64_t t = 0; t < terms; t += inner.size) {
          std::int64_t sx = ox, sy = oy;
          rest = t / inner.size;
          for (int d = sum.count - 2; d >= 0; --d) {
            const std::int64_t at = rest % sum.at[d].size;
            rest /= sum.at[d].size;
            sx += at * sum.at[d].x, sy += at * sum.at[d].y;
          }
          if (y0)
            for (std::int64_t k = 0; k < inner.size; ++k)
              total += static_cast<S>(x0[sx + k * inner.x]) * static_cast<S>(y0[sy + k * inner.y]);
          else
            for (std::int64_t k = 0; k < inner.size; ++k) total += static_cast<S>(x0[sx + k * inner.x]);
        }
      }
      z0[oz] = static_cast<T>(total);
    }
  }
};

class EinsumOp final : public Op {
 public:
  EinsumOp(Equation equation, std::int32_t dtype, CompileContext& context)
      : equation_(std::move(equation)), dtype_(dtype), plain_(context.options().plain), kernels_(&gemm::kernels(context.options().isa, context.options().precision)) {}

  void plan(PlanBuilder& builder) const override;

 private:
  struct Sizes {
    std::array<std::int64_t, kLabels> of;
    Sizes() { of.fill(-1); }
  };
  std::vector<int> labels(const std::vector<int>& term, std::int64_t rank) const;
  void contract(PlanBuilder& builder, const Sizes& sizes, const Operand& x, const Operand* y, const Operand& z) const;
  bool as_product(PlanBuilder& builder, Axes batch, Axes m, Axes n, Axes k, Ref x, Ref y, Ref z) const;
  void loop(PlanBuilder& builder, Axes out, Axes sum, Ref x, Ref y, Ref z) const;

  Equation equation_;
  std::int32_t dtype_;
  bool plain_;
  const gemm::Kernels* kernels_;
};

// Labels of each dim, the ellipsis spread out.
std::vector<int> EinsumOp::labels(const std::vector<int>& term, std::int64_t rank) const {
  const bool ellipsis = std::count(term.begin(), term.end(), kEllipsis) > 0;
  const std::int64_t named = static_cast<std::int64_t>(term.size()) - ellipsis, extra = rank - named;
  if (extra < 0 || (extra > 0 && !ellipsis) || extra > gemm::kMaxRank)
    throw Failure{TENON_INVALID_ARGUMENT, "an operand of rank " + std::to_string(rank) + " does not fit its term"};
  std::vector<int> out;
  for (int l : term) {
    if (l != kEllipsis) out.push_back(l);
    else
      for (std::int64_t i = extra - 1; i >= 0; --i) out.push_back(52 + static_cast<int>(i));
  }
  return out;
}

void EinsumOp::plan(PlanBuilder& builder) const {
  const std::size_t count = equation_.terms.size();
  Sizes sizes;
  std::vector<Operand> operands(count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto input = static_cast<std::uint32_t>(i);
    const gemm::View v = gemm::View::dense(builder.in(input));
    const std::vector<int> l = labels(equation_.terms[i], v.rank);
    Operand& o = operands[i];
    o.ref = builder.in_ref(input);
    for (int d = 0; d < v.rank; ++d) {
      const auto at = static_cast<std::size_t>(l[static_cast<std::size_t>(d)]);
      std::int64_t& size = sizes.of[at];
      if (size != v.dims[d] && size != 1 && size != -1 && v.dims[d] != 1)
        throw Failure{TENON_INVALID_ARGUMENT,
                      "sizes " + std::to_string(size) + " and " + std::to_string(v.dims[d]) + " under one label"};
      if (size == -1 || size == 1) size = v.dims[d];
      o.has[at] = true;
      if (v.dims[d] != 1) o.strides[at] += v.strides[d];  // twice in one term: the diagonal
    }
  }
  const gemm::View out_view = gemm::View::dense(builder.out(0));
  const std::vector<int> out_labels = labels(equation_.out, out_view.rank);
  Operand out;
  out.ref = builder.out_ref(0);
  for (int d = 0; d < out_view.rank; ++d) {
    const auto at = static_cast<std::size_t>(out_labels[static_cast<std::size_t>(d)]);
    if (sizes.of[at] != out_view.dims[d]) throw Failure{TENON_INVALID_ARGUMENT, "the output has another size than its label"};
    out.has[at] = true;
    out.strides[at] = out_view.strides[d];
  }
  for (int d = 0; d < out_view.rank; ++d)
    if (out_view.dims[d] == 0) return;

  if (count == 1) return contract(builder, sizes, operands[0], nullptr, out);
  Operand left = operands[0];
  for (std::size_t i = 1; i < count; ++i) {
    Operand z = out;
    if (i + 1 < count) {  // keep what the output or a later operand reads, in the order of first appearance
      z = {};
      std::int64_t stride = 1;
      for (int l = kLabels - 1; l >= 0; --l) {
        const auto at = static_cast<std::size_t>(l);
        bool wanted = out.has[at];
        for (std::size_t j = i + 1; j < count; ++j) wanted = wanted || operands[j].has[at];
        if (!wanted || (!left.has[at] && !operands[i].has[at])) continue;
        z.has[at] = true;
        // A broadcast axis keeps size 1 until an operand that has it in full comes.
        const bool full = left.strides[at] != 0 || operands[i].strides[at] != 0;
        z.strides[at] = full ? stride : 0;
        if (full) stride *= sizes.of[at];
      }
      const bool wide = dtype_ == TENON_DTYPE_DOUBLE || dtype_ == TENON_DTYPE_INT64 || dtype_ == TENON_DTYPE_UINT64;
      z.ref = builder.temp(static_cast<std::uint64_t>(std::max<std::int64_t>(stride, 1)) * (wide ? 8 : 4));
    }
    contract(builder, sizes, left, &operands[i], z);
    left = z;
  }
}

void EinsumOp::contract(PlanBuilder& builder, const Sizes& sizes, const Operand& x, const Operand* y, const Operand& z) const {
  Axes out, sum, batch, m, n, k;
  bool empty_sum = false;
  for (std::size_t l = 0; l < kLabels; ++l) {
    const bool in_x = x.has[l], in_y = y && y->has[l];
    if (!in_x && !in_y) continue;
    const Axis a{sizes.of[l], x.strides[l], y ? y->strides[l] : 0, z.strides[l]};
    if (z.has[l]) {
      if (z.strides[l] == 0) continue;  // broadcast in both: size 1 so far
      out.push(a);
      (a.x != 0 && a.y != 0 ? batch : a.x != 0 ? m : n).push(a);
    } else if (a.x == 0 && a.y == 0) {
      // Size 1 in both operands of this pair; another operand's size does not multiply the sum.
      continue;
    } else {
      empty_sum = empty_sum || a.size == 0;
      sum.push(a);
      k.push(a);
    }
  }
  const Ref y_ref = y ? y->ref : Ref{};
  if (!empty_sum && y && dtype_ == TENON_DTYPE_FLOAT && !plain_ && as_product(builder, batch, m, n, k, x.ref, y_ref, z.ref)) return;
  loop(builder, out, sum, x.ref, y_ref, z.ref);
}

void EinsumOp::loop(PlanBuilder& builder, Axes out, Axes sum, Ref x, Ref y, Ref z) const {
  out.sort([](const Axis& a) { return a.z; });
  out.merge();
  sum.sort([](const Axis& a) { return a.x; });
  sum.merge();
  StepOptions options;
  options.est_ns = static_cast<double>(out.total()) * (4 + static_cast<double>(sum.total()));
  std::vector<Ref> reads{x};
  if (y.present()) reads.push_back(y);
  const std::array<Ref, 1> writes{z};
  const auto emit = [&](auto type) { builder.step("einsum.loop", LoopStep<decltype(type)>{out, sum, x, y, z}, options, reads, writes); };
  visit_number(dtype_, [&](auto tag) { emit(typename decltype(tag)::type{}); });
}

bool EinsumOp::as_product(PlanBuilder& builder, Axes batch, Axes m, Axes n, Axes k, Ref x, Ref y, Ref z) const {
  if (m.total() * n.total() * k.total() < 64) return false;  // nearly elementwise
  const auto by_z = [](const Axis& a) { return a.z; };
  batch.sort(by_z), m.sort(by_z), n.sort(by_z);
  k.sort([](const Axis& a) { return a.x; });
  batch.merge(), m.merge(), n.merge(), k.merge();

  // The innermost axis of the output must be a row or a column of the product.
  const std::int64_t unit_m = m.count ? m.at[m.count - 1].z : 0;
  std::int64_t unit_n = n.count ? n.at[n.count - 1].z : 0;
  if (unit_n != 1 && unit_m == 1) {
    std::swap(m, n);
    std::swap(x, y);
    for (Axes* axes : {&batch, &m, &n, &k})
      for (int i = 0; i < axes->count; ++i) std::swap(axes->at[i].x, axes->at[i].y);
    unit_n = unit_m;
  }
  if (n.count && unit_n != 1) return false;

  // Axes of the sum that do not merge: make dense copies, [batch, m, k] and [batch, k, n].
  if (k.count > 1) {
    const auto dense = [&](Ref from, Axes rows, std::int64_t Axis::*stride, bool k_first) {
      Axes all;
      for (int i = 0; i < batch.count; ++i) all.push(batch.at[i]);
      const Axes& first = k_first ? k : rows;
      const Axes& second = k_first ? rows : k;
      for (int i = 0; i < first.count; ++i) all.push(first.at[i]);
      for (int i = 0; i < second.count; ++i) all.push(second.at[i]);
      std::int64_t total = 1;
      for (int i = all.count - 1; i >= 0; --i) {
        Axis& a = all.at[i];
        a = {a.size, a.*stride, 0, total};
        total *= a.size;
      }
      const Ref to = builder.temp(static_cast<std::uint64_t>(total) * sizeof(float));
      loop(builder, all, {}, from, {}, to);
      return to;
    };
    x = dense(x, m, &Axis::x, false);
    y = dense(y, n, &Axis::y, true);
    const std::int64_t km = k.total(), nm = n.total();
    std::int64_t size = km;
    for (int i = m.count - 1; i >= 0; --i) m.at[i].x = size, size *= m.at[i].size;
    for (int i = batch.count - 1; i >= 0; --i) batch.at[i].x = size, size *= batch.at[i].size;
    size = 1;
    for (int i = n.count - 1; i >= 0; --i) n.at[i].y = size, size *= n.at[i].size;
    size = nm * km;
    for (int i = batch.count - 1; i >= 0; --i) batch.at[i].y = size, size *= batch.at[i].size;
    k.count = 1;
    k.at[0] = {km, 1, nm, 0};
  }

  gemm::Problem p;
  const Axis k_axis = k.count ? k.at[0] : Axis{};
  const Axis m_axis = m.count ? m.at[--m.count] : Axis{1, 0, 0, 0};
  const Axis n_axis = n.count ? n.at[--n.count] : Axis{1, 0, 0, 1};
  p.m = m_axis.size, p.n = n_axis.size, p.k = k_axis.size;
  p.a_row = m_axis.x, p.a_k = k.count ? k_axis.x : 1;
  p.b_k = k.count ? k_axis.y : 1, p.b_column = n_axis.y;
  p.c_row = m_axis.z, p.c_column = 1;
  if (batch.count + m.count + n.count > gemm::kMaxBatchRank) return false;
  for (const Axes* axes : {&batch, &m, &n})
    for (int i = 0; i < axes->count; ++i) p.push_batch(axes->at[i].size, axes->at[i].x, axes->at[i].y, axes->at[i].z);
  gemm::ProductStep step;
  step.gemm = gemm::plan(*kernels_, p, false);
  step.a = x, step.b = y, step.c = z;
  const std::array<Ref, 2> reads{x, y};
  const std::array<Ref, 1> writes{z};
  gemm::emit(builder, "einsum.product", step, reads, writes);
  return true;
}

}  // namespace

Support supports_einsum(const NodeView& node) {
  if (node.input_count() == 0) return Support::no(TENON_REJECT_OTHER, "no operand");
  for (std::uint32_t i = 0; i < node.input_count(); ++i) {
    if (!node.has_input(i)) return Support::no(TENON_REJECT_OTHER, "an operand is omitted");
    if (node.dtype(i) != node.dtype(0) || !is_number(node.dtype(i)))
      return Support::no(TENON_REJECT_DTYPE, "no product of this type");
    if (node.rank(i) > gemm::kMaxRank) return Support::no(TENON_REJECT_RANK, "rank above 8");
  }
  if (!parse(node.string_or("equation", ""), node.input_count())) return Support::no(TENON_REJECT_ATTRIBUTE, "equation is not valid");
  return Support::yes();
}

std::unique_ptr<Op> make_einsum(const NodeView& node, CompileContext& context) {
  auto equation = parse(node.string_or("equation", ""), node.input_count());
  if (!equation) throw Failure{TENON_INVALID_ARGUMENT, "equation is not valid"};
  return std::make_unique<EinsumOp>(std::move(*equation), node.dtype(0), context);
}

}  // namespace tenon::cpu
