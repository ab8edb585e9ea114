// Sequence and optional operators: they move handles; only splitting and joining tensors copies bytes.
#include <algorithm>
#include <cstring>
#include <numeric>

#include "core/run/execution.h"
#include "core/run/map_steps.h"

namespace tenon {
namespace {

using Inputs = std::vector<Datum>;

// A datum that outlives the run it came from: values fed by the caller are copied, ours are shared.
Result<Datum> held(const Datum& d) {
  if (d.kind == TENON_KIND_TENSOR && !d.keep && !d.strings) return copy_datum(d);
  Datum out = d;
  for (Datum& item : out.items) TENON_SET(item, held(item));
  return out;
}

Result<std::int64_t> integer(const Datum& d, std::string_view what) {
  if (d.kind != TENON_KIND_TENSOR || d.count() != 1 || (d.dtype != TENON_DTYPE_INT64 && d.dtype != TENON_DTYPE_INT32))
    return invalid("{} must be one int64 or int32, found {} of shape {}", what, dtype_name(d.dtype), dims_text(d.dims));
  if (d.dtype == TENON_DTYPE_INT64) {
    std::int64_t v;
    std::memcpy(&v, d.data, 8);
    return v;
  }
  std::int32_t v;
  std::memcpy(&v, d.data, 4);
  return std::int64_t{v};
}

// A position in a sequence; one_past: the end counts too.
Result<std::size_t> position(const Datum& index, std::size_t size, bool one_past) {
  TENON_ASSIGN(std::int64_t at, integer(index, "the position"));
  const auto n = static_cast<std::int64_t>(size);
  const std::int64_t given = at;
  if (at < 0) at += n;
  if (at < 0 || at >= n + (one_past ? 1 : 0)) return error(TENON_OUT_OF_RANGE, "position {} is outside a sequence of {} elements", given, size);
  return static_cast<std::size_t>(at);
}

struct Axis {
  std::size_t outer = 1, size = 1, inner = 1;
  std::size_t axis = 0;
};
Result<Axis> split_axis(const Dims& dims, std::int64_t axis) {
  const auto rank = static_cast<std::int64_t>(dims.size());
  if (axis < -rank || axis >= rank) return invalid("axis {} is outside rank {}", axis, rank);
  Axis a;
  a.axis = static_cast<std::size_t>(axis < 0 ? axis + rank : axis);
  for (std::size_t d = 0; d < dims.size(); ++d) (d < a.axis ? a.outer : d == a.axis ? a.size : a.inner) *= static_cast<std::size_t>(dims[d]);
  return a;
}

// Copies `count` entries along the axis between two tensors that agree elsewhere.
void copy_range(const Datum& from, std::size_t from_at, std::size_t from_size, Datum& to, std::size_t to_at, std::size_t to_size, std::size_t count,
                const Axis& a) {
  for (std::size_t o = 0; o < a.outer; ++o)
    copy_elements(to, (o * to_size + to_at) * a.inner, from, (o * from_size + from_at) * a.inner, count * a.inner);
}

Result<Datum> split_to_sequence(const Node& node, const Inputs& in) {
  const Datum& x = in[0];
  TENON_ASSIGN(const Axis a, split_axis(x.dims, node.int_or("axis", 0)));
  std::vector<std::int64_t> sizes;
  bool keep = true;
  const auto n = static_cast<std::int64_t>(a.size);
  if (in.size() < 2 || in[1].dtype == TENON_DTYPE_UNDEFINED) {
    keep = node.int_or("keepdims", 1) != 0;
    sizes.assign(a.size, 1);
  } else if (in[1].dims.empty()) {
    TENON_ASSIGN(const std::int64_t each, integer(in[1], "split"));
    if (each <= 0) return invalid("split must be positive, found {}", each);
    for (std::int64_t at = 0; at < n; at += each) sizes.push_back(std::min(each, n - at));
  } else {
    for (std::int64_t i = 0; i < in[1].count(); ++i) {
      Datum one = in[1];
      const std::size_t width = static_cast<std::size_t>(dtype_bits(one.dtype)) / 8;
      one.dims = {};
      one.data += static_cast<std::size_t>(i) * width;
      TENON_ASSIGN(const std::int64_t s, integer(one, "split"));
      if (s < 0 || s > n) return invalid("split has the size {}, the axis has {}", s, n);
      sizes.push_back(s);
    }
    if (std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0}) != n) return invalid("the sizes of split do not add up to {}", n);
  }
  Datum out;
  out.kind = TENON_KIND_SEQUENCE;
  out.dtype = x.dtype;
  std::size_t at = 0;
  for (std::int64_t s : sizes) {
    Dims dims = x.dims;
    dims[a.axis] = s;
    TENON_ASSIGN(Datum part, Datum::tensor(x.dtype, dims));
    copy_range(x, at, a.size, part, 0, static_cast<std::size_t>(s), static_cast<std::size_t>(s), a);
    at += static_cast<std::size_t>(s);
    if (!keep) part.dims.erase(part.dims.begin() + static_cast<std::ptrdiff_t>(a.axis));
    out.items.push_back(std::move(part));
  }
  return out;
}

Result<Datum> concat_from_sequence(const Node& node, const Inputs& in) {
  const std::vector<Datum>& items = in[0].items;
  if (items.empty()) return invalid("the sequence is empty: there is nothing to join");
  const bool stack = node.int_or("new_axis", 0) != 0;
  std::int64_t axis = node.int_or("axis", 0);
  std::vector<Datum> parts = items;
  if (stack) {
    const auto rank = static_cast<std::int64_t>(items[0].dims.size()) + 1;
    if (axis < -rank || axis >= rank) return invalid("axis {} is outside rank {}", axis, rank);
    if (axis < 0) axis += rank;
    for (Datum& p : parts) {
      if (axis > static_cast<std::int64_t>(p.dims.size())) return invalid("elements have shapes {} and {}", dims_text(items[0].dims), dims_text(p.dims));
      p.dims.insert(p.dims.begin() + axis, 1);
    }
  }
  TENON_ASSIGN(Axis a, split_axis(parts[0].dims, axis));
  Dims dims = parts[0].dims;
  dims[a.axis] = 0;
  for (const Datum& p : parts) {
    Dims expected = parts[0].dims;
    if (p.dims.size() != expected.size() || p.dtype != parts[0].dtype) return invalid("elements have shapes {} and {}", dims_text(expected), dims_text(p.dims));
    expected[a.axis] = p.dims[a.axis];
    if (expected != p.dims) return invalid("elements have shapes {} and {}; they may differ in axis {} only", dims_text(parts[0].dims), dims_text(p.dims), a.axis);
    dims[a.axis] += p.dims[a.axis];
  }
  TENON_ASSIGN(Datum out, Datum::tensor(parts[0].dtype, dims));
  std::size_t at = 0;
  for (const Datum& p : parts) {
    const auto n = static_cast<std::size_t>(p.dims[a.axis]);
    copy_range(p, 0, n, out, at, static_cast<std::size_t>(dims[a.axis]), n, a);
    at += n;
  }
  return out;
}

Result<Datum> handle_step(const Execution& e, const Node& node, const Inputs& in) {
  const std::string& op = node.op_type;
  if (node.domain == "ai.onnx.ml") return run_map_operator(node, in);
  if (!node.domain.empty()) return error(TENON_UNIMPLEMENTED, "core does not run this operator on sequences, optionals or maps");
  const auto need = [&](std::size_t i, std::int32_t kind) -> Status {
    if (i < in.size() && in[i].kind == kind) return {};
    return invalid("input {} must be a {}", i, kind == TENON_KIND_SEQUENCE ? "sequence" : "tensor");
  };
  if (op == "Identity" || op == "Optional") {
    Datum out;
    if (op == "Identity") return held(in[0]);
    out.kind = TENON_KIND_OPTIONAL;
    if (!in.empty()) TENON_SET(out.items.emplace_back(), held(in[0]));
    return out;
  }
  if (op == "OptionalHasElement" || op == "OptionalGetElement") {
    const bool given = !in.empty() && (in[0].kind != TENON_KIND_OPTIONAL || !in[0].items.empty());
    if (op == "OptionalHasElement") {
      TENON_ASSIGN(Datum out, Datum::tensor(TENON_DTYPE_BOOL, {}));
      *out.data = std::byte{given};
      return out;
    }
    if (!given) return invalid("the optional holds no element");
    return held(in[0].kind == TENON_KIND_OPTIONAL ? in[0].items[0] : in[0]);
  }
  Datum out;
  out.kind = TENON_KIND_SEQUENCE;
  if (op == "SequenceEmpty") {
    out.dtype = static_cast<DType>(node.int_or("dtype", TENON_DTYPE_FLOAT));
    return out;
  }
  if (op == "SequenceConstruct") {
    out.dtype = in.empty() ? TENON_DTYPE_UNDEFINED : in[0].dtype;
    for (const Datum& d : in) {
      if (d.dtype != out.dtype) return invalid("elements of {} and {} cannot be in one sequence", dtype_name(out.dtype), dtype_name(d.dtype));
      TENON_SET(out.items.emplace_back(), held(d));
    }
    return out;
  }
  if (op == "SplitToSequence") return split_to_sequence(node, in);
  TENON_TRY(need(0, TENON_KIND_SEQUENCE));
  const Datum& sequence = in[0];
  if (op == "ConcatFromSequence") return concat_from_sequence(node, in);
  if (op == "SequenceLength") {
    TENON_ASSIGN(Datum n, Datum::tensor(TENON_DTYPE_INT64, {}));
    const auto size = static_cast<std::int64_t>(sequence.items.size());
    std::memcpy(n.data, &size, 8);
    return n;
  }
  if (op == "SequenceAt") {
    TENON_TRY(need(1, TENON_KIND_TENSOR));
    TENON_ASSIGN(const std::size_t at, position(in[1], sequence.items.size(), false));
    return held(sequence.items[at]);
  }
  if (op == "SequenceInsert") {
    TENON_TRY(need(1, TENON_KIND_TENSOR));
    TENON_SET(out, held(sequence));
    std::size_t at = out.items.size();
    if (in.size() > 2 && in[2].dtype != TENON_DTYPE_UNDEFINED) TENON_SET(at, position(in[2], out.items.size(), true));
    if (!out.items.empty() && out.items[0].dtype != in[1].dtype)
      return invalid("a tensor of {} cannot go into a sequence of {}", dtype_name(in[1].dtype), dtype_name(out.items[0].dtype));
    TENON_ASSIGN(Datum item, held(in[1]));
    out.dtype = item.dtype;
    out.items.insert(out.items.begin() + static_cast<std::ptrdiff_t>(at), std::move(item));
    return out;
  }
  if (op == "SequenceErase") {
    if (sequence.items.empty()) return error(TENON_OUT_OF_RANGE, "the sequence is empty");
    TENON_SET(out, held(sequence));
    std::size_t at = out.items.size() - 1;
    if (in.size() > 1 && in[1].dtype != TENON_DTYPE_UNDEFINED) TENON_SET(at, position(in[1], out.items.size(), false));
    out.items.erase(out.items.begin() + static_cast<std::ptrdiff_t>(at));
    return out;
  }
  (void)e;
  return error(TENON_UNIMPLEMENTED, "core does not run this operator on sequences, optionals or maps");
}

}  // namespace

Status run_handle_step(Execution& e, NodeId id) {
  const Node& node = e.graph().nodes[id];
  Inputs in;
  for (ValueId v : node.inputs) {
    Datum& d = in.emplace_back();
    if (v != none) TENON_SET(d, e.datum(v));
  }
  TENON_ASSIGN(Datum out, handle_step(e, node, in));
  if (!node.outputs.empty() && node.outputs[0] != none) e.set(node.outputs[0], std::move(out));
  return {};
}

}  // namespace tenon
