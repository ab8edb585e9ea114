// JSON with comments, read with the place of every key and value.
// For files that people write; duplicates and syntax errors are collected. nlohmann/json: core's .cpp files only.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/base/status.h"

namespace tenon {

struct Place {
  std::size_t line = 0, column = 0;  // from 1; 0: unknown
};

struct JsonText {
  std::string source;  // file name for messages
  nlohmann::json root;
  std::map<std::string, Place> keys;    // by pointer: where the key (or array element) stands
  std::map<std::string, Place> values;  // by pointer: where the value stands
  std::vector<std::string> faults;      // complete messages

  // Adds "source:line:column: error at pointer: text".
  void fault(std::string_view pointer, bool at_value, std::string_view text);
  // INVALID_ARGUMENT with all faults, one a line; OK when there are none.
  Status status() const;
};

// Never throws; root is null after a syntax error. At most 16 MiB and 64 levels.
JsonText read_json(std::string_view text, const std::string& source);
// A key as a part of a JSON pointer (~ and / escaped).
std::string pointer_part(std::string_view key);

}  // namespace tenon
