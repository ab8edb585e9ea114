#include "core/report/format.h"

#include <algorithm>

#include <fmt/format.h>
#include <tenon/host.h>

namespace tenon {
namespace {

// Characters, told by the lead bytes of UTF-8.
std::size_t width_of(std::string_view s) {
  return static_cast<std::size_t>(
      std::count_if(s.begin(), s.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

}  // namespace

std::string ns_text(double ns) {
  if (ns < 1e3) return fmt::format("{:.0f} ns", ns);
  if (ns < 1e6) return fmt::format("{:.3g} us", ns / 1e3);
  if (ns < 1e9) return fmt::format("{:.4g} ms", ns / 1e6);
  return fmt::format("{:.4g} s", ns / 1e9);
}

std::string bytes_text(double bytes) {
  const char* const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  int u = 0;
  while (bytes >= 1024 && u < 4) bytes /= 1024, ++u;
  return u == 0 ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.1f} {}", bytes, units[u]);
}

std::string count_text(std::size_t count, std::string_view one) { return fmt::format("{} {}{}", count, one, count == 1 ? "" : "s"); }

std::string_view reject_name(std::int32_t reason) {
  switch (reason) {
    case TENON_REJECT_OP: return "op";
    case TENON_REJECT_OPSET: return "opset";
    case TENON_REJECT_DTYPE: return "dtype";
    case TENON_REJECT_RANK: return "rank";
    case TENON_REJECT_DYNAMIC: return "dynamic";
    case TENON_REJECT_ATTRIBUTE: return "attribute";
    case TENON_REJECT_NEEDS_CONSTANT: return "needs_constant";
    case TENON_REJECT_TOO_SMALL: return "too_small";
    case TENON_REJECT_MEMORY: return "memory";
    case TENON_REJECT_CONFIG: return "config";
    case TENON_REJECT_NOT_ANSWERED: return "not_answered";
    default: return "other";
  }
}

std::string Columns::text() const {
  std::vector<std::size_t> width(rows_[0].size());
  const auto title = [&](std::size_t c) { return std::string_view(rows_[0][c]).substr(rows_[0][c].starts_with('>')); };
  for (std::size_t c = 0; c < width.size(); ++c) width[c] = width_of(title(c));
  for (std::size_t r = 1; r < rows_.size(); ++r)
    for (std::size_t c = 0; c < rows_[r].size(); ++c) width[c] = std::max(width[c], width_of(rows_[r][c]));
  std::string out;
  for (std::size_t r = 0; r < rows_.size(); ++r) {
    std::string line;
    for (std::size_t c = 0; c < width.size(); ++c) {
      const std::string_view cell = r == 0 ? title(c) : c < rows_[r].size() ? std::string_view(rows_[r][c]) : std::string_view();
      const std::string pad(width[c] - width_of(cell), ' ');
      line += rows_[0][c].starts_with('>') ? pad + std::string(cell) : std::string(cell) + pad;
      line += "  ";
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

}  // namespace tenon
