// A provider that stores what it compiles and tells what it runs: Relu, with an artifact for each part and, in profiled runs,
// events of two tracks. Extension "test.artifact" counts.
//
// Option "stale": true makes it find fault with every artifact that it gets back.
#include <algorithm>
#include <cstring>

#include <tenon/provider.hpp>
#include <tenon/trace.h>

#include "artifact.h"

namespace {

using namespace tenon::plugin;

artifact_counts counts{sizeof counts, 0, 0, 0, 0, {}};

const tenon_trace_extension* trace();

Kernels& provider() {
  static auto* made = new Kernels("artifact", "1.0", {{"", "Relu", nullptr, nullptr, [](const Call& c) {
    const std::uint64_t begin = trace() ? trace()->now() : 0;
    for (std::int64_t i = 0; i < c.inputs[0].count(); ++i) c.outputs[0].as<float>()[i] = std::max(0.0f, c.inputs[0].as<float>()[i]);
    if (!trace() || !trace()->enabled(c.task)) return;
    const std::uint64_t end = trace()->now();
    for (const char* track : {"queue 0", "queue 1"}) {
      const tenon_trace_event event{sizeof event, 0, str("relu kernel"), str(track), begin, end};
      trace()->event(c.task, &event);
    }
    const tenon_trace_event backwards{sizeof backwards, 0, str("backwards"), str(""), end + 1, end};
    trace()->event(c.task, &backwards);
  }}});
  return *made;
}

const tenon_trace_extension* trace() {
  static const void* table = provider().host_api()->get_extension(provider().host(), str("tenon.trace"), 1);
  return static_cast<const tenon_trace_extension*>(table);
}

decltype(tenon_provider_api::compile) compile_kernels;

tenon_status* compile(tenon_device* device, const tenon_part* part, const tenon_compile_options* options, tenon_program** out) {
  const Host host{provider().host_api(), provider().host()};
  const std::string text = "compiled " + std::string(view(options->part_key));
  const void* data = nullptr;
  std::uint64_t bytes = 0;
  ++counts.compiled;
  std::snprintf(counts.key, sizeof counts.key, "%.*s", static_cast<int>(options->part_key.size), options->part_key.data);
  if (tenon_status* none = host.api->artifact_get(options->load, options->part_key, &data, &bytes)) {
    if (host.api->status_code(none) != TENON_NOT_FOUND) return none;
    host.api->status_free(none);
    ++counts.missed;
    if (tenon_status* s = host.api->artifact_put(options->load, options->part_key, text.data(), text.size())) return s;
  } else {
    if (bytes != text.size() || std::memcmp(data, text.data(), bytes) != 0) return host.status(TENON_INTERNAL, "other bytes than were put");
    ++counts.found;
    if (host.bool_or(options->options, "/stale", false)) return host.status(TENON_ARTIFACT_MISMATCH, "it was made by an older self");
  }
  return compile_kernels(device, part, options, out);
}

}  // namespace

TENON_EXPORT const tenon_provider_desc* tenon_provider_query(const tenon_query_args* args) {
  static tenon_provider_desc desc;
  static tenon_provider_api api;
  const tenon_provider_desc* good = provider().describe(args);
  if (!good) return nullptr;
  desc = *good;
  api = *good->api;
  desc.api = &api;
  compile_kernels = api.compile;
  api.compile = compile;
  api.fingerprint = [](tenon_device*, char* text, std::uint64_t capacity, std::uint64_t* length) -> tenon_status* {
    *length = 8;
    std::memcpy(text, "test 1.0", std::min<std::uint64_t>(capacity, 8));
    return nullptr;
  };
  api.get_extension = [](tenon_provider*, tenon_str name, std::uint32_t version) -> const void* {
    return view(name) == "test.artifact" && version == 1 ? &counts : nullptr;
  };
  return &desc;
}
