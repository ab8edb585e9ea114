#include "core/plan/schedule.h"

#include <algorithm>

namespace tenon {

std::uint32_t Schedule::queue_of(const DevicePtr& device) {
  if (!device->has_streams()) return none;
  const auto found = std::find(plan_.queues.begin(), plan_.queues.end(), device);
  const auto index = static_cast<std::uint32_t>(found - plan_.queues.begin());
  if (found == plan_.queues.end()) plan_.queues.push_back(device);
  return index;
}

void Schedule::add(PlannedItem::Kind kind, std::uint32_t index, std::uint32_t queue, std::vector<MemoryUse> uses, std::uint32_t stages) {
  if (kind != PlannedItem::Kind::program)
    for (const MemoryUse& u : uses) memory_.touch(u.place, time_);
  plan_.items.push_back({kind, index, {}});
  work_.push_back({queue, time_, std::move(uses)});
  time_ += stages;
}

std::vector<std::vector<PlannedWait>> Schedule::waits() const {
  std::vector<QueuedWork> list;
  for (const Work& w : work_) {
    QueuedWork& out = list.emplace_back();
    out.queue = w.queue;
    for (const MemoryUse& u : w.uses) out.regions.push_back(memory_.region(u.place, u.value, u.write));
  }
  return find_waits(list, static_cast<std::uint32_t>(plan_.queues.size()));
}

void Schedule::keep_copied() {
  if (plan_.queues.empty()) return;
  const auto found = waits();
  std::vector<std::uint32_t> free_at(plan_.queues.size(), time_);
  for (std::size_t i = work_.size(); i-- > 0;) {
    if (const Work& w = work_[i]; w.queue != none && plan_.items[i].kind == PlannedItem::Kind::copy)
      for (const MemoryUse& u : w.uses)
        if (u.place.domain == 0) memory_.touch(u.place, free_at[w.queue]);
    for (const PlannedWait& w : found[i])
      if (w.by == none) free_at[w.queue] = work_[i].time;
  }
}

void Schedule::set_waits() {
  if (plan_.queues.empty()) return;
  auto found = waits();
  for (std::size_t i = 0; i < found.size(); ++i) plan_.items[i].waits = std::move(found[i]);
}

}  // namespace tenon
