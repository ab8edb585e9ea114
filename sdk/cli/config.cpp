// tenon config: check a configuration, show the one that counts, print its schema.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "sdk/cli/commands.h"
#include "sdk/cli/session_args.h"

namespace tenon::cli {

void add_config(CLI::App& app, int& result) {
  CLI::App* sub = app.add_subcommand("config", "check, show or describe configurations");
  sub->require_subcommand(1);

  auto file = std::make_shared<std::string>();
  CLI::App* check = sub->add_subcommand("check", "say everything that is wrong with a file");
  check->add_option("file", *file, "the configuration")->required();
  check->callback([file, &result] {
    result = guarded([&] {
      try {
        (void)Config::load(*file);
      } catch (const Error& e) {
        throw Failure{bad_config, e.what()};
      }
      fmt::print("{}: good\n", *file);
      return static_cast<int>(ok);
    });
  });

  auto args = std::make_shared<SessionArgs>();
  auto origin = std::make_shared<bool>(false);
  CLI::App* show = sub->add_subcommand("show", "print the configuration that counts here");
  args->add_to(*show, false);
  show->add_option("--model", args->model, "as it would count for this model");
  show->add_flag("--origin", *origin, "every option with its value and where that comes from");
  show->callback([args, origin, &result] {
    result = guarded([&] {
      const Config c = args->configuration();
      fmt::print("{}", *origin ? c.origins() : c.text() + "\n");
      return static_cast<int>(ok);
    });
  });

  CLI::App* schema = sub->add_subcommand("schema", "print the JSON Schema of configuration files");
  schema->callback([&result] {
    result = guarded([] {
      fmt::print("{}\n", Config::schema());
      return static_cast<int>(ok);
    });
  });

  CLI::App* docs = sub->add_subcommand("docs", "print the table of all keys in Markdown");
  docs->callback([&result] {
    result = guarded([] {
      fmt::print("{}\n", detail::text(&tenon_configuration_docs));
      return static_cast<int>(ok);
    });
  });
}

}  // namespace tenon::cli
