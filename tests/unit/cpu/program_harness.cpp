#include "tests/unit/cpu/program_harness.h"

#include <algorithm>
#include <barrier>
#include <thread>

namespace tenon::cpu::test {
namespace {

struct Buffer {
  std::shared_ptr<std::vector<char>> memory;
  std::vector<std::string> strings;
  std::vector<std::int64_t> dims;
  std::uint32_t first = ~0u, last = 0;
  bool temp = false, string = false;

  void make(std::uint64_t bytes) { memory = std::make_shared<std::vector<char>>(bytes + 128, static_cast<char>(0xee)); }
  char* begin() const {
    const auto p = reinterpret_cast<std::uintptr_t>(memory->data());
    return memory->data() + (64 - p % 64);
  }
  tenon_address address(std::uint64_t bytes) {
    if (string) return {&strings, 0, strings.size()};
    return {begin(), 0, bytes};
  }
};

}  // namespace

std::string ProgramResults::step_names() const {
  std::string out;
  for (const auto& s : steps) out += (out.empty() ? "" : " ") + s.name;
  return out;
}

ProgramResults run_program(OpTest& test, const std::vector<std::string>& outputs, const ProgramOptions& options) {
  ProgramResults results;
  const tenon_graph& graph = test.graph();
  const Host host{&fake_host(), nullptr};
  tenon_task load;
  load.constant = [&](std::uint64_t id) { return test.constant_bytes(id); };

  std::vector<std::uint32_t> ins, outs, node_list(graph.nodes.count);
  for (std::uint32_t v = 0; v < graph.values.count; ++v)
    if (test.input_data(v)) ins.push_back(v);
  for (const std::string& name : outputs) outs.push_back(test.index(name));
  std::vector<tenon_chosen> chosen;
  for (std::uint32_t n = 0; n < graph.nodes.count; ++n) {
    node_list[n] = n;
    chosen.push_back({sizeof(tenon_chosen), 1, &node_list[n], n});
  }
  tenon_part part{};
  part.struct_size = sizeof part;
  part.graph = &graph;
  part.claims = {chosen.data(), chosen.size(), sizeof(tenon_chosen), 0};
  part.inputs = ins.data(), part.input_count = ins.size();
  part.outputs = outs.data(), part.output_count = outs.size();
  std::unique_ptr<Program> program;
  std::unique_ptr<Plan> plan;
  tenon_plan_sink sink;
  std::vector<std::vector<std::int64_t>> dims;
  tenon_status* failed = guarded(host, [&] {
    const Options session{options.plain, options.plain ? Isa::plain : options.isa, options.workers, options.precision};
    program = Program::compile(host, session, part, &load, options.find);
    std::vector<tenon_plan_value> values;
    for (std::uint32_t v = 0; v < graph.values.count; ++v) dims.push_back(test.actual_dims(v));
    for (std::uint32_t v = 0; v < graph.values.count; ++v) {
      const auto& g = element<tenon_value>(graph.values, v);
      values.push_back({sizeof(tenon_plan_value), static_cast<std::int32_t>(dims[v].size()), g.dtype, 0, dims[v].data(), dims[v].data(), nullptr,
                        test.known(v) ? test.input_data(v)->bytes.data() : nullptr});
    }
    tenon_plan_args args{sizeof(args), options.workers, {values.data(), values.size(), sizeof(tenon_plan_value), 0}, {}, &load};
    plan = Plan::make(*program, args, &sink);
  });
  if (failed) {
    results.error = std::to_string(failed->code) + ": " + failed->text;
    delete failed;
    return results;
  }
  results.steps = sink.steps;
  results.planned = plan->steps();
  results.temps = sink.temps.size();

  // Memory: inputs, outputs, temps.
  std::vector<Buffer> buffers(ins.size() + outs.size() + sink.temps.size());
  std::vector<tenon_address> addresses(buffers.size());
  for (std::size_t b = 0; b < buffers.size(); ++b) {
    Buffer& to = buffers[b];
    if (b >= ins.size() + outs.size()) {
      const tenon_temp& t = sink.temps[b - ins.size() - outs.size()];
      const std::uint64_t each = (t.bytes + 63) / 64 * 64;
      to.temp = true;
      to.make(t.flags & TENON_TEMP_PER_WORKER ? each * options.workers : t.bytes);
      addresses[b] = to.address(t.bytes);
      continue;
    }
    const std::uint32_t v = b < ins.size() ? ins[b] : outs[b - ins.size()];
    const auto& g = element<tenon_value>(graph.values, v);
    to.string = g.dtype == TENON_DTYPE_STRING;
    to.dims = dims[v];
    const std::int64_t count = element_count(to.dims);
    if (count < 0) continue;  // alloc_output
    to.make(tensor_bytes(g.dtype, count));
    if (to.string) to.strings.resize(static_cast<std::size_t>(count));
    if (const Tensor* data = b < ins.size() ? test.input_data(v) : nullptr) {
      std::copy(data->bytes.begin(), data->bytes.end(), to.begin());
      to.strings = data->strings;
    }
    addresses[b] = to.address(tensor_bytes(g.dtype, count));
  }
  for (const auto& s : sink.steps)
    for (auto* list : {&s.reads, &s.writes})
      for (std::uint32_t o : *list) {
        if (o >= buffers.size()) return results.error = "13: step " + s.name + " names operand " + std::to_string(o), results;
        buffers[o].first = std::min(buffers[o].first, s.stage);
        buffers[o].last = std::max(buffers[o].last, s.stage);
      }
  // In place as core does it: the read's life ends where the write's begins.
  for (const auto& s : sink.steps)
    for (const tenon_inplace& pair : s.inplace) {
      Buffer &r = buffers[pair.read], &w = buffers[pair.write];
      if (!r.temp || !w.temp || r.last != s.stage || w.first != s.stage || r.memory == w.memory) continue;
      if (std::any_of(buffers.begin(), buffers.end(), [&](const Buffer& b) { return &b != &r && b.memory == r.memory && b.last > s.stage; })) continue;
      w.memory = r.memory;
      addresses[pair.write].handle = w.begin();
    }

  tenon_task run;
  run.alloc = [&](std::uint32_t operand, std::vector<std::int64_t> size) {
    Buffer& to = buffers.at(operand);
    const auto& g = element<tenon_value>(graph.values, outs.at(operand - ins.size()));
    to.dims = std::move(size);
    const std::int64_t count = element_count(to.dims);
    to.make(tensor_bytes(g.dtype, count));
    if (to.string) to.strings.resize(static_cast<std::size_t>(count));
    return addresses[operand] = to.address(tensor_bytes(g.dtype, count));
  };
  const bool spmd = std::any_of(sink.steps.begin(), sink.steps.end(), [](const auto& s) { return s.spmd; });
  const std::uint32_t workers = spmd ? options.workers : 1;
  std::barrier meet(workers);
  bool stop = false;
  run.barrier = [&]() -> std::int32_t {
    meet.arrive_and_wait();
    {
      std::lock_guard lock(run.mutex);
      stop = run.code != TENON_OK;
    }
    meet.arrive_and_wait();
    return stop ? TENON_STOP : 0;
  };
  const auto execute = [&](std::uint64_t first, std::uint64_t count) {
    const auto one = [&](std::uint32_t w) {
      tenon_execute_args args{};
      args.struct_size = sizeof args;
      args.worker_index = w, args.worker_count = workers;
      args.addresses = addresses.data(), args.address_count = addresses.size();
      args.first_step = first, args.step_count = count;
      args.run = &run;
      plan->execute(host, args);
    };
    std::vector<std::thread> team;
    for (std::uint32_t w = 1; w < workers; ++w) team.emplace_back(one, w);
    one(0);
    for (std::thread& t : team) t.join();
  };
  if (workers > 1) {
    execute(0, sink.steps.size());
  } else {
    for (std::uint32_t s = 0; s < sink.steps.size() && run.code == TENON_OK; ++s) {
      for (Buffer& b : buffers) {
        const bool live = std::any_of(buffers.begin(), buffers.end(), [&](const Buffer& o) { return o.memory == b.memory && o.first <= s && o.last >= s; });
        if (b.temp && !live) std::fill(b.memory->begin(), b.memory->end(), static_cast<char>(0xee));
      }
      execute(s, 1);
    }
  }
  if (run.code != TENON_OK) return results.error = std::to_string(run.code) + ": " + run.text, results;
  for (std::size_t o = 0; o < outs.size(); ++o) {
    Buffer& b = buffers[ins.size() + o];
    const auto& g = element<tenon_value>(graph.values, outs[o]);
    Tensor t{g.dtype, b.dims, {}, b.strings};
    if (b.memory && !b.string) t.bytes.assign(b.begin(), b.begin() + tensor_bytes(g.dtype, element_count(b.dims)));
    results.values[outputs[o]] = std::move(t);
  }
  return results;
}

}  // namespace tenon::cpu::test
