// What a block says of its placement: nodes with every device's answer, parts, copies, memory.
#include <algorithm>
#include <set>
#include <utility>

#include "core/plan/trace.h"
#include "core/run/block.h"

namespace tenon {
namespace {

// "float32[1,64,56,56]" at the sizes of estimates; kinds that are no tensors as ONNX spells them.
std::string type_text(const Value& value, const tenon_value& view) {
  if (!value.type.is_tensor()) return value.type.text();
  std::string text(dtype_name(value.type.dtype));
  return view.rank < 0 ? text + "[...]" : text + dims_text(view.dim_opt, static_cast<std::size_t>(view.rank));
}

}  // namespace

void Block::report(PlacementReport& out) const {
  const Cover& cover = placement_.cover;
  const auto first_part = static_cast<std::int32_t>(out.parts.size()), first_value = static_cast<std::int32_t>(out.values.size());
  for (const CoverPart& p : cover.parts) {
    std::uint64_t nodes = 0;
    for (std::uint32_t c : p.claims) nodes += placement_.claims[c].nodes.size();
    out.parts.push_back(
        {environment_.devices[p.device].provider(), environment_.devices[p.device].device->info().uid, nodes, p.cost_ns});
  }
  for (PlacedCopy& c : copies(cover)) out.copies.push_back(std::move(c));
  if (path_.empty()) out.cost_ns = cost();

  const auto* views = static_cast<const tenon_value*>(placement_.view->graph()->values.data);
  for (ValueId v = 0; v < graph_.values.size(); ++v) {
    const Value& value = graph_.values[v];
    out.values.push_back({value.name, type_text(value, views[v]), static_cast<std::uint64_t>(placement_.value_bytes[v]),
                          value.constant != nullptr, value.is_input, value.is_output});
  }
  std::vector<std::vector<std::uint32_t>> claims(graph_.nodes.size());  // by node
  for (std::uint32_t c = 0; c < placement_.claims.size(); ++c) {
    for (NodeId n : placement_.claims[c].nodes) claims[n].push_back(c);
    if (placement_.claims[c].from == CostFrom::measured) ++out.devices[placement_.claims[c].device].measured;
  }
  for (NodeId n = 0; n < graph_.nodes.size(); ++n) {
    const Node& node = graph_.nodes[n];
    const bool taken = cover.node_claim[n] != none || node.host_evaluated || placement_.host_step[n];
    PlacedNode& placed = out.nodes.emplace_back();
    placed.name = node.name, placed.op_type = node.op_type, placed.domain = node.domain, placed.graph = path_;
    placed.provider = taken ? "core" : "none", placed.device = taken ? "host" : "none";
    placed.op = node.domain.empty() ? node.op_type : node.domain + "." + node.op_type;
    placed.why = placement_.why[n];
    placed.rule = placement_.rule[n];
    if (const std::uint32_t c = cover.node_claim[n]; c != none) {
      const SessionDevice& device = environment_.devices[placement_.claims[c].device];
      placed.provider = device.provider();
      placed.device = device.device->info().uid;
      placed.part = first_part + static_cast<std::int32_t>(cover.node_part[n]);
      placed.cost_ns = placement_.claims[c].cost_ns / static_cast<double>(placement_.claims[c].nodes.size());
      placed.measured = placement_.claims[c].from == CostFrom::measured;
    }
    for (const Refused& r : placement_.refusals[n])
      placed.refusals.push_back({environment_.devices[r.device].provider(), r.reason, r.text, r.device});
    const auto indices = [&](const std::vector<ValueId>& from, std::vector<std::int32_t>& to) {
      for (ValueId v : from) to.push_back(v == none ? -1 : first_value + static_cast<std::int32_t>(v));
    };
    indices(node.inputs, placed.inputs), indices(node.outputs, placed.outputs);
    for (std::uint32_t c : claims[n]) {
      const Claim& claim = placement_.claims[c];
      placed.offers.push_back({claim.device, claim.cost_ns, static_cast<std::uint32_t>(claim.nodes.size()), claim.from == CostFrom::measured, cost_from_name(claim.from),
                               (placement_.allowed[n] >> claim.device & 1) != 0, c == cover.node_claim[n]});
    }
    std::stable_sort(placed.offers.begin(), placed.offers.end(), [](const Offer& a, const Offer& b) { return a.device < b.device; });
    for (const Source& s : node.sources)
      placed.sources.push_back(s.name.empty() ? s.op_type : fmt::format("{} ({})", s.name, s.op_type));
  }
  for (const std::string& note : placement_.notes) out.notes.push_back(path_.empty() ? note : path_ + ": " + note);
  for (NodeId n = 0; n < graph_.nodes.size(); ++n)
    if (const auto it = bodies_.find(n); it != bodies_.end())
      for (const auto& body : it->second) body->report(out);
}

// What a run copies between memories, at the sizes of estimates; each value once for each memory. Evaluated values are
// copied when a plan is made.
std::vector<PlacedCopy> Block::copies(const Cover& cover) const {
  static const DeviceModel host{.name = "host", .domain = "host"};
  std::vector<PlacedCopy> out;
  std::vector<const DeviceModel*> home(graph_.values.size(), &host);
  for (const CoverPart& p : cover.parts)
    for (std::size_t o = 0; o < p.outputs.size(); ++o)
      if (!p.output_on_host[o]) home[p.outputs[o]] = &placement_.models[p.device];
  std::set<std::pair<ValueId, std::string>> seen;
  const auto add = [&](ValueId v, const DeviceModel& to) {
    const DeviceModel& from = *home[v];
    if (const NodeId producer = graph_.values[v].producer; producer != none && graph_.nodes[producer].host_evaluated) return;
    if (from.domain == to.domain || !seen.emplace(v, to.domain).second) return;
    out.push_back({graph_.values[v].name, from.name, to.name, static_cast<std::uint64_t>(placement_.value_bytes[v]),
                   copy_cost(from, to, placement_.value_bytes[v])});
  };
  for (const CoverPart& p : cover.parts)
    for (std::size_t i = 0; i < p.inputs.size(); ++i)
      add(p.inputs[i], p.input_on_host[i] ? host : placement_.models[p.device]);
  for (NodeId n = 0; n < graph_.nodes.size(); ++n) {
    if (!placement_.host_step[n]) continue;
    const auto step_reads = [&](ValueId v) {
      const auto body = body_reads_.find({n, v});
      if (v != none && (body == body_reads_.end() || body->second.uid() != home[v]->domain)) add(v, host);
    };
    for (ValueId v : graph_.nodes[n].inputs) step_reads(v);
    for (const GraphPtr& body : graph_.nodes[n].subgraphs())
      for (const OuterValue& o : body->outer) step_reads(o.parent);
  }
  for (const CoverPart& p : cover.parts)
    for (ValueId v : p.outputs)
      if (graph_.values[v].is_output) add(v, host);
  return out;
}

double Block::cost_of(const Cover& cover) const {
  double cost = 0;
  for (const CoverPart& p : cover.parts) cost += p.cost_ns + placement_.models[p.device].launch_ns;
  for (const PlacedCopy& c : copies(cover)) cost += c.cost_ns;
  return cost;
}

double Block::cost_if(NodeId n, std::uint32_t d) const {
  CoverInput in;
  in.graph = &graph_;
  in.devices = placement_.models;
  in.claims = placement_.claims;
  in.allowed = placement_.allowed;
  in.allowed[n] = std::uint64_t{1} << d;
  in.value_bytes = placement_.value_bytes;
  in.ends_segment = placement_.ends_segment;
  in.skip.resize(graph_.nodes.size());
  for (NodeId m = 0; m < graph_.nodes.size(); ++m) in.skip[m] = graph_.nodes[m].host_evaluated || placement_.host_step[m];
  if (in.skip[n]) return infinite_cost;
  const Cover other = tenon::cover(in);
  return other.uncovered.empty() && other.shortage.empty() ? cost_of(other) : infinite_cost;
}

// The plan of the first segment for the sizes of estimates, made and thrown away: nothing runs, nothing is kept.
MemoryReport Block::memory_report() const {
  MemoryReport out;
  if (!placement_.unsupported.ok()) return out;
  ShapeTable shapes = *constants_;
  const auto* views = static_cast<const tenon_value*>(placement_.view->graph()->values.data);
  for (ValueId v : feeds_) {
    if (!graph_.values[v].type.is_tensor() || views[v].rank < 0) {
      out.note =
          fmt::format("input \"{}\" has no rank or is no tensor: memory is known once the model has run", graph_.values[v].name);
      return out;
    }
    shapes.values[v].dims.assign(views[v].dim_opt, views[v].dim_opt + views[v].rank);
    shapes.values[v].ranked = true;
  }
  PlanTrace trace;
  PlanInput input = plan_input();
  input.trace = &trace;
  const Result<Turn::Hold> turn = plan_turn_.take();
  if (!turn.ok()) {
    out.note = std::string(turn.status().text());
    return out;
  }
  const Result<std::unique_ptr<Plan>> plan = make_plan(input, 0, std::move(shapes));
  if (!plan.ok()) {
    out.note = fmt::format("no plan for the sizes of estimates: {}", plan.status().text());
    return out;
  }
  if (segments_ > 1) out.note = fmt::format("of the first of {} segments; what follows has sizes that the run decides", segments_);
  out.steps = std::move(trace.steps);
  // Buffers of what later segments read where it is: a run has them from before its first step.
  std::vector<std::uint64_t> kept((*plan)->domains.size());
  const std::size_t steps = out.steps.size();
  for (const Plan::Kept& k : (*plan)->keeps) {
    if (steps == 0) break;
    trace.spans.push_back({k.value, k.domain, k.bytes, 0, static_cast<std::uint32_t>(steps - 1)});
    kept[k.domain] += k.bytes;
  }
  std::vector<std::size_t> row((*plan)->domains.size(), ~std::size_t{0});
  for (std::size_t d = 0; d < (*plan)->domains.size(); ++d) {
    const std::uint64_t bytes = (*plan)->domains[d].bytes() + kept[d];
    if (bytes == 0) continue;
    row[d] = out.domains.size();
    out.domains.push_back({(*plan)->domains[d].uid, bytes, std::vector<std::uint64_t>(out.steps.size())});
  }
  for (const PlanTrace::Span& s : trace.spans)
    if (row[s.domain] != ~std::size_t{0})
      for (std::size_t t = s.first; t <= s.last && t < out.steps.size(); ++t) out.domains[row[s.domain]].live[t] += s.bytes;
  std::uint64_t most = 0;
  for (std::uint32_t t = 0; t < out.steps.size(); ++t) {
    std::uint64_t sum = 0;
    for (const MemoryReport::Domain& d : out.domains) sum += d.live[t];
    if (sum > most) most = sum, out.peak_step = t;
  }
  for (const PlanTrace::Span& s : trace.spans)
    if (s.first <= out.peak_step && out.peak_step <= s.last && s.bytes > 0)
      out.at_peak.push_back({s.value == none ? "" : graph_.values[s.value].name, (*plan)->domains[s.domain].uid, s.bytes});
  std::stable_sort(out.at_peak.begin(), out.at_peak.end(), [](auto& a, auto& b) { return a.bytes > b.bytes; });
  if (out.at_peak.size() > 16) out.at_peak.resize(16);
  return out;
}

}  // namespace tenon
