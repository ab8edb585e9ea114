// Watch: work that its caller may leave behind, because a provider may not come back: a load, a run with a deadline.
//
// The work runs on a thread of its own and owns all that it touches; the caller waits for it, no longer than its limits allow.
// A thread cannot be stopped: what is left behind stays, with its memory, counted and named, until the provider returns; meanwhile
// the device is set aside. Work without a Watch costs a look at one thread-local pointer at each call of a provider. Any thread.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "core/base/status.h"

namespace tenon {

class Watch : public std::enable_shared_from_this<Watch> {
 public:
  using Clock = std::chrono::steady_clock;
  struct Limits {
    Clock::time_point deadline = Clock::time_point::max();  // of all the work
    const char* deadline_name = "the deadline is over";     // how errors say so
    std::chrono::nanoseconds call{0};                       // of one call of a provider that reports no progress; 0: none
    std::chrono::nanoseconds late{std::chrono::seconds(1)};  // how long after its caller left a device may go on and still be used
    std::function<bool()> cancelled;                        // asked by the caller; may be empty
  };
  // Past a limit the work has this long to stop by itself.
  static constexpr std::chrono::milliseconds patience{50};

  // What `work` returns, or throws. what: "load", "run": begins the errors. left: set where the work goes on alone; what it refers
  // to must be its own. Where no thread is to be had the caller does the work. Errors: those of work; DEADLINE_EXCEEDED and
  // CANCELLED naming the call of a provider that has not returned.
  static Status run(Limits limits, const char* what, std::function<Status()> work, bool* left = nullptr);

  // Of the work that runs on this thread; null for none.
  static Watch* current();
  // Runs fn on the thread that waits for the work of this one, and waits for it; nobody waits any more: not at all. Outside work: here.
  static void on_caller(const std::function<void()>& fn);
  // What the work does now, for errors outside of calls; a literal.
  static void at(const char* what);
  // The call goes well, it merely takes its time.
  static void progress();

  // Work of this process that was left behind and has not ended.
  static std::size_t outstanding();
  // UNAVAILABLE where a call on this device does not return and its caller has left long enough ago; it says which call.
  static Status trouble(const void* device);

  // Whose call it is.
  struct Subject {
    const void* device = nullptr;  // null: the provider as a whole
    std::string_view provider, name;
  };
  // A call of a provider, from its beginning to its end, on the stack around it. One inside another counts in its place, and
  // says what the outer one says where it has nothing to say itself.
  class Call {
   public:
    explicit Call(const char* function, const Subject& subject, std::chrono::nanoseconds limit = {}) : Call(function, subject, limit, nullptr, nullptr) {}
    // describe() -> std::string: what it works on. Called by any thread while the call goes on.
    template <class Fn>
    Call(const char* function, const Subject& subject, const Fn& describe)
        : Call(function, subject, {}, &describe, [](const void* fn) { return (*static_cast<const Fn*>(fn))(); }) {}
    ~Call() {
      if (watch_) watch_->leave_call(*this);
    }
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

   private:
    friend class Watch;
    using Describe = std::string (*)(const void*);
    Call(const char* function, const Subject& subject, std::chrono::nanoseconds limit, const void* what, Describe describe) : watch_(current()) {
      if (watch_) function_ = function, subject_ = subject, limit_ = limit, what_ = what, describe_ = describe, watch_->enter_call(*this);
    }
    std::string text() const;
    Watch* watch_;
    const char* function_ = nullptr;
    Subject subject_;
    std::chrono::nanoseconds limit_{0};
    const void* what_ = nullptr;
    Describe describe_ = nullptr;
    Clock::time_point since_;
    Call* outer_ = nullptr;
  };

  // Whether its caller has left.
  bool left() const;
  // OK, or UNAVAILABLE: its caller has left long enough ago, and where it is stuck.
  Status late() const;

  explicit Watch(Limits limits, const char* what, std::function<Status()> work) : limits_(std::move(limits)), what_(what), work_(std::move(work)) {}

 private:
  friend class Helper;
  struct Over {  // the first of the limits
    Clock::time_point at = Clock::time_point::max();
    std::int32_t code = TENON_DEADLINE_EXCEEDED;
    std::string_view limit;  // which, in words
  };
  void work();
  Status wait(bool* left);
  Over over(Clock::time_point now);
  Status leave(const Over& over, Clock::time_point now, std::unique_lock<std::mutex>& lock);
  void enter_call(Call& call);
  void leave_call(Call& call);
  Status late(Clock::time_point now) const;  // with the lock held

  const Limits limits_;
  const char* const what_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::function<Status()> work_;
  Status result_;
  std::exception_ptr thrown_;
  bool done_ = false, left_ = false;
  Clock::time_point left_at_, cancelled_at_ = Clock::time_point::max();
  const Call* call_ = nullptr;  // the innermost
  const char* at_ = "";
  const std::function<void()>* posted_ = nullptr;
};

// Turn: a lock whose holder may be left behind with it. Then the others are told so, instead of waiting with it for ever.
class Turn {
 public:
  class Hold {
   public:
    Hold() = default;
    explicit Hold(Turn* turn) : turn_(turn) {}
    Hold(Hold&& o) noexcept : turn_(std::exchange(o.turn_, nullptr)) {}
    Hold& operator=(Hold&&) = delete;
    ~Hold() {
      if (turn_) turn_->end();
    }

   private:
    Turn* turn_ = nullptr;
  };
  // Waits for it. Errors: UNAVAILABLE where its holder is stuck in a provider; DEADLINE_EXCEEDED where our own caller has left.
  Result<Hold> take();

 private:
  void end();
  std::mutex mutex_;
  std::condition_variable free_;
  bool busy_ = false;
  std::shared_ptr<const Watch> holder_;  // null: work that nobody watches
};

}  // namespace tenon
