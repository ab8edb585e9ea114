// tenon_task: one load or one run, as a provider sees it through the host table.
//
// The ABI's opaque type is this abstract class; host.cpp forwards to it. A function that does not belong to the kind of
// task at hand answers FAILED_PRECONDITION or the harmless value. LoadTask (load.h) and the run's task (core/run) derive
// from it. Threads: as host.h says for each function.
#pragma once

#include <chrono>
#include <cstdint>

#include <tenon/host.h>
#include <tenon/trace.h>

#include "core/base/status.h"
#include "core/base/thread_pool.h"

namespace tenon {
class LoadTask;
}

struct tenon_task {
  virtual ~tenon_task() = default;

  virtual bool cancelled() { return false; }
  virtual void progress(double /*fraction*/) {}

  // -- load --
  // The clock of one query: started by core before it calls, read by it afterwards. cancelled() is true once it has run out.
  virtual std::chrono::nanoseconds begin_query() { return {}; }  // how long it may take; 0: no limit
  virtual bool end_query() { return true; }  // false: it had run out
  virtual tenon::Status const_data(std::uint64_t const_id, tenon_const_tensor* out);
  virtual void const_release(std::uint64_t /*const_id*/) {}
  virtual tenon::Status const_hash(std::uint64_t const_id, std::uint64_t out[2]);
  virtual tenon::Status packed_weight(const tenon_pack_request& request, tenon_address* out);
  virtual tenon::Status artifact_get(tenon_str key, const void** data, std::uint64_t* bytes);
  virtual tenon::Status artifact_put(tenon_str key, const void* data, std::uint64_t bytes);
  // The load that this is, for who carries it into another process; null for a run.
  virtual tenon::LoadTask* as_load() { return nullptr; }

  // -- run --
  // Extension "tenon.trace": whether the run is profiled, and what a device did in it.
  virtual bool traced() const { return false; }
  virtual void trace(const tenon_trace_event& /*event*/) {}
  virtual std::int32_t barrier() { return 0; }
  virtual void fail(tenon::Status status) { (void)status; }
  virtual const std::int64_t* extents(std::uint32_t /*operand*/) { return nullptr; }
  virtual tenon::Status alloc_output(std::uint32_t operand, std::uint32_t rank, const std::int64_t* dims, tenon_address* out);

  // Default: idle workers help.
  virtual void parallel_for(std::uint64_t n, std::uint64_t grain, tenon_range_fn fn, void* context);
};

namespace tenon {

// The part of a run's task that belongs to threads: barrier, fail, cancelled and parallel_for over a gang. Memory
// (extents, alloc_output) is left to who derives from it. begin/end are called by the thread that runs.
class GangTask : public tenon_task {
 public:
  explicit GangTask(Control& control) : control_(control) {}
  void begin(Gang& gang) { gang_ = &gang; }
  void end() { gang_ = nullptr; }

  bool cancelled() override { return control_.stop(); }
  std::int32_t barrier() override { return gang_ ? gang_->barrier() : control_.stop() ? TENON_STOP : 0; }
  void fail(Status status) override { control_.fail(std::move(status)); }
  void parallel_for(std::uint64_t n, std::uint64_t grain, tenon_range_fn fn, void* context) override;

 protected:
  Control& control_;
  Gang* gang_ = nullptr;
};

}  // namespace tenon
