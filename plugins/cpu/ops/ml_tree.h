// TreeModel: decision trees as flat arrays.
//
// Made in compile from the attributes of a TreeEnsemble operator; immutable afterwards, so any thread may read it.
#pragma once

#include <cstdint>
#include <vector>

#include "plugins/cpu/op.h"

namespace tenon::cpu {

enum class TreeMode : std::uint8_t { leq, lt, gte, gt, eq, neq, member, leaf };

// The children stand beside each other: `child` where x[feature] <= value, else child + 1. A leaf leads to itself.
template <class T>
struct TreeNode {
  T value;
  std::int32_t feature;
  std::int32_t child;
};

// The same for walks without a test for the end, small so that more of them are in cache: the true branch leads to at + skip, the
// other one place further; from a leaf nothing leads away.
template <class T, class I>
struct TreeWay {
  T value;
  I feature, skip;
};

// The same nodes in full, for rows with NaN and for comparisons other than the order ones.
template <class T>
struct TreeTest {
  T value;
  TreeMode mode;
  bool missing_true;            // NaN takes the true branch
  bool swapped;                 // the true branch is child + 1
  std::int32_t member_begin, member_end;
};

template <class T>
struct TreeLeaf {
  std::int32_t begin, end;  // of weights
};

template <class T>
struct TreeWeight {
  std::int32_t target;
  T weight;
};

template <class T>
struct TreeModel {
  std::vector<TreeNode<T>> nodes;
  std::vector<TreeTest<T>> tests;        // one a node
  std::vector<TreeWay<T, std::uint16_t>> near_ways;  // one a node, where the numbers fit; else far_ways. Neither: not ordered
  std::vector<TreeWay<T, std::uint32_t>> far_ways;
  std::vector<std::int32_t> leaf_of;     // index into leaves, -1 for an inner node
  std::vector<TreeLeaf<T>> leaves;
  std::vector<TreeWeight<T>> weights;
  std::vector<T> dense;                  // weights as rows of `targets`, where every leaf has all of them in order
  std::vector<T> members;
  std::vector<std::int32_t> roots;
  std::vector<std::int32_t> depths;      // of the trees: steps from the root to the lowest leaf
  std::vector<T> base_values;
  std::int32_t targets = 1;
  std::int32_t features = 0;             // the largest feature index + 1
  bool ordered = true;                   // nodes can be walked by value alone
  bool one_class = false;                // all weights belong to one class
  bool votes_second = false;             // ... the second
  bool positive = true;                  // no weight is negative
  bool complete = true;                  // every row gets a score for each target
};

// Throws Failure for trees that are no trees.
template <class T>
TreeModel<T> read_tree_ensemble(const NodeView& node);     // TreeEnsemble, version 5
template <class T>
TreeModel<T> read_tree_classifier(const NodeView& node, std::int64_t classes);
template <class T>
TreeModel<T> read_tree_regressor(const NodeView& node);

}  // namespace tenon::cpu
