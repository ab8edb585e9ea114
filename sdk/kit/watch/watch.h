// Watch: what stands between core and the provider under test.
//
// The library libtenon_provider_watch.so is a provider that loads another one and passes every call on. On the way it counts
// what is made and destroyed, checks what the ABI asks of the answers, and fails what a case tells it to. So a provider is
// tested behind the very core that its users have. One target a process: each case has its own.
// Owns: nothing of the target's; handles pass through as they are. Threads: as provider.h; what is set here is set by the case
// while no call is under way.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <tenon/provider.h>

namespace tenon::kit {

// Objects of the target that are alive.
struct Alive {
  std::atomic<std::int64_t> providers{0}, devices{0}, programs{0}, plans{0}, bindings{0}, streams{0}, events{0}, buffers{0},
      host_blocks{0};
  std::int64_t total() const { return providers + devices + programs + plans + bindings + streams + events + buffers + host_blocks; }
  std::string text() const {
    std::string out;
    const auto add = [&](std::int64_t n, const char* what) {
      if (n) out += (out.empty() ? "" : ", ") + std::to_string(n) + " " + what;
    };
    add(providers, "providers"), add(devices, "devices"), add(programs, "programs"), add(plans, "plans"), add(bindings, "bindings");
    add(streams, "streams"), add(events, "events"), add(buffers, "buffers"), add(host_blocks, "blocks of host memory");
    return out.empty() ? "nothing" : out;
  }
};

// Counts calls of one host function and picks the one that fails. at 0: none does.
struct Fault {
  std::atomic<std::int64_t> calls{0}, at{0};
  bool hit() { return ++calls == at.load(std::memory_order_relaxed); }
  void set(std::int64_t n) { calls = 0, at = n; }
};

// What query answered, as text: one line for each claim and refusal, in order.
struct QueryRecord {
  std::uint64_t nodes = 0;
  std::vector<std::string> answers;
  struct Refusal {
    std::string op;
    std::int32_t reason = 0;  // TENON_REJECT_*; 0: there is none
    std::string text;
  } refusal;  // the first
  std::vector<std::uint32_t> unanswered;  // nodes that need a provider and got neither claim nor refusal
  double seconds = 0;
};

struct Step {
  std::vector<std::uint32_t> reads, writes;
  std::vector<tenon_inplace> inplace;
};
// What is known of one plan.
struct PlanRecord {
  std::uint64_t border = 0;           // inputs and outputs: operands below are no temps
  std::vector<Step> steps;
  std::vector<std::uint64_t> guarded; // bytes that the provider asked for, by temp; 0: no guard
};

struct Watch {
  // -- set by the case before the library is loaded by core --
  std::string target;  // path of the provider's library
  std::string id;      // what the watched provider is called

  // -- what the case wants --
  Fault alloc, constant, pack, output,
      stop;  // host->alloc, const_data, packed_weight, alloc_output; stop: cancelled answers 1 from then on
  Fault any;  // these and const_hash, artifact_get, artifact_put, string_set alike
  std::atomic<std::int64_t> fail_worker{-1}, fail_barrier{-1};  // this worker fails before its n-th barrier of a call of execute
  std::atomic<std::int64_t> fail_step{0};  // with stepwise: the n-th step of a run is not executed, and fails; 0: none
  std::function<void()> instead;           // called at that barrier or before that step, which then does not fail
  bool bare = false;            // the host lends no extensions and keeps no artifacts
  bool stepwise = false;        // one step at a time, with guards behind temps
  int poison = -1;              // 0-255: with stepwise, what memory holds that a step is to write first
  bool stretch = false;         // query sees structs that are longer than it knows
  bool disturb = false;         // before each query the target gets damaged graphs
  int artifacts = 0;            // 0: core's; 1: kept here; 2: kept here, handed out damaged

  // -- what was seen --
  Alive alive;
  std::vector<QueryRecord> queries;
  std::atomic<std::int64_t> barriers{0}, executes{0}, spmd_workers{0}, artifact_gets{0}, artifact_puts{0}, packs{0};
  std::atomic<std::int64_t> disturbed{0}, guarded_temps{0};
  std::atomic<std::int64_t> most_barriers{0};  // in one call of execute
  std::atomic<std::int64_t> steps{0};          // executed since the case has set it to 0
  std::atomic<const char*> failed{""};         // the host function that failed last
  std::atomic<bool> deterministic{true};  // every claim said DETERMINISTIC
  std::map<std::string, std::string> stored;  // artifacts by key
  const tenon_provider_api* api = nullptr;    // the target's own table
  std::atomic<tenon_provider*> provider{nullptr};
  std::atomic<tenon_device*> device{nullptr};  // the one opened last
  std::vector<bool> in_host_memory;            // its domains

  // A rule of the ABI that the target broke. Kept once for each text.
  void broke(std::string rule) {
    const std::lock_guard lock(mutex);
    for (const std::string& known : rules)
      if (known == rule) return;
    rules.push_back(std::move(rule));
  }
  std::vector<std::string> broken() {
    const std::lock_guard lock(mutex);
    return rules;
  }

  std::mutex mutex;  // over everything that is not atomic
  std::vector<std::string> rules;
  std::map<const void*, std::uint64_t> borders;      // by program
  std::map<const void*, PlanRecord> plans;           // by plan
  std::map<const void*, std::pair<const void*, std::vector<tenon_address>>> bindings;  // plan and addresses, by binding
};

// The one of this process; exported as tenon_kit_watch for the kit.
Watch& watch();

// The host's table with the watch in it; real is what core gave to create.
const tenon_host_api& watched_host(const tenon_host_api& real);
const tenon_host_api& real_host();
// The target's table with the watch in it.
const tenon_provider_api& watched_provider(const tenon_provider_api& target);

// Query, with its answers recorded and, where the case wants it, a stretched view or damaged ones.
tenon_status* watched_query(tenon_device* device, const tenon_query* query, tenon_query_sink* sink);
// Answers of the query under way on this thread. 1: the sink is ours, nobody else wants the answer.
bool record_claim(tenon_query_sink* sink, const tenon_claim& claim);
bool record_reject(tenon_query_sink* sink, std::uint32_t node, std::int32_t reason, tenon_str text);

// The plan under way on this thread, null outside of program_plan.
PlanRecord* planning();
void set_planning(PlanRecord* record);
// Executes a range one step at a time, with poison before and guards behind.
tenon_status* execute_stepwise(tenon_program* program, const tenon_execute_args& args);

// The status of a failure that a case asked for.
tenon_status* injected(const char* function);

// What barrier and fail need to know of this thread.
struct Working {
  std::int64_t worker = 0, barriers = 0;
};
Working& working();

// Bytes behind a temp that no step may touch.
inline constexpr std::uint64_t guard_bytes = 64;

}  // namespace tenon::kit
