// Any text as a configuration: what is taken must read back as itself.
#include "core/base/config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto config = tenon::Config::parse(text, "fuzz.json");
  if (!config.ok()) {
    if (config.status().text().empty()) __builtin_trap();
    return 0;
  }
  const auto again = tenon::Config::parse(config->json(), "again.json");
  if (!again.ok() || again->json() != config->json()) __builtin_trap();
  (void)config->show_origin();
  return 0;
}
