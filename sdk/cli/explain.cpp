// tenon explain: which provider runs which node, what it costs, what is copied, and why others do not.
#include <map>

#include <fmt/format.h>

#include "sdk/cli/commands.h"
#include "sdk/cli/inputs.h"
#include "sdk/cli/session_args.h"
#include "sdk/cli/table.h"

namespace tenon::cli {
namespace {

struct Explain {
  SessionArgs session;
  Inputs inputs;
  std::string format = "table";
  bool nodes = false, plan = false;

  int operator()() const {
    const Session s = session.open();
    if (plan) {
      RunOptions options;
      options.stop = interrupt();
      (void)s.run(inputs.make(s), {}, options);
    }
    const Json report = Json::parse(s.placement_json());
    if (format == "json") {
      Json out = report;
      if (plan) out["plan"] = s.plan_text();
      fmt::print("{}\n", out.dump(2));
      return ok;
    }
    print(report);
    if (plan) fmt::print("\n{}", s.plan_text());
    return ok;
  }

  void print(const Json& report) const {
    double cost = 0, copied = 0;
    std::map<std::string, int> by_provider;
    for (const Json& n : report["nodes"]) ++by_provider[n["provider"].get<std::string>()];
    for (const Json& p : report["parts"]) cost += p["cost_ns"].get<double>();
    for (const Json& c : report["copies"]) copied += c["bytes"].get<double>();
    fmt::print("{} · {} · {} · {} ({} a run) · estimated {}\n\n", session.model, count_text(report["nodes"].size(), "node"),
               count_text(report["parts"].size(), "part"), count_text(report["copies"].size(), "copy", "copies"), bytes_text(copied), time_text(cost));
    Table parts({{"part", true}, {"provider"}, {"device"}, {"nodes", true}, {"estimate", true}});
    int number = 0;
    for (const Json& p : report["parts"])
      parts.row({std::to_string(number++), p["provider"].get<std::string>(), p["device"].get<std::string>(), std::to_string(p["node_count"].get<int>()), time_text(p["cost_ns"].get<double>())});
    if (by_provider.count("core")) parts.row({"-", "core", "host", std::to_string(by_provider["core"]), ""});
    fmt::print("{}", parts.text());
    if (!report["copies"].empty()) {
      Table copies({{"copied value"}, {"from"}, {"to"}, {"bytes", true}, {"estimate", true}});
      for (const Json& c : report["copies"])
        copies.row({c["value"].get<std::string>(), c["from"].get<std::string>(), c["to"].get<std::string>(), bytes_text(c["bytes"].get<double>()), time_text(c["cost_ns"].get<double>())});
      fmt::print("\n{}", copies.text());
    }
    refusals(report);
    if (nodes) {
      Table all({{"node"}, {"operator"}, {"provider"}, {"part", true}, {"estimate", true}, {"why"}});
      for (const Json& n : report["nodes"])
        all.row({(n["graph"].get<std::string>().empty() ? "" : n["graph"].get<std::string>() + ": ") + name_text(n), n["op_type"].get<std::string>(), n["provider"].get<std::string>(),
                 n["part"].get<int>() < 0 ? "-" : std::to_string(n["part"].get<int>()), n["cost_ns"].get<double>() > 0 ? time_text(n["cost_ns"].get<double>()) : "", n["why"].get<std::string>()});
      fmt::print("\n{}", all.text());
    }
    for (const Json& note : report["notes"]) fmt::print("\nnote: {}", note.get<std::string>());
    if (!report["notes"].empty()) fmt::print("\n");
  }

  static std::string name_text(const Json& node) {
    const std::string name = node["name"].get<std::string>();
    return name.empty() ? "(no name)" : name;
  }

  // One line for each provider, operator and reason, with the first node as an example.
  static void refusals(const Json& report) {
    struct Group {
      int count = 0;
      std::string example;
    };
    std::map<std::array<std::string, 4>, Group> groups;
    for (const Json& n : report["nodes"])
      for (const Json& r : n["refusals"]) {
        Group& g = groups[{r["provider"].get<std::string>(), r["reason"].get<std::string>(), n["op_type"].get<std::string>(), r["text"].get<std::string>()}];
        if (g.count++ == 0) g.example = name_text(n);
      }
    if (groups.empty()) return;
    Table table({{"not on"}, {"reason"}, {"operator"}, {"nodes", true}, {"because"}, {"first"}});
    for (const auto& [key, g] : groups) table.row({key[0], key[1], key[2], std::to_string(g.count), key[3], g.example});
    fmt::print("\n{}", table.text());
  }
};

}  // namespace

void add_explain(CLI::App& app, int& result) {
  auto explain = std::make_shared<Explain>();
  CLI::App* sub = app.add_subcommand("explain", "show which provider runs what, at what cost, and every refusal with its reason");
  explain->session.add_to(*sub);
  explain->inputs.add_to(*sub);
  sub->add_flag("--nodes", explain->nodes, "list every node");
  sub->add_flag("--plan", explain->plan, "run once and print the plan: steps, memory, copies");
  sub->add_option("--format", explain->format, "table or json")->check(CLI::IsMember({"table", "json"}));
  sub->callback([explain, &result] { result = guarded(*explain); });
}

}  // namespace tenon::cli
