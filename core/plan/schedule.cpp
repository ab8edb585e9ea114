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
  plan_.items.push_back({kind, index, {}, none});
  work_.push_back({queue, time_, std::move(uses)});
  time_ += stages;
}

std::vector<std::vector<FoundWait>> Schedule::waits() const {
  std::vector<QueuedWork> list;
  for (const Work& w : work_) {
    QueuedWork& out = list.emplace_back();
    out.queue = w.queue;
    for (const MemoryUse& u : w.uses) out.regions.push_back(memory_.region(u.place, u.value, u.write));
  }
  std::vector<bool> marked;
  for (const DevicePtr& device : plan_.queues) marked.push_back(device->has_marks());
  return find_waits(list, marked);
}

void Schedule::keep_copied() {
  if (plan_.queues.empty()) return;
  const auto found = waits();
  struct Free {
    std::size_t after;  // what was given until this item
    std::uint32_t time;
  };
  std::vector<std::vector<Free>> free(plan_.queues.size());  // by falling time
  for (auto& f : free) f.push_back({work_.size(), time_});
  for (std::size_t i = work_.size(); i-- > 0;) {
    if (const Work& w = work_[i]; w.queue != none && plan_.items[i].kind == PlannedItem::Kind::copy) {
      const auto covers = std::find_if(free[w.queue].rbegin(), free[w.queue].rend(), [&](const Free& f) { return f.after >= i; });
      for (const MemoryUse& u : w.uses)
        if (u.place.domain == 0) memory_.touch(u.place, covers->time);
    }
    for (const FoundWait& w : found[i])
      if (w.by == none) free[w.queue].push_back({w.after == none ? i : w.after, work_[i].time});
  }
}

void Schedule::set_waits() {
  if (plan_.queues.empty()) return;
  const auto found = waits();
  std::vector<std::uint32_t> marks(plan_.queues.size());
  for (const auto& list : found)
    for (const FoundWait& w : list)
      if (w.after != none && plan_.items[w.after].mark == none) plan_.items[w.after].mark = marks[w.queue]++;
  for (std::size_t i = 0; i < found.size(); ++i)
    for (const FoundWait& w : found[i]) plan_.items[i].waits.push_back({w.queue, w.by, w.after == none ? none : plan_.items[w.after].mark});
}

}  // namespace tenon
