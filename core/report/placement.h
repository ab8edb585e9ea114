// placement: a session's placement for people and programs: text, JSON, and a page of HTML that stands alone.
//
// Pure functions of a session's reports; any thread. The JSON's schema is in core/report/README.md.
#pragma once

#include <string>

#include "core/run/session.h"

namespace tenon {

inline constexpr int placement_version = 1;  // of the JSON; it rises when a member changes its meaning or goes

std::string placement_json(const ModelInfo& model, const PlacementReport& report);
// Short: what runs where and what it costs, memory, copies, refusals by reason, notes.
std::string placement_text(const ModelInfo& model, const PlacementReport& report);
// One file without references: the graph drawn, costs, copies, the memory over the steps, refusals, a search.
std::string placement_html(const ModelInfo& model, const PlacementReport& report);

// Refusals of one device that are alike, for lists: by device, reason, operator and text.
struct RefusalGroup {
  std::uint32_t device = 0;
  std::int32_t reason = 0;
  std::string op_type, text;
  std::vector<std::size_t> nodes;  // indices into the report's nodes
};
std::vector<RefusalGroup> refusal_groups(const PlacementReport& report);
// What may be changed so that a refusal of this reason goes; "" where nothing can.
std::string_view refusal_remedy(std::int32_t reason);

}  // namespace tenon
