#include "core/passes/state_pairs.h"

#include <algorithm>

#include "core/graph/elements.h"
#include "core/onnx/canonical.h"

namespace tenon {
namespace {

std::string list_of(const Graph& graph, const std::vector<ValueId>& values) {
  std::string all;
  for (ValueId v : values) all += (all.empty() ? "\"" : ", \"") + graph.values[v].name + "\"";
  return all;
}

// What the star of the pattern stands for; nullopt where the name does not fit.
std::optional<std::string> star(std::string_view pattern, std::string_view name) {
  const std::size_t at = pattern.find('*');
  if (at == std::string_view::npos) return pattern == name ? std::optional<std::string>("") : std::nullopt;
  const std::string_view before = pattern.substr(0, at), behind = pattern.substr(at + 1);
  if (name.size() < before.size() + behind.size() || !name.starts_with(before) || !name.ends_with(behind)) return std::nullopt;
  return std::string(name.substr(before.size(), name.size() - before.size() - behind.size()));
}

class Binder {
 public:
  Binder(Model& model, StatePairs& out) : model_(model), graph_(model.graph), out_(out) {}

  Status run(std::span<const std::pair<std::string, std::string>> names) {
    for (const auto& [input, output] : names) TENON_TRY(match(input, output));
    graph_.index_producers();
    readers_ = graph_.readers();
    std::vector<StatePair*> appending;
    for (StatePair& pair : out_.pairs) {
      if (std::string why = obstacle(pair); why.empty()) appending.push_back(&pair);
      else out_.notes.push_back(fmt::format("/session/state: \"{}\" is handed on whole, not appended to: {}", input_of(pair).name, why));
    }
    if (appending.empty()) return {};
    add_inputs(*appending.front());
    for (StatePair* pair : appending) append(*pair);
    graph_.index_producers();
    return graph_.sort();
  }

 private:
  Value& input_of(const StatePair& p) { return graph_.values[graph_.inputs[p.input]]; }
  Value& output_of(const StatePair& p) { return graph_.values[graph_.outputs[p.output]]; }

  Status match(const std::string& input, const std::string& output) {
    bool found = false;
    for (std::size_t i = 0; i < graph_.inputs.size(); ++i) {
      const Value& from = graph_.values[graph_.inputs[i]];
      const auto text = star(input, from.name);
      if (!text) continue;
      found = true;
      std::string name = output;
      if (const std::size_t at = name.find('*'); at != std::string::npos) name.replace(at, 1, *text);
      const auto o = std::find_if(graph_.outputs.begin(), graph_.outputs.end(), [&](ValueId v) { return graph_.values[v].name == name; });
      if (o == graph_.outputs.end())
        return invalid("/session/state: input \"{}\" would become output \"{}\", which the model does not have; its outputs are {}", from.name, name,
                       list_of(graph_, graph_.outputs));
      const StatePair pair{i, static_cast<std::size_t>(o - graph_.outputs.begin()), -1};
      const Value& to = graph_.values[*o];
      if (!from.type.is_tensor() || !to.type.is_tensor() || from.type.dtype != to.type.dtype || from.type.dtype == TENON_DTYPE_STRING)
        return invalid("/session/state: \"{}\" is {} and \"{}\" is {}: tensors of one type that is no string are expected", from.name,
                       from.type.text(), name, to.type.text());
      for (const StatePair& other : out_.pairs)
        if (other.input == pair.input || other.output == pair.output)
          return invalid("/session/state: \"{}\" and \"{}\" are named twice", input_of(other).name, name);
      out_.pairs.push_back(pair);
    }
    if (!found) return invalid("/session/state: the model has no input \"{}\"; its inputs are {}", input, list_of(graph_, graph_.inputs));
    return {};
  }

  // A size that a run's other inputs tell.
  bool told(const Dim& dim) const {
    if (dim.fixed()) return true;
    for (std::size_t i = 0; i < graph_.inputs.size(); ++i) {
      if (std::any_of(out_.pairs.begin(), out_.pairs.end(), [&](const StatePair& p) { return p.input == i; })) continue;
      const Type& type = graph_.values[graph_.inputs[i]].type;
      if (type.is_tensor() && type.dims && dim.symbol != 0 && std::find(type.dims->begin(), type.dims->end(), dim) != type.dims->end()) return true;
    }
    return false;
  }

  // Why rows cannot be appended; "" and the pair's axis where they can.
  std::string obstacle(StatePair& pair) {
    const ValueId past = graph_.inputs[pair.input], present = graph_.outputs[pair.output];
    const NodeId producer = graph_.values[present].producer;
    const Node* concat = producer == none ? nullptr : &graph_.nodes[producer];
    if (!concat || !concat->is("Concat") || concat->inputs.size() != 2 || concat->inputs[0] != past || concat->inputs[1] == past)
      return fmt::format("\"{}\" is not made by Concat from it and new rows", graph_.values[present].name);
    const ValueId rows = concat->inputs[1];
    const Type &type = graph_.values[past].type, &fresh = graph_.values[rows].type;
    if (!type.dims || !fresh.dims || type.dims->size() != fresh.dims->size()) return "its rank is not known";
    const auto rank = static_cast<std::int64_t>(type.dims->size());
    std::int64_t axis = concat->int_or("axis", 0);
    if (axis < 0) axis += rank;
    if (axis < 1 || axis >= rank) return "rows of the first dim cannot be appended to";
    if (dtype_bits(type.dtype) % 8 != 0) return "its elements are smaller than a byte";
    if (graph_.values[past].is_output || graph_.input_defaults.count(past)) return "it has a default or is an output itself";
    if (std::count(graph_.outputs.begin(), graph_.outputs.end(), present) != 1) return "the output is named twice";
    for (NodeId n : readers_[past])
      for (const GraphPtr& body : graph_.nodes[n].subgraphs())
        for (const OuterValue& o : body->outer)
          if (o.parent == past) return "a body reads it";
    const Dim added = (*fresh.dims)[static_cast<std::size_t>(axis)], batch = (*type.dims)[0];
    if (!told(added)) return "no other input tells how many rows a run adds";
    for (std::size_t d = 0; d < type.dims->size(); ++d)
      if (static_cast<std::int64_t>(d) != axis && !told((*type.dims)[d])) return fmt::format("no other input tells the size of its dim {}", d);
    if (out_.appends && (added != out_.fresh || batch != batch_)) return "a run adds another number of rows to it than to others, or for another batch";
    out_.appends = true;
    out_.fresh = added, batch_ = batch;
    pair.axis = static_cast<std::int32_t>(axis);
    return "";
  }

  static Type int64s(Dim size) {
    Type type;
    type.dtype = TENON_DTYPE_INT64;
    type.dims = std::vector<Dim>{size};
    return type;
  }
  ValueId add_input(const char* name, Dim size) {
    const ValueId v = graph_.add_value(name, int64s(size));
    graph_.values[v].is_input = true;
    graph_.inputs.push_back(v);
    return v;
  }
  ValueId constant(std::int64_t x) { return graph_.add_constant(fmt::format("session/state/{}", x), int64_constant({x})); }
  void add(Node node) {
    fill_from_schema(node);
    graph_.nodes.push_back(std::move(node));
  }

  void add_inputs(const StatePair& first) {
    const Node& concat = graph_.nodes[output_of(first).producer];
    const ValueId fresh = concat.inputs[1];
    out_.rows_input = graph_.inputs.size();
    rows_ = add_input("session/state/rows", Dim{1, 0});
    out_.places_input = graph_.inputs.size();
    places_ = add_input("session/state/places", batch_);
    zero_ = constant(0);
    capacity_.symbol = model_.symbols.id("session/state/capacity");
    const ValueId added = graph_.add_value("session/state/added", int64s(Dim{1, 0}));
    total_ = graph_.add_value("session/state/total", int64s(Dim{1, 0}));
    Node shape;
    shape.op_type = "Shape", shape.name = "session/state/added";
    shape.inputs = {fresh}, shape.outputs = {added};
    shape.set("start", std::int64_t{first.axis});
    shape.set("end", std::int64_t{first.axis} + 1);
    add(std::move(shape));
    Node sum;
    sum.op_type = "Add", sum.name = "session/state/total";
    sum.inputs = {rows_, added}, sum.outputs = {total_};
    add(std::move(sum));
  }

  Node slice(ValueId from, ValueId end, ValueId axis, ValueId to) const {
    Node node;
    node.op_type = "Slice", node.name = graph_.values[to].name;
    node.inputs = {from, zero_, end, axis}, node.outputs = {to};
    return node;
  }

  void append(const StatePair& pair) {
    const ValueId past = graph_.inputs[pair.input], present = graph_.outputs[pair.output], axis = constant(pair.axis);
    const Type declared = graph_.values[past].type;
    Type whole = declared;
    (*whole.dims)[static_cast<std::size_t>(pair.axis)] = capacity_;
    const NodeId at = graph_.values[present].producer;
    const ValueId fresh = graph_.nodes[at].inputs[1];
    // Whoever else reads the past reads the rows that count.
    ValueId used = none;
    for (NodeId n : readers_[past]) {
      if (n == at) continue;
      if (used == none) used = graph_.add_value(graph_.values[past].name + "/used", declared);
      std::replace(graph_.nodes[n].inputs.begin(), graph_.nodes[n].inputs.end(), past, used);
    }
    if (used != none) add(slice(past, rows_, axis, used));
    const ValueId cache = graph_.add_value(graph_.values[present].name + "/cache", whole);
    Node write;
    write.op_type = "TensorScatter", write.name = graph_.nodes[at].name;
    write.inputs = {past, fresh, places_}, write.outputs = {cache};
    write.set("axis", std::int64_t{pair.axis});
    write.sources = graph_.nodes[at].sources;
    Node read = slice(cache, total_, axis, present);
    read.sources = write.sources;
    fill_from_schema(read);
    graph_.nodes[at] = std::move(read);
    add(std::move(write));
    graph_.values[past].type = std::move(whole);
    graph_.values[present].is_output = false;
    graph_.values[cache].is_output = true;
    graph_.outputs[pair.output] = cache;
  }

  Model& model_;
  Graph& graph_;
  StatePairs& out_;
  std::vector<std::vector<NodeId>> readers_;
  Dim batch_, capacity_;
  ValueId rows_ = none, places_ = none, zero_ = none, total_ = none;
};

}  // namespace

Result<StatePairs> bind_state(Model& model, std::span<const std::pair<std::string, std::string>> names) {
  StatePairs out;
  TENON_TRY(Binder(model, out).run(names));
  return out;
}

}  // namespace tenon
