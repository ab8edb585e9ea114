// How the hostile provider goes wrong when it compiles, plans and runs.
#include <atomic>
#include <cfenv>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

#include "hostile.h"

namespace hostile {
namespace {

const tenon_host_api& host() { return *provider().host_api(); }

template <class Fn>
tenon_status* emit(tenon_plan_sink* sink, tenon_plan** out, Fn change) {
  tenon_step step{};
  step.struct_size = sizeof step;
  change(step, sink);
  host().step(sink, &step);
  *out = nullptr;
  return nullptr;
}
template <class Fn>
tenon_status* emit_temp(tenon_plan_sink* sink, tenon_plan** out, Fn change) {
  tenon_temp temp{};
  temp.struct_size = sizeof temp;
  temp.bytes = 64, temp.alignment = 64;
  change(temp);
  host().temp(sink, &temp);
  return emit(sink, out, [](tenon_step&, tenon_plan_sink*) {});
}

}  // namespace

void misbehave_in_kernel() {
  static std::atomic<int> calls{0};
  if (is("throw_in_kernel")) throw std::runtime_error("boom in a kernel");
  if (is("fail_in_kernel")) raise(TENON_INVALID_ARGUMENT, "this kernel does not like its data");
  if (is("fail_once") && calls++ == 0) raise(TENON_INTERNAL, "only this time");
  if (is("slow_kernel")) std::this_thread::sleep_for(std::chrono::milliseconds(300));
  if (is("changes_rounding")) std::fesetround(FE_UPWARD);
  if (is("leaves_a_thread")) std::thread([] { std::this_thread::sleep_for(std::chrono::hours(1)); }).detach();
}

void spoil_program(tenon_provider_api& api) {
  using Device = tenon_device;
  if (is("null_program")) api.compile = [](Device*, const tenon_part*, const tenon_compile_options*, tenon_program**) -> tenon_status* { return nullptr; };
  if (is("throw_in_compile"))
    api.compile = [](Device*, const tenon_part*, const tenon_compile_options*, tenon_program**) -> tenon_status* { throw std::runtime_error("boom in compile"); };
  if (is("fail_in_compile") || is("claims_everything"))
    api.compile = [](Device*, const tenon_part*, const tenon_compile_options*, tenon_program**) -> tenon_status* { return failure(TENON_INTERNAL, "the code generator fell over"); };
  if (is("refuse_compile"))
    api.compile = [](Device*, const tenon_part*, const tenon_compile_options*, tenon_program**) -> tenon_status* { return failure(TENON_UNSUPPORTED_SUBGRAPH, "not this one"); };
  if (is("unknown_code"))
    api.compile = [](Device*, const tenon_part*, const tenon_compile_options*, tenon_program**) -> tenon_status* { return failure(987654, "a code of its own"); };

  using Plan = tenon_status* (*)(tenon_program*, const tenon_plan_args*, tenon_plan_sink*, tenon_plan**);
  const auto plan = [&](Plan fn) { api.program_plan = fn; };
  if (is("throw_in_plan")) plan([](tenon_program*, const tenon_plan_args*, tenon_plan_sink*, tenon_plan**) -> tenon_status* { throw std::runtime_error("boom in plan"); });
  if (is("refuse_shapes"))
    plan([](tenon_program*, const tenon_plan_args*, tenon_plan_sink*, tenon_plan**) -> tenon_status* { return failure(TENON_UNSUPPORTED_SHAPE, "no sizes please"); });
  if (is("operand_outside"))
    plan([](tenon_program*, const tenon_plan_args*, tenon_plan_sink* sink, tenon_plan** out) {
      static const std::uint32_t far = 1000;
      return emit(sink, out, [](tenon_step& s, tenon_plan_sink*) { s.reads = &far, s.read_count = 1; });
    });
  if (is("stages_fall"))
    plan([](tenon_program*, const tenon_plan_args*, tenon_plan_sink* sink, tenon_plan** out) {
      return emit(sink, out, [](tenon_step& s, tenon_plan_sink* to) {
        s.stage = 2;
        host().step(to, &s);
        s.stage = 1;
      });
    });
  if (is("step_unknown_flag"))
    plan([](tenon_program*, const tenon_plan_args*, tenon_plan_sink* sink, tenon_plan** out) {
      return emit(sink, out, [](tenon_step& s, tenon_plan_sink*) { s.flags = std::uint64_t{1} << 30; });
    });
  if (is("temp_in_no_domain"))
    plan([](tenon_program*, const tenon_plan_args*, tenon_plan_sink* sink, tenon_plan** out) { return emit_temp(sink, out, [](tenon_temp& t) { t.domain = 9; }); });
  if (is("temp_crooked"))
    plan([](tenon_program*, const tenon_plan_args*, tenon_plan_sink* sink, tenon_plan** out) { return emit_temp(sink, out, [](tenon_temp& t) { t.alignment = 3; }); });
  if (is("temp_of_all_memory"))
    plan([](tenon_program*, const tenon_plan_args*, tenon_plan_sink* sink, tenon_plan** out) { return emit_temp(sink, out, [](tenon_temp& t) { t.bytes = ~std::uint64_t{0} - 5; }); });
  if (is("plan_destroy_missing")) plan([](tenon_program*, const tenon_plan_args*, tenon_plan_sink*, tenon_plan**) -> tenon_status* { return nullptr; });

  // Past the guard that provider.hpp puts around kernels.
  if (is("throw_in_execute"))
    api.execute = [](tenon_program*, const tenon_execute_args*) -> tenon_status* { throw std::runtime_error("boom in execute"); };
  if (is("throw_in_parallel_for"))
    api.execute = [](tenon_program*, const tenon_execute_args* args) -> tenon_status* {
      host().parallel_for(args->run, 64, 1, [](void*, std::uint64_t, std::uint64_t, std::uint32_t) { throw std::runtime_error("boom in a worker"); }, nullptr);
      return nullptr;
    };
  if (is("alloc_at_will"))
    api.execute = [](tenon_program*, const tenon_execute_args* args) -> tenon_status* {
      const std::int64_t dims[] = {-3, std::int64_t{1} << 62};
      tenon_address out{};
      if (tenon_status* s = host().alloc_output(args->run, 77, 2, dims, &out)) return s;
      return nullptr;
    };
}

void add_bindings(tenon_provider_api& api) {
  using Addresses = std::vector<tenon_address>;
  static tenon_status* (*execute)(tenon_program*, const tenon_execute_args*);
  execute = api.execute;
  api.plan_bind = [](tenon_plan*, const tenon_address* addresses, std::uint64_t count, tenon_stream*, tenon_binding** out) -> tenon_status* {
    *out = reinterpret_cast<tenon_binding*>(new Addresses(addresses, addresses + count));
    return nullptr;
  };
  api.binding_update = [](tenon_binding* binding, const std::uint32_t* changed, const tenon_address* addresses, std::uint64_t count) -> tenon_status* {
    for (std::uint64_t i = 0; i < count; ++i) (*reinterpret_cast<Addresses*>(binding))[changed[i]] = addresses[i];
    return nullptr;
  };
  api.binding_destroy = [](tenon_binding* binding) { delete reinterpret_cast<Addresses*>(binding); };
  api.execute = [](tenon_program* program, const tenon_execute_args* args) {
    tenon_execute_args bound = *args;
    const auto& addresses = *reinterpret_cast<const Addresses*>(args->binding);
    bound.addresses = addresses.data(), bound.address_count = addresses.size();
    return execute(program, &bound);
  };
}

}  // namespace hostile
