// AmxEmulator: runs the real machine code of tile kernels on x86-64 processors that have no tiles.
//
// Where the processor knows the instructions nothing is done. Elsewhere they raise SIGILL, and a handler decodes them and
// executes them on tile registers in software, one set per thread, as the manual defines them: shapes from the
// configuration, bfloat16 denormals as zeros, even and odd elements of pairs summed apart. About 2 µs an instruction and
// more for products, so shapes should be small. One object at a time, for all threads; the handler is as before at its end.
#pragma once

#include <csignal>
#include <cstdint>

namespace tenon::cpu::test {

class AmxEmulator {
 public:
  AmxEmulator();
  ~AmxEmulator();
  AmxEmulator(const AmxEmulator&) = delete;
  AmxEmulator& operator=(const AmxEmulator&) = delete;

  // Instructions that were executed in software, by all threads: zero on a processor that has tiles.
  static std::int64_t executed();

 private:
  bool active_;
  struct sigaction before_ {};
};

}  // namespace tenon::cpu::test
