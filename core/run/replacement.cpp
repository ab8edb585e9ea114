#include "core/run/replacement.h"

#include <algorithm>

#include "core/base/log.h"

namespace tenon {
namespace {

constexpr std::size_t kept_signatures = 256;

}  // namespace

std::vector<std::int64_t> signature_of(std::span<const NamedDatum> feeds) {
  std::vector<const NamedDatum*> sorted;
  for (const NamedDatum& f : feeds) sorted.push_back(&f);
  std::sort(sorted.begin(), sorted.end(), [](const NamedDatum* a, const NamedDatum* b) { return a->name < b->name; });
  std::vector<std::int64_t> out;
  for (const NamedDatum* f : sorted) {
    out.push_back(static_cast<std::int64_t>(f->datum.dims.size()));
    out.insert(out.end(), f->datum.dims.begin(), f->datum.dims.end());
  }
  return out;
}

bool writes_over_inputs(std::span<const NamedDatum> feeds, std::span<const NamedDatum> outputs) {
  return std::any_of(outputs.begin(), outputs.end(), [&](const NamedDatum& o) {
    return o.datum.data && std::any_of(feeds.begin(), feeds.end(), [&](const NamedDatum& f) {
             return f.datum.data && f.datum.data < o.datum.data + o.datum.bytes && o.datum.data < f.datum.data + f.datum.bytes;
           });
  });
}

Result<const Session*> Replacements::without_lost() {
  std::lock_guard lock(mutex_);
  if (const Session* made = instead()) return made;
  if (!failed_.ok()) return failed_.clone();
  LoadOptions options = options_;
  options.skip_lost = true;
  Result<std::unique_ptr<Session>> made = load_(std::move(options));
  if (!made.ok()) {
    failed_ = made.status().clone();
    return std::move(made.status());
  }
  lost_ = *std::move(made);
  instead_.store(lost_.get(), std::memory_order_release);
  log_warn("run", "a device was lost: the model is placed anew without it");
  return instead();
}

const Session* Replacements::for_signature(const std::vector<std::int64_t>& signature) const {
  std::lock_guard lock(mutex_);
  const auto found = signatures_.find(signature);
  return found == signatures_.end() ? nullptr : found->second;
}

Result<const Session*> Replacements::without(const std::vector<std::int64_t>& signature, std::vector<NodeBan> bans) {
  std::lock_guard lock(mutex_);
  if (const auto found = signatures_.find(signature); found != signatures_.end()) return found->second;
  if (options_.rounds >= max_rounds)
    return error(TENON_UNSUPPORTED_SHAPE, "placed anew {} times, each time a provider refused the sizes", options_.rounds);
  LoadOptions options = options_;
  ++options.rounds;
  options.bans.insert(options.bans.end(), bans.begin(), bans.end());
  std::vector<std::string> key;
  for (const NodeBan& b : options.bans) key.push_back(fmt::format("{}\n{}\n{}", b.output, b.provider, b.device));
  std::sort(key.begin(), key.end());
  std::unique_ptr<Session>& session = banned_[key];
  if (!session) {
    Result<std::unique_ptr<Session>> made = load_(std::move(options));
    if (!made.ok()) {
      banned_.erase(key);
      return std::move(made.status());
    }
    session = *std::move(made);
    log_info("run", "{} nodes are placed anew for sizes that their provider refused", bans.size());
  }
  if (signatures_.size() >= kept_signatures) signatures_.clear();  // they are found again by asking
  signatures_[signature] = session.get();
  has_signatures_.store(true, std::memory_order_release);
  return session.get();
}

}  // namespace tenon
