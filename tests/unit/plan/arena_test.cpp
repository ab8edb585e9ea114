// Offsets in an arena: nothing alive overlaps, alignments hold, little is wasted.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "core/plan/arena.h"

namespace tenon {
namespace {

// No layout needs less: what is alive at once.
std::uint64_t least(const std::vector<ArenaBuffer>& buffers) {
  std::uint64_t most = 0;
  for (const ArenaBuffer& at : buffers) {
    std::uint64_t alive = 0;
    for (const ArenaBuffer& b : buffers)
      if (b.first <= at.first && at.first <= b.last) alive += b.bytes;
    most = std::max(most, alive);
  }
  return most;
}

TEST(Arena, BuffersAliveAtOnceNeverOverlap) {
  double used = 0, needed = 0;
  for (unsigned seed = 0; seed < 2000; ++seed) {
    std::mt19937 r(seed);
    std::vector<ArenaBuffer> buffers(r() % 40);
    for (ArenaBuffer& b : buffers) {
      b.bytes = r() % 5 ? 64 * (r() % 200) : r() % 1000;
      b.alignment = std::uint64_t{64} << r() % 3;
      b.first = r() % 50;
      b.last = b.first + r() % 12;
    }
    const auto size = lay_out(buffers);
    ASSERT_TRUE(size.ok());
    std::uint64_t end = 0;
    for (const ArenaBuffer& a : buffers) {
      ASSERT_EQ(a.offset % a.alignment, 0u);
      end = std::max(end, a.offset + a.bytes);
      for (const ArenaBuffer& b : buffers) {
        if (&a == &b || a.last < b.first || b.last < a.first || !a.bytes || !b.bytes) continue;
        ASSERT_TRUE(a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset) << "seed " << seed;
      }
    }
    ASSERT_LE(size->size(), 1u);
    const std::uint64_t total = size->empty() ? 0 : size->front();
    ASSERT_GE(total, end);
    used += static_cast<double>(total), needed += static_cast<double>(least(buffers));
  }
  EXPECT_LE(used, needed * 1.15);
}

TEST(Arena, AChainNeedsTwoBuffers) {
  std::vector<ArenaBuffer> chain;
  for (std::uint32_t i = 0; i < 100; ++i) chain.push_back({.bytes = 4096, .first = i, .last = i + 1});
  EXPECT_EQ(*lay_out(chain), std::vector<std::uint64_t>{2 * 4096u});
}

TEST(Arena, SlabsHoldWhatFitsAndNothingStraddles) {
  for (unsigned seed = 0; seed < 500; ++seed) {
    std::mt19937 r(seed);
    std::vector<ArenaBuffer> buffers(r() % 40);
    for (ArenaBuffer& b : buffers) {
      b.bytes = r() % 4097;
      b.first = r() % 50;
      b.last = b.first + r() % 30;
    }
    const auto slabs = lay_out(buffers, 4096);
    ASSERT_TRUE(slabs.ok());
    std::uint64_t all = 0;
    for (std::uint64_t s : *slabs) {
      ASSERT_LE(s, 4096u);
      all += s;
    }
    for (const ArenaBuffer& a : buffers) {
      if (!a.bytes) continue;
      ASSERT_LT(a.slab, slabs->size());
      ASSERT_LE(a.offset + a.bytes, (*slabs)[a.slab]);
      for (const ArenaBuffer& b : buffers) {
        if (&a == &b || a.slab != b.slab || a.last < b.first || b.last < a.first || !b.bytes) continue;
        ASSERT_TRUE(a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset) << "seed " << seed;
      }
    }
    ASSERT_LE(all, 2 * least(buffers) + 4096);
  }
}

TEST(Arena, SizesThatDoNotFitAreAnError) {
  std::vector<ArenaBuffer> buffers(3, {.bytes = ~0ull / 3, .first = 0, .last = 1});
  const auto size = lay_out(buffers);
  ASSERT_FALSE(size.ok());
  EXPECT_EQ(size.status().code(), TENON_OUT_OF_RANGE);
}

}  // namespace
}  // namespace tenon
