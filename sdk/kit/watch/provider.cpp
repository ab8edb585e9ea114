// The provider's table with the watch in it, and the entry of the library.
#include <cstring>
#include <dlfcn.h>

#include "sdk/kit/watch/watch.h"

namespace tenon::kit {

Watch& watch() {
  static Watch* made = new Watch;  // the target may call at exit
  return *made;
}

namespace {

const tenon_provider_api& target() { return *watch().api; }

// A call with an out-parameter: a failure must leave it, a success must set it where null is no answer.
template <class T, class Call>
tenon_status* made(const char* function, std::atomic<std::int64_t>& alive, T** out, bool may_be_null, Call&& call) {
  T* const untouched = reinterpret_cast<T*>(std::uintptr_t{0x5a5a5a5a});
  T* result = untouched;
  tenon_status* status = call(&result);
  if (status) {
    if (result != untouched) watch().broke(std::string(function) + " failed and wrote to its out-parameter");
    return status;
  }
  if (result == untouched) {
    if (!may_be_null) watch().broke(std::string(function) + " succeeded without writing to its out-parameter");
    result = nullptr;
  }
  if (result) ++alive;
  *out = result;
  return nullptr;
}

// Destroys one; what is alive of its children must be gone.
void gone(const char* function, std::atomic<std::int64_t>& alive) {
  if (--alive < 0) watch().broke(std::string(function) + " was called more often than its counterpart");
}

tenon_status* create(const tenon_host_api* api, tenon_host* host, const tenon_config* options, tenon_provider** out) {
  Watch& w = watch();
  return made("create", w.alive.providers, out, false, [&](tenon_provider** result) {
    tenon_status* status = target().create(&watched_host(*api), host, options, result);
    if (!status) w.provider = *result;
    return status;
  });
}
void destroy(tenon_provider* provider) {
  target().destroy(provider);
  watch().provider = nullptr;
  gone("destroy", watch().alive.providers);
}
// Which domains of this device are memory that the kit can write to.
void learn_domains(tenon_provider* provider, std::uint64_t index) {
  tenon_span devices{};
  if (tenon_status* status = target().enumerate(provider, &devices)) return real_host().status_free(status);
  watch().in_host_memory.clear();
  if (index >= devices.count) return;
  const auto& device = *reinterpret_cast<const tenon_device_info*>(static_cast<const char*>(devices.data) + index * devices.stride);
  for (std::uint64_t i = 0; i < device.domains.count; ++i) {
    const auto& domain =
        *reinterpret_cast<const tenon_domain*>(static_cast<const char*>(device.domains.data) + i * device.domains.stride);
    watch().in_host_memory.push_back(std::string_view(domain.uid.data, domain.uid.size) == "host");
  }
}
tenon_status* device_open(tenon_provider* provider, std::uint64_t index, tenon_device** out) {
  return made("device_open", watch().alive.devices, out, false, [&](tenon_device** result) {
    tenon_status* status = target().device_open(provider, index, result);
    if (!status) {
      watch().device = *result;
      learn_domains(provider, index);
    }
    return status;
  });
}
void device_close(tenon_device* device) {
  target().device_close(device);
  if (watch().device == device) watch().device = nullptr;
  gone("device_close", watch().alive.devices);
}
const void* get_extension(tenon_provider* provider, tenon_str name, std::uint32_t version) {
  // Guards are laid out by program_plan: a plan that changes its sizes would move them.
  if (watch().stepwise && std::string_view(name.data, name.size) == "tenon.resize") return nullptr;
  return target().get_extension(provider, name, version);
}

tenon_status* buffer_alloc(tenon_device* device, std::uint32_t domain, std::uint64_t bytes, std::uint64_t alignment,
                           tenon_buffer** out) {
  return made("buffer_alloc", watch().alive.buffers, out, false,
              [&](tenon_buffer** b) { return target().buffer_alloc(device, domain, bytes, alignment, b); });
}
void buffer_free(tenon_device* device, tenon_buffer* buffer) {
  target().buffer_free(device, buffer);
  gone("buffer_free", watch().alive.buffers);
}
tenon_status* stream_create(tenon_device* device, void* native, tenon_stream** out) {
  return made("stream_create", watch().alive.streams, out, false,
              [&](tenon_stream** s) { return target().stream_create(device, native, s); });
}
void stream_destroy(tenon_stream* stream) {
  target().stream_destroy(stream);
  gone("stream_destroy", watch().alive.streams);
}
tenon_status* event_create(tenon_device* device, std::uint64_t flags, tenon_event** out) {
  return made("event_create", watch().alive.events, out, false,
              [&](tenon_event** e) { return target().event_create(device, flags, e); });
}
void event_destroy(tenon_event* event) {
  target().event_destroy(event);
  gone("event_destroy", watch().alive.events);
}

tenon_status* compile(tenon_device* device, const tenon_part* part, const tenon_compile_options* options, tenon_program** out) {
  Watch& w = watch();
  return made("compile", w.alive.programs, out, false, [&](tenon_program** program) {
    tenon_status* status = target().compile(device, part, options, program);
    if (!status) {
      const std::lock_guard lock(w.mutex);
      w.borders[*program] = part->input_count + part->output_count;
    }
    return status;
  });
}
void program_destroy(tenon_program* program) {
  {
    const std::lock_guard lock(watch().mutex);
    watch().borders.erase(program);
  }
  target().program_destroy(program);
  gone("program_destroy", watch().alive.programs);
}

tenon_status* program_plan(tenon_program* program, const tenon_plan_args* args, tenon_plan_sink* sink, tenon_plan** out) {
  Watch& w = watch();
  PlanRecord record;
  {
    const std::lock_guard lock(w.mutex);
    record.border = w.borders[program];
  }
  set_planning(&record);
  tenon_status* status = made("program_plan", w.alive.plans, out, true,
                              [&](tenon_plan** plan) { return target().program_plan(program, args, sink, plan); });
  set_planning(nullptr);
  if (!status) {
    const std::lock_guard lock(w.mutex);
    w.plans[*out ? static_cast<const void*>(*out) : program] = std::move(record);
  }
  return status;
}
void plan_destroy(tenon_plan* plan) {
  {
    const std::lock_guard lock(watch().mutex);
    watch().plans.erase(plan);
  }
  target().plan_destroy(plan);
  gone("plan_destroy", watch().alive.plans);
}
tenon_status* plan_bind(tenon_plan* plan, const tenon_address* addresses, std::uint64_t count, tenon_stream* hint,
                        tenon_binding** out) {
  Watch& w = watch();
  return made("plan_bind", w.alive.bindings, out, false, [&](tenon_binding** binding) {
    tenon_status* status = target().plan_bind(plan, addresses, count, hint, binding);
    if (!status) {
      const std::lock_guard lock(w.mutex);
      w.bindings[*binding] = {plan, {addresses, addresses + count}};
    }
    return status;
  });
}
tenon_status* binding_update(tenon_binding* binding, const std::uint32_t* changed, const tenon_address* addresses,
                             std::uint64_t count) {
  {
    const std::lock_guard lock(watch().mutex);
    auto& known = watch().bindings[binding].second;
    for (std::uint64_t i = 0; i < count; ++i)
      if (changed[i] < known.size()) known[changed[i]] = addresses[i];
  }
  return target().binding_update(binding, changed, addresses, count);
}
void binding_destroy(tenon_binding* binding) {
  {
    const std::lock_guard lock(watch().mutex);
    watch().bindings.erase(binding);
  }
  target().binding_destroy(binding);
  gone("binding_destroy", watch().alive.bindings);
}

tenon_status* execute(tenon_program* program, const tenon_execute_args* args) {
  Watch& w = watch();
  ++w.executes;
  if (args->worker_count > 1) ++w.spmd_workers;
  working() = {args->worker_index, 0};
  return w.stepwise && args->worker_count == 1 ? execute_stepwise(program, *args) : target().execute(program, args);
}

}  // namespace

const tenon_provider_api& watched_provider(const tenon_provider_api& original) {
  // As much of the target's table as it says it has; what is newer than this file passes through unwatched.
  static tenon_provider_api target_copy{}, table;
  std::memcpy(static_cast<void*>(&target_copy), &original,
              original.struct_size < sizeof target_copy ? original.struct_size : sizeof target_copy);
  watch().api = &target_copy;
  table = target_copy;
  table.struct_size = sizeof table;
  const auto put = [](auto& slot, auto fn) {
    if (slot) slot = fn;
  };
  put(table.create, create), put(table.destroy, destroy), put(table.get_extension, get_extension);
  put(table.device_open, device_open), put(table.device_close, device_close);
  put(table.buffer_alloc, buffer_alloc), put(table.buffer_free, buffer_free);
  put(table.stream_create, stream_create), put(table.stream_destroy, stream_destroy);
  put(table.event_create, event_create), put(table.event_destroy, event_destroy);
  put(table.query, watched_query), put(table.compile, compile), put(table.program_destroy, program_destroy);
  put(table.program_plan, program_plan), put(table.plan_destroy, plan_destroy);
  put(table.plan_bind, plan_bind), put(table.binding_update, binding_update), put(table.binding_destroy, binding_destroy);
  put(table.execute, execute);
  return table;
}

}  // namespace tenon::kit

extern "C" TENON_EXPORT void* tenon_kit_watch_1() { return &tenon::kit::watch(); }

TENON_EXPORT const tenon_provider_desc* tenon_provider_query(const tenon_query_args* args) {
  using namespace tenon::kit;
  Watch& w = watch();
  if (w.target.empty()) return tenon_refuse(args, "this library watches another provider for `tenon plugin test`"), nullptr;
  void* library = dlopen(w.target.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) return tenon_refuse(args, dlerror()), nullptr;
  const auto query = reinterpret_cast<const tenon_provider_desc* (*)(const tenon_query_args*)>(dlsym(library, "tenon_provider_query"));
  if (!query) return tenon_refuse(args, "the library does not export tenon_provider_query"), nullptr;
  const tenon_provider_desc* original = query(args);
  if (!original) return nullptr;
  static tenon_provider_desc desc;
  std::memset(static_cast<void*>(&desc), 0, sizeof desc);
  std::memcpy(static_cast<void*>(&desc), original, original->struct_size < sizeof desc ? original->struct_size : sizeof desc);
  if (original->struct_size >= sizeof desc) desc.struct_size = sizeof desc;
  if (w.id.empty()) w.id = std::string(desc.id.data, desc.id.size);
  desc.id = {w.id.data(), w.id.size()};
  if (desc.api) desc.api = &watched_provider(*desc.api);
  return &desc;
}
