#include <algorithm>
#include <map>

#include "core/report/format.h"
#include "core/report/placement.h"

namespace tenon {
namespace {

constexpr std::size_t listed = 12;  // rows of a table that a text has at most

std::string share(double part, double whole) { return whole > 0 ? fmt::format("{:.1f} %", 100 * part / whole) : ""; }

std::string more(std::size_t count) { return count > listed ? fmt::format("and {} more\n", count - listed) : ""; }

std::string devices_text(const PlacementReport& report) {
  double copies = 0;
  for (const PlacedCopy& c : report.copies) copies += c.cost_ns;
  Columns table({"runs on", "device", ">nodes", ">parts", ">estimate", ">share", "cost from"});
  for (const PlacedDevice& d : report.devices) {
    std::size_t nodes = 0, measured = 0, parts = 0;
    double cost = 0;
    for (const PlacedNode& n : report.nodes)
      if (n.provider == d.provider && n.device == d.uid) ++nodes, cost += n.cost_ns, measured += n.measured;
    for (const PlacedPart& p : report.parts)
      if (p.provider == d.provider && p.device == d.uid) ++parts, cost += d.launch_ns;
    const std::string from = nodes == 0          ? ""
                             : measured == nodes ? "measured"
                             : measured == 0     ? "estimates"
                                                 : fmt::format("measured for {} of {}", measured, nodes);
    table.row({d.provider + (d.fallback ? " (fallback)" : d.isolated ? " (isolated)" : ""), d.uid, std::to_string(nodes), std::to_string(parts), ns_text(cost),
               share(cost, report.cost_ns), from});
  }
  std::map<std::string, std::size_t> core, nobody;
  for (const PlacedNode& n : report.nodes)
    if (n.provider == "core") ++core[n.op_type];
    else if (n.provider == "none") ++nobody[n.op_type];
  for (const auto& [name, ops] : {std::pair{"core", &core}, std::pair{"nobody", &nobody}}) {
    std::size_t count = 0;
    for (const auto& [op, n] : *ops) count += n;
    if (count > 0) table.row({name, "host", std::to_string(count)});
  }
  if (!report.copies.empty()) table.row({"copies", "", "", "", ns_text(copies), share(copies, report.cost_ns)});
  return table.text();
}

std::string copies_text(const PlacementReport& report) {
  if (report.copies.empty()) return "";
  std::vector<const PlacedCopy*> all;
  for (const PlacedCopy& c : report.copies) all.push_back(&c);
  std::stable_sort(all.begin(), all.end(), [](auto* a, auto* b) { return a->bytes > b->bytes; });
  Columns table({"copied value", "from", "to", ">bytes", ">estimate"});
  for (std::size_t i = 0; i < std::min(all.size(), listed); ++i)
    table.row({all[i]->value, all[i]->from, all[i]->to, bytes_text(static_cast<double>(all[i]->bytes)), ns_text(all[i]->cost_ns)});
  return "\n" + table.text() + more(all.size());
}

std::string memory_text(const PlacementReport& report) {
  const MemoryReport& m = report.memory;
  std::string out = fmt::format("weights {}", bytes_text(static_cast<double>(report.weight_bytes)));
  for (const MemoryReport::Domain& d : m.domains)
    out += fmt::format(" · {} arena {}", d.uid, bytes_text(static_cast<double>(d.bytes)));
  if (!m.at_peak.empty())
    out += fmt::format(" · most at step {} of {} ({}): {}{}", m.peak_step, m.steps.size(), m.steps[m.peak_step],
                       m.at_peak[0].value.empty() ? "an inner value" : "\"" + m.at_peak[0].value + "\"",
                       " of " + bytes_text(static_cast<double>(m.at_peak[0].bytes)));
  return out + (m.note.empty() ? "" : " · " + m.note) + "\n";
}

std::string refusals_text(const PlacementReport& report) {
  const std::vector<RefusalGroup> groups = refusal_groups(report);
  if (groups.empty()) return "";
  Columns table({"not on", "reason", "operator", ">nodes", "because", "first"});
  for (std::size_t i = 0; i < std::min(groups.size(), listed); ++i) {
    const RefusalGroup& g = groups[i];
    const std::string& first = report.nodes[g.nodes[0]].name;
    table.row({report.devices[g.device].provider, std::string(reject_name(g.reason)), g.op_type, std::to_string(g.nodes.size()),
               g.text, first.empty() ? "(no name)" : first});
  }
  return "\n" + table.text() + more(groups.size());
}

std::string parts_text(const PlacementReport& report) {
  if (report.parts.size() < 2) return "";
  Columns table({">part", "provider", "device", ">nodes", ">estimate"});
  for (std::size_t p = 0; p < std::min(report.parts.size(), listed); ++p)
    table.row({std::to_string(p), report.parts[p].provider, report.parts[p].device, std::to_string(report.parts[p].node_count),
               ns_text(report.parts[p].cost_ns)});
  return "\n" + table.text() + more(report.parts.size());
}

}  // namespace

std::string placement_text(const ModelInfo& model, const PlacementReport& report) {
  double copied = 0;
  for (const PlacedCopy& c : report.copies) copied += static_cast<double>(c.bytes);
  std::string out = fmt::format("{} · {} · {} · {} {} ({} a run) · estimated {} a run\n", model.path.empty() ? "model" : model.path,
                                count_text(report.nodes.size(), "node"), count_text(report.parts.size(), "part"), report.copies.size(),
                                report.copies.size() == 1 ? "copy" : "copies", bytes_text(copied), ns_text(report.cost_ns));
  out += memory_text(report) + "\n" + devices_text(report) + parts_text(report) + copies_text(report) + refusals_text(report);
  if (!report.unsupported.ok()) out += fmt::format("\ncannot run: {}\n", report.unsupported.text());
  for (const std::string& note : report.notes) out += fmt::format("\nnote: {}\n", note);
  return out;
}

}  // namespace tenon
