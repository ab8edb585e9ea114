// Table: rows of text in aligned columns for people, or the same rows as JSON objects.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace tenon::cli {

using Json = nlohmann::ordered_json;

struct Column {
  std::string title;   // heading, and the key in JSON unless there is one
  bool right = false;  // numbers
};

class Table {
 public:
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  void row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  bool empty() const { return rows_.empty(); }
  std::string text(std::size_t indent = 0) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// "1 part", "2 parts".
std::string count_text(std::size_t count, const char* one, const char* many = nullptr);
// "12.3 us", "4.56 ms", "1.2 s"; "3.4 MiB".
std::string time_text(double ns);
std::string bytes_text(double bytes);

}  // namespace tenon::cli
