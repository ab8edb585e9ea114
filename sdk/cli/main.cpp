// tenon: the command line. Data goes to stdout, messages to stderr.
#include <algorithm>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <tenon/tenon.hpp>

#include "sdk/cli/commands.h"
#include "sdk/cli/explain.h"
#include "sdk/cli/session_args.h"

int main(int argc, char** argv) {
  CLI::App app{"tenon runs ONNX models on whatever providers the machine has"};
  app.set_version_flag("--version", std::string("tenon ") + tenon_version());
  app.require_subcommand(1);
  app.footer("Exit codes: 0 success, 1 the command failed, 2 wrong command line, 3 the model cannot be used, 4 the configuration\n"
             "is wrong, 5 a provider cannot be used, 130 interrupted.");
  int result = 0;
  tenon::cli::add_run(app, result);
  tenon::cli::add_bench(app, result);
  tenon::cli::add_inspect(app, result);
  tenon::cli::add_explain(app, result);
  tenon::cli::add_tune(app, result);
  tenon::cli::add_compile(app, result);
  tenon::cli::add_doctor(app, result);
  tenon::cli::add_profile(app, result);
  tenon::cli::add_providers(app, result);
  tenon::cli::add_plugin(app, result);
  tenon::cli::add_config(app, result);
  std::vector<std::string> names;
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) names.push_back(sub->get_name());
  if (argc > 1 && argv[1][0] != '-' && std::find(names.begin(), names.end(), argv[1]) == names.end()) {
    const std::string near = tenon::cli::did_you_mean(tenon::cli::near_names(argv[1], names));
    fmt::print(stderr, "tenon: there is no command \"{}\"{}\n", argv[1],
               near.empty() ? fmt::format("; there are {}", fmt::join(names, ", ")) : near);
    return tenon::cli::usage;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : static_cast<int>(tenon::cli::usage);
  }
  return result;
}
