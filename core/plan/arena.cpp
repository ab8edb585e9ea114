#include "core/plan/arena.h"

#include <algorithm>
#include <numeric>

namespace tenon {

Result<std::vector<std::uint64_t>> lay_out(std::vector<ArenaBuffer>& buffers, std::uint64_t max_slab) {
  std::vector<std::uint32_t> order(buffers.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) { return buffers[a].bytes > buffers[b].bytes; });
  std::vector<std::vector<std::uint32_t>> placed;  // by slab: buffers by rising offset
  std::vector<std::uint64_t> slabs;
  for (std::uint32_t i : order) {
    ArenaBuffer& b = buffers[i];
    const std::uint64_t alignment = std::max<std::uint64_t>(b.alignment, 1);
    if (b.bytes == 0) continue;
    for (std::uint32_t s = 0;; ++s) {
      if (s == placed.size()) placed.emplace_back(), slabs.push_back(0);
      std::uint64_t at = 0;
      for (std::uint32_t j : placed[s]) {
        const ArenaBuffer& other = buffers[j];
        if (other.last < b.first || other.first > b.last) continue;
        if (other.offset >= at + b.bytes) break;  // a gap before it
        at = std::max(at, (other.offset + other.bytes + alignment - 1) / alignment * alignment);
      }
      const Checked end = Checked(static_cast<std::int64_t>(at)) + Checked(static_cast<std::int64_t>(b.bytes));
      TENON_ASSIGN(const std::int64_t size, end.get("the memory of a plan"));
      if (max_slab != 0 && static_cast<std::uint64_t>(size) > max_slab && !placed[s].empty()) continue;
      b.slab = s;
      b.offset = at;
      slabs[s] = std::max(slabs[s], static_cast<std::uint64_t>(size));
      const auto before = [&](std::uint32_t x, std::uint32_t y) { return buffers[x].offset < buffers[y].offset; };
      placed[s].insert(std::upper_bound(placed[s].begin(), placed[s].end(), i, before), i);
      break;
    }
  }
  return slabs;
}

}  // namespace tenon
