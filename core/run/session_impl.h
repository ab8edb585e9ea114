// Session::Impl: what a session holds: the model, its providers' devices, the block that runs it, and what is kept between runs.
//
// Made by Session::load_* (session_load.cpp), used by Session::run (session_run.cpp) and by what Session tells (session.cpp);
// nobody else includes this. Constant once loaded, but for the members that say mutable, which guard themselves.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/provider/registry.h"
#include "core/run/block.h"
#include "core/run/replacement.h"
#include "core/run/session.h"

namespace tenon {

struct Session::Impl {
  using Clock = std::chrono::steady_clock;

  LoadOptions options;
  std::vector<SessionProvider> providers;
  CustomOps custom;
  std::unique_ptr<Model> model;
  std::shared_ptr<const Bundle> bundle;  // that the model came in; null: none
  LoadContext load;
  std::vector<std::string> notes;  // of the load: providers left out, ...
  std::unique_ptr<const LearnedCosts> costs;  // measured before
  BlockEnvironment environment;
  std::unique_ptr<Block> block;
  std::vector<Port> inputs, outputs;              // of the graph
  std::vector<Port> shown_inputs, shown_outputs;  // those that are the caller's
  std::shared_ptr<const StateForm> form;          // null: nothing is kept
  std::shared_ptr<State> state;
  std::vector<std::string> provider_ids;
  std::unordered_map<std::string, std::size_t> input_index, output_index;
  std::vector<ConstantPtr> defaults;  // by input; null where there is none
  ModelInfo info;
  mutable std::unique_ptr<Replacements> replacements;
  bool watched = false;  // a device is used that may not come back: what can end at a limit is done by threads of its own
  mutable std::mutex report_mutex;
  mutable std::map<std::vector<std::string>, std::unique_ptr<PlacementReport>> reports;  // by what is set aside; made when first asked for
  Clock::time_point deadline = Clock::time_point::max();

  // ---- session_load.cpp ----------------------------------------------------------------------------------------------------

  // Says how far the load is; stops it when it was cancelled or took too long.
  Status step(double fraction, const char* what);
  Watch::Limits load_limits() const;
  Status open_providers();
  ImportOptions import_options() const { return {options.config.limits, &custom}; }
  // The model, and the bundle that it is in.
  Status read(const std::string& path);
  Status read(std::span<const std::byte> bytes, std::shared_ptr<const void> keep);
  // What the bundle stores for providers, if they may have it.
  Status use_bundle();
  Status build();
  // What the configuration says to keep between runs leaves the caller's sight.
  Status keep_state();
  bool kept_input(std::size_t i) const { return form && form->kept_input[i]; }
  bool kept_output(std::size_t o) const { return form && form->kept_output[o]; }
  Port port(ValueId v) const;
  void ports();
  // Once the graph is placed: where a run wants them.
  void port_memories();
  void describe();

  // ---- session.cpp --------------------------------------------------------------------------------------------------------

  PlacementReport make_report() const;  // all but its memory
  // session_watch.cpp. left: a call did not return within /limits/call, the note says which, and there is nothing else.
  static MemoryReport memory_report(const std::shared_ptr<Impl>& impl, bool& left);
  // Of devices that do not come back.
  std::vector<std::string> troubles() const;

  // ---- session_run.cpp -----------------------------------------------------------------------------------------------------

  // A fed value against what the model takes.
  Status check(const Port& port, const Datum& datum) const;
  std::string input_names() const;
  // The state that the run uses; null for none.
  Result<State*> state_of(const RunOptions& run) const;
  Status run(std::span<const NamedDatum> feeds, std::span<const std::string> names, std::vector<NamedDatum>& results, const RunOptions& run,
             std::vector<NodeBan>& refused) const;
  Clock::time_point deadline_of(const RunOptions& run) const;
};

}  // namespace tenon
