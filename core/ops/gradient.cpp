#include "core/ops/gradient.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "core/graph/elements.h"
#include "core/ops/gradient_rules.h"

namespace tenon {

Result<std::vector<std::string>> gradient_names(const Node& node) {
  std::vector<std::string> names;
  std::size_t xs = 0;
  for (const char* list : {"xs", "zs"}) {
    const Attribute* a = node.find(list);
    const auto* given = a ? std::get_if<std::vector<std::string>>(&a->value) : nullptr;
    if (given) names.insert(names.end(), given->begin(), given->end());
    if (!xs) xs = names.size();
    if (!xs) return invalid("{}: \"xs\" must name at least one tensor", node.label());
  }
  std::unordered_set<std::string_view> seen;
  for (const std::string& name : names)
    if (!seen.insert(name).second) return invalid("{}: \"xs\" and \"zs\" name \"{}\" twice", node.label(), name);
  if (node.inputs.size() != names.size() || node.outputs.size() > xs || std::count(node.inputs.begin(), node.inputs.end(), none))
    return invalid("{}: {} inputs and {} outputs; \"xs\" and \"zs\" name {} tensors, one input each, and \"xs\" {}, one output each",
                   node.label(), node.inputs.size(), node.outputs.size(), names.size(), xs);
  return names;
}

namespace {

class Differentiation {
 public:
  Differentiation(Graph& graph, NodeId id, std::vector<Node>& fresh, std::uint64_t& visits)
      : graph_(graph), id_(id), node_(graph.nodes[id]), fresh_(fresh), visits_(visits), builder_(graph, fresh, node_) {
    const std::size_t names = (node_.inputs.size() - 1) / 2;
    const auto first = node_.inputs.begin() + static_cast<std::ptrdiff_t>(names);
    given_.assign(node_.inputs.begin(), first);
    named_.assign(first, node_.inputs.end() - 1);
    y_ = node_.inputs.back();
    const auto* xs = std::get_if<std::vector<std::string>>(&node_.find("xs")->value);
    xs_ = std::min(xs ? xs->size() : 0, names);
    cut_.insert(named_.begin(), named_.end());
  }

  Result<GradientState> run() {
    TENON_TRY(find_between());
    for (NodeId n : between_)
      if (is_gradient(graph_.nodes[n]) || graph_.nodes[n].op_type.empty()) return GradientState::waits;  // the latter was one until now
    if (given_ != named_) {
      TENON_TRY(move());
      return GradientState::moved;
    }
    TENON_TRY(differentiate());
    graph_.nodes[id_] = Node{};  // dead: an empty op_type
    return GradientState::spelled;
  }

 private:
  template <class F>
  static void for_each_read(const Node& node, F f) {
    for (ValueId v : node.inputs)
      if (v != none) f(v);
    for (const GraphPtr& body : node.subgraphs())
      for (const OuterValue& o : body->outer) f(o.parent);
  }
  static bool is_real_tensor(const Value& value) { return value.type.is_tensor() && is_real(value.type.dtype); }

  // The nodes that y needs, down to the named tensors; in order.
  Status find_between() {
    const auto outside = [&](ValueId v) {
      return std::any_of(graph_.outer.begin(), graph_.outer.end(), [&](const OuterValue& o) { return o.inner == v; });
    };
    const bool in_body = std::any_of(named_.begin(), named_.begin() + static_cast<std::ptrdiff_t>(xs_), outside);
    std::unordered_set<ValueId> seen{y_};
    std::unordered_set<NodeId> found;
    std::vector<ValueId> open{y_};
    while (!open.empty()) {
      const ValueId v = open.back();
      open.pop_back();
      if (visits_-- == 0) return error(TENON_RESOURCE_EXHAUSTED, "{}: the nodes between its tensors are too many", node_.label());
      if (cut_.count(v)) continue;
      const NodeId n = graph_.values[v].producer;
      if (n == none) {
        if (in_body && outside(v))
          return error(TENON_UNIMPLEMENTED,
                       "{}: \"{}\", which \"y\" depends on, and a tensor in \"xs\" come from around the body that it stands in; put it "
                       "into the graph that makes \"y\"",
                       node_.label(), graph_.values[v].name);
        continue;
      }
      if (!found.insert(n).second) continue;
      for_each_read(graph_.nodes[n], [&](ValueId r) {
        if (seen.insert(r).second) open.push_back(r);
      });
    }
    between_.assign(found.begin(), found.end());
    std::sort(between_.begin(), between_.end());
    return {};
  }

  // Copies what depends on a named tensor that is given another value, and names the copies instead.
  Status move() {
    std::unordered_map<ValueId, ValueId> moved;
    for (std::size_t i = 0; i < named_.size(); ++i)
      if (given_[i] != named_[i]) moved[named_[i]] = given_[i];
    const auto now = [&](ValueId v) {
      const auto it = moved.find(v);
      return it == moved.end() ? v : it->second;
    };
    for (NodeId n : between_) {
      bool touched = false;
      for_each_read(graph_.nodes[n], [&](ValueId v) { touched = touched || moved.count(v); });
      if (!touched) continue;
      Node copy = graph_.nodes[n];
      if (!copy.subgraphs().empty()) return refuse(copy);
      copy.name = (node_.name.empty() ? node_.op_type : node_.name) + "/" + copy.name;
      for (ValueId& v : copy.inputs)
        if (v != none) v = now(v);
      for (ValueId& v : copy.outputs) {
        if (v == none) continue;
        Type type = graph_.values[v].type;
        type.dims.reset();  // the given value may have another size
        const ValueId made = graph_.add_value(copy.name + "/" + graph_.values[v].name, std::move(type));
        if (!cut_.count(v)) moved[v] = made;
        v = made;
      }
      fresh_.push_back(std::move(copy));
    }
    Node& gradient = graph_.nodes[id_];
    for (std::size_t i = 0; i < given_.size(); ++i) gradient.inputs[given_.size() + i] = given_[i];
    gradient.inputs.back() = now(y_);
    return {};
  }

  Status refuse(const Node& node) const {
    return error(TENON_UNIMPLEMENTED, "{}: {} stands between \"xs\" and \"y\" and has no gradient; these have: {}", node_.label(),
                 node.label(), gradient_operators());
  }

  Status differentiate() {
    std::unordered_set<ValueId> active;
    for (std::size_t i = 0; i < xs_; ++i) {
      const Value& x = graph_.values[named_[i]];
      if (!is_real_tensor(x))
        return invalid("{}: \"xs\" names \"{}\", which is {}; only float tensors have a gradient", node_.label(), x.name, x.type.text());
      active.insert(named_[i]);
    }
    if (!is_real_tensor(graph_.values[y_]))
      return invalid("{}: \"y\" is {}; only float tensors have a gradient", node_.label(), graph_.values[y_].type.text());
    for (NodeId n : between_) {
      bool reads = false;
      for_each_read(graph_.nodes[n], [&](ValueId v) { reads = reads || active.count(v); });
      if (!reads) continue;
      for (ValueId v : graph_.nodes[n].outputs)
        if (v != none && !cut_.count(v) && is_real_tensor(graph_.values[v])) active.insert(v);
    }
    std::unordered_map<ValueId, ValueId> gradients;
    if (active.count(y_)) gradients[y_] = builder_.filled(1, y_);
    for (auto n = between_.rbegin(); n != between_.rend(); ++n) TENON_TRY(step_back(*n, active, gradients));
    for (std::size_t i = 0; i < std::min(xs_, node_.outputs.size()); ++i) {
      if (node_.outputs[i] == none) continue;
      const auto it = gradients.find(named_[i]);
      builder_.end("Identity", {it == gradients.end() ? builder_.filled(0, named_[i]) : it->second}, node_.outputs[i]);
    }
    return {};
  }

  Status step_back(NodeId n, const std::unordered_set<ValueId>& active, std::unordered_map<ValueId, ValueId>& gradients) {
    const Node& node = graph_.nodes[n];
    std::vector<ValueId> flowing;
    bool any = false, others = false;
    for (std::size_t o = 0; o < node.outputs.size(); ++o) {
      const auto it = cut_.count(node.outputs[o]) ? gradients.end() : gradients.find(node.outputs[o]);
      flowing.push_back(it == gradients.end() ? none : it->second);
      any = any || flowing.back() != none;
      others = others || (o > 0 && flowing.back() != none);
    }
    bool reads = false;
    for_each_read(node, [&](ValueId v) { reads = reads || active.count(v); });
    if (!any || !reads) return {};
    const GradientRule* rule = find_gradient_rule(node);
    if (!rule || (others && !rule->all_outputs)) return refuse(node);
    std::vector<bool> wanted;
    for (ValueId v : node.inputs) wanted.push_back(v != none && active.count(v));
    Backward back(builder_, node, std::move(flowing), std::move(wanted));
    TENON_TRY(rule->run(back));
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      if (!back.wants(i) || back.gradients[i] == none) continue;
      ValueId& sum = gradients.emplace(node.inputs[i], none).first->second;
      sum = sum == none ? back.gradients[i] : builder_.add("Add", {sum, back.gradients[i]});
    }
    return {};
  }

  Graph& graph_;
  NodeId id_;
  const Node node_;
  std::vector<Node>& fresh_;
  std::uint64_t& visits_;
  GradientBuilder builder_;
  std::vector<ValueId> given_, named_;
  std::size_t xs_ = 0;
  ValueId y_ = none;
  std::unordered_set<ValueId> cut_;
  std::vector<NodeId> between_;
};

}  // namespace

Result<GradientState> spell_gradient(Graph& graph, NodeId node, std::vector<Node>& fresh, std::uint64_t& visits) {
  return Differentiation(graph, node, fresh, visits).run();
}

}  // namespace tenon
