#include "core/provider/task.h"

using tenon::error;
using tenon::Status;

namespace {

Status not_here(const char* function, const char* where) {
  return error(TENON_FAILED_PRECONDITION, "{} may only be called {}", function, where);
}

}  // namespace

Status tenon_task::const_data(std::uint64_t, tenon_const_tensor*) { return not_here("const_data", "in query, compile and program_plan"); }
Status tenon_task::const_hash(std::uint64_t, std::uint64_t*) { return not_here("const_hash", "in query, compile and program_plan"); }
Status tenon_task::packed_weight(const tenon_pack_request&, tenon_address*) { return not_here("packed_weight", "in compile"); }
Status tenon_task::artifact_get(tenon_str, const void**, std::uint64_t*) { return error(TENON_NOT_FOUND, "no artifact is stored"); }
Status tenon_task::artifact_put(tenon_str, const void*, std::uint64_t) { return error(TENON_UNIMPLEMENTED, "artifacts are not stored"); }
Status tenon_task::alloc_output(std::uint32_t, std::uint32_t, const std::int64_t*, tenon_address*) {
  return not_here("alloc_output", "in execute");
}
void tenon_task::parallel_for(std::uint64_t n, std::uint64_t grain, tenon_range_fn fn, void* context) {
  tenon::ThreadPool::instance().parallel_for(n, grain, fn, context);
}

void tenon::GangTask::parallel_for(std::uint64_t n, std::uint64_t grain, tenon_range_fn fn, void* context) {
  if (gang_) gang_->parallel_for(n, grain, fn, context);
  else if (n > 0) fn(context, 0, n, 0);
}
