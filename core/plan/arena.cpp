#include "core/plan/arena.h"

#include <algorithm>
#include <numeric>

namespace tenon {

Result<std::uint64_t> lay_out(std::vector<ArenaBuffer>& buffers) {
  std::vector<std::uint32_t> order(buffers.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) { return buffers[a].bytes > buffers[b].bytes; });
  std::vector<std::uint32_t> placed;  // by rising offset
  std::uint64_t total = 0;
  for (std::uint32_t i : order) {
    ArenaBuffer& b = buffers[i];
    const std::uint64_t alignment = std::max<std::uint64_t>(b.alignment, 1);
    if (b.bytes == 0) continue;
    std::uint64_t at = 0;
    for (std::uint32_t j : placed) {
      const ArenaBuffer& other = buffers[j];
      if (other.last < b.first || other.first > b.last) continue;
      if (other.offset >= at + b.bytes) break;  // a gap before it
      at = std::max(at, (other.offset + other.bytes + alignment - 1) / alignment * alignment);
    }
    b.offset = at;
    const Checked end = Checked(static_cast<std::int64_t>(at)) + Checked(static_cast<std::int64_t>(b.bytes));
    TENON_ASSIGN(const std::int64_t size, end.get("the memory of a plan"));
    total = std::max(total, static_cast<std::uint64_t>(size));
    placed.insert(std::upper_bound(placed.begin(), placed.end(), i, [&](std::uint32_t x, std::uint32_t y) { return buffers[x].offset < buffers[y].offset; }), i);
  }
  return total;
}

}  // namespace tenon
