#include "sdk/cli/session_args.h"

#include <csignal>
#include <optional>
#include <thread>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "sdk/cli/progress.h"

namespace tenon::cli {

// Options that may be repeated take one value each time: what follows is the model, not another value.
void SessionArgs::add_to(CLI::App& app, bool with_model, bool short_option) {
  if (with_model) app.add_option("model", model, "the ONNX file, or a bundle that tenon compile made")->required()->check(CLI::ExistingFile);
  app.add_option("-p,--provider", providers, "a provider to use: id, alias or path, \":N\" for its device N; may be repeated, the preferred one first")->allow_extra_args(false);
  app.add_option("--provider-path", provider_paths, "a folder, manifest or library in which providers are looked for first")->check(CLI::ExistingPath)->allow_extra_args(false);
  app.add_option(short_option ? "-o,--option" : "--option", options, "an option of a provider named with -p: ID.NAME=VALUE, such as cpu.plain=true")->allow_extra_args(false);
  app.add_option("-c,--config", config, "configuration file (JSON)")->check(CLI::ExistingFile);
  app.add_option("--set", settings, "a configuration key: POINTER=VALUE, such as /session/optimize=none")->allow_extra_args(false);
  app.add_option("-t,--threads", threads, "most threads of one run; default: the CPUs that the process may use")->check(CLI::Range(1, 1024));
  app.add_option("--log", log, "log levels: \"info\", \"warn,loader:debug\"");
}

namespace {

std::pair<std::string, std::string> split(const std::string& text, char at, const char* what) {
  const std::size_t i = text.find(at);
  if (i == std::string::npos || i == 0) throw Failure{usage, fmt::format("\"{}\": {} is expected", text, what)};
  return {text.substr(0, i), text.substr(i + 1)};
}

// "opencl:1" is device 1 of opencl; a path keeps its colons.
std::pair<std::string, std::string> name_and_device(const std::string& text) {
  const std::size_t i = text.rfind(':');
  if (i == std::string::npos || text.find('/') != std::string::npos || i + 1 == text.size()) return {text, ""};
  return {text.substr(0, i), text.substr(i + 1)};
}

}  // namespace

Config SessionArgs::configuration() const {
  try {
    if (!log.empty()) detail::check(tenon_log_configure(log.c_str()));
    Config c = Config::find(config, model);
    for (const std::string& path : provider_paths) add_provider_path(path);
    if (!providers.empty()) {
      c.clear_providers();
      for (const std::string& p : providers) {
        const auto [name, device] = name_and_device(p);
        std::string json;
        for (const std::string& option : options) {
          const auto [id, rest] = split(option, '.', "ID.NAME=VALUE");
          if (id != name) continue;
          const auto [key, value] = split(rest, '=', "ID.NAME=VALUE");
          const bool bare = value != "true" && value != "false" && value.find_first_not_of("0123456789.-") != std::string::npos && value.front() != '"' && value.front() != '[';
          json += fmt::format("{}\"{}\": {}", json.empty() ? "" : ", ", key, bare || value.empty() ? "\"" + value + "\"" : value);
        }
        c.add_provider(name, "{" + json + "}", device);
      }
    }
    for (const std::string& option : options) {
      const std::string id = split(option, '.', "ID.NAME=VALUE").first;
      bool known = false;
      for (const std::string& p : providers) known = known || name_and_device(p).first == id;
      if (!known) throw Failure{usage, fmt::format("--option {}: \"{}\" is not named with --provider", option, id)};
    }
    if (threads > 0) c.set("/session/threads", std::to_string(threads));
    for (const std::string& s : settings) {
      const auto [pointer, value] = split(s, '=', "POINTER=VALUE");
      c.set(pointer, value);
    }
    return c;
  } catch (const Error& e) {
    throw Failure{bad_config, e.what()};
  }
}

Session SessionArgs::open(const Config& c) const {
  std::optional<Session> made;
  load(c, "loading " + model, [&](const SessionOptions& options) { made.emplace(model, options); });
  return *made;
}

void SessionArgs::load(const Config& c, const std::string& title, const std::function<void(const SessionOptions&)>& use) const {
  Progress bar(title);
  SessionOptions open;
  open.configuration = c;
  open.stop = interrupt();
  open.progress = [&](double fraction, const char* what) { bar.at(fraction, what); };
  try {
    use(open);
  } catch (const Error& e) {
    if (e.code() == TENON_CANCELLED) throw Failure{interrupted, "interrupted"};
    // Options are part of the configuration, though only the provider's manifest knows them.
    if (std::string_view(e.what()).starts_with("options of provider ")) throw Failure{bad_config, e.what()};
    const bool provider = e.code() == TENON_MISSING_DEPENDENCY || e.code() == TENON_ABI_MISMATCH || std::string_view(e.what()).starts_with("provider ") ||
                          std::string_view(e.what()).starts_with("there is no provider");
    throw Failure{provider ? no_provider : bad_model, e.what()};
  }
}

std::string pointer_part(const std::string& name) {
  std::string out;
  for (char c : name) out += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
  return out;
}

std::stop_token interrupt() {
  // A thread of its own waits for the signal: a handler may do next to nothing.
  static std::stop_source* source = [] {
    auto* made = new std::stop_source;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    std::thread([made, set] {
      int signal = 0;
      sigwait(&set, &signal);
      made->request_stop();
      sigwait(&set, &signal);
      _exit(interrupted);
    }).detach();
    return made;
  }();
  return source->get_token();
}

int guarded(const std::function<int()>& command) {
  try {
    return command();
  } catch (const Failure& f) {
    fmt::print(stderr, "tenon: {}\n", f.text);
    return f.code;
  } catch (const Error& e) {
    if (e.code() == TENON_CANCELLED) {
      fmt::print(stderr, "tenon: interrupted\n");
      return interrupted;
    }
    fmt::print(stderr, "tenon: {}\n", e.what());
    return failed;
  } catch (const std::exception& e) {
    fmt::print(stderr, "tenon: {}\n", e.what());
    return failed;
  }
}

}  // namespace tenon::cli
