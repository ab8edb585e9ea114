#include "plugins/opencl/program.h"

#include <algorithm>
#include <map>

#include "plugins/opencl/fusion.h"

namespace tenon::opencl {
namespace {

constexpr std::int64_t known_limit = 1024;  // elements of a constant that plans may look at

std::string label_of(const Node& node) {
  std::string text = node.name().empty() ? "node " + std::to_string(node.index()) : "node \"" + std::string(node.name()) + "\"";
  return text + " (" + (node.domain().empty() ? "" : std::string(node.domain()) + ".") + std::string(node.op_type()) + ")";
}

// Values of a part: one for each value of the graph that its nodes touch.
class Numbering {
 public:
  Numbering(Program& program, const tenon_graph& graph) : program_(program), graph_(graph), number_(graph.values.count, no_value) {}

  std::uint32_t of(std::uint32_t graph_value) {
    if (graph_value == no_value) return no_value;
    if (graph_value >= number_.size()) throw Failure{TENON_INTERNAL, "a value that the graph does not have"};
    std::uint32_t& n = number_[graph_value];
    if (n != no_value) return n;
    n = static_cast<std::uint32_t>(program_.values.size());
    const auto& g = element<tenon_value>(graph_.values, graph_value);
    Value v;
    v.graph_value = graph_value;
    v.dtype = g.dtype;
    if (g.const_id != 0) {
      v.constant = static_cast<std::uint32_t>(program_.constants.size());
      auto constant = std::make_unique<Constant>();
      constant->id = g.const_id;
      constant->dtype = g.dtype;
      constant->dims.assign(g.dims, g.dims + std::max(g.rank, 0));
      program_.constants.push_back(std::move(constant));
    }
    program_.values.push_back(v);
    return n;
  }
  void boundary(std::uint32_t graph_value, std::uint32_t operand, bool output) {
    Value& v = program_.values[of(graph_value)];
    v.operand = operand;
    v.is_output = output;
  }

 private:
  Program& program_;
  const tenon_graph& graph_;
  std::vector<std::uint32_t> number_;
};

class Packing final : public CompileContext {
 public:
  Packing(Program& program, tenon_device* handle, tenon_task* load) : program_(program), handle_(handle), load_(load) {}

  const Profile& profile() const override { return program_.device->profile; }
  tenon_const_tensor constant(const Node& node, std::size_t i) override {
    tenon_const_tensor t{};
    t.struct_size = sizeof t;
    host().check(host().api->const_data(load_, node.input(i)->const_id, &t));
    return t;
  }
  Weight packed(const Node& node, std::span<const std::size_t> inputs, std::string_view layout_id, std::uint64_t bytes,
                const std::function<void(std::span<const tenon_const_tensor>, void*)>& fill) override {
    struct Context {
      Packing* self;
      const std::vector<std::uint64_t>* ids;
      const std::function<void(std::span<const tenon_const_tensor>, void*)>* fill;
    };
    std::vector<std::uint64_t> ids;
    for (std::size_t i : inputs) ids.push_back(node.input(i)->const_id);
    Context context{this, &ids, &fill};
    const std::string id = std::string(layout_id) + "/" + std::to_string(program_.device->profile.vector);
    tenon_pack_request request{};
    request.struct_size = sizeof request;
    request.const_ids = ids.data();
    request.const_count = ids.size();
    request.layout_id = str(id);
    request.bytes = std::max<std::uint64_t>(bytes, 1);
    request.alignment = 64;
    request.context = &context;
    request.device = handle_;
    request.pack = [](void* raw, void* to, std::uint64_t) -> tenon_status* {
      const Context& c = *static_cast<Context*>(raw);
      return guarded(c.self->host(), [&] {
        std::vector<tenon_const_tensor> tensors;
        for (std::uint64_t one : *c.ids) {
          tenon_const_tensor& t = tensors.emplace_back();
          t.struct_size = sizeof t;
          c.self->host().check(c.self->host().api->const_data(c.self->load_, one, &t));
        }
        (*c.fill)(tensors, to);
      });
    };
    tenon_address at{};
    host().check(host().api->packed_weight(load_, &request, &at));
    auto constant = std::make_unique<Constant>();
    constant->bytes = bytes;
    if (program_.device->host_memory) {
      constant->own = program_.device->wrap(static_cast<char*>(at.handle) + at.offset, bytes);
      constant->mem = constant->own.get();
    } else {
      constant->mem = static_cast<cl_mem>(at.handle);
      constant->offset = at.offset;
    }
    program_.constants.push_back(std::move(constant));
    return {static_cast<std::uint32_t>(program_.constants.size() - 1), bytes};
  }

 private:
  const Host& host() const { return program_.device->host; }
  Program& program_;
  tenon_device* handle_;
  tenon_task* load_;
};

}  // namespace

const Constant& Program::constant(std::uint32_t index, tenon_task* load) const {
  std::lock_guard lock(mutex_);
  Constant& c = *constants[index];
  if (c.mem) return c;
  tenon_const_tensor t{};
  t.struct_size = sizeof t;
  device->host.check(device->host.api->const_data(load, c.id, &t));
  c.bytes = t.bytes;
  if (device->host_memory && t.bytes) {
    c.own = device->wrap(const_cast<void*>(t.data), t.bytes);
  } else {
    c.own = device->allocate(t.bytes);
    std::lock_guard queue(device->own_queue_lock());
    if (t.bytes) check(device->api->clEnqueueWriteBuffer(device->own_queue(), c.own.get(), CL_TRUE, 0, t.bytes, t.data, 0, nullptr, nullptr), "a constant's way to the device");
  }
  c.mem = c.own.get();
  return c;
}

const void* Program::known(std::uint32_t index, tenon_task* load) const {
  std::lock_guard lock(mutex_);
  Constant& c = *constants[index];
  std::int64_t count = 1;
  for (std::int64_t d : c.dims) count *= d;
  if (c.id == 0 || count > known_limit) return nullptr;
  if (!c.host) {
    tenon_const_tensor t{};
    t.struct_size = sizeof t;
    device->host.check(device->host.api->const_data(load, c.id, &t));
    static const std::uint64_t nothing = 0;
    c.host = t.data ? t.data : &nothing;
  }
  return c.host;
}

std::unique_ptr<Program> Program::compile(std::shared_ptr<Device> device, tenon_device* handle, const tenon_part& part, tenon_task* load) {
  std::unique_ptr<Program> program(new Program);
  const Host& host = device->host;
  program->device = std::move(device);
  program->input_count = static_cast<std::uint32_t>(part.input_count);
  program->output_count = static_cast<std::uint32_t>(part.output_count);
  const tenon_graph& graph = *part.graph;
  Numbering numbering(*program, graph);
  for (std::uint32_t i = 0; i < part.input_count; ++i) numbering.boundary(part.inputs[i], i, false);
  for (std::uint32_t o = 0; o < part.output_count; ++o) numbering.boundary(part.outputs[o], program->input_count + o, true);
  Packing packing(*program, handle, load);
  for (std::uint64_t c = 0; c < part.claims.count; ++c) {
    const auto& chosen = element<tenon_chosen>(part.claims, c);
    for (std::uint32_t k = 0; k < chosen.node_count; ++k) {
      const Node node(graph, chosen.nodes[k]);
      Unit unit;
      unit.label = label_of(node);
      const OpRow* row = find_row(node.domain(), node.op_type());
      if (!row) throw Failure{TENON_UNSUPPORTED_SUBGRAPH, unit.label + ": it was never claimed"};
      unit.nodes = {chosen.nodes[k]};
      for (std::uint32_t i = 0; i < node.input_count(); ++i) unit.inputs.push_back(numbering.of(node.raw().inputs[i]));
      for (std::uint32_t o = 0; o < node.output_count(); ++o) unit.outputs.push_back(numbering.of(node.raw().outputs[o]));
      try {
        unit.op = row->make(node, packing);
      } catch (const Failure& f) {
        throw Failure{f.code, unit.label + ": " + f.text};
      }
      program->units.push_back(std::move(unit));
      if (host.api->cancelled(load)) throw Failure{TENON_CANCELLED, "the load was cancelled"};
    }
  }
  fuse(graph, *program);

  // Outputs that nobody wants are not made.
  std::vector<bool> read(program->values.size());
  for (const Unit& unit : program->units)
    for (const auto* list : {&unit.inputs, &unit.epilogue_inputs})
      for (std::uint32_t v : *list)
        if (v != no_value) read[v] = true;
  for (Unit& unit : program->units)
    for (std::size_t o = 1; o < unit.outputs.size(); ++o)
      if (unit.outputs[o] != no_value && !read[unit.outputs[o]] && !program->values[unit.outputs[o]].is_output) unit.outputs[o] = no_value;
  return program;
}

}  // namespace tenon::opencl
