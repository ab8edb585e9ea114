#include "plugins/cpu/box_planner.h"

#include <algorithm>
#include <string>

namespace tenon::cpu {
namespace {

constexpr std::uint64_t least_room = 256 << 10;  // bytes of scratch beside those that the largest sizes need

}  // namespace

void BoxPlanner::other(const char* what) const {
  throw Failure{TENON_UNSUPPORTED_SHAPE, std::string("other sizes need ") + what + " than the plan has"};
}

void BoxPlanner::run() {
  records_.resize(program_.units.size());
  Planner::run();
  sink_ = nullptr;
  any_spmd_ = std::any_of(steps_.begin(), steps_.end(), [](const PlannedStep& s) { return s.step.spmd; });
  values_of_.resize(args_.values.count);
  units_of_.resize(args_.values.count);
  dirty_.resize(program_.units.size());
  changed_.resize(program_.values.size());
  for (std::uint32_t v = 0; v < program_.values.size(); ++v)
    if (program_.values[v].alias != no_value) aliases_.emplace_back(v, root(v));
  for (std::uint32_t v = 0; v < program_.values.size(); ++v) values_of_[program_.values[v].graph_value].push_back(v);
  for (std::uint32_t u = 0; u < program_.units.size(); ++u)
    for (auto* list : {&program_.units[u].inputs, &program_.units[u].outputs})
      for (std::uint32_t v : *list) {
        if (v == no_value) continue;
        auto& units = units_of_[program_.values[v].graph_value];
        if (units.empty() || units.back() != u) units.push_back(u);
      }
}

// The values of the program that stand for it, and the units that see them.
void BoxPlanner::mark(std::uint32_t graph_value) {
  if (graph_value >= values_of_.size()) throw Failure{TENON_INTERNAL, "a changed value that the graph does not have"};
  for (std::uint32_t v : values_of_[graph_value]) {
    shapes_[v] = shape(program_.values[v]);
    bytes_[v] = 0;
    changed_[v] = true;
  }
  for (std::uint32_t u : units_of_[graph_value]) dirty_[u] = true;
}

void BoxPlanner::check_changed_aliases() const {
  for (const auto& [v, of] : aliases_)
    if (changed_[v] || changed_[of]) check_alias(v);
}

// Where resize finds what it needs for the units that it has just planned.
void BoxPlanner::follow_reads(const tenon_resize_args& args) {
  constexpr std::size_t line = 64, op_lines = 6;
  planned_ = planning_;
  lines_.clear();
  const auto add = [&](const void* p, std::size_t bytes = 1) {
    for (std::size_t at = 0; p && at < bytes; at += line) lines_.push_back(static_cast<const char*>(p) + at);
  };
  for (std::uint64_t i = 0; i < args.changed_count; ++i) {
    const std::uint32_t g = args.changed[i];
    add(&values_of_[g]), add(values_of_[g].data());
    add(&units_of_[g]), add(units_of_[g].data());
    for (std::uint32_t v : values_of_[g]) add(&program_.values[v]), add(&shapes_[v]);
  }
  for (std::uint32_t u : planned_) {
    const Unit& unit = program_.units[u];
    const Record& had = records_[u];
    add(&unit, sizeof unit), add(unit.op.get(), op_lines * line), add(unit.label.data());
    add(unit.inputs.data(), unit.inputs.size() * sizeof(std::uint32_t)), add(unit.outputs.data());
    for (auto* list : {&unit.inputs, &unit.outputs})
      for (std::uint32_t v : *list)
        if (v != no_value) add(&program_.values[v]), add(&shapes_[v]), add(&operands_[v]), add(&bytes_[v]);
    add(&had, sizeof had), add(had.temps.data()), add(had.scratch.data()), add(had.stored.data()), add(had.pairs.data());
    for (const Stored& s : had.stored) add(s.at, s.bytes);
    for (auto* lists : {&had.reads, &had.writes}) {
      add(lists->data(), lists->size() * sizeof(lists->front()));
      for (const auto& list : *lists) add(list.data());
    }
    for (std::size_t s = had.first_step; s < had.first_step + had.steps; ++s) add(&steps_[s], sizeof steps_[s]), add(&plan_.steps_[s]);
  }
}

void BoxPlanner::resize(const tenon_resize_args& args) {
  for (const void* p : lines_) __builtin_prefetch(p);
  args_.values = args.values;
  args_.load = args.load;
  again_ = true;
  other_flags_ = false;
  std::fill(dirty_.begin(), dirty_.end(), false);
  std::fill(changed_.begin(), changed_.end(), false);
  planning_.clear();
  for (std::uint64_t i = 0; i < args.changed_count; ++i) mark(args.changed[i]);
  check_changed_aliases();
  for (std::uint32_t u = 0; u < program_.units.size(); ++u) {
    if (!dirty_[u]) continue;
    planning_.push_back(u);
    plan_unit(program_.units[u]);
  }
  if (other_flags_) set_flags();
  if (planning_ != planned_) follow_reads(args);
}

void BoxPlanner::begin(const Unit& unit) {
  record_ = &records_[static_cast<std::size_t>(&unit - program_.units.data())];
  Planner::begin(unit);
  if (!again_) {
    record_->first_step = first_;
    return;
  }
  if (record_->fixed) other("other objects");
  temp_ = scratch_cursor_ = stored_ = step_ = 0;
}

Ref BoxPlanner::next(std::vector<Sized>& list, std::size_t& cursor, std::uint64_t bytes, const char* what) {
  if (cursor >= list.size() || list[cursor].bytes < bytes) other(what);
  return {list[cursor++].operand, nullptr};
}

Ref BoxPlanner::temp(std::uint64_t bytes) {
  if (again_) return next(record_->temps, temp_, bytes, "more memory");
  const Ref made = Planner::temp(bytes);
  record_->temps.push_back({made.operand, bytes});
  return made;
}

Ref BoxPlanner::scratch(std::uint64_t bytes_per_worker) {
  if (!again_) {
    // Panels of a smaller product may be larger: blocks are cut otherwise. What is not touched costs nothing.
    const std::uint64_t room = bytes_per_worker + std::max(bytes_per_worker, least_room);
    const Ref made = Planner::scratch(room);
    record_->scratch.push_back({made.operand, room});
    return made;
  }
  // Workers find their parts by the size that they ask for: less of it stays inside.
  const Ref had = next(record_->scratch, scratch_cursor_, bytes_per_worker, "more scratch");
  scratch_.push_back(had.operand);
  return had;
}

void BoxPlanner::hold(std::shared_ptr<const void> object) {
  if (again_) other("other objects");
  record_->fixed = true;
  Planner::hold(std::move(object));
}

void* BoxPlanner::store(const void* data, std::size_t bytes, std::size_t alignment) {
  if (again_ && stored_ < record_->stored.size()) {
    Stored& had = record_->stored[stored_++];
    if (had.bytes >= bytes && had.alignment >= alignment) {
      if (bytes) std::memcpy(had.at, data, bytes);
      return had.at;
    }
    had = {Planner::store(data, bytes, alignment), bytes, alignment};
    return had.at;
  }
  void* to = Planner::store(data, bytes, alignment);
  record_->stored.push_back({to, bytes, alignment});
  ++stored_;
  return to;
}

void BoxPlanner::emit(const char* name, StepFn fn, const void* params, const StepOptions& o, std::span<const Ref> reads, std::span<const Ref> writes) {
  if (!again_) {
    Planner::emit(name, fn, params, o, reads, writes);
    record_->reads.push_back(steps_.back().reads);
    record_->writes.push_back(steps_.back().writes);
    return;
  }
  read_.clear(), written_.clear();
  operands_of(reads, writes, read_, written_);
  if (step_ >= record_->steps || read_ != record_->reads[step_] || written_ != record_->writes[step_]) other("other steps");
  const std::size_t s = record_->first_step + step_++;
  PlannedStep& step = steps_[s];
  const bool shared = step.step.spmd;
  step.name = name;
  step.step = make_step(fn, params, o, step.est_ns);
  step.step.spmd = step.step.spmd && any_spmd_;
  other_flags_ = other_flags_ || step.step.spmd != shared;
  // Barriers and polls stay: at the largest sizes there are no fewer.
  Step& walked = plan_.steps_[s];
  walked.fn = fn, walked.params = params, walked.label = step.step.label;
}

void BoxPlanner::finish() {
  if (!again_) {
    record_->steps = steps_.size() - first_;
    const std::size_t before = inplace_.size();
    Planner::finish();
    for (std::size_t p = before; p < inplace_.size(); ++p) record_->pairs.push_back(inplace_[p].pair);
    return;
  }
  if (step_ != record_->steps || temp_ != record_->temps.size() || scratch_cursor_ != record_->scratch.size()) other("other steps");
  // Core may have laid one over the other.
  for (const tenon_inplace& had : record_->pairs) {
    const bool still = std::any_of(pairs_.begin(), pairs_.end(), [&](const auto& io) {
      const auto pair = pair_of(io.first, io.second);
      return pair && pair->read == had.read && pair->write == had.write;
    });
    if (!still) other("memory apart");
  }
}

}  // namespace tenon::cpu
