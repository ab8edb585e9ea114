#include "plugins/cpu/ops/byte_map.h"

#include "plugins/cpu/ops/byte_finish.h"

namespace tenon::cpu {
namespace {

struct ByteMapStep {
  const ByteFinish* finish;
  const std::uint8_t* table;
  std::int64_t count;
  Ref x, y;

  void operator()(const StepContext& c) const {
    const auto [begin, end] = c.slice(count, 1024);
    if (begin < end) finish->map(table, c.ptr<const std::uint8_t>(x) + begin, end - begin, c.ptr<std::uint8_t>(y) + begin);
  }
};

}  // namespace

void ByteMapOp::plan(PlanBuilder& b) const {
  const std::int64_t count = b.out(0).count();
  if (count == 0) return;
  const ByteMapStep step{&byte_finish(b.options().isa), b.keep(std::span<const std::uint8_t>(table_)), count, b.in_ref(0), b.out_ref(0)};
  b.step("bytes.map", step, {.est_ns = 50 + static_cast<double>(count) / 4});
  b.inplace(0, 0);
}

}  // namespace tenon::cpu
