// Which values of a block stay in a device's memory when it runs again and again. Part of Block.
#include <algorithm>

#include "core/run/block.h"

namespace tenon {

// Where all that reads or makes the value has it, if that is one memory of a device.
DeviceMemory Block::memory_of(ValueId v) const {
  const Value& value = graph_.values[v];
  if (!value.type.is_tensor() || value.type.dtype == TENON_DTYPE_STRING || value.constant || placement_.host_read[v]) return {};
  DeviceMemory out;
  const auto also = [&](const Program& p, bool on_host) {
    const DeviceMemory here{p.device, 0};
    if (on_host || here.device->info().domains[0].host() || (out.device && !out.same(here))) return false;
    if (!out.device) out = here;
    return true;
  };
  for (const Program& p : programs_) {
    for (std::size_t i = 0; i < p.part.inputs.size(); ++i)
      if (p.part.inputs[i] == v && !also(p, p.part.input_on_host[i])) return {};
    for (std::size_t o = 0; o < p.part.outputs.size(); ++o)
      if (p.part.outputs[o] == v && !also(p, p.part.output_on_host[o])) return {};
  }
  for (NodeId n : readers_[v]) {
    const Node& node = graph_.nodes[n];
    if (placement_.host_step[n] || (node.host_evaluated && !node.is("Shape") && !node.is("Size"))) return {};
  }
  return out;
}

void Block::find_memories() {
  feed_memory_.resize(feeds_.size());
  output_memory_.resize(graph_.outputs.size());
  const auto own = [](const SessionDevice& d) { return !d.device->info().domains[0].host(); };
  if (std::none_of(environment_.devices.begin(), environment_.devices.end(), own)) return;
  for (std::size_t i = 0; i < feeds_.size(); ++i)
    if (!known_feed_[i] && !graph_.values[feeds_[i]].is_output) feed_memory_[i] = memory_of(feeds_[i]);
  for (std::size_t o = 0; o < graph_.outputs.size(); ++o) {
    const ValueId v = graph_.outputs[o];
    const bool once = std::count(graph_.outputs.begin(), graph_.outputs.end(), v) == 1;
    if (const NodeId maker = graph_.values[v].producer; once && maker != none && !placement_.host_step[maker] && !graph_.nodes[maker].host_evaluated)
      output_memory_[o] = memory_of(v);
  }
  for (const auto& [n, bodies] : bodies_) {
    const Node& node = graph_.nodes[n];
    std::map<ValueId, DeviceMemory> reads;  // without a device: the host reads it too
    const auto read = [&](ValueId v, const DeviceMemory& where) {
      const auto [at, fresh] = reads.try_emplace(v, where);
      if (!fresh && !at->second.same(where)) at->second = {};
    };
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      if (node.inputs[i] == none) continue;
      const bool carried = node.is("Loop") ? i >= 2 : node.is("Scan") && i + static_cast<std::size_t>(node.int_or("num_scan_inputs", 0)) < node.inputs.size();
      read(node.inputs[i], carried && i < bodies[0]->graph().inputs.size() ? bodies[0]->feed_memory(i) : DeviceMemory{});
    }
    for (const auto& body : bodies)
      for (std::size_t o = 0; o < body->graph().outer.size(); ++o)
        read(body->graph().outer[o].parent, body->feed_memory(body->graph().inputs.size() + o));
    for (const auto& [v, where] : reads)
      if (where.device) body_reads_[{n, v}] = where;
  }
}

}  // namespace tenon
