// BoxPlanner: the planner of a plan whose sizes change from run to run within a box.
//
// First it plans at the largest sizes and keeps what each unit did: temps, stored functors, steps, in-place pairs. For other
// sizes only the units that see a change emit again, into the memory they had; whoever wants other memory than it was given
// is an UNSUPPORTED_SHAPE. Owned by the plan; one thread at a time.
#pragma once

#include <tenon/resize.h>

#include "plugins/cpu/planner.h"

namespace tenon::cpu {

class BoxPlanner final : public Planner {
 public:
  using Planner::Planner;
  void run();
  void resize(const tenon_resize_args& args);

  Ref temp(std::uint64_t bytes) override;
  Ref scratch(std::uint64_t bytes_per_worker) override;
  void hold(std::shared_ptr<const void> object) override;

 protected:
  void* store(const void* data, std::size_t bytes, std::size_t alignment) override;
  void emit(const char* name, StepFn fn, const void* params, const StepOptions& o, std::span<const Ref> reads, std::span<const Ref> writes) override;
  void begin(const Unit& unit) override;
  void finish() override;

 private:
  struct Sized {
    std::uint32_t operand;
    std::uint64_t bytes;
  };
  struct Stored {
    void* at;
    std::size_t bytes, alignment;
  };
  // What one unit did when it was planned first.
  struct Record {
    std::size_t first_step = 0, steps = 0;
    std::vector<Sized> temps, scratch;
    std::vector<Stored> stored;
    std::vector<tenon_inplace> pairs;
    std::vector<std::vector<std::uint32_t>> reads, writes;  // by step, before temps are added
    bool fixed = false;                                     // it holds objects: not to be planned twice
  };
  [[noreturn]] void other(const char* what) const;
  Ref next(std::vector<Sized>& list, std::size_t& cursor, std::uint64_t bytes, const char* what);
  void mark(std::uint32_t graph_value);
  void check_changed_aliases() const;
  void follow_reads(const tenon_resize_args& args);

  std::vector<Record> records_;  // by unit
  Record* record_ = nullptr;
  bool again_ = false;           // units emit into what they had
  bool any_spmd_ = false;
  bool other_flags_ = false;     // a step is shared now and was not, or the other way round
  std::size_t temp_ = 0, scratch_cursor_ = 0, stored_ = 0, step_ = 0;
  std::vector<std::uint32_t> read_, written_;             // of the step at hand
  std::vector<std::vector<std::uint32_t>> values_of_;     // by graph value
  std::vector<std::vector<std::uint32_t>> units_of_;      // by graph value: units that read or make it
  std::vector<char> dirty_;                               // by unit
  std::vector<char> changed_;                             // by value: in this call
  std::vector<std::pair<std::uint32_t, std::uint32_t>> aliases_;  // value, and the one whose memory it is
  // The memory that the last call looked at, asked for at once: it is no longer in the caches, since weights went through them.
  std::vector<std::uint32_t> planned_, planning_;         // units
  std::vector<const void*> lines_;
};

}  // namespace tenon::cpu
