// A provider that records what it is told to run, as devices with graphs of their own do: Relu, Neg and Add on float32.
//
// A binding runs a range of steps itself at first, records it the second time and replays the record from then on, with the
// addresses that it had when it was recorded or that binding_update has put there since. An address that moves without
// being told is written no more. Extension "test.capturing" counts.
#include <algorithm>
#include <vector>

#include <tenon/provider.hpp>

#include "capturing.h"

namespace {

using namespace tenon::plugin;

capturing_counts counts{sizeof counts, 0, 0, 0, 0, 0, 0, 0};

struct Recorded {
  std::uint64_t first = 0, count = 0;
  std::uint32_t runs = 0;
  std::vector<tenon_address> addresses;  // empty: not recorded yet
};
struct Binding {
  std::vector<tenon_address> addresses;
  std::vector<Recorded> ranges;

  Recorded& range(std::uint64_t first, std::uint64_t count) {
    for (Recorded& r : ranges)
      if (r.first == first && r.count == count) return r;
    return ranges.emplace_back(Recorded{first, count, 0, {}});
  }
};

Kernel elementwise(const char* op, float (*fn)(const Call&, std::int64_t)) {
  return {"", op, [](const Node& node) -> std::optional<Refusal> {
            if (node.input(0)->dtype != TENON_DTYPE_FLOAT || node.input(0)->rank != 1) return Refusal{TENON_REJECT_DTYPE, "only float32 of rank 1"};
            return std::nullopt;
          }, nullptr, [fn](const Call& c) {
            for (std::int64_t i = 0; i < c.outputs[0].count(); ++i) c.outputs[0].as<float>()[i] = fn(c, i);
          }, 50};
}
float in(const Call& c, std::size_t input, std::int64_t i) { return c.inputs[input].as<const float>()[i]; }

Kernels& provider() {
  static auto* made = new Kernels("capturing", "1.0", {
      elementwise("Relu", [](const Call& c, std::int64_t i) { return std::max(0.0f, in(c, 0, i)); }),
      elementwise("Neg", [](const Call& c, std::int64_t i) { return -in(c, 0, i); }),
      elementwise("Add", [](const Call& c, std::int64_t i) { return in(c, 0, i) + in(c, 1, i); })});
  return *made;
}

decltype(tenon_provider_api::execute) run_steps;
decltype(tenon_provider_api::create) create_kernels;
const tenon_host_api* lent = nullptr;

tenon_status* execute(tenon_program* program, const tenon_execute_args* args) {
  const Host host{provider().host_api(), provider().host()};
  auto* binding = reinterpret_cast<Binding*>(args->binding);
  if (!binding || args->addresses || args->address_count) return host.status(TENON_INTERNAL, "execute has a binding and no addresses");
  ++counts.executed;
  counts.steps += static_cast<std::uint32_t>(args->step_count);
  Recorded& range = binding->range(args->first_step, args->step_count);
  if (++range.runs == 2) range.addresses = binding->addresses, ++counts.captured;
  if (range.runs > 2) ++counts.replayed;
  tenon_execute_args run = *args;
  run.addresses = range.runs > 1 ? range.addresses.data() : binding->addresses.data();
  run.address_count = binding->addresses.size();
  return run_steps(program, &run);
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
  run_steps = api.execute;
  api.execute = execute;
  create_kernels = api.create;
  api.create = [](const tenon_host_api* host, tenon_host* handle, const tenon_config* options, tenon_provider** out) {
    static tenon_host_api marked;
    lent = host;
    marked = *host;
    marked.step = [](tenon_plan_sink* sink, const tenon_step* step) {
      tenon_step capturable = *step;
      capturable.flags |= TENON_STEP_CAPTURABLE;
      lent->step(sink, &capturable);
    };
    return create_kernels(&marked, handle, options, out);
  };
  api.plan_bind = [](tenon_plan*, const tenon_address* addresses, std::uint64_t count, tenon_stream*, tenon_binding** out) -> tenon_status* {
    ++counts.bound;
    *out = reinterpret_cast<tenon_binding*>(new Binding{{addresses, addresses + count}, {}});
    return nullptr;
  };
  api.binding_update = [](tenon_binding* raw, const std::uint32_t* changed, const tenon_address* addresses, std::uint64_t count) -> tenon_status* {
    auto& binding = *reinterpret_cast<Binding*>(raw);
    ++counts.updates;
    counts.updated += static_cast<std::uint32_t>(count);
    for (std::uint64_t i = 0; i < count; ++i) {
      binding.addresses[changed[i]] = addresses[i];
      for (Recorded& r : binding.ranges)
        if (!r.addresses.empty()) r.addresses[changed[i]] = addresses[i];
    }
    return nullptr;
  };
  api.binding_destroy = [](tenon_binding* binding) { delete reinterpret_cast<Binding*>(binding); };
  api.get_extension = [](tenon_provider*, tenon_str name, std::uint32_t version) -> const void* {
    return view(name) == "test.capturing" && version == 1 ? &counts : nullptr;
  };
  return &desc;
}
