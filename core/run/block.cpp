#include "core/run/block.h"

#include <algorithm>

#include "core/base/log.h"
#include "core/onnx/infer.h"
#include "core/ops/evaluator.h"
#include "core/ops/value_reads.h"
#include "core/provider/host.h"
#include "core/provider/part_key.h"

namespace tenon {
namespace {

constexpr int compile_rounds = 3;

// Control flow evaluates its bodies' inputs itself, so only what inference reads of a feed counts.
std::vector<bool> read_by_inference(const Graph& graph) {
  std::vector<bool> read(graph.values.size());
  for (const Node& node : graph.nodes) {
    const bool shape = node.domain.empty() && (node.op_type == "Shape" || node.op_type == "Size");
    for (std::size_t i = 0; i < node.inputs.size(); ++i)
      if (node.inputs[i] != none && ((node.host_evaluated && !shape) || inference_reads(node, i))) read[node.inputs[i]] = true;
  }
  return read;
}

}  // namespace

Block::Block(BlockEnvironment& environment, Graph& graph, std::string path) : environment_(environment), graph_(graph), path_(std::move(path)) {}

Block::~Block() {
  // Bindings, plans, programs: in that order.
  pool_.clear();
  index_.clear();
  cache_.clear();
  bodies_.clear();
  programs_.clear();
}

Result<std::unique_ptr<Block>> Block::build(BlockEnvironment& environment, Graph& graph, std::string path) {
  std::unique_ptr<Block> block(new Block(environment, graph, std::move(path)));
  TENON_TRY(block->compile());
  if (block->placement_.unsupported.ok()) {
    TENON_TRY(block->order());
    TENON_TRY(block->prepare());
  }
  TENON_TRY(block->build_bodies());
  if (block->placement_.unsupported.ok()) block->find_memories();
  return block;
}

// Places the graph and compiles its parts. A part that a provider refuses is placed again without that provider.
Status Block::compile() {
  PlaceInput input;
  input.model = environment_.model;
  input.graph = &graph_;
  input.devices = &environment_.devices;
  input.config = environment_.config;
  input.import = &environment_.import;
  input.bounds = dim_bounds(environment_.config->shapes, environment_.model->symbols);
  input.max_workers = environment_.max_workers;
  input.load = environment_.load;
  input.costs = environment_.costs;
  std::vector<std::pair<std::string, std::uint32_t>> banned;
  for (const NodeBan& ban : environment_.bans)
    for (std::uint32_t d = 0; d < environment_.devices.size(); ++d)
      if (environment_.devices[d].provider() == ban.provider && environment_.devices[d].device->info().uid == ban.device) banned.emplace_back(ban.output, d);
  std::vector<std::string> notes;
  for (int round = 1;; ++round) {
    if (environment_.step) TENON_TRY(environment_.step(0.3, "placing nodes"));
    TENON_SET(placement_, place(input, banned));
    if (!placement_.unsupported.ok()) {  // there is nothing to run: only to report
      if (environment_.unsupported.ok()) environment_.unsupported = placement_.unsupported.clone();
      return {};
    }
    programs_.clear();
    programs_.resize(placement_.cover.parts.size());
    bool again = false;
    for (std::uint32_t p = 0; p < programs_.size(); ++p) {
      const CoverPart& part = placement_.cover.parts[p];
      if (environment_.step) TENON_TRY(environment_.step(0.3 + 0.6 * p / static_cast<double>(programs_.size()), "compiling"));
      const double from = 0.3 + 0.6 * p / static_cast<double>(programs_.size()), share = 0.6 / static_cast<double>(programs_.size());
      environment_.load->progress = [this, from, share, here = std::this_thread::get_id()](double done) {
        if (environment_.step && std::this_thread::get_id() == here && done >= 0 && done <= 1) (void)environment_.step(from + share * done, "compiling");
      };
      Status s = compile_part(part, p, programs_[p]);
      environment_.load->progress = {};
      if (s.ok()) continue;
      if (s.code() != TENON_UNSUPPORTED_SUBGRAPH || round > compile_rounds) return s;
      notes.push_back(fmt::format("round {}: {}; its nodes are placed again without it", round, s.text()));
      log_info("partition", "{}", notes.back());
      for (std::uint32_t c : part.claims)
        for (NodeId n : placement_.claims[c].nodes)
          if (ValueId v = graph_.nodes[n].outputs.empty() ? none : graph_.nodes[n].outputs[0]; v != none)
            banned.emplace_back(graph_.values[v].name, part.device);
      again = true;
      break;
    }
    if (!again) break;
  }
  placement_.notes.insert(placement_.notes.end(), notes.begin(), notes.end());
  return {};
}

Status Block::compile_part(const CoverPart& part, std::uint32_t number, Program& out) {
  const SessionDevice& device = environment_.devices[part.device];
  out.part = part;
  out.device = device.device;
  std::vector<tenon_chosen> chosen;
  for (std::uint32_t c : part.claims) {
    const Claim& claim = placement_.claims[c];
    chosen.push_back({sizeof(tenon_chosen), static_cast<std::uint32_t>(claim.nodes.size()), claim.nodes.data(), claim.token});
    out.claims.push_back(claim.nodes);
    out.nodes.insert(out.nodes.end(), claim.nodes.begin(), claim.nodes.end());
  }
  tenon_part raw{};
  raw.struct_size = sizeof raw;
  raw.graph = placement_.view->shown(device.device->provider().opsets()).graph;
  raw.claims = {chosen.data(), chosen.size(), sizeof(tenon_chosen), 0};
  raw.inputs = part.inputs.data(), raw.input_count = part.inputs.size();
  raw.outputs = part.outputs.data(), raw.output_count = part.outputs.size();
  const auto what = [&] { return fmt::format("part {}{}: {}", number, path_.empty() ? "" : " of \"" + path_ + "\"", nodes_text(graph_, out.nodes)); };
  const Watch::Call watched("compile", device.device->subject(), what);
  LoadTask task(*environment_.load, device.device);
  TENON_ASSIGN(const std::string key, part_key(raw, device.options.get(), environment_.max_workers, task));
  const tenon_compile_options options{sizeof(options), environment_.max_workers, device.options.get(), str(key), &task};
  Result<tenon_program*> made = device.device->compile(raw, options);
  if (made.status().code() == TENON_ARTIFACT_MISMATCH) {
    log_info("artifact", "part {} of \"{}\": {}; it is compiled again", number, path_, made.status().text());
    task.forget_artifacts();
    made = device.device->compile(raw, options);
  }
  TENON_SET(out.handle, std::move(made));
  return {};
}

// Programs and host steps in the order in which they run.
Status Block::order() {
  items_.clear();
  const Cover& cover = placement_.cover;
  for (std::uint32_t p = 0; p < programs_.size(); ++p)
    items_.push_back({Item::Kind::program, p, programs_[p].part.segment, programs_[p].part.level, programs_[p].device->has_streams()});
  for (NodeId n = 0; n < graph_.nodes.size(); ++n)
    if (placement_.host_step[n]) items_.push_back({Item::Kind::host_step, n, cover.node_segment[n], cover.node_level[n], false});
  std::stable_sort(items_.begin(), items_.end(), [](const Item& a, const Item& b) {
    if (a.segment != b.segment) return a.segment < b.segment;
    return a.level != b.level ? a.level < b.level : a.queued > b.queued;
  });
  segments_ = 1;
  for (std::uint32_t s : cover.node_segment) segments_ = std::max(segments_, s + 1);
  return {};
}

Status Block::prepare() {
  readers_ = graph_.readers();
  const std::vector<bool> read = read_by_inference(graph_);
  feeds_ = graph_.inputs;
  for (const OuterValue& o : graph_.outer) feeds_.push_back(o.inner);
  for (ValueId v : feeds_) {
    const DType d = graph_.values[v].type.dtype;
    known_feed_.push_back(read[v] && host_reads(d));
  }
  inference_ = std::make_unique<GraphInference>(*environment_.model, graph_, environment_.import.custom);
  constants_ = std::make_unique<ShapeTable>(graph_);
  read_growth();
  if (!environment_.devices.empty()) plan_task_ = std::make_unique<LoadTask>(*environment_.load, environment_.devices[0].device);
  return {};
}

Status Block::build_bodies() {
  for (NodeId n = 0; n < graph_.nodes.size(); ++n) {
    if (!placement_.host_step[n]) continue;
    for (const Attribute& a : graph_.nodes[n].attributes) {
      const auto* body = std::get_if<GraphPtr>(&a.value);
      if (!body) continue;
      const std::string inner = fmt::format("{}{}{}/{}", path_, path_.empty() ? "" : "/", graph_.nodes[n].name, a.name);
      TENON_ASSIGN(auto block, Block::build(environment_, **body, inner));
      bodies_[n].push_back(std::move(block));
    }
  }
  return {};
}

}  // namespace tenon
