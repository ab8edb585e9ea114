#include "report.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <stdexcept>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace tenon::corpus {

void Report::add(const std::string& name, const std::string& text, double seconds) {
  const auto known = exceptions_.find(name);
  if (text.empty() && known == exceptions_.end()) {
    ++passed_;
    rows_.push_back({name, "passed", seconds, ""});
  } else if (known != exceptions_.end() && (!text.empty() || known->second.starts_with("random:"))) {
    ++skipped_;
    rows_.push_back({name, "skipped", seconds, fmt::format("{}: {}", known->second, text)});
  } else {
    rows_.push_back({name, "failed", seconds, text.empty() ? "passes now; remove it from the exceptions" : text});
    fail(fmt::format("{}: {}", name, rows_.back().text));
  }
}

void Report::fail(const std::string& text) {
  ++failed_;
  std::string line = text.substr(0, 400);
  std::replace(line.begin(), line.end(), '\n', ' ');
  fmt::print("FAIL {}{}\n", line, text.size() > line.size() ? "..." : "");
  std::fflush(stdout);
}

void Report::write_json(const std::filesystem::path& path) const {
  std::vector<Row> sorted = rows_;
  std::sort(sorted.begin(), sorted.end(), [](const Row& a, const Row& b) { return a.name < b.name; });
  nlohmann::json all = nlohmann::json::array();
  for (const Row& r : sorted) all.push_back({{"name", r.name}, {"result", r.result}, {"seconds", r.seconds}, {"text", r.text}});
  std::ofstream file(path);
  file << all.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
  if (!file.flush()) throw std::runtime_error(fmt::format("{}: cannot be written", path.string()));
}

}  // namespace tenon::corpus
