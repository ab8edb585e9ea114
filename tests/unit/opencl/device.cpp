#include "tests/unit/opencl/device.h"

namespace tenon::opencl {
namespace {

struct Opened {
  std::unique_ptr<Device> device;
  std::string reason;
};

Opened& opened() {
  static Opened o = [] {
    Opened out;
    try {
      auto api = load_api("");
      out.device = std::make_unique<Device>(Host{}, api, select(enumerate_devices(*api), "any").at(0), DeviceOptions{});
    } catch (const Failure& f) {
      out.reason = f.text;
    }
    return out;
  }();
  return o;
}

}  // namespace

Device* device() { return opened().device.get(); }
const std::string& no_device() { return opened().reason; }

}  // namespace tenon::opencl

// Drivers keep what they compile with until the process ends: not ours to free. Our own objects are counted by the faulty library.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() { return "leak:libpocl\nleak:libLLVM\nleak:libclang\n"; }
