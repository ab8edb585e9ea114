// Replacements: what a session runs on when its own placement does not hold any more: sessions over the same model, placed anew
// without a device that was lost, or for some sizes without the device that cannot plan them.
//
// Owned by the session, which stays alive behind them; made when they are first needed, kept as long as it. Any thread.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/run/session.h"

namespace tenon {

class Replacements {
 public:
  // Loads the same model once more. Errors: FAILED_PRECONDITION where its file has changed since; those of Session::load_*.
  using Load = std::function<Result<std::unique_ptr<Session>>(LoadOptions)>;
  Replacements(Load load, LoadOptions options) : load_(std::move(load)), options_(std::move(options)) {}

  // The session that stands in since a device was lost; null before.
  const Session* instead() const { return instead_.load(std::memory_order_acquire); }
  // Makes it. Errors: why the model cannot be placed without the device; the same each time.
  Result<const Session*> without_lost();
  // The session for a signature whose sizes a device cannot plan; null where there is none yet.
  const Session* for_signature(const std::vector<std::int64_t>& signature) const;
  bool has_signatures() const { return has_signatures_.load(std::memory_order_acquire); }
  // Makes it, with these nodes kept off these devices; one session serves all signatures with the same ban. Errors: of the load;
  // UNSUPPORTED_SHAPE after the third round.
  Result<const Session*> without(const std::vector<std::int64_t>& signature, std::vector<NodeBan> bans);

  static constexpr std::uint32_t max_rounds = 3;

 private:
  Load load_;
  LoadOptions options_;
  std::atomic<const Session*> instead_{nullptr};
  std::atomic<bool> has_signatures_{false};
  mutable std::mutex mutex_;
  std::unique_ptr<Session> lost_;
  Status failed_;  // not ok: it was tried in vain
  std::map<std::vector<std::string>, std::unique_ptr<Session>> banned_;  // by what is banned
  std::map<std::vector<std::int64_t>, const Session*> signatures_;
};

// The sizes of what is fed, which decide plans.
std::vector<std::int64_t> signature_of(std::span<const NamedDatum> feeds);
// Whether an output's memory is an input's too: such a run may have written over what it would need again.
bool writes_over_inputs(std::span<const NamedDatum> feeds, std::span<const NamedDatum> outputs);

}  // namespace tenon
