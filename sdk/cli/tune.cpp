// tenon tune: measures what nodes really take on each provider, and keeps that for the sessions that follow.
#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "sdk/cli/commands.h"
#include "sdk/cli/explain.h"
#include "sdk/cli/inputs.h"
#include "sdk/cli/progress.h"
#include "sdk/cli/session_args.h"
#include "sdk/cli/table.h"

namespace tenon::cli {
namespace {

struct Tune {
  SessionArgs session;
  Inputs inputs;
  std::string format = "table";
  bool json = false, dry_run = false, forget = false;
  int runs = 20;

  int operator()() const {
    Config config = session.configuration();
    for (const auto& [name, size] : inputs.named_sizes())
      config.set("/shapes/" + pointer_part(name), fmt::format("{{\"opt\": {}}}", size));
    // Today's placement names the devices.
    const Session before = session.open(config);
    if (forget) {
      const std::uint64_t count = before.forget_costs();
      if (json || format == "json") fmt::print("{}\n", Json{{"forgotten", count}}.dump(2));
      else fmt::print("{} forgotten\n", count_text(count, "cost"));
      return ok;
    }
    const Json placed = Json::parse(before.explain("json"));
    const std::vector<Feed> feeds = inputs.make(before);
    Json learned = Json::array(), skipped = Json::array();
    for (const Json& device : placed["devices"]) {
      const std::string name = device["provider"].get<std::string>(), uid = device["device"].get<std::string>();
      try {
        for (const Json& line : Json::parse(measure(config, name, uid, feeds))) learned.push_back(line);
      } catch (const Error& e) {
        if (e.code() == TENON_CANCELLED) throw;
        skipped.push_back({{"provider", name}, {"device", uid}, {"text", e.what()}});
      }
    }
    // Placed anew with what is known now.
    Json after = placed;
    if (!dry_run) after = Json::parse(session.open(config).explain("json"));
    print(placed, after, learned, skipped);
    return learned.empty() ? failed : ok;
  }

  // All that the device claims runs there, what it lacks on the CPU; every step is timed by itself.
  std::string measure(Config config, const std::string& provider, const std::string& device, const std::vector<Feed>& feeds) const {
    // As the configuration names it and with its options: by id, alias or path.
    std::string use = provider, options = "{}";
    for (const Json& e : Json::parse(config.text()).value("providers", Json::array())) {
      const std::string name = e.value("use", "");
      if (id_of(name, config) != provider) continue;
      use = name;
      if (e.contains("options")) options = e["options"].dump();
    }
    config.clear_providers();
    config.add_provider(use, options, device);
    const Session s = session.open(config);
    RunOptions run;
    run.stop = interrupt();
    for (int i = 0; i < 3; ++i) (void)s.run(feeds, {}, run);
    Progress bar("measuring " + provider);
    Profile profile;
    run.profile = &profile;
    for (int i = 0; i < runs; ++i) {
      bar.at(i / static_cast<double>(runs), device.c_str());
      (void)s.run(feeds, {}, run);
    }
    return s.learn(profile, !dry_run);
  }

  // "" for one that cannot be used and need not be.
  static std::string id_of(const std::string& name, const Config& config) {
    try {
      return Json::parse(
                 detail::text(&tenon_provider_devices, name.c_str(), static_cast<const tenon_configuration*>(config.handle())))
          .value("id", "");
    } catch (const Error&) {
      return "";
    }
  }

  void print(const Json& before, const Json& after, const Json& learned, const Json& skipped) const {
    std::size_t moved = 0;
    for (std::size_t n = 0; n < std::min(before["nodes"].size(), after["nodes"].size()); ++n)
      moved += before["nodes"][n]["device"] != after["nodes"][n]["device"];
    if (json || format == "json") {
      fmt::print("{}\n", Json{{"learned", learned},
                              {"skipped", skipped},
                              {"kept", !dry_run},
                              {"moved", moved},
                              {"cost_ns", {{"before", before["cost_ns"]}, {"after", after["cost_ns"]}}}}
                             .dump(2));
      return;
    }
    std::map<std::pair<std::string, std::string>, std::pair<std::size_t, double>> devices;
    for (const Json& l : learned) {
      auto& [count, ns] = devices[{l["provider"].get<std::string>(), l["device"].get<std::string>()}];
      ++count, ns += l["ns"].get<double>();
    }
    Table table({{"measured on"}, {"device"}, {"costs", true}, {"sum", true}});
    for (const auto& [device, sum] : devices)
      table.row({device.first, device.second, std::to_string(sum.first), time_text(sum.second)});
    fmt::print("{}", table.text());
    for (const Json& s : skipped)
      fmt::print("\nnot measured on {} ({}): {}\n", s["provider"].get<std::string>(), s["device"].get<std::string>(),
                 s["text"].get<std::string>());
    if (dry_run) {
      fmt::print("\nnothing was kept (--dry-run)\n");
      return;
    }
    fmt::print("\n{} moved; by what was measured a run takes {}; before, {} was expected\n", count_text(moved, "node"),
               time_text(after["cost_ns"].get<double>()), time_text(before["cost_ns"].get<double>()));
  }
};

}  // namespace

void add_tune(CLI::App& app, int& result) {
  auto tune = std::make_shared<Tune>();
  CLI::App* sub = app.add_subcommand(
      "tune", "measure what nodes take on each provider; later sessions place them by that instead of by estimates");
  tune->session.add_to(*sub);
  tune->inputs.add_to(*sub);
  sub->add_option("--runs", tune->runs, "runs to measure on each device")->check(CLI::Range(1, 100000));
  sub->add_flag("--dry-run", tune->dry_run, "measure and show, keep nothing");
  sub->add_flag("--forget", tune->forget, "remove what is kept for these providers instead");
  sub->add_flag("--json", tune->json, "as JSON");
  sub->add_option("--format", tune->format, "table or json")->check(CLI::IsMember({"table", "json"}));
  sub->callback([tune, &result] { result = guarded(*tune); });
}

}  // namespace tenon::cli
