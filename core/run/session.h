// Session: a loaded model, ready to run; what the C API, and through it everything else, is a thin layer over.
//
// Owns its model, programs, plans and run contexts. Threads: run may be called from any number of threads at once; the
// other functions are const or say so.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/base/config.h"
#include "core/provider/bundle_store.h"
#include "core/run/node_ban.h"
#include "core/run/report.h"
#include "core/run/state.h"
#include "core/tensor/datum.h"

namespace tenon {

// An input or output of the model.
struct Port {
  std::string name;
  Type type;
  std::vector<std::string> dim_names;  // one per dim; "" where fixed or anonymous
  bool optional = false;               // an input with a default
  // The memory where alone a run reads or makes it, as its devices say it: "host" where that is the host's, or several.
  std::string memory = "host";
  std::int32_t dlpack_type = 1, dlpack_id = 0;  // of that memory, as DLPack numbers devices; type 0: it has no such number
};

struct NamedDatum {
  std::string name;
  Datum datum;
};

// Stops a run or a load from another thread. May be shared by several runs.
class CancelToken {
 public:
  void cancel() { flag_.store(true, std::memory_order_relaxed); }
  bool cancelled() const { return flag_.load(std::memory_order_relaxed); }

 private:
  std::atomic<bool> flag_{false};
};

struct RunOptions {
  std::shared_ptr<CancelToken> cancel;
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
  Profile* profile = nullptr;  // set: steps are run one by one and timed into it
  State* state = nullptr;      // of this session; null: the session's own where it keeps one
};

struct LoadOptions {
  Config config;                                // checked (base/config.h)
  std::shared_ptr<CancelToken> cancel;
  std::function<void(double, const char*)> progress;  // fraction and what is being done; called on the loading thread
  bool skip_lost = false;                       // go on without devices that were lost, else they are an error
  std::vector<NodeBan> bans;                    // sizes that a provider refused: its nodes run elsewhere
  std::uint32_t rounds = 0;                     // how often that has happened to this model
  std::vector<BundleMade>* made = nullptr;      // of a bundle: all that it stores is used, and what providers store goes here
};

class Session {
 public:
  // An ONNX model or a bundle (base/bundle.h). Errors: INVALID_ARGUMENT and DATA_LOSS for the model, NOT_FOUND for files, codes of
  // providers; all say where.
  static Result<std::unique_ptr<Session>> load_file(const std::string& path, LoadOptions options);
  static Result<std::unique_ptr<Session>> load_bytes(std::span<const std::byte> bytes, LoadOptions options);
  ~Session();

  // Without those that the session keeps.
  const std::vector<Port>& inputs() const;
  const std::vector<Port>& outputs() const;
  const ModelInfo& model() const;
  // Ids of the providers in configuration order.
  const std::vector<std::string>& providers() const;

  // The session's own state; null where /session/state names nothing.
  State* state() const;
  // Another one, for another conversation; runs say which they use. Errors: FAILED_PRECONDITION where nothing is kept.
  Result<std::shared_ptr<State>> make_state() const;

  // Runs the model. feeds are by name; outputs are written in the order of names (all when names is empty). An output
  // whose Datum has data already is written in place: its dtype and size must fit. feeds' bytes must stay valid during
  // the call. Errors name the input or the node.
  // A run with a deadline (the options' or limits.run) on devices that may not come back works on copies of the memory that its
  // caller lends, and returns soon after the deadline whatever they do.
  Status run(std::span<const NamedDatum> feeds, std::span<const std::string> names, std::vector<NamedDatum>& outputs,
             const RunOptions& options = {}) const;

  // What runs where, at what cost, and why not elsewhere. Made when it is first asked for; lives as long as the session.
  const PlacementReport& placement() const;
  // What one run would cost by estimate, in ns, if this device (both as the placement numbers them) had to run this node and
  // all others were placed for the best; infinite where it cannot. Errors: OUT_OF_RANGE; UNIMPLEMENTED for nodes of bodies.
  Result<double> cost_if(std::size_t node, std::uint32_t device) const;
  // The costs of claims from the steps in a profile of this session's runs. keep: they go to the folder /placement/costs,
  // where later sessions find them. Errors: those of keeping them.
  Status learn(const Profile& profile, bool keep, std::vector<LearnedLine>& out) const;
  // Removes what is kept there for this session's devices and number of threads; the number of costs that were.
  Result<std::uint64_t> forget_costs() const;
  // Text of the optimised graph and of the plan for the last shapes run.
  std::string graph_text() const;
  std::string plan_text() const;
  // Plans made so far for the graph itself: sizes that were planned, not runs.
  std::uint64_t plans_made() const;

 private:
  struct Impl;
  static Result<std::unique_ptr<Session>> load_shared(std::shared_ptr<const std::vector<std::byte>> bytes, LoadOptions options);
  // `read` gives the model, once providers are there.
  template <class Read>
  static Result<std::shared_ptr<Impl>> load(LoadOptions options, std::string where, Read read);
  Status run_here(std::span<const NamedDatum> feeds, std::span<const std::string> names, std::vector<NamedDatum>& outputs, const RunOptions& options,
                  std::vector<NodeBan>& refused) const;
  explicit Session(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;  // a run that was left behind holds it too
};

}  // namespace tenon
