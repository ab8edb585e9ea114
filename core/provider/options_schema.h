// The subset of JSON Schema that manifests may use: type, enum, const, default, minimum, maximum, properties,
// additionalProperties, required, items, description, title, examples. Private to core/provider.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace tenon {

// Fills defaults into value and adds "at pointer: text" to faults.
void apply_schema(const nlohmann::json& schema, nlohmann::json& value, const std::string& pointer,
                  std::vector<std::string>& faults);
// Faults of a schema itself: keywords that are not understood.
void check_schema(const nlohmann::json& schema, const std::string& pointer, std::vector<std::string>& faults);

}  // namespace tenon
