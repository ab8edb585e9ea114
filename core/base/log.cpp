#include "core/base/log.h"

#include <atomic>
#include <chrono>
#include <cstdio>
#include <map>
#include <mutex>
#include <shared_mutex>

#include "core/base/dynlib.h"

namespace tenon {
namespace {

constexpr const char* level_names[] = {"trace", "debug", "info", "warn", "error", "off"};

struct Levels {
  std::int32_t fallback = TENON_LOG_WARN;
  std::map<std::string, std::int32_t, std::less<>> topics;
};

struct Logger {
  std::shared_mutex mutex;  // levels
  Levels levels;
  std::atomic<std::int32_t> lowest{TENON_LOG_WARN};  // quick answer to log_enabled
  std::recursive_mutex sink_mutex;  // a sink may log
  LogSink sink;

  void set_lowest() {
    std::int32_t low = levels.fallback;
    for (const auto& [topic, level] : levels.topics) low = level < low ? level : low;
    lowest.store(low, std::memory_order_relaxed);
  }
};

bool parse(std::string_view spec, Levels& levels, std::string& bad) {
  while (!spec.empty()) {
    const std::size_t comma = spec.find(',');
    std::string_view item = spec.substr(0, comma);
    spec = comma == std::string_view::npos ? std::string_view() : spec.substr(comma + 1);
    while (!item.empty() && item.front() == ' ') item.remove_prefix(1);
    while (!item.empty() && item.back() == ' ') item.remove_suffix(1);
    if (item.empty()) continue;
    const std::size_t colon = item.find(':');
    const std::string_view topic = colon == std::string_view::npos ? std::string_view() : item.substr(0, colon);
    const std::int32_t level = log_level_from_name(colon == std::string_view::npos ? item : item.substr(colon + 1));
    if (level < 0) {
      bad = item;
      return false;
    }
    if (topic.empty() || topic == "default") levels.fallback = level;
    else levels.topics[std::string(topic)] = level;
  }
  return true;
}

Logger& logger() {
  static Logger* instance = [] {
    auto* made = new Logger;  // never destroyed: threads may log at exit
    std::string bad;
    if (!parse(trusted_env("TENON_LOG"), made->levels, bad))
      std::fprintf(stderr, "tenon warn config: TENON_LOG: \"%s\" is not LEVEL or TOPIC:LEVEL\n", bad.c_str());
    made->set_lowest();
    return made;
  }();
  return *instance;
}

}  // namespace

bool log_enabled(std::string_view topic, std::int32_t level) {
  Logger& l = logger();
  if (level < l.lowest.load(std::memory_order_relaxed)) return false;
  std::shared_lock lock(l.mutex);
  const auto found = l.levels.topics.find(topic);
  return level >= (found == l.levels.topics.end() ? l.levels.fallback : found->second);
}

void log_write(std::string_view topic, std::int32_t level, std::string_view text) {
  Logger& l = logger();
  if (!log_enabled(topic, level)) return;
  std::lock_guard lock(l.sink_mutex);
  if (l.sink) return l.sink(level, topic, text);
  using namespace std::chrono;
  const auto now = duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count() % 86'400'000;
  const std::string line =
      fmt::format("{:02}:{:02}:{:02}.{:03} tenon {} {}: {}\n", now / 3'600'000, now / 60'000 % 60, now / 1000 % 60,
                  now % 1000, log_level_name(level), topic, text);
  std::fwrite(line.data(), 1, line.size(), stderr);
}

void log_set_level(std::string_view topic, std::int32_t level) {
  Logger& l = logger();
  std::unique_lock lock(l.mutex);
  if (topic.empty() || topic == "default") l.levels.fallback = level;
  else l.levels.topics[std::string(topic)] = level;
  l.set_lowest();
}

Status log_configure(std::string_view spec) {
  Logger& l = logger();
  std::unique_lock lock(l.mutex);
  Levels levels = l.levels;
  std::string bad;
  if (!parse(spec, levels, bad))
    return invalid("\"{}\" is not LEVEL or TOPIC:LEVEL; levels are trace, debug, info, warn, error, off", bad);
  l.levels = std::move(levels);
  l.set_lowest();
  return {};
}

void log_set_sink(LogSink sink) {
  Logger& l = logger();
  std::lock_guard lock(l.sink_mutex);
  l.sink = std::move(sink);
}

std::int32_t log_level_from_name(std::string_view name) {
  for (std::int32_t i = TENON_LOG_TRACE; i <= TENON_LOG_OFF; ++i)
    if (name == level_names[i]) return i;
  return -1;
}

const char* log_level_name(std::int32_t level) {
  return level >= TENON_LOG_TRACE && level <= TENON_LOG_OFF ? level_names[level] : "?";
}

}  // namespace tenon
