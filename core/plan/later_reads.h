// LaterReads: in which memories a value is read by the segments after one, by bodies of control flow, and by whoever keeps
// it there between runs.
// Made by the planner of a segment; immutable; any thread.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/plan/planner.h"

namespace tenon {

class LaterReads {
 public:
  LaterReads(const PlanInput& input, std::uint32_t segment);

  bool anywhere(ValueId v) const { return find(v) != reads_.end(); }
  // In the memory with this uid; the host's is "host".
  bool in(ValueId v, const std::string& uid) const;
  // In any memory but this.
  bool outside(ValueId v, const std::string& uid) const;

 private:
  using Read = std::pair<ValueId, const std::string*>;  // the uid: of a device of the programs, or host
  std::vector<Read>::const_iterator find(ValueId v) const;

  std::vector<Read> reads_;  // by value
};

}  // namespace tenon
