// Any bytes as a bundle, its checksums made right: read, loaded with all that it stores, and run when that succeeds.
#include "tests/support/bundle_bytes.h"
#include "tests/support/run_whatever.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  tenon::test::seal(bytes);
  const tenon::Status status = tenon::test::run_whatever(bytes);
  if (!status.ok() && status.text().empty()) __builtin_trap();  // a failure says why
  return 0;
}
