// Manifests: what is read, every fault at its place, and what stands against loading.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include <nlohmann/json.hpp>

#include "core/provider/discovery.h"

namespace tenon {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

// A manifest without fault, changed by a JSON merge patch; PLATFORM stands for this machine.
std::string manifest(const std::string& patch = "{}") {
  const auto text = [](std::string_view source) {
    std::string out(source);
    for (std::size_t i; (i = out.find("PLATFORM")) != std::string::npos;) out.replace(i, 8, platform_key());
    return out;
  };
  json m = json::parse(text(R"({
    "manifest_version": 1, "id": "acme", "aliases": ["AcmeExecutionProvider"], "version": "2.1.0",
    "abi": {"major": 1, "min": 0, "target": 0}, "library": {"PLATFORM": "libacme.so"}, "devices": [{"kind": "npu"}, "cpu"],
    "options_schema": {"type": "object", "additionalProperties": false, "properties": {"level": {"type": "integer", "default": 3}}}})"));
  m["abi"]["major"] = TENON_ABI_MAJOR;
  m.merge_patch(json::parse(text(patch)));
  return m.dump();
}

std::string fault(const std::string& text) {
  const auto m = parse_manifest(text, "acme.tenon.json");
  return m.ok() ? "" : std::string(m.status().text());
}

class Folder {
 public:
  Folder() : path_(fs::temp_directory_path() / ("tenon_manifest_" + std::to_string(::getpid()) + "_" + std::to_string(next_++))) {
    fs::create_directories(path_);
  }
  ~Folder() { fs::remove_all(path_); }
  std::string write(const std::string& name, const std::string& text) const {
    fs::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name) << text;
    return (path_ / name).string();
  }
  std::string path() const { return path_.string(); }

 private:
  fs::path path_;
  static inline int next_ = 0;
};

TEST(Manifest, ReadsEveryKey) {
  const auto m = parse_manifest(manifest(R"({"vendor": "Acme", "license": "MIT", "homepage": "https://acme.test",
    "requires": {"libs": ["libm.so.6"], "optional_libs": ["libnone.so"], "cpu_features": ["sse2"]},
    "sha256": {"PLATFORM": "00ff"}, "unloadable": true})"), "/opt/acme/acme.tenon.json");
  ASSERT_TRUE(m.ok()) << m.status().text();
  EXPECT_EQ(m->id, "acme");
  EXPECT_EQ(m->version, "2.1.0");
  EXPECT_EQ(m->library, "/opt/acme/libacme.so");
  EXPECT_EQ(m->vendor + m->licence + m->homepage + m->sha256, "AcmeMIThttps://acme.test00ff");
  EXPECT_THAT(m->libs, ElementsAre("libm.so.6"));
  EXPECT_THAT(m->optional_libs, ElementsAre("libnone.so"));
  EXPECT_THAT(m->cpu_features, ElementsAre("sse2"));
  EXPECT_THAT(m->devices, ElementsAre("npu", "cpu"));
  EXPECT_TRUE(m->unloadable);
  EXPECT_TRUE(m->answers_to("acme") && m->answers_to("AcmeExecutionProvider") && !m->answers_to("Acme"));
}

TEST(Manifest, SaysWhatIsWrongAndWhere) {
  struct Case {
    const char *patch, *at, *text;
  };
  const Case cases[] = {
      {R"({"manifest_version": 2})", "/manifest_version", "version 1"},
      {R"({"id": null})", "acme.tenon.json:1:1: error", "\"id\" is missing"},
      {R"({"id": "Acme GPU"})", "/id", "a-z"},
      {R"({"id": 7})", "/id", "text"},
      {R"({"aliases": "A"})", "/aliases", "array of texts"},
      {R"({"aliases": [1]})", "/aliases", "array of texts"},
      {R"({"version": null})", "acme.tenon.json:1:1: error", "\"version\" is missing"},
      {R"({"abi": null})", "acme.tenon.json:1:1: error", "\"abi\" is missing"},
      {R"({"abi": {"target": -1}})", "/abi/target", "number"},
      {R"({"abi": {"major": "0"}})", "/abi/major", "number"},
      {R"({"abi": 1})", "/abi", "object"},
      {R"({"library": null})", "acme.tenon.json:1:1: error", "\"library\" is missing"},
      {R"({"library": {"PLATFORM": "../evil.so"}})", "/library/", "leads out"},
      {R"({"library": {"PLATFORM": "/usr/lib/x.so"}})", "/library/", "relative"},
      {R"({"libary": 1})", "/libary", "did you mean \"library\"?"},
      {R"({"requires": {"lib": ["x"]}})", "/requires/lib", "did you mean \"libs\"?"},
      {R"({"requires": {"libs": "x"}})", "/requires/libs", "array of texts"},
      {R"({"devices": "npu"})", "/devices", "array"},
      {R"({"devices": [{"kind": 3}]})", "/devices", "kind"},
      {R"({"unloadable": "yes"})", "/unloadable", "true or false"},
      {R"({"options_schema": {"type": "nonsense"}})", "/options_schema/type", "\"nonsense\" is not object, array"},
      {R"({"options_schema": {"properties": {"level": {"minimum": "1"}}}})", "/options_schema/properties/level/minimum", "number"},
      {R"({"options_schema": {"required": "level"}})", "/options_schema/required", "array of texts"},
      {R"({"options_schema": {"pattern": "x"}})", "/options_schema/pattern", "not supported"},
      {R"({"options_schema": 3})", "/options_schema", "object"},
  };
  ASSERT_EQ(fault(manifest()), "");
  for (const Case& c : cases)
    EXPECT_THAT(fault(manifest(c.patch)), AllOf(HasSubstr("acme.tenon.json"), HasSubstr(c.at), HasSubstr(c.text))) << c.patch;
}

TEST(Manifest, ReportsAllFaultsAtOnce) {
  EXPECT_THAT(fault(manifest(R"({"version": null, "aliases": 1, "whatever": 2})")),
              AllOf(HasSubstr("\"version\" is missing"), HasSubstr("/aliases"), HasSubstr("/whatever")));
  EXPECT_THAT(std::string(parse_manifest("{\"id\": \"a\",", "broken").status().text()), HasSubstr("broken:1:"));
  EXPECT_FALSE(parse_manifest("[1]", "list").ok());
  EXPECT_FALSE(parse_manifest("", "empty").ok());
}

TEST(Manifest, PreflightReasons) {
  const Folder folder;
  folder.write("libacme.so", "x");
  const auto reason = [&](const std::function<void(Manifest&)>& change) {
    auto m = parse_manifest(manifest(), folder.path() + "/acme.tenon.json");
    change(*m);
    Status s = preflight(*m);
    return s.ok() ? "" : std::string(code_name(s.code())) + " " + std::string(s.text());
  };
  EXPECT_EQ(reason([](Manifest&) {}), "");
  EXPECT_THAT(reason([](Manifest& m) { m.library = "", m.platforms = {"windows-x86_64"}; }),
              HasSubstr("there is one for: windows-x86_64"));
  EXPECT_THAT(reason([](Manifest& m) { m.abi_major = 99; }),
              AllOf(HasSubstr("ABI_MISMATCH"), HasSubstr("made for ABI 99."), HasSubstr("install a build")));
  EXPECT_THAT(reason([](Manifest& m) { m.abi_min = 9999; }),
              AllOf(HasSubstr("ABI_MISMATCH"), HasSubstr("9999"), HasSubstr("newer tenon")));
  EXPECT_THAT(reason([](Manifest& m) { m.library = "/nowhere/lib.so"; }), AllOf(HasSubstr("NOT_FOUND"), HasSubstr("/nowhere/lib.so")));
  EXPECT_THAT(reason([](Manifest& m) { m.cpu_features = {"nonsense"}; }),
              AllOf(HasSubstr("MISSING_DEPENDENCY"), HasSubstr("\"nonsense\"")));
  EXPECT_THAT(reason([](Manifest& m) { m.libs = {"libnonsense.so.7"}; }),
              AllOf(HasSubstr("MISSING_DEPENDENCY"), HasSubstr("libnonsense.so.7")));
  EXPECT_EQ(reason([](Manifest& m) { m.optional_libs = {"libnonsense.so.7"}; }), "");
}

TEST(Manifest, OptionsAreCheckedAndDefaultsFilledIn) {
  const auto m = parse_manifest(manifest(), "acme.tenon.json");
  ASSERT_TRUE(m.ok());
  EXPECT_TRUE(check_options(*m, "").ok());
  EXPECT_TRUE(check_options(*m, "{\"level\": 5}").ok());
  EXPECT_THAT(std::string(check_options(*m, "{\"levle\": 5}").status().text()), AllOf(HasSubstr("acme"), HasSubstr("levle")));
  EXPECT_THAT(std::string(check_options(*m, "{\"level\": \"high\"}").status().text()), HasSubstr("/level"));
  EXPECT_THAT(std::string(check_options(*m, "[]").status().text()), HasSubstr("object"));
  EXPECT_TRUE(knows_option(*m, "level") && !knows_option(*m, "levle"));
}

TEST(Discovery, FirstManifestOfAnIdCounts) {
  const Folder first, second;
  first.write("a/acme.tenon.json", manifest());
  first.write("a/libacme.so", "x");
  const std::string late = second.write("acme.tenon.json", manifest(R"({"version": "3.0.0"})"));
  const std::string broken = second.write("broken.tenon.json", "{");
  std::vector<Found> found = discover({first.path(), late, broken, "/nowhere"});
  found.erase(std::remove_if(found.begin(), found.end(), [&](const Found& f) { return f.where != "path"; }), found.end());
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].manifest.version, "2.1.0");
  EXPECT_TRUE(found[0].problem.ok() && found[0].shadowed_by.empty());
  EXPECT_THAT(found[1].shadowed_by, HasSubstr(first.path()));
  EXPECT_EQ(found[1].problem.code(), TENON_NOT_FOUND);  // its library is not there
  EXPECT_THAT(std::string(found[2].problem.text()), HasSubstr("broken.tenon.json:1:"));
}

TEST(Discovery, ALibraryStandsForTheManifestBesideIt) {
  const Folder folder;
  folder.write("acme.tenon.json", manifest());
  const std::string named = folder.write("libacme.so", "x"), bare = folder.write("libbare.so", "x");
  const std::vector<Found> found = discover({named, bare});
  ASSERT_GE(found.size(), 2u);
  EXPECT_EQ(found[0].manifest.id, "acme");
  EXPECT_EQ(found[1].manifest.id, "");
  EXPECT_EQ(found[1].manifest.library, fs::canonical(bare).string());
}

}  // namespace
}  // namespace tenon
