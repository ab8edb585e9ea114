// tenon tune: measures what nodes really take on each provider, and keeps that for the sessions that follow.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <map>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "sdk/cli/commands.h"
#include "sdk/cli/explain.h"
#include "sdk/cli/inputs.h"
#include "sdk/cli/progress.h"
#include "sdk/cli/session_args.h"
#include "sdk/cli/table.h"

namespace tenon::cli {
namespace {

namespace fs = std::filesystem;

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
    const fs::path kept_in = placed.value("costs_folder", "");
    const Scratch scratch;
    if (dry_run || kept_in.empty()) config.set("/placement/costs", scratch.path.string());
    else if (fs::exists(kept_in)) fs::copy(kept_in, scratch.path, fs::copy_options::recursive | fs::copy_options::overwrite_existing);
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
    // Placed anew with what is known now, and run both ways: sums of steps are not yet what a run takes.
    const Session tuned = session.open(config);
    Outcome outcome;
    outcome.after = Json::parse(tuned.explain("json"));
    for (std::size_t n = 0; n < std::min(placed["nodes"].size(), outcome.after["nodes"].size()); ++n)
      outcome.moved += placed["nodes"][n]["device"] != outcome.after["nodes"][n]["device"];
    if (outcome.moved > 0) outcome.run_ns = run_both(before, tuned, feeds);
    outcome.slower = outcome.run_ns[1] > 1.05 * outcome.run_ns[0] + 2000;
    outcome.kept = !dry_run && !kept_in.empty() && !outcome.slower;
    if (outcome.slower && !dry_run && !kept_in.empty()) put_back(scratch.path, kept_in);
    print(placed, outcome, learned, skipped);
    return learned.empty() ? failed : ok;
  }

  struct Outcome {
    Json after;
    std::size_t moved = 0;
    std::array<double, 2> run_ns{};  // of a run as placed before and after, the middle one; 0 where nothing moved
    bool slower = false, kept = false;
  };
  // A folder of the process's own, gone with the object.
  struct Scratch {
    fs::path path;
    Scratch() {
      std::string pattern = (fs::temp_directory_path() / "tenon-tune-XXXXXX").string();
      if (::mkdtemp(pattern.data()) == nullptr) throw Failure{failed, fmt::format("{}: no folder can be made there", pattern)};
      path = pattern;
    }
    ~Scratch() {
      std::error_code ignored;
      fs::remove_all(path, ignored);
    }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
  };
  // What was kept before counts again.
  static void put_back(const fs::path& from, const fs::path& to) {
    for (const auto& entry : fs::directory_iterator(to))
      if (!fs::exists(from / entry.path().filename())) fs::remove_all(entry.path());
    fs::copy(from, to, fs::copy_options::recursive | fs::copy_options::overwrite_existing);
  }
  // By turns, so that whatever else the machine does befalls both.
  std::array<double, 2> run_both(const Session& before, const Session& after, const std::vector<Feed>& feeds) const {
    RunOptions run;
    run.stop = interrupt();
    std::array<std::vector<double>, 2> times;
    for (int i = -3; i < std::max(runs, 5); ++i)
      for (std::size_t s = 0; s < 2; ++s) {
        const auto start = std::chrono::steady_clock::now();
        (void)(s == 0 ? before : after).run(feeds, {}, run);
        if (i >= 0) times[s].push_back(std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count());
      }
    for (std::vector<double>& t : times) std::nth_element(t.begin(), t.begin() + static_cast<std::ptrdiff_t>(t.size() / 2), t.end());
    return {times[0][times[0].size() / 2], times[1][times[1].size() / 2]};
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
    return s.learn(profile, true);
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

  void print(const Json& before, const Outcome& outcome, const Json& learned, const Json& skipped) const {
    const Json& after = outcome.after;
    if (json || format == "json") {
      fmt::print("{}\n", Json{{"learned", learned},
                              {"skipped", skipped},
                              {"kept", outcome.kept},
                              {"moved", outcome.moved},
                              {"cost_ns", {{"before", before["cost_ns"]}, {"after", after["cost_ns"]}}},
                              {"run_ns", {{"before", outcome.run_ns[0]}, {"after", outcome.run_ns[1]}}},
                              {"devices", {{"before", devices_of(before)}, {"after", devices_of(after)}}}}
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
    fmt::print("\n");
    print_comparison(before, after, "before", "after", false);
    if (outcome.moved > 0)
      fmt::print("\na run takes {} now; {} as it was placed before\n", time_text(outcome.run_ns[1]), time_text(outcome.run_ns[0]));
    if (dry_run) fmt::print("\nnothing was kept (--dry-run)\n");
    else if (outcome.slower) fmt::print("\nnothing was kept: what steps take alone would have made a run slower\n");
    else if (!outcome.kept) fmt::print("\nnothing was kept: /placement/costs names no folder\n");
    else fmt::print("\nkept in {}\n", before.value("costs_folder", ""));
  }

  static Json devices_of(const Json& report) {
    Json out = Json::array();
    for (const Json& d : report["devices"])
      out.push_back({{"provider", d["provider"]}, {"device", d["device"]}, {"node_count", d["node_count"]}, {"cost_ns", d["cost_ns"]}});
    return out;
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
