#include "plugins/cpu/tuner.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "plugins/cpu/device.h"
#include "plugins/cpu/packing.h"
#include "plugins/cpu/plan.h"

namespace tenon::cpu {
namespace {

constexpr std::int32_t attribute_int = 2, attribute_ints = 7;  // ONNX AttributeProto.AttributeType
constexpr double worth_changing = 0.97;                        // of the first one's time

// The host of a trial: constants come from the real one, packed weights and temps are the trial's own.
struct Trial {
  const Host& real;
  tenon_task* load;
  tenon_host_api api;
  std::vector<std::uint64_t> temps;
  std::unique_ptr<Program> program;
  std::unique_ptr<Plan> plan;
  std::vector<tenon_address> addresses;
  std::vector<void*> memory;

  Trial(const Host& host, tenon_task* task) : real(host), load(task), api(*host.api) {
    api.const_data = [](tenon_task* t, std::uint64_t id, tenon_const_tensor* out) { return of(t).real.api->const_data(of(t).load, id, out); };
    api.const_release = [](tenon_task*, std::uint64_t) {};
    api.packed_weight = [](tenon_task* t, const tenon_pack_request* request, tenon_address* out) -> tenon_status* {
      void* memory = of(t).alloc(request->bytes);
      if (!memory) return of(t).real.status(TENON_RESOURCE_EXHAUSTED, "no memory for a trial");
      *out = {memory, 0, request->bytes};
      return request->pack(request->context, memory, request->bytes);
    };
    api.cancelled = [](tenon_task* t) { return t ? of(t).real.api->cancelled(of(t).load) : 0; };
    api.temp = [](tenon_plan_sink* sink, const tenon_temp* temp) { reinterpret_cast<Trial*>(sink)->temps.push_back(temp->bytes); };
    api.step = [](tenon_plan_sink*, const tenon_step*) {};
  }
  ~Trial() {
    plan.reset();
    program.reset();
    for (void* m : memory) real.api->free(real.context, m);
  }
  Trial(const Trial&) = delete;

  static Trial& of(tenon_task* task) { return *reinterpret_cast<Trial*>(task); }
  tenon_task* task() { return reinterpret_cast<tenon_task*>(this); }
  void* alloc(std::uint64_t bytes) {
    void* m = real.api->alloc(real.context, bytes + 64, 64);
    if (m) memory.push_back(m);
    return m;
  }
  Host host() const { return {&api, real.context}; }

  // Throws where the node cannot be run with the sizes that the graph expects.
  void prepare(const Program& around, const tenon_graph& graph, const NodeView& node, std::int32_t forced) {
    std::vector<std::uint32_t> inputs, outputs;
    std::vector<tenon_plan_value> sizes(graph.values.count);
    const auto note = [&](std::uint32_t v, std::vector<std::uint32_t>* list) {
      if (v == no_value) return;
      const auto& value = element<tenon_value>(graph.values, v);
      tenon_plan_value& size = sizes[v];
      size.struct_size = sizeof size;
      size.rank = value.rank, size.dtype = value.dtype;
      size.dims = size.dims_max = value.const_id ? value.dims : value.dim_opt;
      for (std::int32_t d = 0; d < value.rank; ++d)
        if (size.dims[d] < 1) throw Failure{TENON_UNSUPPORTED_SHAPE, "a size is not known"};
      if (value.rank < 0) throw Failure{TENON_UNSUPPORTED_SHAPE, "a rank is not known"};
      if (value.const_id == 0 && std::find(list->begin(), list->end(), v) == list->end()) list->push_back(v);
    };
    for (std::uint32_t i = 0; i < node.input_count(); ++i) note(node.raw().inputs[i], &inputs);
    for (std::uint32_t o = 0; o < node.output_count(); ++o) note(node.raw().outputs[o], &outputs);
    const std::uint32_t index = node.index();
    const tenon_chosen chosen{sizeof(tenon_chosen), 1, &index, 0};
    tenon_part part{};
    part.struct_size = sizeof part;
    part.graph = &graph;
    part.claims = {&chosen, 1, sizeof chosen, 0};
    part.inputs = inputs.data(), part.input_count = inputs.size();
    part.outputs = outputs.data(), part.output_count = outputs.size();
    Options options = around.options;
    options.max_workers = 1;
    program = Program::compile(host(), options, part, task(), find_row, {false, forced});
    tenon_plan_args args{};
    args.struct_size = sizeof args;
    args.max_workers = 1;
    args.values = {sizes.data(), sizes.size(), sizeof(tenon_plan_value), 0};
    args.load = task();
    plan = Plan::make(*program, args, reinterpret_cast<tenon_plan_sink*>(this));
    for (auto* list : {&inputs, &outputs})
      for (std::uint32_t v : *list) {
        const auto& p = sizes[v];
        add(tensor_bytes(p.dtype, element_count({p.dims, static_cast<std::size_t>(p.rank)})), p.dtype);
      }
    for (std::uint64_t bytes : temps) add(bytes, TENON_DTYPE_UNDEFINED);
  }

  double run() const {
    tenon_execute_args args{};
    args.struct_size = sizeof args;
    args.worker_count = 1;
    args.addresses = addresses.data(), args.address_count = addresses.size();
    args.step_count = plan->steps().size();
    const auto begin = std::chrono::steady_clock::now();
    plan->execute(program->host, args);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }

 private:
  void add(std::uint64_t bytes, std::int32_t dtype) {
    void* m = alloc(bytes);
    if (!m) throw std::bad_alloc();
    std::memset(m, 0, bytes);
    if (dtype == TENON_DTYPE_FLOAT)
      for (std::uint64_t i = 0; i < bytes / sizeof(float); ++i) static_cast<float*>(m)[i] = static_cast<float>(i * 2654435761u >> 16 & 0xff) / 128 - 1;
    addresses.push_back({m, 0, bytes});
  }
};

// What the time depends on: the operator, the sizes, the integers among its attributes. The machine is the host's part of the key.
std::string key_of(const NodeView& node, const Options& options) {
  std::string key = "tuned/" + std::string(node.op_type()) + "/" + isa_name(options.isa);
  for (std::uint32_t i = 0; i < node.input_count(); ++i) {
    key += "|";
    if (!node.has_input(i)) continue;
    const tenon_value& v = node.input(i);
    key += std::to_string(v.dtype) + (v.const_id ? "c" : "");
    for (std::int32_t d = 0; d < v.rank; ++d) key += "," + std::to_string(v.const_id ? v.dims[d] : v.dim_opt[d]);
  }
  for (std::uint64_t a = 0; a < node.raw().attributes.count; ++a) {
    const auto& attribute = element<tenon_attr>(node.raw().attributes, a);
    if (attribute.type != attribute_int && attribute.type != attribute_ints) continue;
    const std::string name(view(attribute.name));
    key += "|" + name;
    if (attribute.type == attribute_int) key += "," + std::to_string(node.int_or(name, 0));
    else
      for (std::int64_t i : node.ints(name)) key += "," + std::to_string(i);
  }
  return key;
}

// The index that a stored name stands for.
std::optional<std::uint32_t> index_of(std::span<const std::string_view> names, std::string_view name) {
  const auto it = std::find(names.begin(), names.end(), name);
  if (it == names.end()) return std::nullopt;
  return static_cast<std::uint32_t>(it - names.begin());
}

std::uint32_t measure(const Packing& packing, const NodeView& node, std::size_t count) {
  const Program& program = packing.program();
  std::vector<std::unique_ptr<Trial>> trials;
  std::vector<double> best(count, 1e30);
  for (std::size_t k = 0; k < count; ++k) {
    trials.push_back(std::make_unique<Trial>(program.host, packing.load()));
    trials.back()->prepare(program, packing.graph(), node, static_cast<std::int32_t>(k));
    (void)trials.back()->run();
  }
  double spent = 0;
  for (int round = 0; round < 12 && (round < 3 || spent < 0.02); ++round)  // in turns: what disturbs one disturbs all
    for (std::size_t k = 0; k < count; ++k) {
      const double t = trials[k]->run();
      best[k] = std::min(best[k], t);
      spent += t;
    }
  const auto fastest = static_cast<std::uint32_t>(std::min_element(best.begin(), best.end()) - best.begin());
  return best[fastest] < worth_changing * best[0] ? fastest : 0;
}

}  // namespace

std::uint32_t choose(CompileContext& context, const NodeView& node, std::span<const std::string_view> names) {
  const auto* packing = dynamic_cast<const Packing*>(&context);
  if (!packing || names.size() < 2) return 0;
  const Program& program = packing->program();
  if (program.tuning.forced >= 0) return std::min(static_cast<std::uint32_t>(program.tuning.forced), static_cast<std::uint32_t>(names.size() - 1));
  if (!program.tuning.on) return 0;
  static std::mutex mutex;
  static auto* known = new std::map<std::string, std::string>;
  const std::string key = key_of(node, program.options);
  std::lock_guard lock(mutex);  // trials do not disturb each other
  if (const auto it = known->find(key); it != known->end())
    if (const auto index = index_of(names, it->second)) return *index;
  const tenon_host_api& api = *program.host.api;
  const tenon_str text{key.data(), key.size()};
  const void* data = nullptr;
  std::uint64_t bytes = 0;
  tenon_status* status = api.artifact_get ? api.artifact_get(packing->load(), text, &data, &bytes) : nullptr;
  if (status) api.status_free(status);
  else if (data)
    if (const auto index = index_of(names, {static_cast<const char*>(data), bytes})) {
      known->insert_or_assign(key, std::string(names[*index]));
      return *index;
    }
  std::uint32_t index = 0;
  try {
    index = measure(*packing, node, names.size());
  } catch (const Failure&) {
    return 0;  // sizes that are not known: the model decides, and the real plan says what is wrong
  }
  known->insert_or_assign(key, std::string(names[index]));
  if (api.artifact_put)
    if (tenon_status* failed = api.artifact_put(packing->load(), text, names[index].data(), names[index].size())) api.status_free(failed);
  return index;
}

}  // namespace tenon::cpu
