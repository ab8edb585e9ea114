#include "plugins/cpu/program.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <numeric>
#include <unordered_map>

#include "plugins/cpu/attention_fusion.h"
#include "plugins/cpu/embedding_fusion.h"
#include "plugins/cpu/fusion.h"
#include "plugins/cpu/layout.h"
#include "plugins/cpu/packing.h"
#include "plugins/cpu/quantized.h"

namespace tenon::cpu {
namespace {

std::string label_of(const NodeView& node) {
  std::string text = node.name().empty() ? "node " + std::to_string(node.index()) : "node \"" + std::string(node.name()) + "\"";
  return text + " (" + (node.domain().empty() ? "" : std::string(node.domain()) + ".") + std::string(node.op_type()) + ")";
}

// What an op throws, with its node in front.
template <class Fn>
auto at(const std::string& label, Fn&& fn) {
  try {
    return fn();
  } catch (const Failure& f) {
    throw Failure{f.code, label + ": " + f.text};
  }
}

std::int32_t machine_block(const Options& options) {
  if (options.plain || options.isa == Isa::plain) return 0;
  return options.isa >= Isa::avx512 ? 16 : 8;
}

// What an op is made from.
struct Making {
  const OpRow* row;
  NodeView node;
};

// As float32; 0 for what is no constant.
std::uint64_t constant_bytes(const tenon_value& value) {
  if (value.const_id == 0) return 0;
  const std::int64_t count = element_count({value.dims, static_cast<std::size_t>(std::max(value.rank, 0))});
  return count > 0 ? static_cast<std::uint64_t>(count) * sizeof(float) : 0;
}
std::uint64_t constant_bytes(const tenon_graph& graph) {
  std::uint64_t bytes = 0;
  for (std::uint64_t v = 0; v < graph.values.count; ++v) bytes += constant_bytes(element<tenon_value>(graph.values, v));
  return bytes;
}

// The nodes with the largest constants first: what packing reads is in memory beside what it has made, so the least should have been
// made by the time when the most is read; and threads come to an end together.
std::vector<std::size_t> making_order(const std::vector<Making>& making) {
  std::vector<std::uint64_t> largest(making.size(), 0);
  for (std::size_t n = 0; n < making.size(); ++n)
    for (std::uint32_t i = 0; i < making[n].node.input_count(); ++i)
      if (making[n].node.is_constant(i)) largest[n] = std::max(largest[n], constant_bytes(making[n].node.input(i)));
  std::vector<std::size_t> order(making.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return largest[a] > largest[b]; });
  return order;
}

// Makes the op of every unit: most of the time is spent on packing weights, so several threads take one node after the
// other. The failure of the first node in that order is thrown, whoever met it.
void make_ops(Program& program, std::vector<Making>& making, Packing& packing, tenon_task* load, std::uint64_t weights) {
  struct Work {
    Program& program;
    std::vector<Making>& making;
    Packing& packing;
    tenon_task* load;
    std::vector<std::size_t> order;
    std::atomic<std::size_t> next{0};
    std::atomic<bool> failed{false};
    std::vector<std::exception_ptr> failures;
  } work{program, making, packing, load, making_order(making), {}, {}, std::vector<std::exception_ptr>(making.size())};
  const auto loop = [](void* context, std::uint64_t, std::uint64_t, std::uint32_t) {
    Work& w = *static_cast<Work*>(context);
    for (std::size_t turn; !w.failed.load(std::memory_order_relaxed) && (turn = w.next.fetch_add(1, std::memory_order_relaxed)) < w.making.size();) {
      const std::size_t n = w.order[turn];
      try {
        Unit& unit = w.program.units[n];
        unit.op = at(unit.label, [&] { return w.making[n].row->make(w.making[n].node, w.packing); });
        if (!unit.op) throw Failure{TENON_INTERNAL, unit.label + ": no operator was made"};
        if (w.program.host.api->cancelled(w.load)) throw Failure{TENON_CANCELLED, "the load was cancelled"};
      } catch (...) {
        w.failures[turn] = std::current_exception();
        w.failed.store(true, std::memory_order_relaxed);
      }
    }
  };
  constexpr std::uint64_t worth_threads = std::uint64_t{2} << 20;  // bytes of weights
  const std::uint64_t threads = weights < worth_threads ? 1 : std::min<std::uint64_t>(program.options.max_workers, making.size());
  if (threads > 1) program.host.api->parallel_for(nullptr, threads, 1, loop, &work);
  else loop(&work, 0, 1, 0);
  for (const std::exception_ptr& failure : work.failures)
    if (failure) std::rethrow_exception(failure);
}

// Numbers the values of a part: one for each value of the graph that its nodes touch.
class Numbering {
 public:
  Numbering(Program& program, const tenon_graph& graph) : program_(program), graph_(graph), number_(graph.values.count, no_value) {}

  std::uint32_t of(std::uint32_t graph_value) {
    if (graph_value == no_value) return no_value;
    if (graph_value >= number_.size()) throw Failure{TENON_INTERNAL, "a value that the graph does not have"};
    std::uint32_t& n = number_[graph_value];
    if (n != no_value) return n;
    n = static_cast<std::uint32_t>(program_.values.size());
    const auto& g = element<tenon_value>(graph_.values, graph_value);
    Value v;
    v.graph_value = graph_value;
    v.dtype = compute_dtype(g.dtype);
    if (g.const_id != 0) {
      v.constant = static_cast<std::uint32_t>(program_.constants.size());
      auto constant = std::make_unique<Constant>();
      constant->id = g.const_id;
      constant->dtype = g.dtype;
      constant->count = element_count({g.dims, static_cast<std::size_t>(std::max(g.rank, 0))});
      program_.constants.push_back(std::move(constant));
    }
    program_.values.push_back(v);
    return n;
  }
  void boundary(std::uint32_t graph_value, std::uint32_t operand, bool output) {
    Value& v = program_.values[of(graph_value)];
    v.operand = operand;
    v.is_output = output;
    v.dtype = element<tenon_value>(graph_.values, graph_value).dtype;
  }

 private:
  Program& program_;
  const tenon_graph& graph_;
  std::vector<std::uint32_t> number_;
};

// Units that nobody reads (core took the sizes of what they make), and outputs but the first that nobody wants, are not made.
void drop_unread(Program& program) {
  std::vector<bool> read(program.values.size());
  const auto wanted = [&](std::uint32_t v) { return v != no_value && (read[v] || program.values[v].is_output); };
  for (std::size_t u = program.units.size(); u-- > 0;) {
    Unit& unit = program.units[u];
    if (!unit.data_dependent && std::none_of(unit.outputs.begin(), unit.outputs.end(), wanted)) {
      unit.op.reset();
      continue;
    }
    for (std::size_t o = 1; o < unit.outputs.size(); ++o)
      if (!wanted(unit.outputs[o])) unit.outputs[o] = no_value;
    for (std::uint32_t v : unit.inputs)
      if (v != no_value) read[v] = true;
  }
  std::erase_if(program.units, [](const Unit& unit) { return !unit.op; });
}

}  // namespace

Program::~Program() {
  units.clear();
  for (void* p : memory_) host.api->free(host.context, p);
}

void* Program::alloc(std::uint64_t bytes) const {
  void* p = host.api->alloc(host.context, bytes, 64);
  if (!p) throw std::bad_alloc();
  std::lock_guard lock(mutex_);
  memory_.push_back(p);
  return p;
}

const void* Program::constant(std::uint32_t index, tenon_task* load) const {
  Constant& c = *constants[index];
  if (const void* data = c.data.load(std::memory_order_acquire)) return data;
  tenon_const_tensor t{};
  t.struct_size = sizeof t;
  host.check(host.api->const_data(load, c.id, &t));
  static const std::uint64_t nothing = 0;
  const void* data = t.data ? t.data : &nothing;  // present, though it has no elements
  if (compute_dtype(c.dtype) != c.dtype && t.bytes != 0) {
    auto* wide = static_cast<float*>(alloc(t.bytes * 2));
    widen(c.dtype, t.data, wide, static_cast<std::int64_t>(t.bytes / 2), options.isa);
    data = wide;
  }
  const void* expected = nullptr;
  return c.data.compare_exchange_strong(expected, data, std::memory_order_acq_rel) ? data : expected;
}

std::unique_ptr<Program> Program::compile(const Host& host, const Options& options, const tenon_part& part, tenon_task* load,
                                          FindRow find, Tuning tuning) {
  std::unique_ptr<Program> program(new Program);
  program->host = host;
  program->options = options;
  program->tuning = tuning;
  program->input_count = static_cast<std::uint32_t>(part.input_count);
  program->output_count = static_cast<std::uint32_t>(part.output_count);
  const tenon_graph& graph = *part.graph;
  Numbering numbering(*program, graph);
  for (std::uint32_t i = 0; i < part.input_count; ++i) numbering.boundary(part.inputs[i], i, false);
  for (std::uint32_t o = 0; o < part.output_count; ++o) numbering.boundary(part.outputs[o], program->input_count + o, true);

  Packing packing(*program, graph, load);
  std::vector<Making> making;
  for (std::uint64_t c = 0; c < part.claims.count; ++c) {
    const auto& chosen = element<tenon_chosen>(part.claims, c);
    for (std::uint32_t k = 0; k < chosen.node_count; ++k) {
      const NodeView node(graph, chosen.nodes[k]);
      Unit unit;
      unit.label = label_of(node);
      const OpRow* row = find(node.domain(), node.op_type());
      if (!row) throw Failure{TENON_UNSUPPORTED_SUBGRAPH, unit.label + ": it was never claimed"};
      unit.data_dependent = row->data_dependent;
      unit.nodes = {chosen.nodes[k]};
      for (std::uint32_t i = 0; i < node.input_count(); ++i) unit.inputs.push_back(numbering.of(node.raw().inputs[i]));
      for (std::uint32_t o = 0; o < node.output_count(); ++o) unit.outputs.push_back(numbering.of(node.raw().outputs[o]));
      program->units.push_back(std::move(unit));
      making.push_back({row, node});
    }
  }
  make_ops(*program, making, packing, load, constant_bytes(graph));
  if (!options.plain) fuse_quantized(graph, program->values, program->units, packing);
  if (!options.plain) fuse(graph, program->values, program->units, packing);
  if (!options.plain) fuse_attention(graph, program->values, program->units, packing);
  if (!options.plain) fuse_embeddings(graph, program->values, program->units, packing);

  drop_unread(*program);

  lay_out_values(*program, graph, machine_block(options));
  for (const Unit& unit : program->units)
    for (std::uint32_t v : unit.outputs)
      if (v != no_value && program->values[v].dtype == TENON_DTYPE_STRING && program->values[v].operand == no_value)
        throw Failure{TENON_UNSUPPORTED_SUBGRAPH, unit.label + ": strings cannot stay inside a part"};
  for (auto& constant : program->constants)
    if (const void* wide = packing.widened(constant->id)) constant->data.store(wide, std::memory_order_release);
  // What steps read directly is made ready now and not in the first run.
  for (const Unit& unit : program->units)
    for (std::uint32_t v : unit.inputs) {
      const std::uint32_t c = v == no_value ? no_value : program->values[v].constant;
      if (c == no_value || packing.packed_by(unit, program->constants[c]->id)) continue;
      (void)program->constant(c, load);
      if (const Constant& read = *program->constants[c]; compute_dtype(read.dtype) != read.dtype && read.count > 0) packing.copied(unit, read.id);
    }
  packing.release();
  return program;
}

}  // namespace tenon::cpu
