// Models compiled to bundles: what was stored is used again where it fits and may be used, and nowhere else.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>

#include <gmock/gmock.h>
#include <sys/stat.h>

#include "core/base/bundle_writer.h"
#include "core/provider/registry.h"
#include "core/run/compile.h"
#include "tests/plugins/artifact.h"
#include "tests/support/bundle_bytes.h"
#include "tests/support/model_text.h"
#include "tests/support/run_whatever.h"

namespace tenon {
namespace {

using namespace test;
using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using Counts = std::vector<std::uint32_t>;
namespace fs = std::filesystem;

constexpr const char* relu = "g (float[2] x) => (float[2] y) { y = Relu(x) }";

// 200 KB of weights that two nodes read, each in its own way.
std::string wide() {
  onnx::ModelProto model;
  model.ParseFromString(graph_bytes("g (float[4,224] x) => (float[4,224] y, float[4,224] z) { y = MatMul(x, w) z = Gemm<transB = 1>(x, w) }"));
  auto* w = model.mutable_graph()->add_initializer();
  w->set_name("w"), w->set_data_type(1), w->add_dims(224), w->add_dims(224);
  std::string raw(224 * 224 * 4, 0);
  std::mt19937 r(1);
  for (std::size_t i = 0; i < raw.size(); i += 4) {
    const float v = static_cast<float>(r() % 2000) / 1000 - 1;
    std::memcpy(raw.data() + i, &v, 4);
  }
  w->set_raw_data(raw);
  return model.SerializeAsString();
}

class Bundles : public ::testing::Test {
 protected:
  Bundles() : folder_(std::string(::testing::TempDir()) + "/tenon_bundles_" + ::testing::UnitTest::GetInstance()->current_test_info()->name()) {
    fs::remove_all(folder_);
    fs::create_directory(folder_);
    fs::permissions(folder_, fs::perms::owner_all);
    model_ = folder_ + "/m.onnx", bundle_ = folder_ + "/m.tnb";
    user("user");
    provider_ = *Registry::instance().open(std::string(TENON_BINARY_DIR) + "/test_providers/artifact/artifact.tenon.json");
  }
  ~Bundles() override {
    ::unsetenv("XDG_DATA_HOME");
    fs::remove_all(folder_);
  }

  // Whose records of allowed bundles count.
  void user(const std::string& name) { ::setenv("XDG_DATA_HOME", (folder_ + "/" + name).c_str(), 1); }
  static void write(const std::string& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }
  static Config artifact(const std::string& options = "{}", const std::string& more = "") {
    return config(R"({"providers":[{"use":"artifact","options":)" + options + R"(}],"provider_paths":[")" + std::string(TENON_BINARY_DIR) +
                  R"(/test_providers/artifact"])" + more + "}");
  }
  static Config cpu(const std::string& more = "") { return config(R"({"providers":[{"use":"cpu"}])" + more + "}"); }
  BundleReport compile(const std::string& from, Config c, bool add = false) {
    CompileOptions options;
    options.load.config = std::move(c);
    options.add = add;
    auto report = compile_bundle(from, bundle_, std::move(options));
    EXPECT_TRUE(report.ok()) << report.status().text();
    return report.ok() ? *report : BundleReport();
  }
  static std::unique_ptr<Session> open(const std::string& path, Config c) {
    LoadOptions options;
    options.config = std::move(c);
    auto s = Session::load_file(path, std::move(options));
    EXPECT_TRUE(s.ok()) << s.status().text();
    return s.ok() ? *std::move(s) : nullptr;
  }
  // Loads the bundle, checks that it runs, and says what the provider counted: compiled, found, missed.
  Counts load(Config c) {
    const artifact_counts before = counts();
    const auto s = open(bundle_, std::move(c));
    if (!s) return {};
    EXPECT_EQ(values<float>(test::run(*s, {{"x", tensor<float>({2}, {-1, 2})}}).at(0).datum), (std::vector<float>{0, 2}));
    notes_ = s->placement().notes;
    const artifact_counts& after = counts();
    return {after.compiled - before.compiled, after.found - before.found, after.missed - before.missed};
  }
  const artifact_counts& counts() const { return *static_cast<const artifact_counts*>(provider_->extension("test.artifact", 1)); }
  // The bundle's index with one text for another, checksums made right.
  void edit(const std::string& from, const std::string& to) {
    const std::string bytes = read_file(bundle_);
    std::string index = index_of(bytes);
    const std::size_t at = index.find(from);
    ASSERT_NE(at, index.npos) << from;
    write(bundle_, with_index(bytes, index.replace(at, from.size(), to)));
  }

  const std::string folder_;
  std::string model_, bundle_;
  std::vector<std::string> notes_;
  ProviderPtr provider_;
};

constexpr const char* any = R"(,"session":{"bundle":"any"})";
constexpr const char* nothing = R"(,"session":{"bundle":"none"})";

TEST_F(Bundles, WhatWasStoredIsNotCompiledAgain) {
  write(model_, graph_bytes(relu));
  const BundleReport report = compile(model_, artifact());
  ASSERT_EQ(report.targets.size(), 1u);
  EXPECT_EQ(report.targets[0].provider, "artifact");
  EXPECT_EQ(report.targets[0].fingerprint, "test 1.0");
  EXPECT_EQ(report.targets[0].artifacts, 1u);
  EXPECT_EQ(report.targets[0].added, 1u);
  EXPECT_EQ(report.usable, "");
  fs::remove(model_);
  EXPECT_EQ(load(artifact()), (Counts{1, 1, 0})) << "found at the first load, nothing was missed";
  EXPECT_THAT(notes_, Contains(HasSubstr("1 artifacts and 0 packed weights were taken from it")));
  fs::rename(bundle_, folder_ + "/elsewhere.tnb");
  bundle_ = folder_ + "/elsewhere.tnb";
  EXPECT_EQ(load(artifact()), (Counts{1, 1, 0})) << "its place is no part of it";
  const std::string bytes = read_file(bundle_);
  const artifact_counts before = counts();
  EXPECT_TRUE(session(bytes, artifact()));
  EXPECT_EQ(counts().found - before.found, 1u) << "given as bytes";
}

TEST_F(Bundles, WhatDoesNotFitIsCompiledAgainAndSaidSo) {
  write(model_, graph_bytes(relu));
  compile(model_, artifact());
  EXPECT_EQ(load(artifact(R"({"speed": 1})")), (Counts{1, 0, 1})) << "other options";
  EXPECT_THAT(notes_, Contains(HasSubstr("other options")));
  const std::string good = read_file(bundle_);
  for (const auto& [from, to, why] : {std::tuple{"\"fingerprint\":\"test 1.0\"", "\"fingerprint\":\"test 2.0\"", "device \"test 2.0\", here it is \"test 1.0\""},
                                      std::tuple{"\"version\":\"1.0\"", "\"version\":\"0.9\"", "version 0.9, here it is 1.0"},
                                      std::tuple{"\"library\":\"", "\"library\":\"0", "another build of the provider's library"}}) {
    write(bundle_, good);
    edit(from, to);
    EXPECT_EQ(load(artifact("{}", any)), (Counts{1, 0, 1})) << from;
    EXPECT_THAT(notes_, Contains(HasSubstr(why)));
  }
}

TEST_F(Bundles, ArtifactsThatTheProviderRefusesAreCompiledAgain) {
  write(model_, graph_bytes(relu));
  compile(model_, artifact(R"({"stale": true})"));
  EXPECT_EQ(load(artifact(R"({"stale": true})")), (Counts{2, 1, 1})) << "found, refused, compiled without";
}

TEST_F(Bundles, DamagedArtifactsAreNotHandedOut) {
  write(model_, graph_bytes(relu));
  compile(model_, artifact());
  std::string bytes = read_file(bundle_);
  const std::size_t at = bytes.find("compiled ");
  ASSERT_NE(at, bytes.npos);
  bytes[at] = 'C';
  write(bundle_, bytes);
  EXPECT_EQ(load(artifact()), (Counts{1, 0, 1}));
  EXPECT_EQ(load(artifact("{}", any)), (Counts{1, 0, 1}));
}

TEST_F(Bundles, ThoseOfStrangersAreModelsAndNoMore) {
  write(model_, graph_bytes(relu));
  compile(model_, artifact());
  user("another");
  EXPECT_EQ(load(artifact()), (Counts{1, 0, 1}));
  EXPECT_THAT(notes_, Contains(HasSubstr("tenon compile --allow")));
  EXPECT_THAT(describe_bundle(bundle_)->usable, HasSubstr("compiled elsewhere"));
  CompileOptions options;
  options.load.config = artifact();
  options.add = true;
  EXPECT_EQ(compile_bundle(bundle_, bundle_, std::move(options)).status().code(), TENON_PERMISSION_DENIED);
  EXPECT_EQ(load(artifact("{}", any)), (Counts{1, 1, 0}));
  ASSERT_TRUE(allow_bundle(bundle_).ok());
  EXPECT_EQ(load(artifact()), (Counts{1, 1, 0}));
  EXPECT_EQ(load(artifact("{}", nothing)), (Counts{1, 0, 1}));
  ::chmod(bundle_.c_str(), 0666);
  EXPECT_EQ(load(artifact("{}", any)), (Counts{1, 0, 1})) << "anybody may have written it";
  EXPECT_THAT(notes_, Contains(HasSubstr("may be written by others")));
  EXPECT_EQ(allow_bundle(bundle_).code(), TENON_PERMISSION_DENIED);
}

TEST_F(Bundles, OneHoldsWhatSeveralMachinesNeed) {
  write(model_, graph_bytes(relu));
  compile(model_, artifact());
  edit("\"fingerprint\":\"test 1.0\"", "\"fingerprint\":\"test 2.0\"");
  ASSERT_TRUE(allow_bundle(bundle_).ok());
  const BundleReport report = compile(bundle_, artifact(), true);
  ASSERT_EQ(report.targets.size(), 2u);
  EXPECT_EQ(report.targets[0].added, 0u);
  EXPECT_EQ(report.targets[1].added, 1u);
  EXPECT_EQ(load(artifact()), (Counts{1, 1, 0}));
  compile(bundle_, artifact(R"({"speed": 1})"), true);
  EXPECT_EQ(load(artifact()), (Counts{1, 1, 0}));
  EXPECT_EQ(load(artifact(R"({"speed": 1})")), (Counts{1, 1, 0}));
  EXPECT_EQ(describe_bundle(bundle_)->targets.at(1).made.size(), 2u);
}

TEST_F(Bundles, WrongUsesAreErrors) {
  write(model_, graph_bytes(relu));
  const auto failure = [&](const std::string& from, const std::string& to, bool add) {
    CompileOptions options;
    options.load.config = artifact();
    options.add = add;
    auto made = compile_bundle(from, to, std::move(options));
    return made.ok() ? "" : std::string(made.status().text());
  };
  EXPECT_THAT(failure(model_, bundle_, true), HasSubstr("is no bundle"));
  EXPECT_THAT(failure(folder_ + "/none.onnx", bundle_, false), HasSubstr("none.onnx"));
  EXPECT_THAT(failure(model_, folder_ + "/none/m.tnb", false), HasSubstr("none/m.tnb"));
  compile(model_, artifact());
  EXPECT_THAT(failure(bundle_, bundle_, false), HasSubstr("--add"));
  write(model_, "no model at all");
  const std::string before = read_file(bundle_), said = failure(model_, bundle_, false);
  EXPECT_THAT(said, HasSubstr("\"" + model_ + "\""));
  EXPECT_EQ(read_file(bundle_), before) << "what was there stays";
  write(model_, graph_bytes("g (float[2] x) => (float[2] y) { y = NoSuchThing(x) }"));
  EXPECT_THAT(failure(model_, bundle_, false), ::testing::AllOf(HasSubstr("NoSuchThing"), HasSubstr(model_), Not(HasSubstr(".new"))));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()), 3) << "the model, the bundle, what is allowed";
}

TEST_F(Bundles, HoldExternalDataAndPackedWeights) {
  onnx::ModelProto proto;
  ASSERT_TRUE(proto.ParseFromString(wide()));
  auto* w = proto.mutable_graph()->mutable_initializer(0);
  write(folder_ + "/w.bin", "12345678" + w->raw_data());
  w->clear_raw_data();
  w->set_data_location(onnx::TensorProto::EXTERNAL);
  for (const auto& [key, value] : {std::pair{"location", "w.bin"}, std::pair{"offset", "8"}}) {
    auto* e = w->add_external_data();
    e->set_key(key), e->set_value(value);
  }
  write(model_, proto.SerializeAsString());
  std::vector<float> in(4 * 224);
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<float>(i % 17) / 8 - 1;
  const auto outputs = [&](const Session& s) {
    const auto out = test::run(s, {{"x", tensor<float>({4, 224}, in)}});
    return std::pair(values<float>(out.at(0).datum), values<float>(out.at(1).datum));
  };
  const auto expected = outputs(*open(model_, cpu()));
  const BundleReport report = compile(model_, cpu());
  fs::remove(model_), fs::remove(folder_ + "/w.bin");
  ASSERT_EQ(report.targets.size(), 1u);
  EXPECT_GE(report.targets[0].packed, 1u);
  EXPECT_GE(report.weight_bytes, 224u * 224 * 4);
  const auto packed = [&](const Session& s) {
    for (const std::string& note : s.placement().notes)
      if (note.find("provider cpu") != note.npos) return note.find(fmt::format(" {} packed weights were taken from it", report.targets[0].packed)) != note.npos;
    return false;
  };
  {
    const auto s = open(bundle_, cpu());
    EXPECT_EQ(outputs(*s), expected);
    EXPECT_TRUE(packed(*s));
  }
  EXPECT_EQ(outputs(*session(read_file(bundle_), cpu())), expected) << "given as bytes";
  user("another");
  const auto s = open(bundle_, cpu());
  EXPECT_EQ(outputs(*s), expected);
  EXPECT_FALSE(packed(*s));
  std::string bytes = read_file(bundle_);
  bytes[bundle_page + 5] ^= 1;
  LoadOptions options;
  options.config = cpu(R"(,"session":{"cache_check":"content"})");
  EXPECT_THAT(std::string(Session::load_bytes(as_bytes(bytes), std::move(options)).status().text()), HasSubstr("the weights at bytes"));
}

TEST_F(Bundles, AModelThatReadsAnotherFileIsRefused) {
  write(model_, wide());
  compile(model_, cpu());
  std::string bytes = read_file(bundle_);
  const std::size_t at = bytes.find("weights", bytes.find("location"));
  ASSERT_NE(at, bytes.npos);
  bytes.replace(at, 7, "/etc/ab");
  seal(bytes);
  write(bundle_, bytes);
  LoadOptions options;
  options.config = cpu();
  EXPECT_THAT(std::string(Session::load_file(bundle_, std::move(options)).status().text()), HasSubstr("a bundle reads no other file"));
}

// The same changes every time; the fuzz target (tests/fuzz/bundle.cpp) goes further, with coverage as a guide.
TEST_F(Bundles, MangledOnesAreTakenOrRefusedInWords) {
  write(model_, graph_bytes(relu));
  compile(model_, artifact());
  const std::string good = read_file(bundle_), index = index_of(good);
  const std::size_t index_at = good.size() - index.size();
  static const char* const words[] = {"{", "}", "[", "]", "\"", ":", ",", "null", "-1", "0", "4096", "18446744073709551615", "1e999", "[[[[[[[[", "\"packed\"", "\"kind\""};
  std::mt19937 r(1);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(r()) % n; };
  int taken = 0, refused = 0;
  for (int i = 0; i < 1500; ++i) {
    std::string bytes = good;
    if (i % 3 == 0) {
      std::string text = index;
      for (std::size_t k = 1 + below(3); k > 0; --k) {
        const std::size_t at = below(text.size());
        if (below(2)) text.insert(at, words[below(std::size(words))]);
        else text.erase(at, 1 + below(12));
      }
      bytes = with_index(good, text);
    } else if (i % 3 == 1) {
      for (std::size_t k = 1 + below(3); k > 0; --k) bytes[below(72)] = static_cast<char>(below(256));
    } else {
      for (std::size_t k = 1 + below(3); k > 0; --k) bytes[below(2) ? below(index_at) : good.find("Relu") - 64 + below(128)] = static_cast<char>(below(256));
      seal(bytes);
    }
    const Status s = run_whatever(bytes);
    ++(s.ok() ? taken : refused);
    ASSERT_TRUE(s.ok() || !s.text().empty());
  }
  EXPECT_GT(taken, 0);
  EXPECT_GT(refused, 200);
}

}  // namespace
}  // namespace tenon
