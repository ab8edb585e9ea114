// RunQueues: the streams of one run context, one for each device that has them, made when first asked for.
//
// Devices of one sync_family share a native stream where both can, else they meet by events; all others meet by the host.
// Owned by the context; one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/graph/graph.h"
#include "core/provider/provider.h"

namespace tenon {

struct RunQueue {
  DevicePtr device;
  tenon_stream* stream = nullptr;
  tenon_event* event = nullptr;   // made when another queue first waits for this one
  std::vector<tenon_event*> marks;  // made when first set; the next plan sets them anew
  const RunQueue* native = nullptr;  // the queue whose native stream it shares, itself at first
  bool busy = false;              // work was given since the host last waited; set by who gives it
};

class RunQueues {
 public:
  RunQueues() = default;
  ~RunQueues();
  RunQueues(const RunQueues&) = delete;
  RunQueues& operator=(const RunQueues&) = delete;

  // The device's queue; stays where it is. REQUIRES device->has_streams(). Errors: the provider's.
  Result<RunQueue*> of(const DevicePtr& device);
  // Returns when all that was given to the queue is done. Errors: what failed there, naming the device; the queues are
  // broken then.
  Status wait(RunQueue& queue);
  // Sets a mark behind all that was given to the queue so far. REQUIRES device->has_marks().
  Status mark(RunQueue& queue, std::uint32_t mark);
  // Returns when what was given to the queue before that mark is done. Errors as of wait.
  Status wait(RunQueue& queue, std::uint32_t mark);
  // What is given to `by` from now on begins after what was given to `queue` before that mark; none: after all of it.
  Status order(RunQueue& queue, std::uint32_t mark, RunQueue& by);
  // Waits for all queues; all of them even when one fails. Errors: the first one's.
  Status drain();
  // A stream has failed: what uses it is thrown away with it.
  bool broken() const { return broken_; }

 private:
  std::vector<std::unique_ptr<RunQueue>> queues_;
  bool broken_ = false;
};

}  // namespace tenon
