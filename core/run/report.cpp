#include "core/run/report.h"

#include <algorithm>

#include <nlohmann/json.hpp>

namespace tenon {

std::size_t PlacementReport::find(std::string_view name) const {
  for (std::size_t n = 0; n < nodes.size(); ++n)
    if (!name.empty() && nodes[n].name == name) return n;
  for (std::size_t n = 0; n < nodes.size(); ++n)
    for (const std::int32_t v : nodes[n].outputs)
      if (v >= 0 && values[static_cast<std::size_t>(v)].name == name) return n;
  return nodes.size();
}

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
