// report: what became of the cases of a run, beside what is known of them.
// Used by one thread.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace tenon::corpus {

class Report {
 public:
  explicit Report(std::map<std::string, std::string> exceptions) : exceptions_(std::move(exceptions)) {}

  // text: why the case did not pass, "" if it did. Prints a line for what must not be: a failure without an exception, an exception
  // that passes, unless its reason begins with "random:".
  void add(const std::string& name, const std::string& text, double seconds);
  // A fault that belongs to no case.
  void fail(const std::string& text);

  std::size_t passed() const { return passed_; }
  std::size_t failed() const { return failed_; }
  std::size_t skipped() const { return skipped_; }  // exceptions, as expected
  // [{name, result, seconds, text}], sorted by name; result is "passed", "failed" or "skipped".
  void write_json(const std::filesystem::path& path) const;

 private:
  struct Row {
    std::string name;
    const char* result;
    double seconds;
    std::string text;
  };
  std::map<std::string, std::string> exceptions_;
  std::vector<Row> rows_;
  std::size_t passed_ = 0, failed_ = 0, skipped_ = 0;
};

}  // namespace tenon::corpus
