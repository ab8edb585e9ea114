// tenon bench: how long a model takes to load and to run, for several providers and thread counts.
//
// Every configuration runs in a process of its own, so that peak memory and the first run are its own too.
#include <algorithm>
#include <chrono>
#include <fstream>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "sdk/cli/commands.h"
#include "sdk/cli/inputs.h"
#include "sdk/cli/progress.h"
#include "sdk/cli/session_args.h"
#include "sdk/cli/table.h"

namespace tenon::cli {
namespace {

using Clock = std::chrono::steady_clock;
double since(Clock::time_point start) { return std::chrono::duration<double, std::nano>(Clock::now() - start).count(); }

double peak_bytes() {
  std::ifstream in("/proc/self/status");
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) * 1024;
  return 0;
}

struct Bench {
  SessionArgs session;
  Inputs inputs;
  std::vector<int> threads;
  double seconds = 3, warmup = 0.3;
  int least = 10;
  std::string format = "table";

  int operator()() {
    (void)session.configuration();  // what is wrong for all is said once
    std::vector<std::vector<std::string>> sets;
    for (const std::string& p : session.providers) sets.push_back({p});
    if (sets.empty()) sets.emplace_back();
    if (threads.empty()) threads.push_back(session.threads);
    Json rows = Json::array();
    int code = ok;
    for (const auto& set : sets)
      for (int t : threads) {
        SessionArgs one = session;
        one.providers = set;
        one.threads = t;
        std::erase_if(one.options, [&](const std::string& o) {
          return std::none_of(set.begin(), set.end(), [&](const std::string& p) { return o.starts_with(p.substr(0, p.find(':')) + "."); });
        });
        Json row = in_process(one);
        row["provider"] = set.empty() ? "default" : set[0];
        if (row.contains("error")) {
          fmt::print(stderr, "tenon: {}, {}: {}\n", row["provider"].get<std::string>(),
                     t ? count_text(static_cast<std::size_t>(t), "thread") : "all threads", row["error"].get<std::string>());
          code = row.value("code", static_cast<int>(failed));
        }
        rows.push_back(std::move(row));
      }
    print(rows);
    return code;
  }

  // Measures in a child and reads its JSON through a pipe.
  Json in_process(const SessionArgs& args) const {
    int ends[2];
    if (pipe(ends) != 0) throw Failure{failed, "no pipe"};
    const pid_t child = fork();
    if (child < 0) throw Failure{failed, "no process"};
    if (child == 0) {
      close(ends[0]);
      Json row;
      const int code = guarded_row([&] { return measure(args); }, row);
      const std::string text = row.dump();
      std::size_t at = 0;
      while (at < text.size()) {
        const ssize_t n = write(ends[1], text.data() + at, text.size() - at);
        if (n <= 0) break;
        at += static_cast<std::size_t>(n);
      }
      _exit(code);
    }
    close(ends[1]);
    std::string text;
    char buffer[4096];
    for (ssize_t n; (n = read(ends[0], buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<std::size_t>(n));
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    Json row = Json::parse(text, nullptr, false);
    if (!row.is_discarded()) return row;
    return {{"error", fmt::format("the measuring process ended early (status {})", status)}, {"code", static_cast<int>(failed)}};
  }

  template <class Fn>
  static int guarded_row(Fn&& fn, Json& row) {
    try {
      row = fn();
      return ok;
    } catch (const Failure& f) {
      row = {{"error", f.text}, {"code", f.code}};
      return f.code;
    } catch (const std::exception& e) {
      row = {{"error", e.what()}, {"code", static_cast<int>(failed)}};
      return failed;
    }
  }

  Json measure(const SessionArgs& args) const {
    const auto load_start = Clock::now();
    const Session s = args.open();
    const double load = since(load_start);
    const std::vector<Feed> feeds = inputs.make(s);
    RunOptions options;
    options.stop = interrupt();
    // Outputs are reused from run to run: what is timed is the model, not the allocation of results.
    std::vector<Feed> results;
    const auto first_start = Clock::now();
    for (const Feed& f : s.run(feeds, {}, options)) results.push_back(f);
    const double first = since(first_start);
    const bool in_place = std::all_of(results.begin(), results.end(), [](const Feed& f) { return f.value.kind() == TENON_KIND_TENSOR && f.value.dtype() != TENON_DTYPE_STRING; });
    Progress bar("timing");
    std::vector<double> times;
    const auto begin = Clock::now();
    for (;;) {
      const double elapsed = since(begin) / 1e9;
      if (elapsed >= warmup + seconds && static_cast<int>(times.size()) >= least) break;
      bar.at(elapsed / (warmup + seconds), fmt::format("{} runs", times.size()));
      const auto start = Clock::now();
      if (in_place) s.run_into(feeds, results, options);
      else (void)s.run(feeds, {}, options);
      if (elapsed >= warmup) times.push_back(since(start));
    }
    std::sort(times.begin(), times.end());
    const auto at = [&](double q) { return times[std::min(times.size() - 1, static_cast<std::size_t>(q * static_cast<double>(times.size())))]; };
    const Json placement = Json::parse(s.placement_json());
    return {{"threads", args.threads}, {"load_ns", load}, {"first_run_ns", first}, {"runs", times.size()}, {"min_ns", times.front()}, {"p50_ns", at(0.5)},
            {"p90_ns", at(0.9)}, {"p99_ns", at(0.99)}, {"peak_bytes", peak_bytes()}, {"arena_bytes", placement.value("arena_bytes", 0)}};
  }

  void print(const Json& rows) const {
    if (format == "json") {
      fmt::print("{}\n", rows.dump(2));
      return;
    }
    Table table({{"provider"}, {"threads", true}, {"min", true}, {"p50", true}, {"p90", true}, {"p99", true}, {"runs", true}, {"load", true}, {"first run", true}, {"peak memory", true}});
    for (const Json& r : rows) {
      if (r.contains("error")) continue;
      const auto time = [&](const char* key) { return time_text(r[key].get<double>()); };
      const int t = r["threads"].get<int>();
      table.row({r["provider"].get<std::string>(), t ? std::to_string(t) : "auto", time("min_ns"), time("p50_ns"), time("p90_ns"), time("p99_ns"),
                 std::to_string(r["runs"].get<int>()), time("load_ns"), time("first_run_ns"), bytes_text(r["peak_bytes"].get<double>())});
    }
    if (!table.empty()) fmt::print("{}", table.text());
  }
};

}  // namespace

void add_bench(CLI::App& app, int& result) {
  auto bench = std::make_shared<Bench>();
  CLI::App* sub = app.add_subcommand("bench", "time a model: load, first run, percentiles, peak memory");
  bench->session.add_to(*sub);
  sub->remove_option(sub->get_option("--threads"));
  sub->add_option("-t,--threads", bench->threads, "thread counts to measure, such as 1,2,4")->delimiter(',')->check(CLI::Range(1, 1024));
  bench->inputs.add_to(*sub);
  sub->add_option("--seconds", bench->seconds, "time to measure for each configuration")->check(CLI::PositiveNumber);
  sub->add_option("--warmup", bench->warmup, "seconds before that which do not count")->check(CLI::NonNegativeNumber);
  sub->add_option("--runs", bench->least, "at least so many runs")->check(CLI::PositiveNumber);
  sub->add_option("--format", bench->format, "table or json")->check(CLI::IsMember({"table", "json"}));
  sub->callback([bench, &result] { result = guarded([bench] { return (*bench)(); }); });
}

}  // namespace tenon::cli
