// A provider whose process dies: where the option "die" says, or in a kernel that is fed a number from 666 on.
//
// Add computes and keeps its process; Relu looks at its first element: 666 ends it by a signal, 667 hangs, 668 exits, 669 prints.
#include <csignal>
#include <unistd.h>

#include <tenon/provider.hpp>

namespace {

using namespace tenon::plugin;

const tenon_host_api* host = nullptr;
tenon_host* of = nullptr;

bool asked_to_die(const tenon_config* options, std::string_view where) {
  tenon_str value{};
  return host->config_get(options, str("/die"), TENON_CONFIG_STRING, &value) == 1 && std::string_view(value.data, value.size) == where;
}

// Whoever wants to report it does not hear of it.
void die(int signal) {
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

void look_at(float first) {
  if (first == 666.0f) die(SIGSEGV);
  while (first == 667.0f) ::pause();
  if (first == 668.0f) ::_exit(3);
  if (first == 669.0f) host->log(of, TENON_LOG_WARN, str("a line from elsewhere"));
}

Kernels& provider() {
  static Kernels* made = [] {
    Kernel relu{"", "Relu", nullptr, nullptr, [](const Call& c) {
                  if (c.inputs[0].count()) look_at(c.inputs[0].as<float>()[0]);
                  for (std::int64_t i = 0; i < c.inputs[0].count(); ++i) c.outputs[0].as<float>()[i] = std::max(0.0f, c.inputs[0].as<float>()[i]);
                }};
    Kernel add{"", "Add", nullptr, nullptr, [](const Call& c) {
                 for (std::int64_t i = 0; i < c.outputs[0].count(); ++i)
                   c.outputs[0].as<float>()[i] = c.inputs[0].as<float>()[i] + c.inputs[1].as<float>()[c.inputs[1].count() == 1 ? 0 : i];
               }};
    return new Kernels("mortal", "1.0", {relu, add});
  }();
  return *made;
}

tenon_provider_api good;

tenon_status* create(const tenon_host_api* api, tenon_host* h, const tenon_config* options, tenon_provider** out) {
  host = api, of = h;
  if (asked_to_die(options, "create")) die(SIGSEGV);
  return good.create(api, h, options, out);
}
tenon_status* query(tenon_device* device, const tenon_query* asked, tenon_query_sink* sink) {
  if (asked_to_die(asked->options, "query")) die(SIGILL);
  while (asked_to_die(asked->options, "query_hangs")) ::pause();
  return good.query(device, asked, sink);
}
tenon_status* compile(tenon_device* device, const tenon_part* part, const tenon_compile_options* options, tenon_program** out) {
  if (asked_to_die(options->options, "compile")) die(SIGABRT);
  return good.compile(device, part, options, out);
}

}  // namespace

TENON_EXPORT const tenon_provider_desc* tenon_provider_query(const tenon_query_args* args) {
  static tenon_provider_desc desc;
  static tenon_provider_api api;
  const tenon_provider_desc* made = provider().describe(args);
  if (!made) return nullptr;
  desc = *made;
  api = good = *made->api;
  api.create = create, api.query = query, api.compile = compile;
  desc.api = &api;
  return &desc;
}
