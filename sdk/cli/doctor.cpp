// tenon doctor: what works here, what does not, and what to do about it: machine, configuration, caches, every provider.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "core/base/owner.h"
#include "sdk/cli/commands.h"
#include "sdk/cli/libraries.h"
#include "sdk/cli/probe.h"
#include "sdk/cli/progress.h"
#include "sdk/cli/session_args.h"
#include "sdk/cli/table.h"

namespace tenon::cli {
namespace {

namespace fs = std::filesystem;

std::string text_of(const Json& j, const char* key) {
  return j.contains(key) && j[key].is_string() ? j[key].get<std::string>() : std::string();
}

std::string joined(const Json& list, const char* between = ", ") {
  std::string out;
  for (const Json& item : list) out += (out.empty() ? "" : between) + item.get<std::string>();
  return out;
}

// A folder of cached files: how large, whose, who may write.
Json folder_facts(const std::string& path) {
  Json out = {{"folder", path}, {"state", "none"}, {"files", 0}, {"bytes", 0}, {"mode", ""}};
  struct stat info {};
  if (path.empty() || ::stat(path.c_str(), &info) != 0) return out;
  out["mode"] = fmt::format("{:o}", info.st_mode & 07777);
  const char* why = not_ours(info);
  out["state"] = !why ? "ok" : fmt::format("refused: {}; {} {}", why, info.st_uid == ::geteuid() ? "chmod go-w" : "set another folder than", path);
  std::uint64_t files = 0, bytes = 0;
  std::error_code code;
  for (fs::directory_iterator it(path, code), end; !code && it != end; it.increment(code)) {
    std::error_code ignored;
    if (it->path().extension() != ".tnc") continue;
    ++files;
    if (const std::uintmax_t size = it->file_size(ignored); !ignored) bytes += size;
  }
  out["files"] = files, out["bytes"] = bytes;
  return out;
}

struct Doctor {
  SessionArgs session;
  std::string probed, format = "table";
  bool json = false;
  double limit = 60;

  int operator()() const {
    if (!probed.empty()) return probe_here(session, probed);
    Json report = {{"schema", "tenon.doctor"}, {"version", 1}, {"tenon", tenon_version()}};
    report["machine"] = Json::parse(detail::text(&tenon_machine_text));
    Config config;
    report["configuration"] = configuration(config);
    report["caches"] = {{"session", folder_facts(value_of(config, "/session/cache"))},
                        {"costs", folder_facts(value_of(config, "/placement/costs"))}};
    report["providers"] = providers(config);
    const bool bad = !text_of(report["configuration"], "error").empty();
    report["problems"] = problems(report);
    const bool unusable = std::any_of(report["providers"].begin(), report["providers"].end(),
                                      [](const Json& p) { return p["required"].get<bool>() && text_of(p, "state") != "ok"; });
    if (json || format == "json") fmt::print("{}\n", report.dump(2, ' ', false, Json::error_handler_t::replace));
    else print(report);
    return bad ? bad_config : unusable ? no_provider : ok;
  }

  // The one in force, with every option that is set and where that was; at its defaults after an error.
  Json configuration(Config& config) const {
    Json out = {{"error", ""}, {"set", Json::array()}};
    try {
      config = session.configuration();
    } catch (const Failure& f) {
      out["error"] = f.text;
    }
    std::istringstream lines(config.origins());
    for (std::string line; std::getline(lines, line);)
      if (!line.ends_with("(default)")) out["set"].push_back(line);
    return out;
  }

  // "/session/cache = \"/x\"  (file:3)" -> /x, as config.origins() writes it, variables replaced as far as a home needs.
  static std::string value_of(const Config& config, const std::string& pointer) {
    std::istringstream lines(config.origins());
    for (std::string line; std::getline(lines, line);) {
      if (!line.starts_with(pointer + " = ")) continue;
      const std::string text = line.substr(pointer.size() + 3, line.rfind("  (") - pointer.size() - 3);
      const Json value = Json::parse(text, nullptr, false);
      std::string path = value.is_string() ? value.get<std::string>() : "";
      const auto env = [](const char* name) { const char* v = std::getenv(name); return std::string(v ? v : ""); };
      const std::string variable = "${XDG_CACHE_HOME}",
                        home = env("XDG_CACHE_HOME").empty() ? env("HOME") + "/.cache" : env("XDG_CACHE_HOME");
      if (const std::size_t at = path.find(variable); at != std::string::npos) path.replace(at, variable.size(), home);
      return path;
    }
    return "";
  }

  Json providers(const Config& config) const {
    const Json wanted = Json::parse(config.text(), nullptr, false).value("providers", Json::array());
    Json list = Json::parse(detail::text(&tenon_provider_list, static_cast<const tenon_configuration*>(config.handle())));
    const auto names = [](const Json& p, const std::string& name) {
      return text_of(p, "id") == name || text_of(p, "path") == name ||
             std::any_of(p["aliases"].begin(), p["aliases"].end(), [&](const Json& a) { return a == name; });
    };
    // What is configured and was not found is a provider all the same, one that cannot be used.
    for (const Json& entry : wanted) {
      const std::string use = text_of(entry, "use");
      if (std::none_of(list.begin(), list.end(), [&](const Json& p) { return names(p, use); }))
        list.push_back({{"id", use},
                        {"aliases", Json::array()},
                        {"version", ""},
                        {"path", ""},
                        {"where", "configuration"},
                        {"state", "ready"},
                        {"reason", ""},
                        {"devices", Json::array()}});
    }
    Json out = Json::array();
    Progress bar("looking at providers");
    for (const Json& p : list) {
      bar.at(static_cast<double>(out.size()) / static_cast<double>(list.size()), text_of(p, "id"));
      bool required = wanted.empty() && text_of(p, "id") == "cpu";
      for (const Json& entry : wanted) required |= names(p, text_of(entry, "use")) && entry.value("required", true);
      Json row = {{"id", text_of(p, "id")},
                  {"version", text_of(p, "version")},
                  {"manifest", text_of(p, "path")},
                  {"where", text_of(p, "where")},
                  {"required", required && text_of(p, "state") != "shadowed"},
                  {"state", text_of(p, "state")},
                  {"text", text_of(p, "reason")},
                  {"devices", Json::array()},
                  {"missing", missing(text_of(p, "path"))},
                  {"output", ""}};
      if (text_of(p, "state") == "ready" || text_of(p, "state") == "loaded") {
        const std::string name = text_of(p, "path").empty() ? text_of(p, "id") : text_of(p, "path");
        const Json found = probe(session, name, std::chrono::milliseconds(static_cast<std::int64_t>(limit * 1000)));
        for (const char* key : {"state", "text", "stage", "devices", "output", "ns"}) row[key] = found[key];
        if (row["version"] == "") row["version"] = found["version"];
        if (found["died"].get<bool>()) keep_out(config, name, row);
      }
      out.push_back(std::move(row));
    }
    return out;
  }

  // What ended its process would end the next one: sessions do not load it before somebody says so.
  static void keep_out(const Config& config, const std::string& name, Json& row) {
    const std::string what = text_of(row, "text");
    try {
      detail::check(tenon_provider_quarantine(name.c_str(), what.c_str(), static_cast<const tenon_configuration*>(config.handle())));
      row["text"] = fmt::format("{}. It is in quarantine now; `tenon providers --forget-quarantine {}` lets it be tried again", what, text_of(row, "id"));
    } catch (const Error& e) {
      if (e.code() != TENON_FAILED_PRECONDITION) throw;
    }
  }

  // Libraries that the provider of a manifest needs and the loader does not find: those of its file, and those it opens.
  static Json missing(const std::string& manifest) {
    Json out = Json::array();
    std::string library = manifest;
    std::vector<std::string> opened;
    if (manifest.ends_with(".tenon.json")) {
      std::ifstream file(manifest);
      const Json m = Json::parse(file, nullptr, false, true);
      utsname kernel{};
      ::uname(&kernel);
      const std::string key = fmt::format("linux-{}", kernel.machine);
      if (!m.is_object() || !m.contains("library") || !m["library"].is_object() || !m["library"].contains(key) ||
          !m["library"][key].is_string())
        return out;
      library = (fs::path(manifest).parent_path() / m["library"][key].get<std::string>()).string();
      if (m.contains("requires") && m["requires"].is_object() && m["requires"].contains("libs") && m["requires"]["libs"].is_array())
        for (const Json& lib : m["requires"]["libs"])
          if (lib.is_string()) opened.push_back(lib.get<std::string>());
    }
    for (const MissingLibrary& lib : missing_libraries(library, opened))
      out.push_back({{"library", lib.name}, {"needed_by", lib.needed_by}, {"searched", lib.searched}, {"remedy", lib.remedy}});
    return out;
  }

  static Json problems(const Json& report) {
    Json out = Json::array();
    if (const std::string fault = text_of(report["configuration"], "error"); !fault.empty()) out.push_back("configuration: " + fault);
    for (const auto& [name, folder] : report["caches"].items())
      if (text_of(folder, "state").starts_with("refused"))
        out.push_back(fmt::format("cache {}: {}", text_of(folder, "folder"), text_of(folder, "state")));
    for (const Json& p : report["providers"]) {
      for (const Json& lib : p["missing"])
        out.push_back(
            fmt::format("provider {}: {} is missing: {}", text_of(p, "id"), text_of(lib, "library"), text_of(lib, "remedy")));
      if (const std::string state = text_of(p, "state"); state != "ok" && state != "shadowed")
        out.push_back(fmt::format("provider {}: {}: {}", text_of(p, "id"), state, text_of(p, "text")));
    }
    return out;
  }

  static void print(const Json& report) {
    const Json &machine = report["machine"], &cpu = machine["cpu"], &memory = machine["memory"];
    Table facts({{"tenon"}, {text_of(report, "tenon") + "  " + text_of(machine, "library")}});
    facts.row(
        {"build", fmt::format("{}, ABI {}.{}{}", text_of(machine, "compiler"), machine["abi"]["major"].get<int>(),
                              machine["abi"]["minor"].get<int>(),
                              text_of(machine, "sanitizer") == "none" ? "" : ", sanitizer " + text_of(machine, "sanitizer"))});
    facts.row(
        {"kernel", text_of(machine, "kernel") +
                       (machine["privileged"].get<bool>() ? ", a privileged process: environment and home do not count" : "")});
    facts.row({"cpu", text_of(cpu, "model")});
    facts.row({"features", joined(cpu["features"], " ")});
    facts.row({"threads", fmt::format("{}: {} online, {} by affinity, {}", cpu["usable"].get<int>(), cpu["online"].get<int>(),
                                      cpu["affinity"].get<int>(),
                                      cpu["cgroup"].is_null() ? std::string("no cgroup quota")
                                                              : fmt::format("cgroup quota {:g}", cpu["cgroup"].get<double>()))});
    facts.row({"memory", fmt::format("{}, {} free, {}", bytes_text(memory["total_bytes"].get<double>()),
                                     bytes_text(memory["available_bytes"].get<double>()),
                                     memory["cgroup_bytes"].is_null()
                                         ? std::string("no cgroup limit")
                                         : "cgroup limit " + bytes_text(memory["cgroup_bytes"].get<double>()))});
    for (const auto& [name, folder] : report["caches"].items())
      facts.row({name == "session" ? "cache" : "costs", text_of(folder, "folder").empty() ? "none"
                                                        : text_of(folder, "state") == "none"
                                                            ? text_of(folder, "folder") + " (not there yet)"
                                                            : fmt::format("{}: {} in {}, mode {}: {}", text_of(folder, "folder"),
                                                                          bytes_text(folder["bytes"].get<double>()),
                                                                          count_text(folder["files"].get<std::size_t>(), "file"),
                                                                          text_of(folder, "mode"), text_of(folder, "state"))});
    const Json& set = report["configuration"]["set"];
    if (set.empty()) facts.row({"config", "nothing is set: the defaults"});
    for (std::size_t i = 0; i < set.size(); ++i) facts.row({i == 0 ? "config" : "", set[i].get<std::string>()});
    fmt::print("{}\n", facts.text());

    Table table({{"provider"}, {"version"}, {"state"}, {"device"}, {"smoke tests"}});
    for (const Json& p : report["providers"]) {
      std::string id = text_of(p, "id") + (p["required"].get<bool>() ? "" : " (optional)"), version = text_of(p, "version"),
                  state = text_of(p, "state");
      if (p["devices"].empty()) table.row({id, version, state});
      for (const Json& d : p["devices"]) {
        std::string tests;
        for (const Json& t : d["tests"]) {
          const std::string s = text_of(t, "state");
          tests += fmt::format("{}{} {}", tests.empty() ? "" : ", ", text_of(t, "op"),
                               s == "ok"        ? time_text(t["ns"].get<double>())
                               : s == "refused" ? "-"
                                                : s);
        }
        table.row({std::exchange(id, ""), std::exchange(version, ""), std::exchange(state, ""),
                   fmt::format("{} ({})", text_of(d, "uid"), text_of(d, "name")), tests});
      }
    }
    fmt::print("{}", table.text());
    for (const Json& p : report["providers"]) {
      if (text_of(p, "state") != "ok" && !text_of(p, "text").empty())
        fmt::print("\n{}: {}: {}\n", text_of(p, "id"), text_of(p, "state"), text_of(p, "text"));
      for (const Json& lib : p["missing"])
        fmt::print("\n{}: {} is not found\n  needed by  {}\n  searched   {}\n  fix        {}\n", text_of(p, "id"),
                   text_of(lib, "library"), text_of(lib, "needed_by"), joined(lib["searched"], "\n             "),
                   text_of(lib, "remedy"));
      if (text_of(p, "state") != "ok" && !text_of(p, "output").empty()) fmt::print("  it wrote: {}\n", text_of(p, "output"));
    }
    if (const std::string fault = text_of(report["configuration"], "error"); !fault.empty())
      fmt::print("\nconfiguration: {}\n", fault);
    fmt::print("\n{}\n", report["problems"].empty() ? "all is well" : count_text(report["problems"].size(), "problem"));
  }
};

}  // namespace

void add_doctor(CLI::App& app, int& result) {
  auto doctor = std::make_shared<Doctor>();
  CLI::App* sub = app.add_subcommand(
      "doctor", "say what works here and what does not: machine, configuration, caches, every provider in a process of its own");
  doctor->session.add_to(*sub, false);
  sub->add_option("--limit", doctor->limit, "seconds that one step of a provider's probe may take: loading it, an operator on a device")->check(CLI::PositiveNumber);
  sub->add_flag("--json", doctor->json, "as JSON, for reports of faults");
  sub->add_option("--format", doctor->format, "table or json")->check(CLI::IsMember({"table", "json"}));
  sub->add_option("--probe", doctor->probed)->group("");
  sub->callback([doctor, &result] { result = guarded(*doctor); });
}

}  // namespace tenon::cli
