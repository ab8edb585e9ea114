#include "plugins/cpu/layout.h"

#include <map>

#include "plugins/cpu/families.h"

namespace tenon::cpu {
namespace {

bool is_half(std::int32_t dtype) { return compute_dtype(dtype) != dtype; }

class Layouter {
 public:
  Layouter(Program& program, const tenon_graph& graph, std::int32_t machine_block)
      : program_(program), values_(program.values), graph_(graph), machine_block_(machine_block), home_(values_.size()) {
    for (std::uint32_t v = 0; v < home_.size(); ++v) home_[v] = v;
  }

  void run() {
    std::vector<Unit> units = std::move(program_.units);
    program_.units.clear();
    for (Unit& unit : units) place(std::move(unit));
    find_aliases();
  }

 private:
  void place(Unit unit) {
    for (std::uint32_t& v : unit.inputs)
      if (v != no_value) v = home(v);
    std::int32_t made = 0;
    if (machine_block_ != 0) {
      std::vector<std::int32_t> want(unit.inputs.size(), 0);
      for (std::size_t i = 0; i < want.size(); ++i)
        if (unit.inputs[i] != no_value) want[i] = values_[unit.inputs[i]].block;
      made = unit.op->layout(want, machine_block_);
      for (std::size_t i = 0; i < want.size(); ++i)
        if (unit.inputs[i] != no_value) unit.inputs[i] = version(unit.inputs[i], want[i], unit);
    }
    // What leaves the part is dense and of the declared type; inside there may be another form of it.
    struct Leaving {
      std::uint32_t inner, outer;
    };
    std::vector<Leaving> narrowed, unblocked;
    for (std::size_t o = 0; o < unit.outputs.size(); ++o) {
      std::uint32_t& v = unit.outputs[o];
      if (v == no_value) continue;
      const std::uint32_t own = v;
      // An op whose sizes the data decide writes the declared type itself: nothing is known yet to convert later.
      const bool half = is_half(values_[v].dtype) && !unit.data_dependent;
      if (half) {
        const std::uint32_t wide = inner(v, 0);
        narrowed.push_back({wide, v});
        home_[own] = v = wide;
      }
      if (made == 0 || (o != 0 && !unit.op->blocks_all_outputs())) continue;
      require_blockable(v, made, unit);
      if (!values_[v].is_output && !half) {
        values_[v].block = made;
        continue;
      }
      const std::uint32_t dense = v, blocked = inner(v, made);
      unblocked.push_back({blocked, dense});
      versions_[{dense, made}] = blocked;
      versions_[{blocked, 0}] = dense;
      home_[own] = v = blocked;
    }
    program_.units.push_back(std::move(unit));
    for (auto [from, to] : unblocked) convert(make_reorder(made, 0), from, to);
    for (auto [wide, half] : narrowed) convert(make_convert(TENON_DTYPE_FLOAT, values_[half].dtype), wide, half);
  }

  // The form of a value that units read; a half input of the part is converted before its first reader.
  std::uint32_t home(std::uint32_t v) {
    if (is_half(values_[v].dtype) && values_[v].constant == no_value && home_[v] == v) {
      const std::uint32_t wide = inner(v, 0);
      convert(make_convert(values_[v].dtype, TENON_DTYPE_FLOAT), v, wide);
      home_[v] = wide;
    }
    return home_[v];
  }
  std::uint32_t version(std::uint32_t v, std::int32_t block, const Unit& unit) {
    if (values_[v].block == block) return v;
    if (auto it = versions_.find({v, block}); it != versions_.end()) return it->second;
    require_blockable(v, block ? block : values_[v].block, unit);
    const std::uint32_t made = inner(v, block);
    convert(make_reorder(values_[v].block, block), v, made);
    versions_[{v, block}] = made;
    return made;
  }
  std::uint32_t inner(std::uint32_t of, std::int32_t block) {
    Value v;
    v.graph_value = values_[of].graph_value;
    v.dtype = compute_dtype(values_[of].dtype);
    v.block = block;
    values_.push_back(v);
    return static_cast<std::uint32_t>(values_.size() - 1);
  }
  void convert(std::unique_ptr<Op> op, std::uint32_t from, std::uint32_t to) {
    Unit unit;
    unit.op = std::move(op);
    unit.inputs = {from};
    unit.outputs = {to};
    unit.label = "conversion of value \"" + std::string(view(element<tenon_value>(graph_.values, values_[from].graph_value).name)) + "\"";
    program_.units.push_back(std::move(unit));
  }
  void require_blockable(std::uint32_t v, std::int32_t block, const Unit& unit) const {
    const auto& g = element<tenon_value>(graph_.values, values_[v].graph_value);
    const bool bytes = values_[v].dtype == TENON_DTYPE_INT8 || values_[v].dtype == TENON_DTYPE_UINT8;  // one block of all channels
    const bool ok = (values_[v].dtype == TENON_DTYPE_FLOAT || (bytes && g.dims[1] == block)) && g.rank >= 3 && g.rank <= 5 && g.dims[1] > 0 && g.dims[1] % block == 0;
    if (ok) return;
    throw Failure{TENON_INTERNAL, unit.label + ": value \"" + std::string(view(g.name)) + "\" cannot have blocks of " + std::to_string(block)};
  }

  void find_aliases() {
    std::vector<Unit> kept;
    kept.reserve(program_.units.size());
    for (Unit& unit : program_.units) {
      const std::int32_t source = unit.op->alias_of();
      const bool named = source >= 0 && static_cast<std::size_t>(source) < unit.inputs.size() && unit.inputs[source] != no_value;
      const bool inside = named && !unit.data_dependent && !unit.outputs.empty() && unit.outputs[0] != no_value && values_[unit.outputs[0]].operand == no_value;
      if (inside) {
        Value& to = values_[unit.outputs[0]];
        const std::uint32_t from = unit.inputs[static_cast<std::size_t>(source)];
        if (to.block == 0 && values_[from].block == 0 && to.dtype != TENON_DTYPE_STRING) {
          to.alias = values_[from].alias == no_value ? from : values_[from].alias;
          continue;
        }
      }
      kept.push_back(std::move(unit));
    }
    program_.units = std::move(kept);
  }

  Program& program_;
  std::vector<Value>& values_;
  const tenon_graph& graph_;
  std::int32_t machine_block_;
  std::vector<std::uint32_t> home_;  // of each value that the graph has: the form that units read
  std::map<std::pair<std::uint32_t, std::int32_t>, std::uint32_t> versions_;
};

}  // namespace

void lay_out_values(Program& program, const tenon_graph& graph, std::int32_t machine_block) { Layouter(program, graph, machine_block).run(); }

}  // namespace tenon::cpu
