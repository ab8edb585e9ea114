#include <algorithm>
#include <map>
#include <tuple>

#include <nlohmann/json.hpp>

#include "core/report/format.h"
#include "core/report/placement.h"

namespace tenon {
namespace {

using Json = nlohmann::ordered_json;

Json device_json(const PlacedDevice& d, const PlacementReport& report) {
  std::uint64_t nodes = 0;
  double cost = 0;
  for (const PlacedNode& n : report.nodes)
    if (n.provider == d.provider && n.device == d.uid) ++nodes, cost += n.cost_ns;
  return {{"provider", d.provider}, {"version", d.version},   {"device", d.uid},          {"name", d.name},
          {"memory", d.memory},     {"fallback", d.fallback}, {"isolated", d.isolated}, {"launch_ns", d.launch_ns}, {"measured_claims", d.measured},
          {"node_count", nodes},    {"cost_ns", cost}};
}

Json node_json(const PlacedNode& n) {
  Json refusals = Json::array(), offers = Json::array();
  for (const Refusal& r : n.refusals)
    refusals.push_back({{"provider", r.provider}, {"device", r.device}, {"reason", reject_name(r.reason)}, {"text", r.text}});
  for (const Offer& o : n.offers)
    offers.push_back({{"device", o.device},
                      {"cost_ns", o.cost_ns},
                      {"nodes", o.nodes},
                      {"measured", o.measured},
                      {"cost_from", o.cost_from},
                      {"allowed", o.allowed},
                      {"chosen", o.chosen}});
  return {{"name", n.name},
          {"op_type", n.op_type},
          {"domain", n.domain},
          {"graph", n.graph},
          {"provider", n.provider},
          {"device", n.device},
          {"part", n.part},
          {"cost_ns", n.cost_ns},
          {"measured", n.measured},
          {"why", n.why},
          {"rule", n.rule},
          {"inputs", n.inputs},
          {"outputs", n.outputs},
          {"sources", n.sources},
          {"offers", std::move(offers)},
          {"refusals", std::move(refusals)}};
}

Json memory_json(const MemoryReport& m) {
  Json domains = Json::array(), held = Json::array();
  for (const MemoryReport::Domain& d : m.domains) domains.push_back({{"memory", d.uid}, {"bytes", d.bytes}, {"live", d.live}});
  for (const MemoryReport::Held& h : m.at_peak) held.push_back({{"value", h.value}, {"memory", h.memory}, {"bytes", h.bytes}});
  return {{"steps", m.steps},
          {"domains", std::move(domains)},
          {"peak_step", m.peak_step},
          {"at_peak", std::move(held)},
          {"note", m.note}};
}

}  // namespace

std::string placement_json(const ModelInfo& model, const PlacementReport& report) {
  Json nodes = Json::array(), parts = Json::array(), copies = Json::array(), devices = Json::array(), values = Json::array();
  for (const PlacedDevice& d : report.devices) devices.push_back(device_json(d, report));
  for (const PlacedNode& n : report.nodes) nodes.push_back(node_json(n));
  for (const PlacedPart& p : report.parts)
    parts.push_back({{"provider", p.provider}, {"device", p.device}, {"node_count", p.node_count}, {"cost_ns", p.cost_ns}});
  for (const PlacedCopy& c : report.copies)
    copies.push_back({{"value", c.value}, {"from", c.from}, {"to", c.to}, {"bytes", c.bytes}, {"cost_ns", c.cost_ns}});
  for (const PlacedValue& v : report.values)
    values.push_back({{"name", v.name},
                      {"type", v.type},
                      {"bytes", v.bytes},
                      {"constant", v.constant},
                      {"input", v.input},
                      {"output", v.output}});
  Json remedies = Json::object();  // by reason
  for (const RefusalGroup& g : refusal_groups(report)) remedies[std::string(reject_name(g.reason))] = refusal_remedy(g.reason);
  const Json out = {{"schema", "tenon.placement"},
                    {"version", placement_version},
                    {"model",
                     {{"path", model.path},
                      {"graph_name", model.graph_name},
                      {"node_count", model.node_count},
                      {"weight_bytes", model.weight_bytes}}},
                    {"cost_ns", report.cost_ns},
                    {"costs_folder", report.costs_folder},
                    {"devices", std::move(devices)},
                    {"nodes", std::move(nodes)},
                    {"parts", std::move(parts)},
                    {"copies", std::move(copies)},
                    {"values", std::move(values)},
                    {"memory", memory_json(report.memory)},
                    {"notes", report.notes},
                    {"remedies", std::move(remedies)},
                    {"unsupported", std::string(report.unsupported.text())},
                    {"arena_bytes", report.arena_bytes},
                    {"weight_bytes", report.weight_bytes}};
  return out.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::vector<RefusalGroup> refusal_groups(const PlacementReport& report) {
  std::map<std::tuple<std::uint32_t, std::int32_t, std::string, std::string>, std::vector<std::size_t>> groups;
  for (std::size_t n = 0; n < report.nodes.size(); ++n)
    for (const Refusal& r : report.nodes[n].refusals) {
      // Costs differ from node to node: such refusals are alike all the same.
      const std::string text = r.text.starts_with("outbid") ? "outbid: cheaper elsewhere, copies included" : r.text;
      groups[{r.device, r.reason, report.nodes[n].op_type, text}].push_back(n);
    }
  std::vector<RefusalGroup> out;
  for (auto& [key, nodes] : groups)
    out.push_back({std::get<0>(key), std::get<1>(key), std::get<2>(key), std::get<3>(key), std::move(nodes)});
  std::stable_sort(out.begin(), out.end(), [](const RefusalGroup& a, const RefusalGroup& b) {
    return a.device != b.device ? a.device < b.device : a.nodes.size() > b.nodes.size();
  });
  return out;
}

std::string_view refusal_remedy(std::int32_t reason) {
  switch (reason) {
    case TENON_REJECT_OP: return "the provider has no kernel for it: a newer version may; else leave it to another provider";
    case TENON_REJECT_OPSET:
      return "the provider knows an older form of the operator: update it, or export the model for an older opset";
    case TENON_REJECT_DTYPE: return "convert the model to an element type that the provider takes";
    case TENON_REJECT_RANK: return "reshape around the node, or leave it to another provider";
    case TENON_REJECT_DYNAMIC: return "fix the sizes: /shapes/NAME in the configuration, or --dim NAME=N";
    case TENON_REJECT_ATTRIBUTE: return "export the model with an attribute that the provider takes";
    case TENON_REJECT_NEEDS_CONSTANT: return "make the input an initializer of the model";
    case TENON_REJECT_TOO_SMALL: return "nothing: it is faster elsewhere; a rule with \"use\" under /placement/rules forces it";
    case TENON_REJECT_MEMORY: return "smaller sizes, or a device with more memory";
    case TENON_REJECT_CONFIG: return "change the rule or option that is named";
    case TENON_REJECT_NOT_ANSWERED: return "a fault of the provider: it should claim or refuse every node; tell its maker";
    default: return "";
  }
}

}  // namespace tenon
