#include "sdk/cli/progress.h"

#include <algorithm>
#include <chrono>
#include <unistd.h>

#include <fmt/format.h>

namespace tenon::cli {
namespace {

long long now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

Progress::Progress(std::string title) : title_(std::move(title)), tty_(isatty(STDERR_FILENO) != 0), last_ms_(now_ms()) {}

Progress::~Progress() {
  if (shown_) fmt::print(stderr, "\r\033[K");
}

void Progress::at(double fraction, const std::string& what) {
  // Short work shows nothing; long work not more often than the eye follows.
  if (!tty_ || now_ms() - last_ms_ < (shown_ ? 60 : 200)) return;
  last_ms_ = now_ms();
  shown_ = true;
  constexpr int width = 24;
  const int full = std::clamp(static_cast<int>(fraction * width), 0, width);
  fmt::print(stderr, "\r\033[K{} [{}{}] {}", title_, std::string(static_cast<std::size_t>(full), '#'), std::string(static_cast<std::size_t>(width - full), '.'), what);
  std::fflush(stderr);
}

}  // namespace tenon::cli
