// Source text with holes: how the product generators write kernels.
//
// Pure functions; any thread.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace tenon::opencl {

// The text with each `$NAME` replaced. A name is capital letters, digits and underscores, the longest run of them; an unknown one stays.
inline std::string filled(std::string_view text, std::initializer_list<std::pair<std::string_view, std::string>> holes) {
  const auto in_name = [](char c) { return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; };
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    if (text[i] != '$') {
      out += text[i++];
      continue;
    }
    std::size_t end = i + 1;
    while (end < text.size() && in_name(text[end])) ++end;
    const std::string_view name = text.substr(i + 1, end - i - 1);
    bool found = false;
    for (const auto& [hole, value] : holes) {
      if (hole != name) continue;
      out += value;
      found = true;
      break;
    }
    if (!found) out += text.substr(i, end - i);
    i = end;
  }
  return out;
}

inline std::string text_of(int n) { return std::to_string(n); }

}  // namespace tenon::opencl
