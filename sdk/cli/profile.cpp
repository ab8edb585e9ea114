// tenon profile: where the time of a run goes, by operator and by step, and as a Chrome trace.
#include <algorithm>
#include <fstream>
#include <map>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "sdk/cli/commands.h"
#include "sdk/cli/inputs.h"
#include "sdk/cli/session_args.h"
#include "sdk/cli/table.h"

namespace tenon::cli {
namespace {

struct ProfileCommand {
  SessionArgs session;
  Inputs inputs;
  std::string trace, format = "table";
  int runs = 10, top = 15;

  struct Total {
    double ns = 0;
    int count = 0;
    std::string op, provider;
  };

  int operator()() const {
    const Session s = session.open();
    const std::vector<Feed> feeds = inputs.make(s);
    RunOptions options;
    options.stop = interrupt();
    for (int i = 0; i < 3; ++i) (void)s.run(feeds, {}, options);
    Profile profile;
    options.profile = &profile;
    for (int i = 0; i < runs; ++i) (void)s.run(feeds, {}, options);
    const std::string text = profile.trace();
    if (!trace.empty()) {
      std::ofstream out(trace);
      if (!(out << text).flush()) throw Failure{failed, fmt::format("cannot write \"{}\"", trace)};
      fmt::print(stderr, "trace: {} (open it in chrome://tracing or ui.perfetto.dev)\n", trace);
    }
    std::map<std::string, Total> ops, steps;
    double all = 0;
    const Json document = Json::parse(text);
    for (const Json& e : document["traceEvents"]) {
      const double ns = e["dur"].get<double>() * 1000;
      const std::string op = e["args"]["op"].get<std::string>(), provider = e["cat"].get<std::string>();
      for (Total* t : {&ops[provider + " " + op], &steps[e["name"].get<std::string>()]}) t->ns += ns, ++t->count, t->op = op, t->provider = provider;
      all += ns;
    }
    if (all <= 0) all = 1;  // nothing to run: shares of nothing are 0
    print(ops, steps, all);
    return ok;
  }

  using Rows = std::vector<std::pair<std::string, Total>>;
  static Rows sorted(const std::map<std::string, Total>& totals) {
    Rows rows(totals.begin(), totals.end());
    std::stable_sort(rows.begin(), rows.end(), [](auto& a, auto& b) { return a.second.ns > b.second.ns; });
    return rows;
  }

  void print(const std::map<std::string, Total>& ops, const std::map<std::string, Total>& steps, double all) const {
    if (format == "json") {
      const auto list = [&](const Rows& rows, bool named) {
        Json out = Json::array();
        for (const auto& [name, t] : rows) {
          Json one = {{"op", t.op}, {"provider", t.provider}, {"steps_per_run", static_cast<double>(t.count) / runs}, {"ns_per_run", t.ns / runs}, {"share", t.ns / all}};
          if (named) one["name"] = name;
          out.push_back(std::move(one));
        }
        return out;
      };
      fmt::print("{}\n", Json{{"runs", runs}, {"ns_per_run", all / runs}, {"operators", list(sorted(ops), false)}, {"steps", list(sorted(steps), true)}}.dump(2));
      return;
    }
    fmt::print("{} a run in steps, mean of {} runs (steps are timed one by one: the whole is a little slower than without)\n\n", time_text(all / runs), runs);
    Table by_op({{"operator"}, {"provider"}, {"steps", true}, {"time a run", true}, {"share", true}});
    for (const auto& [name, t] : sorted(ops)) by_op.row({t.op, t.provider, std::to_string(t.count / runs), time_text(t.ns / runs), fmt::format("{:.1f} %", 100 * t.ns / all)});
    fmt::print("{}\n", by_op.text());
    Table by_step({{"step"}, {"operator"}, {"time a run", true}, {"share", true}});
    int shown = 0;
    for (const auto& [name, t] : sorted(steps)) {
      if (shown++ == top) break;
      by_step.row({name, t.op, time_text(t.ns / runs), fmt::format("{:.1f} %", 100 * t.ns / all)});
    }
    fmt::print("{}", by_step.text());
  }
};

}  // namespace

void add_profile(CLI::App& app, int& result) {
  auto profile = std::make_shared<ProfileCommand>();
  CLI::App* sub = app.add_subcommand("profile", "time every step of a run");
  profile->session.add_to(*sub);
  profile->inputs.add_to(*sub);
  sub->add_option("--trace", profile->trace, "write a Chrome trace to this file");
  sub->add_option("--runs", profile->runs, "runs to average")->check(CLI::PositiveNumber);
  sub->add_option("--top", profile->top, "steps to list")->check(CLI::NonNegativeNumber);
  sub->add_option("--format", profile->format, "table or json")->check(CLI::IsMember({"table", "json"}));
  sub->callback([profile, &result] { result = guarded(*profile); });
}

}  // namespace tenon::cli
