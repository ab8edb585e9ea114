// Device: the one device of this provider, the processor, as enumerate describes it.
// Made in create; immutable. Any thread.
#pragma once

#include <string>

#include "plugins/cpu/host.h"
#include "plugins/cpu/isa.h"

namespace tenon::cpu {

struct Device {
  Device();
  Device(const Device&) = delete;  // info points into it

  Isa isa;
  std::string name, fingerprint;
  tenon_domain domain{};
  tenon_device_info info{};
};

const char* isa_name(Isa isa);

}  // namespace tenon::cpu
