// Providers that end or stop the process they are in, or compute nonsense, one way each: WILD names it.
#include <csignal>
#include <unistd.h>

#include <tenon/provider.hpp>

namespace {

using namespace tenon::plugin;

constexpr std::string_view how = WILD;
constexpr bool is(std::string_view name) { return how == name; }

Kernels& provider() {
  static Kernels* made = [] {
    Kernel relu{"", "Relu", nullptr, nullptr, [](const Call& c) {
                  if (is("crash_in_kernel")) ::raise(SIGSEGV);
                  for (std::int64_t i = 0; i < c.inputs[0].count(); ++i)
                    c.outputs[0].as<float>()[i] = is("wrong_result") ? 7.0f : std::max(0.0f, c.inputs[0].as<float>()[i]);
                }};
    auto* k = new Kernels("wild", "1.0", {relu});
    if (is("crash_in_create") || is("hang_in_create"))
      k->api.create = [](const tenon_host_api*, tenon_host*, const tenon_config*, tenon_provider**) -> tenon_status* {
        if (is("crash_in_create")) ::raise(SIGSEGV);
        for (;;) ::pause();
      };
    return k;
  }();
  return *made;
}

}  // namespace

#ifdef WILD_NEEDS_LIBRARY
extern "C" int tenon_test_absent(void);
int needed = tenon_test_absent();
#endif

TENON_EXPORT const tenon_provider_desc* tenon_provider_query(const tenon_query_args* args) { return provider().describe(args); }
