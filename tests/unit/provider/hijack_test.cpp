// Libraries that lie where a loader might stumble over them: nothing of them runs, in this process or one of its children, unless
// somebody named their place. What the planted library's constructor does is leave a mark.
#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>

#include <nlohmann/json.hpp>
#include <unistd.h>

#include "core/provider/registry.h"
#include "tests/support/model_text.h"

namespace tenon {
namespace {

using namespace test;
namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* relu = "g (float[N] x) => (float[N] y) { y = Relu(x) }";
constexpr const char* file = "libtenon_provider_hostile.so";

// The environment and the working directory as they were.
class Place {
 public:
  Place() : root_(fs::temp_directory_path() / ("tenon_hijack_" + std::to_string(::getpid()))), cwd_(fs::current_path()) {
    fs::remove_all(root_);
    fs::create_directories(root_);
    set("TENON_TEST_PLANTED", (root_ / "mark").string());
  }
  ~Place() {
    fs::current_path(cwd_);
    for (const auto& [name, value] : before_) value ? ::setenv(name.c_str(), value->c_str(), 1) : ::unsetenv(name.c_str());
    fs::remove_all(root_);
  }
  Place(const Place&) = delete;

  const fs::path& root() const { return root_; }
  bool marked() const { return fs::exists(root_ / "mark"); }
  void set(const std::string& name, const std::string& value) {
    const char* old = std::getenv(name.c_str());
    before_.try_emplace(name, old ? std::optional<std::string>(old) : std::nullopt);
    ::setenv(name.c_str(), value.c_str(), 1);
  }
  void unset(const std::string& name) {
    set(name, "");
    ::unsetenv(name.c_str());
  }
  // The library and a manifest, changed, in `folder`/planted.
  fs::path plant(const fs::path& folder, const json& patch = json::object(), bool library = true) const {
    const fs::path at = root_ / folder / "planted";
    fs::create_directories(at);
    if (library) fs::copy_file(fs::path(TENON_BINARY_DIR) / "test_providers/hostile" / file, at / file);
    json manifest = {{"manifest_version", 1}, {"id", "hostile"}, {"version", "1"}, {"abi", {{"major", TENON_ABI_MAJOR}, {"target", TENON_ABI_MINOR}}}, {"library", {{platform_key(), file}}}};
    manifest.merge_patch(patch);
    std::ofstream(at / "hostile.tenon.json") << manifest;
    return at;
  }

 private:
  fs::path root_, cwd_;
  std::map<std::string, std::optional<std::string>> before_;
};

// Everything that might look for providers: a list, whatever a configuration does not name, the name.
void look_for(const std::string& name, const std::string& more = "") {
  (void)Registry::instance().list();
  (void)load(graph_bytes(relu), config("{}"));
  (void)load(graph_bytes(relu), config("{\"providers\":[{\"use\":\"" + name + "\"}]" + (more.empty() ? "" : "," + more) + "}"));
}
// Where the folder is named, and something stands against the library all the same.
void named(const fs::path& folder, const std::string& more = "", const std::string& entry = "") {
  (void)load(graph_bytes(relu), config("{\"providers\":[{\"use\":\"hostile\"" + entry + "}],\"provider_paths\":[\"" + folder.string() + "\"]" + (more.empty() ? "" : "," + more) + "}"));
}
json library_is(const std::string& path) { return {{"library", {{platform_key(), path}}}}; }

using Case = std::function<void(Place&)>;
// In the working directory, under this name.
Case in_cwd(const std::string& below, const std::string& name, const std::string& cwd = "") {
  return [=](Place& p) {
    const fs::path at = p.plant(below);
    fs::current_path(cwd.empty() ? at : p.root() / cwd);
    look_for(name);
  };
}
Case variable(const std::string& name, const std::string& value, const std::string& use = "hostile", const std::string& below = "x") {
  return [=](Place& p) {
    const fs::path at = p.plant(below);
    fs::current_path(at);
    p.set(name, value == "@" ? at.string() : value);
    look_for(use);
  };
}

const std::map<std::string, Case> cases{
    {"cwd_by_id", in_cwd("x", "hostile")},
    {"cwd_by_file", in_cwd("x", file)},
    {"cwd_by_manifest", in_cwd("x", "hostile.tenon.json")},
    {"cwd_by_stem", in_cwd("x", "libtenon_provider_hostile")},
    {"cwd_above", in_cwd("x", "hostile", "x")},
    {"cwd_tenon_providers", in_cwd("tenon/providers", "hostile", ".")},
    {"cwd_lib_tenon_providers", in_cwd("lib/tenon/providers", "hostile", ".")},
    {"cwd_providers_d", in_cwd("providers.d", "hostile", ".")},
    {"cwd_plugins", in_cwd("plugins", "hostile", ".")},
    {"ld_library_path_by_id", variable("LD_LIBRARY_PATH", "@")},
    {"ld_library_path_by_file", variable("LD_LIBRARY_PATH", "@", file)},
    {"path_by_id", variable("PATH", "@")},
    {"path_by_file", variable("PATH", "@", file)},
    {"pythonpath", variable("PYTHONPATH", "@")},
    {"add_path_empty", variable("TENON_ADD_PROVIDER_PATH", "")},
    {"add_path_of_empty_parts", variable("TENON_ADD_PROVIDER_PATH", "::")},
    {"path_of_empty_parts", variable("TENON_PROVIDER_PATH", ":")},
    {"add_path_of_a_file_that_is_none", variable("TENON_ADD_PROVIDER_PATH", "hostile")},
    {"data_home_empty", variable("XDG_DATA_HOME", "")},
    {"data_home_dot", [](Place& p) { p.plant("tenon/providers.d"), fs::current_path(p.root()), p.set("XDG_DATA_HOME", "."), look_for("hostile"); }},
    {"data_home_relative", [](Place& p) { p.plant("data/tenon/providers.d"), fs::current_path(p.root()), p.set("XDG_DATA_HOME", "data"), look_for("hostile"); }},
    {"home_relative", [](Place& p) {
       p.plant("home/.local/share/tenon/providers.d"), fs::current_path(p.root()), p.unset("XDG_DATA_HOME"), p.set("HOME", "home"), look_for("hostile");
     }},
    {"home_empty", [](Place& p) { p.plant(".local/share/tenon/providers.d"), fs::current_path(p.root()), p.unset("XDG_DATA_HOME"), p.set("HOME", ""), look_for("hostile"); }},
    {"home_unset", [](Place& p) { p.plant(".local/share/tenon/providers.d"), fs::current_path(p.root()), p.unset("XDG_DATA_HOME"), p.unset("HOME"), look_for("hostile"); }},
    {"another_cpu_behind_ours", [](Place& p) { p.plant("tenon/providers.d", {{"id", "cpu"}}), p.set("XDG_DATA_HOME", p.root().string()), look_for("cpu"); }},
    {"an_alias_of_ours", [](Place& p) {
       p.plant("tenon/providers.d", {{"aliases", {"CPUExecutionProvider"}}, {"on_request", true}}), p.set("XDG_DATA_HOME", p.root().string()), look_for("CPUExecutionProvider");
     }},
    {"on_request_and_not_asked_for", [](Place& p) { p.plant("tenon/providers.d", {{"on_request", true}}), p.set("XDG_DATA_HOME", p.root().string()), look_for("cpu"); }},
    {"library_above_its_manifest", [](Place& p) {
       const fs::path at = p.plant("x", library_is(std::string("../") + file), false);
       fs::copy_file(fs::path(TENON_BINARY_DIR) / "test_providers/hostile" / file, at.parent_path() / file), named(at);
     }},
    {"library_by_absolute_path", [](Place& p) {
       const fs::path real = p.plant("elsewhere");
       named(p.plant("x", library_is((real / file).string()), false));
     }},
    {"library_through_a_link", [](Place& p) {
       const fs::path real = p.plant("elsewhere"), at = p.plant("x", json::object(), false);
       fs::create_symlink(real / file, at / file), named(at);
     }},
    {"library_through_a_linked_folder", [](Place& p) {
       const fs::path real = p.plant("elsewhere"), at = p.plant("x", library_is(std::string("inside/") + file), false);
       fs::remove(real / "hostile.tenon.json"), fs::create_directory_symlink(real, at / "inside"), named(at);
     }},
    {"library_by_a_name_for_the_systems_loader", [](Place& p) {
       p.set("LD_LIBRARY_PATH", p.plant("elsewhere").string()), named(p.plant("x", json::object(), false));
     }},
    {"library_of_another_platform", [](Place& p) { named(p.plant("x", {{"library", {{platform_key(), nullptr}, {"linux-s390x", file}}}})); }},
    {"pinned_to_another_hash_by_its_manifest", [](Place& p) { named(p.plant("x", {{"sha256", {{platform_key(), std::string(64, '0')}}}})); }},
    {"pinned_to_another_hash_by_the_configuration", [](Place& p) { named(p.plant("x"), "", ",\"sha256\":\"" + std::string(64, '0') + "\""); }},
    {"not_pinned_where_pins_are_required", [](Place& p) { named(p.plant("x"), R"("trust":{"require_pinned":true})"); }},
    {"named_by_a_model", [](Place& p) {
       const fs::path at = p.plant("x");
       fs::current_path(at);
       (void)load(model_bytes("<ir_version: 10, opset_import: [\"\" : 18, \"hostile\" : 1], metadata_props: [\"provider\": \"" + (at / file).string() +
                              "\"]> g (float[N] x) => (float[N] y) { y = Relu(x) }"), config("{}"));
     }},
};

class Hijack : public ::testing::TestWithParam<std::string> {};

TEST_P(Hijack, RunsNoCode) {
  Place place;
  cases.at(GetParam())(place);
  EXPECT_FALSE(place.marked());
}
std::vector<std::string> names() {
  std::vector<std::string> out;
  for (const auto& [name, fn] : cases) out.push_back(name);
  return out;
}
INSTANTIATE_TEST_SUITE_P(Trust, Hijack, ::testing::ValuesIn(names()), [](const auto& info) { return info.param; });

// What the tests above look for is there to be found.
TEST(Planted, WhereItsPlaceIsNamedItLeavesItsMark) {
  Place place;
  named(place.plant("x"));
  EXPECT_TRUE(place.marked());
}

}  // namespace
}  // namespace tenon
