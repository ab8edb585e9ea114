// tenon plugin: what the author of a provider needs: a project to start from, the conformance kit, a package to ship.
#include <fstream>
#include <thread>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "sdk/cli/commands.h"
#include "sdk/cli/plugin_new.h"
#include "sdk/cli/plugin_pack.h"
#include "sdk/cli/session_args.h"
#include "sdk/cli/table.h"
#include "sdk/kit/kit.h"

namespace tenon::cli {
namespace {

void write_file(const std::string& path, const std::string& text) {
  std::ofstream out(path, std::ios::binary);
  out << text;
  if (!out.flush()) throw Failure{failed, fmt::format("\"{}\" cannot be written", path)};
}

struct Test {
  kit::Options options;
  std::vector<std::string> provider_options, settings;
  std::string json, html, log;
  bool list = false, verbose = false, require_device = false;

  int operator()() {
    try {
      if (!log.empty()) detail::check(tenon_log_configure(log.c_str()));
      Json given = Json::object();
      for (const std::string& o : provider_options) {
        const std::size_t equals = o.find('=');
        if (equals == std::string::npos || equals == 0) throw Failure{usage, fmt::format("--option {}: NAME=VALUE is expected", o)};
        const Json value = Json::parse(o.substr(equals + 1), nullptr, false);
        given[o.substr(0, equals)] = value.is_discarded() ? Json(o.substr(equals + 1)) : value;
      }
      options.provider_options = given.dump();
      for (const std::string& s : settings) {
        const std::size_t equals = s.find('=');
        if (equals == std::string::npos || !s.starts_with('/')) throw Failure{usage, fmt::format("--set {}: /POINTER=VALUE is expected", s)};
        options.settings.emplace_back(s.substr(0, equals), s.substr(equals + 1));
      }
      if (list) {
        for (const std::string& name : kit::list(options)) fmt::print("{}\n", name);
        return ok;
      }
      const bool person = isatty(STDERR_FILENO) != 0;
      const kit::Report report = kit::test(options, [&](const kit::Entry& e) {
        if (verbose && e.outcome.verdict != kit::Verdict::absent)
          fmt::print(stderr, "{}/{}: {} ({:.0f} ms){}{}\n", e.suite, e.name, kit::name_of(e.outcome.verdict),
                     e.outcome.seconds * 1e3, e.outcome.text.empty() ? "" : ": ", e.outcome.text);
        else if (person) fmt::print(stderr, "\r\x1b[K{}/{}", e.suite, e.name);
      });
      if (person && !verbose) fmt::print(stderr, "\r\x1b[K");
      if (!json.empty()) write_file(json, report.json());
      if (!html.empty()) write_file(html, report.html());
      fmt::print("{}", report.text());
      if (require_device && !report.problem.empty()) throw Failure{no_provider, report.problem};
      return report.failed() ? no_provider : ok;
    } catch (const kit::Usage& e) {
      throw Failure{usage, e.what()};
    }
  }
};

void add_test(CLI::App& app, int& result) {
  auto test = std::make_shared<Test>();
  CLI::App* sub = app.add_subcommand("test", "run the conformance kit against a provider; exit code 5 when a case fails");
  sub->add_option("provider", test->options.provider, "id, manifest or library");
  sub->add_option("--suite", test->options.suites, "only these suites: " + fmt::format("{}", fmt::join(kit::suite_names(), ", ")))
      ->delimiter(',');
  sub->add_option("--filter", test->options.filter, "only cases whose name fits: \"operators/Conv/*\"");
  sub->add_flag("--list", test->list, "list the cases and run none");
  sub->add_option("--skip", test->options.skip_file,
                  "file of lines \"PATTERN REASON\": known failures; one that passes is a failure")
      ->check(CLI::ExistingFile);
  sub->add_option("-o,--option", test->provider_options, "an option of the provider: NAME=VALUE")->allow_extra_args(false);
  sub->add_option("--set", test->settings, "a configuration key of every session: POINTER=VALUE, such as /session/optimize=none")
      ->allow_extra_args(false);
  sub->add_option("--device", test->options.device, "which device: index, uid or a glob of uids");
  sub->add_option("--provider-path", test->options.provider_paths,
                  "a folder, manifest or library in which providers are looked for first")
      ->check(CLI::ExistingPath);
  sub->add_option("--onnx-cases", test->options.onnx_cases,
                  "a folder of the ONNX standard's node cases, or an archive of them, instead of those that are installed")
      ->check(CLI::ExistingPath);
  sub->add_option("--seconds", test->options.seconds, "time limit of one case")->check(CLI::PositiveNumber);
  test->options.jobs = static_cast<int>(std::max(1u, std::thread::hardware_concurrency() / 2));
  sub->add_option("-j,--jobs", test->options.jobs, "processes at a time")->check(CLI::Range(1, 256));
  sub->add_option("--json", test->json, "write the report as JSON");
  sub->add_option("--html", test->html, "write the report as one page");
  sub->add_flag("--require-device", test->require_device, "fail where the provider has no device");
  sub->add_flag("-v,--verbose", test->verbose, "show each case as it ends");
  sub->add_option("--log", test->log, "log levels");
  sub->callback([test, &result] {
    if (test->options.provider.empty() && !test->list) throw CLI::RequiredError("provider");
    result = guarded([test] { return (*test)(); });
  });
}

void add_new(CLI::App& app, int& result) {
  auto made = std::make_shared<PluginNew>();
  CLI::App* sub = app.add_subcommand("new", "write a project for a provider of your own, which builds against the installed headers");
  sub->add_option("name", made->name, "its id: a-z, 0-9 and '_', beginning with a letter")->required();
  sub->add_option("--dir", made->folder, "where; default: a new folder of that name");
  sub->callback([made, &result] { result = guarded([made] { return (*made)(); }); });
}

void add_pack(CLI::App& app, int& result) {
  auto pack = std::make_shared<PluginPack>();
  CLI::App* sub = app.add_subcommand("pack", "bundle a provider: its manifest with a checksum, its library, more files");
  sub->add_option("manifest", pack->manifest, "the provider's manifest, <id>.tenon.json")->required()->check(CLI::ExistingFile);
  sub->add_option("--with", pack->extra, "another file that belongs beside the library")->check(CLI::ExistingFile);
  sub->add_flag("--wheel", pack->wheel, "a Python wheel, found through the entry point tenon.providers");
  sub->add_option("--out", pack->out, "folder to write into; default: here");
  sub->callback([pack, &result] { result = guarded([pack] { return (*pack)(); }); });
}

}  // namespace

void add_plugin(CLI::App& app, int& result) {
  CLI::App* sub = app.add_subcommand("plugin", "for authors of providers: start a project, test it, pack it");
  sub->require_subcommand(1);
  add_new(*sub, result);
  add_test(*sub, result);
  add_pack(*sub, result);
}

}  // namespace tenon::cli
