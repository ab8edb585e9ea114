#include "core/base/thread_pool.h"

#include <algorithm>
#include <memory>
#include <pthread.h>
#include <signal.h>
#include <thread>
#include <vector>

namespace tenon {
namespace {

inline void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// How long a thread spins for the next command before it sleeps: bridges the gaps between the steps of a run.
constexpr std::chrono::microseconds spin_time{60};
constexpr unsigned max_threads = 1024;

// Spins until word differs from `seen`, then sleeps on it. May wake early.
void wait_changed(std::atomic<std::uint32_t>& word, std::uint32_t seen) {
  for (int i = 0; i < 256; ++i) {
    if (word.load(std::memory_order_acquire) != seen) return;
    pause_cpu();
  }
  const auto until = std::chrono::steady_clock::now() + spin_time;
  do {
    for (int i = 0; i < 64; ++i) {
      if (word.load(std::memory_order_acquire) != seen) return;
      pause_cpu();
    }
  } while (std::chrono::steady_clock::now() < until);
  word.wait(seen, std::memory_order_acquire);
}

// What the calling thread is doing.
struct Here {
  GangState* gang = nullptr;  // set inside a worker function or while owning a gang
  std::uint32_t worker = 0;
  bool in_run = false;        // inside Gang::run
  int nested = 0;             // inside chunks of a parallel_for
};
thread_local Here here;

}  // namespace

// Shared by the members of one gang; recycled by the pool. All waiting goes through `signal`, which every event bumps.
struct GangState {
  std::atomic<std::uint32_t> users{0};  // members that still look at this object
  std::uint32_t size = 1;
  Control* control = nullptr;

  alignas(64) std::atomic<std::uint32_t> signal{0};

  // Command: run fn on every worker. epoch counts commands; quit ends the gang.
  alignas(64) std::atomic<std::uint32_t> epoch{0};
  void (*fn)(void*, std::uint32_t) = nullptr;
  void* context = nullptr;
  bool quit = false;
  alignas(64) std::atomic<std::uint32_t> running{0};

  // Barrier: the last to arrive decides and begins the next phase.
  alignas(64) std::atomic<std::uint32_t> arrived{0};
  std::atomic<std::uint32_t> phase{0};
  std::int32_t decision = 0;

  // The one parallel_for that waiting workers help with. ticket 0: closed.
  alignas(64) std::atomic<bool> job_busy{false};
  std::atomic<std::uint32_t> job_ticket{0};
  std::uint32_t last_ticket = 0;
  RangeFn job_fn = nullptr;
  void* job_context = nullptr;
  std::uint64_t job_n = 0, job_chunk = 0;
  alignas(64) std::atomic<std::uint64_t> job_next{0};
  alignas(64) std::atomic<std::uint32_t> helpers{0};
  alignas(64) std::atomic<std::uint32_t> waiting{0};  // workers that could help now

  void announce() {
    signal.fetch_add(1, std::memory_order_seq_cst);
    signal.notify_all();
  }

  void chunks(std::uint32_t worker) {
    ++here.nested;
    for (;;) {
      const std::uint64_t begin = job_next.fetch_add(job_chunk, std::memory_order_relaxed);
      if (begin >= job_n) break;
      job_fn(job_context, begin, std::min(begin + job_chunk, job_n), worker);
    }
    --here.nested;
  }

  // Waits until done() and meanwhile takes chunks of jobs.
  template <class Done>
  void wait_helping(std::uint32_t worker, Done&& done) {
    if (done()) return;
    std::uint32_t helped = 0;
    waiting.fetch_add(1, std::memory_order_seq_cst);
    for (;;) {
      const std::uint32_t seen = signal.load(std::memory_order_seq_cst);
      if (done()) break;
      const std::uint32_t ticket = job_ticket.load(std::memory_order_seq_cst);
      if (ticket != 0 && ticket != helped) {
        helpers.fetch_add(1, std::memory_order_seq_cst);
        const std::uint32_t now = job_ticket.load(std::memory_order_seq_cst);
        if (now != 0) chunks(worker);
        helped = now;
        helpers.fetch_sub(1, std::memory_order_seq_cst);
        continue;
      }
      wait_changed(signal, seen);
    }
    waiting.fetch_sub(1, std::memory_order_seq_cst);
  }

  void parallel_for(std::uint64_t n, std::uint64_t grain, RangeFn body, void* body_context, std::uint32_t worker) {
    bool free = false;
    // Outside run all other workers wait, or are just waking up to do so.
    if (here.nested > 0 || n <= grain || (here.in_run && waiting.load(std::memory_order_seq_cst) == 0) ||
        !job_busy.compare_exchange_strong(free, true, std::memory_order_acq_rel)) {
      ++here.nested;
      body(body_context, 0, n, worker);
      --here.nested;
      return;
    }
    job_fn = body;
    job_context = body_context;
    job_n = n;
    const std::uint64_t pieces = static_cast<std::uint64_t>(size) * 4;
    job_chunk = std::max(grain, (n - 1) / pieces + 1);
    job_next.store(0, std::memory_order_relaxed);
    last_ticket = last_ticket + 1 == 0 ? 1 : last_ticket + 1;
    job_ticket.store(last_ticket, std::memory_order_seq_cst);
    announce();
    chunks(worker);
    job_ticket.store(0, std::memory_order_seq_cst);
    for (int spins = 0; helpers.load(std::memory_order_seq_cst) != 0; ++spins) {
      if (spins < 20'000) pause_cpu();
      else std::this_thread::yield();
    }
    job_busy.store(false, std::memory_order_release);
  }
};

namespace {

struct Worker {
  std::atomic<std::uint32_t> word{0};  // bumped when there is an assignment
  GangState* gang = nullptr;
  std::uint32_t index = 0;
};

// Owner of threads and gang states. The lock guards the idle list only; it is held for a few instructions.
struct Pool {
  std::mutex mutex;
  std::vector<Worker*> idle;
  std::vector<GangState*> spare;
  unsigned started = 0;
  std::atomic<unsigned> capacity{ThreadPool::usable_cpus()};
  std::atomic<bool> forked{false};

  void release(GangState* gang) {
    if (gang->users.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    std::lock_guard lock(mutex);
    spare.push_back(gang);
  }
};

Pool& pool() {
  static Pool* instance = [] {
    auto* made = new Pool;  // never destroyed: workers outlive main
    made->idle.reserve(max_threads);
    made->spare.reserve(max_threads);
    static Pool* forked = made;
    // A child has none of the threads, and the lock may be held for ever: it works alone.
    pthread_atfork(nullptr, nullptr, [] { forked->forked.store(true); });
    return made;
  }();
  return *instance;
}

void work(Worker& self) {
  Pool& owner = pool();
  std::uint32_t seen = 0;
  for (;;) {
    while (self.word.load(std::memory_order_acquire) == seen) wait_changed(self.word, seen);
    seen = self.word.load(std::memory_order_acquire);
    GangState& gang = *self.gang;
    const std::uint32_t index = self.index;
    here = {&gang, index, false, 0};
    for (std::uint32_t epoch = 0;;) {
      gang.wait_helping(index, [&] { return gang.epoch.load(std::memory_order_acquire) != epoch; });
      ++epoch;
      if (gang.quit) break;
      here.in_run = true;
      gang.fn(gang.context, index);
      here.in_run = false;
      if (gang.running.fetch_sub(1, std::memory_order_acq_rel) == 1) gang.announce();
    }
    here = {};
    {
      // Idle again in the same step in which the gang loses this user.
      std::lock_guard lock(owner.mutex);
      if (gang.users.fetch_sub(1, std::memory_order_acq_rel) == 1) owner.spare.push_back(&gang);
      owner.idle.push_back(&self);
    }
  }
}

bool start_worker(Pool& owner, Worker*& out) {
  auto made = std::make_unique<Worker>();
  // Signals are the application's business.
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  bool ok = true;
  try {
    std::thread([worker = made.get()] { work(*worker); }).detach();
  } catch (const std::exception&) {
    ok = false;  // no more threads: go on with those there are
  }
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
  if (!ok) return false;
  out = made.release();
  ++owner.started;
  return true;
}

}  // namespace

void Control::reset(std::function<bool()> cancelled, Clock::time_point deadline) {
  cancelled_ = std::move(cancelled);
  deadline_ = deadline;
  failed_.store(false, std::memory_order_relaxed);
  interrupted_.store(0, std::memory_order_relaxed);
  failure_ = Status();
}

void Control::fail(Status status) {
  std::lock_guard lock(mutex_);
  if (failed_.load(std::memory_order_relaxed)) return;
  failure_ = status.ok() ? internal("a worker failed without saying why") : std::move(status);
  failed_.store(true, std::memory_order_release);
}

bool Control::interrupted() {
  if (interrupted_.load(std::memory_order_relaxed) != 0) return true;
  std::int32_t code = 0;
  if (cancelled_ && cancelled_()) code = TENON_CANCELLED;
  else if (deadline_ != Clock::time_point::max() && Clock::now() >= deadline_) code = TENON_DEADLINE_EXCEEDED;
  if (code == 0) return false;
  interrupted_.store(code, std::memory_order_relaxed);
  return true;
}

Status Control::take() {
  std::lock_guard lock(mutex_);
  if (failed_.load(std::memory_order_acquire)) return std::move(failure_);
  switch (interrupted_.load(std::memory_order_relaxed)) {
    case 0: return {};
    case TENON_CANCELLED: return error(TENON_CANCELLED, "cancelled by the caller");
    default: return error(TENON_DEADLINE_EXCEEDED, "the time limit has passed");
  }
}

Gang::Gang(unsigned max_workers, Control& control) : control_(control) {
  Pool& owner = pool();
  const unsigned capacity = owner.capacity.load(std::memory_order_relaxed);
  const unsigned wanted = std::min(max_workers == 0 ? capacity : max_workers, capacity) - 1;
  if (wanted == 0 || here.gang || owner.forked.load(std::memory_order_relaxed)) return;
  GangState* state = nullptr;
  {
    std::lock_guard lock(owner.mutex);
    while (owner.idle.size() < wanted && owner.started + 1 < capacity) {
      Worker* made = nullptr;
      if (!start_worker(owner, made)) break;
      owner.idle.push_back(made);
    }
    const unsigned got = std::min<unsigned>(wanted, static_cast<unsigned>(owner.idle.size()));
    if (got == 0) return;
    if (owner.spare.empty()) {
      state = new GangState;
    } else {
      state = owner.spare.back();
      owner.spare.pop_back();
    }
    state->size = got + 1;
    state->control = &control;
    state->quit = false;
    state->epoch.store(0, std::memory_order_relaxed);
    state->arrived.store(0, std::memory_order_relaxed);
    state->users.store(got + 1, std::memory_order_relaxed);
    for (unsigned i = 1; i <= got; ++i) {
      Worker* worker = owner.idle.back();
      owner.idle.pop_back();
      worker->gang = state;
      worker->index = i;
      worker->word.fetch_add(1, std::memory_order_release);
      worker->word.notify_one();
    }
  }
  state_ = state;
  size_ = state->size;
  here = {state, 0, false, 0};
}

Gang::~Gang() {
  if (!state_) return;
  here = {};
  state_->quit = true;
  state_->epoch.fetch_add(1, std::memory_order_release);
  state_->announce();
  pool().release(state_);
}

void Gang::run_raw(void (*fn)(void*, std::uint32_t), void* context) {
  if (!state_) {
    fn(context, 0);
    return;
  }
  GangState& gang = *state_;
  gang.fn = fn;
  gang.context = context;
  gang.decision = 0;
  gang.running.store(gang.size, std::memory_order_relaxed);
  gang.epoch.fetch_add(1, std::memory_order_release);
  gang.announce();
  here.in_run = true;
  fn(context, 0);
  here.in_run = false;
  if (gang.running.fetch_sub(1, std::memory_order_acq_rel) == 1) return;
  gang.wait_helping(0, [&] { return gang.running.load(std::memory_order_acquire) == 0; });
}

std::int32_t Gang::barrier() {
  if (!state_) return control_.stop() ? TENON_STOP : 0;
  GangState& gang = *state_;
  if (!here.in_run) return control_.stop() ? TENON_STOP : 0;
  const std::uint32_t phase = gang.phase.load(std::memory_order_acquire);
  if (gang.arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == gang.size) {
    gang.decision = control_.stop() ? TENON_STOP : 0;
    gang.arrived.store(0, std::memory_order_relaxed);
    gang.phase.fetch_add(1, std::memory_order_release);
    gang.announce();
  } else {
    gang.wait_helping(here.worker, [&] { return gang.phase.load(std::memory_order_acquire) != phase; });
  }
  return gang.decision;
}

bool Gang::stopped() const { return state_ ? state_->decision != 0 : control_.failed(); }

void Gang::parallel_for(std::uint64_t n, std::uint64_t grain, RangeFn fn, void* context) {
  if (n == 0) return;
  grain = std::max<std::uint64_t>(grain, 1);
  if (!state_ || here.gang != state_) {
    fn(context, 0, n, here.gang ? here.worker : 0);
    return;
  }
  state_->parallel_for(n, grain, fn, context, here.worker);
}

ThreadPool& ThreadPool::instance() {
  static ThreadPool made;
  return made;
}

unsigned ThreadPool::size() const { return pool().capacity.load(std::memory_order_relaxed); }

void ThreadPool::reserve(unsigned threads) {
  std::atomic<unsigned>& capacity = pool().capacity;
  const unsigned wanted = std::min(threads, max_threads);
  for (unsigned now = capacity.load(); now < wanted && !capacity.compare_exchange_weak(now, wanted);) {
  }
}

void ThreadPool::parallel_for(std::uint64_t n, std::uint64_t grain, RangeFn fn, void* context, unsigned max_workers) {
  if (n == 0) return;
  grain = std::max<std::uint64_t>(grain, 1);
  if (here.gang) {  // inside a run or a chunk: the gang is taken already
    if (here.nested == 0) here.gang->parallel_for(n, grain, fn, context, here.worker);
    else fn(context, 0, n, here.worker);
    return;
  }
  if (n <= grain) {
    fn(context, 0, n, 0);
    return;
  }
  Control control;
  const std::uint64_t useful = (n - 1) / grain + 1;
  const std::uint64_t limit = max_workers == 0 ? size() : max_workers;
  Gang gang(static_cast<unsigned>(std::min(useful, limit)), control);
  gang.parallel_for(n, grain, fn, context);
}

}  // namespace tenon
