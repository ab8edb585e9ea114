#include "core/partition/query.h"

#include <algorithm>
#include <cmath>

#include "core/base/log.h"
#include "core/provider/host.h"
#include "core/tensor/dtype.h"

namespace tenon {
namespace {

struct QuerySink final : tenon_query_sink {
  QuerySink(const tenon_graph& g, std::uint32_t n, const DeviceInfo& i)
      : graph(g), number(n), info(i), claimed(g.nodes.count), refused(g.nodes.count) {}

  void claim(const tenon_claim& raw) override {
    Claim c;
    c.device = number;
    c.nodes.assign(raw.nodes, raw.nodes + raw.node_count);
    std::sort(c.nodes.begin(), c.nodes.end());
    if (std::adjacent_find(c.nodes.begin(), c.nodes.end()) != c.nodes.end() || c.nodes.back() >= graph.nodes.count)
      return malformed(fmt::format("a claim of nodes that are not there or named twice (the last is {} of {})", c.nodes.back(), graph.nodes.count));
    c.token = raw.token;
    c.flags = raw.flags;
    c.workspace_bytes = raw.workspace_bytes;
    c.weight_bytes = raw.weight_bytes;
    c.bytes = traffic(c.nodes);
    c.cost_ns = c.hint_ns = cost(raw, c);
    for (const tenon_operand_rule& rule : full_copies<tenon_operand_rule>(raw.rules)) {
      if (rule.value >= graph.values.count) return malformed(fmt::format("an operand rule for value {} of {}", rule.value, graph.values.count));
      c.rules.push_back({rule.value, rule.place, rule.alias, rule.alias_value, rule.append_axis});
    }
    if (std::any_of(c.rules.begin(), c.rules.end(), [](const OperandRule& r) { return r.alias == TENON_ALIAS_MUST; })) {
      for (NodeId n : c.nodes) reject(n, TENON_REJECT_OTHER, "an output has to share memory with an input, which this host does not promise");
      return;
    }
    if ((c.flags & TENON_CLAIM_NEEDS_STATIC) && !is_static(c)) return;
    if ((c.flags & TENON_CLAIM_DATA_DEPENDENT_SHAPE) && !info.domains[0].host() && !made_on_host(c)) return;
    const auto* nodes = static_cast<const tenon_node*>(graph.nodes.data);
    if (std::any_of(c.nodes.begin(), c.nodes.end(), [&](NodeId n) { return (nodes[n].flags & TENON_NODE_HIDDEN) != 0; }))
      return malformed("a claim of a node that was hidden from it, as its form is too new");
    for (NodeId n : c.nodes) claimed[n] = true;
    answer.claims.push_back(std::move(c));
  }
  void reject(std::uint32_t node, std::int32_t reason, std::string_view text) override {
    if (node >= graph.nodes.count) return malformed(fmt::format("a refusal of node {} of {}", node, graph.nodes.count));
    if (refused[node]) return;
    refused[node] = true;
    answer.refusals.push_back({node, reason, std::string(text)});
  }
  void malformed(std::string text) override { answer.faults.push_back(std::move(text)); }

  double cost(const tenon_claim& raw, Claim& c) const {
    const auto sane = [](double x) { return std::isfinite(x) && x > 0 ? x : 0.0; };
    c.from = CostFrom::hint;
    if (const double ns = sane(raw.est_ns)) return ns;
    c.from = CostFrom::speed;
    const double compute = info.flops_per_ns > 0 ? sane(raw.est_flops) / info.flops_per_ns : 0;
    const double bytes = raw.est_bytes > 0 ? sane(raw.est_bytes) : c.bytes;
    const double ns = std::max(compute, info.bytes_per_ns > 0 ? bytes / info.bytes_per_ns : 0);
    if (ns > 0) return ns;
    c.from = CostFrom::rank;
    return 1000.0 * (number + 1);
  }
  // Bytes that the nodes read from outside and make for others, at the sizes of estimates; what has no rank counts nothing.
  double traffic(const std::vector<NodeId>& claimed_nodes) const {
    const auto* values = static_cast<const tenon_value*>(graph.values.data);
    const auto* nodes = static_cast<const tenon_node*>(graph.nodes.data);
    std::vector<std::uint32_t> read, made;
    for (NodeId n : claimed_nodes) {
      if (n >= graph.nodes.count) return 0;
      read.insert(read.end(), nodes[n].inputs, nodes[n].inputs + nodes[n].input_count);
      made.insert(made.end(), nodes[n].outputs, nodes[n].outputs + nodes[n].output_count);
    }
    for (auto* list : {&read, &made}) {
      std::sort(list->begin(), list->end());
      list->erase(std::unique(list->begin(), list->end()), list->end());
    }
    double sum = 0;
    const auto add = [&](std::uint32_t v, const std::vector<std::uint32_t>& inside) {
      if (v == TENON_NO_VALUE || v >= graph.values.count || values[v].rank < 0 || std::binary_search(inside.begin(), inside.end(), v)) return;
      double bytes = dtype_bits(values[v].dtype) / 8.0;
      for (std::int32_t d = 0; d < values[v].rank; ++d) bytes *= static_cast<double>(values[v].dim_opt[d]);
      sum += bytes;
    };
    for (std::uint32_t v : read) add(v, made);
    for (std::uint32_t v : made) add(v, read);
    return sum;
  }
  // NEEDS_STATIC: every dim of the claim is fixed, or cannot vary.
  bool is_static(const Claim& c) {
    const auto* values = static_cast<const tenon_value*>(graph.values.data);
    const auto* nodes = static_cast<const tenon_node*>(graph.nodes.data);
    for (NodeId n : c.nodes)
      for (std::uint32_t i = 0; i < nodes[n].input_count + nodes[n].output_count; ++i) {
        const std::uint32_t v = i < nodes[n].input_count ? nodes[n].inputs[i] : nodes[n].outputs[i - nodes[n].input_count];
        if (v == TENON_NO_VALUE) continue;
        const tenon_value& value = values[v];
        bool fixed = value.rank >= 0;
        for (std::int32_t d = 0; fixed && d < value.rank; ++d) fixed = value.dims[d] >= 0 || value.dim_min[d] == value.dim_max[d];
        if (fixed) continue;
        for (NodeId m : c.nodes)
          reject(m, TENON_REJECT_DYNAMIC, fmt::format("value \"{}\" has a size that is not fixed; set /shapes for its dimensions", view(value.name)));
        return false;
      }
    return true;
  }
  // Memory for sizes that the data decides is the host's: a device with a memory of its own has to say that it writes there.
  bool made_on_host(const Claim& c) {
    const auto* nodes = static_cast<const tenon_node*>(graph.nodes.data);
    for (NodeId n : c.nodes)
      for (std::uint32_t o = 0; o < nodes[n].output_count; ++o) {
        const std::uint32_t v = nodes[n].outputs[o];
        const auto fits = [&](const OperandRule& r) { return r.value == v && r.place == TENON_PLACE_HOST; };
        if (v == TENON_NO_VALUE || std::any_of(c.rules.begin(), c.rules.end(), fits)) continue;
        for (NodeId m : c.nodes)
          reject(m, TENON_REJECT_OTHER, fmt::format("output {} has a size that the data decides; in memory \"{}\" that needs the operand rule PLACE_HOST", o, info.domains[0].uid));
        return false;
      }
    return true;
  }

  const tenon_graph& graph;
  std::uint32_t number;
  const DeviceInfo& info;
  std::vector<bool> claimed, refused;
  QueryAnswer answer;
};

}  // namespace

std::string_view cost_from_name(CostFrom from) {
  switch (from) {
    case CostFrom::hint: return "provider's hint";
    case CostFrom::speed: return "device's speed";
    case CostFrom::rank: return "default";
    case CostFrom::measured: return "measured";
    default: return "measured nearby";
  }
}

Result<QueryAnswer> query_device(const SessionDevice& device, std::uint32_t number, const GraphView& view, std::uint32_t max_workers,
                                 tenon_task& load) {
  const GraphView::Shown& shown = view.shown(device.device->provider().opsets());
  const tenon_graph& graph = *shown.graph;
  QuerySink sink(graph, number, device.device->info());
  for (const auto& [n, why] : shown.hidden) sink.reject(n, TENON_REJECT_OPSET, why);
  const tenon_query query{sizeof(query), max_workers, &graph, device.options.get(), &load};
  TENON_TRY(device.device->query(query, sink));
  const auto* nodes = static_cast<const tenon_node*>(graph.nodes.data);
  for (NodeId n = 0; n < graph.nodes.count; ++n)
    if (!sink.claimed[n] && !sink.refused[n] && !(nodes[n].flags & TENON_NODE_HOST_EVALUATED))
      sink.answer.refusals.push_back({n, TENON_REJECT_NOT_ANSWERED, "the provider did not answer for this node"});
  for (const std::string& fault : sink.answer.faults) log_warn("query", "provider {}: {}", device.provider(), fault);
  return std::move(sink.answer);
}

DeviceModel device_model(const SessionDevice& device) {
  const DeviceInfo& info = device.device->info();
  DeviceModel out;
  out.name = device.provider();
  out.domain = info.domains[0].uid;
  out.launch_ns = info.launch_ns;
  if (!out.on_host()) out.memory_limit = info.memory_limit != 0 ? info.memory_limit : info.domains[0].total_bytes;
  const auto read = [&](std::uint32_t from, std::uint32_t to, double& latency, double& speed) {
    const int r = device.device->route(from, to);
    if (r < 0) return;
    const RouteInfo& route = info.routes[static_cast<std::size_t>(r)];
    latency = route.latency_ns;
    if (route.bytes_per_ns > 0) speed = route.bytes_per_ns;
  };
  read(0, TENON_ROUTE_HOST, out.to_host_latency_ns, out.to_host_bytes_per_ns);
  read(TENON_ROUTE_HOST, 0, out.from_host_latency_ns, out.from_host_bytes_per_ns);
  return out;
}

}  // namespace tenon
