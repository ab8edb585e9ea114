// What two placements have in common and what moved between them.
#include <cmath>
#include <map>
#include <set>

#include <fmt/format.h>

#include "sdk/cli/explain.h"

namespace tenon::cli {
namespace {

std::string text_of(const Json& j, const char* key) { return j.value(key, std::string()); }

// Nodes are the same where graph, operator and first output are: names may be missing, ids change.
std::map<std::string, const Json*> by_identity(const Json& report) {
  std::map<std::string, const Json*> out;
  for (const Json& n : report["nodes"]) {
    std::string output;
    for (const Json& v : n["outputs"])
      if (v.get<int>() >= 0) {
        output = text_of(report["values"][v.get<std::size_t>()], "name");
        break;
      }
    out.emplace(text_of(n, "graph") + "\n" + text_of(n, "op_type") + "\n" + output, &n);
  }
  return out;
}

std::string place(const Json& node) {
  return text_of(node, "provider") + (text_of(node, "device") == "host" ? "" : " " + text_of(node, "device"));
}

double copied(const Json& report) {
  double bytes = 0;
  for (const Json& c : report["copies"]) bytes += c["bytes"].get<double>();
  return bytes;
}

std::map<std::string, double> arenas(const Json& report) {
  std::map<std::string, double> out;
  for (const Json& d : report["memory"]["domains"]) out[text_of(d, "memory")] = d["bytes"].get<double>();
  return out;
}

std::string change(double a, double b) {
  if (a == b) return "the same";
  return a > 0 ? fmt::format("{:+.1f} %", 100 * (b - a) / a) : "new";
}

}  // namespace

void print_comparison(const Json& a, const Json& b, const std::string& name_a, const std::string& name_b, bool json) {
  const auto nodes_a = by_identity(a), nodes_b = by_identity(b);
  Json moved = Json::array(), only_a = Json::array(), only_b = Json::array();
  std::map<std::array<std::string, 3>, std::pair<int, std::array<double, 2>>> groups;  // operator, from, to
  for (const auto& [key, n] : nodes_a) {
    const auto it = nodes_b.find(key);
    if (it == nodes_b.end()) {
      only_a.push_back(text_of(*n, "op_type") + " " + text_of(*n, "name"));
      continue;
    }
    const Json& m = *it->second;
    if (place(*n) == place(m)) continue;
    moved.push_back({{"name", text_of(*n, "name")},
                     {"op_type", text_of(*n, "op_type")},
                     {"graph", text_of(*n, "graph")},
                     {"from", place(*n)},
                     {"to", place(m)},
                     {"cost_a_ns", (*n)["cost_ns"]},
                     {"cost_b_ns", m["cost_ns"]},
                     {"why", text_of(m, "why")}});
    auto& [count, costs] = groups[{text_of(*n, "op_type"), place(*n), place(m)}];
    ++count, costs[0] += (*n)["cost_ns"].get<double>(), costs[1] += m["cost_ns"].get<double>();
  }
  for (const auto& [key, n] : nodes_b)
    if (!nodes_a.contains(key)) only_b.push_back(text_of(*n, "op_type") + " " + text_of(*n, "name"));
  const std::map<std::string, double> memory_a = arenas(a), memory_b = arenas(b);
  std::set<std::string> memories;
  for (const auto* m : {&memory_a, &memory_b})
    for (const auto& [uid, bytes] : *m) memories.insert(uid);
  const auto at = [](const std::map<std::string, double>& m, const std::string& key) { return m.contains(key) ? m.at(key) : 0; };

  if (json) {
    Json memory = Json::object();
    for (const std::string& uid : memories) memory[uid] = {{"a", at(memory_a, uid)}, {"b", at(memory_b, uid)}};
    fmt::print("{}\n", Json{{"moved", moved},
                            {"only_a", only_a},
                            {"only_b", only_b},
                            {"cost_ns", {{"a", a["cost_ns"]}, {"b", b["cost_ns"]}}},
                            {"copied_bytes", {{"a", copied(a)}, {"b", copied(b)}}},
                            {"parts", {{"a", a["parts"].size()}, {"b", b["parts"].size()}}},
                            {"memory", memory}}
                           .dump(2));
    return;
  }
  Table totals({{""}, {name_a, true}, {name_b, true}, {"change", true}});
  const double cost_a = a["cost_ns"].get<double>(), cost_b = b["cost_ns"].get<double>();
  totals.row({"estimate of a run", time_text(cost_a), time_text(cost_b), change(cost_a, cost_b)});
  totals.row({"parts", std::to_string(a["parts"].size()), std::to_string(b["parts"].size()),
              change(static_cast<double>(a["parts"].size()), static_cast<double>(b["parts"].size()))});
  totals.row({"copied a run", bytes_text(copied(a)), bytes_text(copied(b)), change(copied(a), copied(b))});
  for (const std::string& uid : memories)
    totals.row({"arena " + uid, bytes_text(at(memory_a, uid)), bytes_text(at(memory_b, uid)),
                change(at(memory_a, uid), at(memory_b, uid))});
  fmt::print("{}\n", totals.text());
  if (!only_a.empty() || !only_b.empty())
    fmt::print("{} only in the first, {} only in the second\n", count_text(only_a.size(), "node"),
               count_text(only_b.size(), "node"));
  if (moved.empty()) {
    fmt::print("no node moved\n");
    return;
  }
  fmt::print("{} moved\n\n", count_text(moved.size(), "node"));
  Table table({{"nodes", true}, {"operator"}, {"from"}, {"to"}, {"cost before", true}, {"after", true}});
  for (const auto& [key, g] : groups)
    table.row({std::to_string(g.first), key[0], key[1], key[2], time_text(g.second[0]), time_text(g.second[1])});
  fmt::print("{}", table.text());
}

}  // namespace tenon::cli
