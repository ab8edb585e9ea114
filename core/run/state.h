// State: what a session keeps from run to run for one conversation: the caches of a decoder and whatever else a model takes
// back in (core/passes/state_pairs.h).
//
// Made by a session and used by its runs alone; a run that its caller has left behind keeps it (provider/watch.h). Its memory is
// its own. One run at a time: a second is an error. Threads: the other functions not during a run.
#pragma once

#include <atomic>
#include <memory>
#include <span>
#include <vector>

#include "core/passes/state_pairs.h"
#include "core/tensor/datum.h"

namespace tenon {

// What a session's states have in common.
struct StateForm {
  struct Pair : StatePair {
    std::string name;  // of the input
    Type type;         // as the model declares the input
  };
  std::vector<Pair> pairs;
  std::vector<Type> inputs;          // of the model, without those of pairs: they tell sizes; empty where kept
  std::vector<bool> kept_input, kept_output;
  std::size_t rows_input = 0, places_input = 0;
  Dim fresh;
  bool appends = false;
  std::uint64_t memory_limit = UINT64_MAX;  // bytes of all caches of one state
  std::int64_t capacity = 0;         // rows that there is room for from the start; 0: as many as are needed, rounded up
};

class State : public std::enable_shared_from_this<State> {
 public:
  explicit State(std::shared_ptr<const StateForm> form);
  const std::shared_ptr<const StateForm>& form() const { return form_; }

  // Rows that the caches hold: what the runs since the last reset have added.
  std::int64_t rows() const { return rows_; }
  // Rows that there is room for without new memory.
  std::int64_t capacity() const { return capacity_; }
  // Goes back to the first `rows`, as if later runs had not been; 0 forgets everything. Errors: OUT_OF_RANGE where there are
  // fewer; FAILED_PRECONDITION where more than caches is kept, of which no earlier value exists, unless rows is 0.
  Status truncate(std::int64_t rows);
  // A copy of what input `name` would be fed with: of a cache, the rows that count. Errors: NOT_FOUND.
  Result<Datum> value(const std::string& name) const;
  // Another state that goes on from here; memory of its own.
  Result<std::shared_ptr<State>> copy() const;

  // For handles that are plain pointers: it lives until it is let go, whoever else holds it.
  void hold_itself() { itself_ = shared_from_this(); }
  void let_itself_go() { const std::shared_ptr<State> last = std::move(itself_); }

  // ---- for the session's run: take, then begin, then finish where the run was good, then give_back -------------------------

  // False where a run has it.
  bool take() { return !busy_.exchange(true, std::memory_order_acquire); }
  void give_back() { busy_.store(false, std::memory_order_release); }
  // Fills in what the state feeds, and where outputs go: over the cache that they extend. feeds: by input of the graph, null
  // where the caller gave nothing; a kept input that is given counts in place of what was kept.
  Status begin(std::span<const Datum*> feeds, std::span<Datum> outputs);
  // Takes over what the run has made.
  void finish(std::span<Datum> outputs);

 private:
  std::int64_t size_of(const Dim& dim, std::span<const Datum* const> feeds) const;
  Status room(std::span<const Datum* const> feeds);
  Status handed_on(std::size_t pair, std::span<const Datum* const> feeds);

  std::shared_ptr<const StateForm> form_;
  std::vector<Datum> kept_;       // by pair
  std::vector<Datum> larger_;     // scratch
  Datum rows_datum_, places_;
  Dims dims_;                     // scratch
  std::int64_t rows_ = 0, capacity_ = 0, added_ = 0;
  std::atomic<bool> busy_{false};
  std::shared_ptr<State> itself_;
};

}  // namespace tenon
