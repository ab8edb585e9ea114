// What discovery finds in this process, for a test that gives the program rights by its file: secure_discovery MANIFEST.
#include <cstdio>

#include "core/base/dynlib.h"
#include "core/provider/discovery.h"
#include "core/provider/quarantine.h"

// The leak sanitizer cannot look at a process that nobody may trace, and takes no options from its environment.
extern "C" __attribute__((visibility("default"))) int __lsan_is_turned_off();
extern "C" int __lsan_is_turned_off() { return 1; }

int main(int count, char** arguments) {
  using namespace tenon;
  std::printf("privileged %d\n", privileged_process());
  int environment = 0;
  for (const Found& f : discover(count > 1 ? std::vector<std::string>{arguments[1]} : std::vector<std::string>{})) {
    if (f.where == "path") std::printf("given %s\n", f.problem.ok() ? "ok" : std::string(f.problem.text()).c_str());
    environment += f.where.starts_with("TENON_") || f.where.starts_with("XDG_");
  }
  // The folder that was given is also the one that the variables name: seen once, it is not found again.
  for (const Found& f : discover({})) environment += f.where.starts_with("TENON_") || f.where.starts_with("XDG_");
  std::printf("environment %d\ncache \"%s\"\n", environment, Quarantine().folder().c_str());
  return 0;
}
