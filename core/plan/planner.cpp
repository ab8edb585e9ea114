#include "core/plan/planner.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "core/ops/value_reads.h"
#include "core/plan/host_reads.h"
#include "core/plan/later_reads.h"
#include "core/plan/memory.h"
#include "core/plan/routes.h"
#include "core/plan/schedule.h"
#include "core/plan/sizes.h"
#include "core/plan/steps.h"

namespace tenon {

namespace {

class Planner {
 public:
  Planner(const PlanInput& in, std::uint32_t segment, ShapeTable shapes)
      : in_(in), graph_(*in.graph), segment_(segment), plan_(std::make_unique<Plan>(std::move(shapes))), memory_(*plan_, graph_),
        schedule_(*plan_, memory_), later_(in, segment) {
    plan_->segment = segment;
    plan_->last = segment + 1 >= in.segment_count;
    plan_->on_host.resize(graph_.values.size());
  }

  Result<std::unique_ptr<Plan>> run() {
    TENON_TRY(infer_sizes(in_, *plan_));
    if (in_.box) TENON_TRY(own_elements());
    fill_values();
    read_on_host_ = host_reads(in_, segment_);
    if (in_.parent) take_over(*in_.parent);
    else take_residents();
    for (const Item& item : *in_.items) {
      if (item.segment != segment_) continue;
      if (item.kind == Item::Kind::program) TENON_TRY(program((*in_.programs)[item.index]));
      else TENON_TRY(host_step(item.index));
    }
    schedule_.keep_copied();
    TENON_TRY(memory_.lay_out(in_.limits));
    if (in_.trace) memory_.trace(*in_.trace);
    schedule_.set_waits();
    set_storages();
    set_standing();
    if (in_.segment_count == 1) set_in_place();
    if (!in_.box) std::vector<tenon_plan_value>().swap(plan_->values);
    return std::move(plan_);
  }

 private:
  struct OperandPlaces {
    std::vector<MemoryPlace> places;
    std::vector<ValueId> values;  // of inputs and outputs; temps have none
  };
  struct CopyPlaces {
    MemoryPlace from, to;
  };

  // In a box the elements of evaluated values change, where they are. What a program computes anyway is not followed.
  Status own_elements() {
    for (ValueId v = 0; v < graph_.values.size(); ++v) {
      ConstantPtr& known = plan_->shapes.values[v].known;
      if (!known || graph_.values[v].constant || known->dtype == TENON_DTYPE_STRING) continue;
      if (const NodeId producer = graph_.values[v].producer; producer != none && !graph_.nodes[producer].host_evaluated && !decides_sizes(v)) {
        known.reset();
        continue;
      }
      std::byte* data = nullptr;
      TENON_ASSIGN(auto own, make_constant(known->dtype, known->dims, &data));
      if (known->bytes) std::memcpy(data, known->data, known->bytes);
      known = std::move(own);
    }
    return {};
  }

  bool decides_sizes(ValueId v) const {
    for (NodeId n : (*in_.readers)[v]) {
      const Node& node = graph_.nodes[n];
      const bool elements = node.host_evaluated && !node.is("Shape") && !node.is("Size");
      for (std::size_t i = 0; i < node.inputs.size(); ++i)
        if (node.inputs[i] == v && (elements || inference_reads(node, i))) return true;
    }
    return false;
  }

  void fill_values() {
    std::vector<tenon_plan_value>& values_ = plan_->values;
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

  std::uint64_t bytes_of(ValueId v) const { return value_bytes(graph_, plan_->shapes, v); }
  bool evaluated(ValueId v) const { return plan_->shapes.values[v].known && graph_.values[v].type.dtype != TENON_DTYPE_STRING; }

  // ---- places ----------------------------------------------------------------------------------------------------------

  // What earlier segments have left in memories of devices.
  void take_over(const Plan& parent) {
    for (const Plan::Kept& k : parent.standing) {
      const Plan::Domain& from = parent.domains[k.domain];
      const std::uint32_t domain = memory_.domain_of(from.device, from.index);
      memory_.place(k.value, domain).kind = Storage::Kind::kept;
      if (!k.on_host) home_[k.value] = {domain, from.device};
    }
  }
  void take_residents() {
    for (const Resident& r : in_.residents) {
      if (!r.buffer) continue;
      const std::uint32_t domain = memory_.domain_of(r.memory.device, r.memory.domain);
      memory_.place(r.value, domain).kind = Storage::Kind::kept;
      home_[r.value] = {domain, r.memory.device};
    }
  }
  void set_standing() {
    for (const auto& [key, p] : memory_.places()) {
      const ValueId v = key.first;
      if (p.kind == Storage::Kind::kept && p.domain == key.second && later_.in(v, plan_->domains[p.domain].uid))
        plan_->standing.push_back({v, p.domain, bytes_of(v), home_.find(v) == home_.end() || on_host(v)});
    }
  }
  bool on_host(ValueId v) { return memory_.exists(v, 0) && memory_.place(v, 0).kind == Storage::Kind::slot; }
  // Memory of a device for what this segment puts there: its own, where later ones read it.
  void made_on_device(ValueId v, std::uint32_t domain) {
    MemoryPlace& p = memory_.place(v, domain);
    if (!later_.in(v, plan_->domains[domain].uid)) return memory_.make_arena(p, bytes_of(v), 0, v);
    p.kind = Storage::Kind::kept;
    plan_->keeps.push_back({v, domain, bytes_of(v), false});
  }
  // Later segments find it on the host: they read it there, or in a memory where it is not kept.
  bool later_from_host(ValueId v) const {
    const auto home = home_.find(v);
    return home == home_.end() ? later_.anywhere(v) : later_.outside(v, plan_->domains[home->second.first].uid);
  }

  // Its host memory outlives the plan, or is the caller's.
  bool needs_slot(ValueId v) const {
    const Value& value = graph_.values[v];
    return value.is_output || value.type.dtype == TENON_DTYPE_STRING || !plan_->shapes.complete(v) || later_from_host(v) || (*in_.host_read)[v];
  }
  // The host memory of a value that this segment's items make.
  MemoryPlace& made_on_host(ValueId v) {
    MemoryPlace& p = memory_.place(v, 0);
    if (p.kind != Storage::Kind::absent) return p;
    if (needs_slot(v)) {
      p.kind = Storage::Kind::slot;
      if (!graph_.values[v].is_output) plan_->slots.push_back(v);
    } else {
      memory_.make_arena(p, bytes_of(v), 64, v);
    }
    return p;
  }

  // Makes a value readable in a domain: where it is, by a copy over a route, or by two through the host.
  Status bring(ValueId v, std::uint32_t domain, const DevicePtr& reader) {
    if (memory_.exists(v, domain)) return {};
    const auto home = home_.find(v);
    if (evaluated(v) && home == home_.end()) {
      memory_.place(v, domain).kind = domain == 0 ? Storage::Kind::fixed : Storage::Kind::resident;
      return {};
    }
    if (domain == 0) {
      if (home == home_.end()) memory_.place(v, 0).kind = Storage::Kind::slot;  // others decide where it is
      else if (memory_.host_readable(home->second.first) && !needs_slot(v)) memory_.place(v, 0) = memory_.place(v, home->second.first);
      else return copy(v, home->second.first, 0, route(home->second.first, 0, home->second.second));
      return {};
    }
    if (home != home_.end()) {
      const std::uint32_t from = home->second.first;
      if (const PlanRoute direct = route(from, domain, reader); direct.index >= 0) return copy(v, from, domain, direct);
    }
    TENON_TRY(bring(v, 0, nullptr));
    return copy(v, 0, domain, route(0, domain, reader));
  }

  PlanRoute route(std::uint32_t from, std::uint32_t to, const DevicePtr& preferred) const { return find_route(in_, *plan_, from, to, preferred); }

  Status copy(ValueId v, std::uint32_t from_domain, std::uint32_t to_domain, const PlanRoute& over) {
    if (!plan_->shapes.complete(v))
      return error(TENON_UNIMPLEMENTED, "value \"{}\" has a size that the data decides and cannot be copied to another memory", graph_.values[v].name);
    if (over.index < 0)
      return internal("no route for value \"{}\" from memory \"{}\" to \"{}\"", graph_.values[v].name, plan_->domains[from_domain].uid,
                      plan_->domains[to_domain].uid);
    const MemoryPlace from = memory_.place(v, from_domain);
    if (to_domain == 0) made_on_host(v);
    else made_on_device(v, to_domain);
    const MemoryPlace to = memory_.place(v, to_domain);
    use(v, schedule_.now());
    PlannedCopy& c = plan_->copies.emplace_back();
    c.value = v;
    c.device = over.device;
    c.route = static_cast<std::uint32_t>(over.index);
    c.queue = schedule_.queue_of(over.device);
    c.bytes = bytes_of(v);
    copies_.push_back({from, to});
    if (in_.trace) in_.trace->at(schedule_.now(), "copy " + graph_.values[v].name);
    schedule_.add(PlannedItem::Kind::copy, static_cast<std::uint32_t>(plan_->copies.size() - 1), c.queue, {{from, v, false}, {to, v, true}});
    return {};
  }

  // ---- items -----------------------------------------------------------------------------------------------------------

  Status program(const Program& program) {
    const DevicePtr& device = program.device;
    const CoverPart& part = program.part;
    const std::uint32_t domain = memory_.domain_of(device);
    OperandPlaces operands;
    std::vector<MemoryUse> uses;
    for (std::size_t i = 0; i < part.inputs.size(); ++i) TENON_TRY(bring(part.inputs[i], part.input_on_host[i] ? 0 : domain, device));
    const auto index = static_cast<std::uint32_t>(plan_->programs.size());
    {
      PlannedProgram& planned = plan_->programs.emplace_back();
      planned.program = &program;
      planned.queue = schedule_.queue_of(device);
    }
    TENON_ASSIGN(ProgramSteps steps, plan_steps(in_, *plan_, program, plan_->values, plan_->programs.back().handle));
    for (std::size_t i = 0; i < part.inputs.size(); ++i) {
      operands.places.push_back(memory_.place(part.inputs[i], part.input_on_host[i] ? 0 : domain));
      uses.push_back({operands.places.back(), part.inputs[i], false});
    }
    for (std::size_t i = 0; i < part.outputs.size(); ++i) {
      const ValueId v = part.outputs[i];
      if (domain == 0 || part.output_on_host[i]) {
        operands.places.push_back(made_on_host(v));
      } else {
        home_[v] = {domain, device};
        made_on_device(v, domain);
        operands.places.push_back(memory_.place(v, domain));
      }
      uses.push_back({operands.places.back(), v, true});
    }
    operands.values.insert(operands.values.end(), part.inputs.begin(), part.inputs.end());
    operands.values.insert(operands.values.end(), part.outputs.begin(), part.outputs.end());
    const auto add_temp = [&](const tenon_temp& t) {
      MemoryPlace p;
      p.domain = memory_.domain_of(device, t.domain);
      const std::uint64_t alignment = std::max<std::uint64_t>(t.alignment, 64), each = (t.bytes + alignment - 1) / alignment * alignment;
      memory_.make_arena(p, t.flags & TENON_TEMP_PER_WORKER ? each * in_.max_workers : t.bytes, t.alignment);
      operands.places.push_back(p);
      uses.push_back({p, none, true});
    };
    for (const tenon_temp& t : steps.temps) add_temp(t);
    if (steps.workspace) add_temp(*steps.workspace);

    const std::uint32_t start = schedule_.now();
    for (std::size_t i = 0; in_.trace && i < steps.steps.size(); ++i) in_.trace->at(start + steps.steps[i].stage, step_text(steps.named[i]));
    for (const StepUse& s : steps.steps) {
      for (const auto* list : {&s.reads, &s.writes})
        for (std::uint32_t o : *list) {
          memory_.touch(operands.places[o], start + s.stage);
          if (o < operands.values.size()) use(operands.values[o], start + s.stage);
        }
      if (steps.workspace) memory_.touch(operands.places.back(), start + s.stage);
      for (const tenon_inplace& pair : s.inplace) {
        memory_.may_share(operands.places[pair.read], operands.places[pair.write], start + s.stage);
        over(operands, pair, start + s.stage);
      }
    }
    PlannedProgram& planned = plan_->programs[index];
    planned.step_count = steps.steps.size();
    planned.steps = std::move(steps.named);
    for (const PlannedStep& s : planned.steps) planned.spmd |= s.spmd;
    operands_.push_back(std::move(operands));
    schedule_.add(PlannedItem::Kind::program, index, planned.queue, std::move(uses), steps.steps.empty() ? 1 : steps.steps.back().stage + 1);
    for (std::size_t i = 0; i < part.outputs.size(); ++i) {
      const ValueId v = part.outputs[i];
      if (domain != 0 && !part.output_on_host[i] && (read_on_host_[v] || later_from_host(v))) TENON_TRY(bring(v, 0, device));
    }
    return {};
  }

  // "conv.depthwise of layer1/conv": the kernel, and the first of its nodes.
  std::string step_text(const PlannedStep& step) const {
    const std::string node = step.nodes.empty() ? std::string() : graph_.nodes[step.nodes.front()].name;
    return node.empty() || node == step.name ? step.name : step.name + " of " + node;
  }
  // When a value of the caller is first and last touched.
  void use(ValueId v, std::uint32_t time) {
    const auto [it, fresh] = used_.try_emplace(v, time, time);
    if (!fresh) it->second.first = std::min(it->second.first, time), it->second.second = std::max(it->second.second, time);
  }
  // A step that may write an output of the graph over an input, where the caller wants that.
  void over(const OperandPlaces& operands, const tenon_inplace& pair, std::uint32_t time) {
    if (pair.read >= operands.values.size() || pair.write >= operands.values.size()) return;
    const ValueId in = operands.values[pair.read], out = operands.values[pair.write];
    const bool both = operands.places[pair.read].kind == Storage::Kind::slot && operands.places[pair.write].kind == Storage::Kind::slot;
    if (both && graph_.values[in].is_input && !graph_.values[in].is_output && graph_.values[out].is_output && bytes_of(in) == bytes_of(out)) overs_.push_back({in, out, time});
  }
  // Legal where nobody reads the old value later, and nobody touches the new one earlier.
  void set_in_place() {
    for (const Over& o : overs_)
      if (used_.at(o.in).second == o.time && used_.at(o.out).first == o.time && !(*in_.host_read)[o.in] && plan_->queues.empty())
        plan_->in_place.emplace_back(o.in, o.out);
  }

  Status host_step(NodeId n) {
    std::vector<MemoryUse> uses;
    const auto read = [&](ValueId v) -> Status {
      if (v == none || graph_.values[v].constant) return {};
      if (const DeviceMemory* memory = in_.body_read(n, v)) {
        const std::uint32_t domain = memory_.domain_of(memory->device, memory->domain);
        if (const MemoryPlace& p = memory_.place(v, domain); p.kind == Storage::Kind::kept) {
          plan_->body_reads.push_back({n, v, domain});
          uses.push_back({p, v, false});
          return {};
        }
      }
      TENON_TRY(bring(v, 0, nullptr));
      use(v, schedule_.now());
      uses.push_back({memory_.place(v, 0), v, false});
      return {};
    };
    for (ValueId v : graph_.nodes[n].inputs) TENON_TRY(read(v));
    for (const GraphPtr& body : graph_.nodes[n].subgraphs())
      for (const OuterValue& o : body->outer) TENON_TRY(read(o.parent));
    for (ValueId v : graph_.nodes[n].outputs)
      if (v != none) {
        memory_.place(v, 0).kind = Storage::Kind::slot;
        use(v, schedule_.now());
        uses.push_back({memory_.place(v, 0), v, true});
      }
    if (in_.trace) in_.trace->at(schedule_.now(), graph_.nodes[n].label());
    schedule_.add(PlannedItem::Kind::host_step, n, none, std::move(uses));
    return {};
  }

  void set_storages() {
    for (std::size_t p = 0; p < plan_->programs.size(); ++p)
      for (std::size_t o = 0; o < operands_[p].places.size(); ++o)
        plan_->programs[p].operands.push_back(memory_.storage(operands_[p].places[o], o < operands_[p].values.size() ? operands_[p].values[o] : none));
    for (std::size_t c = 0; c < plan_->copies.size(); ++c) {
      plan_->copies[c].from = memory_.storage(copies_[c].from, plan_->copies[c].value);
      plan_->copies[c].to = memory_.storage(copies_[c].to, plan_->copies[c].value);
    }
    // Outputs that no program makes: constants, evaluated values, inputs passed through.
    for (ValueId v : graph_.outputs)
      if (plan_->last && !memory_.exists(v, 0) && !in_.resident(v)) memory_.place(v, 0).kind = evaluated(v) ? Storage::Kind::fixed : Storage::Kind::slot;
    for (const auto& [key, p] : memory_.places())
      if (key.second == 0) plan_->on_host[key.first] = memory_.storage(p, key.first);
  }

  const PlanInput& in_;
  const Graph& graph_;
  std::uint32_t segment_;
  std::unique_ptr<Plan> plan_;
  PlanMemory memory_;
  Schedule schedule_;
  LaterReads later_;
  std::map<ValueId, std::pair<std::uint32_t, DevicePtr>> home_;  // values made in a device's memory: domain and maker
  struct Over {
    ValueId in, out;
    std::uint32_t time;
  };
  std::vector<Over> overs_;
  std::map<ValueId, std::pair<std::uint32_t, std::uint32_t>> used_;  // values at the border of parts: first and last time
  std::vector<OperandPlaces> operands_;                          // by program
  std::vector<CopyPlaces> copies_;                               // by copy
  std::vector<bool> read_on_host_;                               // by value
};

}  // namespace

Result<std::unique_ptr<Plan>> make_plan(const PlanInput& input, std::uint32_t segment, ShapeTable shapes) {
  return Planner(input, segment, std::move(shapes)).run();
}

}  // namespace tenon
