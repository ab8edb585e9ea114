// Which libraries may be loaded: who can write them, pins, and changes between the check and the load.
#include <gmock/gmock.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include <dlfcn.h>
#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/child_process.h"
#include "core/base/file_map.h"
#include "core/base/sha256.h"
#include "core/provider/quarantine.h"
#include "core/provider/trust.h"
#include "tests/support/model_text.h"

namespace tenon {
namespace {

using namespace test;
using ::testing::AllOf;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

const std::string built = std::string(TENON_BINARY_DIR) + "/test_providers/";
constexpr const char* relu = "g (float[N] x) => (float[N] y) { y = Relu(x) }";

std::string hash_of(const std::string& path) { return sha256((*FileMap::open(path))->bytes()); }

// A folder with a copy of the provider "second" and its manifest, changed by a JSON merge patch.
class Copy {
 public:
  explicit Copy(const std::string& patch = "{}") : path_(fs::temp_directory_path() / ("tenon_trust_" + std::to_string(::getpid()) + "_" + std::to_string(next_++))) {
    fs::create_directories(path_);
    fs::copy_file(built + "second/libtenon_provider_second.so", library());
    nlohmann::json m = nlohmann::json::parse(std::ifstream(built + "second/second.tenon.json"));
    m.merge_patch(nlohmann::json::parse(patch));
    std::ofstream(path_ / "second.tenon.json") << m;
  }
  ~Copy() { fs::remove_all(path_); }
  std::string library() const { return (path_ / "libtenon_provider_second.so").string(); }
  std::string path() const { return path_.string(); }
  std::string path(const std::string& file) const { return (path_ / file).string(); }
  Config used(const std::string& entry = "", const std::string& more = "") const {
    return config(R"({"providers":[{"use":"second")" + entry + R"(}],"placement":{"on_unsupported":"error"},"provider_paths":[")" + path() + "\"]" + more + "}");
  }

 private:
  fs::path path_;
  static inline int next_ = 0;
};

std::string pin(const std::string& hash) { return R"({"sha256":{")" + platform_key() + "\":\"" + hash + "\"}}"; }

TEST(Trust, AFileIsOursWhereNobodyElseCanWriteItOrItsFolders) {
  const Copy copy;
  EXPECT_TRUE(only_ours(copy.library()).ok()) << only_ours(copy.library()).text();
  ::chmod(copy.library().c_str(), 0666);
  EXPECT_THAT(std::string(only_ours(copy.library()).text()), AllOf(HasSubstr("mode 0666"), HasSubstr("chmod go-w")));
  ::chmod(copy.library().c_str(), 0644);
  ::chmod(copy.path().c_str(), 0777);
  EXPECT_THAT(std::string(only_ours(copy.library()).text()), AllOf(HasSubstr("the folder \"" + copy.path() + "\""), HasSubstr("mode 0777")));
  ::chmod(copy.path().c_str(), 01777);  // as /tmp: others cannot rename what is not theirs
  EXPECT_TRUE(only_ours(copy.library()).ok());
  ::chmod(copy.path().c_str(), 0755);
  EXPECT_EQ(only_ours(copy.path("nothing.so")).code(), TENON_NOT_FOUND);
  if (::geteuid() != 0) return;
  ASSERT_EQ(::chown(copy.library().c_str(), 65534, 65534), 0);
  EXPECT_THAT(std::string(only_ours(copy.library()).text()), HasSubstr("belongs to user 65534"));
}

TEST(Trust, PinsInManifestAndConfiguration) {
  const std::string hash = hash_of(built + "second/libtenon_provider_second.so"), other(64, '0');
  EXPECT_TRUE(session(graph_bytes(relu), Copy(pin(hash)).used()));
  EXPECT_TRUE(session(graph_bytes(relu), Copy().used(",\"sha256\":\"" + hash + "\"")));
  EXPECT_TRUE(session(graph_bytes(relu), Copy(pin(hash)).used(",\"sha256\":\"" + hash + "\"", R"(,"trust":{"require_pinned":true})")));
  EXPECT_THAT(load_failure(graph_bytes(relu), Copy(pin(other)).used()), AllOf(HasSubstr("the manifest says 000"), HasSubstr(hash)));
  EXPECT_THAT(load_failure(graph_bytes(relu), Copy().used(",\"sha256\":\"" + other + "\"")), HasSubstr("the configuration says 000"));
  EXPECT_THAT(load_failure(graph_bytes(relu), Copy(pin(hash)).used(",\"sha256\":\"" + other + "\"")), HasSubstr("the configuration expects"));
  EXPECT_THAT(load_failure(graph_bytes(relu), Copy().used("", R"(,"trust":{"require_pinned":true})")), HasSubstr("/trust/require_pinned"));
}

TEST(Trust, APinnedProviderRunsFromItsSealedCopy) {
  const Copy copy(pin(hash_of(built + "second/libtenon_provider_second.so")));
  auto s = session(graph_bytes(relu), copy.used());
  ASSERT_TRUE(s);
  EXPECT_EQ(s->placement().nodes[0].provider, "second");
  std::ofstream(copy.library(), std::ios::binary) << "changed afterwards";  // the same inode
  EXPECT_EQ(values<float>(run(*s, {{"x", tensor<float>({2}, {-1, 1})}})[0].datum), (std::vector<float>{0, 1}));
}

// Another thread swaps the file, by rename and in place, while it is checked and loaded: what runs is what was hashed.
TEST(Trust, NothingCanBeChangedBetweenTheCheckAndTheLoad) {
  const Copy copy;
  const std::string good = built + "second/libtenon_provider_second.so", bad = built + "constructor_crashes/libtenon_provider_hostile.so";
  const auto bytes = [](const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return std::string((std::istreambuf_iterator<char>(file)), {});
  };
  const std::string good_bytes = bytes(good), bad_bytes = bytes(bad);
  ASSERT_FALSE(good_bytes.empty() || bad_bytes.empty());
  std::atomic<bool> stop{false};
  std::thread swapper([&] {
    for (int i = 0; !stop; ++i) {
      const std::string& now = i % 2 ? good_bytes : bad_bytes;
      if (i % 4 < 2) {
        std::ofstream(copy.path("aside"), std::ios::binary) << now;
        fs::rename(copy.path("aside"), copy.library());
      } else {
        const int fd = ::open(copy.library().c_str(), O_WRONLY | O_CLOEXEC);
        if (::pwrite(fd, now.data(), now.size(), 0) < 0) stop = true;
        ::close(fd);
      }
    }
  });
  Manifest manifest = bare_manifest(copy.library());
  manifest.id = "second";
  manifest.sha256 = hash_of(good);
  int loaded = 0, refused = 0;
  for (int i = 0; i < 300; ++i) {
    const auto library = load_trusted(manifest, {});
    if (!library.ok()) {
      ++refused;
      continue;
    }
    ++loaded;  // had it been the other one, its constructor would have ended this process
    ASSERT_NE((*library)->symbol("tenon_provider_query"), nullptr);
  }
  stop = true;
  swapper.join();
  EXPECT_GT(refused, 0);
  std::printf("%d loaded, %d refused\n", loaded, refused);
}

TEST(Quarantine, SpeaksOfOneBuild) {
  const Copy copy;
  Quarantine records(copy.path("records"));
  EXPECT_FALSE(records.find(copy.library()));
  records.failed(copy.library(), "killed by SIGSEGV while loading");
  ASSERT_TRUE(records.find(copy.library()));
  EXPECT_FALSE(records.find(copy.library())->passed);
  // The same bytes under a new date are the same build, other bytes are not.
  fs::last_write_time(copy.library(), fs::file_time_type::clock::now() + std::chrono::hours(1));
  ASSERT_TRUE(records.find(copy.library()));
  EXPECT_THAT(std::string(quarantined("acme", *records.find(copy.library())).text()),
              AllOf(HasSubstr("killed by SIGSEGV while loading"), HasSubstr("tenon providers --forget-quarantine acme")));
  std::ofstream(copy.library(), std::ios::app) << "x";
  EXPECT_FALSE(records.find(copy.library()));
  EXPECT_FALSE(records.forget(copy.library()));
  records.passed(copy.library());
  EXPECT_TRUE(records.find(copy.library())->passed);
}

TEST(Quarantine, DoesNotBelieveWhatOthersCanWrite) {
  const Copy copy;
  const std::string folder = copy.path("records");
  // Another process, so that only what stands on disk counts.
  const auto tell = [&](const std::string& library) { Quarantine(folder).failed(library, "x"); };
  tell(copy.library());
  for (const auto& file : fs::directory_iterator(folder)) {
    EXPECT_EQ(fs::status(file).permissions() & (fs::perms::group_all | fs::perms::others_all), fs::perms::none);
    ::chmod(file.path().c_str(), 0666);
  }
  const ChildResult child = run_child({"/proc/self/exe", "--gtest_also_run_disabled_tests", "--gtest_filter=*DISABLED_FindsNothingIn"},
                                      {std::chrono::seconds(20), 1 << 16, {{"TENON_TEST_FOLDER", folder}, {"TENON_TEST_LIBRARY", copy.library()}}});
  EXPECT_TRUE(child.ok()) << child.text() << child.out;
}
TEST(Quarantine, DISABLED_FindsNothingIn) {
  const char *folder = std::getenv("TENON_TEST_FOLDER"), *library = std::getenv("TENON_TEST_LIBRARY");
  ASSERT_TRUE(folder && library) << "run by the test before it";
  EXPECT_FALSE(Quarantine(folder).find(library));
}

// A process that was given rights by its file: no variable and no home folder decides what it loads.
TEST(Trust, APrivilegedProcessIgnoresTheEnvironmentAndRefusesWhatOthersCanWrite) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to give a program to another user";
  const Copy copy;
  const fs::path program = copy.path("secure_discovery");
  fs::copy_file(std::string(TENON_BINARY_DIR) + "/bin/secure_discovery", program);
  ASSERT_EQ(::chown(program.c_str(), 65534, 65534), 0);
  const auto ask = [&](unsigned mode) {
    ::chmod(program.c_str(), static_cast<mode_t>(mode));
    const ChildResult child = run_child({program.string(), copy.path("second.tenon.json")},
                                        {std::chrono::seconds(20), 1 << 20, {{"TENON_PROVIDER_PATH", copy.path()}, {"TENON_ADD_PROVIDER_PATH", copy.path()},
                                                                             {"XDG_DATA_HOME", copy.path()}, {"HOME", copy.path()}}});
    EXPECT_TRUE(child.ok()) << child.text() << child.err;
    return child.out;
  };
  EXPECT_THAT(ask(0755), AllOf(HasSubstr("privileged 0"), HasSubstr("environment 1"), HasSubstr("given ok")));
  const std::string secure = ask(04755);
  if (secure.find("privileged 1") == std::string::npos) GTEST_SKIP() << "this file system gives programs no rights";
  EXPECT_THAT(secure, AllOf(HasSubstr("environment 0"), HasSubstr("cache \"\""), HasSubstr("given ok")));
  ::chmod(copy.library().c_str(), 0666);
  EXPECT_THAT(ask(04755), HasSubstr("refused in a privileged process"));
  ::chmod(copy.library().c_str(), 0644);
  ::chmod(copy.path("second.tenon.json").c_str(), 0666);
  EXPECT_THAT(ask(04755), HasSubstr("refused in a privileged process"));
  ::chmod(copy.path("second.tenon.json").c_str(), 0644);
  ::chmod(copy.path().c_str(), 0777);
  EXPECT_THAT(ask(04755), HasSubstr("refused in a privileged process"));
}

}  // namespace
}  // namespace tenon
