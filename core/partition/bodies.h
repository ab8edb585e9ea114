// Bodies: what runs in place of an operator that a device lacks: its function body, and what that would cost there.
//
// Used by one placement; refers to its input and writes to its notes.
#pragma once

#include <string>
#include <vector>

#include "core/partition/place.h"

namespace tenon {

class Bodies {
 public:
  static constexpr int max_depth = 4;  // bodies inside bodies

  Bodies(const PlaceInput& input, std::vector<std::string>& notes) : in_(input), notes_(notes) {}

  // A refusal for such a reason may be met by the body.
  static bool lacks_operator(std::int32_t reason);
  // The typed body of a node of graph `around`; null where there is none or it cannot be used, which is noted.
  Result<GraphPtr> of(const Graph& around, const Node& node);
  // What a body costs on a device, functions inside it by their bodies; infinite where the device lacks some of it.
  Result<double> cost(std::uint32_t device, Graph& body, int depth = 1);

 private:
  const PlaceInput& in_;
  std::vector<std::string>& notes_;
};

}  // namespace tenon
