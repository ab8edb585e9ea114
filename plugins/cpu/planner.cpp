#include "plugins/cpu/planner.h"

#include <algorithm>
#include <string>

#include "plugins/cpu/box_planner.h"
#include "plugins/cpu/plan_list.h"

namespace tenon::cpu {
namespace {

constexpr double worth_sharing_ns = 2000;  // less work than this is done by one worker
constexpr double poll_ns = 1e6;
constexpr std::size_t poll_steps = 64;
constexpr std::int64_t known_limit = 1024;  // elements of a constant that plans may look at
constexpr double bytes_per_ns = 10;

void add(std::vector<std::uint32_t>& list, std::uint32_t operand) {
  if (operand != no_value && std::find(list.begin(), list.end(), operand) == list.end()) list.push_back(operand);
}

}  // namespace

Planner::Planner(const Program& program, const tenon_plan_args& args, tenon_plan_sink* sink, Plan& plan)
    : program_(program), args_(args), sink_(sink), plan_(plan), operands_(program.values.size(), no_value), bytes_(program.values.size(), 0) {
  next_operand_ = program.input_count + program.output_count;
  shapes_.reserve(program.values.size());
  for (const Value& v : program.values) shapes_.push_back(shape(v));
  for (std::uint32_t v = 0; v < program.values.size(); ++v) operands_[v] = program.values[v].operand;
  plan.steps_.reserve(program.units.size() + program.units.size() / 4);
}

void Planner::run() {
  check_aliases();
  for (const Unit& unit : program_.units) plan_unit(unit);
  set_flags();
  for (std::size_t s = 0; s < steps_.size(); ++s) send(s);
}

// What has no step is checked here: a reshape inside the part reads as many elements as its source has.
void Planner::check_aliases() const {
  for (std::uint32_t v = 0; v < program_.values.size(); ++v)
    if (program_.values[v].alias != no_value) check_alias(v);
}
void Planner::check_alias(std::uint32_t v) const {
  const std::int64_t from = element_count(shapes_[root(v)].dims), to = element_count(shapes_[v].dims);
  if (from != to) throw Failure{TENON_INVALID_ARGUMENT, "a tensor of " + std::to_string(from) + " elements is given a shape of " + std::to_string(to)};
}

void Planner::plan_unit(const Unit& unit) {
  begin(unit);
  const PlanMemory::Scope lists;
  try {
    unit.op->plan(*this);
  } catch (const Failure& f) {
    throw Failure{f.code, unit.label + ": " + f.text};
  }
  finish();
}

// ---- PlanBuilder --------------------------------------------------------------------------------------------------------

Ref Planner::in_ref(std::uint32_t i) const {
  if (i >= unit_->inputs.size() || unit_->inputs[i] == no_value) return {};
  const std::uint32_t v = root(unit_->inputs[i]);
  const Value& value = program_.values[v];
  if (value.constant != no_value) return {no_value, program_.constant(value.constant, args_.load)};
  return {operands_[v], nullptr};
}
Ref Planner::temp(std::uint64_t bytes) {
  temps_.push_back({new_temp(bytes, 0), steps_.size()});
  return {temps_.back().operand, nullptr};
}
Ref Planner::scratch(std::uint64_t bytes_per_worker) {
  scratch_.push_back(new_temp(bytes_per_worker, TENON_TEMP_PER_WORKER));
  return {scratch_.back(), nullptr};
}
void Planner::hold(std::shared_ptr<const void> object) { plan_.held_.push_back(std::move(object)); }

void* Planner::store(const void* data, std::size_t bytes, std::size_t alignment) {
  void* to = plan_.arena_.alloc(bytes, alignment);
  if (bytes) std::memcpy(to, data, bytes);
  return to;
}

void Planner::operands_of(std::span<const Ref> reads, std::span<const Ref> writes, std::vector<std::uint32_t>& read,
                          std::vector<std::uint32_t>& written) {
  if (reads.empty()) {
    for (std::uint32_t v : unit_->inputs)
      if (v != no_value) add(read, operands_[root(v)]);
  } else {
    for (Ref r : reads) add(read, r.operand);
  }
  if (writes.empty()) {
    for (std::uint32_t v : unit_->outputs)
      if (v != no_value) add(written, operands_[v]);
  } else {
    for (Ref r : writes) add(written, r.operand);
  }
  for (std::uint32_t s : scratch_) add(written, s);
  scratch_.clear();
}

Step Planner::make_step(StepFn fn, const void* params, const StepOptions& o, double& est_ns) {
  est_ns = o.est_ns > 0 ? o.est_ns : traffic_ns();
  const bool spmd = o.spmd && !o.allocates && est_ns >= worth_sharing_ns && args_.max_workers > 1;
  return {fn, params, unit_->label.c_str(), spmd, false, false};
}

void Planner::emit(const char* name, StepFn fn, const void* params, const StepOptions& o, std::span<const Ref> reads, std::span<const Ref> writes) {
  PlannedStep step{name, {}, 0, {}, {}};
  operands_of(reads, writes, step.reads, step.writes);
  step.step = make_step(fn, params, o, step.est_ns);
  steps_.push_back(std::move(step));
  owner_.push_back(unit_);
}

// ---- units --------------------------------------------------------------------------------------------------------------

Shape Planner::shape(const Value& value) const {
  Shape s;
  s.dtype = compute_dtype(value.dtype);
  s.block = value.block;
  if (value.graph_value >= args_.values.count) throw Failure{TENON_INTERNAL, "a value without sizes"};
  const auto& p = element<tenon_plan_value>(args_.values, value.graph_value);
  if (p.rank > 0) s.dims = {p.dims, static_cast<std::size_t>(p.rank)};
  if (compute_dtype(p.dtype) == p.dtype) s.known = p.known;  // half elements are not what kernels see
  if (value.constant != no_value) {
    const Constant& c = *program_.constants[value.constant];
    if (c.count >= 0 && c.count <= known_limit) s.known = program_.constant(value.constant, args_.load);
  }
  return s;
}

std::uint32_t Planner::new_temp(std::uint64_t bytes, std::uint64_t flags) {
  const tenon_temp temp{sizeof(tenon_temp), 0, std::max<std::uint64_t>(bytes, 1), 64, flags};
  program_.host.api->temp(sink_, &temp);
  return next_operand_++;
}

void Planner::begin(const Unit& unit) {
  unit_ = &unit;
  first_ = steps_.size();
  temps_.clear();
  scratch_.clear();
  pairs_.clear();
  for (std::uint32_t v : unit.inputs)
    if (v != no_value) require_sized(v);
  for (std::uint32_t v : unit.outputs) {
    if (v == no_value) continue;
    if (!unit.data_dependent) require_sized(v);
    if (operands_[v] != no_value) continue;
    const std::int64_t count = element_count(shapes_[v].dims);
    if (count < 0) {
      if (unit.data_dependent) continue;  // nobody wants it
      throw Failure{TENON_UNSUPPORTED_SHAPE, unit.label + ": an output inside the part has a size that the data decides"};
    }
    operands_[v] = new_temp(tensor_bytes(shapes_[v].dtype, count), 0);
  }
}

void Planner::require_sized(std::uint32_t v) const {
  if (program_.values[v].constant != no_value) return;
  const auto& p = element<tenon_plan_value>(args_.values, program_.values[v].graph_value);
  bool sized = p.rank >= 0;
  for (std::int32_t d = 0; d < p.rank; ++d) sized = sized && p.dims[d] >= 0;
  if (!sized) throw Failure{TENON_UNSUPPORTED_SHAPE, unit_->label + ": the size of a value cannot be known before the run"};
}

std::uint64_t Planner::bytes(std::uint32_t v) {
  if (bytes_[v] == 0) {
    const std::int64_t count = element_count(shapes_[v].dims);
    bytes_[v] = 1 + (count < 0 ? 0 : tensor_bytes(shapes_[v].dtype, count));
  }
  return bytes_[v] - 1;
}
double Planner::traffic_ns() {
  std::uint64_t total = 0;
  for (auto* list : {&unit_->inputs, &unit_->outputs})
    for (std::uint32_t v : *list)
      if (v != no_value) total += bytes(v);
  return static_cast<double>(total) / bytes_per_ns;
}

std::optional<tenon_inplace> Planner::pair_of(std::uint32_t i, std::uint32_t o) {
  if (i >= unit_->inputs.size() || o >= unit_->outputs.size() || unit_->inputs[i] == no_value || unit_->outputs[o] == no_value) return std::nullopt;
  const std::uint32_t read = operands_[root(unit_->inputs[i])], write = operands_[unit_->outputs[o]];
  if (read == no_value || write == no_value || bytes(unit_->inputs[i]) != bytes(unit_->outputs[o])) return std::nullopt;
  // Another input in the same memory would be read after it has been overwritten.
  std::size_t uses = 0;
  for (std::uint32_t v : unit_->inputs) uses += v != no_value && operands_[root(v)] == read;
  if (uses != 1) return std::nullopt;
  return tenon_inplace{read, write};
}

// Temps live from the step after which they were made to the unit's last.
void Planner::finish() {
  if (steps_.size() == first_) return;
  for (const Temp& t : temps_) {
    if (t.since < steps_.size()) add(steps_[t.since].writes, t.operand);
    add(steps_.back().writes, t.operand);
  }
  for (auto [i, o] : pairs_)
    if (const auto pair = pair_of(i, o)) inplace_.push_back({first_, steps_.size(), *pair});
}

// ---- the plan as core and the walk over it see it -----------------------------------------------------------------------

void Planner::set_flags() {
  double since = 0;
  std::size_t last_poll = 0;
  plan_.steps_.resize(steps_.size());
  for (std::size_t s = 0; s < steps_.size(); ++s) {
    Step step = steps_[s].step;
    step.barrier = s > 0 && (step.spmd || steps_[s - 1].step.spmd);
    if (s > 0 && (since >= poll_ns || s - last_poll >= poll_steps)) step.poll = true, since = 0, last_poll = s;
    since += steps_[s].est_ns;
    plan_.steps_[s] = step;
  }
}

void Planner::send(std::size_t s) {
  const PlannedStep& step = steps_[s];
  std::vector<tenon_inplace> pairs;
  while (next_pair_ < inplace_.size() && inplace_[next_pair_].end <= s) ++next_pair_;
  for (std::size_t p = next_pair_; p < inplace_.size() && inplace_[p].begin <= s; ++p) {
    const tenon_inplace& pair = inplace_[p].pair;
    const bool both = std::count(step.reads.begin(), step.reads.end(), pair.read) && std::count(step.writes.begin(), step.writes.end(), pair.write);
    if (both) pairs.push_back(pair);
  }
  tenon_step out{};
  out.struct_size = sizeof out;
  out.stage = static_cast<std::uint32_t>(s);
  out.flags = TENON_STEP_CAPTURABLE | (step.step.spmd ? TENON_STEP_SPMD : 0);
  out.name = {step.name.data(), step.name.size()};
  out.reads = step.reads.data(), out.read_count = static_cast<std::uint32_t>(step.reads.size());
  out.writes = step.writes.data(), out.write_count = static_cast<std::uint32_t>(step.writes.size());
  out.inplace = pairs.data(), out.inplace_count = static_cast<std::uint32_t>(pairs.size());
  out.nodes = owner_[s]->nodes.data(), out.node_count = static_cast<std::uint32_t>(owner_[s]->nodes.size());
  out.est_ns = static_cast<std::uint64_t>(std::min(step.est_ns, 1e15));
  program_.host.api->step(sink_, &out);
}

std::unique_ptr<Plan> Plan::make(const Program& program, const tenon_plan_args& args, tenon_plan_sink* sink) {
  auto plan = std::make_unique<Plan>();
  if (args.ranges.count != 0) {
    plan->box_ = std::make_unique<BoxPlanner>(program, args, sink, *plan);
    plan->box_->run();
  } else {
    Planner(program, args, sink, *plan).run();
  }
  return plan;
}

}  // namespace tenon::cpu
