// Gangs, barriers, failures and parallel_for on the process's pool.
#include "core/base/thread_pool.h"

#include <atomic>
#include <numeric>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace tenon {
namespace {

constexpr unsigned workers = 4;

class Pool : public ::testing::Test {
 protected:
  void SetUp() override { ThreadPool::instance().reserve(workers); }
};

TEST_F(Pool, EveryWorkerRunsOnce) {
  Control control;
  Gang gang(workers, control);
  ASSERT_GE(gang.size(), 1u);
  std::vector<std::atomic<int>> seen(gang.size());
  gang.run([&](std::uint32_t w) { ++seen[w]; });
  for (auto& s : seen) EXPECT_EQ(s.load(), 1);
}

TEST_F(Pool, BarriersSeparateSteps) {
  Control control;
  Gang gang(workers, control);
  const unsigned n = gang.size();
  std::vector<int> value(n, 0);
  std::atomic<int> wrong{0};
  gang.run([&](std::uint32_t w) {
    for (int step = 1; step <= 200; ++step) {
      value[w] = step;
      if (gang.barrier() == TENON_STOP) return;
      for (unsigned o = 0; o < n; ++o) wrong += value[o] != step;
      if (gang.barrier() == TENON_STOP) return;
    }
  });
  EXPECT_EQ(wrong.load(), 0);
}

// As core drives a program: each worker meets the others once more after its work, unless all were told to stop.
void drive(Gang& gang, Control& control, int steps, std::uint32_t bad_worker, int bad_step, bool leaves, std::vector<std::atomic<int>>& done) {
  gang.run([&](std::uint32_t w) {
    const auto work = [&] {
      for (int step = 0; step < steps; ++step) {
        if (w == bad_worker && step == bad_step) {
          if (leaves) {
            control.fail(invalid("worker {} left at step {}", w, step));
            return;
          }
          control.fail(invalid("worker {} failed at step {}", w, step));
        } else {
          ++done[w];
        }
        if (gang.barrier() == TENON_STOP) return;
      }
    };
    work();
    if (!gang.stopped()) (void)gang.barrier();
  });
}

TEST_F(Pool, AFailureInAnyWorkerAtAnyStepStopsAllOfThem) {
  constexpr int steps = 4;
  for (bool leaves : {false, true})
    for (std::uint32_t bad = 0; bad < workers; ++bad)
      for (int step = 0; step < steps; ++step) {
        Control control;
        Gang gang(workers, control);
        if (bad >= gang.size()) continue;
        std::vector<std::atomic<int>> done(gang.size());
        drive(gang, control, steps, bad, step, leaves, done);
        const Status s = control.take();
        EXPECT_EQ(s.code(), TENON_INVALID_ARGUMENT);
        for (unsigned w = 0; w < gang.size(); ++w) EXPECT_LE(done[w].load(), step + 1) << "worker " << w << " went on";
      }
}

TEST_F(Pool, ACancelAtAnyStepStopsAll) {
  for (int at = 0; at < 5; ++at) {
    std::atomic<bool> cancelled{false};
    Control control([&] { return cancelled.load(); }, Control::Clock::time_point::max());
    Gang gang(workers, control);
    std::vector<int> steps(gang.size(), 0);
    gang.run([&](std::uint32_t w) {
      for (int step = 0; step < 100; ++step) {
        if (w == 0 && step == at) cancelled = true;
        ++steps[w];
        if (gang.barrier() == TENON_STOP) return;
      }
    });
    for (int s : steps) EXPECT_EQ(s, at + 1);  // all learn it at the same barrier
    EXPECT_EQ(control.take().code(), TENON_CANCELLED);
  }
}

TEST_F(Pool, ADeadlineStopsALongRun) {
  Control control({}, Control::Clock::now() + std::chrono::milliseconds(5));
  Gang gang(workers, control);
  gang.run([&](std::uint32_t) {
    while (gang.barrier() != TENON_STOP) {
    }
  });
  EXPECT_EQ(control.take().code(), TENON_DEADLINE_EXCEEDED);
}

TEST_F(Pool, AGangIsReusableAfterAStop) {
  for (int round = 0; round < 50; ++round) {
    Control control;
    Gang gang(workers, control);
    std::vector<std::atomic<int>> done(gang.size());
    drive(gang, control, 3, 0, round % 3, true, done);
    (void)control.take();
    Control fresh;
    std::atomic<int> ran{0};
    gang.run([&](std::uint32_t) { ++ran; });
    EXPECT_EQ(ran.load(), static_cast<int>(gang.size()));
  }
}

TEST_F(Pool, TwoRunsShareThePoolWithoutWaitingForEachOther) {
  const auto work = [] {
    for (int round = 0; round < 100; ++round) {
      Control control;
      Gang gang(workers, control);
      std::atomic<int> sum{0};
      gang.run([&](std::uint32_t) {
        for (int step = 0; step < 10; ++step) {
          ++sum;
          if (gang.barrier() == TENON_STOP) return;
        }
      });
      ASSERT_EQ(sum.load(), 10 * static_cast<int>(gang.size()));
    }
  };
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) threads.emplace_back(work);
  for (std::thread& t : threads) t.join();
}

TEST_F(Pool, WaitingWorkersHelpWithParallelFor) {
  Control control;
  Gang gang(workers, control);
  std::vector<std::atomic<int>> hits(1000);
  struct Context {
    std::vector<std::atomic<int>>* hits;
    std::atomic<std::uint32_t> most{0};
  } context{&hits};
  gang.run([&](std::uint32_t w) {
    if (w == 0)
      gang.parallel_for(
          1000, 10,
          [](void* c, std::uint64_t begin, std::uint64_t end, std::uint32_t worker) {
            auto& own = *static_cast<Context*>(c);
            for (std::uint64_t i = begin; i < end; ++i) ++(*own.hits)[i];
            if (worker > own.most) own.most = worker;
          },
          &context);
    (void)gang.barrier();
  });
  for (auto& h : hits) EXPECT_EQ(h.load(), 1);
  EXPECT_LT(context.most.load(), gang.size());
}

TEST_F(Pool, ParallelForCoversEveryIndexOnceForOddSizes) {
  for (std::uint64_t n : {0, 1, 2, 7, 64, 1001})
    for (std::uint64_t grain : {1, 3, 1000}) {
      std::vector<std::atomic<int>> hits(n + 1);
      parallel_for(n, grain, [&](std::uint64_t begin, std::uint64_t end, std::uint32_t) {
        for (std::uint64_t i = begin; i < end; ++i) ++hits[i];
      });
      for (std::uint64_t i = 0; i < n; ++i) ASSERT_EQ(hits[i].load(), 1);
    }
}

TEST_F(Pool, OneThreadNeedsNoOthers) {
  Control control;
  Gang gang(1, control);
  EXPECT_EQ(gang.size(), 1u);
  int ran = 0;
  gang.run([&](std::uint32_t w) {
    EXPECT_EQ(w, 0u);
    ++ran;
    EXPECT_EQ(gang.barrier(), 0);
  });
  EXPECT_EQ(ran, 1);
}

TEST_F(Pool, NestedGangsGetNoWorkers) {
  Control control;
  Gang outer(workers, control);
  outer.run([&](std::uint32_t) {
    Control own;
    Gang inner(workers, own);
    EXPECT_EQ(inner.size(), 1u);
  });
}

TEST(UsableCpus, AtLeastOneAndStable) {
  EXPECT_GE(ThreadPool::usable_cpus(), 1u);
  EXPECT_EQ(ThreadPool::usable_cpus(), ThreadPool::usable_cpus());
}

}  // namespace
}  // namespace tenon
