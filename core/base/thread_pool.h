// ThreadPool, Gang and Control: the threads of the process, and how a run borrows them.
//
// One pool per process, sized by affinity mask and cgroup quota. A run takes a Gang: its own thread and whichever
// workers are idle at that moment; it never waits for one. The workers of a gang execute one function together, meet at
// barriers and, while they wait, help with the chunks of a parallel_for. Nothing is allocated in steady state. A gang of
// one does without any synchronisation.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <type_traits>

#include "core/base/status.h"

namespace tenon {

using RangeFn = void (*)(void* context, std::uint64_t begin, std::uint64_t end, std::uint32_t worker);

// Whether a run or load must stop, and why: the first failure, a cancel, a deadline. Any thread.
class Control {
 public:
  using Clock = std::chrono::steady_clock;
  Control() = default;
  Control(std::function<bool()> cancelled, Clock::time_point deadline)
      : cancelled_(std::move(cancelled)), deadline_(deadline) {}
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;
  // Before a run begins, never during it.
  void reset(std::function<bool()> cancelled = {}, Clock::time_point deadline = Clock::time_point::max());

  // Takes the status over; the first failure wins.
  void fail(Status status);
  bool failed() const { return failed_.load(std::memory_order_acquire); }
  // Cancelled or past the deadline; stays so.
  bool interrupted();
  bool stop() { return failed() || interrupted(); }
  // Failed, or an interruption was seen by anyone: some work may have been left out.
  bool stopped() const { return failed() || interrupted_.load(std::memory_order_acquire) != 0; }
  // The first failure, else CANCELLED or DEADLINE_EXCEEDED, else OK. Takes the failure out: call it once, at the end.
  Status take();

 private:
  std::function<bool()> cancelled_;
  Clock::time_point deadline_ = Clock::time_point::max();
  std::atomic<bool> failed_{false};
  std::atomic<std::int32_t> interrupted_{0};  // 0 or a status code
  std::mutex mutex_;
  Status failure_;
};

struct GangState;  // thread_pool.cpp

// Owned by the thread that made it; only that thread calls run. barrier and parallel_for are also called by workers
// inside run.
class Gang {
 public:
  // The caller and up to max_workers - 1 idle workers, in one step. max_workers 0: as many as the pool has.
  Gang(unsigned max_workers, Control& control);
  ~Gang();  // gives the workers back without waiting
  Gang(const Gang&) = delete;
  Gang& operator=(const Gang&) = delete;

  unsigned size() const { return size_; }
  // Every worker calls fn(worker index); the caller is worker 0. Returns when all are done. Not nested.
  template <class Fn>
  void run(Fn&& fn) {
    using F = std::remove_reference_t<Fn>;
    run_raw([](void* context, std::uint32_t worker) { (*static_cast<F*>(context))(worker); },
            const_cast<void*>(static_cast<const void*>(&fn)));
  }
  // Inside run, by all workers alike: 0, or TENON_STOP for all; the last to arrive decides.
  std::int32_t barrier();
  // True once a barrier of the current run has answered STOP.
  bool stopped() const;
  // Outside run, or by one worker inside it: the waiting workers of this gang take chunks. Inside another parallel_for,
  // or when nobody waits, inline. Returns when all chunks are done.
  void parallel_for(std::uint64_t n, std::uint64_t grain, RangeFn fn, void* context);

 private:
  void run_raw(void (*fn)(void*, std::uint32_t), void* context);
  Control& control_;
  GangState* state_ = nullptr;  // null for a gang of one
  unsigned size_ = 1;
};

class ThreadPool {
 public:
  static ThreadPool& instance();
  // CPUs that this process may use: affinity mask and cgroup quota; at least 1.
  static unsigned usable_cpus();
  // Threads that the pool may have, the caller counted.
  unsigned size() const;
  // Lets the pool grow beyond usable_cpus, for sessions that ask for more threads.
  void reserve(unsigned threads);
  // Outside a run (compile, pack): idle workers help. worker is below size().
  void parallel_for(std::uint64_t n, std::uint64_t grain, RangeFn fn, void* context, unsigned max_workers = 0);

 private:
  ThreadPool() = default;
};

// parallel_for with a callable fn(begin, end, worker), on idle workers.
template <class Fn>
void parallel_for(std::uint64_t n, std::uint64_t grain, Fn&& fn) {
  using F = std::remove_reference_t<Fn>;
  ThreadPool::instance().parallel_for(
      n, grain,
      [](void* context, std::uint64_t begin, std::uint64_t end, std::uint32_t worker) {
        (*static_cast<F*>(context))(begin, end, worker);
      },
      const_cast<void*>(static_cast<const void*>(&fn)));
}

}  // namespace tenon
