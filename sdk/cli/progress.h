// Progress: one line on stderr for work that takes a while; silent unless a person watches.
// Used by the thread that does the work.
#pragma once

#include <string>

namespace tenon::cli {

class Progress {
 public:
  explicit Progress(std::string title);
  ~Progress();  // clears the line
  void at(double fraction, const std::string& what);

 private:
  std::string title_;
  bool shown_ = false, tty_;
  long long last_ms_ = 0;
};

}  // namespace tenon::cli
