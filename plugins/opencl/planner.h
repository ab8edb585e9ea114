// Planner: what the units of a program emit for one set of shapes: launches on tensors, and the buffers behind them.
//
// A PlanBuilder for one unit after another. Lives during program_plan (or a trial of the tuner); one thread.
#pragma once

#include <vector>

#include "plugins/opencl/plan.h"

namespace tenon::opencl {

class Planner final : public PlanBuilder {
 public:
  // candidate: what every choice gets, for a trial; -1: what is known to be the fastest.
  Planner(const Program& program, const tenon_plan_args& args, int candidate = -1);

  struct Step {
    Launch launch;
    const Unit* unit;
  };
  // A unit that asked which way to go, and where its launches are.
  struct Asked {
    std::string key;
    int count, chosen;
    std::size_t first, last;  // last: open_piece until the unit, or its next question, ends it
  };

  // Plans all units. Throws Failure, the unit named.
  void units();

  std::vector<PlanBuffer> buffers;
  std::vector<Step> steps;
  std::vector<Asked> asked;

  // ---- PlanBuilder ----
  const Profile& profile() const override { return program_.device->profile; }
  std::size_t inputs() const override { return unit_->inputs.size(); }
  std::size_t outputs() const override { return unit_->outputs.size(); }
  const Tensor& in(std::size_t i) const override;
  const Tensor& out_shape(std::size_t i) const override;
  Tensor laid_out(const Tensor& t, Layout layout) override;
  Tensor make_out(std::size_t i, Layout layout) override;
  void alias_out(std::size_t i, const Tensor& view) override;
  Tensor temp(std::int32_t dtype, const Dims& dims, Layout layout) override;
  int choice(const std::string& key, int count, int seed) override;
  LinkedEpilogue link(const TileSpace& space, std::int32_t accumulator) override;
  void launch(Launch l) override;
  void copy(const Tensor& from, const Tensor& to) override;

 private:
  static constexpr std::size_t open_piece = ~std::size_t{0};
  Tensor start(std::uint32_t v);
  void close_piece();

  const Program& program_;
  const tenon_plan_args& args_;
  int candidate_;
  std::vector<Tensor> tensors_;   // by value
  std::vector<bool> made_;
  std::vector<std::pair<Tensor, Tensor>> copies_;   // of which tensor, what
  std::vector<std::pair<Tensor, Tensor>> leaving_;  // to be copied when the unit has been planned
  const Unit* unit_ = nullptr;
  Tensor omitted_;
};

}  // namespace tenon::opencl
