#include "core/plan/sizes.h"

#include "core/ops/evaluator.h"

namespace tenon {
namespace {

class Sizes {
 public:
  Sizes(const PlanInput& input, Plan& plan) : in_(input), graph_(*input.graph), plan_(plan), segment_(plan.segment) {}

  // Sizes of everything in this segment. What the data decides stays -1.
  Status run() {
    for (NodeId n = 0; n < graph_.nodes.size(); ++n) {
      if (in_.cover->node_segment[n] != segment_) continue;
      const Node& node = graph_.nodes[n];
      if (settled(node)) {
        for (ValueId v : node.outputs)
          if (v != none && !plan_.shapes.values[v].ranked) set_fixed(v);
      } else {
        TENON_TRY(in_.inference->run_node(n, plan_.shapes));
      }
      for (ValueId v : node.outputs) {
        if (v == none || !graph_.values[v].type.is_tensor()) continue;
        auto& entry = plan_.shapes.values[v];
        if (node.host_evaluated && !entry.known) {
          std::vector<ConstantPtr> in;
          for (ValueId i : node.inputs) in.push_back(i == none ? nullptr : plan_.shapes.values[i].known);
          if (const std::string fault = evaluation_fault(node, in); !fault.empty()) return invalid("{}: {}", node.label(), fault);
          return error(TENON_UNIMPLEMENTED, "{}: the elements of its inputs are needed to plan the run and are not known or more than {}", node.label(), small_elements);
        }
        if (!entry.ranked) {
          if (graph_.values[v].type.dims) entry.dims.assign(graph_.values[v].type.dims->size(), -1), entry.ranked = true;
          continue;
        }
        Checked count = 1;
        for (std::int64_t d : entry.dims)
          if (d >= 0) count *= Checked(d);
        const Checked bytes = dtype_bytes(graph_.values[v].type.dtype, count);
        if (!bytes.valid() || static_cast<std::uint64_t>(bytes.value()) > in_.limits.memory)
          return error(TENON_RESOURCE_EXHAUSTED, "{}: its output \"{}\" of shape {} does not fit into limits.memory = {} bytes", node.label(),
                       graph_.values[v].name, dims_text(entry.dims), in_.limits.memory);
      }
    }
    // What the run itself has to find out.
    for (NodeId n = 0; n < graph_.nodes.size(); ++n) {
      if (in_.cover->node_segment[n] != segment_) continue;
      for (ValueId v : graph_.nodes[n].outputs) {
        if (v == none) continue;
        if (!plan_.shapes.complete(v)) plan_.open.push_back(v);
        if ((*in_.host_read)[v]) plan_.fetched.push_back(v);
      }
    }
    for (NodeId n = 0; n < graph_.nodes.size(); ++n)
      if (in_.cover->node_segment[n] == segment_)
        for (const auto* list : {&graph_.nodes[n].inputs, &graph_.nodes[n].outputs})
          for (ValueId v : *list)
            if (v != none) TENON_TRY(agrees(graph_.nodes[n], v));
    return {};
  }

 private:
  // Inference gave the fixed sizes of its outputs at load, from these very inputs.
  bool settled(const Node& node) const {
    if (node.host_evaluated || node.control_flow()) return false;
    for (ValueId v : node.outputs)
      if (v != none && !(graph_.values[v].sized && graph_.values[v].type.fixed())) return false;
    for (ValueId v : node.inputs)
      if (v != none && !(graph_.values[v].type.fixed() && same_dims(v))) return false;
    return true;
  }
  bool same_dims(ValueId v) const {
    const auto& entry = plan_.shapes.values[v];
    const auto& dims = *graph_.values[v].type.dims;
    if (!entry.ranked || entry.dims.size() != dims.size()) return false;
    for (std::size_t d = 0; d < dims.size(); ++d)
      if (dims[d].fixed() && entry.dims[d] >= 0 && entry.dims[d] != dims[d].value) return false;
    return true;
  }
  // Programs were compiled for the sizes that the graph declares: a model that says what is not so is refused here.
  Status agrees(const Node& node, ValueId v) const {
    const Type& type = graph_.values[v].type;
    if (!type.is_tensor() || !type.dims || !plan_.shapes.values[v].ranked || same_dims(v)) return {};
    std::string declared;
    for (const Dim& d : *type.dims) declared += fmt::format("{}{}", declared.empty() ? "" : ", ", d.fixed() ? std::to_string(d.value) : "?");
    return error(TENON_INVALID_ARGUMENT, "{}: \"{}\" is declared with shape [{}], this run gives it {}; declare it without sizes", node.label(),
                 graph_.values[v].name, declared, dims_text(plan_.shapes.values[v].dims));
  }
  void set_fixed(ValueId v) {
    auto& entry = plan_.shapes.values[v];
    entry.ranked = true;
    entry.dims.clear();
    for (const Dim& d : *graph_.values[v].type.dims) entry.dims.push_back(d.value);
  }

  const PlanInput& in_;
  const Graph& graph_;
  Plan& plan_;
  std::uint32_t segment_;
};

}  // namespace

Status infer_sizes(const PlanInput& input, Plan& plan) { return Sizes(input, plan).run(); }

}  // namespace tenon
