// format: small texts of reports: times, sizes, aligned columns.
// No state; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tenon {

// "850 ns", "12.3 us", "4.56 ms"; "3.4 MiB"; "1 node", "2 nodes".
std::string ns_text(double ns);
std::string bytes_text(double bytes);
std::string count_text(std::size_t count, std::string_view one);
// "TENON_REJECT_OP" as reports spell it: "op".
std::string_view reject_name(std::int32_t reason);

// Rows of cells under titles, each column as wide as its widest cell; a title that begins with '>' is of numbers, right-aligned.
class Columns {
 public:
  explicit Columns(std::vector<std::string> titles) : rows_{std::move(titles)} {}
  void row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  bool empty() const { return rows_.size() == 1; }
  std::string text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace tenon
