#include "core/run/queues.h"

#include <algorithm>

namespace tenon {

RunQueues::~RunQueues() {
  for (auto& q : queues_) {
    if (q->event) q->device->event_destroy(q->event);
    for (tenon_event* m : q->marks)
      if (m) q->device->event_destroy(m);
  }
  for (auto& q : queues_) q->device->stream_destroy(q->stream);
}

Result<RunQueue*> RunQueues::of(const DevicePtr& device) {
  const auto found = std::find_if(queues_.begin(), queues_.end(), [&](const auto& q) { return q->device == device; });
  if (found != queues_.end()) return found->get();
  auto made = std::make_unique<RunQueue>();
  made->device = device;
  made->native = made.get();
  const std::string& family = device->info().sync_family;
  for (const auto& other : queues_) {
    if (family.empty() || other->device->info().sync_family != family) continue;
    void* native = other->device->stream_native(other->stream);
    if (!native) continue;
    if (auto shared = device->stream_create(native); shared.ok()) {
      made->stream = *shared;
      made->native = other->native;
      break;
    }
  }
  if (!made->stream) TENON_SET(made->stream, device->stream_create());
  if (!made->stream) return internal("provider {}: stream_create succeeded without a stream", device->provider().id());
  queues_.push_back(std::move(made));
  return queues_.back().get();
}

Status RunQueues::wait(RunQueue& queue) {
  if (!queue.busy) return {};
  queue.busy = false;
  Status status = queue.device->stream_sync(queue.stream);
  if (status.ok()) return {};
  broken_ = true;
  return std::move(status).at("device \"" + queue.device->info().uid + "\"");
}

Status RunQueues::mark(RunQueue& queue, std::uint32_t mark) {
  if (queue.marks.size() <= mark) queue.marks.resize(mark + 1);
  tenon_event*& event = queue.marks[mark];
  if (!event) TENON_SET(event, queue.device->event_create());
  return queue.device->event_record(event, queue.stream);
}

Status RunQueues::wait(RunQueue& queue, std::uint32_t mark) {
  if (mark == none) return wait(queue);
  if (!queue.busy) return {};
  Status status = queue.device->event_host_wait(queue.marks[mark], UINT64_MAX);
  if (status.ok()) return {};
  broken_ = true;
  return std::move(status).at("device \"" + queue.device->info().uid + "\"");
}

Status RunQueues::order(RunQueue& queue, std::uint32_t mark, RunQueue& by) {
  if (!queue.busy || queue.native == by.native) return {};
  const std::string& family = queue.device->info().sync_family;
  const bool related = !family.empty() && family == by.device->info().sync_family && &queue.device->provider() == &by.device->provider();
  if (!related || !queue.device->has_events()) return wait(queue, mark);
  if (mark != none) return queue.device->event_wait(queue.marks[mark], by.stream);
  if (!queue.event) TENON_SET(queue.event, queue.device->event_create());
  TENON_TRY(queue.device->event_record(queue.event, queue.stream));
  return queue.device->event_wait(queue.event, by.stream);
}

Status RunQueues::drain() {
  Status first;
  for (auto& q : queues_) {
    Status status = wait(*q);
    if (first.ok() && !status.ok()) first = std::move(status);
  }
  return first;
}

}  // namespace tenon
