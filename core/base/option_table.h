// The one table of all options of a session's configuration.
// It drives validation, defaults, the JSON Schema, the documentation and show_origin. Constant data.
#pragma once

#include <span>
#include <string_view>

namespace tenon {

enum class OptionKind {
  section,   // object with the keys below it in the table
  list,      // array of what stands at pointer/*
  map,       // object with free keys, each what stands at pointer/*
  boolean,
  integer,   // min .. max
  integer_or_auto,
  integer_or_text,
  size,      // "4GiB" or a number of bytes
  time,      // "60s"
  text,
  choice,
  texts,     // array of text
  object,    // any JSON object
  shape,     // section, or an integer n short for min = opt = max = n
};

struct Option {
  std::string_view pointer;   // "*" for an index or a free key
  OptionKind kind;
  std::string_view fallback;  // as JSON; "" none
  std::string_view choices;   // "a|b|c"
  long long min, max;
  std::string_view meaning;
  std::string_view reader;    // the file that uses it
};

std::span<const Option> option_table();

}  // namespace tenon
