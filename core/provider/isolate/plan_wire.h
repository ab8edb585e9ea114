// Sizes and steps over a channel: what program_plan is told, and what it answers.
// Values; threads: like any value.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include <tenon/provider.h>

#include "core/provider/host.h"
#include "core/provider/isolate/wire.h"

namespace tenon::isolate {

void write_values(Writer& out, const tenon_span& values);

// The values of a plan in memory of its own, which stays where it is when other sizes are read into it.
class PlanValues {
 public:
  // False where the bytes are no values, or, the second time, values that do not fit into the first ones.
  bool read(Reader& in);
  tenon_span span() const { return {values_.data(), values_.size(), sizeof(tenon_plan_value), 0}; }
  const std::vector<tenon_plan_value>& values() const { return values_; }

 private:
  struct Held {
    std::vector<std::int64_t> dims, dims_max, strides;
    std::vector<std::byte> known;
  };
  template <class T, class Pointer>
  static bool hold(std::vector<T>& to, std::span<const std::byte> from, bool there, Pointer& pointer);
  std::vector<tenon_plan_value> values_;
  std::vector<std::uint32_t> index_;  // which of them are said
  std::deque<Held> held_;             // beside index_
};

// What a provider emitted, in order.
struct Emitted {
  enum class What : std::uint8_t { temp, step, workspace, malformed } what = What::temp;
  tenon_temp temp{};
  tenon_step step{};  // its arrays are those below
  std::string text;   // the step's name, or what is malformed
  std::vector<std::uint32_t> reads, writes, nodes;
  std::vector<tenon_inplace> inplace;
};

// Collects what is emitted.
struct PlanCollector final : tenon_plan_sink {
  std::vector<Emitted> out;
  void temp(const tenon_temp& t) override;
  void step(const tenon_step& s) override;
  void workspace(const tenon_temp& t) override;
  void malformed(std::string text) override;
};

void write_emitted(Writer& out, const std::vector<Emitted>& emitted);
bool read_emitted(Reader& in, std::vector<Emitted>& out);
void emit(const Emitted& one, tenon_plan_sink& sink);

}  // namespace tenon::isolate
