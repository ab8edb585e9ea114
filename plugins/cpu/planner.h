// Planner: what the units of a program emit into, unit after unit, for one set of sizes.
//
// Lives for one call of Plan::make; the planner of a box (box_planner.h) as long as its plan. One thread at a time.
#pragma once

#include "plugins/cpu/plan.h"

namespace tenon::cpu {

class Planner : public PlanBuilder {
 public:
  Planner(const Program& program, const tenon_plan_args& args, tenon_plan_sink* sink, Plan& plan);
  void run();

  // ---- PlanBuilder ----

  const Options& options() const override { return program_.options; }
  const Shape& in(std::uint32_t i) const override { return of(unit_->inputs, i); }
  const Shape& out(std::uint32_t i) const override { return of(unit_->outputs, i); }
  Ref in_ref(std::uint32_t i) const override;
  Ref out_ref(std::uint32_t i) const override { return {out_operand(i), nullptr}; }
  std::uint32_t out_operand(std::uint32_t i) const override {
    return i < unit_->outputs.size() && unit_->outputs[i] != no_value ? operands_[unit_->outputs[i]] : no_value;
  }
  Ref temp(std::uint64_t bytes) override;
  Ref scratch(std::uint64_t bytes_per_worker) override;
  void inplace(std::uint32_t i, std::uint32_t o) override { pairs_.emplace_back(i, o); }
  void hold(std::shared_ptr<const void> object) override;

 protected:
  struct PlannedStep {
    std::string_view name;
    Step step;
    double est_ns;
    std::vector<std::uint32_t> reads, writes;
  };
  struct Pair {
    std::size_t begin, end;  // steps of its unit
    tenon_inplace pair;
  };

  void* store(const void* data, std::size_t bytes, std::size_t alignment) override;
  void emit(const char* name, StepFn fn, const void* params, const StepOptions& o, std::span<const Ref> reads, std::span<const Ref> writes) override;
  // The operands of a step: what it names, or all of the unit's, and this step's scratch.
  void operands_of(std::span<const Ref> reads, std::span<const Ref> writes, std::vector<std::uint32_t>& read, std::vector<std::uint32_t>& written);
  Step make_step(StepFn fn, const void* params, const StepOptions& o, double& est_ns);

  Shape shape(const Value& value) const;
  const Shape& of(const std::vector<std::uint32_t>& list, std::uint32_t i) const {
    return i < list.size() && list[i] != no_value ? shapes_[list[i]] : omitted_;
  }
  std::uint32_t root(std::uint32_t v) const { return program_.values[v].alias == no_value ? v : program_.values[v].alias; }
  std::uint32_t new_temp(std::uint64_t bytes, std::uint64_t flags);
  virtual void begin(const Unit& unit);
  virtual void finish();
  // Operands of input i and output o, where one may take over the other's memory; nothing otherwise.
  std::optional<tenon_inplace> pair_of(std::uint32_t i, std::uint32_t o);
  void check_aliases() const;
  void check_alias(std::uint32_t v) const;
  void plan_unit(const Unit& unit);
  // Kernels count on sizes: none of theirs may be open, but those of outputs that alloc_output makes.
  void require_sized(std::uint32_t v) const;
  std::uint64_t bytes(std::uint32_t v);
  double traffic_ns();
  // Barriers and polls of all steps, into the plan.
  void set_flags();
  void send(std::size_t s);

  struct Temp {
    std::uint32_t operand;
    std::size_t since;  // steps emitted before it
  };

  const Program& program_;
  tenon_plan_args args_;
  tenon_plan_sink* sink_;
  Plan& plan_;
  std::vector<Shape> shapes_;
  std::vector<std::uint32_t> operands_;
  std::vector<std::uint64_t> bytes_;  // plus one; 0: not counted yet
  Shape omitted_;
  std::uint32_t next_operand_ = 0;
  std::vector<PlannedStep> steps_;
  std::vector<const Unit*> owner_;
  std::vector<Pair> inplace_;
  std::size_t next_pair_ = 0;
  // The unit at hand.
  const Unit* unit_ = nullptr;
  std::size_t first_ = 0;
  std::vector<Temp> temps_;
  std::vector<std::uint32_t> scratch_;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> pairs_;
};

}  // namespace tenon::cpu
