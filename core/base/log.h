// Log: messages by level and topic, to stderr unless the application takes them.
//
// Topics are short words (config, loader, import, passes, query, partition, plan, run, threads) and provider ids.
// TENON_LOG="info,loader:debug" sets the start; the configuration's log section comes on top. Process-wide; any thread;
// the sink is called by one thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <tenon/types.h>

#include "core/base/status.h"

namespace tenon {

using LogSink = std::function<void(std::int32_t level, std::string_view topic, std::string_view text)>;

// Ask before building a costly message.
bool log_enabled(std::string_view topic, std::int32_t level);
void log_write(std::string_view topic, std::int32_t level, std::string_view text);
// An empty topic or "default" is every topic without a level of its own.
void log_set_level(std::string_view topic, std::int32_t level);
// "warn,loader:debug,run:off". Errors: INVALID_ARGUMENT; nothing is changed then.
Status log_configure(std::string_view spec);
// An empty sink puts stderr back.
void log_set_sink(LogSink sink);
// "trace" ... "off"; -1 for another word.
std::int32_t log_level_from_name(std::string_view name);
const char* log_level_name(std::int32_t level);

template <class... Args>
void log_at(std::int32_t level, std::string_view topic, fmt::format_string<Args...> format, Args&&... args) {
  if (log_enabled(topic, level)) log_write(topic, level, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_debug(std::string_view topic, fmt::format_string<Args...> format, Args&&... args) {
  log_at(TENON_LOG_DEBUG, topic, format, std::forward<Args>(args)...);
}
template <class... Args>
void log_info(std::string_view topic, fmt::format_string<Args...> format, Args&&... args) {
  log_at(TENON_LOG_INFO, topic, format, std::forward<Args>(args)...);
}
template <class... Args>
void log_warn(std::string_view topic, fmt::format_string<Args...> format, Args&&... args) {
  log_at(TENON_LOG_WARN, topic, format, std::forward<Args>(args)...);
}

}  // namespace tenon
