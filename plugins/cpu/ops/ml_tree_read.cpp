#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <unordered_map>

#include "plugins/cpu/ops/ml_common.h"
#include "plugins/cpu/ops/ml_tree.h"
#include "plugins/cpu/ops/small_float.h"

namespace tenon::cpu {
namespace {

// A node as the attributes tell it. true_node, false_node: indices of such nodes.
template <class T>
struct RawNode {
  T value = 0;
  TreeMode mode = TreeMode::leaf;
  bool missing_true = false;
  std::int64_t feature = 0, true_node = -1, false_node = -1;
  std::vector<T> members;
  std::vector<TreeWeight<T>> weights;  // of a leaf
};

template <class T>
class Builder {
 public:
  Builder(std::vector<RawNode<T>>& raw, TreeModel<T>& model) : raw_(raw), model_(model), seen_(raw.size(), false) {}

  void tree(std::int64_t root) {
    const std::int32_t at = room(1);
    model_.roots.push_back(at);
    struct Item {
      std::int64_t raw;
      std::int32_t to;
    };
    std::vector<Item> stack{{root, at}};
    while (!stack.empty()) {
      const Item item = stack.back();
      stack.pop_back();
      if (item.raw < 0 || item.raw >= static_cast<std::int64_t>(raw_.size())) invalid_argument("a tree node leads nowhere");
      if (seen_[static_cast<std::size_t>(item.raw)]) invalid_argument("a tree node is reached in two ways");
      seen_[static_cast<std::size_t>(item.raw)] = true;
      RawNode<T>& raw = raw_[static_cast<std::size_t>(item.raw)];
      if (raw.mode == TreeMode::leaf) {
        leaf(raw, item.to);
        continue;
      }
      const std::int32_t child = room(2);
      const bool swapped = inner(raw, item.to, child);
      stack.push_back({swapped ? raw.true_node : raw.false_node, child + 1});
      stack.push_back({swapped ? raw.false_node : raw.true_node, child});
    }
  }

 private:
  std::int32_t room(std::int32_t n) {
    const std::size_t at = model_.nodes.size();
    if (at + 2 > static_cast<std::size_t>(INT32_MAX)) invalid_argument("too many tree nodes");
    model_.nodes.resize(at + static_cast<std::size_t>(n));
    model_.tests.resize(model_.nodes.size());
    model_.leaf_of.resize(model_.nodes.size(), -1);
    return static_cast<std::int32_t>(at);
  }

  void leaf(RawNode<T>& raw, std::int32_t at) {
    const std::size_t i = static_cast<std::size_t>(at);
    model_.nodes[i] = {std::numeric_limits<T>::infinity(), 0, at};
    model_.tests[i].mode = TreeMode::leaf;
    model_.leaf_of[i] = static_cast<std::int32_t>(model_.leaves.size());
    const std::int32_t begin = static_cast<std::int32_t>(model_.weights.size());
    std::stable_sort(raw.weights.begin(), raw.weights.end(), [](const auto& a, const auto& b) { return a.target < b.target; });
    model_.weights.insert(model_.weights.end(), raw.weights.begin(), raw.weights.end());
    model_.leaves.push_back({begin, static_cast<std::int32_t>(model_.weights.size())});
  }

  // Turns the comparison into value >= x where that can be done. True: the branches change places.
  bool inner(const RawNode<T>& raw, std::int32_t at, std::int32_t child) {
    const std::size_t i = static_cast<std::size_t>(at);
    if (raw.feature < 0 || raw.feature >= INT32_MAX) invalid_argument("a tree node has a negative feature index");
    model_.features = std::max(model_.features, static_cast<std::int32_t>(raw.feature) + 1);
    const T low = -std::numeric_limits<T>::infinity();
    const bool strict = raw.mode == TreeMode::lt || raw.mode == TreeMode::gte;
    const bool swapped = raw.mode == TreeMode::gt || raw.mode == TreeMode::gte;
    if (raw.mode >= TreeMode::eq || raw.value != raw.value || (strict && raw.value == low)) model_.ordered = false;
    TreeTest<T>& test = model_.tests[i];
    test = {raw.value, raw.mode, raw.missing_true, swapped, 0, 0};
    if (raw.mode == TreeMode::member) {
      test.member_begin = static_cast<std::int32_t>(model_.members.size());
      model_.members.insert(model_.members.end(), raw.members.begin(), raw.members.end());
      test.member_end = static_cast<std::int32_t>(model_.members.size());
    }
    const T value = strict ? std::nextafter(raw.value, low) : raw.value;
    model_.nodes[i] = {value, static_cast<std::int32_t>(raw.feature), child};
    return swapped;
  }

  std::vector<RawNode<T>>& raw_;
  TreeModel<T>& model_;
  std::vector<bool> seen_;
};

template <class T, class I>
std::vector<TreeWay<T, I>> ways_of(const std::vector<TreeNode<T>>& nodes) {
  std::vector<TreeWay<T, I>> ways;
  ways.reserve(nodes.size());
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const std::size_t skip = static_cast<std::size_t>(nodes[i].child) - i;
    if (skip > std::numeric_limits<I>::max() || static_cast<std::uint32_t>(nodes[i].feature) > std::numeric_limits<I>::max()) return {};
    ways.push_back({nodes[i].value, static_cast<I>(nodes[i].feature), static_cast<I>(skip)});
  }
  return ways;
}

template <class T>
void finish(TreeModel<T>& model) {
  std::vector<std::int32_t> depth(model.nodes.size(), 0);  // of each node; children stand behind their parents
  model.depths.resize(model.roots.size());
  for (std::size_t t = 0; t < model.roots.size(); ++t) {
    const std::size_t end = t + 1 < model.roots.size() ? static_cast<std::size_t>(model.roots[t + 1]) : model.nodes.size();
    for (std::size_t i = static_cast<std::size_t>(model.roots[t]); i < end; ++i) {
      const std::size_t child = static_cast<std::size_t>(model.nodes[i].child);
      if (child != i) depth[child] = depth[child + 1] = depth[i] + 1;
      model.depths[t] = std::max(model.depths[t], depth[i]);
    }
  }
  if (model.ordered) {
    model.near_ways = ways_of<T, std::uint16_t>(model.nodes);
    if (model.near_ways.empty()) model.far_ways = ways_of<T, std::uint32_t>(model.nodes);
  }
  std::set<std::int32_t> classes;
  for (const TreeWeight<T>& w : model.weights) {
    if (w.target < 0 || w.target >= model.targets) invalid_argument("a leaf votes for target " + std::to_string(w.target));
    classes.insert(w.target);
    if (w.weight < 0) model.positive = false;
  }
  model.one_class = classes.size() == 1;
  model.votes_second = model.one_class && *classes.begin() == 1;
  // All leaves in the same order: rows of weights.
  const auto full = [&](const TreeLeaf<T>& leaf) {
    if (leaf.end - leaf.begin != model.targets) return false;
    for (std::int32_t k = 0; k < model.targets; ++k) {
      if (model.weights[static_cast<std::size_t>(leaf.begin + k)].target != k) return false;
    }
    return true;
  };
  if (!model.leaves.empty() && std::all_of(model.leaves.begin(), model.leaves.end(), full)) {
    model.dense.reserve(model.weights.size());
    for (const TreeWeight<T>& w : model.weights) model.dense.push_back(w.weight);
  }
  model.complete = !model.dense.empty();
}

template <class T>
std::vector<T> numbers(const NodeView& node, std::string_view name) {
  std::vector<T> out;
  if (const tenon_const_tensor* t = node.tensor(std::string(name) + "_as_tensor")) {
    std::int64_t n = 1;
    for (std::uint64_t d = 0; d < t->rank; ++d) n *= t->dims[d];
    out.resize(static_cast<std::size_t>(n));
    for (std::int64_t i = 0; i < n; ++i) {
      if (t->dtype == TENON_DTYPE_DOUBLE) out[static_cast<std::size_t>(i)] = static_cast<T>(static_cast<const double*>(t->data)[i]);
      else if (t->dtype == TENON_DTYPE_FLOAT) out[static_cast<std::size_t>(i)] = static_cast<T>(static_cast<const float*>(t->data)[i]);
      else invalid_argument(std::string(name) + " must be float or double");
    }
    if (!out.empty()) return out;
  }
  for (float v : node.floats(name)) out.push_back(static_cast<T>(v));
  return out;
}

TreeMode parse_mode(std::string_view name) {
  constexpr std::string_view names[] = {"BRANCH_LEQ", "BRANCH_LT",  "BRANCH_GTE",    "BRANCH_GT",
                                        "BRANCH_EQ",  "BRANCH_NEQ", "BRANCH_MEMBER", "LEAF"};
  for (std::size_t i = 0; i < std::size(names); ++i) {
    if (names[i] == name && i != 6) return static_cast<TreeMode>(i);
  }
  invalid_argument("tree node mode " + std::string(name));
}

// The attributes that classifier and regressor share; prefix "class" or "target" names the leaves' ones.
template <class T>
TreeModel<T> read(const NodeView& node, const std::string& prefix, std::int64_t targets) {
  TreeModel<T> model;
  if (targets < 1 || targets > INT32_MAX) invalid_argument("a tree ensemble needs at least one target");
  model.targets = static_cast<std::int32_t>(targets);
  model.base_values = numbers<T>(node, "base_values");
  const auto trees = node.ints("nodes_treeids"), ids = node.ints("nodes_nodeids"), features = node.ints("nodes_featureids");
  const auto on_true = node.ints("nodes_truenodeids"), on_false = node.ints("nodes_falsenodeids");
  const auto missing = node.ints("nodes_missing_value_tracks_true");
  const auto modes = node.strings("nodes_modes");
  const std::vector<T> values = numbers<T>(node, "nodes_values");
  const std::size_t n = trees.size();
  if (ids.size() != n || features.size() != n || on_true.size() != n || on_false.size() != n || modes.size() != n || values.size() != n ||
      (!missing.empty() && missing.size() != n)) {
    invalid_argument("the nodes_* attributes differ in length");
  }
  struct Hash {
    std::size_t operator()(const std::pair<std::int64_t, std::int64_t>& k) const {
      return std::hash<std::int64_t>()(k.first * 1000003 + k.second);
    }
  };
  std::unordered_map<std::pair<std::int64_t, std::int64_t>, std::int64_t, Hash> index;
  index.reserve(n * 2);
  for (std::size_t i = 0; i < n; ++i) {
    if (!index.emplace(std::pair(trees[i], ids[i]), static_cast<std::int64_t>(i)).second)
      invalid_argument("a tree has two nodes of one id");
  }
  const auto find = [&](std::int64_t tree, std::int64_t id) {
    const auto at = index.find({tree, id});
    if (at == index.end()) invalid_argument("tree " + std::to_string(tree) + " has no node " + std::to_string(id));
    return at->second;
  };
  std::vector<RawNode<T>> raw(n);
  std::vector<bool> is_child(n, false);
  for (std::size_t i = 0; i < n; ++i) {
    raw[i].value = values[i], raw[i].mode = parse_mode(view_of(modes[i]));
    raw[i].feature = features[i], raw[i].missing_true = !missing.empty() && missing[i] != 0;
    if (raw[i].mode == TreeMode::leaf) continue;
    raw[i].true_node = find(trees[i], on_true[i]), raw[i].false_node = find(trees[i], on_false[i]);
    is_child[static_cast<std::size_t>(raw[i].true_node)] = is_child[static_cast<std::size_t>(raw[i].false_node)] = true;
  }
  const auto leaf_trees = node.ints(prefix + "_treeids"), leaf_nodes = node.ints(prefix + "_nodeids"),
             leaf_ids = node.ints(prefix + "_ids");
  const std::vector<T> weights = numbers<T>(node, prefix + "_weights");
  if (leaf_trees.size() != weights.size() || leaf_nodes.size() != weights.size() || leaf_ids.size() != weights.size()) {
    invalid_argument("the " + prefix + "_* attributes differ in length");
  }
  for (std::size_t i = 0; i < weights.size(); ++i) {
    RawNode<T>& leaf = raw[static_cast<std::size_t>(find(leaf_trees[i], leaf_nodes[i]))];
    if (leaf_ids[i] < 0 || leaf_ids[i] >= targets) invalid_argument("a leaf votes for target " + std::to_string(leaf_ids[i]));
    if (leaf.mode == TreeMode::leaf) leaf.weights.push_back({static_cast<std::int32_t>(leaf_ids[i]), weights[i]});
  }
  Builder<T> builder(raw, model);
  // The root of each tree: its first node that is no child, in the order in which trees appear.
  std::set<std::int64_t> planted;
  for (std::size_t i = 0; i < n; ++i) {
    if (is_child[i] || !planted.insert(trees[i]).second) continue;
    builder.tree(static_cast<std::int64_t>(i));
  }
  finish(model);
  return model;
}

template <class T>
T tensor_value(const tenon_const_tensor& t, std::size_t i) {
  switch (t.dtype) {
    case TENON_DTYPE_DOUBLE: return static_cast<T>(static_cast<const double*>(t.data)[i]);
    case TENON_DTYPE_FLOAT16: return static_cast<T>(decode(float16_format, static_cast<const std::uint16_t*>(t.data)[i]));
    default: return static_cast<T>(static_cast<const float*>(t.data)[i]);
  }
}

std::size_t tensor_count(const tenon_const_tensor* t, std::string_view name, std::int32_t other_dtype = 0) {
  if (!t) return 0;
  if (t->dtype != TENON_DTYPE_FLOAT && t->dtype != TENON_DTYPE_DOUBLE && t->dtype != TENON_DTYPE_FLOAT16 && t->dtype != other_dtype) {
    invalid_argument(std::string(name) + " has element type " + std::to_string(t->dtype));
  }
  std::int64_t n = 1;
  for (std::uint64_t d = 0; d < t->rank; ++d) n *= t->dims[d];
  return static_cast<std::size_t>(n);
}

}  // namespace

template <class T>
TreeModel<T> read_tree_classifier(const NodeView& node, std::int64_t classes) {
  return read<T>(node, "class", classes);
}

template <class T>
TreeModel<T> read_tree_regressor(const NodeView& node) {
  return read<T>(node, "target", node.int_or("n_targets", 1));
}

template <class T>
TreeModel<T> read_tree_ensemble(const NodeView& node) {
  TreeModel<T> model;
  const std::int64_t targets = node.int_or("n_targets", 1);
  if (targets < 1 || targets > INT32_MAX) invalid_argument("a tree ensemble needs at least one target");
  model.targets = static_cast<std::int32_t>(targets);
  const auto roots = node.ints("tree_roots"), features = node.ints("nodes_featureids"), on_true = node.ints("nodes_truenodeids"),
             on_false = node.ints("nodes_falsenodeids"), true_leaf = node.ints("nodes_trueleafs"),
             false_leaf = node.ints("nodes_falseleafs"), missing = node.ints("nodes_missing_value_tracks_true"),
             leaf_targets = node.ints("leaf_targetids");
  const tenon_const_tensor *splits = node.tensor("nodes_splits"), *modes = node.tensor("nodes_modes"),
                           *weights = node.tensor("leaf_weights"), *members = node.tensor("membership_values");
  const std::size_t n = features.size(), leaves = leaf_targets.size();
  if (on_true.size() != n || on_false.size() != n || true_leaf.size() != n || false_leaf.size() != n ||
      (!missing.empty() && missing.size() != n) || tensor_count(splits, "nodes_splits") != n ||
      tensor_count(modes, "nodes_modes", TENON_DTYPE_UINT8) != n || tensor_count(weights, "leaf_weights") != leaves) {
    invalid_argument("the attributes of a tree ensemble differ in length");
  }
  // Leaves follow the nodes; one that is used twice is copied.
  std::vector<RawNode<T>> raw(n);
  const auto leaf = [&](std::int64_t id) {
    if (id < 0 || id >= static_cast<std::int64_t>(leaves)) invalid_argument("a tree node leads to leaf " + std::to_string(id));
    const std::int64_t target = leaf_targets[static_cast<std::size_t>(id)];
    if (target < 0 || target >= targets) invalid_argument("a leaf votes for target " + std::to_string(target));
    RawNode<T> made;
    made.weights.push_back({static_cast<std::int32_t>(target), tensor_value<T>(*weights, static_cast<std::size_t>(id))});
    raw.push_back(std::move(made));
    return static_cast<std::int64_t>(raw.size()) - 1;
  };
  std::size_t next_member = 0;
  const std::size_t member_count = tensor_count(members, "membership_values");
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint8_t mode = static_cast<const std::uint8_t*>(modes->data)[i];
    if (modes->dtype != TENON_DTYPE_UINT8 || mode > 6) invalid_argument("tree node mode " + std::to_string(mode));
    RawNode<T> made;
    made.value = tensor_value<T>(*splits, i), made.mode = static_cast<TreeMode>(mode);
    made.feature = features[i], made.missing_true = !missing.empty() && missing[i] != 0;
    const auto inside = [&](std::int64_t id) {
      if (id < 0 || id >= static_cast<std::int64_t>(n)) invalid_argument("a tree node leads nowhere");
      return id;
    };
    made.true_node = true_leaf[i] ? leaf(on_true[i]) : inside(on_true[i]);
    made.false_node = false_leaf[i] ? leaf(on_false[i]) : inside(on_false[i]);
    if (made.mode == TreeMode::member) {
      for (;; ++next_member) {
        if (next_member >= member_count) invalid_argument("too few membership_values");
        const T v = tensor_value<T>(*members, next_member);
        if (v != v) break;
        made.members.push_back(v);
      }
      ++next_member;
    }
    raw[i] = std::move(made);
  }
  Builder<T> builder(raw, model);
  for (std::int64_t root : roots) builder.tree(root);
  finish(model);
  return model;
}

template TreeModel<float> read_tree_ensemble<float>(const NodeView&);
template TreeModel<double> read_tree_ensemble<double>(const NodeView&);
template TreeModel<float> read_tree_classifier<float>(const NodeView&, std::int64_t);
template TreeModel<double> read_tree_classifier<double>(const NodeView&, std::int64_t);
template TreeModel<float> read_tree_regressor<float>(const NodeView&);
template TreeModel<double> read_tree_regressor<double>(const NodeView&);

}  // namespace tenon::cpu
