// Block: one graph (the model's, or a body inside it) made ready to run: placed, compiled, and planned per signature.
//
// Owned by the session, bodies by the block around them. Immutable after build except for the caches of plans and
// contexts, which lock. run may be called by any number of threads at once.
#pragma once

#include <atomic>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/partition/place.h"
#include "core/plan/planner.h"
#include "core/run/context.h"
#include "core/run/run_state.h"

namespace tenon {

// What all blocks of a session share while they are built; the session keeps it alive.
struct BlockEnvironment {
  Model* model = nullptr;
  std::vector<SessionDevice> devices;
  const Config* config = nullptr;
  ImportOptions import;
  std::uint32_t max_workers = 1;
  LoadContext* load = nullptr;
  std::optional<Growth::Configured::Rows> state_rows;  // of the model's own graph
  const LearnedCosts* costs = nullptr;              // measured before; may be null
  Status unsupported;                               // not ok: nodes that nothing runs, in a session that only reports
  std::vector<NodeBan> bans;  // sizes that a provider refused: its nodes run elsewhere
  std::function<Status(double, const char*)> step;  // progress; an error stops the load
};

class Block {
 public:
  // path: "" for the main graph, else where the body is: "loop/body". Errors: those of placement and compile.
  static Result<std::unique_ptr<Block>> build(BlockEnvironment& environment, Graph& graph, std::string path);
  ~Block();
  Block(const Block&) = delete;

  const Graph& graph() const { return graph_; }
  // What run is fed, in this order: the graph's inputs, then the values it takes from the graph around it.
  const std::vector<ValueId>& feeds() const { return feeds_; }

  // outputs: one for each output of the graph. One with data is written in place and must fit; the others get memory of
  // their own. wanted: null, or which outputs matter. Errors name the node or the output.
  // residents: feeds and outputs that stay in memories of devices; a feed that is there needs no data.
  Status run(RunState& state, std::span<const Datum* const> feeds, std::span<Datum> outputs, const std::vector<bool>* wanted = nullptr,
             std::span<Resident> residents = {}) const;

  // Adds what runs where, and the same of all bodies inside. main: the graph itself, whose memory is planned for it too.
  void report(PlacementReport& out) const;
  // What one run costs by estimate: nodes, launches, copies.
  double cost() const { return cost_of(placement_.cover); }
  // The same if device d had to run node n; infinite where it cannot. Owns: nothing; the placement stays.
  double cost_if(NodeId n, std::uint32_t d) const;
  // The memory of a run at the sizes of estimates. It asks providers to plan; everything else of report() is known by then.
  MemoryReport memory_report() const;
  // Adds what the steps of some runs took, as costs of the claims they belong to.
  void learn(const Profile& profile, LearnedCosts& costs) const;

  // A readable dump of the plan used last, and its memory.
  std::string plan_text() const;
  std::uint64_t arena_bytes() const;
  // Plans made so far: a new signature costs one a segment.
  std::uint64_t plans_made() const { return plans_made_; }

  // ---- for host steps (control_flow.cpp) ----
  const Block* body(NodeId node, std::size_t index) const { return bodies_.at(node)[index].get(); }
  // The memory of a device where alone the block reads a feed, or where it makes an output that nothing else in it reads
  // elsewhere; without a device where there is none. By index.
  const DeviceMemory& feed_memory(std::size_t feed) const { return feed_memory_[feed]; }
  const DeviceMemory& output_memory(std::size_t output) const { return output_memory_[output]; }

 private:
  Block(BlockEnvironment& environment, Graph& graph, std::string path);
  friend class Execution;

  Status prepare();
  Status compile();
  Status compile_part(const CoverPart& part, std::uint32_t number, Program& out);
  Status order();
  Status build_bodies();
  // memories.cpp: what feed_memory and output_memory say, and where bodies read values of this graph.
  void find_memories();
  DeviceMemory memory_of(ValueId v) const;
  // block_report.cpp
  std::vector<PlacedCopy> copies(const Cover& cover) const;
  double cost_of(const Cover& cover) const;

  // The plan of one segment for a key; parent: the plan of the segment before it, null for the first.
  Result<std::shared_ptr<const Plan>> plan(const std::vector<std::int64_t>& key, std::uint32_t segment, const Plan* parent, RunContext& context,
                                           std::span<const Datum* const> feeds) const;
  Result<std::shared_ptr<const Plan>> make(std::uint32_t segment, const Plan* parent, RunContext& context) const;
  // The plan for a key if there is one.
  std::shared_ptr<const Plan> cached(const std::vector<std::int64_t>& key, std::uint64_t hash) const;
  // The context's plan for a box of sizes, set to those of the feeds; null where that does not fit. box.cpp.
  std::shared_ptr<const Plan> boxed(RunContext& context, std::span<const Datum* const> feeds) const;
  std::unique_ptr<BoxPlan> make_box(RunContext& context, std::span<const Datum* const> feeds) const;
  PlanInput plan_input() const;
  void read_growth();
  std::unique_ptr<RunContext> take_context() const;
  void give_back(std::unique_ptr<RunContext> context) const;

  BlockEnvironment& environment_;
  Graph& graph_;
  std::string path_;
  Placement placement_;
  std::vector<Program> programs_;
  std::vector<Item> items_;
  std::vector<std::vector<NodeId>> readers_;
  std::uint32_t segments_ = 1;
  std::vector<ValueId> feeds_;
  std::vector<bool> known_feed_;   // by feed: its elements are part of the signature
  std::map<NodeId, std::vector<std::unique_ptr<Block>>> bodies_;
  std::vector<DeviceMemory> feed_memory_, output_memory_;
  std::map<std::pair<NodeId, ValueId>, DeviceMemory> body_reads_;
  std::unique_ptr<LoadTask> plan_task_;
  Growth::Configured growth_;      // what the configuration says of the feeds' sizes

  struct Cached {
    std::vector<std::int64_t> key;
    std::shared_ptr<const Plan> plan;
    std::uint64_t uses = 0;
  };
  mutable std::mutex cache_mutex_;
  mutable std::list<Cached> cache_;  // most recently used first
  mutable std::unordered_multimap<std::uint64_t, std::list<Cached>::iterator> index_;
  mutable std::atomic<std::uint64_t> plans_made_{0};
  mutable Turn plan_turn_;           // inference and planning, one at a time
  mutable std::unique_ptr<GraphInference> inference_;
  mutable std::unique_ptr<ShapeTable> constants_;  // what every signature starts from
  mutable std::mutex pool_mutex_;
  mutable std::vector<std::unique_ptr<RunContext>> pool_;
};

}  // namespace tenon
