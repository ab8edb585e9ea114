#include "sdk/kit/kit.h"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <fnmatch.h>
#include <fstream>
#include <sstream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <tenon/tenon.hpp>

#include "sdk/kit/children.h"
#include "sdk/kit/target.h"

namespace tenon::kit {
namespace {

struct Skip {
  std::string pattern, reason;
  int line = 0;
  bool used = false;
};

std::vector<Skip> read_skips(const std::string& path) {
  std::vector<Skip> out;
  if (path.empty()) return out;
  std::ifstream file(path);
  if (!file) throw Usage(fmt::format("skip file \"{}\" cannot be read", path));
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    std::istringstream words(line);
    Skip skip;
    words >> skip.pattern;
    if (skip.pattern.empty() || skip.pattern.starts_with('#')) continue;
    std::getline(words >> std::ws, skip.reason);
    if (skip.reason.empty())
      throw Usage(
          fmt::format("{}:{}: \"{}\" is skipped without a reason; write it behind the pattern", path, number, skip.pattern));
    skip.line = number;
    out.push_back(std::move(skip));
  }
  return out;
}

bool matches(const std::string& pattern, const std::string& name) { return fnmatch(pattern.c_str(), name.c_str(), 0) == 0; }

// What is installed; "" where that has none.
std::string installed_onnx_cases() {
  try {
    return kit_file("onnx-cases.zip");
  } catch (const std::runtime_error&) {
    return "";
  }
}

std::vector<Case> selected(const Options& options, std::vector<std::string>* notes = nullptr) {
  const std::vector<std::string> known = suite_names();
  for (const std::string& suite : options.suites)
    if (std::find(known.begin(), known.end(), suite) == known.end())
      throw Usage(fmt::format("there is no suite \"{}\"; there are {}", suite, fmt::join(known, ", ")));
  const std::string onnx_cases = options.onnx_cases.empty() ? installed_onnx_cases() : options.onnx_cases;
  if (onnx_cases.empty() && notes) notes->push_back("this installation has no cases of the ONNX standard: --onnx-cases names a folder of them");
  std::vector<Case> cases;
  try {
    cases = all_cases(onnx_cases);
  } catch (const std::exception& e) {
    throw Usage(e.what());
  }
  std::erase_if(cases, [&](const Case& c) {
    return (!options.suites.empty() && std::find(options.suites.begin(), options.suites.end(), c.suite) == options.suites.end()) ||
           (!options.filter.empty() && !matches(options.filter, c.full()));
  });
  if (cases.empty()) throw Usage(fmt::format("no case is called \"{}\"", options.filter));
  return cases;
}

std::string quoted(const std::string& word) {
  if (!word.empty() && word.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=:,@+") == std::string::npos)
    return word;
  std::string out = "'";
  for (const char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string command_of(const Options& options, const Target& target) {
  std::string out = "tenon plugin test " + quoted(target.manifest.empty() ? target.library : target.manifest);
  const nlohmann::json provider_options = nlohmann::json::parse(options.provider_options);
  for (const auto& [name, value] : provider_options.items())
    out += " -o " + quoted(name + "=" + (value.is_string() ? value.get<std::string>() : value.dump()));
  for (const auto& [pointer, value] : options.settings) out += " --set " + quoted(pointer + "=" + value);
  if (!options.device.empty()) out += " --device " + quoted(options.device);
  if (!options.onnx_cases.empty()) out += " --onnx-cases " + quoted(options.onnx_cases);
  return out;
}

std::string now() {
  const std::time_t seconds = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &parts);
  return text;
}

void add_entry(Report& report, const std::string& suite, const std::string& name, Outcome outcome, const std::string& reason) {
  Entry entry;
  entry.suite = suite;
  entry.name = name;
  entry.outcome = std::move(outcome);
  entry.skip_reason = reason;
  report.entries.push_back(std::move(entry));
}

// What the provider says of itself once it is loaded: id, version, devices.
void probe(Target& target, double seconds, Report& report) {
  std::string said;
  const std::string name = target.manifest.empty() ? target.library : target.manifest;
  const Outcome o = run_alone(
      [&] { return detail::text(&tenon_provider_devices, name.c_str(), static_cast<const tenon_configuration*>(nullptr)); },
      seconds, &said);
  if (o.verdict != Verdict::pass) {
    report.problem = fmt::format("it cannot be loaded: {}", o.text);
    return;
  }
  const nlohmann::json j = nlohmann::json::parse(said);
  target.id = j.value("id", target.id);
  report.version = j.value("version", target.version);
  for (const auto& d : j["devices"]) report.devices.push_back(fmt::format("{} ({})", d.value("uid", ""), d.value("name", "")));
  if (report.devices.empty()) report.problem = "it has no device on this machine";
}

}  // namespace

std::vector<std::string> list(const Options& options) {
  std::vector<std::string> names;
  for (const Case& c : selected(options)) names.push_back(c.full());
  return names;
}

Report test(const Options& options, const std::function<void(const Entry&)>& ended) {
  const auto start = std::chrono::steady_clock::now();
  Report report;
  const std::vector<Case> cases = selected(options, &report.notes);
  std::vector<Skip> skips = read_skips(options.skip_file);
  Target target;
  try {
    target = Target::find(options.provider, options.provider_paths);
  } catch (const std::exception& e) {
    throw Usage(e.what());
  }
  target.options = options.provider_options;
  target.settings = options.settings;
  target.device = options.device;
  report.version = target.version;
  report.began = now();
  probe(target, options.seconds, report);
  report.id = target.id;
  report.library = target.library;
  report.manifest = target.manifest;
  report.tenon_version = version();
  report.command = command_of(options, target);
  report.machine = detail::text(&tenon_machine_text);
  report.skip_file = options.skip_file;
  target.prepare();
  struct Close {
    Target& target;
    ~Close() { target.close(); }
  } close{target};

  std::vector<Case> to_run;
  for (const Case& c : cases) {
    Entry entry;
    entry.suite = c.suite;
    entry.name = c.name;
    for (Skip& skip : skips)
      if (matches(skip.pattern, c.full())) skip.used = true, entry.skip_reason = skip.reason;
    report.entries.push_back(std::move(entry));
  }
  std::vector<std::size_t> index;  // of entries, by case that runs
  for (std::size_t i = 0; i < cases.size(); ++i) {
    if (cases[i].needs_device && !report.problem.empty()) {
      report.entries[i].outcome = {Verdict::no_device, report.problem, 0};
      continue;
    }
    to_run.push_back(cases[i]);
    index.push_back(i);
  }
  run_cases(target, to_run, {options.seconds, options.jobs}, [&](std::size_t i, const Outcome& outcome) {
    Entry& entry = report.entries[index[i]];
    entry.outcome = outcome;
    if (!entry.skip_reason.empty()) {
      if (is_failure(outcome.verdict)) entry.outcome.verdict = Verdict::skipped;
      else if (outcome.verdict == Verdict::pass)
        entry.outcome = {Verdict::stale_skip,
                         fmt::format("it passes: remove the line from the skip file, which says: {}", entry.skip_reason),
                         outcome.seconds};
    }
    if (ended) ended(entry);
  });
  for (const Skip& skip : skips)
    if (!skip.used && options.suites.empty() && options.filter.empty())
      add_entry(report, "skip file", skip.pattern,
                {Verdict::stale_skip, fmt::format("line {} of the skip file names no case: remove it", skip.line), 0}, skip.reason);
  std::erase_if(report.entries, [](const Entry& e) { return e.outcome.verdict == Verdict::absent; });
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace tenon::kit
