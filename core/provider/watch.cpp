#include "core/provider/watch.h"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <pthread.h>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/log.h"

namespace tenon {
namespace {

constexpr std::chrono::milliseconds glance{20};  // how often a caller looks whether it was cancelled
constexpr std::size_t most_idle = 4;             // threads that are kept for the next work

thread_local Watch* here = nullptr;

// What was left behind.
struct Left {
  std::mutex mutex;  // taken before a watch's
  std::vector<std::shared_ptr<Watch>> all;
  std::atomic<std::size_t> count{0};
};
Left& left_behind() {
  static Left* made = new Left;  // never destroyed: they may outlive main
  return *made;
}

double seconds(Watch::Clock::duration d) { return std::chrono::duration<double>(d).count(); }

}  // namespace

// The threads that do the work: kept for the next, given up with what gets stuck in them.
class Helper {
 public:
  static bool start(std::shared_ptr<Watch> job) {
    Pool& p = pool();
    if (p.forked.load(std::memory_order_relaxed)) return false;  // a child has none of the threads
    std::unique_lock lock(p.mutex);
    if (!p.idle.empty()) {
      Helper* helper = p.idle.back();
      p.idle.pop_back();
      lock.unlock();
      helper->give(std::move(job));
      return true;
    }
    lock.unlock();
    sigset_t all, old;  // signals are the application's business
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    bool started = true;
    auto made = std::make_unique<Helper>();
    made->job_ = std::move(job);
    try {
      std::thread([helper = made.get()] { helper->serve(); }).detach();
      (void)made.release();  // its thread's
    } catch (const std::exception& e) {
      log_warn("run", "no thread for work with a deadline ({}): the caller does it, and waits as long as its providers do", e.what());
      started = false;
    }
    pthread_sigmask(SIG_SETMASK, &old, nullptr);
    return started;
  }

 private:
  struct Pool {
    std::mutex mutex;
    std::vector<Helper*> idle;
    std::atomic<bool> forked{false};
  };
  static Pool& pool() {
    static Pool* instance = [] {
      static Pool* made = new Pool;
      pthread_atfork(nullptr, nullptr, [] { made->forked.store(true); });
      return made;
    }();
    return *instance;
  }
  void give(std::shared_ptr<Watch> job) {
    std::lock_guard lock(mutex_);
    job_ = std::move(job);
    given_.notify_one();
  }
  void serve() {
    const std::unique_ptr<Helper> self(this);
    for (;;) {
      std::shared_ptr<Watch> job;
      {
        std::unique_lock lock(mutex_);
        given_.wait(lock, [&] { return job_ != nullptr; });
        job = std::exchange(job_, nullptr);
      }
      job->work();
      job.reset();
      std::lock_guard lock(pool().mutex);
      if (pool().idle.size() >= most_idle) return;
      pool().idle.push_back(this);
    }
  }
  std::mutex mutex_;
  std::condition_variable given_;
  std::shared_ptr<Watch> job_;
};

Watch* Watch::current() { return here; }

Status Watch::run(Limits limits, const char* what, std::function<Status()> work, bool* left) {
  const auto watch = std::make_shared<Watch>(std::move(limits), what, std::move(work));
  if (!Helper::start(watch)) return watch->work_();
  return watch->wait(left);
}

void Watch::work() {
  here = this;
  Status result;
  std::exception_ptr thrown;
  try {
    result = work_();
    work_ = nullptr;  // what it holds ends here, while the caller still waits
  } catch (...) {
    thrown = std::current_exception();
    work_ = nullptr;
  }
  here = nullptr;
  bool was_left = false;
  {
    std::lock_guard lock(mutex_);
    result_ = std::move(result), thrown_ = std::move(thrown);
    done_ = true;
    was_left = left_;
    changed_.notify_all();
  }
  if (!was_left) return;
  Left& behind = left_behind();
  std::lock_guard lock(behind.mutex);
  std::erase_if(behind.all, [&](const auto& w) { return w.get() == this; });
  behind.count.store(behind.all.size(), std::memory_order_relaxed);
  log_info("run", "{}: what was left behind {:.1f} s ago has ended: {}", what_, seconds(Clock::now() - left_at_),
           thrown_ ? "with an exception" : result_.ok() ? "well" : result_.text());
}

Status Watch::wait(bool* left) {
  std::unique_lock lock(mutex_);
  while (!done_) {
    if (posted_) {
      const std::function<void()>& fn = *posted_;
      lock.unlock();
      fn();
      lock.lock();
      posted_ = nullptr;
      changed_.notify_all();
      continue;
    }
    const Clock::time_point now = Clock::now();
    if (const Over first = over(now); now >= first.at) {
      if (left) *left = true;
      return leave(first, now, lock);
    } else {
      changed_.wait_until(lock, std::min(first.at, now + glance));
    }
  }
  if (thrown_) std::rethrow_exception(thrown_);
  return std::move(result_);
}

Watch::Over Watch::over(Clock::time_point now) {
  Over first;
  const auto consider = [&](Clock::time_point limit, std::int32_t code, std::string_view name) {
    if (limit < first.at - patience) first = {limit + patience, code, name};
  };
  consider(limits_.deadline, TENON_DEADLINE_EXCEEDED, limits_.deadline_name);
  if (call_) {
    if (const auto limit = call_->limit_.count() > 0 ? call_->limit_ : limits_.call; limit.count() > 0)
      consider(call_->since_ + limit, TENON_DEADLINE_EXCEEDED, call_->limit_.count() > 0 ? "the time of such a call is over" : "/limits/call is over");
  }
  if (cancelled_at_ == Clock::time_point::max() && limits_.cancelled && limits_.cancelled()) cancelled_at_ = now;
  consider(cancelled_at_, TENON_CANCELLED, "the caller has cancelled");
  return first;
}

std::string Watch::Call::text() const {
  std::string out = fmt::format("provider {}: ", subject_.provider);
  if (!subject_.name.empty()) out += fmt::format("device \"{}\": ", subject_.name);
  out += function_;
  if (describe_) out += " of " + describe_(what_);
  return out;
}

Status Watch::leave(const Over& over, Clock::time_point now, std::unique_lock<std::mutex>& lock) {
  left_ = true;
  left_at_ = now;
  const std::string where = call_ ? call_->text() : "";
  const double since = call_ ? seconds(now - call_->since_) : 0;
  const bool device = call_ && call_->subject_.device;
  const std::string at = at_;
  changed_.notify_all();  // a report of progress that nobody takes any more
  lock.unlock();
  Left& behind = left_behind();
  {
    std::lock_guard list(behind.mutex);
    std::lock_guard again(mutex_);
    if (!done_) behind.all.push_back(shared_from_this());
    behind.count.store(behind.all.size(), std::memory_order_relaxed);
  }
  if (where.empty())
    return error(over.code, "{}: {}{}{}; it stops at its next step, on a thread of its own", what_, over.limit, at.empty() ? "" : " while ", at);
  Status status = error(over.code,
                        "{}: {} has not returned after {:.2f} s, and {}. No thread can be stopped from outside: it goes on alone with the memory that it "
                        "may touch ({} so in this process), and {} until it returns. Give it more time, leave the provider out, or start the process again",
                        what_, where, since, over.limit, outstanding() == 1 ? "one is" : fmt::format("{} are", outstanding()),
                        device ? "the device is set aside" : "the provider is not to be had");
  log_warn("run", "{}", status.text());
  return status;
}

bool Watch::left() const {
  std::lock_guard lock(mutex_);
  return left_;
}

Status Watch::late() const {
  std::lock_guard lock(mutex_);
  return late(Clock::now());
}

Status Watch::late(Clock::time_point now) const {
  if (!left_ || done_ || now - left_at_ < limits_.late) return {};
  if (!call_) return error(TENON_UNAVAILABLE, "a {} that was left behind {:.1f} s ago has not ended yet", what_, seconds(now - left_at_));
  return error(TENON_UNAVAILABLE,
               "{} has not returned for {:.1f} s; {} set aside until it does. Leave the provider out, or start the process again", call_->text(),
               seconds(now - call_->since_), call_->subject_.device ? "the device is" : "the provider is");
}

std::size_t Watch::outstanding() { return left_behind().count.load(std::memory_order_relaxed); }

Status Watch::trouble(const void* device) {
  Left& behind = left_behind();
  if (outstanding() == 0) return {};
  std::lock_guard list(behind.mutex);
  for (const auto& watch : behind.all) {
    std::lock_guard lock(watch->mutex_);
    if (!watch->call_ || watch->call_->subject_.device != device) continue;
    if (Status s = watch->late(Clock::now()); !s.ok()) return s;
  }
  return {};
}

void Watch::on_caller(const std::function<void()>& fn) {
  if (!here) return fn();
  Watch& w = *here;
  std::exception_ptr thrown;
  const std::function<void()> guarded = [&] {
    try {
      fn();
    } catch (...) {
      thrown = std::current_exception();
    }
  };
  {
    std::unique_lock lock(w.mutex_);
    if (w.left_) return;
    w.posted_ = &guarded;
    w.changed_.notify_all();
    // A caller that has taken it up finishes it before it looks at its limits.
    w.changed_.wait(lock, [&] { return w.posted_ == nullptr || w.left_; });
    w.posted_ = nullptr;
  }
  if (thrown) std::rethrow_exception(thrown);
}

void Watch::at(const char* what) {
  if (!here) return;
  std::lock_guard lock(here->mutex_);
  here->at_ = what;
}

void Watch::progress() {
  if (!here) return;
  std::lock_guard lock(here->mutex_);
  if (here->call_) const_cast<Call*>(here->call_)->since_ = Clock::now();
}

void Watch::enter_call(Call& call) {
  call.since_ = Clock::now();
  std::lock_guard lock(mutex_);
  call.outer_ = const_cast<Call*>(call_);
  if (!call.describe_ && call.outer_) call.what_ = call.outer_->what_, call.describe_ = call.outer_->describe_;
  call_ = &call;
}

void Watch::leave_call(Call& call) {
  std::lock_guard lock(mutex_);
  call_ = call.outer_;
}

Result<Turn::Hold> Turn::take() {
  std::unique_lock lock(mutex_);
  while (busy_) {
    if (holder_) TENON_TRY(holder_->late());
    if (here && here->left()) return error(TENON_DEADLINE_EXCEEDED, "the caller has left while this waited for a provider");
    free_.wait_for(lock, glance);
  }
  busy_ = true;
  if (here) holder_ = here->shared_from_this();
  return Hold(this);
}

void Turn::end() {
  std::lock_guard lock(mutex_);
  busy_ = false;
  holder_.reset();
  free_.notify_one();
}

}  // namespace tenon
