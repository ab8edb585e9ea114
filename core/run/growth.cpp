#include "core/run/growth.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace tenon {
namespace {

// Boxes end at multiples of this, or of a quarter of the size: a plan is made once for so many tokens.
constexpr std::int64_t grain = 128;
constexpr std::int64_t few = 16;  // numbers of one feed that are looked at

std::size_t numbers(const Datum& d, bool read) {
  const bool integer = d.dtype == TENON_DTYPE_INT64 || d.dtype == TENON_DTYPE_INT32;
  return read && integer && d.count() <= few ? static_cast<std::size_t>(d.count()) : 0;
}
std::int64_t number(const Datum& d, std::size_t i) {
  if (d.dtype == TENON_DTYPE_INT64) {
    std::int64_t x;
    std::memcpy(&x, d.data + i * sizeof x, sizeof x);
    return x;
  }
  std::int32_t x;
  std::memcpy(&x, d.data + i * sizeof x, sizeof x);
  return x;
}

}  // namespace

void Growth::see(std::span<const Datum* const> feeds, const std::vector<bool>& read) {
  scratch_.clear();
  for (std::size_t f = 0; f < feeds.size(); ++f) {
    const Datum& d = *feeds[f];
    scratch_.insert(scratch_.end(), d.dims.begin(), d.dims.end());
    for (std::size_t i = 0; i < numbers(d, read[f]); ++i) scratch_.push_back(number(d, i));
  }
  if (scratch_ == last_) return;  // the same again says nothing
  steady_ = scratch_.size() == last_.size() && step_.size() == last_.size();
  if (!steady_) step_.assign(scratch_.size(), 0);
  bool grows = false;
  for (std::size_t i = 0; i < scratch_.size() && i < last_.size(); ++i) {
    const std::int64_t by = scratch_[i] - last_[i];
    steady_ = steady_ && by == step_[i];
    if (scratch_.size() == last_.size()) step_[i] = by;
    if (by < 0) steady_ = false;
    grows = grows || by > 0;
  }
  steady_ = steady_ && grows;
  last_.swap(scratch_);
}

bool Growth::box(std::span<const Datum* const> feeds, const std::vector<bool>& read, const Configured& configured, std::vector<Corner>& corner) const {
  if (hopeless() || !(steady_ || configured.any)) return false;
  corner.clear();
  std::int64_t runs = INT64_MAX, most = 0, of_most = 1;  // how often it can grow; the largest size that does, and its step
  std::size_t at = 0;
  const auto step = [&](std::size_t feed, std::size_t d) {
    if (steady_) return step_[at];
    return d < configured.by[feed].size() ? configured.by[feed][d] : 0;
  };
  for (std::size_t f = 0; f < feeds.size(); ++f) {
    for (std::size_t d = 0; d < feeds[f]->dims.size(); ++d, ++at) {
      const std::int64_t by = step(f, d), size = feeds[f]->dims[d];
      if (by <= 0) continue;
      if (size >= most) most = size, of_most = by;
      if (d < configured.limits[f].size()) runs = std::min(runs, (configured.limits[f][d] - size) / by);
    }
    if (configured.rows && configured.rows->feed == f && steady_ && step_[at] > 0) {
      // The rows of a state are a size, though a number says it; each run adds as many as the last.
      const std::int64_t rows = number(*feeds[f], 0), by = step_[at], room = feeds[configured.rows->cache]->dims[configured.rows->axis];
      if (rows >= most) most = rows, of_most = by;
      runs = std::min(runs, (room - by - rows) / by);
    }
    at += numbers(*feeds[f], read[f]);
  }
  const bool sizes = most > 0;  // else numbers alone: what they decide stays as large as it is
  const auto wide = std::max<std::int64_t>(grain, static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(most / 4))));
  runs = std::min(runs, ((most + wide / 2) / wide * wide + wide - most) / of_most);
  if (runs < 1) return false;
  at = 0;
  for (std::size_t f = 0; f < feeds.size(); ++f) {
    Corner& c = corner.emplace_back();
    c.dims = feeds[f]->dims;
    for (std::size_t d = 0; d < c.dims.size(); ++d, ++at)
      if (const std::int64_t by = step(f, d); by > 0) c.dims[d] += by * runs;
    for (std::size_t i = 0; i < numbers(*feeds[f], read[f]); ++i, ++at) c.more.push_back(steady_ && sizes ? step_[at] * runs : 0);
  }
  return true;
}

}  // namespace tenon
