// tenon_probe LIBRARY: loads a provider's library and asks for its description, for a parent that must not do so itself yet.
//
// The last line it prints says what it was doing when it ended: "described" and "refused" are ends of its own, all else is the
// library's doing, whatever the process returns.
#include <cstdio>
#include <cstdlib>

#include <dlfcn.h>
#include <sys/resource.h>
#include <tenon/provider.h>

int main(int count, char** arguments) {
  if (count != 2) {
    std::fprintf(stderr, "usage: tenon_probe LIBRARY\n");
    return 2;
  }
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  const auto say = [](const char* what) {
    std::puts(what);
    std::fflush(stdout);
  };
  say("loading");
  void* library = ::dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    std::fprintf(stderr, "%s\n", ::dlerror());
    say("refused");
    std::_Exit(0);
  }
  say("describing itself");
  using Query = const tenon_provider_desc* (*)(const tenon_query_args*);
  const auto query = reinterpret_cast<Query>(::dlsym(library, "tenon_provider_query"));
  char reason[512] = {};
  tenon_query_args args{};
  args.struct_size = sizeof args;
  args.abi_major = TENON_ABI_MAJOR;
  args.minor_max = TENON_ABI_MINOR;
  args.host_features = ~0ull;
  args.header_hash = TENON_ABI_HEADER_HASH;
  args.host_version = {"probe", 5};
  args.error = reason;
  args.error_capacity = sizeof reason;
  say(query && query(&args) ? "described" : "refused");
  std::_Exit(0);  // what it does at exit is no reason to refuse it
}
