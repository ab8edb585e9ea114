// Interrupt: Ctrl-C stops a load or a run of the main thread.
//
// While Python's own SIGINT handler is in force, a handler of ours stands before it: it cancels the call in progress and
// passes the signal on. An application's own handler is left alone. Threads: constructed and destroyed with the GIL held;
// does nothing off the main thread.
#pragma once

#include <tenon/tenon.h>

namespace tenon::python {

class Interrupt {
 public:
  // own (optional): the token that the caller already uses for this call.
  explicit Interrupt(tenon_cancel_token* own);
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  const tenon_cancel_token* token() const { return token_; }
  // Ends the watch; true if Ctrl-C came. The caller then asks PyErr_CheckSignals; its own token is spent.
  bool finish();

 private:
  tenon_cancel_token* token_;
  bool watching_ = false;
};

}  // namespace tenon::python
