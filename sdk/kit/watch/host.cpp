// The host's table with the watch in it: faults where a case wants them, counts, artifacts.
#include <cmath>
#include <cstring>

#include "sdk/kit/watch/watch.h"

namespace tenon::kit {
namespace {

tenon_host_api real{};
tenon_host* real_context = nullptr;

// Whether this call is the one to fail, of its function or of all.
bool fails(Fault* own, const char* function) {
  const bool of_all = watch().any.hit();
  if (!(own && own->hit()) && !of_all) return false;
  watch().failed = function;
  return true;
}

void* alloc(tenon_host* host, std::uint64_t bytes, std::uint64_t alignment) {
  if (fails(&watch().alloc, "alloc")) return nullptr;
  void* memory = real.alloc(host, bytes, alignment);
  if (memory) ++watch().alive.host_blocks;
  return memory;
}
void release(tenon_host* host, void* memory) {
  if (memory && --watch().alive.host_blocks < 0) watch().broke("free was given more blocks than alloc had made");
  real.free(host, memory);
}

void claim(tenon_query_sink* sink, const tenon_claim* claim) {
  if (claim && !record_claim(sink, *claim)) real.claim(sink, claim);
}
void reject(tenon_query_sink* sink, std::uint32_t node, std::int32_t reason, tenon_str text) {
  if (!record_reject(sink, node, reason, text)) real.reject(sink, node, reason, text);
}

tenon_status* const_data(tenon_task* load, std::uint64_t id, tenon_const_tensor* out) {
  if (fails(&watch().constant, "const_data")) return injected("const_data");
  return real.const_data(load, id, out);
}
tenon_status* const_hash(tenon_task* load, std::uint64_t id, std::uint64_t out[2]) {
  if (fails(nullptr, "const_hash")) return injected("const_hash");
  return real.const_hash(load, id, out);
}
tenon_status* packed_weight(tenon_task* load, const tenon_pack_request* request, tenon_address* out) {
  ++watch().packs;
  if (fails(&watch().pack, "packed_weight")) return injected("packed_weight");
  return real.packed_weight(load, request, out);
}

tenon_status* artifact_get(tenon_task* load, tenon_str key, const void** data, std::uint64_t* bytes) {
  Watch& w = watch();
  ++w.artifact_gets;
  if (fails(nullptr, "artifact_get")) return injected("artifact_get");
  if (w.artifacts == 0) return real.artifact_get(load, key, data, bytes);
  const std::lock_guard lock(w.mutex);
  const auto found = w.stored.find(std::string(key.data, key.size));
  if (found == w.stored.end()) {
    const char text[] = "there is no such artifact";
    return real.status_new(real_context, TENON_NOT_FOUND, 0, {text, sizeof text - 1});
  }
  if (w.artifacts == 2) {  // truncated, its bits turned
    std::string& damaged = found->second;
    damaged.resize(damaged.size() - damaged.size() / 3);
    for (char& c : damaged) c = static_cast<char>(c ^ 0x55);
  }
  *data = found->second.data();
  *bytes = found->second.size();
  return nullptr;
}
tenon_status* artifact_put(tenon_task* load, tenon_str key, const void* data, std::uint64_t bytes) {
  Watch& w = watch();
  ++w.artifact_puts;
  if (fails(nullptr, "artifact_put")) return injected("artifact_put");
  if (w.artifacts == 0) return real.artifact_put(load, key, data, bytes);
  const std::lock_guard lock(w.mutex);
  w.stored[std::string(key.data, key.size)] = std::string(static_cast<const char*>(data), bytes);
  return nullptr;
}

std::int32_t cancelled(tenon_task* task) {
  Watch& w = watch();
  if (const std::int64_t at = w.stop.at.load(std::memory_order_relaxed); at > 0 && ++w.stop.calls >= at) return 1;
  return real.cancelled(task);
}

void temp(tenon_plan_sink* sink, const tenon_temp* asked) {
  PlanRecord* record = planning();
  if (!record || !asked) return real.temp(sink, asked);
  if (!watch().stepwise || (asked->flags & TENON_TEMP_PER_WORKER) || asked->domain >= watch().in_host_memory.size() ||
      !watch().in_host_memory[asked->domain]) {
    record->guarded.push_back(0);
    return real.temp(sink, asked);
  }
  tenon_temp longer{};
  std::memcpy(static_cast<void*>(&longer), asked, asked->struct_size < sizeof longer ? asked->struct_size : sizeof longer);
  record->guarded.push_back(longer.bytes);
  longer.bytes += guard_bytes;
  real.temp(sink, &longer);
  ++watch().guarded_temps;
}
void step(tenon_plan_sink* sink, const tenon_step* s) {
  PlanRecord* record = planning();
  if (record && s) {
    Step step;
    step.reads.assign(s->reads, s->reads + s->read_count);
    step.writes.assign(s->writes, s->writes + s->write_count);
    step.inplace.assign(s->inplace, s->inplace + s->inplace_count);
    record->steps.push_back(std::move(step));
  }
  real.step(sink, s);
}

std::int32_t barrier(tenon_task* run) {
  Watch& w = watch();
  ++w.barriers;
  Working& me = working();
  const std::int64_t at = ++me.barriers;
  for (std::int64_t most = w.most_barriers; at > most && !w.most_barriers.compare_exchange_weak(most, at);) {
  }
  if (me.worker == w.fail_worker && at == w.fail_barrier) {
    if (w.instead) w.instead();
    else real.fail(run, injected("a worker"));
  }
  return real.barrier(run);
}
tenon_status* alloc_output(tenon_task* run, std::uint32_t operand, std::uint32_t rank, const std::int64_t* dims, tenon_address* out) {
  if (fails(&watch().output, "alloc_output")) return injected("alloc_output");
  return real.alloc_output(run, operand, rank, dims, out);
}
tenon_status* string_set(const tenon_address* address, std::uint64_t index, tenon_str text) {
  if (fails(nullptr, "string_set")) return injected("string_set");
  return real.string_set(address, index, text);
}
const void* no_extension(tenon_host*, tenon_str, std::uint32_t) { return nullptr; }

}  // namespace

const tenon_host_api& real_host() { return real; }

tenon_status* injected(const char* function) {
  const std::string text = std::string("the kit made ") + function + " fail";
  return real.status_new(real_context, TENON_RESOURCE_EXHAUSTED, 0, {text.data(), text.size()});
}

Working& working() {
  static thread_local Working mine;
  return mine;
}

const tenon_host_api& watched_host(const tenon_host_api& original) {
  static tenon_host_api table;
  std::memcpy(static_cast<void*>(&real), &original, original.struct_size < sizeof real ? original.struct_size : sizeof real);
  table = real;
  table.alloc = alloc, table.free = release;
  table.claim = claim, table.reject = reject;
  table.const_data = const_data, table.const_hash = const_hash, table.packed_weight = packed_weight, table.string_set = string_set;
  if (real.artifact_get) table.artifact_get = artifact_get;
  if (real.artifact_put) table.artifact_put = artifact_put;
  table.cancelled = cancelled, table.temp = temp, table.step = step;
  table.barrier = barrier, table.alloc_output = alloc_output;
  if (watch().bare) {
    table.get_extension = no_extension;
    table.artifact_get = nullptr, table.artifact_put = nullptr;
  }
  return table;
}

}  // namespace tenon::kit
