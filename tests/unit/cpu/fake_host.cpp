#include "tests/unit/cpu/fake_host.h"

#include <cstdlib>
#include <cstring>

namespace tenon::cpu::test {
namespace {

std::string text_of(tenon_str s) { return s.data ? std::string(s.data, s.size) : std::string(); }

tenon_status* packed_weight(tenon_task* load, const tenon_pack_request* request, tenon_address* out) {
  const std::string key = std::to_string(request->const_ids[0]) + "/" + text_of(request->layout_id);
  auto& memory = load->packed[key];
  if (!memory) {
    memory = std::make_unique<char[]>(request->bytes + 64);
    if (tenon_status* s = request->pack(request->context, memory.get() + 64 - reinterpret_cast<std::uintptr_t>(memory.get()) % 64, request->bytes)) {
      load->packed.erase(key);
      return s;
    }
  }
  *out = {memory.get() + 64 - reinterpret_cast<std::uintptr_t>(memory.get()) % 64, 0, request->bytes};
  return nullptr;
}

void add_step(tenon_plan_sink* sink, const tenon_step* s) {
  tenon_plan_sink::Step& step = sink->steps.emplace_back();
  step.name = text_of(s->name);
  step.reads.assign(s->reads, s->reads + s->read_count);
  step.writes.assign(s->writes, s->writes + s->write_count);
  step.nodes.assign(s->nodes, s->nodes + s->node_count);
  step.inplace.assign(s->inplace, s->inplace + s->inplace_count);
  step.stage = s->stage;
  step.spmd = (s->flags & TENON_STEP_SPMD) != 0;
}

tenon_host_api make_table() {
  tenon_host_api a{};
  a.struct_size = sizeof a;
  a.status_new = [](tenon_host*, std::int32_t code, std::int64_t, tenon_str text) { return new tenon_status{code, text_of(text)}; };
  a.status_free = [](tenon_status* s) { delete s; };
  a.status_code = [](const tenon_status* s) { return s ? s->code : TENON_OK; };
  a.log_enabled = [](tenon_host*, std::int32_t) -> std::int32_t { return 0; };
  a.log = [](tenon_host*, std::int32_t, tenon_str) {};
  a.alloc = [](tenon_host*, std::uint64_t bytes, std::uint64_t alignment) { return std::aligned_alloc(alignment, (bytes + alignment) / alignment * alignment); };
  a.free = [](tenon_host*, void* p) { std::free(p); };
  a.config_get = [](const tenon_config*, tenon_str, std::int32_t, void*) -> std::int32_t { return 0; };
  a.claim = [](tenon_query_sink* sink, const tenon_claim* claim) { sink->claims.push_back(whole(*claim)); };
  a.reject = [](tenon_query_sink* sink, std::uint32_t node, std::int32_t reason, tenon_str text) { sink->refusals[node] = {reason, text_of(text)}; };
  a.const_data = [](tenon_task* load, std::uint64_t id, tenon_const_tensor* out) -> tenon_status* {
    *out = load->constant(id);
    return nullptr;
  };
  a.const_release = [](tenon_task* load, std::uint64_t id) { load->released.push_back(id); };
  a.packed_weight = packed_weight;
  a.temp = [](tenon_plan_sink* sink, const tenon_temp* t) { sink->temps.push_back(whole(*t)); };
  a.step = add_step;
  a.cancelled = [](tenon_task* t) -> std::int32_t { return t && t->cancelled && t->cancelled(); };
  a.parallel_for = [](tenon_task*, std::uint64_t n, std::uint64_t, tenon_range_fn fn, void* context) { fn(context, 0, n, 0); };
  a.barrier = [](tenon_task* t) -> std::int32_t { return t->barrier ? t->barrier() : 0; };
  a.fail = [](tenon_task* run, tenon_status* s) {
    std::lock_guard lock(run->mutex);
    if (run->code == TENON_OK) run->code = s->code, run->text = s->text;
    delete s;
  };
  a.alloc_output = [](tenon_task* run, std::uint32_t operand, std::uint32_t rank, const std::int64_t* dims, tenon_address* out) -> tenon_status* {
    *out = run->alloc(operand, std::vector<std::int64_t>(dims, dims + rank));
    return nullptr;
  };
  a.string_get = [](const tenon_address* address, std::uint64_t i) -> tenon_str {
    const auto& strings = *static_cast<std::vector<std::string>*>(address->handle);
    return i < strings.size() ? tenon_str{strings[i].data(), strings[i].size()} : tenon_str{};
  };
  a.string_set = [](const tenon_address* address, std::uint64_t i, tenon_str text) -> tenon_status* {
    auto& strings = *static_cast<std::vector<std::string>*>(address->handle);
    if (i >= strings.size()) return new tenon_status{TENON_OUT_OF_RANGE, "string_set: no such element"};
    strings[i] = text_of(text);
    return nullptr;
  };
  return a;
}

}  // namespace

const tenon_host_api& fake_host() {
  static const tenon_host_api api = make_table();
  return api;
}

}  // namespace tenon::cpu::test
