// Any text as a manifest, and as options checked against its schema.
#include "core/provider/manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto manifest = tenon::parse_manifest(text, "/nowhere/fuzz.tenon.json");
  if (!manifest.ok()) {
    if (manifest.status().text().empty()) __builtin_trap();
    return 0;
  }
  (void)tenon::preflight(*manifest);
  (void)tenon::check_options(*manifest, text);
  (void)tenon::check_options(*manifest, "{}");
  return 0;
}
