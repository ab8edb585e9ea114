#include "core/plan/planner.h"

#include <algorithm>
#include <map>
#include <optional>

#include "core/ops/evaluator.h"
#include "core/plan/arena.h"
#include "core/provider/host.h"

namespace tenon {

Plan::~Plan() {
  for (PlannedProgram& p : programs)
    if (p.handle) p.program->device->plan_destroy(p.handle);
}

namespace {

// One buffer while the plan is made.
struct Buffer {
  std::uint32_t domain = 0;
  std::uint64_t bytes = 0, alignment = 64;
  std::uint32_t first = ~0u, last = 0;
  std::uint32_t root = 0;  // the buffer whose memory it shares
  std::uint64_t offset = 0;
};

struct SinkStep {
  std::vector<std::uint32_t> reads, writes;
  std::vector<tenon_inplace> inplace;
  std::uint32_t stage = 0;
};

struct PlanSink final : tenon_plan_sink {
  std::vector<tenon_temp> temps;
  std::vector<SinkStep> steps;
  std::vector<PlannedStep> named;
  std::optional<tenon_temp> space;
  std::string fault;

  void temp(const tenon_temp& t) override { temps.push_back(t); }
  void workspace(const tenon_temp& t) override { space = t; }
  void malformed(std::string text) override { fault = std::move(text); }
  void step(const tenon_step& s) override {
    SinkStep& out = steps.emplace_back();
    out.reads.assign(s.reads, s.reads + s.read_count);
    out.writes.assign(s.writes, s.writes + s.write_count);
    out.inplace.assign(s.inplace, s.inplace + s.inplace_count);
    out.stage = s.stage;
    named.push_back({std::string(view(s.name)), {s.nodes, s.nodes + s.node_count}, (s.flags & TENON_STEP_SPMD) != 0});
  }
};

class Planner {
 public:
  Planner(const PlanInput& in, std::uint32_t segment, ShapeTable shapes)
      : in_(in), graph_(*in.graph), segment_(segment), plan_(std::make_unique<Plan>(std::move(shapes))) {
    plan_->segment = segment;
    plan_->last = segment + 1 >= in.segment_count;
    plan_->domains.push_back({});
    plan_->on_host.resize(graph_.values.size());
  }

  Result<std::unique_ptr<Plan>> run() {
    TENON_TRY(infer());
    fill_values();
    time_ = 1;
    for (const Item& item : *in_.items) {
      if (item.segment != segment_) continue;
      if (item.kind == Item::Kind::program) TENON_TRY(program((*in_.programs)[item.index]));
      else host_step(item.index);
    }
    TENON_TRY(finish());
    return std::move(plan_);
  }

 private:
  // Sizes of everything in this segment. What the data decides stays -1.
  Status infer() {
    for (NodeId n = 0; n < graph_.nodes.size(); ++n) {
      if (in_.cover->node_segment[n] != segment_) continue;
      const Node& node = graph_.nodes[n];
      if (settled(node)) {
        for (ValueId v : node.outputs)
          if (v != none && !plan_->shapes.values[v].ranked) set_fixed(v);
      } else {
        TENON_TRY(in_.inference->run_node(n, plan_->shapes));
      }
      for (ValueId v : node.outputs) {
        if (v == none || !graph_.values[v].type.is_tensor()) continue;
        auto& entry = plan_->shapes.values[v];
        if (node.host_evaluated && !entry.known) {
          std::vector<ConstantPtr> in;
          for (ValueId i : node.inputs) in.push_back(i == none ? nullptr : plan_->shapes.values[i].known);
          if (const std::string fault = evaluation_fault(node, in); !fault.empty()) return invalid("{}: {}", node.label(), fault);
          return error(TENON_UNIMPLEMENTED, "{}: the elements of its inputs are needed to plan the run and are not known or more than {}", node.label(), small_elements);
        }
        if (!entry.ranked) {
          if (graph_.values[v].type.dims) entry.dims.assign(graph_.values[v].type.dims->size(), -1), entry.ranked = true;
          continue;
        }
        Checked count = 1;
        for (std::int64_t d : entry.dims)
          if (d >= 0) count *= Checked(d);
        const Checked bytes = dtype_bytes(graph_.values[v].type.dtype, count);
        if (!bytes.valid() || static_cast<std::uint64_t>(bytes.value()) > in_.limits.memory)
          return error(TENON_RESOURCE_EXHAUSTED, "{}: its output \"{}\" of shape {} does not fit into limits.memory = {} bytes", node.label(),
                       graph_.values[v].name, dims_text(entry.dims), in_.limits.memory);
      }
    }
    // What the run itself has to find out.
    for (NodeId n = 0; n < graph_.nodes.size(); ++n) {
      if (in_.cover->node_segment[n] != segment_) continue;
      for (ValueId v : graph_.nodes[n].outputs) {
        if (v == none) continue;
        if (!plan_->shapes.complete(v)) plan_->open.push_back(v);
        if ((*in_.host_read)[v]) plan_->fetched.push_back(v);
      }
    }
    for (NodeId n = 0; n < graph_.nodes.size(); ++n)
      if (in_.cover->node_segment[n] == segment_)
        for (const auto* list : {&graph_.nodes[n].inputs, &graph_.nodes[n].outputs})
          for (ValueId v : *list)
            if (v != none) TENON_TRY(agrees(graph_.nodes[n], v));
    return {};
  }
  // Inference gave the fixed sizes of its outputs at load, from these very inputs.
  bool settled(const Node& node) const {
    if (node.host_evaluated || node.control_flow()) return false;
    for (ValueId v : node.outputs)
      if (v != none && !(graph_.values[v].sized && graph_.values[v].type.fixed())) return false;
    for (ValueId v : node.inputs)
      if (v != none && !(graph_.values[v].type.fixed() && same_dims(v))) return false;
    return true;
  }
  bool same_dims(ValueId v) const {
    const auto& entry = plan_->shapes.values[v];
    const auto& dims = *graph_.values[v].type.dims;
    if (!entry.ranked || entry.dims.size() != dims.size()) return false;
    for (std::size_t d = 0; d < dims.size(); ++d)
      if (dims[d].fixed() && entry.dims[d] >= 0 && entry.dims[d] != dims[d].value) return false;
    return true;
  }
  // Programs were compiled for the sizes that the graph declares: a model that says what is not so is refused here.
  Status agrees(const Node& node, ValueId v) const {
    const Type& type = graph_.values[v].type;
    if (!type.is_tensor() || !type.dims || !plan_->shapes.values[v].ranked || same_dims(v)) return {};
    std::string declared;
    for (const Dim& d : *type.dims) declared += fmt::format("{}{}", declared.empty() ? "" : ", ", d.fixed() ? std::to_string(d.value) : "?");
    return error(TENON_INVALID_ARGUMENT, "{}: \"{}\" is declared with shape [{}], this run gives it {}; declare it without sizes", node.label(),
                 graph_.values[v].name, declared, dims_text(plan_->shapes.values[v].dims));
  }
  void set_fixed(ValueId v) {
    auto& entry = plan_->shapes.values[v];
    entry.ranked = true;
    entry.dims.clear();
    for (const Dim& d : *graph_.values[v].type.dims) entry.dims.push_back(d.value);
  }

  void fill_values() {
    values_.resize(graph_.values.size());
    for (ValueId v = 0; v < values_.size(); ++v) {
      const auto& entry = plan_->shapes.values[v];
      tenon_plan_value& out = values_[v];
      out = {sizeof(tenon_plan_value), entry.ranked ? static_cast<std::int32_t>(entry.dims.size()) : -1, graph_.values[v].type.dtype, 0,
             entry.dims.data(), entry.dims.data(), nullptr, nullptr};
      // Large constants are fetched with const_data; small ones and evaluated ones are known.
      if (entry.known && entry.known->dtype != TENON_DTYPE_STRING && !graph_.values[v].constant) out.known = entry.known->data;
    }
  }

  bool later_segment_reads(ValueId v) const {
    for (NodeId r : (*in_.readers)[v])
      if (in_.cover->node_segment[r] > segment_) return true;
    return false;
  }
  std::uint64_t bytes_of(ValueId v) const {
    const auto& entry = plan_->shapes.values[v];
    if (!plan_->shapes.complete(v)) return 0;
    const Checked b = dtype_bytes(graph_.values[v].type.dtype, element_count(entry.dims));
    return b.valid() ? static_cast<std::uint64_t>(b.value()) : 0;
  }

  std::uint32_t domain_of(const DevicePtr& device) {
    if (device->info().domains[0].host()) return 0;
    for (std::uint32_t d = 1; d < plan_->domains.size(); ++d)
      if (plan_->domains[d].device->info().domains[0].uid == device->info().domains[0].uid) return d;
    plan_->domains.push_back({device, 0});
    return static_cast<std::uint32_t>(plan_->domains.size() - 1);
  }

  // ---- storages of values ----------------------------------------------------------------------------------------------

  struct Place {
    Storage::Kind kind = Storage::Kind::absent;
    std::uint32_t buffer = none;  // arena
  };
  Place& place(ValueId v, std::uint32_t domain) { return places_[{v, domain}]; }

  std::uint32_t new_buffer(std::uint32_t domain, std::uint64_t bytes, std::uint64_t alignment) {
    Buffer b;
    b.domain = domain;
    b.bytes = bytes;
    b.alignment = std::max<std::uint64_t>(alignment, 64);
    b.root = static_cast<std::uint32_t>(buffers_.size());
    buffers_.push_back(b);
    return b.root;
  }

  // The host memory of a value that this segment's programs make or read. Slots: everything that others decide.
  Place& host_place(ValueId v) {
    Place& p = place(v, 0);
    if (p.kind != Storage::Kind::absent) return p;
    const Value& value = graph_.values[v];
    const auto& entry = plan_->shapes.values[v];
    if (entry.known && value.type.dtype != TENON_DTYPE_STRING) p.kind = Storage::Kind::fixed;
    else p.kind = Storage::Kind::slot;
    return p;
  }
  Place& made_here(ValueId v) {
    Place& p = place(v, 0);
    if (p.kind != Storage::Kind::absent) return p;
    const Value& value = graph_.values[v];
    if (value.is_output || value.type.dtype == TENON_DTYPE_STRING || !plan_->shapes.complete(v) || later_segment_reads(v) || (*in_.host_read)[v]) {
      p.kind = Storage::Kind::slot;
      if (!value.is_output) plan_->slots.push_back(v);
    } else {
      p.kind = Storage::Kind::arena;
      p.buffer = new_buffer(0, bytes_of(v), 64);
    }
    return p;
  }
  void touch(const Place& p, std::uint32_t time) {
    if (p.kind != Storage::Kind::arena) return;
    Buffer& b = buffers_[p.buffer];
    b.first = std::min(b.first, time);
    b.last = std::max(b.last, time);
  }

  // Makes a value readable in a device's domain, by a copy through its route from the host.
  Status bring(ValueId v, const DevicePtr& device, std::uint32_t domain) {
    if (domain == 0) {
      Place& p = place(v, 0);
      if (p.kind == Storage::Kind::absent && home_.count(v)) return to_host(v);
      host_place(v);
      return {};
    }
    if (place(v, domain).kind != Storage::Kind::absent) return {};
    if (!place_exists(v, 0) && home_.count(v)) TENON_TRY(to_host(v));
    const Place source = host_place(v);
    Place& p = place(v, domain);
    p.kind = Storage::Kind::arena;
    p.buffer = new_buffer(domain, bytes_of(v), device->info().domains[0].base_align);
    return add_copy(v, device, source, 0, p, domain, device->route(TENON_ROUTE_HOST, 0));
  }
  bool place_exists(ValueId v, std::uint32_t domain) const {
    auto it = places_.find({v, domain});
    return it != places_.end() && it->second.kind != Storage::Kind::absent;
  }
  Status to_host(ValueId v) {
    const DevicePtr device = home_.at(v);
    const std::uint32_t domain = domain_of(device);
    const Place source = place(v, domain);
    Place& p = made_here(v);
    return add_copy(v, device, source, domain, p, 0, device->route(0, TENON_ROUTE_HOST));
  }
  Status add_copy(ValueId v, const DevicePtr& device, const Place& from, std::uint32_t from_domain, const Place& to, std::uint32_t to_domain, int route) {
    if (!plan_->shapes.complete(v))
      return error(TENON_UNIMPLEMENTED, "value \"{}\" has a size that the data decides and cannot be copied to another memory", graph_.values[v].name);
    if (route < 0) return internal("device \"{}\" has no route for value \"{}\"", device->info().name, graph_.values[v].name);
    touch(from, time_);
    touch(to, time_);
    pending_.push_back({v, from, from_domain, to, to_domain});
    plan_->items.push_back({PlannedItem::Kind::copy, static_cast<std::uint32_t>(plan_->copies.size())});
    PlannedCopy& c = plan_->copies.emplace_back();
    c.value = v;
    c.device = device;
    c.route = static_cast<std::uint32_t>(route);
    c.bytes = bytes_of(v);
    ++time_;
    return {};
  }

  // ---- items -----------------------------------------------------------------------------------------------------------

  Status program(const Program& program) {
    const std::uint32_t domain = domain_of(program.device);
    for (ValueId v : program.part.inputs) TENON_TRY(bring(v, program.device, domain));
    PlanSink sink;
    PlannedProgram planned;
    planned.program = &program;
    if (program.device->has_plan()) {
      tenon_plan_args args{sizeof(args), in_.max_workers, {values_.data(), values_.size(), sizeof(tenon_plan_value), 0}, {}, in_.load};
      TENON_ASSIGN(planned.handle, program.device->plan(program.handle, args, sink));
      if (!sink.fault.empty()) return error(TENON_ABI_MISMATCH, "provider {}: {}", program.device->provider().id(), sink.fault);
    } else {
      simple_steps(program, sink);
    }
    std::vector<Place> operands;
    for (ValueId v : program.part.inputs) operands.push_back(place(v, domain));
    for (ValueId v : program.part.outputs) {
      if (domain == 0) {
        operands.push_back(made_here(v));
      } else {
        Place& p = place(v, domain);
        p.kind = Storage::Kind::arena;
        p.buffer = new_buffer(domain, bytes_of(v), program.device->info().domains[0].base_align);
        home_[v] = program.device;
        operands.push_back(p);
      }
    }
    auto add_temp = [&](const tenon_temp& t) {
      const std::uint64_t alignment = std::max<std::uint64_t>(t.alignment, 64);
      const std::uint64_t each = (t.bytes + alignment - 1) / alignment * alignment;
      operands.push_back({Storage::Kind::arena, new_buffer(domain, t.flags & TENON_TEMP_PER_WORKER ? each * in_.max_workers : t.bytes, alignment)});
    };
    for (const tenon_temp& t : sink.temps) add_temp(t);
    if (sink.space) add_temp(*sink.space);
    const std::uint32_t start = time_;
    std::uint32_t last_stage = 0;
    for (const SinkStep& s : sink.steps) {
      if (s.stage < last_stage) return error(TENON_ABI_MISMATCH, "provider {}: its steps' stages fall from {} to {}", program.device->provider().id(), last_stage, s.stage);
      last_stage = s.stage;
      for (auto* list : {&s.reads, &s.writes})
        for (std::uint32_t o : *list) {
          if (o >= operands.size()) return error(TENON_ABI_MISMATCH, "provider {}: a step names operand {} of {}", program.device->provider().id(), o, operands.size());
          touch(operands[o], start + s.stage);
        }
      if (sink.space) touch(operands.back(), start + s.stage);
    }
    for (const SinkStep& s : sink.steps)
      for (const tenon_inplace& pair : s.inplace) inplace_.push_back({operands.at(pair.read), operands.at(pair.write), start + s.stage});
    time_ = start + last_stage + 1;
    planned.step_count = sink.steps.size();
    planned.steps = std::move(sink.named);
    for (const PlannedStep& s : planned.steps) planned.spmd |= s.spmd;
    plan_->items.push_back({PlannedItem::Kind::program, static_cast<std::uint32_t>(plan_->programs.size())});
    plan_->programs.push_back(std::move(planned));
    operands_.push_back(std::move(operands));
    operand_values_.emplace_back();
    for (ValueId v : program.part.inputs) operand_values_.back().push_back(v);
    for (ValueId v : program.part.outputs) operand_values_.back().push_back(v);
    domains_.push_back(domain);
    return {};
  }

  // For a provider without program_plan: a temp for every inner value, a step for every chosen claim.
  void simple_steps(const Program& program, PlanSink& sink) {
    std::map<ValueId, std::uint32_t> operand;
    std::uint32_t next = 0;
    for (ValueId v : program.part.inputs) operand[v] = next++;
    for (ValueId v : program.part.outputs) operand[v] = next++;
    for (const auto& claim : program.claims)
      for (NodeId n : claim)
        for (ValueId v : graph_.nodes[n].outputs)
          if (v != none && !operand.count(v)) {
            operand[v] = next++;
            sink.temps.push_back({sizeof(tenon_temp), 0, bytes_of(v), 64, 0});
          }
    std::uint32_t stage = 0;
    for (const auto& claim : program.claims) {
      SinkStep& step = sink.steps.emplace_back();
      step.stage = stage++;
      PlannedStep named{graph_.nodes[claim.front()].op_type, claim, false};
      for (NodeId n : claim) {
        for (ValueId v : graph_.nodes[n].inputs)
          if (v != none && operand.count(v)) step.reads.push_back(operand[v]);
        for (ValueId v : graph_.nodes[n].outputs)
          if (v != none) step.writes.push_back(operand[v]);
      }
      sink.named.push_back(std::move(named));
    }
  }

  void host_step(NodeId n) {
    auto read = [&](ValueId v) {
      if (graph_.values[v].constant) return;
      if (!place_exists(v, 0) && home_.count(v)) (void)to_host(v);
      touch(host_place(v), time_);
    };
    for (ValueId v : graph_.nodes[n].inputs)
      if (v != none) read(v);
    for (const GraphPtr& body : graph_.nodes[n].subgraphs())
      for (const OuterValue& o : body->outer) read(o.parent);
    for (ValueId v : graph_.nodes[n].outputs)
      if (v != none) place(v, 0).kind = Storage::Kind::slot;
    plan_->items.push_back({PlannedItem::Kind::host_step, n});
    ++time_;
  }

  // ---- memory ------------------------------------------------------------------------------------------------------------

  std::uint32_t root(std::uint32_t b) const {
    while (buffers_[b].root != b) b = buffers_[b].root;
    return b;
  }

  Status finish() {
    // What later segments and the caller want from a device comes to the host first.
    std::vector<ValueId> wanted;
    for (auto& [v, device] : home_)
      if (!place_exists(v, 0) && (graph_.values[v].is_output || later_segment_reads(v) || (*in_.host_read)[v])) wanted.push_back(v);
    for (ValueId v : wanted) TENON_TRY(to_host(v));

    std::stable_sort(inplace_.begin(), inplace_.end(), [](const InPlace& a, const InPlace& b) { return a.time < b.time; });
    for (const InPlace& p : inplace_) {
      if (p.read.kind != Storage::Kind::arena || p.write.kind != Storage::Kind::arena) continue;
      Buffer &r = buffers_[p.read.buffer], &w = buffers_[p.write.buffer];
      const bool ends = r.last == p.time && w.first == p.time && r.domain == w.domain && w.bytes <= buffers_[root(p.read.buffer)].bytes && w.root == p.write.buffer;
      if (!ends || root(p.read.buffer) == p.write.buffer) continue;
      Buffer& shared = buffers_[root(p.read.buffer)];
      if (shared.last > p.time) continue;  // another alias goes on
      shared.last = std::max(shared.last, w.last);
      w.root = root(p.read.buffer);
    }
    for (std::uint32_t d = 0; d < plan_->domains.size(); ++d) {
      std::vector<ArenaBuffer> list;
      std::vector<std::uint32_t> index;
      for (std::uint32_t b = 0; b < buffers_.size(); ++b)
        if (buffers_[b].domain == d && buffers_[b].root == b && buffers_[b].first != ~0u) {
          list.push_back({buffers_[b].bytes, buffers_[b].alignment, buffers_[b].first, buffers_[b].last, 0});
          index.push_back(b);
        }
      TENON_ASSIGN(plan_->domains[d].bytes, lay_out(list));
      if (plan_->domains[d].bytes > in_.limits.memory)
        return error(TENON_RESOURCE_EXHAUSTED, "one run needs {} bytes, over limits.memory = {}", plan_->domains[d].bytes, in_.limits.memory);
      for (std::size_t i = 0; i < index.size(); ++i) buffers_[index[i]].offset = list[i].offset;
    }
    for (std::size_t p = 0; p < plan_->programs.size(); ++p)
      for (std::size_t o = 0; o < operands_[p].size(); ++o) {
        const ValueId v = o < operand_values_[p].size() ? operand_values_[p][o] : none;
        plan_->programs[p].operands.push_back(storage(operands_[p][o], domains_[p], v));
      }
    for (std::size_t c = 0; c < plan_->copies.size(); ++c) {
      plan_->copies[c].from = storage(pending_[c].from, pending_[c].from_domain, pending_[c].value);
      plan_->copies[c].to = storage(pending_[c].to, pending_[c].to_domain, pending_[c].value);
    }
    for (auto& [key, p] : places_)
      if (key.second == 0) plan_->on_host[key.first] = storage(p, 0, key.first);
    // Outputs that no program makes: constants, evaluated values, inputs passed through.
    for (ValueId v : graph_.outputs)
      if (plan_->on_host[v].kind == Storage::Kind::absent && plan_->last) plan_->on_host[v] = storage(host_place(v), 0, v);
    return {};
  }

  Storage storage(const Place& p, std::uint32_t domain, ValueId v) {
    Storage s;
    s.kind = p.kind;
    s.domain = domain;
    s.value = v;
    if (p.kind == Storage::Kind::arena) {
      s.offset = buffers_[root(p.buffer)].offset;
      s.bytes = buffers_[p.buffer].bytes;
    } else if (p.kind == Storage::Kind::fixed) {
      const ConstantPtr& known = plan_->shapes.values[v].known;
      plan_->keep.push_back(known);
      s.data = known->data;
      s.bytes = known->bytes;
    } else if (v != none) {
      s.bytes = bytes_of(v);
    }
    return s;
  }

  struct InPlace {
    Place read, write;
    std::uint32_t time;
  };
  struct Pending {
    ValueId value;
    Place from;
    std::uint32_t from_domain;
    Place to;
    std::uint32_t to_domain;
  };

  const PlanInput& in_;
  const Graph& graph_;
  std::uint32_t segment_;
  std::unique_ptr<Plan> plan_;
  std::vector<tenon_plan_value> values_;
  std::map<std::pair<ValueId, std::uint32_t>, Place> places_;
  std::map<ValueId, DevicePtr> home_;  // values made on a device with memory of its own
  std::vector<Buffer> buffers_;
  std::vector<std::vector<Place>> operands_;
  std::vector<std::vector<ValueId>> operand_values_;
  std::vector<std::uint32_t> domains_;
  std::vector<InPlace> inplace_;
  std::vector<Pending> pending_;
  std::uint32_t time_ = 1;
};

}  // namespace

Result<std::unique_ptr<Plan>> make_plan(const PlanInput& input, std::uint32_t segment, ShapeTable shapes) {
  return Planner(input, segment, std::move(shapes)).run();
}

std::string plan_text(const Plan& plan, const Graph& graph) {
  std::string out = fmt::format("segment {}: {} items\n", plan.segment, plan.items.size());
  for (std::size_t d = 0; d < plan.domains.size(); ++d)
    out += fmt::format("  arena {} {} bytes\n", d == 0 ? "host" : plan.domains[d].device->info().domains[0].uid, plan.domains[d].bytes);
  auto where = [&](const Storage& s) {
    const char* kinds[] = {"arena", "slot", "fixed", "-"};
    return fmt::format("{}{}", kinds[static_cast<int>(s.kind)], s.kind == Storage::Kind::arena ? fmt::format("{}+{}", s.domain, s.offset) : "");
  };
  for (const PlannedItem& item : plan.items) {
    if (item.kind == PlannedItem::Kind::host_step) {
      out += fmt::format("  core {}\n", graph.nodes[item.index].label());
    } else if (item.kind == PlannedItem::Kind::copy) {
      const PlannedCopy& c = plan.copies[item.index];
      out += fmt::format("  copy \"{}\" {} bytes {} -> {}\n", graph.values[c.value].name, c.bytes, where(c.from), where(c.to));
    } else {
      const PlannedProgram& p = plan.programs[item.index];
      out += fmt::format("  {} {} steps\n", p.program->device->provider().id(), p.step_count);
      for (std::size_t o = 0; o < p.operands.size(); ++o)
        out += fmt::format("    operand {} {} {} bytes {}\n", o, p.operands[o].value == none ? "" : "\"" + graph.values[p.operands[o].value].name + "\"", p.operands[o].bytes, where(p.operands[o]));
      for (const PlannedStep& s : p.steps) out += fmt::format("    {}{}\n", s.name, s.spmd ? " spmd" : "");
    }
  }
  return out;
}

}  // namespace tenon
