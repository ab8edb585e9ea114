#include "core/provider/host.h"

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <new>

#include "core/base/log.h"
#include "core/provider/loader.h"
#include "core/provider/options.h"

namespace tenon {
namespace {

// The status for "no memory to say so": never freed.
tenon_status* emergency_status() {
  static tenon_status status{TENON_RESOURCE_EXHAUSTED, 0, "no memory"};  // fits the small-string buffer
  return &status;
}

// No exception of ours leaves through the table.
template <class Fn>
tenon_status* guarded(Fn&& fn) noexcept {
  try {
    return fn().release();
  } catch (const std::bad_alloc&) {
    return new (std::nothrow) tenon_status{TENON_RESOURCE_EXHAUSTED, 0, "no memory"};
  } catch (const std::exception& e) {
    return internal("{}", e.what()).release();
  } catch (...) {
    return internal("an exception of an unknown kind").release();
  }
}
template <class Fn>
void silent(Fn&& fn) noexcept {
  try {
    fn();
  } catch (...) {
  }
}

// The same for what a provider gives to a sink: what could not be taken over is told.
template <class Sink, class Fn>
void taken(Sink* sink, const char* what, Fn&& fn) noexcept {
  try {
    fn();
  } catch (const std::exception& e) {
    silent([&] { sink->malformed(fmt::format("{} that could not be taken over: {}", what, e.what())); });
  } catch (...) {
    silent([&] { sink->malformed(fmt::format("{} that could not be taken over", what)); });
  }
}

tenon_status* status_new(tenon_host*, std::int32_t code, std::int64_t native_code, tenon_str text) {
  if (code == TENON_OK) return nullptr;
  try {
    return new tenon_status{code, native_code, std::string(view(text))};
  } catch (...) {
    if (auto* bare = new (std::nothrow) tenon_status) {
      bare->code = code;
      bare->native_code = native_code;
      return bare;
    }
    return emergency_status();
  }
}
void status_free(tenon_status* status) {
  if (status != emergency_status()) delete status;
}
std::int32_t status_code(const tenon_status* status) { return status ? status->code : TENON_OK; }

std::int32_t host_log_enabled(tenon_host* host, std::int32_t level) {
  return host && log_enabled(host->provider, level) ? 1 : 0;
}
void host_log(tenon_host* host, std::int32_t level, tenon_str text) {
  silent([&] {
    if (host) log_write(host->provider, level, view(text));
  });
}

void* host_alloc(tenon_host*, std::uint64_t bytes, std::uint64_t alignment) {
  if (alignment < sizeof(void*)) alignment = sizeof(void*);
  if ((alignment & (alignment - 1)) != 0 || bytes > (std::uint64_t{1} << 62)) return nullptr;
  void* memory = nullptr;
  return ::posix_memalign(&memory, alignment, bytes ? bytes : 1) == 0 ? memory : nullptr;
}
void host_free(tenon_host*, void* memory) { ::free(memory); }

std::int32_t config_get(const tenon_config* config, tenon_str pointer, std::int32_t type, void* out) {
  return config && out ? option_get(*config, view(pointer), type, out) : 0;
}
std::int32_t trace_enabled(tenon_task* run) { return run && run->traced() ? 1 : 0; }
std::uint64_t trace_now() { return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count()); }
void trace_event(tenon_task* run, const tenon_trace_event* event) {
  if (!run || !event || event->struct_size < offsetof(tenon_trace_event, end_ns) + sizeof(std::uint64_t) || event->end_ns < event->begin_ns) return;
  silent([&] {
    if (run->traced()) run->trace(full_copy(*event));
  });
}

const void* get_extension(tenon_host*, tenon_str name, std::uint32_t version) {
  static const tenon_trace_extension trace{sizeof(tenon_trace_extension), 0, trace_enabled, trace_now, trace_event};
  return view(name) == "tenon.trace" && version == 1 ? &trace : nullptr;
}

constexpr std::uint64_t must_understand = 0xffffffffu;
constexpr std::uint64_t claim_flags = TENON_CLAIM_DATA_DEPENDENT_SHAPE | TENON_CLAIM_BOUNDED | TENON_CLAIM_RANGE | TENON_CLAIM_NEEDS_STATIC |
                                      TENON_CLAIM_SEALED | TENON_CLAIM_RECOMPUTABLE;

void sink_claim(tenon_query_sink* sink, const tenon_claim* raw) {
  if (!sink || !raw) return;
  taken(sink, "a claim", [&] {
    tenon_claim claim = full_copy(*raw);
    if (raw->struct_size < offsetof(tenon_claim, token) || claim.node_count == 0 || !claim.nodes)
      return sink->malformed("a claim without nodes");
    if (claim.flags & must_understand & ~claim_flags)
      return sink->malformed(fmt::format("a claim with flags {:#x} that this host does not know", claim.flags));
    const std::vector<tenon_operand_rule> rules = full_copies<tenon_operand_rule>(claim.rules);
    claim.rules = {rules.data(), rules.size(), sizeof(tenon_operand_rule), 0};
    sink->claim(claim);
  });
}
void sink_reject(tenon_query_sink* sink, std::uint32_t node, std::int32_t reason, tenon_str text) {
  if (sink) taken(sink, "a refusal", [&] { sink->reject(node, reason, view(text)); });
}

tenon_status* const_data(tenon_task* load, std::uint64_t id, tenon_const_tensor* out) {
  return guarded([&] { return load && out ? load->const_data(id, out) : invalid("const_data: no load or no place for the answer"); });
}
void const_release(tenon_task* load, std::uint64_t id) {
  if (load) silent([&] { load->const_release(id); });
}
tenon_status* const_hash(tenon_task* load, std::uint64_t id, std::uint64_t out[2]) {
  return guarded([&] { return load && out ? load->const_hash(id, out) : invalid("const_hash: no load or no place for the answer"); });
}
tenon_status* packed_weight(tenon_task* load, const tenon_pack_request* request, tenon_address* out) {
  return guarded([&] {
    return load && request && out ? load->packed_weight(full_copy(*request), out) : invalid("packed_weight: no load, request or place for the answer");
  });
}
tenon_status* artifact_get(tenon_task* load, tenon_str key, const void** data, std::uint64_t* bytes) {
  return guarded([&] { return load && data && bytes ? load->artifact_get(key, data, bytes) : invalid("artifact_get: an argument is missing"); });
}
tenon_status* artifact_put(tenon_task* load, tenon_str key, const void* data, std::uint64_t bytes) {
  return guarded([&] { return load ? load->artifact_put(key, data, bytes) : invalid("artifact_put: no load"); });
}
std::int32_t cancelled(tenon_task* task) { return task && task->cancelled() ? 1 : 0; }
void progress(tenon_task* task, double fraction) {
  if (task) silent([&] { task->progress(fraction); });
}

void sink_temp(tenon_plan_sink* sink, const tenon_temp* temp) {
  if (sink && temp) taken(sink, "a temp", [&] { sink->temp(full_copy(*temp)); });
}
void sink_step(tenon_plan_sink* sink, const tenon_step* raw) {
  if (!sink || !raw) return;
  taken(sink, "a step", [&] {
    const tenon_step step = full_copy(*raw);
    if (step.flags & must_understand & ~TENON_STEP_SPMD)
      sink->malformed(fmt::format("a step with flags {:#x} that this host does not know", step.flags));
    sink->step(step);
  });
}
void sink_workspace(tenon_plan_sink* sink, const tenon_temp* temp) {
  if (sink && temp) taken(sink, "a workspace", [&] { sink->workspace(full_copy(*temp)); });
}

// What a provider's function throws on a worker would end the process: it is thrown where parallel_for was called.
struct Chunks {
  tenon_range_fn fn;
  void* context;
  std::atomic<bool> threw{false};
  std::exception_ptr first{};

  static void run(void* self, std::uint64_t begin, std::uint64_t end, std::uint32_t worker) noexcept {
    auto& chunks = *static_cast<Chunks*>(self);
    try {
      chunks.fn(chunks.context, begin, end, worker);
    } catch (...) {
      if (!chunks.threw.exchange(true)) chunks.first = std::current_exception();
    }
  }
};
void parallel_for(tenon_task* run, std::uint64_t n, std::uint64_t grain, tenon_range_fn fn, void* context) {
  if (!fn || n == 0) return;
  Chunks chunks{fn, context};
  if (run) run->parallel_for(n, grain, Chunks::run, &chunks);
  else ThreadPool::instance().parallel_for(n, grain, Chunks::run, &chunks);
  if (chunks.threw) std::rethrow_exception(chunks.first);
}
std::int32_t barrier(tenon_task* run) { return run ? run->barrier() : 0; }
void fail(tenon_task* run, tenon_status* status) {
  if (status == emergency_status()) status = new (std::nothrow) tenon_status{TENON_RESOURCE_EXHAUSTED, 0, "no memory"};
  Status taken(status);
  if (run) silent([&] { run->fail(std::move(taken)); });
}
const std::int64_t* extents(tenon_task* run, std::uint32_t operand) { return run ? run->extents(operand) : nullptr; }
tenon_status* alloc_output(tenon_task* run, std::uint32_t operand, std::uint32_t rank, const std::int64_t* dims, tenon_address* out) {
  return guarded([&] { return run && out ? run->alloc_output(operand, rank, dims, out) : invalid("alloc_output: no run or no place for the answer"); });
}

tenon_str string_get(const tenon_address* address, std::uint64_t index) {
  if (!address || !address->handle) return {nullptr, 0};
  const auto& strings = *static_cast<const std::vector<std::string>*>(address->handle);
  index += address->offset;
  return index < strings.size() ? str(strings[index]) : tenon_str{nullptr, 0};
}
tenon_status* string_set(const tenon_address* address, std::uint64_t index, tenon_str text) {
  return guarded([&]() -> Status {
    if (!address || !address->handle) return invalid("string_set: no string tensor");
    auto& strings = *static_cast<std::vector<std::string>*>(address->handle);
    index += address->offset;
    if (index >= strings.size()) return error(TENON_OUT_OF_RANGE, "string_set: element {} of {}", index, strings.size());
    strings[index].assign(text.data ? text.data : "", text.data ? text.size : 0);
    return {};
  });
}

}  // namespace

const tenon_host_api& host_api() {
  static const tenon_host_api api = [] {
    tenon_host_api a{};
    a.struct_size = sizeof a;
    a.abi_major = TENON_ABI_MAJOR;
    a.abi_minor = TENON_ABI_MINOR;
    a.features = host_features();
    a.status_new = status_new;
    a.status_free = status_free;
    a.status_code = status_code;
    a.log_enabled = host_log_enabled;
    a.log = host_log;
    a.alloc = host_alloc;
    a.free = host_free;
    a.config_get = config_get;
    a.get_extension = get_extension;
    a.claim = sink_claim;
    a.reject = sink_reject;
    a.const_data = const_data;
    a.const_release = const_release;
    a.const_hash = const_hash;
    a.packed_weight = packed_weight;
    a.artifact_get = artifact_get;
    a.artifact_put = artifact_put;
    a.cancelled = cancelled;
    a.progress = progress;
    a.temp = sink_temp;
    a.step = sink_step;
    a.workspace = sink_workspace;
    a.parallel_for = parallel_for;
    a.barrier = barrier;
    a.fail = fail;
    a.extents = extents;
    a.alloc_output = alloc_output;
    a.string_get = string_get;
    a.string_set = string_set;
    return a;
  }();
  return api;
}

Status take_status(tenon_status* status) {
  if (status == emergency_status()) return Status(TENON_RESOURCE_EXHAUSTED, "no memory");
  return Status(status);
}

}  // namespace tenon
