// Checks a configuration document against the option table. Private to core/base.
#pragma once

#include <map>
#include <string>

#include "core/base/json_text.h"
#include "core/base/option_table.h"

namespace tenon {

// The option table as a tree; "*" is the child for an index or a free key.
struct OptionNode {
  const Option* option = nullptr;  // null for the root
  std::map<std::string, OptionNode> children;

  bool has_children() const { return !children.empty(); }
};
const OptionNode& option_tree();

// Adds every fault to text.
void check_config(JsonText& text);
// "choice next|error, default "next"": what an option takes.
std::string option_form(const Option& option);

}  // namespace tenon
