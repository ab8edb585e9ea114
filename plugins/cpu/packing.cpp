#include "plugins/cpu/packing.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <unordered_set>

#include "plugins/cpu/device.h"
#include "plugins/cpu/ops/cast.h"

namespace tenon::cpu {
namespace {

constexpr std::int32_t attribute_graph = 5, attribute_graphs = 10;  // ONNX AttributeProto.AttributeType

// A tensor of a half type as float32 in memory of its own; others as they are.
struct Widened {
  Widened(const tenon_const_tensor& t, Isa isa) : tensor(t) {
    if (compute_dtype(t.dtype) == t.dtype) return;
    const std::uint64_t count = t.bytes / 2;
    memory = std::make_unique_for_overwrite<float[]>(count);
    widen(t.dtype, t.data, memory.get(), static_cast<std::int64_t>(count), isa);
    tensor.dtype = TENON_DTYPE_FLOAT;
    tensor.data = memory.get();
    tensor.bytes = count * sizeof(float);
  }
  tenon_const_tensor tensor;
  std::unique_ptr<float[]> memory;
};

// What crosses the host on the way to a fill function.
struct PackCall {
  const Host* host;
  Isa isa;
  const std::function<tenon_const_tensor()>* fetch;
  const std::function<void(const tenon_const_tensor&, void*)>* fill;
};
tenon_status* pack(void* context, void* dst, std::uint64_t) {
  const auto& call = *static_cast<const PackCall*>(context);
  return guarded(*call.host, [&] {
    const Widened source((*call.fetch)(), call.isa);
    (*call.fill)(source.tensor, dst);
  });
}

}  // namespace

void widen(std::int32_t dtype, const void* from, float* to, std::int64_t count, Isa isa) {
  if (isa != Isa::plain) {
    const HalfKernels& kernels = half_kernels(isa);
    (dtype == TENON_DTYPE_BFLOAT16 ? kernels.widen_bfloat16 : kernels.widen_float16)(static_cast<const std::uint16_t*>(from), to, count);
    return;
  }
  const auto* bytes = static_cast<const char*>(from);
  for (std::int64_t i = 0; i < count; ++i) {
    std::uint16_t bits;
    std::memcpy(&bits, bytes + 2 * i, sizeof bits);
    if (dtype == TENON_DTYPE_BFLOAT16) {
      const std::uint32_t wide = std::uint32_t{bits} << 16;
      std::memcpy(to + i, &wide, sizeof wide);
    } else {
      const std::uint32_t sign = std::uint32_t{bits & 0x8000u} << 16, exponent = bits >> 10 & 0x1f, fraction = bits & 0x3ff;
      std::uint32_t wide;
      if (exponent == 0x1f) {
        wide = sign | 0x7f800000 | fraction << 13;
      } else if (exponent == 0) {  // zero and subnormal: fraction * 2^-24
        const float value = static_cast<float>(fraction) * 0x1p-24f;
        std::memcpy(&wide, &value, sizeof wide);
        wide |= sign;
      } else {
        wide = sign | (exponent + 112) << 23 | fraction << 13;
      }
      std::memcpy(to + i, &wide, sizeof wide);
    }
  }
}

tenon_const_tensor Packing::fetch(std::uint64_t id) const {
  tenon_const_tensor out{};
  out.struct_size = sizeof out;
  program_.host.check(program_.host.api->const_data(load_, id, &out));
  return out;
}

tenon_const_tensor Packing::raw_constant(const NodeView& node, std::uint32_t i) {
  const tenon_const_tensor t = read(node, i);
  note(node.input(i).const_id, [&](Use& use) { use.packers.push_back(node.index()); });
  return t;
}

tenon_const_tensor Packing::read(const NodeView& node, std::uint32_t i) {
  if (!node.is_constant(i)) throw Failure{TENON_INTERNAL, "input " + std::to_string(i) + " is not constant"};
  note(node.input(i).const_id, [](Use& use) { use.read = true; });
  return fetch(node.input(i).const_id);
}

tenon_const_tensor Packing::constant(const NodeView& node, std::uint32_t i) {
  tenon_const_tensor t = read(node, i);
  if (compute_dtype(t.dtype) == t.dtype) return t;
  const std::uint64_t bytes = t.bytes * 2;
  const void* wide = nullptr;
  note(node.input(i).const_id, [&](Use& use) { wide = use.wide; });
  if (!wide) {
    wide = packed(node, i, "f32", bytes, [](const tenon_const_tensor& from, void* to) {
      if (from.bytes) std::memcpy(to, from.data, from.bytes);
    });
    note(node.input(i).const_id, [&](Use& use) { use.wide = wide; });
  }
  t.dtype = TENON_DTYPE_FLOAT;
  t.data = wide;
  t.bytes = bytes;
  return t;
}

const void* Packing::packed(const NodeView& node, std::uint32_t i, std::string_view layout_id, std::uint64_t bytes,
                            const std::function<void(const tenon_const_tensor&, void*)>& fill) {
  if (!node.is_constant(i)) throw Failure{TENON_INTERNAL, "input " + std::to_string(i) + " is not constant"};
  const std::uint64_t id = node.input(i).const_id;
  note(id, [&](Use& use) { use.packers.push_back(node.index()); });
  const std::string layout = std::string(layout_id) + "/" + isa_name(program_.options.isa) + "/" + std::to_string(bytes);
  const std::function<tenon_const_tensor()> source = [&] { return fetch(id); };
  const PackCall call{&program_.host, program_.options.isa, &source, &fill};
  tenon_pack_request request{};
  request.struct_size = sizeof request;
  request.const_ids = &id;
  request.const_count = 1;
  request.layout_id = {layout.data(), layout.size()};
  request.bytes = bytes;
  request.alignment = 64;
  request.pack = pack;
  request.context = const_cast<PackCall*>(&call);
  tenon_address out{};
  program_.host.check(program_.host.api->packed_weight(load_, &request, &out));
  return static_cast<const char*>(out.handle) + out.offset;
}

const void* Packing::widened(std::uint64_t id) const {
  auto it = uses_.find(id);
  return it == uses_.end() ? nullptr : it->second.wide;
}

bool Packing::packed_by(const Unit& unit, std::uint64_t id) const {
  auto it = uses_.find(id);
  if (it == uses_.end()) return false;
  const auto& packers = it->second.packers;
  return std::find_first_of(packers.begin(), packers.end(), unit.nodes.begin(), unit.nodes.end()) != packers.end();
}

void Packing::release() const {
  std::unordered_set<std::uint64_t> free;
  for (const auto& [id, use] : uses_)
    if (!use.packers.empty() && !use.read) free.insert(id);
  if (free.empty()) return;
  // Kept: what a unit of this program reads without having packed it, what other nodes read, and what bodies share.
  const auto keep = [&](std::uint32_t v) { free.erase(element<tenon_value>(graph_.values, v).const_id); };
  std::vector<bool> ours(graph_.nodes.count);
  for (const Unit& unit : program_.units) {
    for (std::uint32_t n : unit.nodes) ours[n] = true;
    for (std::uint32_t v : unit.inputs) {
      if (v == no_value || program_.values[v].constant == no_value) continue;
      const std::uint64_t id = program_.constants[program_.values[v].constant]->id;
      if (!packed_by(unit, id)) free.erase(id);
    }
  }
  for (std::uint32_t n = 0; n < graph_.nodes.count; ++n) {
    const auto& node = element<tenon_node>(graph_.nodes, n);
    for (std::uint32_t i = 0; i < node.input_count && !ours[n]; ++i)
      if (node.inputs[i] != no_value) keep(node.inputs[i]);
    for (std::uint64_t a = 0; a < node.attributes.count; ++a) {
      const auto& attribute = element<tenon_attr>(node.attributes, a);
      if (attribute.type != attribute_graph && attribute.type != attribute_graphs) continue;
      const auto* bodies = static_cast<const tenon_graph*>(attribute.data);
      for (std::uint64_t b = 0; b < attribute.count; ++b)
        for (std::uint64_t o = 0; o < bodies[b].outer_count; ++o) keep(bodies[b].outer_parents[o]);
    }
  }
  for (std::uint64_t o = 0; o < graph_.outer_count; ++o) keep(graph_.outer_values[o]);
  for (std::uint64_t id : free) program_.host.api->const_release(load_, id);
}

}  // namespace tenon::cpu
