// ai.onnx.ml: trees, linear and support vector models, features and labels.
#include "tests/unit/cpu/family_check.h"

namespace tenon::cpu::test {
namespace {

using Ints = std::vector<std::int64_t>;
using Floats = std::vector<float>;
using Strings = std::vector<std::string>;
using testing::ElementsAre;
using testing::FloatNear;
using testing::Pointwise;

constexpr const char* ml = "ai.onnx.ml";

// One tree: x0 <= 1 ? (x1 > 0 ? leaf 2 : leaf 3) : leaf 4.
std::vector<Attr> tree() {
  return {{"nodes_treeids", Ints{0, 0, 0, 0, 0}},
          {"nodes_nodeids", Ints{0, 1, 2, 3, 4}},
          {"nodes_featureids", Ints{0, 1, 0, 0, 0}},
          {"nodes_values", Floats{1, 0, 0, 0, 0}},
          {"nodes_modes", Strings{"BRANCH_LEQ", "BRANCH_GT", "LEAF", "LEAF", "LEAF"}},
          {"nodes_truenodeids", Ints{1, 2, 0, 0, 0}},
          {"nodes_falsenodeids", Ints{4, 3, 0, 0, 0}},
          {"nodes_missing_value_tracks_true", Ints{0, 1, 0, 0, 0}}};
}

const Tensor points = tensor<float>({5, 2}, {0, 1, 0, -1, 2, 0, NAN, 1, 1, NAN});

TEST(Trees, ClassesAsTextsAndNumbers) {
  for (bool texts : {true, false}) {
    OpTest t({ml_rows});
    t.input("x", points);
    t.value("label", texts ? TENON_DTYPE_STRING : TENON_DTYPE_INT64, {5});
    t.value("scores", TENON_DTYPE_FLOAT, {5, 3});
    std::vector<Attr> a = tree();
    a.insert(a.end(), {{"class_treeids", Ints{0, 0, 0}},
                       {"class_nodeids", Ints{2, 3, 4}},
                       {"class_ids", Ints{0, 1, 2}},
                       {"class_weights", Floats{0.5f, 0.7f, 0.9f}}});
    if (texts) a.push_back({"classlabels_strings", Strings{"a", "b", "c"}});
    else a.push_back({"classlabels_int64s", Ints{10, 20, 30}});
    t.node("TreeEnsembleClassifier", {"x"}, {"label", "scores"}, a, ml);
    check_paths(t, {"label", "scores"});
    const Results r = t.run({.isa = detect_isa()});
    if (texts) {
      EXPECT_THAT(r["label"].strings, ElementsAre("a", "b", "c", "c", "a"));
    } else {
      EXPECT_THAT(r["label"].as<std::int64_t>(), ElementsAre(10, 20, 30, 30, 10));
    }
    EXPECT_THAT(r["scores"].as<float>(), ElementsAre(0.5f, 0, 0, 0, 0.7f, 0, 0, 0, 0.9f, 0, 0, 0.9f, 0.5f, 0, 0));
  }
}

TEST(Trees, OneScoreTellsTwoClasses) {
  const auto run = [](float low, const char* post) {
    OpTest t({ml_rows});
    t.input("x", tensor<float>({2, 2}, {0, 1, 2, 0}));
    t.value("label", TENON_DTYPE_INT64, {2});
    t.value("scores", TENON_DTYPE_FLOAT, {2, 2});
    std::vector<Attr> a = tree();
    a.insert(a.end(), {{"class_treeids", Ints{0, 0, 0}},
                       {"class_nodeids", Ints{2, 3, 4}},
                       {"class_ids", Ints{0, 0, 0}},
                       {"class_weights", Floats{low, 0, 0.8f}},
                       {"classlabels_int64s", Ints{10, 20}},
                       {"post_transform", post}});
    t.node("TreeEnsembleClassifier", {"x"}, {"label", "scores"}, a, ml);
    const Results r = t.run();
    EXPECT_EQ(r.error, "");
    EXPECT_THAT(r["label"].as<std::int64_t>(), ElementsAre(10, 20));
    return r["scores"].as<float>();
  };
  EXPECT_THAT(run(0.3f, "NONE"), Pointwise(FloatNear(1e-6f), {0.7f, 0.3f, 0.2f, 0.8f}));
  EXPECT_THAT(run(-0.3f, "NONE"), Pointwise(FloatNear(1e-6f), {0.3f, -0.3f, -0.8f, 0.8f}));
  EXPECT_THAT(run(0.3f, "LOGISTIC"), Pointwise(FloatNear(1e-6f), {0.4255575f, 0.5744425f, 0.3100255f, 0.6899745f}));
}

TEST(Trees, RegressorAggregates) {
  const auto run = [](const char* aggregate) {
    OpTest t({ml_rows});
    t.input("x", points);
    t.value("y", TENON_DTYPE_FLOAT, {5, 1});
    std::vector<Attr> a = tree();
    a.insert(a.end(), {{"target_treeids", Ints{0, 0, 0}},
                       {"target_nodeids", Ints{2, 3, 4}},
                       {"target_ids", Ints{0, 0, 0}},
                       {"target_weights", Floats{1, -2, 3}},
                       {"n_targets", 1},
                       {"aggregate_function", aggregate},
                       {"base_values", Floats{10}}});
    t.node("TreeEnsembleRegressor", {"x"}, {"y"}, a, ml);
    const Results r = t.run();
    EXPECT_EQ(r.error, "");
    return r.values.at("y").as<float>();
  };
  for (const char* aggregate : {"SUM", "AVERAGE", "MIN", "MAX"}) EXPECT_THAT(run(aggregate), ElementsAre(11, 8, 13, 13, 11)) << aggregate;
}

// Random trees against a walk from node to node: lopsided ones, more rows than are turned at once, more features than that.
void forest(std::int64_t trees, std::int64_t rows, std::int64_t features, std::uint32_t lopsided) {
  std::uint32_t seed = 7;
  const auto next = [&](std::uint32_t n) {
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % n;
  };
  const std::vector<std::string> modes = {"BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT"};
  Ints tree_ids, node_ids, feature_ids, yes, no, target_trees, target_nodes, targets;
  Floats values, weights;
  Strings kinds;
  const auto add = [&](std::int64_t t, std::int64_t node, bool leaf) {
    tree_ids.push_back(t), node_ids.push_back(node);
    feature_ids.push_back(leaf ? 0 : next(8) ? next(static_cast<std::uint32_t>(features)) : features - 1);
    values.push_back(static_cast<float>(next(64)) / 32 - 1), kinds.push_back(leaf ? "LEAF" : modes[next(4)]);
    yes.push_back(0), no.push_back(0);
    if (leaf) target_trees.push_back(t), target_nodes.push_back(node), targets.push_back(0), weights.push_back(static_cast<float>(next(100)));
  };
  for (std::int64_t t = 0; t < trees; ++t) {
    const std::size_t first = values.size();
    std::vector<std::size_t> open{first};
    add(t, 0, t == 3);  // one tree is a leaf
    while (t != 3 && !open.empty() && values.size() < first + 60) {
      const std::size_t at = open.back();
      open.pop_back();
      for (Ints* side : {&yes, &no}) {
        const std::int64_t node = static_cast<std::int64_t>(values.size() - first);
        const bool leaf = next(lopsided) != 0 && side == &no;
        (*side)[at] = node;
        add(t, node, leaf);
        if (!leaf) open.push_back(values.size() - 1);
      }
    }
    for (std::size_t at : open) {
      kinds[at] = "LEAF";
      target_trees.push_back(t), target_nodes.push_back(node_ids[at]), targets.push_back(0), weights.push_back(static_cast<float>(next(100)));
    }
  }
  Floats x(static_cast<std::size_t>(rows * features));
  for (float& v : x) v = static_cast<float>(next(64)) / 32 - 1;
  Floats expected(static_cast<std::size_t>(rows), 0);
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::size_t root = 0; root < values.size(); ++root) {
      if (node_ids[root] != 0) continue;
      std::size_t at = root;
      while (kinds[at] != "LEAF") {
        const float v = x[static_cast<std::size_t>(r * features + feature_ids[at])];
        const bool is = kinds[at] == "BRANCH_LEQ"  ? v <= values[at]
                        : kinds[at] == "BRANCH_LT"  ? v < values[at]
                        : kinds[at] == "BRANCH_GTE" ? v >= values[at]
                                                    : v > values[at];
        at = root + static_cast<std::size_t>(is ? yes[at] : no[at]);
      }
      for (std::size_t w = 0; w < weights.size(); ++w) {
        if (target_trees[w] == tree_ids[at] && target_nodes[w] == node_ids[at]) expected[static_cast<std::size_t>(r)] += weights[w];
      }
    }
  }
  OpTest t({ml_rows});
  t.input("x", tensor<float>({rows, features}, x));
  t.value("y", TENON_DTYPE_FLOAT, {rows, 1});
  t.node("TreeEnsembleRegressor", {"x"}, {"y"},
         {{"nodes_treeids", tree_ids}, {"nodes_nodeids", node_ids}, {"nodes_featureids", feature_ids}, {"nodes_values", values},
          {"nodes_modes", kinds}, {"nodes_truenodeids", yes}, {"nodes_falsenodeids", no}, {"target_treeids", target_trees},
          {"target_nodeids", target_nodes}, {"target_ids", targets}, {"target_weights", weights}, {"n_targets", 1}},
         ml);
  for (std::uint32_t workers : {1u, 2u, 3u}) {
    Results r = t.run({.isa = detect_isa(), .workers = workers, .threads = workers > 1});
    ASSERT_EQ(r.error, "");
    EXPECT_EQ(r["y"].as<float>(), expected) << features << " features, " << workers << " workers";
  }
}

TEST(Trees, Forests) {
  forest(21, 175, 9, 2);    // deep on one side
  forest(40, 1, 20, 1);
  forest(5, 18, 300, 3);    // features that are not turned
  forest(5, 2, 70000, 3);   // and that need more than 16 bits
}

TEST(Trees, ALoopIsRefused) {
  OpTest t({ml_rows});
  t.input("x", points);
  t.value("y", TENON_DTYPE_FLOAT, {5, 1});
  std::vector<Attr> a = tree();
  for (Attr& attr : a) {
    if (attr.name == "nodes_falsenodeids") attr.value = Ints{1, 3, 0, 0, 0};
  }
  a.insert(
      a.end(),
      {{"target_treeids", Ints{0}}, {"target_nodeids", Ints{2}}, {"target_ids", Ints{0}}, {"target_weights", Floats{1}}, {"n_targets", 1}});
  t.node("TreeEnsembleRegressor", {"x"}, {"y"}, a, ml);
  EXPECT_EQ(t.run().code, TENON_INVALID_ARGUMENT);
}

TEST(Linear, ScoresAndLabels) {
  OpTest t({ml_rows});
  t.input("x", tensor<std::int64_t>({2, 2}, {1, 0, 0, 2}));
  t.value("label", TENON_DTYPE_STRING, {2});
  t.value("scores", TENON_DTYPE_FLOAT, {2, 3});
  t.node(
      "LinearClassifier", {"x"}, {"label", "scores"},
      {{"coefficients", Floats{1, 0, 0, 1, 2, -1}}, {"intercepts", Floats{0, 0.5f, -3}}, {"classlabels_strings", Strings{"a", "b", "c"}}},
      ml);
  check_paths(t, {"label", "scores"});
  const Results r = t.run({.isa = detect_isa()});
  EXPECT_THAT(r["scores"].as<float>(), ElementsAre(1, 0.5f, -1, 0, 2.5f, -5));
  EXPECT_THAT(r["label"].strings, ElementsAre("a", "b"));
}

TEST(Svm, EveryPathAgrees) {
  for (const char* kernel : {"LINEAR", "POLY", "RBF", "SIGMOID"}) {
    OpTest t({ml_rows});
    t.input("x", random_tensor({4, 5}, 1));
    t.value("label", TENON_DTYPE_INT64, {4});
    t.value("scores", TENON_DTYPE_FLOAT, {4, 3});
    t.value("y", TENON_DTYPE_FLOAT, {4, 1});
    const Floats vectors = random_tensor({9, 5}, 2).as<float>();
    const std::vector<Attr> common = {{"kernel_type", kernel}, {"kernel_params", Floats{0.3f, 0.2f, 2}}, {"support_vectors", vectors}};
    std::vector<Attr> a = common, b = common;
    a.insert(a.end(), {{"coefficients", random_tensor({18}, 3).as<float>()},
                       {"vectors_per_class", Ints{2, 3, 4}},
                       {"rho", Floats{0.1f, -0.2f, 0.3f}},
                       {"classlabels_ints", Ints{1, 2, 3}},
                       {"prob_a", Floats{-1, -2, -1}},
                       {"prob_b", Floats{0.1f, 0, 0.2f}}});
    b.insert(b.end(), {{"coefficients", random_tensor({9}, 4).as<float>()}, {"rho", Floats{0.1f}}, {"n_supports", 9}});
    t.node("SVMClassifier", {"x"}, {"label", "scores"}, a, ml);
    t.node("SVMRegressor", {"x"}, {"y"}, b, ml);
    check_paths(t, {"label", "scores", "y"}, 1e-4);
    const Floats scores = t.run({.isa = detect_isa()})["scores"].as<float>();
    EXPECT_NEAR(scores[0] + scores[1] + scores[2], 1, 1e-4);
  }
}

TEST(Features, Numbers) {
  OpTest t({ml_rows});
  t.input("x", tensor<float>({2, 2}, {3, -4, 0, 0}));
  t.input("at", tensor<std::int64_t>({1}, {1}));
  for (const char* name : {"scaled", "unit", "binary", "imputed"}) t.value(name, TENON_DTYPE_FLOAT, {2, 2});
  t.value("wide", TENON_DTYPE_FLOAT, {2, 5});
  t.value("column", TENON_DTYPE_FLOAT, {2, 1});
  t.node("Scaler", {"x"}, {"scaled"}, {{"offset", Floats{1}}, {"scale", Floats{2, 10}}}, ml);
  t.node("Normalizer", {"x"}, {"unit"}, {{"norm", "L2"}}, ml);
  t.node("Binarizer", {"x"}, {"binary"}, {{"threshold", 0.5f}}, ml);
  t.node("Imputer", {"x"}, {"imputed"}, {{"imputed_value_floats", Floats{7, 8}}, {"replaced_value_float", 0.0f}}, ml);
  t.node("FeatureVectorizer", {"x", "x"}, {"wide"}, {{"inputdimensions", Ints{1, 4}}}, ml);
  t.node("ArrayFeatureExtractor", {"x", "at"}, {"column"}, {}, ml);
  const Results r = t.run();
  ASSERT_EQ(r.error, "");
  EXPECT_THAT(r["scaled"].as<float>(), ElementsAre(4, -50, -2, -10));
  EXPECT_THAT(r["unit"].as<float>(), Pointwise(FloatNear(1e-6f), {0.6f, -0.8f, 0.0f, 0.0f}));
  EXPECT_THAT(r["binary"].as<float>(), ElementsAre(1, 0, 0, 0));
  EXPECT_THAT(r["imputed"].as<float>(), ElementsAre(3, -4, 7, 8));
  EXPECT_THAT(r["wide"].as<float>(), ElementsAre(3, 3, -4, 0, 0, 0, 0, 0, 0, 0));
  EXPECT_THAT(r["column"].as<float>(), ElementsAre(-4, 0));
}

TEST(Labels, LookUps) {
  OpTest t({ml_rows});
  t.input("texts", tensor<std::string>({3}, {"a", "?", "b"}));
  t.input("reals", tensor<float>({3}, {1, NAN, 2}));
  t.value("numbers", TENON_DTYPE_INT64, {3});
  t.value("back", TENON_DTYPE_STRING, {3});
  t.value("mapped", TENON_DTYPE_STRING, {3});
  t.value("hot", TENON_DTYPE_FLOAT, {3, 2});
  t.node("LabelEncoder", {"texts"}, {"numbers"},
         {{"keys_strings", Strings{"a", "b"}}, {"values_int64s", Ints{3, 4}}, {"default_int64", -9}}, ml);
  t.node("CategoryMapper", {"numbers"}, {"back"},
         {{"cats_strings", Strings{"x", "y"}}, {"cats_int64s", Ints{3, -9}}, {"default_string", "none"}}, ml);
  t.node("LabelEncoder", {"reals"}, {"mapped"}, {{"keys_floats", Floats{1, NAN}}, {"values_strings", Strings{"one", "nan"}}}, ml);
  t.node("OneHotEncoder", {"texts"}, {"hot"}, {{"cats_strings", Strings{"b", "a"}}, {"zeros", 1}}, ml);
  const Results r = t.run({.workers = 3});
  ASSERT_EQ(r.error, "");
  EXPECT_THAT(r["numbers"].as<std::int64_t>(), ElementsAre(3, -9, 4));
  EXPECT_THAT(r["back"].strings, ElementsAre("x", "y", "none"));
  EXPECT_THAT(r["mapped"].strings, ElementsAre("one", "nan", "_Unused"));
  EXPECT_THAT(r["hot"].as<float>(), ElementsAre(0, 1, 0, 0, 1, 0));
}

}  // namespace
}  // namespace tenon::cpu::test
