// SessionArgs: the options that every command shares which loads a model, and the session made from them.
// One object a command; used by the main thread.
#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include <tenon/tenon.hpp>

namespace CLI {
class App;
}

namespace tenon::cli {

// Exit codes, documented in sdk/cli/README.md and in --help.
enum Exit { ok = 0, failed = 1, usage = 2, bad_model = 3, bad_config = 4, no_provider = 5, interrupted = 130 };

// A failure with the exit code that goes with it.
struct Failure {
  int code;
  std::string text;
};

struct SessionArgs {
  std::string model;
  std::vector<std::string> providers;       // -p: id, alias or path, with ":index" of a device
  std::vector<std::string> provider_paths;
  std::vector<std::string> options;         // "cpu.plain=true"
  std::vector<std::string> settings;        // "/session/threads=2"
  std::string config;
  int threads = 0;
  std::string log;

  // short_option: -o is --option; else the command has its own use for it.
  void add_to(CLI::App& app, bool with_model = true, bool short_option = true);
  // Errors: Failure with the code of the part that failed.
  Config configuration() const;
  Session open() const { return open(configuration()); }
  Session open(const Config& config) const;
  // Calls load with the options of a session, a progress bar under it. Errors: as of open.
  void load(const Config& config, const std::string& title, const std::function<void(const SessionOptions&)>& use) const;
};

// A name as a part of a JSON pointer.
std::string pointer_part(const std::string& name);
// Stops on the first Ctrl-C; the second one ends the process.
std::stop_token interrupt();
// Catches what a command throws, prints it to stderr and gives the exit code.
int guarded(const std::function<int()>& command);

}  // namespace tenon::cli
