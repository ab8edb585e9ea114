// TopK: the k largest or smallest elements along an axis, in order; equal ones by rising index.
#include <algorithm>
#include <bit>
#include <functional>

#include "plugins/cpu/ops/reduce_family.h"
#include "plugins/cpu/ops/reduce_kernels.h"
#include "plugins/cpu/ops/reduce_types.h"

namespace tenon::cpu {
namespace {

// An unsigned number that orders as the values do; NaN is above all, as numpy sorts it.
template <class T>
auto order_key(T v) {
  if constexpr (std::is_floating_point_v<T>) {
    using U = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
    constexpr U sign = U(1) << (sizeof(U) * 8 - 1);
    if (v != v) return static_cast<U>(~U(0));
    const U bits = std::bit_cast<U>(v + T(0));  // -0 becomes +0
    return static_cast<U>(bits & sign ? ~bits : bits | sign);
  } else {
    using U = std::conditional_t<sizeof(T) <= 4, std::uint32_t, std::uint64_t>;
    if constexpr (std::is_unsigned_v<T>) return static_cast<U>(v);
    else return static_cast<U>(static_cast<U>(static_cast<std::make_signed_t<U>>(v)) ^ (U(1) << (sizeof(U) * 8 - 1)));
  }
}

// Greater entries come first: key, then the complement of the index.
struct WideEntry {
  std::uint64_t key, index;
  friend bool operator>(const WideEntry& a, const WideEntry& b) { return a.key != b.key ? a.key > b.key : a.index > b.index; }
};

template <class T>
using EntryOf = std::conditional_t<sizeof(T) <= 4, std::uint64_t, WideEntry>;

inline std::uint64_t make_entry(std::uint32_t key, std::int64_t i) {
  return std::uint64_t(key) << 32 | static_cast<std::uint32_t>(~static_cast<std::uint32_t>(i));
}
inline WideEntry make_entry(std::uint64_t key, std::int64_t i) { return {key, ~static_cast<std::uint64_t>(i)}; }
inline std::int64_t index_of(std::uint64_t entry) { return static_cast<std::uint32_t>(~static_cast<std::uint32_t>(entry)); }
inline std::int64_t index_of(const WideEntry& entry) { return static_cast<std::int64_t>(~entry.index); }

// Room for the k best and as many candidates.
std::int64_t buffer_entries(std::int64_t n, std::int64_t k) { return std::min(n, 2 * k + 64); }

struct TopKStep {
  Ref x, values, indices, scratch;
  std::uint64_t scratch_bytes;
  std::int64_t outer, n, inner, k;
  std::int32_t dtype;
  bool largest, plain;

  void operator()(const StepContext& c) const {
    const auto slice = c.slice(outer * inner);
    if (slice.begin >= slice.end) return;
    visit_number(dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      auto* buffer = worker_scratch<EntryOf<T>>(c, scratch, scratch_bytes);
      for (std::int64_t line = slice.begin; line < slice.end; ++line) {
        const std::int64_t o = line / inner, i = line % inner;
        const T* in = c.ptr<const T>(x) + o * n * inner + i;
        T* v = values.present() ? c.ptr<T>(values) + o * k * inner + i : nullptr;
        std::int64_t* at = indices.present() ? c.ptr<std::int64_t>(indices) + o * k * inner + i : nullptr;
        select<T>(in, buffer);
        for (std::int64_t j = 0; j < k; ++j) {
          const std::int64_t index = index_of(buffer[j]);
          if (v) v[j * inner] = in[index * inner];
          if (at) at[j * inner] = index;
        }
      }
    });
  }

  template <class T>
  EntryOf<T> entry(const T* in, std::int64_t i) const {
    using Key = decltype(order_key(T()));
    const Key flip = largest ? Key(0) : static_cast<Key>(~Key(0));
    return make_entry(static_cast<Key>(order_key<T>(in[i * inner]) ^ flip), i);
  }

  // The next candidate from i on: one that may beat the entry of index `worst`.
  template <class T>
  std::int64_t next(const T* in, std::int64_t i, std::int64_t worst) const {
    if constexpr (std::is_same_v<T, float>) {
      if (inner == 1 && !plain && in[worst] == in[worst]) return find_beyond(largest, in, i, n, in[worst]);
    }
    return i;
  }

  // Leaves the k best at the start of the buffer, in order.
  template <class T>
  void select(const T* in, EntryOf<T>* buffer) const {
    if (k <= few && k < n) return select_few<T>(in, buffer);
    const std::int64_t capacity = buffer_entries(n, k);
    std::int64_t count = 0, i = 0;
    for (; i < capacity; ++i) buffer[count++] = entry<T>(in, i);
    // Collects what beats the k-th best so far; a full buffer is cut back to k.
    const auto cut = [&] { std::nth_element(buffer, buffer + k - 1, buffer + count, std::greater<>()), count = k; };
    if (i < n) {
      cut();
      EntryOf<T> bound = buffer[k - 1];
      for (i = next<T>(in, i, index_of(bound)); i < n; i = next<T>(in, i + 1, index_of(bound))) {
        const EntryOf<T> candidate = entry<T>(in, i);
        if (!(candidate > bound)) continue;
        buffer[count++] = candidate;
        if (count < capacity) continue;
        cut();
        bound = buffer[k - 1];
      }
    }
    if (k < count) cut();
    std::sort(buffer, buffer + k, std::greater<>());
  }

  // A small k: the list is kept in order.
  template <class T>
  void select_few(const T* in, EntryOf<T>* buffer) const {
    for (std::int64_t i = 0; i < k; ++i) buffer[i] = entry<T>(in, i);
    std::sort(buffer, buffer + k, std::greater<>());
    for (std::int64_t i = next<T>(in, k, index_of(buffer[k - 1])); i < n; i = next<T>(in, i + 1, index_of(buffer[k - 1]))) {
      const EntryOf<T> candidate = entry<T>(in, i);
      std::int64_t at = k;
      while (at > 0 && candidate > buffer[at - 1]) --at;
      if (at == k) continue;
      std::copy_backward(buffer + at, buffer + k - 1, buffer + k);
      buffer[at] = candidate;
    }
  }

  static constexpr std::int64_t few = 32;
};

class TopKOp final : public Op {
 public:
  explicit TopKOp(const NodeView& node) : axis_(node.int_or("axis", -1)), largest_(node.int_or("largest", 1) != 0) {}

  void plan(PlanBuilder& builder) const override {
    const Shape& in = builder.in(0);
    const std::int64_t axis = normal_axis(axis_, in.rank());
    const Shape& out = builder.out_ref(0).present() ? builder.out(0) : builder.out(1);
    const std::int64_t n = in[axis], outer = in.outer(axis), inner = in.inner(axis);
    const std::int64_t k = known_integer(builder.in(1)).value_or(out.rank() == in.rank() ? out[axis] : -1);
    if (k < 0 || k > n) invalid_argument("K is " + std::to_string(k) + ", the axis has " + std::to_string(n) + " elements");
    if (n > std::int64_t(UINT32_MAX)) throw Failure{TENON_UNIMPLEMENTED, "TopK over more than 2^32 elements"};
    if (k == 0 || outer * inner == 0) return;
    std::uint64_t entry = 0;
    visit_number(in.dtype, [&](auto tag) { entry = sizeof(EntryOf<typename decltype(tag)::type>); });
    const std::uint64_t bytes = static_cast<std::uint64_t>(buffer_entries(n, k)) * entry;
    builder.step("TopK",
                 TopKStep{builder.in_ref(0), builder.out_ref(0), builder.out_ref(1), builder.scratch(bytes), bytes, outer, n, inner, k,
                          in.dtype, largest_, builder.options().plain},
                 {.est_ns = static_cast<double>(in.count()) * 2});
  }

 private:
  std::int64_t axis_;
  bool largest_;
};

Support supports(const NodeView& node) { return is_number(node.dtype(0)) ? Support::yes() : refuse_dtype(node.dtype(0)); }

}  // namespace

std::span<const OpRow> topk_rows() {
  static const OpRow rows[] = {
      {"", "TopK", supports, [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<TopKOp>(node); }},
  };
  return rows;
}

}  // namespace tenon::cpu
