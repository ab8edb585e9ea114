// tenon_provider_host: the process of an isolated provider (core/provider/isolate). libtenon starts it; it is of no use by hand.
#include <cstdio>

#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/provider/isolate/serve.h"

int main() {
  int type = 0;
  socklen_t size = sizeof type;
  if (::getsockopt(tenon::isolate::control_fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_SEQPACKET) {
    std::fprintf(stderr, "tenon_provider_host is started by libtenon, for providers with \"isolate\": \"process\"\n");
    return 2;
  }
  ::close_range(tenon::isolate::log_fd + 1, ~0u, 0);  // the application's files are none of a provider's business
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  static tenon::isolate::Server server;
  server.run();
}
