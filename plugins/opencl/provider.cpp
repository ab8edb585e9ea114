// The provider's table of functions: handles in, statuses out. What the functions do is elsewhere.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>

#include <tenon/provider.h>

#include "plugins/opencl/device/speeds.h"
#include "plugins/opencl/plan.h"
#include "plugins/opencl/program.h"
#include "plugins/opencl/provider_info.h"
#include "plugins/opencl/query.h"
#include "plugins/opencl/tuner.h"

struct tenon_provider {
  tenon::opencl::Host host;
  std::shared_ptr<const tenon::opencl::Api> api;
  tenon::opencl::DeviceOptions options;
  std::vector<tenon::opencl::Candidate> candidates;
  std::vector<std::unique_ptr<tenon::opencl::DeviceInfo>> described;
  std::vector<tenon_device_info> infos;
};
struct tenon_device {
  tenon_provider* provider;
  std::shared_ptr<tenon::opencl::Device> device;
};
struct tenon_program {
  std::shared_ptr<tenon::opencl::Program> program;
};
struct tenon_plan {
  std::unique_ptr<tenon::opencl::Plan> plan;
};
struct tenon_binding {
  std::unique_ptr<tenon::opencl::Binding> binding;
  int runs = 0;
};
struct tenon_stream {
  std::shared_ptr<tenon::opencl::Device> device;
  tenon::opencl::QueueHandle queue;
};
struct tenon_event {
  std::shared_ptr<tenon::opencl::Device> device;
  cl_event event = nullptr;
};
// A cl_mem is its own handle.
struct tenon_buffer;

namespace tenon::opencl {
namespace {

tenon_status* create(const tenon_host_api* api, tenon_host* context, const tenon_config* config, tenon_provider** out) {
  const Host host{api, context};
  return guarded(host, [&] {
    auto p = std::make_unique<tenon_provider>();
    p->host = host;
    p->options = device_options(host, config);
    p->api = load_api(host.text_or(config, "/library", ""));
    const Candidates all = enumerate_devices(*p->api);
    for (const std::string& t : all.troubles) host.log(TENON_LOG_WARN, "opencl: " + t);
    p->candidates = select(all, p->options.device);
    for (const Candidate& c : p->candidates) p->described.push_back(std::make_unique<DeviceInfo>(c, p->options));
    for (const auto& d : p->described) p->infos.push_back(d->info);
    *out = p.release();
  });
}
void destroy(tenon_provider* provider) { delete provider; }

tenon_status* enumerate(tenon_provider* provider, tenon_span* out) {
  *out = {provider->infos.data(), provider->infos.size(), sizeof(tenon_device_info), 0};
  return nullptr;
}

tenon_status* device_open(tenon_provider* provider, std::uint64_t index, tenon_device** out) {
  return guarded(provider->host, [&] {
    if (index >= provider->candidates.size()) throw Failure{TENON_OUT_OF_RANGE, "there are " + std::to_string(provider->candidates.size()) + " OpenCL devices"};
    auto made = std::make_unique<tenon_device>();
    made->provider = provider;
    made->device = std::make_shared<Device>(provider->host, provider->api, provider->candidates[index], provider->options);
    if (!made->device->host_memory) measure_copies(*made->device, *made->device->tuning);
    *out = made.release();
  });
}
void device_close(tenon_device* device) { delete device; }

tenon_status* fingerprint(tenon_device* device, char* text, std::uint64_t capacity, std::uint64_t* out_length) {
  const std::string all = "opencl " + device->device->profile.identity();
  std::memcpy(text, all.data(), std::min<std::uint64_t>(capacity, all.size()));
  *out_length = all.size();
  return nullptr;
}

// ---- memory, streams, events ----

tenon_status* buffer_alloc(tenon_device* device, std::uint32_t, std::uint64_t bytes, std::uint64_t, tenon_buffer** out) {
  return guarded(device->device->host, [&] {
    cl_mem made = device->device->allocate(bytes).release();
    *out = reinterpret_cast<tenon_buffer*>(made);
  });
}
void buffer_free(tenon_device* device, tenon_buffer* buffer) { device->device->api->clReleaseMemObject(reinterpret_cast<cl_mem>(buffer)); }
void* buffer_handle(tenon_device*, tenon_buffer* buffer) { return buffer; }

tenon_status* copy(tenon_device* device, std::uint32_t route, tenon_stream* stream, const tenon_address* dst, const tenon_address* src, std::uint64_t bytes) {
  const Device& d = *device->device;
  return guarded(d.host, [&] {
    std::unique_lock<std::mutex> lock;
    if (!stream) lock = std::unique_lock(d.own_queue_lock());
    cl_command_queue queue = stream ? stream->queue.get() : d.own_queue();
    const cl_bool blocking = stream ? CL_FALSE : CL_TRUE;
    if (route == 0)
      check(d.api->clEnqueueWriteBuffer(queue, static_cast<cl_mem>(dst->handle), blocking, dst->offset, bytes, static_cast<char*>(src->handle) + src->offset, 0, nullptr, nullptr), "a copy to the device");
    else
      check(d.api->clEnqueueReadBuffer(queue, static_cast<cl_mem>(src->handle), blocking, src->offset, bytes, static_cast<char*>(dst->handle) + dst->offset, 0, nullptr, nullptr), "a copy from the device");
  });
}

tenon_status* stream_create(tenon_device* device, void*, tenon_stream** out) {
  return guarded(device->device->host, [&] { *out = new tenon_stream{device->device, device->device->make_queue()}; });
}
void stream_destroy(tenon_stream* stream) { delete stream; }
void* stream_native(tenon_stream* stream) { return stream->queue.get(); }
tenon_status* stream_sync(tenon_stream* stream) {
  return guarded(stream->device->host, [&] { check(stream->device->api->clFinish(stream->queue.get()), "waiting for " + stream->device->profile.name); });
}
tenon_status* event_create(tenon_device* device, std::uint64_t, tenon_event** out) {
  return guarded(device->device->host, [&] { *out = new tenon_event{device->device, nullptr}; });
}
void event_destroy(tenon_event* event) {
  if (event->event) event->device->api->clReleaseEvent(event->event);
  delete event;
}
tenon_status* event_record(tenon_event* event, tenon_stream* stream) {
  const Api& api = *event->device->api;
  return guarded(event->device->host, [&] {
    cl_event made = nullptr;
    check(api.clEnqueueMarkerWithWaitList(stream->queue.get(), 0, nullptr, &made), "an event");
    if (event->event) api.clReleaseEvent(event->event);
    event->event = made;
    check(api.clFlush(stream->queue.get()), "an event");  // another queue may wait for it
  });
}
tenon_status* event_wait(tenon_event* event, tenon_stream* stream) {
  return guarded(event->device->host, [&] {
    if (event->event) check(event->device->api->clEnqueueBarrierWithWaitList(stream->queue.get(), 1, &event->event, nullptr), "waiting for an event");
  });
}
tenon_status* event_host_wait(tenon_event* event, std::uint64_t) {
  return guarded(event->device->host, [&] {
    if (event->event) check(event->device->api->clWaitForEvents(1, &event->event), "waiting for an event");
  });
}

// ---- programs ----

tenon_status* query(tenon_device* device, const tenon_query* query, tenon_query_sink* sink) {
  return guarded(device->device->host, [&] {
    if (device_options(device->device->host, query->options) != device->provider->options)
      throw Failure{TENON_FAILED_PRECONDITION, "another session of this process has opened the provider with other options; options of the device are the process's: close that "
                                               "session first, or give all sessions the same"};
    answer_query(*device->device, *query, sink);
  });
}

tenon_status* compile(tenon_device* device, const tenon_part* part, const tenon_compile_options* options, tenon_program** out) {
  return guarded(device->device->host, [&] {
    auto made = std::make_unique<tenon_program>();
    made->program = Program::compile(device->device, device, *part, options->load);
    *out = made.release();
  });
}
void program_destroy(tenon_program* program) { delete program; }

tenon_status* program_plan(tenon_program* program, const tenon_plan_args* args, tenon_plan_sink* sink, tenon_plan** out) {
  return guarded(program->program->device->host, [&] {
    auto made = std::make_unique<tenon_plan>();
    made->plan = Plan::make(program->program, *args, sink);
    *out = made.release();
  });
}
void plan_destroy(tenon_plan* plan) { delete plan; }

tenon_status* plan_bind(tenon_plan* plan, const tenon_address* addresses, std::uint64_t count, tenon_stream*, tenon_binding** out) {
  return guarded(plan->plan->program->device->host, [&] {
    auto made = std::make_unique<tenon_binding>();
    made->binding = std::make_unique<Binding>(*plan->plan, addresses, count);
    *out = made.release();
  });
}
tenon_status* binding_update(tenon_binding* binding, const std::uint32_t* changed, const tenon_address* addresses, std::uint64_t count) {
  return guarded(binding->binding->plan.program->device->host, [&] { binding->binding->update(changed, addresses, count); });
}
void binding_destroy(tenon_binding* binding) { delete binding; }

tenon_status* execute(tenon_program* program, const tenon_execute_args* args) {
  const Device& d = *program->program->device;
  return guarded(d.host, [&] {
    tenon_binding& binding = *args->binding;
    const Plan& plan = binding.binding->plan;
    // The first run ends with kernels that can be stored, the second may measure others.
    const bool last = args->first_step + args->step_count == plan.launches.size();
    const bool first = last && binding.runs == 0, tunes = last && binding.runs == 1 && plan.input;
    if (last && binding.runs < 2) ++binding.runs;
    if (args->stream && !first && !tunes) return binding.binding->enqueue(args->stream->queue.get(), args->first_step, args->step_count);
    std::unique_lock<std::mutex> lock;
    if (!args->stream) lock = std::unique_lock(d.own_queue_lock());
    cl_command_queue queue = args->stream ? args->stream->queue.get() : d.own_queue();
    try {
      binding.binding->enqueue(queue, args->first_step, args->step_count);
    } catch (...) {
      d.api->clFinish(queue);  // what went in before must not run on memory that the caller takes back
      throw;
    }
    check(d.api->clFinish(queue), "waiting for " + d.profile.name);
    if (first) d.kernels->ran(plan.programs);
    if (tunes) d.host.log(TENON_LOG_INFO, "opencl: measured " + std::to_string(tune(plan)) + " choices of kernels");
  });
}

const tenon_provider_api& table() {
  static const tenon_provider_api api = [] {
    tenon_provider_api a{};
    a.struct_size = sizeof a;
    a.abi_major = TENON_ABI_MAJOR;
    a.abi_minor = TENON_ABI_MINOR;
    a.create = create;
    a.destroy = destroy;
    a.enumerate = enumerate;
    a.device_open = device_open;
    a.device_close = device_close;
    a.fingerprint = fingerprint;
    a.buffer_alloc = buffer_alloc;
    a.buffer_free = buffer_free;
    a.buffer_handle = buffer_handle;
    a.copy = copy;
    a.stream_create = stream_create;
    a.stream_destroy = stream_destroy;
    a.stream_native = stream_native;
    a.stream_sync = stream_sync;
    a.event_create = event_create;
    a.event_destroy = event_destroy;
    a.event_record = event_record;
    a.event_wait = event_wait;
    a.event_host_wait = event_host_wait;
    a.query = query;
    a.compile = compile;
    a.program_destroy = program_destroy;
    a.program_plan = program_plan;
    a.plan_destroy = plan_destroy;
    a.plan_bind = plan_bind;
    a.binding_update = binding_update;
    a.binding_destroy = binding_destroy;
    a.execute = execute;
    return a;
  }();
  return api;
}

}  // namespace
}  // namespace tenon::opencl

const tenon_provider_desc* tenon_provider_query(const tenon_query_args* args) {
  const std::int32_t minor = tenon_negotiate(args);
  if (minor < 0) return nullptr;
  using tenon::opencl::str;
  static const tenon_opset opsets[] = {{sizeof(tenon_opset), 28, str("")}, {sizeof(tenon_opset), 1, str("com.microsoft")}};
  static tenon_provider_desc desc = [] {
    tenon_provider_desc d{};
    d.struct_size = sizeof d;
    d.abi_major = TENON_ABI_MAJOR;
    d.sanitizer = TENON_SANITIZER;
    d.header_hash = TENON_ABI_HEADER_HASH;
    d.id = str("opencl");
    d.version = str(TENON_OPENCL_VERSION);
    d.build_id = str(TENON_OPENCL_VERSION);
    d.opsets = {opsets, std::size(opsets), sizeof(tenon_opset), 0};
    d.api = &tenon::opencl::table();
    return d;
  }();
  desc.abi_minor = static_cast<std::uint32_t>(minor);
  return &desc;
}
