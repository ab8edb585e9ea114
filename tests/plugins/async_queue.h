// Queue: an in-order queue whose work is done as late as the contract allows, for the test provider "async".
//
// Lazy: nothing is done before somebody waits. Late: a thread does it, after random pauses. Owned by the stream; give and
// mark are called by one thread, reach by any.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>

namespace async {

struct Failure {
  std::int32_t code = 0;
  std::string text;
};

class Queue {
 public:
  using Work = std::function<Failure()>;

  explicit Queue(bool lazy) : lazy_(lazy) {
    if (!lazy) worker_ = std::thread([this] { work(); });
  }
  ~Queue() {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
      work_.clear();
    }
    changed_.notify_all();
    if (worker_.joinable()) worker_.join();
  }

  void give(Work work) {
    {
      std::lock_guard lock(mutex_);
      work_.push_back(std::move(work));
      ++given_;
    }
    changed_.notify_all();
  }
  // A place in the queue: all that was given so far.
  std::uint64_t mark() {
    std::lock_guard lock(mutex_);
    return given_;
  }
  // Returns when all before the mark is done.
  void reach(std::uint64_t mark) {
    if (done_.load() >= mark) return;
    if (lazy_) return work_until(mark);
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return done_.load() >= mark; });
  }
  // The first failure; code 0: none.
  Failure failure() {
    std::lock_guard lock(mutex_);
    return failure_;
  }

 private:
  void run(const Work& work) {
    Failure f;
    if (failure().code == 0) f = work();  // after a failure nothing is done any more
    {
      std::lock_guard lock(mutex_);
      if (failure_.code == 0) failure_ = std::move(f);
      ++done_;
    }
    changed_.notify_all();
  }
  // By one thread at a time, which may come here again: work may wait for marks of other queues. Who waits for another thread's
  // turn is let go as soon as the mark is reached, because that thread may go on to wait for him.
  void work_until(std::uint64_t mark) {
    std::unique_lock lock(mutex_);
    while (done_.load() < mark) {
      if (depth_ > 0 && turn_ != std::this_thread::get_id()) {
        changed_.wait(lock);
        continue;
      }
      if (work_.empty()) return;
      const Work next = std::move(work_.front());
      work_.pop_front();
      turn_ = std::this_thread::get_id();
      ++depth_;
      lock.unlock();
      run(next);
      lock.lock();
      if (--depth_ == 0) changed_.notify_all();
    }
  }
  void work() {
    std::mt19937 random(static_cast<unsigned>(reinterpret_cast<std::uintptr_t>(this)));
    for (;;) {
      Work next;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return stop_ || !work_.empty(); });
        if (stop_) return;
        next = std::move(work_.front());
        work_.pop_front();
      }
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 4 ? 0 : random() % 1500));
      run(next);
    }
  }

  const bool lazy_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Work> work_;
  std::uint64_t given_ = 0;
  std::atomic<std::uint64_t> done_{0};
  Failure failure_;
  std::thread::id turn_;  // who works a lazy queue while depth_ is not 0
  int depth_ = 0;
  bool stop_ = false;
  std::thread worker_;
};

struct Event {
  std::shared_ptr<Queue> queue;
  std::uint64_t mark = 0;
  std::atomic<int>* live = nullptr;  // of its device
};

}  // namespace async
