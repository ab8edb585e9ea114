// A provider whose query never ends by itself: it waits until the host says that its time is up.
#include <chrono>
#include <thread>

#include <tenon/provider.hpp>

namespace {

using namespace tenon::plugin;

Kernels& provider() {
  static Kernels* made = [] {
    auto* k = new Kernels("slow", "1.0", {});
    k->api.query = [](tenon_device*, const tenon_query* query, tenon_query_sink*) -> tenon_status* {
      while (!provider().host_api()->cancelled(query->load)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      return nullptr;
    };
    return k;
  }();
  return *made;
}

}  // namespace

TENON_EXPORT const tenon_provider_desc* tenon_provider_query(const tenon_query_args* args) { return provider().describe(args); }
