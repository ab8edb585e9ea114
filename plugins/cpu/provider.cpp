// The provider's table of functions: handles in, statuses out. What the functions do is elsewhere.
#include <algorithm>
#include <cstring>
#include <memory>

#include <tenon/provider.h>
#include <tenon/resize.h>

#include "plugins/cpu/device.h"
#include "plugins/cpu/plan.h"
#include "plugins/cpu/program.h"
#include "plugins/cpu/query.h"

struct tenon_provider {
  explicit tenon_provider(const tenon::cpu::Host& h) : host(h) {}
  tenon::cpu::Host host;
  tenon::cpu::Device device;
};
// The handle of the only device.
struct tenon_device {
  tenon_provider* provider;
};
struct tenon_program {
  std::unique_ptr<tenon::cpu::Program> program;
};
struct tenon_plan {
  std::unique_ptr<tenon::cpu::Plan> plan;
};

namespace tenon::cpu {
namespace {

tenon_status* create(const tenon_host_api* api, tenon_host* host, const tenon_config*, tenon_provider** out) {
  return guarded({api, host}, [&] { *out = new tenon_provider({api, host}); });
}
void destroy(tenon_provider* provider) { delete provider; }

tenon_status* enumerate(tenon_provider* provider, tenon_span* out) {
  *out = {&provider->device.info, 1, sizeof(tenon_device_info), 0};
  return nullptr;
}

tenon_status* device_open(tenon_provider* provider, std::uint64_t index, tenon_device** out) {
  return guarded(provider->host, [&] {
    if (index != 0) throw Failure{TENON_OUT_OF_RANGE, "the CPU provider has one device, number 0"};
    *out = new tenon_device{provider};
  });
}
void device_close(tenon_device* device) { delete device; }

tenon_status* fingerprint(tenon_device* device, char* text, std::uint64_t capacity, std::uint64_t* out_length) {
  const std::string& all = device->provider->device.fingerprint;
  std::memcpy(text, all.data(), std::min<std::uint64_t>(capacity, all.size()));
  *out_length = all.size();
  return nullptr;
}

Options session_options(const tenon_device* device, const tenon_config* config, std::uint32_t max_workers) {
  const tenon_provider& p = *device->provider;
  Options o;
  o.plain = p.host.bool_or(config, "/plain", false);
  o.isa = o.plain ? Isa::plain : p.device.isa;
  o.max_workers = std::max(max_workers, 1u);
  const std::string precision = p.host.text_or(config, "/precision", "high");
  o.precision = precision == "highest" ? Precision::highest : precision == "medium" ? Precision::medium : Precision::high;
  return o;
}

tenon_status* query(tenon_device* device, const tenon_query* query, tenon_query_sink* sink) {
  return guarded(device->provider->host, [&] { answer_query(device->provider->host, *query, sink); });
}

tenon_status* compile(tenon_device* device, const tenon_part* part, const tenon_compile_options* options, tenon_program** out) {
  const Host& host = device->provider->host;
  return guarded(host, [&] {
    auto made = std::make_unique<tenon_program>();
    const Tuning tuning{host.bool_or(options->options, "/tune", false), -1};
    made->program = Program::compile(host, session_options(device, options->options, options->max_workers), *part, options->load, find_row, tuning);
    *out = made.release();
  });
}
void program_destroy(tenon_program* program) { delete program; }

tenon_status* program_plan(tenon_program* program, const tenon_plan_args* args, tenon_plan_sink* sink, tenon_plan** out) {
  return guarded(program->program->host, [&] {
    auto made = std::make_unique<tenon_plan>();
    made->plan = Plan::make(*program->program, *args, sink);
    *out = made.release();
  });
}
void plan_destroy(tenon_plan* plan) { delete plan; }

tenon_status* execute(tenon_program* program, const tenon_execute_args* args) {
  args->plan->plan->execute(program->program->host, *args);
  return nullptr;
}

tenon_status* plan_resize(tenon_program* program, tenon_plan* plan, const tenon_resize_args* args) {
  return guarded(program->program->host, [&] { plan->plan->resize(*args); });
}

const void* get_extension(tenon_provider*, tenon_str name, std::uint32_t version) {
  static const tenon_resize_extension resize{sizeof(tenon_resize_extension), 0, plan_resize};
  return view(name) == "tenon.resize" && version == 1 ? &resize : nullptr;
}

const tenon_provider_api& table() {
  static const tenon_provider_api api = [] {
    tenon_provider_api a{};
    a.struct_size = sizeof a;
    a.abi_major = TENON_ABI_MAJOR;
    a.abi_minor = TENON_ABI_MINOR;
    a.features = TENON_FEATURE_CONCURRENT_COMPILE;
    a.create = create;
    a.destroy = destroy;
    a.enumerate = enumerate;
    a.get_extension = get_extension;
    a.device_open = device_open;
    a.device_close = device_close;
    a.fingerprint = fingerprint;
    a.query = query;
    a.compile = compile;
    a.program_destroy = program_destroy;
    a.program_plan = program_plan;
    a.plan_destroy = plan_destroy;
    a.execute = execute;
    return a;
  }();
  return api;
}

}  // namespace
}  // namespace tenon::cpu

const tenon_provider_desc* tenon_provider_query(const tenon_query_args* args) {
  const std::int32_t minor = tenon_negotiate(args);
  if (minor < 0) return nullptr;
  using tenon::plugin::str;
  static const tenon_opset opsets[] = {
      {sizeof(tenon_opset), 28, str("")}, {sizeof(tenon_opset), 5, str("ai.onnx.ml")}, {sizeof(tenon_opset), 1, str("com.microsoft")},
      {sizeof(tenon_opset), 1, str("ai.onnx.preview.training")}};
  static tenon_provider_desc desc = [] {
    tenon_provider_desc d{};
    d.struct_size = sizeof d;
    d.abi_major = TENON_ABI_MAJOR;
    d.sanitizer = TENON_SANITIZER;
    d.header_hash = TENON_ABI_HEADER_HASH;
    d.id = str("cpu");
    d.version = str(TENON_CPU_VERSION);
    d.build_id = str(TENON_CPU_VERSION);
    d.opsets = {opsets, std::size(opsets), sizeof(tenon_opset), 0};
    d.api = &tenon::cpu::table();
    return d;
  }();
  desc.abi_minor = static_cast<std::uint32_t>(minor);
  return &desc;
}
