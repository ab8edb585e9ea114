// Runs the ONNX corpus through the public C++ API: corpus_runner FOLDER [options].
//
// Every case must pass unless the exceptions name it; one that is named and passes fails too. Last line: `N passed, N failed,
// N skipped` (skipped: exceptions). Exit codes: 0 as it should be, 1 not, 2 wrong use, 77 no corpus and --skip-missing.
#include <clocale>
#include <cstdio>
#include <locale>
#include <optional>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <sched.h>

#include "case_run.h"
#include "exceptions.h"
#include "report.h"
#include "worker_pool.h"

namespace {

using namespace tenon::corpus;
constexpr int no_corpus = 77;  // what ctest takes for "skipped"

struct Arguments {
  std::string folder, provider, options, config, filter, exceptions, json, locale;
  std::size_t jobs = 0, limit_seconds = 300;
  std::optional<std::size_t> minimum;
  bool skip_missing = false;

  void add_to(CLI::App& app) {
    app.add_option("folder", folder, "a corpus as tests/onnx/materialize.py writes it")->required();
    app.add_option("-p,--provider", provider, "the one provider to use; default: cpu, or those of --config");
    app.add_option("--options", options, "its options, JSON: {\"plain\": true}")->needs("--provider");
    app.add_option("-c,--config", config, "configuration file; default: none, whatever the machine has")->check(CLI::ExistingFile);
    app.add_option("--filter", filter, "only cases with this in their name");
    app.add_option("--exceptions", exceptions, "file of `name reason`: cases that are known not to pass")->check(CLI::ExistingFile);
    app.add_option("--minimum", minimum, "fewest cases that must pass; default: what the corpus says, 1 with --filter");
    app.add_option("-j,--jobs", jobs, "worker processes; default: the CPUs that the process may use");
    app.add_option("--limit", limit_seconds, "most seconds of one case")->check(CLI::Range(1, 86400));
    app.add_option("--json", json, "write every case's result and time to this file");
    app.add_option("--locale", locale, "locale of the process; default: that of the environment, if it exists");
    app.add_flag("--skip-missing", skip_missing, "end with 77 where the folder does not exist");
  }

  tenon::Config configuration() const {
    tenon::Config c = config.empty() ? tenon::Config() : tenon::Config::load(config);
    if (!provider.empty()) c.clear_providers();
    if (!provider.empty() || config.empty()) c.add_provider(provider.empty() ? "cpu" : provider, options.empty() ? "{}" : options);
    return c;
  }

  std::size_t workers() const {
    cpu_set_t set;
    if (jobs) return jobs;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? static_cast<std::size_t>(CPU_COUNT(&set)) : 1;
  }
};

// Numbers must be read and written the same everywhere; a library sees the locale that its process has chosen.
void choose_locale(const std::string& name) {
  if (std::setlocale(LC_ALL, name.c_str())) std::locale::global(std::locale(name));
  else if (!name.empty()) throw std::runtime_error(fmt::format("--locale {}: the machine does not have it", name));
}

int run(const Arguments& a) {
  choose_locale(a.locale);
  const Corpus corpus = read_corpus(a.folder);
  std::vector<const Case*> wanted;
  for (const Case& c : corpus.cases)
    if (c.name.find(a.filter) != std::string::npos) wanted.push_back(&c);
  Report report(a.exceptions.empty() ? std::map<std::string, std::string>() : read_exceptions(a.exceptions));
  // Made in the workers: the parent has no threads of the library when it forks.
  const auto job = [&](std::size_t i) {
    static const tenon::Config config = a.configuration();
    return run_case(*wanted[i], config);
  };
  const auto done = [&](std::size_t i, const std::string& text, double seconds) { report.add(wanted[i]->name, text, seconds); };
  const std::string deaths = WorkerPool{a.workers(), std::chrono::seconds(a.limit_seconds)}.run(wanted.size(), job, done);
  if (!deaths.empty()) report.fail("a worker " + deaths);
  const std::size_t minimum = a.minimum.value_or(a.filter.empty() ? corpus.minimum : 1);
  if (report.passed() < minimum)
    report.fail(fmt::format("{} cases of onnx {} passed, at least {} must", report.passed(), corpus.onnx_version, minimum));
  if (!a.json.empty()) report.write_json(a.json);
  fmt::print("{} passed, {} failed, {} skipped\n", report.passed(), report.failed(), report.skipped());
  return report.failed() == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Runs the ONNX corpus; every case must pass unless the exceptions name it.");
  Arguments arguments;
  arguments.add_to(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  try {
    if (arguments.skip_missing && !std::filesystem::exists(arguments.folder)) {
      fmt::print("skipped: {} does not exist; scripts/setup writes it\n", arguments.folder);
      return no_corpus;
    }
    return run(arguments);
  } catch (const std::exception& e) {
    fmt::print(stderr, "corpus_runner: {}\n", e.what());
    return 1;
  }
}
