// The file format of bundles: what is written is read, and whatever is wrong with a file is said of it.
#include <filesystem>

#include <gmock/gmock.h>

#include "core/base/bundle_writer.h"
#include "tests/support/bundle_bytes.h"

namespace tenon {
namespace {

using namespace test;
using ::testing::HasSubstr;

class BundleFile : public ::testing::Test {
 protected:
  BundleFile() : folder_(std::string(::testing::TempDir()) + "/tenon_bundle_" + ::testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directory(folder_);
    path_ = folder_ + "/a.tnb";
  }
  ~BundleFile() override { std::filesystem::remove_all(folder_); }

  // A bundle of a few bytes: weights, a model, an artifact.
  BundleIndex write() {
    auto writer = *BundleWriter::create(path_);
    BundleIndex index;
    const auto section = [&](std::string_view text) {
      const auto at = writer->append(as_bytes(text));
      EXPECT_TRUE(at.ok());
      return BundleRange{*at, text.size()};
    };
    index.tenon = "0.0.1";
    index.weights = section("some weights"), index.weights_hash = xxh128_hex(as_bytes("some weights"));
    index.model = section("a model"), index.model_hash = xxh128_hex(as_bytes("a model"));
    BundleTarget t{"acme", "1.0", "library", "device", {R"({"threads":2})"}, {}};
    t.stored.push_back({BundleStored::Kind::artifact, bundle_key("part"), "part", section("artifact"), sha256(as_bytes("artifact"))});
    t.stored.push_back({BundleStored::Kind::packed, bundle_key("layout"), "layout", section("packed"), xxh128_hex(as_bytes("packed"))});
    index.targets.push_back(t);
    EXPECT_TRUE(writer->write_index(index).ok());
    EXPECT_TRUE(writer->commit().ok());
    return index;
  }
  std::string failure(const std::string& bytes) {
    const auto read = Bundle::of_bytes(as_bytes(bytes), nullptr);
    return read.ok() ? "" : std::string(read.status().text());
  }

  const std::string folder_;
  std::string path_;
};

TEST_F(BundleFile, WhatIsWrittenIsRead) {
  const BundleIndex written = write();
  const auto file = *FileMap::open(path_);
  const auto read = Bundle::open(file);
  ASSERT_TRUE(read.ok()) << read.status().text();
  EXPECT_EQ((*read)->index().text(), written.text());
  const BundleTarget& t = (*read)->index().targets.at(0);
  const auto content = (*read)->at(t.stored.at(0).range);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(content.data()), content.size()), "artifact");
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(content.data()) % bundle_page, 0u);
  EXPECT_EQ(t.made.at(0), R"({"threads":2})");
  EXPECT_TRUE((*read)->check_content().ok());
}

TEST_F(BundleFile, NothingIsLeftOfOneThatWasNotFinished) {
  { auto writer = *BundleWriter::create(path_); }
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
  EXPECT_THAT(std::string(BundleWriter::create(folder_ + "/nowhere/a.tnb").status().text()), HasSubstr("/nowhere/a.tnb"));
}

TEST_F(BundleFile, SaysWhatIsWrong) {
  write();
  const std::string good = read_file(path_), index = index_of(good);
  EXPECT_EQ(failure(good), "");
  EXPECT_THAT(failure("TENONB01"), HasSubstr("cut short"));
  EXPECT_THAT(failure("something else"), HasSubstr("not a bundle"));
  EXPECT_THAT(failure(good.substr(0, good.size() - 1)), HasSubstr("bytes are expected"));
  EXPECT_THAT(failure(good + "x"), HasSubstr("bytes are expected"));
  std::string bad = good;
  bad[8] = 2;
  EXPECT_THAT(failure(bad), HasSubstr("format 1 is expected, found 2"));
  bad = good, bad[bad.size() - 5] ^= 1;
  EXPECT_THAT(failure(bad), HasSubstr("index is damaged"));
  bad = good, bad[good.find("a model")] = 'A';
  EXPECT_THAT(failure(bad), HasSubstr("model is damaged"));
  EXPECT_THAT(failure(with_index(good, "[]")), HasSubstr("no JSON object"));
  EXPECT_THAT(failure(with_index(good, R"({"format":1})")), HasSubstr("\"model\""));
  const auto edited = [&](const std::string& from, const std::string& to) {
    std::string text = index;
    const std::size_t at = text.find(from);
    EXPECT_NE(at, text.npos) << from;
    if (at != text.npos) text.replace(at, from.size(), to);
    return failure(with_index(good, text));
  };
  EXPECT_THAT(edited("\"offset\":4096", "\"offset\":4097"), HasSubstr("/weights: bytes 4097"));
  EXPECT_THAT(edited("\"offset\":4096", "\"offset\":18446744073709547520"), HasSubstr("no section of the file"));
  EXPECT_THAT(edited("\"offset\":4096", "\"offset\":-4096"), HasSubstr("whole number"));
  EXPECT_THAT(edited("\"bytes\":12", "\"bytes\":1e9"), HasSubstr("whole number"));
  EXPECT_THAT(edited("\"bytes\":12", "\"bytes\":100000"), HasSubstr("no section of the file"));
  EXPECT_THAT(edited("\"offset\":4096", "\"offset\":0"), HasSubstr("no section of the file"));
  EXPECT_THAT(edited("\"artifact\"", "\"program\""), HasSubstr("/targets/0/stored/0"));
  EXPECT_THAT(edited("\"stored\":[", "\"stored\":3,\"x\":["), HasSubstr("\"stored\""));
}

TEST_F(BundleFile, AnIndexThatNestsDeeplyTakesNoStack) {
  write();
  const std::string good = read_file(path_);
  std::string text = index_of(good), deep = "\"made\":[" + std::string(1000000, '[') + std::string(1000000, ']') + ",";
  text.replace(text.find("\"made\":["), 8, deep);
  EXPECT_EQ(failure(with_index(good, text)), "");
}

TEST_F(BundleFile, DamagedWeightsAreFoundWhenAskedFor) {
  write();
  std::string bad = read_file(path_);
  bad[bad.find("packed")] = 'P';
  const auto read = Bundle::of_bytes(as_bytes(bad), nullptr);
  ASSERT_TRUE(read.ok()) << read.status().text();
  EXPECT_THAT(std::string((*read)->check_content().text()), HasSubstr("packed weights at bytes"));
}

}  // namespace
}  // namespace tenon
