// Waits between queues: random work, done as late as the waits allow, never meets memory at the wrong time.
#include <gtest/gtest.h>

#include <random>

#include "core/plan/waits.h"

namespace tenon {
namespace {

Region region(std::mt19937& r) {
  const std::uint64_t begin = r() % 12;
  return {r() % 3, begin, begin + 1 + r() % 4, r() % 2 == 0};
}

// Queues that do nothing before they must. needs[q]: per piece of its work, how far other queues must be before it begins.
struct Lazy {
  struct Piece {
    std::size_t work;
    std::vector<std::size_t> before;  // by queue: pieces that must be done
  };
  std::vector<std::vector<Piece>> queues;
  std::vector<std::size_t> done;
  std::vector<std::size_t> order;  // work in the order in which it was done

  void reach(std::size_t q, std::size_t count) {
    while (done[q] < count) {
      const Piece piece = queues[q][done[q]];
      for (std::size_t other = 0; other < queues.size(); ++other) reach(other, piece.before[other]);
      ++done[q];
      order.push_back(piece.work);
    }
  }
};

TEST(Waits, LateWorkMeetsMemoryInTheOrderGiven) {
  std::size_t waits = 0, partial = 0;
  for (unsigned seed = 0; seed < 3000; ++seed) {
    std::mt19937 r(seed);
    const std::uint32_t count = 1 + r() % 3;
    std::vector<QueuedWork> work(2 + r() % 14);
    for (QueuedWork& w : work) {
      w.queue = r() % 3 == 0 ? none : static_cast<std::uint32_t>(r() % count);
      for (std::size_t k = 1 + r() % 3; k > 0; --k) w.regions.push_back(region(r));
    }
    std::vector<bool> marked(count);
    for (std::uint32_t q = 0; q < count; ++q) marked[q] = r() % 2 == 0;
    const auto found = find_waits(work, marked);
    ASSERT_EQ(found.size(), work.size());
    // Each queue in turn is the first to go on, the others stay behind as far as they may.
    for (std::size_t eager = 0; eager <= count; ++eager) {
      Lazy lazy{std::vector<std::vector<Lazy::Piece>>(count), std::vector<std::size_t>(count), {}};
      std::vector<std::vector<std::size_t>> before(count, std::vector<std::size_t>(count));
      for (std::size_t i = 0; i < work.size(); ++i) {
        for (const FoundWait& w : found[i]) {
          ++waits;
          std::size_t pieces = lazy.queues[w.queue].size();
          if (w.after != none) {
            ++partial;
            ASSERT_TRUE(marked[w.queue]);
            ASSERT_EQ(work[w.after].queue, w.queue);
            while (lazy.queues[w.queue][pieces - 1].work != w.after) --pieces;
          }
          if (w.by == none) lazy.reach(w.queue, pieces);
          else before[w.by][w.queue] = std::max(before[w.by][w.queue], pieces);
        }
        if (work[i].queue == none) {
          lazy.order.push_back(i);
        } else {
          lazy.queues[work[i].queue].push_back({i, before[work[i].queue]});
          if (work[i].queue == eager) lazy.reach(eager, lazy.queues[eager].size());
        }
      }
      for (std::size_t q = count; q-- > 0;) lazy.reach(q, lazy.queues[q].size());
      ASSERT_EQ(lazy.order.size(), work.size());
      for (std::size_t a = 0; a < work.size(); ++a)
        for (std::size_t b = a + 1; b < work.size(); ++b) {
          const std::size_t first = lazy.order[a], second = lazy.order[b];
          if (first < second) continue;
          for (const Region& x : work[first].regions)
            for (const Region& y : work[second].regions)
              ASSERT_FALSE(x.space == y.space && x.begin < y.end && y.begin < x.end && (x.write || y.write))
                  << "seed " << seed << ": " << first << " was done before " << second;
        }
    }
  }
  EXPECT_GT(waits, 1000u);
  EXPECT_GT(partial, 300u);
}

TEST(Waits, NobodyWaitsWithoutNeed) {
  const Region a{1, 0, 4, true}, read_a{1, 0, 4, false}, b{1, 4, 8, true};
  // One queue works in order by itself; reads meet; what the host has waited for counts for all.
  EXPECT_TRUE(find_waits({{0, {a}}, {0, {read_a}}, {0, {a}}}, {false})[2].empty());
  EXPECT_TRUE(find_waits({{0, {read_a}}, {none, {read_a}}}, {false})[1].empty());
  EXPECT_TRUE(find_waits({{0, {a}}, {none, {b}}}, {false})[1].empty());
  const auto once = find_waits({{0, {a}}, {none, {read_a}}, {none, {a}}, {1, {a}}}, {false, false});
  EXPECT_EQ(once[1].size(), 1u);
  EXPECT_TRUE(once[2].empty());
  EXPECT_TRUE(once[3].empty());
}

TEST(Waits, AQueueWithMarksIsWaitedForAsFarAsNeeded) {
  const Region a{1, 0, 4, true}, read_a{1, 0, 4, false}, b{1, 4, 8, true};
  const std::vector<QueuedWork> work{{0, {a}}, {0, {b}}, {none, {read_a}}, {1, {read_a}}, {none, {b}}};
  const auto marked = find_waits(work, {true, true});
  ASSERT_EQ(marked[2].size(), 1u);
  EXPECT_EQ(marked[2][0].after, 0u);  // b goes on
  EXPECT_TRUE(marked[3].empty());     // the host knows of a already
  ASSERT_EQ(marked[4].size(), 1u);
  EXPECT_EQ(marked[4][0].after, none);
  EXPECT_EQ(find_waits(work, {false, true})[2][0].after, none);
}

}  // namespace
}  // namespace tenon
