// If, Loop, Scan and SequenceMap: bodies run as blocks of their own, with the values they take from outside as feeds. What only
// a device's memory needs stays there from one run of a body to the next.
#include <chrono>
#include <cstring>

#include "core/run/execution.h"

namespace tenon {
namespace {

// A value between runs of a body: its elements are on the host, or in the memory of a device.
struct Carried {
  Datum datum;  // without data where they are on the device
  std::shared_ptr<DeviceBuffer> buffer;
};

Result<Carried> taken(Execution& e, NodeId n, ValueId v) {
  Carried out;
  if ((out.buffer = e.on_device(n, v))) out.datum = e.shape_of(v);
  else TENON_SET(out.datum, e.datum(v));
  return out;
}

// Brings what was carried to the end to the host.
Result<Datum> on_host(Execution& e, Carried&& c, const DeviceMemory& memory) {
  if (!c.buffer) return std::move(c.datum);
  const auto now = [] { return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count()); };
  const std::uint64_t start = now();
  TENON_ASSIGN(Datum out, Datum::tensor(c.datum.dtype, c.datum.dims));
  Device& device = *memory.device;
  const int route = device.route(memory.domain, TENON_ROUTE_HOST);
  if (route < 0) return internal("device \"{}\" has no route to the host", device.info().name);
  if (out.bytes) TENON_TRY(device.copy(static_cast<std::uint32_t>(route), nullptr, datum_address(out), c.buffer->address(), out.bytes));
  if (Profile* profile = e.state().profile) profile->events.push_back({"copy what was carried", "Copy", device.provider().id(), start, now() - start});
  return out;
}

// A body with what it takes from the graph around it; its own inputs are given with every call. What only a device reads is
// copied there in the first run and stays.
class Body {
 public:
  Body(Execution& execution, const Block& block, NodeId node) : execution_(execution), block_(block), node_(node) {}

  Status capture() {
    for (const OuterValue& o : block_.graph().outer) TENON_SET(outer_.emplace_back(), taken(execution_, node_, o.parent));
    return {};
  }
  // Output o is fed as input i to the next run: it may stay where both are.
  void carry(std::size_t output, std::size_t input) {
    const Graph& g = block_.graph();
    if (output < g.outputs.size() && input < g.inputs.size() && block_.output_memory(output).same(block_.feed_memory(input))) carried_.push_back(output);
  }
  // outputs get memory of their own.
  Status run(std::span<const Carried* const> inputs, std::vector<Carried>& outputs) {
    const Graph& g = block_.graph();
    if (inputs.size() != g.inputs.size()) return invalid("its body takes {} inputs, {} are given", g.inputs.size(), inputs.size());
    feeds_.clear();
    residents_.clear();
    for (const Carried* c : inputs) feeds_.push_back(&c->datum);
    for (const Carried& c : outer_) feeds_.push_back(&c.datum);
    for (std::size_t i = 0; i < inputs.size(); ++i)
      if (inputs[i]->buffer) residents_.push_back({block_.feeds()[i], block_.feed_memory(i), inputs[i]->buffer});
    const std::size_t outer = residents_.size();
    for (std::size_t i = 0; i < outer_.size(); ++i)
      if (const DeviceMemory& memory = block_.feed_memory(inputs.size() + i); memory.device)
        residents_.push_back({block_.feeds()[inputs.size() + i], memory, outer_[i].buffer});
    const std::size_t made = residents_.size();
    for (std::size_t o : carried_) residents_.push_back({g.outputs[o], block_.output_memory(o), nullptr});
    data_.clear();
    data_.resize(g.outputs.size());
    TENON_TRY(block_.run(execution_.state(), feeds_, data_, nullptr, residents_));
    for (std::size_t i = 0, r = outer; r < made; ++i)
      if (block_.feed_memory(inputs.size() + i).device) outer_[i].buffer = residents_[r++].buffer;
    outputs.clear();
    for (Datum& d : data_) outputs.push_back({std::move(d), nullptr});
    for (std::size_t i = 0; i < carried_.size(); ++i) outputs[carried_[i]].buffer = std::move(residents_[made + i].buffer);
    return {};
  }
  const Graph& graph() const { return block_.graph(); }
  const Block& block() const { return block_; }

 private:
  Execution& execution_;
  const Block& block_;
  const NodeId node_;
  std::vector<Carried> outer_;
  std::vector<std::size_t> carried_;
  std::vector<const Datum*> feeds_;
  std::vector<Resident> residents_;
  std::vector<Datum> data_;
};

template <class T>
Result<T> scalar(const Datum& d, DType dtype, std::string_view what) {
  if (d.kind != TENON_KIND_TENSOR || d.dtype != dtype || d.count() != 1)
    return invalid("{} must be one element of {}, found {} of shape {}", what, dtype_name(dtype), dtype_name(d.dtype), dims_text(d.dims));
  T value{};
  std::memcpy(&value, d.data, sizeof value);
  return value;
}

template <class T>
Datum scalar_datum(T& value, DType dtype) {
  Datum d;
  d.dtype = dtype;
  d.data = reinterpret_cast<std::byte*>(&value);
  d.bytes = sizeof value;
  return d;
}

void set_output(Execution& e, const Node& node, std::size_t i, Datum datum) {
  if (i < node.outputs.size() && node.outputs[i] != none) e.set(node.outputs[i], std::move(datum));
}

// Equal tensors side by side along a new axis. like: the type when there are none.
Result<Datum> stack(const std::vector<Datum>& parts, const Type& like, std::int64_t axis, bool reverse) {
  Datum out;
  if (parts.empty()) {
    Dims dims{0};
    if (like.dims)
      for (const Dim& d : *like.dims) dims.push_back(d.fixed() ? d.value : 0);
    return Datum::tensor(like.dtype, std::move(dims));
  }
  const Datum& first = parts[0];
  for (const Datum& p : parts)
    if (p.dtype != first.dtype || p.dims != first.dims)
      return invalid("a scan output has shape {} in one iteration and {} in another", dims_text(first.dims), dims_text(p.dims));
  const auto rank = static_cast<std::int64_t>(first.dims.size()) + 1;
  if (axis < -rank || axis >= rank) return invalid("scan output axis {} is outside [{}, {}]", axis, -rank, rank - 1);
  const auto at = static_cast<std::size_t>(axis < 0 ? axis + rank : axis);
  Dims dims = first.dims;
  dims.insert(dims.begin() + static_cast<std::ptrdiff_t>(at), static_cast<std::int64_t>(parts.size()));
  TENON_SET(out, Datum::tensor(first.dtype, dims));
  std::int64_t outer = 1;
  for (std::size_t d = 0; d < at; ++d) outer *= dims[d];
  const std::size_t n = parts.size();
  const std::size_t inner = outer ? static_cast<std::size_t>(first.count() / outer) : 0;
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t o = 0; o < static_cast<std::size_t>(outer); ++o) copy_elements(out, (o * n + (reverse ? n - 1 - i : i)) * inner, parts[i], o * inner, inner);
  return out;
}

Status run_if(Execution& e, NodeId id) {
  const Node& node = e.graph().nodes[id];
  TENON_ASSIGN(const Datum condition, e.datum(node.inputs[0]));
  TENON_ASSIGN(const std::uint8_t yes, scalar<std::uint8_t>(condition, TENON_DTYPE_BOOL, "its condition"));
  Body body(e, *e.block().body(id, yes ? 1 : 0), id);  // attributes are sorted: else_branch, then_branch
  TENON_TRY(body.capture());
  std::vector<Carried> outputs;
  TENON_TRY(body.run({}, outputs));
  for (std::size_t i = 0; i < outputs.size(); ++i) set_output(e, node, i, std::move(outputs[i].datum));
  return {};
}

Status run_loop(Execution& e, NodeId id) {
  const Node& node = e.graph().nodes[id];
  std::int64_t trips = INT64_MAX;
  std::uint8_t go = 1;
  if (!node.inputs.empty() && node.inputs[0] != none) {
    TENON_ASSIGN(const Datum d, e.datum(node.inputs[0]));
    TENON_SET(trips, scalar<std::int64_t>(d, TENON_DTYPE_INT64, "its trip count"));
  }
  if (node.inputs.size() > 1 && node.inputs[1] != none) {
    TENON_ASSIGN(const Datum d, e.datum(node.inputs[1]));
    TENON_SET(go, scalar<std::uint8_t>(d, TENON_DTYPE_BOOL, "its condition"));
  }
  Body body(e, *e.block().body(id, 0), id);
  TENON_TRY(body.capture());
  const std::size_t carried = body.graph().inputs.size() - 2;
  const std::size_t scans = body.graph().outputs.size() - 1 - carried;
  std::vector<Carried> state(carried), outputs;
  for (std::size_t i = 0; i < carried; ++i) {
    TENON_SET(state[i], taken(e, id, node.inputs[i + 2]));
    body.carry(i + 1, i + 2);
  }
  std::vector<std::vector<Datum>> collected(scans);
  std::vector<const Carried*> inputs(carried + 2);
  bool ran = false;
  for (std::int64_t trip = 0; trip < trips && go; ++trip) {
    if (e.state().control.stop()) return e.state().control.take();
    const Carried iteration{scalar_datum(trip, TENON_DTYPE_INT64), nullptr}, condition{scalar_datum(go, TENON_DTYPE_BOOL), nullptr};
    inputs[0] = &iteration, inputs[1] = &condition;
    for (std::size_t i = 0; i < carried; ++i) inputs[i + 2] = &state[i];
    TENON_TRY(body.run(inputs, outputs));
    TENON_SET(go, scalar<std::uint8_t>(outputs[0].datum, TENON_DTYPE_BOOL, "the condition that its body makes"));
    for (std::size_t i = 0; i < carried; ++i) state[i] = std::move(outputs[i + 1]);
    for (std::size_t i = 0; i < scans; ++i) collected[i].push_back(std::move(outputs[carried + 1 + i].datum));
    ran = true;
  }
  for (std::size_t i = 0; i < carried; ++i) {
    const bool callers = !ran && !state[i].buffer;
    TENON_ASSIGN(Datum last, on_host(e, std::move(state[i]), body.block().feed_memory(i + 2)));
    if (callers) TENON_SET(last, copy_datum(last));
    set_output(e, node, i, std::move(last));
  }
  for (std::size_t i = 0; i < scans; ++i) {
    TENON_ASSIGN(Datum all, stack(collected[i], body.graph().values[body.graph().outputs[carried + 1 + i]].type, 0, false));
    set_output(e, node, carried + i, std::move(all));
  }
  return {};
}

// Element `index` of a tensor along an axis; shares the bytes where they are contiguous.
Result<Datum> slice(const Datum& from, std::size_t axis, std::int64_t index) {
  Dims dims = from.dims;
  const std::int64_t size = dims[axis];
  dims.erase(dims.begin() + static_cast<std::ptrdiff_t>(axis));
  std::size_t outer = 1;
  for (std::size_t d = 0; d < axis; ++d) outer *= static_cast<std::size_t>(from.dims[d]);
  const auto at = static_cast<std::size_t>(index), n = static_cast<std::size_t>(size);
  const std::size_t inner = outer && n ? static_cast<std::size_t>(from.count()) / outer / n : 0;
  const std::size_t bits = inner * static_cast<std::size_t>(dtype_bits(from.dtype));
  if (outer == 1 && !from.strings && bits % 8 == 0) {
    Datum out = from;
    out.dims = std::move(dims);
    out.data = from.data + at * bits / 8;
    out.bytes = bits / 8;
    return out;
  }
  TENON_ASSIGN(Datum out, Datum::tensor(from.dtype, dims));
  for (std::size_t o = 0; o < outer; ++o) copy_elements(out, o * inner, from, (o * n + at) * inner, inner);
  return out;
}

Status run_scan(Execution& e, NodeId id) {
  const Node& node = e.graph().nodes[id];
  Body body(e, *e.block().body(id, 0), id);
  TENON_TRY(body.capture());
  const auto scanned = static_cast<std::size_t>(node.int_or("num_scan_inputs", 0));
  const std::size_t states = node.inputs.size() - scanned, scans = body.graph().outputs.size() - states;
  const auto list = [&](const char* name, std::size_t i) -> std::int64_t {
    const auto* values = node.ints(name);
    return values && i < values->size() ? (*values)[i] : 0;
  };
  std::vector<Carried> state(states), part(scanned), outputs;
  std::vector<Datum> sequence(scanned);
  std::vector<std::size_t> axes(scanned);
  std::int64_t length = -1;
  for (std::size_t i = 0; i < states; ++i) {
    TENON_SET(state[i], taken(e, id, node.inputs[i]));
    body.carry(i, i);
  }
  for (std::size_t i = 0; i < scanned; ++i) {
    TENON_SET(sequence[i], e.datum(node.inputs[states + i]));
    const auto rank = static_cast<std::int64_t>(sequence[i].dims.size());
    std::int64_t axis = list("scan_input_axes", i);
    if (axis < 0) axis += rank;
    if (axis < 0 || axis >= rank) return invalid("scan input {} has rank {}, its axis is {}", i, rank, axis);
    axes[i] = static_cast<std::size_t>(axis);
    const std::int64_t n = sequence[i].dims[axes[i]];
    if (length >= 0 && n != length) return invalid("scan inputs have {} and {} elements", length, n);
    length = n;
  }
  std::vector<std::vector<Datum>> collected(scans);
  std::vector<const Carried*> inputs(states + scanned);
  for (std::int64_t t = 0; t < length; ++t) {
    if (e.state().control.stop()) return e.state().control.take();
    for (std::size_t i = 0; i < states; ++i) inputs[i] = &state[i];
    for (std::size_t i = 0; i < scanned; ++i) {
      TENON_SET(part[i].datum, slice(sequence[i], axes[i], list("scan_input_directions", i) ? length - 1 - t : t));
      inputs[states + i] = &part[i];
    }
    TENON_TRY(body.run(inputs, outputs));
    for (std::size_t i = 0; i < states; ++i) state[i] = std::move(outputs[i]);
    for (std::size_t i = 0; i < scans; ++i) collected[i].push_back(std::move(outputs[states + i].datum));
  }
  for (std::size_t i = 0; i < states; ++i) {
    const bool callers = length <= 0 && !state[i].buffer;
    TENON_ASSIGN(Datum last, on_host(e, std::move(state[i]), body.block().feed_memory(i)));
    if (callers) TENON_SET(last, copy_datum(last));
    set_output(e, node, i, std::move(last));
  }
  for (std::size_t i = 0; i < scans; ++i) {
    TENON_ASSIGN(Datum all, stack(collected[i], body.graph().values[body.graph().outputs[states + i]].type, list("scan_output_axes", i),
                                  list("scan_output_directions", i) != 0));
    set_output(e, node, states + i, std::move(all));
  }
  return {};
}

Status run_sequence_map(Execution& e, NodeId id) {
  const Node& node = e.graph().nodes[id];
  Body body(e, *e.block().body(id, 0), id);
  TENON_TRY(body.capture());
  std::vector<Datum> in(node.inputs.size());
  std::vector<Carried> given(node.inputs.size()), outputs;
  for (std::size_t i = 0; i < in.size(); ++i) TENON_SET(in[i], e.datum(node.inputs[i]));
  std::vector<Datum> made(node.outputs.size());
  for (std::size_t o = 0; o < made.size(); ++o) {
    made[o].kind = TENON_KIND_SEQUENCE;
    made[o].dtype = body.graph().values[body.graph().outputs[o]].type.dtype;
  }
  std::vector<const Carried*> inputs(in.size());
  for (std::size_t i = 0; i < in.size(); ++i) {
    given[i].datum = in[i];
    inputs[i] = &given[i];
  }
  for (std::size_t t = 0; t < in[0].items.size(); ++t) {
    if (e.state().control.stop()) return e.state().control.take();
    for (std::size_t i = 0; i < in.size(); ++i) {
      if (in[i].kind == TENON_KIND_SEQUENCE && t >= in[i].items.size()) return invalid("input {} has {} elements, input 0 has {}", i, in[i].items.size(), in[0].items.size());
      if (in[i].kind == TENON_KIND_SEQUENCE) given[i].datum = in[i].items[t];
    }
    TENON_TRY(body.run(inputs, outputs));
    for (std::size_t o = 0; o < made.size(); ++o) made[o].items.push_back(std::move(outputs[o].datum));
  }
  for (std::size_t o = 0; o < made.size(); ++o) set_output(e, node, o, std::move(made[o]));
  return {};
}

}  // namespace

Status run_control_flow(Execution& e, NodeId id) {
  const std::string& op = e.graph().nodes[id].op_type;
  if (op == "If") return run_if(e, id);
  if (op == "Loop") return run_loop(e, id);
  if (op == "Scan") return run_scan(e, id);
  return run_sequence_map(e, id);
}

}  // namespace tenon
