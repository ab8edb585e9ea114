// Configurations: every kind of fault with its place, changes by pointer, where a value came from, which file counts.
#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <nlohmann/json.hpp>

#include "core/base/config.h"

namespace tenon {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

std::string fault(std::string_view json) {
  const auto c = Config::parse(json, "test.json");
  return c.ok() ? "" : std::string(c.status().text());
}

TEST(Config, FaultsSayWhereAndWhatIsExpected) {
  struct Case {
    const char* json;
    const char *place, *text;
  };
  const Case cases[] = {
      {"{\n  \"session\": {\n    \"threads\": 2,,\n", "test.json:3:", "expected"},
      {"{\"session\": {\"treads\": 2}}", "test.json:1:14: error at /session/treads", "did you mean \"threads\""},
      {"{\"sesion\": {}}", "error at /sesion", "did you mean \"session\""},
      {"{\"session\": {\"threads\": \"two\"}}", "/session/threads", "\"auto\""},
      {"{\"session\": {\"threads\": 0}}", "/session/threads", "0"},
      {"{\"session\": {\"optimize\": \"most\"}}", "/session/optimize", "\"all\""},
      {"{\"session\": {\"deterministic\": 1}}", "/session/deterministic", "true or false"},
      {"{\"session\": []}", "/session", "object"},
      {"{\"providers\": [{\"device\": 0}]}", "/providers/0", "\"use\""},
      {"{\"providers\": [{\"use\": \"cpu\", \"optoins\": {}}]}", "/providers/0/optoins", "did you mean \"options\""},
      {"{\"providers\": {\"use\": \"cpu\"}}", "/providers", "array"},
      {"{\"placement\": {\"rules\": [{\"match\": {\"op\": 3}, \"use\": \"cpu\"}]}}", "/placement/rules/0/match/op", "not a text"},
      {"{\"limits\": {\"memory\": \"lots\"}}", "/limits/memory", "MiB"},
      {"{\"session\": {\"threads\": 1, \"threads\": 2}}", "test.json:1:28:", "given before, in line 1"},
      {"[]", "test.json", "object"},
      {"", "test.json", ""},
  };
  for (const Case& c : cases) EXPECT_THAT(fault(c.json), AllOf(HasSubstr(c.place), HasSubstr(c.text))) << c.json;
}

TEST(Config, AllFaultsAtOnce) {
  const std::string text = fault("{\"session\": {\"threads\": 0, \"optimize\": 3}, \"nothing\": 1}");
  EXPECT_THAT(text, AllOf(HasSubstr("/session/threads"), HasSubstr("/session/optimize"), HasSubstr("/nothing")));
}

TEST(Config, TakesCommentsAndSizes) {
  const auto c = Config::parse("{\n  // memory for one run\n  \"limits\": {\"memory\": \"2 GiB\" /* two */}\n}", "test.json");
  ASSERT_TRUE(c.ok()) << c.status().text();
  EXPECT_EQ(c->limits.memory, std::uint64_t{2} << 30);
}

TEST(Config, SetChangesOneKeyOrNothing) {
  Config c = *Config::parse("{\"session\": {\"threads\": 3}}", "file.json");
  ASSERT_TRUE(c.set("/session/optimize", "basic").ok());
  ASSERT_TRUE(c.set("session.deterministic", "true", "command line").ok());
  EXPECT_EQ(c.optimize, Optimize::basic);
  EXPECT_TRUE(c.deterministic);
  const std::string before = c.json();
  EXPECT_FALSE(c.set("/session/threads", "-1").ok());
  EXPECT_FALSE(c.set("/session/nothing", "1").ok());
  EXPECT_FALSE(c.set("", "1").ok());
  EXPECT_EQ(c.json(), before);
  EXPECT_EQ(c.threads, 3);
  EXPECT_THAT(c.show_origin(), AllOf(HasSubstr("file.json"), HasSubstr("command line"), HasSubstr("default")));
  // What is written reads back as the same configuration.
  const auto again = Config::parse(c.json(), "again");
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->json(), c.json());
}

TEST(Config, ProvidersInOrder) {
  Config c = *Config::parse("{\"providers\": [{\"use\": \"npu\", \"required\": false}]}", "file.json");
  ASSERT_TRUE(c.add_provider({.use = "cpu", .device = "0", .options = "{\"plain\": true}"}).ok());
  ASSERT_EQ(c.providers.size(), 2u);
  EXPECT_FALSE(c.providers[0].required);
  EXPECT_EQ(nlohmann::json::parse(c.providers[1].options), nlohmann::json({{"plain", true}}));
  EXPECT_FALSE(c.add_provider({.use = "cpu", .device = "", .options = "[1]"}).ok());
  EXPECT_EQ(c.providers.size(), 2u);
  ASSERT_TRUE(c.clear_providers().ok());
  EXPECT_TRUE(c.providers.empty());
}

TEST(Config, TheNearestFileCounts) {
  const fs::path folder = fs::temp_directory_path() / ("tenon_config_" + std::to_string(::getpid()));
  fs::create_directories(folder / "tenon");
  const auto write = [&](const std::string& name, int threads) {
    std::ofstream(folder / name) << "{\"session\": {\"threads\": " << threads << "}}";
    return (folder / name).string();
  };
  const auto threads = [&](const std::string& path) {
    const auto c = Config::find(path, (folder / "model.onnx").string());
    return c.ok() ? c->threads : -1;
  };
  ::setenv("XDG_CONFIG_HOME", folder.c_str(), 1);
  ::unsetenv("TENON_CONFIG");
  write("tenon/config.json", 2);
  EXPECT_EQ(threads(""), 2);
  write("model.onnx.tenonrc.json", 3), write("model.tenonrc.json", 3);
  EXPECT_EQ(threads(""), 3);
  ::setenv("TENON_CONFIG", write("variable.json", 4).c_str(), 1);
  EXPECT_EQ(threads(""), 4);
  EXPECT_EQ(threads(write("given.json", 5)), 5);
  EXPECT_THAT(std::string(Config::find((folder / "none.json").string()).status().text()), HasSubstr("does not exist"));
  ::unsetenv("TENON_CONFIG");
  ::unsetenv("XDG_CONFIG_HOME");
  fs::remove_all(folder);
}

TEST(Config, TheSchemaAndTheTableNameEveryKey) {
  const auto schema = nlohmann::json::parse(config_schema());
  EXPECT_TRUE(schema["properties"].contains("session") && schema["properties"].contains("providers"));
  for (const auto& [key, value] : schema["properties"]["session"]["properties"].items())
    EXPECT_THAT(config_docs(), HasSubstr("/session/" + key));
}

}  // namespace
}  // namespace tenon
