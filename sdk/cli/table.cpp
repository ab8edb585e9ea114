#include "sdk/cli/table.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace tenon::cli {
namespace {

// Characters that a terminal shows, counted by UTF-8 lead bytes.
std::size_t width_of(const std::string& s) {
  return static_cast<std::size_t>(std::count_if(s.begin(), s.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

}  // namespace

std::string Table::text(std::size_t indent) const {
  std::vector<std::size_t> width;
  for (const Column& c : columns_) width.push_back(width_of(c.title));
  for (const auto& r : rows_)
    for (std::size_t i = 0; i < r.size(); ++i) width[i] = std::max(width[i], width_of(r[i]));
  const auto line = [&](const auto& cell) {
    std::string out(indent, ' ');
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      const std::string text = cell(i);
      const std::string pad(width[i] - width_of(text), ' ');
      out += columns_[i].right ? pad + text : text + pad;
      out += "  ";
    }
    out.erase(out.find_last_not_of(' ') + 1);
    return out + "\n";
  };
  std::string out = line([&](std::size_t i) { return columns_[i].title; });
  for (const auto& r : rows_) out += line([&](std::size_t i) { return i < r.size() ? r[i] : std::string(); });
  return out;
}

std::string count_text(std::size_t count, const char* one, const char* many) {
  return count == 1 ? fmt::format("1 {}", one) : many ? fmt::format("{} {}", count, many) : fmt::format("{} {}s", count, one);
}

std::string time_text(double ns) {
  if (ns < 1e3) return fmt::format("{:.0f} ns", ns);
  if (ns < 1e6) return fmt::format("{:.3g} us", ns / 1e3);
  if (ns < 1e9) return fmt::format("{:.4g} ms", ns / 1e6);
  return fmt::format("{:.4g} s", ns / 1e9);
}

std::string bytes_text(double bytes) {
  const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  int u = 0;
  while (bytes >= 1024 && u < 4) bytes /= 1024, ++u;
  return u == 0 ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.1f} {}", bytes, units[u]);
}

}  // namespace tenon::cli
