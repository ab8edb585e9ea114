#include "core/base/text.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

#include "core/base/dynlib.h"

namespace tenon {
namespace {

// Splits "12.5 ms" into number and unit; nullopt unless it begins with a number.
std::optional<std::pair<double, std::string_view>> number_and_unit(std::string_view text) {
  double number = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (code != std::errc() || number < 0 || !std::isfinite(number)) return std::nullopt;
  std::string_view unit = text.substr(static_cast<std::size_t>(end - text.data()));
  while (!unit.empty() && unit.front() == ' ') unit.remove_prefix(1);
  return std::pair(number, unit);
}

struct Unit {
  std::string_view name;
  double factor;
};
constexpr Unit size_units[] = {{"B", 1},           {"KiB", 0x1p10},   {"MiB", 0x1p20}, {"GiB", 0x1p30}, {"TiB", 0x1p40},
                               {"kB", 1e3},        {"KB", 1e3},       {"MB", 1e6},     {"GB", 1e9},     {"TB", 1e12},
                               {"", 1}};
constexpr Unit time_units[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"min", 6e10}, {"h", 3.6e12}};

}  // namespace

std::optional<std::uint64_t> parse_size(std::string_view text) {
  const auto parsed = number_and_unit(text);
  if (!parsed) return std::nullopt;
  for (const Unit& unit : size_units) {
    if (unit.name != parsed->second) continue;
    const double bytes = parsed->first * unit.factor;
    if (bytes >= 0x1p63) return std::nullopt;
    return static_cast<std::uint64_t>(bytes);
  }
  return std::nullopt;
}

std::optional<std::chrono::nanoseconds> parse_time(std::string_view text) {
  const auto parsed = number_and_unit(text);
  if (!parsed) return std::nullopt;
  if (parsed->second.empty() && parsed->first == 0) return std::chrono::nanoseconds(0);
  for (const Unit& unit : time_units) {
    if (unit.name != parsed->second) continue;
    const double ns = parsed->first * unit.factor;
    if (ns >= 0x1p63) return std::nullopt;
    return std::chrono::nanoseconds(static_cast<std::int64_t>(ns));
  }
  return std::nullopt;
}

std::string ascii_lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

std::optional<double> parse_real(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  double number = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (code != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::string size_text(std::uint64_t bytes) {
  constexpr std::pair<std::uint64_t, const char*> units[] = {
      {1ull << 40, "TiB"}, {1ull << 30, "GiB"}, {1ull << 20, "MiB"}, {1ull << 10, "KiB"}};
  for (const auto& [factor, name] : units)
    if (bytes >= factor && bytes % factor == 0) return fmt::format("{}{}", bytes / factor, name);
  return fmt::format("{}B", bytes);
}

std::string time_text(std::chrono::nanoseconds time) {
  const std::int64_t ns = time.count();
  constexpr std::pair<std::int64_t, const char*> units[] = {{1'000'000'000, "s"}, {1'000'000, "ms"}, {1000, "us"}};
  if (ns == 0) return "0s";
  for (const auto& [factor, name] : units)
    if (ns % factor == 0) return fmt::format("{}{}", ns / factor, name);
  return fmt::format("{}ns", ns);
}

bool glob_match(std::string_view pattern, std::string_view text) {
  std::size_t p = 0, t = 0, star = std::string_view::npos, mark = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      mark = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p, ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++mark;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

std::string nearest(std::string_view word, const std::vector<std::string>& candidates) {
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(word.size() / 3, 2) + 1;
  if (word.size() > 64) return best;
  for (const std::string& candidate : candidates) {
    if (candidate.size() > 64) continue;
    std::vector<std::size_t> row(candidate.size() + 1);
    for (std::size_t j = 0; j < row.size(); ++j) row[j] = j;
    for (std::size_t i = 1; i <= word.size(); ++i) {
      std::size_t diagonal = row[0];
      row[0] = i;
      for (std::size_t j = 1; j < row.size(); ++j) {
        const std::size_t above = row[j];
        row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (word[i - 1] != candidate[j - 1])});
        diagonal = above;
      }
    }
    if (row.back() < best_distance) {
      best_distance = row.back();
      best = candidate;
    }
  }
  return best;
}

std::string expand_variables(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t end = text.substr(i, 2) == "${" ? text.find('}', i) : std::string_view::npos;
    if (end == std::string_view::npos) {
      out += text[i++];
      continue;
    }
    const std::string name(text.substr(i + 2, end - i - 2));
    std::string value = trusted_env(name.c_str());
    if (value.empty()) {
      const std::string home = trusted_env("HOME");
      if (!home.empty() && name == "XDG_CACHE_HOME") value = home + "/.cache";
      if (!home.empty() && name == "XDG_CONFIG_HOME") value = home + "/.config";
      if (!home.empty() && name == "XDG_DATA_HOME") value = home + "/.local/share";
    }
    out += value;
    i = end + 1;
  }
  return out;
}

}  // namespace tenon
