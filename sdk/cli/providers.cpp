// tenon providers: what was found, what can be used, and why the rest cannot.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "sdk/cli/commands.h"
#include "sdk/cli/session_args.h"
#include "sdk/cli/table.h"

namespace tenon::cli {
namespace {

struct Providers {
  SessionArgs session;
  std::string show, forget, format = "table";

  int operator()() const {
    const Config config = session.configuration();
    if (!forget.empty()) {
      detail::check(tenon_provider_forget_quarantine(forget.c_str(), static_cast<const tenon_configuration*>(config.handle())));
      fmt::print("{}: tried again the next time it is wanted\n", forget);
      return ok;
    }
    if (!show.empty()) return devices(config);
    const Json list = Json::parse(detail::text(&tenon_provider_list, static_cast<const tenon_configuration*>(config.handle())));
    if (format == "json") {
      fmt::print("{}\n", list.dump(2));
      return ok;
    }
    Table table({{"provider"}, {"version"}, {"state"}, {"devices"}, {"found by"}, {"manifest"}});
    for (const Json& p : list) {
      std::string devices;
      for (const Json& d : p["devices"]) devices += (devices.empty() ? "" : ", ") + d.get<std::string>();
      table.row({p["id"].get<std::string>(), p["version"].get<std::string>(), p["state"].get<std::string>(), devices, p["where"].get<std::string>(), p["path"].get<std::string>()});
    }
    fmt::print("{}", table.empty() ? "no provider was found\n" : table.text());
    for (const Json& p : list)
      if (const std::string reason = p["reason"].get<std::string>(); !reason.empty()) fmt::print("\n{} ({}): {}\n", p["id"].get<std::string>(), p["state"].get<std::string>(), reason);
    return ok;
  }

  // Loads the provider: the only way to know its devices.
  int devices(const Config& config) const {
    Json p;
    try {
      p = Json::parse(detail::text(&tenon_provider_devices, show.c_str(), static_cast<const tenon_configuration*>(config.handle())));
    } catch (const Error& e) {
      throw Failure{no_provider, e.what()};
    }
    if (format == "json") {
      fmt::print("{}\n", p.dump(2));
      return ok;
    }
    fmt::print("{} {}  {}\n\n", p["id"].get<std::string>(), p["version"].get<std::string>(), p["path"].get<std::string>());
    Table table({{"device", true}, {"kind"}, {"uid"}, {"name"}, {"memory", true}});
    int number = 0;
    for (const Json& d : p["devices"])
      table.row({std::to_string(number++), d["kind"].get<std::string>(), d["uid"].get<std::string>(), d["name"].get<std::string>(), d["memory_bytes"].get<double>() > 0 ? bytes_text(d["memory_bytes"].get<double>()) : ""});
    fmt::print("{}", table.text());
    return ok;
  }
};

}  // namespace

void add_providers(CLI::App& app, int& result) {
  auto providers = std::make_shared<Providers>();
  CLI::App* sub = app.add_subcommand("providers", "list the providers that were found, and why some cannot be used");
  sub->add_option("provider", providers->show, "load this one and list its devices");
  sub->add_option("--forget-quarantine", providers->forget, "let this one be tried again, after it crashed or hung");
  sub->add_option("--provider-path", providers->session.provider_paths, "a folder, manifest or library in which providers are looked for first");
  sub->add_option("-c,--config", providers->session.config, "configuration file (JSON)");
  sub->add_option("--log", providers->session.log, "log levels");
  sub->add_option("--format", providers->format, "table or json")->check(CLI::IsMember({"table", "json"}));
  sub->callback([providers, &result] { result = guarded(*providers); });
}

}  // namespace tenon::cli
