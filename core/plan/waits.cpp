#include "core/plan/waits.h"

#include <algorithm>
#include <unordered_map>

namespace tenon {

std::vector<std::vector<FoundWait>> find_waits(const std::vector<QueuedWork>& work, const std::vector<bool>& marked) {
  struct Outstanding {
    std::uint32_t queue, number;
    Region region;
  };
  std::vector<std::vector<FoundWait>> out(work.size());
  const auto queues = static_cast<std::uint32_t>(marked.size());
  if (queues == 0) return out;
  const std::uint32_t host = queues;
  std::vector<std::uint32_t> given(queues);  // pieces of work given to each queue so far
  struct Piece {
    std::uint32_t work = none;
    std::vector<std::uint32_t> done;  // of all queues before it began
  };
  std::vector<std::vector<Piece>> pieces(queues);
  // done[w][q]: so many of queue q's pieces are done before anything that w begins now. Row `host` is the host's.
  std::vector<std::vector<std::uint32_t>> done(queues + 1, std::vector<std::uint32_t>(queues));
  const auto learn = [](std::vector<std::uint32_t>& to, const std::vector<std::uint32_t>& from) {
    for (std::size_t q = 0; q < to.size(); ++q) to[q] = std::max(to[q], from[q]);
  };
  std::unordered_map<std::uint64_t, std::vector<Outstanding>> spaces;
  std::vector<std::uint32_t> need(queues);
  for (std::size_t i = 0; i < work.size(); ++i) {
    const std::uint32_t me = work[i].queue == none ? host : work[i].queue;
    if (me != host) learn(done[me], done[host]);
    std::fill(need.begin(), need.end(), 0u);
    for (const Region& r : work[i].regions) {
      const auto space = spaces.find(r.space);
      if (space == spaces.end() || r.begin == r.end) continue;
      for (const Outstanding& o : space->second)
        if (o.queue != me && (o.region.write || r.write) && o.region.begin < r.end && r.begin < o.region.end)
          need[o.queue] = std::max(need[o.queue], o.number);
    }
    for (std::uint32_t q = 0; q < queues; ++q) {
      if (need[q] <= done[me][q]) continue;
      const bool some = marked[q] && need[q] < given[q];
      const std::uint32_t up_to = some ? need[q] : given[q];
      const Piece& last = pieces[q][up_to - 1];
      out[i].push_back({q, me == host ? none : me, some ? last.work : none});
      learn(done[me], last.done);
      done[me][q] = up_to;
    }
    if (me == host) continue;
    ++given[me];
    pieces[me].push_back({static_cast<std::uint32_t>(i), done[me]});
    for (const Region& r : work[i].regions)
      if (r.begin != r.end) spaces[r.space].push_back({me, given[me], r});
  }
  return out;
}

}  // namespace tenon
