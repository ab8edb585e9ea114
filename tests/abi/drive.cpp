#include "tests/abi/drive.h"

#include <cstdlib>

namespace tenon::abi_test {
namespace {

// A provider's table as a host keeps it: of this host's length, zeros where the provider's ends.
tenon_provider_api full(const tenon_provider_api& api) {
  tenon_provider_api out{};
  std::memcpy(&out, &api, api.struct_size < sizeof out ? api.struct_size : sizeof out);
  return out;
}

struct Driver {
  explicit Driver(const tenon_provider_desc& desc) : api(full(*desc.api)) {}
  ~Driver() {
    if (binding) api.binding_destroy(binding);
    if (plan) api.plan_destroy(plan);
    if (program) api.program_destroy(program);
    if (device) api.device_close(device);
    if (provider) api.destroy(provider);
  }

  bool failed(tenon_status* status, const char* where) {
    if (!status) return false;
    out.failure = std::string(where) + ": " + status->text;
    host_table()->status_free(status);
    return true;
  }
  bool fails(std::string why) {
    out.failure = std::move(why);
    return false;
  }

  bool open() {
    tenon_span devices{};
    if (failed(api.create(host_table().get(), nullptr, nullptr, &provider), "create") || failed(api.enumerate(provider, &devices), "enumerate")) return false;
    if (devices.count == 0) return fails("no device");
    tenon_device_info info{};
    const auto* raw = static_cast<const tenon_device_info*>(devices.data);
    std::memcpy(&info, raw, raw->struct_size < sizeof info ? raw->struct_size : sizeof info);
    if (text(static_cast<const tenon_domain*>(info.domains.data)->uid) != "host") return fails("its memory is not the host's");
    return !failed(api.device_open(provider, 0, &device), "device_open") && name();
  }
  // A fingerprint is cut at the capacity and its length is told.
  bool name() {
    if (!api.fingerprint) return true;
    Guarded room(4);
    std::uint64_t length = 0;
    if (failed(api.fingerprint(device, static_cast<char*>(room.data()), 4, &length), "fingerprint")) return false;
    return length > 0 || fails("an empty fingerprint");
  }
  bool ask() {
    tenon_query_sink sink;
    Boxed<tenon_query> query;
    query->max_workers = 1;
    query->graph = relu.graph.get();
    query->load = &load;
    if (failed(api.query(device, query.get(), &sink), "query")) return false;
    if (sink.claims.empty()) return fails(sink.refusals.count(0) ? "refused: " + sink.refusals[0].second : "not answered");
    token = sink.claims[0].token;
    return sink.claims[0].struct_size >= offsetof(tenon_claim, rules) || fails("a claim without a size");
  }
  bool make() {
    Boxed<tenon_chosen> chosen;
    Boxed<tenon_part> part;
    Boxed<tenon_compile_options> options;
    chosen->nodes = &zero;
    chosen->node_count = 1;
    chosen->token = token;
    part->graph = relu.graph.get();
    part->claims = chosen.span();
    part->inputs = &relu.x;
    part->outputs = &relu.y;
    part->input_count = part->output_count = 1;
    options->max_workers = 1;
    options->part_key = str("relu of six");
    options->load = &load;
    return !failed(api.compile(device, part.get(), options.get(), &program), "compile");
  }
  bool run() {
    Boxed<tenon_plan_value> values(2);
    for (std::uint32_t v = 0; v < 2; ++v) {
      values[v].rank = 1;
      values[v].dtype = TENON_DTYPE_FLOAT;
      values[v].dims = values[v].dims_max = relu.dims;
    }
    Boxed<tenon_plan_args> args;
    args->max_workers = 1;
    args->values = values.span();
    args->ranges.stride = sizeof(tenon_symbol_range);
    args->load = &load;
    tenon_plan_sink sink;
    if (api.program_plan && failed(api.program_plan(program, args.get(), &sink, &plan), "program_plan")) return false;
    float x[6] = {-1, 2, -3, 4, -5, 6};
    out.y.assign(6, -1);
    std::vector<tenon_address> addresses = {{x, 0, sizeof x}, {out.y.data(), 0, sizeof x}};
    std::vector<std::unique_ptr<void, decltype(&std::free)>> temps;
    for (const tenon_temp& t : sink.temps) {
      temps.emplace_back(std::aligned_alloc(64, (t.bytes + 64) / 64 * 64), &std::free);
      addresses.push_back({temps.back().get(), 0, t.bytes});
    }
    if (api.plan_bind && failed(api.plan_bind(plan, addresses.data(), addresses.size(), nullptr, &binding), "plan_bind")) return false;
    Boxed<tenon_execute_args> execute;
    execute->worker_count = 1;
    execute->plan = plan;
    execute->binding = binding;
    execute->addresses = binding ? nullptr : addresses.data();
    execute->address_count = binding ? 0 : addresses.size();
    execute->step_count = api.program_plan ? sink.steps.size() : 1;
    execute->run = &work;
    if (failed(api.execute(program, execute.get()), "execute")) return false;
    return work.code == TENON_OK || fails("execute: " + work.text);
  }

  const tenon_provider_api api;
  ReluGraph relu;
  Driven out;
  tenon_task load, work;
  std::uint64_t token = 0;
  const std::uint32_t zero = 0;
  tenon_provider* provider = nullptr;
  tenon_device* device = nullptr;
  tenon_program* program = nullptr;
  tenon_plan* plan = nullptr;
  tenon_binding* binding = nullptr;
};

}  // namespace

Driven drive(const tenon_provider_desc& desc) {
  Driver d(desc);
  if (!(d.open() && d.ask() && d.make() && d.run())) d.out.y.clear();
  return d.out;
}

}  // namespace tenon::abi_test
