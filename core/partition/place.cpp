#include "core/partition/place.h"

#include <algorithm>
#include <set>
#include <utility>

#include "core/base/log.h"
#include "core/base/text.h"
#include "core/graph/splice.h"
#include "core/onnx/infer.h"
#include "core/ops/value_reads.h"
#include "core/partition/bodies.h"
#include "core/provider/host.h"

namespace tenon {

bool is_control_flow(const Node& node) {
  return node.domain.empty() && (node.op_type == "If" || node.op_type == "Loop" || node.op_type == "Scan" || node.op_type == "SequenceMap");
}

bool is_host_step(const Graph& graph, const Node& node) {
  if (is_control_flow(node)) return true;
  const auto handle = [&](ValueId v) { return v != none && !graph.values[v].type.is_tensor(); };
  if (std::any_of(node.inputs.begin(), node.inputs.end(), handle) || std::any_of(node.outputs.begin(), node.outputs.end(), handle)) return true;
  return node.domain.empty() && (node.op_type == "Optional" || node.op_type == "OptionalHasElement" || node.op_type == "OptionalGetElement");
}

namespace {

constexpr int max_rounds = Bodies::max_depth + 1;

class Placer {
 public:
  Placer(const PlaceInput& in, const std::vector<std::pair<std::string, std::uint32_t>>& banned)
      : in_(in), graph_(*in.graph), devices_(*in.devices), banned_(banned), bodies_(in, notes_) {}

  Result<Placement> run() {
    for (int round = 0;; ++round) {
      TENON_TRY(query());
      std::vector<GraphPtr> bodies(graph_.nodes.size());
      if (round < max_rounds) TENON_TRY(offer_bodies(bodies));
      cover_graph();
      std::vector<NodeId> replaced;
      for (NodeId n = 0; n < graph_.nodes.size(); ++n)
        if (bodies[n] && (composite_.count(out_.cover.node_claim[n]) || std::binary_search(out_.cover.uncovered.begin(), out_.cover.uncovered.end(), n)))
          replaced.push_back(n);
      if (replaced.empty()) break;
      for (NodeId n : replaced) {
        notes_.push_back(fmt::format("{} runs by its body: {}", graph_.nodes[n].label(), reasons(n)));
        splice_body(graph_, n, *bodies[n]);
      }
      graph_.compact();
      TENON_TRY(graph_.sort());
    }
    if (!out_.cover.shortage.empty()) return error(TENON_RESOURCE_EXHAUSTED, "{}; list another device, or a larger memory_limit where it has one", out_.cover.shortage);
    if (!out_.cover.uncovered.empty()) {
      if (!in_.config->placement.report_unsupported) return uncovered();
      out_.unsupported = uncovered();
    }
    explain();
    out_.notes = std::move(notes_);
    return std::move(out_);
  }

 private:
  // ---- what is asked ---------------------------------------------------------------------------------------------------

  Status query() {
    out_ = Placement{};
    composite_.clear();
    graph_.index_producers();
    out_.host_read = mark_host_evaluated(*in_.model, graph_, in_.import->custom);
    out_.view = GraphView::build(graph_, in_.bounds, &in_.load->constants);
    out_.refusals.resize(graph_.nodes.size());
    for (std::uint32_t d = 0; d < devices_.size(); ++d) {
      LoadTask task(*in_.load, devices_[d].device);
      TENON_ASSIGN(QueryAnswer answer, query_device(devices_[d], d, *out_.view, in_.max_workers, task));
      if (in_.costs) in_.costs->apply(d, *out_.view->graph(), answer.claims);
      for (Claim& c : answer.claims) out_.claims.push_back(std::move(c));
      for (DeviceRefusal& r : answer.refusals) out_.refusals[r.node].push_back({d, r.reason, std::move(r.text)});
      out_.models.push_back(device_model(devices_[d]));
    }
    sizes();
    rules();
    return {};
  }

  void sizes() {
    out_.value_bytes.assign(graph_.values.size(), 0);
    const auto* values = static_cast<const tenon_value*>(out_.view->graph()->values.data);
    for (ValueId v = 0; v < graph_.values.size(); ++v) {
      double count = dtype_bits(values[v].dtype) / 8.0;
      for (std::int32_t d = 0; d < values[v].rank; ++d) count *= static_cast<double>(values[v].dim_opt[d]);
      out_.value_bytes[v] = count;
    }
  }

  // Configuration rules as device masks; the first that matches a node counts.
  void rules() {
    const std::uint64_t all = devices_.size() >= 64 ? ~0ull : (1ull << devices_.size()) - 1;
    allowed_.assign(graph_.nodes.size(), all);
    rule_of_.assign(graph_.nodes.size(), -1);
    const auto& list = in_.config->placement.rules;
    std::vector<std::size_t> fitting(list.size(), 0);  // nodes
    for (NodeId n = 0; n < graph_.nodes.size(); ++n) {
      const Node& node = graph_.nodes[n];
      const auto fits = [](const std::string& pattern, std::string_view text) { return pattern.empty() || glob_match(pattern, text); };
      for (std::size_t r = 0; r < list.size(); ++r) {
        if (!fits(list[r].op, node.op_type) || !fits(list[r].name, node.name)) continue;
        if (!list[r].domain.empty() && !glob_match(list[r].domain, node.domain.empty() ? "ai.onnx" : node.domain)) continue;
        std::uint64_t mask = 0;
        for (std::uint32_t d = 0; d < devices_.size(); ++d) {
          const Manifest& manifest = devices_[d].device->provider().manifest();
          const auto named = [&](const std::string& name) {
            return name == devices_[d].provider() || name == devices_[d].device->info().uid || manifest.answers_to(name);
          };
          const bool used = list[r].use.empty() || named(list[r].use);
          if (used && std::none_of(list[r].deny.begin(), list[r].deny.end(), named)) mask |= 1ull << d;
        }
        for (std::uint32_t d = 0; d < devices_.size(); ++d)
          if (!(mask >> d & 1)) out_.refusals[n].push_back({d, TENON_REJECT_CONFIG, fmt::format("/placement/rules/{} keeps it away", r)});
        allowed_[n] = mask;
        ++fitting[r];
        rule_of_[n] = static_cast<int>(r);
        break;
      }
      for (auto& [output, device] : banned_)
        if (!node.outputs.empty() && node.outputs[0] != none && graph_.values[node.outputs[0]].name == output) {
          allowed_[n] &= ~(1ull << device);
          out_.refusals[n].push_back({device, TENON_REJECT_OTHER, "it refused this node when it was compiled or planned"});
        }
    }
    if (std::exchange(first_, false) && banned_.empty()) useless_rules(fitting);  // later, bodies stand where nodes that fitted did
  }

  // A rule that says nothing about this model is a slip of the pen more often than not. Bodies of If and Loop are placed by
  // themselves, and a rule may mean those.
  void useless_rules(const std::vector<std::size_t>& fitting) {
    const auto& list = in_.config->placement.rules;
    if (&graph_ != &in_.model->graph) return;
    const bool bodies = std::any_of(graph_.nodes.begin(), graph_.nodes.end(), [](const Node& n) { return !n.subgraphs().empty(); });
    for (std::size_t r = 0; r < list.size(); ++r) {
      if (fitting[r] == 0 && !bodies) note(fmt::format("/placement/rules/{} fits no node of the placed graph that no rule before it fits", r));
      const auto unused = [&](const std::string& name) {
        return std::none_of(devices_.begin(), devices_.end(), [&](const SessionDevice& d) {
          return name == d.provider() || name == d.device->info().uid || d.device->provider().manifest().answers_to(name);
        });
      };
      if (!list[r].use.empty() && unused(list[r].use))
        note(fmt::format("/placement/rules/{} wants \"{}\", which is no provider or device of this session", r, list[r].use));
    }
  }
  void note(std::string text) {
    log_info("partition", "{}", text);
    notes_.push_back(std::move(text));
  }

  // ---- function bodies, offered to each device that lacks the op ---------------------------------------------------------

  Status offer_bodies(std::vector<GraphPtr>& bodies) {
    std::vector<bool> alone(graph_.nodes.size());  // a device that may run it claims the node by itself
    for (const Claim& c : out_.claims)
      if (c.nodes.size() == 1 && (allowed_[c.nodes[0]] >> c.device & 1)) alone[c.nodes[0]] = true;
    for (NodeId n = 0; n < graph_.nodes.size(); ++n) {
      const Node& node = graph_.nodes[n];
      if (node.host_evaluated || is_host_step(graph_, node)) continue;
      std::vector<std::uint32_t> lacking;
      for (const Refused& r : out_.refusals[n])
        if (Bodies::lacks_operator(r.reason) && (allowed_[n] >> r.device & 1)) lacking.push_back(r.device);
      if (lacking.empty() || (alone[n] && devices_.size() == 1)) continue;
      TENON_ASSIGN(const GraphPtr body, bodies_.of(graph_, node));
      if (!body) continue;
      bodies[n] = body;
      for (std::uint32_t d : lacking) TENON_TRY(offer(n, d, *body));
    }
    return {};
  }

  // Where the device takes every node of the body, that is a claim for the whole.
  Status offer(NodeId n, std::uint32_t d, Graph& body) {
    TENON_ASSIGN(const double cost, bodies_.cost(d, body));
    if (cost == infinite_cost) return {};
    Claim whole;
    whole.device = d;
    whole.nodes = {n};
    whole.cost_ns = cost;
    composite_.insert(static_cast<std::uint32_t>(out_.claims.size()));
    out_.claims.push_back(std::move(whole));
    return {};
  }

  // ---- the cover -----------------------------------------------------------------------------------------------------------

  // A fallback device does not bid for nodes that a device which was asked for claims, be it by the node's body.
  void withhold() {
    withheld_.assign(graph_.nodes.size(), 0);
    fallbacks_ = 0;
    for (std::uint32_t d = 0; d < devices_.size(); ++d)
      if (devices_[d].fallback) fallbacks_ |= 1ull << d;
    if (fallbacks_ == 0) return;
    std::vector<bool> asked(graph_.nodes.size());
    for (const Claim& c : out_.claims) {
      const auto free = [&](NodeId n) { return (allowed_[n] >> c.device & 1) != 0; };
      if (devices_[c.device].fallback || !std::all_of(c.nodes.begin(), c.nodes.end(), free)) continue;
      for (NodeId n : c.nodes) asked[n] = true;
    }
    for (const Claim& c : out_.claims)
      for (NodeId n : c.nodes)
        if (asked[n] && devices_[c.device].fallback) withheld_[n] |= allowed_[n] & 1ull << c.device;
    for (NodeId n = 0; n < graph_.nodes.size(); ++n) allowed_[n] &= ~withheld_[n];
  }

  // ---- the cover -----------------------------------------------------------------------------------------------------------

  void cover_graph() {
    CoverInput in;
    in.graph = &graph_;
    in.devices = out_.models;
    in.claims = out_.claims;
    in.value_bytes = out_.value_bytes;
    in.skip.resize(graph_.nodes.size());
    in.ends_segment.resize(graph_.nodes.size());
    out_.host_step.resize(graph_.nodes.size());
    for (NodeId n = 0; n < graph_.nodes.size(); ++n) {
      const Node& node = graph_.nodes[n];
      out_.host_step[n] = is_host_step(graph_, node);
      in.skip[n] = node.host_evaluated || out_.host_step[n];
      in.ends_segment[n] = (out_.host_step[n] || data_dependent(node)) && !node.host_evaluated;
      for (ValueId v : node.outputs)
        if (v != none && out_.host_read[v] && !node.host_evaluated) in.ends_segment[n] = true;
    }
    for (const Claim& c : out_.claims)
      if (c.flags & TENON_CLAIM_DATA_DEPENDENT_SHAPE)
        for (NodeId n : c.nodes) in.ends_segment[n] = true;
    out_.ends_segment = in.ends_segment;
    withhold();
    in.allowed = allowed_;
    out_.cover = cover(in);
    // A claim of several nodes may lose to another one: what it left behind is the fallback's after all.
    bool again = false;
    for (NodeId n : out_.cover.uncovered)
      if (withheld_[n] != 0) allowed_[n] |= std::exchange(withheld_[n], 0), again = true;
    if (again) {
      in.allowed = allowed_;
      out_.cover = cover(in);
    }
    std::sort(out_.cover.uncovered.begin(), out_.cover.uncovered.end());
  }

  std::string reasons(NodeId n) const {
    std::string text;
    for (const Refused& r : out_.refusals[n]) text += fmt::format("{}{}: {}", text.empty() ? "" : "; ", devices_[r.device].provider(), r.text);
    return text.empty() ? "no provider answered" : text;
  }

  Status uncovered() const {
    std::string text;
    std::size_t listed = 0;
    for (NodeId n : out_.cover.uncovered) {
      if (++listed > 8) break;
      const std::string label = graph_.nodes[n].label(), prefix = label + ": ";
      text += fmt::format("\n  {}: {}", label, reasons(n));
      for (const std::string& note : notes_)  // of its body
        if (note.starts_with(prefix)) text += "; " + note.substr(prefix.size());
    }
    if (listed > 8) text += fmt::format("\n  and {} more", out_.cover.uncovered.size() - 8);
    return error(TENON_UNIMPLEMENTED, "no provider of this session runs {} of {} nodes:{}", out_.cover.uncovered.size(), graph_.nodes.size(), text);
  }

  void explain() {
    out_.rule = rule_of_;
    out_.allowed = allowed_;
    out_.why.resize(graph_.nodes.size());
    std::vector<std::uint64_t> able(graph_.nodes.size(), 0);  // devices that claim the node and may run it
    for (const Claim& c : out_.claims)
      for (NodeId n : c.nodes) able[n] |= allowed_[n] & 1ull << c.device;
    for (NodeId n = 0; n < graph_.nodes.size(); ++n) {
      std::string& why = out_.why[n];
      if (graph_.nodes[n].host_evaluated) why = "shape arithmetic";
      else if (out_.host_step[n]) why = "run by core";
      else if (std::binary_search(out_.cover.uncovered.begin(), out_.cover.uncovered.end(), n)) why = "no provider";
      if (!why.empty()) continue;
      const std::uint32_t chosen = out_.cover.node_claim[n];
      if (rule_of_[n] >= 0) why = fmt::format("rule {}", rule_of_[n]);
      else if (chosen != none && devices_[out_.claims[chosen].device].fallback) why = "fallback: no listed provider takes it";
      else if (withheld_[n] != 0) why = "listed";
      else if ((able[n] & (able[n] - 1)) == 0) why = devices_.size() == 1 ? "only provider" : "only claim";
      else why = "cost";
    }
    for (std::uint32_t d = 0; d < devices_.size(); ++d) {
      if (!devices_[d].fallback) continue;
      std::size_t taken = 0, left = 0;
      for (NodeId n = 0; n < graph_.nodes.size(); ++n) {
        const std::uint32_t chosen = out_.cover.node_claim[n];
        taken += chosen != none && out_.claims[chosen].device == d;
        left += withheld_[n] >> d & 1;
      }
      if (taken > 0 || &graph_ == &in_.model->graph)
        notes_.push_back(fmt::format("provider {} is not listed under /providers: it takes the {} nodes that no listed provider claims and leaves {} that it could run",
                                     devices_[d].provider(), taken, left));
    }
    for (const Displaced& d : out_.cover.displaced) {
      out_.refusals[d.node].push_back({d.device, TENON_REJECT_MEMORY, fmt::format("its memory \"{}\" has no room for it", out_.models[d.device].domain)});
      out_.why[d.node] = "memory";
    }
    // Devices that could have run it and were dearer.
    for (const Claim& c : out_.claims)
      for (NodeId n : c.nodes) {
        const std::uint32_t chosen = out_.cover.node_claim[n];
        if (chosen == none || out_.claims[chosen].device == c.device || !(allowed_[n] >> c.device & 1)) continue;
        const bool listed = std::any_of(out_.refusals[n].begin(), out_.refusals[n].end(), [&](const Refused& r) { return r.device == c.device; });
        if (!listed)
          out_.refusals[n].push_back({c.device, TENON_REJECT_OTHER,
                                      fmt::format("outbid: {:.0f} ns here, {:.0f} ns there, copies included in the whole", c.cost_ns / static_cast<double>(c.nodes.size()),
                                                  out_.claims[chosen].cost_ns / static_cast<double>(out_.claims[chosen].nodes.size()))});
      }
  }

  const PlaceInput& in_;
  Graph& graph_;
  const std::vector<SessionDevice>& devices_;
  const std::vector<std::pair<std::string, std::uint32_t>>& banned_;
  Placement out_;
  std::set<std::uint32_t> composite_;
  std::vector<std::uint64_t> allowed_;
  std::vector<std::uint64_t> withheld_;  // per node: fallback devices that may not bid for it
  std::uint64_t fallbacks_ = 0;
  std::vector<int> rule_of_;
  bool first_ = true;  // the first round
  std::vector<std::string> notes_;
  Bodies bodies_;
};

}  // namespace

Result<Placement> place(const PlaceInput& input, const std::vector<std::pair<std::string, std::uint32_t>>& banned) {
  return Placer(input, banned).run();
}

}  // namespace tenon
