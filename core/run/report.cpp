#include "core/run/report.h"

#include <algorithm>

#include <nlohmann/json.hpp>

namespace tenon {

std::string Profile::chrome_trace() const {
  std::uint64_t start = ~0ull;
  for (const ProfileEvent& e : events) start = std::min(start, e.start_ns);
  nlohmann::json list = nlohmann::json::array();
  for (const ProfileEvent& e : events)
    list.push_back({{"name", e.name},
                    {"cat", e.provider},
                    {"ph", "X"},
                    {"ts", static_cast<double>(e.start_ns - start) / 1000.0},
                    {"dur", static_cast<double>(e.duration_ns) / 1000.0},
                    {"pid", 1},
                    {"tid", e.worker},
                    {"args", {{"op", e.op_type}, {"provider", e.provider}}}});
  return nlohmann::json{{"traceEvents", std::move(list)}, {"displayTimeUnit", "ms"}}.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace tenon
