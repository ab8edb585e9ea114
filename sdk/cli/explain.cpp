// tenon explain: which provider runs which node, what it costs, what is copied, and why others do not.
#include <algorithm>
#include <fstream>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "sdk/cli/commands.h"
#include "sdk/cli/explain.h"
#include "sdk/cli/inputs.h"
#include "sdk/cli/session_args.h"

namespace tenon::cli {
namespace {

struct Explain {
  SessionArgs session;
  Inputs inputs;
  std::string format = "table", html, node, why_not;
  std::vector<std::string> compare;
  bool json = false, nodes = false, plan = false;

  int operator()() const {
    const bool as_json = json || format == "json";
    if (!compare.empty()) {
      print_comparison(read_report(compare[0]), read_report(compare[1]), compare[0], compare[1], as_json);
      return ok;
    }
    if (session.model.empty()) throw Failure{usage, "explain: a model, or --compare A.json B.json, is expected"};
    Config config = session.configuration();
    const auto sizes = inputs.named_sizes();
    for (const auto& [name, size] : sizes) config.set("/shapes/" + pointer_part(name), fmt::format("{{\"opt\": {}}}", size));
    const Session s = session.open(config);
    check_sizes(s, sizes);
    if (plan) {
      RunOptions options;
      options.stop = interrupt();
      (void)s.run(inputs.make(s), {}, options);
    }
    if (!html.empty()) {
      std::ofstream out(html);
      if (!(out << s.explain("html")).flush()) throw Failure{failed, fmt::format("--html {}: cannot be written", html)};
      fmt::print(stderr, "{}: open it in a browser\n", html);
      if (!as_json && node.empty() && why_not.empty() && !nodes && !plan) return ok;
    }
    if (!node.empty() || !why_not.empty() || as_json || nodes) {
      Json report = Json::parse(s.explain("json"));
      if (!node.empty()) return print_node(s, report, node, as_json), ok;
      if (!why_not.empty()) return print_why_not(report, why_not, as_json), ok;
      if (as_json) {
        if (plan) report["plan"] = s.plan_text();
        fmt::print("{}\n", report.dump(2));
        return ok;
      }
      fmt::print("{}", s.explain());
      print_nodes(report);
    } else {
      fmt::print("{}", s.explain());
    }
    if (plan) fmt::print("\n{}", s.plan_text());
    return ok;
  }

  static void check_sizes(const Session& s, const std::map<std::string, std::int64_t>& sizes) {
    std::vector<std::string> known;
    for (const Port& p : s.inputs())
      for (std::string_view d : p.dim_names)
        if (!d.empty()) known.emplace_back(d);
    for (const auto& [name, size] : sizes)
      if (std::find(known.begin(), known.end(), name) == known.end())
        throw Failure{usage, fmt::format("--dim {}={}: no input has a dimension of that name{}", name, size,
                                         did_you_mean(near_names(name, known)))};
  }
};

}  // namespace

void add_explain(CLI::App& app, int& result) {
  auto explain = std::make_shared<Explain>();
  CLI::App* sub = app.add_subcommand("explain", "show which provider runs what, at what cost, and every refusal with its reason");
  explain->session.add_to(*sub);
  sub->get_option("model")->required(false);
  explain->inputs.add_to(*sub);
  sub->get_option("--dim")->description("size of a named dimension, for which costs and memory are shown: NAME=N");
  sub->add_flag("--nodes", explain->nodes, "list every node");
  sub->add_option("--node", explain->node,
                  "one node, by its name or a value that it makes: every device's answer, and what the other choices would cost");
  sub->add_option("--why-not", explain->why_not, "what this provider or device does not run, in groups with reason and remedy");
  sub->add_option("--html", explain->html, "write a page with the graph drawn, that needs nothing else");
  sub->add_option("--compare", explain->compare, "two reports that --json wrote: what moved, costs, memory")->expected(2);
  sub->add_flag("--plan", explain->plan, "run once and print the plan: steps, memory, copies");
  sub->add_flag("--json", explain->json, "the whole report as JSON; its schema is in core/report/README.md");
  sub->add_option("--format", explain->format, "table or json")->check(CLI::IsMember({"table", "json"}));
  sub->callback([explain, &result] { result = guarded(*explain); });
}

}  // namespace tenon::cli
