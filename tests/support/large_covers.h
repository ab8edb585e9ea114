// Large problems for the cover: graphs of the shapes that models have, three devices, claims of several nodes that overlap.
// Made from a shape and a number of nodes alone: the same every time. No state; any thread.
#pragma once

#include <algorithm>
#include <random>
#include <utility>
#include <vector>

#include "core/partition/cover.h"

namespace tenon::test {

enum class Shape { chain, wide, near, far, web, diamonds, transformer };
inline constexpr std::pair<Shape, const char*> shapes[] = {
    {Shape::chain, "chain"},          {Shape::wide, "wide"},         {Shape::near, "reads 4 back"}, {Shape::far, "reads 100 back"},
    {Shape::web, "reads anything"}, {Shape::diamonds, "diamonds"}, {Shape::transformer, "transformer"}};

class LargeCover {
 public:
  // host_operands: one claim in so many wants an operand in host memory; 0: none does.
  explicit LargeCover(Shape shape, NodeId nodes, std::uint32_t host_operands = 0) {
    graph_.inputs = {graph_.add_value("x")};
    while (graph_.nodes.size() < nodes) add(shape);
    graph_.index_producers();
    for (Value& v : graph_.values) v.is_output = v.producer != none && v.producer + 1 == graph_.nodes.size();
    graph_.outputs = {static_cast<ValueId>(graph_.values.size() - 1)};
    devices_.resize(3);
    const char* const domains[] = {"host", "a", "b"};
    for (std::size_t d = 0; d < 3; ++d) {
      devices_[d].domain = domains[d];
      devices_[d].launch_ns = d == 0 ? 100 : 5000;
      devices_[d].to_host_latency_ns = devices_[d].from_host_latency_ns = 5000;
    }
    claim();
    if (host_operands > 0)
      for (Claim& c : claims_)
        if (below(host_operands) == 0) c.rules.push_back({graph_.nodes[c.nodes[0]].inputs[0], TENON_PLACE_HOST, TENON_ALIAS_NONE, none, -1});
    input.graph = &graph_, input.devices = devices_, input.claims = claims_;
    input.allowed.assign(graph_.nodes.size(), ~0ull);
    input.skip.assign(graph_.nodes.size(), false), input.ends_segment.assign(graph_.nodes.size(), false);
    input.value_bytes.assign(graph_.values.size(), 4096);
  }
  LargeCover(const LargeCover&) = delete;
  LargeCover& operator=(const LargeCover&) = delete;

  CoverInput input;

 private:
  std::uint32_t below(std::uint32_t n) { return static_cast<std::uint32_t>(random_() % n); }
  ValueId back(std::uint32_t reach) {
    const auto made = static_cast<std::uint32_t>(graph_.values.size());
    return made - 1 - below(std::min(made, reach));
  }
  ValueId node(std::vector<ValueId> inputs) {
    Node n;
    n.op_type = "Op";
    n.inputs = std::move(inputs);
    n.outputs = {graph_.add_value("v")};
    graph_.nodes.push_back(std::move(n));
    return graph_.nodes.back().outputs[0];
  }
  void add(Shape shape) {
    const auto last = static_cast<ValueId>(graph_.values.size() - 1);
    switch (shape) {
      case Shape::chain: node({last}); break;
      case Shape::wide: {  // 500 branches of ten, joined
        std::vector<ValueId> ends;
        for (int b = 0; b < 500; ++b) {
          ValueId v = last;
          for (int i = 0; i < 10; ++i) v = node({v});
          ends.push_back(v);
        }
        node(std::move(ends));
        break;
      }
      case Shape::near:
      case Shape::far:
      case Shape::web: {
        const std::uint32_t reach = shape == Shape::near ? 4 : shape == Shape::far ? 100 : ~0u;
        std::vector<ValueId> inputs{back(reach)};
        if (below(2)) inputs.push_back(back(reach));
        node(std::move(inputs));
        break;
      }
      case Shape::diamonds: {
        const ValueId top = node({last});
        const ValueId left = node({top}), right = node({node({top})});
        node({left, right});
        break;
      }
      case Shape::transformer: {  // a block: norm, q k v for twelve heads, attention, projection, feed forward, two residuals
        const ValueId norm = node({node({last})});
        std::vector<ValueId> heads;
        for (int h = 0; h < 12; ++h) {
          const ValueId q = node({norm}), k = node({node({norm})}), v = node({norm});
          heads.push_back(node({node({node({node({q, k})})}), v}));
        }
        const ValueId first = node({node({node(std::move(heads))}), last});
        const ValueId inner = node({node({node({node({first})})})});
        node({node({inner}), first});
        break;
      }
    }
  }
  void claim() {
    const auto claim = [&](std::uint32_t device, std::vector<NodeId> nodes, double ns) {
      Claim& c = claims_.emplace_back();
      c.device = device, c.nodes = std::move(nodes), c.cost_ns = ns;
    };
    const auto count = static_cast<NodeId>(graph_.nodes.size());
    for (NodeId n = 0; n < count; ++n)
      for (std::uint32_t d = 0; d < 3; ++d)
        if (d == 0 || below(4)) claim(d, {n}, (d == 0 ? 20 : 4) * (1 + below(1000)));
    for (NodeId n = 0; n + 8 < count; n += 1 + below(6)) {
      std::vector<NodeId> several{n};
      for (NodeId m = n + 1; m < n + 6; ++m)
        if (below(2)) several.push_back(m);
      if (several.size() > 1) claim(1 + below(2), std::move(several), 2 * (1 + below(1000)));
    }
  }

  std::mt19937 random_{7};
  Graph graph_;
  std::vector<DeviceModel> devices_;
  std::vector<Claim> claims_;
};

}  // namespace tenon::test
