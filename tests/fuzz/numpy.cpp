// Any bytes as an .npy file, or as an .npz archive when they begin like one.
#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "sdk/cli/npy.h"
#include "sdk/cli/session_args.h"

namespace {

// An archive is read by its path: a file in memory has one.
void read_archive(const std::string& bytes) {
  const int file = memfd_create("fuzz.npz", 0);
  if (file < 0) return;
  const bool written = write(file, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size());
  try {
    if (written) (void)tenon::cli::read_npz("/proc/self/fd/" + std::to_string(file));
  } catch (...) {
    close(file);
    throw;
  }
  close(file);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  try {
    if (bytes.starts_with("PK")) read_archive(bytes);
    else (void)tenon::cli::parse_npy(bytes, "fuzz.npy");
  } catch (const tenon::cli::Failure& f) {
    if (f.text.empty()) __builtin_trap();
  } catch (const tenon::Error& e) {
    if (std::string(e.what()).empty()) __builtin_trap();
  }
  return 0;
}
