// Providers that do wrong, one way each: HOSTILE names it. A host must refuse each with a reason and go on.
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <thread>

#include <tenon/provider.hpp>

namespace {

using namespace tenon::plugin;

constexpr std::string_view how = HOSTILE;
constexpr bool is(std::string_view name) { return how == name; }

Kernels& provider() {
  static Kernels* made = [] {
    Kernel relu{"", "Relu", nullptr, nullptr, [](const Call& c) {
                  if (is("throw_in_kernel")) throw std::runtime_error("boom in a kernel");
                  if (is("fail_in_kernel")) raise(TENON_INVALID_ARGUMENT, "this kernel does not like its data");
                  for (std::int64_t i = 0; i < c.inputs[0].count(); ++i) c.outputs[0].as<float>()[i] = std::max(0.0f, c.inputs[0].as<float>()[i]);
                }};
    auto* k = new Kernels("hostile", "1.0", {relu});
    auto& api = k->api;
    if (is("throw_in_create")) api.create = [](const tenon_host_api*, tenon_host*, const tenon_config*, tenon_provider**) -> tenon_status* { throw std::runtime_error("boom in create"); };
    if (is("no_devices")) api.enumerate = [](tenon_provider*, tenon_span* out) -> tenon_status* { *out = {}; return nullptr; };
    if (is("null_device")) api.device_open = [](tenon_provider*, std::uint64_t, tenon_device**) -> tenon_status* { return nullptr; };
    if (is("throw_in_query")) api.query = [](tenon_device*, const tenon_query*, tenon_query_sink*) -> tenon_status* { throw std::runtime_error("boom in query"); };
    if (is("throw_an_int")) api.query = [](tenon_device*, const tenon_query*, tenon_query_sink*) -> tenon_status* { throw 42; };
    if (is("fail_in_query"))
      api.query = [](tenon_device*, const tenon_query*, tenon_query_sink*) -> tenon_status* {
        return provider().host_api()->status_new(provider().host(), TENON_UNAVAILABLE, 7, str("the device is asleep"));
      };
    if (is("slow_query"))
      api.query = [](tenon_device*, const tenon_query* query, tenon_query_sink*) -> tenon_status* {
        while (!provider().host_api()->cancelled(query->load)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        return nullptr;
      };
    if (is("claim_outside"))
      api.query = [](tenon_device*, const tenon_query*, tenon_query_sink* sink) -> tenon_status* {
        const std::uint32_t nodes[] = {0, 123456};
        tenon_claim claim{};
        claim.struct_size = sizeof claim;
        claim.nodes = nodes, claim.node_count = 2;
        provider().host_api()->claim(sink, &claim);
        provider().host_api()->reject(sink, 99999, TENON_REJECT_OP, str("nowhere"));
        return nullptr;
      };
    if (is("silent_query")) api.query = [](tenon_device*, const tenon_query*, tenon_query_sink*) -> tenon_status* { return nullptr; };
    if (is("null_program")) api.compile = [](tenon_device*, const tenon_part*, const tenon_compile_options*, tenon_program**) -> tenon_status* { return nullptr; };
    if (is("refuse_compile"))
      api.compile = [](tenon_device*, const tenon_part*, const tenon_compile_options*, tenon_program**) -> tenon_status* {
        return provider().host_api()->status_new(provider().host(), TENON_UNSUPPORTED_SUBGRAPH, 0, str("not this one"));
      };
    if (is("operand_outside"))
      api.program_plan = [](tenon_program*, const tenon_plan_args*, tenon_plan_sink* sink, tenon_plan** out) -> tenon_status* {
        const std::uint32_t far = 1000;
        tenon_step step{};
        step.struct_size = sizeof step;
        step.reads = &far, step.read_count = 1;
        provider().host_api()->step(sink, &step);
        *out = nullptr;
        return nullptr;
      };
    if (is("stages_fall"))
      api.program_plan = [](tenon_program*, const tenon_plan_args*, tenon_plan_sink* sink, tenon_plan** out) -> tenon_status* {
        tenon_step step{};
        step.struct_size = sizeof step;
        step.stage = 2;
        provider().host_api()->step(sink, &step);
        step.stage = 1;
        provider().host_api()->step(sink, &step);
        *out = nullptr;
        return nullptr;
      };
    if (is("plan_destroy_missing"))
      api.program_plan = [](tenon_program*, const tenon_plan_args*, tenon_plan_sink*, tenon_plan**) -> tenon_status* { return nullptr; };
    return k;
  }();
  return *made;
}

}  // namespace

#ifndef HOSTILE_NO_SYMBOL
TENON_EXPORT const tenon_provider_desc* tenon_provider_query(const tenon_query_args* args) {
  if (is("refuse_host")) return tenon_refuse(args, "only on Sundays"), nullptr;
  const tenon_provider_desc* good = provider().describe(args);
  static tenon_provider_desc desc;
  static tenon_provider_api api;
  desc = *good;
  api = *good->api;
  if (is("wrong_major")) desc.abi_major = TENON_ABI_MAJOR + 1;
  if (is("wrong_hash")) desc.header_hash ^= 1;
  if (is("wrong_sanitizer")) desc.sanitizer = 9;
  if (is("wrong_id")) desc.id = str("somebody_else");
  if (is("unknown_feature")) desc.features_required = std::uint64_t{1} << 60;
  if (is("short_struct")) desc.struct_size = 12;
  if (is("short_table")) api.struct_size = 40;
  if (is("missing_function")) api.execute = nullptr;
  if (is("plan_destroy_missing")) api.plan_destroy = nullptr;
  if (is("no_table")) desc.api = nullptr;
  else desc.api = &api;
  return &desc;
}
#endif
