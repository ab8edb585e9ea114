// Unique: the different elements, or slices along an axis, with where they came from and how often.
#include <algorithm>
#include <numeric>
#include <utility>

#include "plugins/cpu/ops/elements.h"
#include "plugins/cpu/ops/movement.h"

namespace tenon::cpu {
namespace {

// -1, 0, 1; NaN comes after every number and equals NaN.
template <class T>
int order(T a, T b) {
  if (a < b) return -1;
  if (a > b) return 1;
  if (a == b) return 0;
  return (a != a) - (b != b);
}
template <class T>
int order_at(const void* data, std::int64_t a, std::int64_t b) {
  return order(static_cast<const T*>(data)[a], static_cast<const T*>(data)[b]);
}
// Complex numbers by real part, then imaginary part.
template <class T>
int order_complex(const void* data, std::int64_t a, std::int64_t b) {
  const int real = order_at<T>(data, 2 * a, 2 * b);
  return real ? real : order_at<T>(data, 2 * a + 1, 2 * b + 1);
}
int order_texts(const void* data, std::int64_t a, std::int64_t b) {
  const auto* texts = static_cast<const std::string_view*>(data);
  const int by = texts[a].compare(texts[b]);
  return by < 0 ? -1 : by > 0;
}

// Positions of n elements, in the order of the elements and among equal ones by position.
template <class T>
void sort_elements(const void* data, std::vector<std::int64_t>& items) {
  std::vector<std::pair<T, std::int64_t>> pairs(items.size());
  for (std::size_t i = 0; i < items.size(); ++i) pairs[i] = {static_cast<const T*>(data)[i], static_cast<std::int64_t>(i)};
  std::sort(pairs.begin(), pairs.end(), [](const auto& a, const auto& b) {
    const int by = order(a.first, b.first);
    return by != 0 ? by < 0 : a.second < b.second;
  });
  for (std::size_t i = 0; i < items.size(); ++i) items[i] = pairs[i].second;
}
using SortFn = void (*)(const void* data, std::vector<std::int64_t>& items);
// For the types that flat lists mostly have; null for others.
SortFn find_sort(std::int32_t dtype) {
  switch (dtype) {
    case TENON_DTYPE_FLOAT: return sort_elements<float>;
    case TENON_DTYPE_INT32: return sort_elements<std::int32_t>;
    case TENON_DTYPE_INT64: return sort_elements<std::int64_t>;
    default: return nullptr;
  }
}

using OrderFn = int (*)(const void* data, std::int64_t a, std::int64_t b);
OrderFn find_order(std::int32_t dtype) {
  switch (dtype) {
    case TENON_DTYPE_FLOAT: return order_at<float>;
    case TENON_DTYPE_DOUBLE: return order_at<double>;
    case TENON_DTYPE_INT8: return order_at<std::int8_t>;
    case TENON_DTYPE_UINT8: case TENON_DTYPE_BOOL: return order_at<std::uint8_t>;
    case TENON_DTYPE_INT16: return order_at<std::int16_t>;
    case TENON_DTYPE_UINT16: return order_at<std::uint16_t>;
    case TENON_DTYPE_INT32: return order_at<std::int32_t>;
    case TENON_DTYPE_UINT32: return order_at<std::uint32_t>;
    case TENON_DTYPE_INT64: return order_at<std::int64_t>;
    case TENON_DTYPE_UINT64: return order_at<std::uint64_t>;
    case TENON_DTYPE_COMPLEX64: return order_complex<float>;
    case TENON_DTYPE_COMPLEX128: return order_complex<double>;
    case TENON_DTYPE_STRING: return order_texts;
    default: return nullptr;
  }
}

struct UniqueStep {
  static constexpr std::size_t max_rank = 32;
  bool flat, sorted;
  Element kind;
  OrderFn order;
  SortFn sort;                             // null: by order
  std::size_t rank;
  const std::int64_t* dims;                // null where flat
  std::int64_t axis, outer, size, inner;   // items are [outer, :, inner] at an index of the axis
  Ref x;
  Output out[4];
  std::int32_t half;

  int compare(const void* data, std::int64_t a, std::int64_t b) const {
    for (std::int64_t o = 0; o < outer; ++o)
      for (std::int64_t i = 0; i < inner; ++i)
        if (const int by = order(data, (o * size + a) * inner + i, (o * size + b) * inner + i)) return by;
    return 0;
  }

  void operator()(const StepContext& c) const {
    std::vector<std::string_view> texts;
    const void* data;
    if (kind == Element::text) {
      texts.resize(static_cast<std::size_t>(outer * size * inner));
      for (std::size_t i = 0; i < texts.size(); ++i) texts[i] = c.text(x, static_cast<std::int64_t>(i));
      data = texts.data();
    } else {
      data = c.ptr<const void>(x);
    }
    // Equal items stand together, the first occurrence first; a group is known by its first occurrence.
    const auto n = static_cast<std::size_t>(size);
    std::vector<std::int64_t> items(n), inverse(n), firsts, counts;
    std::iota(items.begin(), items.end(), std::int64_t{0});
    if (sort) sort(data, items);
    else std::stable_sort(items.begin(), items.end(), [&](std::int64_t a, std::int64_t b) { return compare(data, a, b) < 0; });
    for (std::size_t i = 0; i < n; ++i) {
      if (i == 0 || compare(data, items[i - 1], items[i]) != 0) firsts.push_back(items[i]), counts.push_back(0);
      ++counts.back();
      inverse[static_cast<std::size_t>(items[i])] = static_cast<std::int64_t>(firsts.size()) - 1;
    }
    if (!sorted) by_occurrence(firsts, counts, inverse);
    write(c, firsts, counts, inverse);
  }

  static void by_occurrence(std::vector<std::int64_t>& firsts, std::vector<std::int64_t>& counts, std::vector<std::int64_t>& inverse) {
    std::vector<std::int64_t> groups(firsts.size()), place(firsts.size());
    std::iota(groups.begin(), groups.end(), std::int64_t{0});
    const auto at = [](std::vector<std::int64_t>& v, std::int64_t i) -> std::int64_t& { return v[static_cast<std::size_t>(i)]; };
    std::sort(groups.begin(), groups.end(), [&](std::int64_t a, std::int64_t b) { return at(firsts, a) < at(firsts, b); });
    std::vector<std::int64_t> new_firsts, new_counts;
    for (std::int64_t g : groups) {
      at(place, g) = static_cast<std::int64_t>(new_firsts.size());
      new_firsts.push_back(at(firsts, g)), new_counts.push_back(at(counts, g));
    }
    for (std::int64_t& i : inverse) i = at(place, i);
    firsts = std::move(new_firsts), counts = std::move(new_counts);
  }

  void write(const StepContext& c, const std::vector<std::int64_t>& firsts, const std::vector<std::int64_t>& counts,
             const std::vector<std::int64_t>& inverse) const {
    const auto found = static_cast<std::int64_t>(firsts.size());
    tenon_address address;
    if (out[0].wanted()) {
      std::int64_t sizes[max_rank] = {};
      if (dims) std::copy(dims, dims + rank, sizes);
      sizes[axis] = found;
      if (!open_output(c, out[0], std::span<const std::int64_t>(sizes, rank), address)) return;
      const Copier copier(c, kind, x, &address, half);
      for (std::int64_t o = 0; o < outer; ++o)
        for (std::int64_t k = 0; k < found; ++k)
          copier.copy((o * found + k) * inner, (o * size + firsts[static_cast<std::size_t>(k)]) * inner, inner);
    }
    const std::vector<std::int64_t>* lists[] = {&firsts, &inverse, &counts};
    for (std::size_t i = 0; i < 3; ++i) {
      if (!out[i + 1].wanted()) continue;
      if (!open_output(c, out[i + 1], {static_cast<std::int64_t>(lists[i]->size())}, address)) return;
      std::copy(lists[i]->begin(), lists[i]->end(), data_of<std::int64_t>(address));
    }
  }
};

class UniqueOp final : public Op {
 public:
  explicit UniqueOp(const NodeView& node)
      : outputs_(node.output_count()),
        flat_(node.attribute("axis") == nullptr),
        sorted_(node.int_or("sorted", 1) != 0),
        axis_(node.int_or("axis", 0)),
        half_(half_output(node, 0)) {}

  void plan(PlanBuilder& b) const override {
    const Shape& x = b.in(0);
    UniqueStep s{};
    s.flat = flat_, s.sorted = sorted_;
    s.kind = element_of(x.dtype), s.order = find_order(x.dtype), s.sort = flat_ ? find_sort(x.dtype) : nullptr;
    s.axis = flat_ ? 0 : checked_axis(axis_, x.rank());
    s.rank = flat_ ? 1 : x.dims.size();
    if (s.rank > UniqueStep::max_rank) throw Failure{TENON_UNIMPLEMENTED, "Unique of rank " + std::to_string(x.rank())};
    s.dims = flat_ ? nullptr : b.keep(x.dims);
    s.outer = flat_ ? 1 : x.outer(s.axis), s.size = flat_ ? x.count() : x[s.axis], s.inner = flat_ ? 1 : x.inner(s.axis);
    s.x = b.in_ref(0);
    s.half = half_;
    std::vector<Ref> writes;
    for (std::uint32_t i = 0; i < std::min<std::uint32_t>(outputs_, 4); ++i) {
      s.out[i] = output_of(b, i);
      if (s.out[i].wanted()) writes.push_back(s.out[i].ref);
    }
    StepOptions options;
    options.spmd = false, options.allocates = true;
    options.est_ns = static_cast<double>(x.count()) * 50;
    b.step("unique", s, options, {{s.x}}, writes);
  }

 private:
  std::uint32_t outputs_;
  bool flat_, sorted_;
  std::int64_t axis_;
  std::int32_t half_;
};

Support supports(const NodeView& node) {
  if (!find_order(node.dtype(0)))
    return Support::no(TENON_REJECT_DTYPE, "elements of type " + std::to_string(node.dtype(0)) + " have no order");
  return any_type(node);
}

constexpr OpRow rows[] = {
    {"", "Unique", supports, [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<UniqueOp>(node); },
     true},
};

}  // namespace

std::span<const OpRow> unique_rows() { return rows; }

}  // namespace tenon::cpu
