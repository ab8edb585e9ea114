#include <algorithm>
#include <cctype>
#include <cmath>
#include <fstream>
#include <map>
#include <numeric>

#include <fmt/format.h>

#include "sdk/cli/explain.h"
#include "sdk/cli/session_args.h"

namespace tenon::cli {
namespace {

std::string text_of(const Json& j, const char* key) { return j.value(key, std::string()); }
std::string name_of(const Json& node) {
  const std::string name = text_of(node, "name");
  return name.empty() ? "(no name)" : name;
}
std::string where(const Json& device) { return fmt::format("{} ({})", text_of(device, "provider"), text_of(device, "device")); }

std::size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t corner = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced =
          corner + (std::tolower(static_cast<unsigned char>(a[i - 1])) != std::tolower(static_cast<unsigned char>(b[j - 1])));
      corner = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

// The node of a name, else the maker of a value of that name, else the model's own node that it came from.
std::size_t find_node(const Json& report, const std::string& name) {
  const Json& nodes = report["nodes"];
  std::vector<std::string> all;
  for (std::size_t n = 0; n < nodes.size(); ++n)
    if (text_of(nodes[n], "name") == name) return n;
  for (std::size_t n = 0; n < nodes.size(); ++n) {
    for (const Json& v : nodes[n]["outputs"])
      if (v.get<int>() >= 0 && text_of(report["values"][v.get<std::size_t>()], "name") == name) return n;
    for (const Json& s : nodes[n]["sources"])
      if (s.get<std::string>().starts_with(name + " (")) return n;
  }
  for (const Json& n : nodes) {
    if (!text_of(n, "name").empty()) all.push_back(text_of(n, "name"));
    for (const Json& v : n["outputs"])
      if (v.get<int>() >= 0) all.push_back(text_of(report["values"][v.get<std::size_t>()], "name"));
  }
  const std::string near = did_you_mean(near_names(name, all));
  throw Failure{usage, fmt::format("--node {}: the placed graph has no node or value of that name{}", name,
                                   near.empty() ? "; --nodes lists all" : near)};
}

void print_values(const Json& report, const Json& node, const char* key) {
  for (const Json& v : node[key]) {
    if (v.get<int>() < 0) continue;
    const Json& value = report["values"][v.get<std::size_t>()];
    fmt::print("  {:8} {}  {}{}\n", std::string_view(key).substr(0, std::string_view(key).size() - 1), text_of(value, "name"),
               text_of(value, "type"), value["constant"].get<bool>() ? "  constant" : "");
  }
}

}  // namespace

std::vector<std::string> near_names(const std::string& name, const std::vector<std::string>& all) {
  std::vector<std::pair<std::size_t, std::string>> found;
  for (const std::string& other : all) {
    const std::size_t far = other.find(name) != std::string::npos && !name.empty() ? 1 : distance(name, other);
    if (far <= std::max<std::size_t>(2, name.size() / 3)) found.emplace_back(far, other);
  }
  std::sort(found.begin(), found.end());
  std::vector<std::string> out;
  for (auto& [far, other] : found)
    if (out.size() < 5 && (out.empty() || out.back() != other)) out.push_back(other);
  return out;
}

std::string did_you_mean(const std::vector<std::string>& names) {
  std::string out;
  for (std::size_t i = 0; i < names.size(); ++i)
    out += fmt::format("{}\"{}\"", i == 0 ? "; did you mean " : i + 1 == names.size() ? " or " : ", ", names[i]);
  return out.empty() ? "" : out + "?";
}

void print_node(const Session& session, const Json& report, const std::string& name, bool json) {
  const std::size_t index = find_node(report, name);
  Json node = report["nodes"][index];
  const Json& devices = report["devices"];
  // With and without: what the whole costs when this node has to be on each device that claims it.
  std::map<std::size_t, double> forced;
  if (text_of(node, "graph").empty())
    for (const Json& o : node["offers"]) {
      const auto d = o["device"].get<std::size_t>();
      if (!forced.contains(d)) forced[d] = session.cost_if(index, d);
    }
  const double now = report["cost_ns"].get<double>();
  if (json) {
    Json costs = Json::array();
    for (const auto& [d, ns] : forced) costs.push_back({{"device", d}, {"cost_ns", std::isfinite(ns) ? Json(ns) : Json()}});
    node["index"] = index;
    node["cost_if"] = std::move(costs);
    node["cost_now_ns"] = now;
    Json values = Json::object();
    for (const char* key : {"inputs", "outputs"})
      for (const Json& v : node[key])
        if (v.get<int>() >= 0) values[std::to_string(v.get<int>())] = report["values"][v.get<std::size_t>()];
    node["values"] = std::move(values);
    fmt::print("{}\n", node.dump(2));
    return;
  }
  const std::string domain = text_of(node, "domain");
  fmt::print("node {} \"{}\": {}{}{}\n", index, text_of(node, "name"), domain.empty() ? "" : domain + ".", text_of(node, "op_type"),
             text_of(node, "graph").empty() ? "" : " in body " + text_of(node, "graph"));
  print_values(report, node, "inputs");
  print_values(report, node, "outputs");
  if (!node["sources"].empty()) {
    std::string from;
    for (const Json& s : node["sources"]) from += (from.empty() ? "" : ", ") + s.get<std::string>();
    fmt::print("  from     {}\n", from);
  }
  fmt::print("\nruns on {} ({}){}: {}", text_of(node, "provider"), text_of(node, "device"),
             node["part"].get<int>() < 0 ? "" : fmt::format(", part {}", node["part"].get<int>()), text_of(node, "why"));
  fmt::print("{}\n", node["rule"].get<int>() < 0 ? "" : fmt::format(" (/placement/rules/{})", node["rule"].get<int>()));
  Table answers({{"device"}, {"answer"}, {"cost", true}, {"from"}, {"a run, if it were here", true}, {"difference", true}});
  for (const Json& o : node["offers"]) {
    const auto d = o["device"].get<std::size_t>();
    const int together = o["nodes"].get<int>();
    const std::string answer = o["chosen"].get<bool>() ? "taken" : o["allowed"].get<bool>() ? "offered" : "offered, kept away";
    const auto f = forced.find(d);
    const bool finite = f != forced.end() && std::isfinite(f->second);
    const double more = finite ? f->second - now : 0;
    answers.row({where(devices[d]), together > 1 ? fmt::format("{}, with {} other nodes", answer, together - 1) : answer,
                 time_text(o["cost_ns"].get<double>()), text_of(o, "cost_from"),
                 finite ? time_text(f->second) : "",
                 !finite                ? ""
                 : std::abs(more) < 0.5 ? "the same"
                                        : fmt::format("{}{}", more < 0 ? "-" : "+", time_text(std::abs(more)))});
  }
  for (const Json& r : node["refusals"])
    if (!text_of(r, "text").starts_with("outbid"))  // its offer says so
      answers.row({where(devices[r["device"].get<std::size_t>()]), fmt::format("{}: {}", text_of(r, "reason"), text_of(r, "text"))});
  if (!answers.empty()) fmt::print("\n{}", answers.text());
}

void print_why_not(const Json& report, const std::string& provider, bool json) {
  std::vector<std::string> ids;
  for (const Json& d : report["devices"])
    for (const char* key : {"provider", "device"})
      if (std::find(ids.begin(), ids.end(), text_of(d, key)) == ids.end()) ids.push_back(text_of(d, key));
  if (std::find(ids.begin(), ids.end(), provider) == ids.end()) {
    std::string all, left_out;
    for (const std::string& id : ids) all += fmt::format("{}\"{}\"", all.empty() ? "" : ", ", id);
    for (const Json& note : report["notes"])
      if (note.get<std::string>().starts_with("left out") && note.get<std::string>().find(provider) != std::string::npos)
        left_out += "\n" + note.get<std::string>();
    const std::string near = did_you_mean(near_names(provider, ids));
    throw Failure{usage, fmt::format("--why-not {}: the session does not use it; it uses {}{}", provider, all,
                                     !left_out.empty() ? left_out
                                     : !near.empty()   ? near
                                                       : fmt::format("; add -p {} to ask it", provider))};
  }
  struct Group {
    std::string reason, op, text, help;
    std::vector<std::string> nodes;
  };
  std::vector<Group> groups;
  std::size_t runs = 0, refused = 0;
  for (const Json& n : report["nodes"]) {
    runs += text_of(n, "provider") == provider || text_of(n, "device") == provider;
    for (const Json& r : n["refusals"]) {
      const Json& device = report["devices"][r["device"].get<std::size_t>()];
      if (text_of(device, "provider") != provider && text_of(device, "device") != provider) continue;
      ++refused;
      const std::string text = text_of(r, "text").starts_with("outbid")
                                   ? "outbid: cheaper elsewhere, copies included; --node shows by how much"
                                   : text_of(r, "text");
      const auto same = std::find_if(groups.begin(), groups.end(), [&](const Group& g) {
        return g.reason == text_of(r, "reason") && g.op == text_of(n, "op_type") && g.text == text;
      });
      Group& g =
          same == groups.end()
              ? groups.emplace_back(Group{
                    text_of(r, "reason"), text_of(n, "op_type"), text, report["remedies"].value(text_of(r, "reason"), ""), {}})
              : *same;
      g.nodes.push_back(name_of(n));
    }
  }
  std::stable_sort(groups.begin(), groups.end(), [](const Group& a, const Group& b) { return a.nodes.size() > b.nodes.size(); });
  if (json) {
    Json all = Json::array();
    for (const Group& g : groups)
      all.push_back({{"reason", g.reason},
                     {"op_type", g.op},
                     {"text", g.text},
                     {"help", g.help},
                     {"count", g.nodes.size()},
                     {"nodes", g.nodes}});
    fmt::print("{}\n", Json{{"provider", provider}, {"runs", runs}, {"refusals", refused}, {"groups", std::move(all)}}.dump(2));
    return;
  }
  fmt::print("{} runs {} of {} nodes; {} refused or lost in {}\n", provider, runs, report["nodes"].size(), refused,
             count_text(groups.size(), "group"));
  Table table({{"nodes", true}, {"operator"}, {"reason"}, {"because"}, {"what may help"}, {"first"}});
  for (const Group& g : groups) table.row({std::to_string(g.nodes.size()), g.op, g.reason, g.text, g.help, g.nodes[0]});
  if (!table.empty()) fmt::print("\n{}", table.text());
}

namespace {
std::string cost_from(const Json& node) {
  for (const Json& o : node["offers"])
    if (o["chosen"].get<bool>()) return text_of(o, "cost_from");
  return "";
}
}  // namespace

void print_nodes(const Json& report) {
  Table all({{"node"}, {"operator"}, {"provider"}, {"part", true}, {"cost", true}, {"from"}, {"why"}});
  for (const Json& n : report["nodes"]) {
    const double cost = n["cost_ns"].get<double>();
    all.row({(text_of(n, "graph").empty() ? "" : text_of(n, "graph") + ": ") + name_of(n), text_of(n, "op_type"),
             text_of(n, "provider"), n["part"].get<int>() < 0 ? "-" : std::to_string(n["part"].get<int>()),
             cost > 0 ? time_text(cost) : "",
             cost <= 0 ? "" : cost_from(n),
             text_of(n, "why")});
  }
  fmt::print("\n{}", all.text());
}

Json read_report(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw Failure{usage, fmt::format("--compare {}: the file cannot be read", path)};
  Json report = Json::parse(file, nullptr, false);
  if (!report.is_object() || text_of(report, "schema") != "tenon.placement")
    throw Failure{usage, fmt::format("--compare {}: not a report; make one with tenon explain MODEL --json > FILE", path)};
  if (report.value("version", 0) != 1)
    throw Failure{
        usage, fmt::format("--compare {}: a report of version {}, this tenon reads version 1", path, report.value("version", 0))};
  return report;
}

}  // namespace tenon::cli
