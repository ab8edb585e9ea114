#include "interrupt.h"

#include <csignal>
#include <cerrno>
#include <atomic>
#include <chrono>

#include <pthread.h>

#include <nanobind/nanobind.h>

#include "failure.h"

namespace nb = nanobind;

namespace tenon::python {
namespace {

using Clock = std::chrono::steady_clock;

std::atomic<const tenon_cancel_token*> active{nullptr};
std::atomic<int> in_handler{0};
std::atomic<bool> hit{false};
struct sigaction previous {};  // Python's handler

// Below: only with the GIL.
tenon_cancel_token* spare = nullptr;  // for calls without a token of their own
pthread_t main_thread{};
bool usable = false, known = false;
Clock::time_point checked{};

void on_signal(int number) {
  const int saved = errno;
  in_handler.fetch_add(1);
  if (const tenon_cancel_token* token = active.load()) {
    hit.store(true);
    tenon_cancel_token_cancel(token);
  }
  in_handler.fetch_sub(1);
  errno = saved;
  if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) previous.sa_handler(number);
}

// Looks at the handlers as they are now; costs some microseconds, so not at every call.
void look() {
  checked = Clock::now();
  known = true;
  usable = false;
  const nb::object main = nb::module_::import_("threading").attr("main_thread")().attr("ident");
  main_thread = static_cast<pthread_t>(nb::cast<unsigned long>(main));
  const nb::module_ signal = nb::module_::import_("signal");
  const bool python_default = signal.attr("getsignal")(SIGINT).is(signal.attr("default_int_handler"));
  struct sigaction now {};
  if (sigaction(SIGINT, nullptr, &now) != 0 || (now.sa_flags & SA_SIGINFO)) return;
  if (now.sa_handler == &on_signal) {
    if (!python_default) sigaction(SIGINT, &previous, nullptr);
    usable = python_default;
    return;
  }
  if (!python_default || now.sa_handler == SIG_DFL || now.sa_handler == SIG_IGN) return;
  if (previous.sa_handler && previous.sa_handler != now.sa_handler) return;  // a third party's: not ours to wrap again
  previous = now;
  struct sigaction ours = now;
  ours.sa_handler = &on_signal;
  usable = sigaction(SIGINT, &ours, nullptr) == 0;
}

}  // namespace

Interrupt::Interrupt(tenon_cancel_token* own) : token_(own) {
  if (known && !pthread_equal(pthread_self(), main_thread)) return;
  if (!known || Clock::now() - checked > std::chrono::milliseconds(50)) look();
  if (!usable || !pthread_equal(pthread_self(), main_thread) || active.load()) return;
  if (!token_) {
    if (!spare) spare = out<tenon_cancel_token>(&tenon_cancel_token_create);
    token_ = spare;
  }
  hit.store(false);
  active.store(token_);
  watching_ = true;
}

bool Interrupt::finish() {
  if (!watching_) return false;
  watching_ = false;
  active.store(nullptr);
  while (in_handler.load()) {
  }
  if (!hit.exchange(false)) return false;
  if (token_ == spare) {
    tenon_cancel_token_release(spare);
    spare = nullptr;
  }
  return true;
}

Interrupt::~Interrupt() { finish(); }

}  // namespace tenon::python
