#include "core/provider/probe.h"

#include <filesystem>
#include <mutex>

#include "core/base/child_process.h"
#include "core/base/dynlib.h"
#include "core/base/log.h"

namespace tenon {
namespace {

// The last line that it printed.
std::string last_line(std::string text) {
  while (text.ends_with('\n')) text.pop_back();
  return text.substr(text.rfind('\n') + 1);
}

}  // namespace

std::string probe_program() {
  const std::filesystem::path folder = std::filesystem::path(own_library_path()).parent_path();
  std::error_code code;
  for (const char* place : {"tenon/tenon_probe", "../lib/tenon/tenon_probe"})
    if (const auto path = folder / place; std::filesystem::is_regular_file(path, code)) return path.lexically_normal().string();
  return "";
}

Status probe_library(const std::string& id, const std::string& library, std::chrono::milliseconds limit, Quarantine records) {
  static std::mutex mutex;  // one trial of a library, whoever asks
  std::lock_guard lock(mutex);
  if (const auto known = records.find(library)) return known->passed ? Status() : quarantined(id, *known);
  const std::string program = probe_program();
  if (program.empty()) {
    log_info("loader", "provider {}: not tried in a process of its own: there is no lib/tenon/tenon_probe beside libtenon", id);
    return {};
  }
  ChildOptions options;
  options.limit = limit;
  options.output_limit = 4096;
  const ChildResult child = run_child({program, library}, options);
  if (child.end == ChildResult::End::not_started) {
    log_warn("loader", "provider {}: not tried in a process of its own: {}", id, child.text());
    return {};
  }
  log_debug("loader", "{} {}: {} in {} ms", program, library, child.text(), child.time.count());
  const std::string last = last_line(child.out);
  if (child.ok() && (last == "described" || last == "refused")) {
    records.passed(library);
    return {};
  }
  records.failed(library, fmt::format("{} while {}", child.text(), last == "describing itself" ? last : "loading"));
  return quarantined(id, *records.find(library));
}

}  // namespace tenon
