// Any bytes as a model: loaded, and run when that succeeds.
#include "tests/support/run_whatever.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const tenon::Status status = tenon::test::run_whatever({reinterpret_cast<const char*>(data), size});
  if (!status.ok() && status.text().empty()) __builtin_trap();  // a failure says why
  return 0;
}
