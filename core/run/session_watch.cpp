// Runs and reports that their caller may leave behind. Such a run owns all that it touches: copies stand for the memory that the caller lends,
// because the caller may free that as soon as it has returned.
#include <algorithm>
#include <cstring>

#include "core/provider/watch.h"
#include "core/run/session_impl.h"

namespace tenon {
namespace {

struct OwnRun {
  std::vector<NamedDatum> feeds, results;
  std::vector<std::string> names;
  RunOptions options;
  std::shared_ptr<State> state;
  Profile profile;
  std::vector<NodeBan> refused;
};

Result<Datum> memory(std::uint64_t bytes) { return Datum::tensor(TENON_DTYPE_UINT8, {static_cast<std::int64_t>(bytes)}); }

Status copy_lent(Datum& d) {
  for (Datum& item : d.items) TENON_TRY(copy_lent(item));
  if (!d.data || d.keep) return {};
  TENON_ASSIGN(Datum own, memory(d.bytes));
  if (d.bytes) std::memcpy(own.data, d.data, d.bytes);
  d.data = own.data, d.keep = std::move(own.keep);
  return {};
}

// Memory for a result that the caller wants in memory of its own; over an input where that is the same memory.
Status stand_in(Datum& result, std::span<const NamedDatum> lent, std::vector<NamedDatum>& feeds) {
  if (!result.data) return {};
  TENON_ASSIGN(Datum own, memory(result.bytes));
  for (std::size_t i = 0; i < lent.size(); ++i) {
    if (!lent[i].datum.data || lent[i].datum.data != result.data) continue;
    std::memcpy(own.data, result.data, std::min(result.bytes, lent[i].datum.bytes));
    feeds[i].datum.data = own.data, feeds[i].datum.keep = own.keep;
  }
  result.data = own.data, result.keep = std::move(own.keep);
  return {};
}

}  // namespace

MemoryReport Session::Impl::memory_report(const std::shared_ptr<Impl>& impl, bool& left) {
  if (!impl->watched) return impl->block->memory_report();
  Watch::Limits limits;
  limits.call = impl->options.config.limits.call;
  limits.late = impl->options.config.limits.late;
  const auto made = std::make_shared<MemoryReport>();
  const Status status = Watch::run(
      std::move(limits), "placement",
      [made, impl] {
        *made = impl->block->memory_report();
        return Status();
      },
      &left);
  if (!left) return std::move(*made);
  MemoryReport none;
  none.note = std::string(status.text());
  return none;
}

Status Session::run_here(std::span<const NamedDatum> feeds, std::span<const std::string> names, std::vector<NamedDatum>& outputs,
                         const RunOptions& options, std::vector<NodeBan>& refused) const {
  if (!impl_->watched || impl_->deadline_of(options) == Impl::Clock::time_point::max()) return impl_->run(feeds, names, outputs, options, refused);
  const auto own = std::make_shared<OwnRun>();
  own->feeds.assign(feeds.begin(), feeds.end());
  own->names.assign(names.begin(), names.end());
  own->results = outputs;
  own->options = options;
  own->options.deadline = impl_->deadline_of(options);
  if (options.profile) own->options.profile = &own->profile;
  if (options.state) own->state = options.state->weak_from_this().lock();
  for (NamedDatum& result : own->results) TENON_TRY(stand_in(result.datum, feeds, own->feeds));
  for (NamedDatum& feed : own->feeds) TENON_TRY(copy_lent(feed.datum));
  Watch::Limits limits;
  limits.deadline = own->options.deadline;
  limits.deadline_name = "its deadline (the run's own, or /limits/run) is over";
  limits.late = impl_->options.config.limits.late;
  if (options.cancel) limits.cancelled = [token = options.cancel] { return token->cancelled(); };
  bool left = false;
  Status status = Watch::run(std::move(limits), "run", [own, impl = impl_] { return impl->run(own->feeds, own->names, own->results, own->options, own->refused); }, &left);
  if (left) return status;
  refused = std::move(own->refused);
  if (options.profile) {
    auto& events = options.profile->events;
    events.insert(events.end(), std::make_move_iterator(own->profile.events.begin()), std::make_move_iterator(own->profile.events.end()));
  }
  if (!status.ok()) return status;
  outputs.resize(own->results.size());
  for (std::size_t r = 0; r < outputs.size(); ++r) {
    outputs[r].name = std::move(own->results[r].name);
    Datum &made = own->results[r].datum, &to = outputs[r].datum;
    if (!to.data) {
      to = std::move(made);
      continue;
    }
    // What the run moved elsewhere is the caller's to bring back, as without a deadline.
    std::memcpy(to.data, made.data, std::min(to.bytes, made.bytes));
    to.kind = made.kind, to.dtype = made.dtype, to.dims = made.dims;
  }
  return status;
}

}  // namespace tenon
