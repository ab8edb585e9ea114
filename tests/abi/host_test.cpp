// Providers of other minors in a host, and hosts of other minors around our providers: the libraries that the build names are
// asked and driven by a host of this minor (abi_host_now) and by one of the next (abi_host_next), whose structs are longer.
#include <dlfcn.h>

#include <gmock/gmock.h>

#include "tests/abi/drive.h"

namespace tenon::abi_test {
namespace {

using ::testing::ElementsAre;

struct Library {
  const char* name;
  const char* path;
  std::uint32_t minor;   // of the headers that it was built from
  bool host_memory;      // its device works in the host's memory
};
std::ostream& operator<<(std::ostream& out, const Library& l) { return out << l.name; }

const Library libraries[] = {ABI_LIBRARIES};
constexpr std::uint32_t newest_minor = 1000;  // of a host far in the future

class ProviderOfAnyMinor : public ::testing::TestWithParam<Library> {
 protected:
  void SetUp() override {
    handle_ = dlopen(GetParam().path, RTLD_NOW | RTLD_LOCAL);
    ASSERT_TRUE(handle_) << dlerror();
    query = reinterpret_cast<decltype(&tenon_provider_query)>(dlsym(handle_, "tenon_provider_query"));
    ASSERT_TRUE(query);
  }
  // Libraries stay loaded, as they do in a host.
  void* handle_ = nullptr;
  decltype(&tenon_provider_query) query = nullptr;
};

TEST_P(ProviderOfAnyMinor, AnswersWithTheSmallerOfBothMinors) {
  for (const std::uint32_t newest : {0u, 1u, 2u, newest_minor}) {
    Offer offer(TENON_ABI_MAJOR, 0, newest);
    const tenon_provider_desc* desc = query(offer.args.get());
    ASSERT_TRUE(desc) << "offered up to " << newest;
    EXPECT_EQ(desc->abi_major, TENON_ABI_MAJOR);
    EXPECT_EQ(desc->abi_minor, std::min(newest, GetParam().minor));
    EXPECT_GE(desc->struct_size, offsetof(tenon_provider_desc, api) + sizeof(void*));
    EXPECT_NE(desc->header_hash, 0u);
    ASSERT_TRUE(desc->api);
    EXPECT_GE(desc->api->struct_size, offsetof(tenon_provider_api, execute) + sizeof(void*));
    for (const void* required : {reinterpret_cast<const void*>(desc->api->create), reinterpret_cast<const void*>(desc->api->destroy),
                                 reinterpret_cast<const void*>(desc->api->enumerate), reinterpret_cast<const void*>(desc->api->device_open),
                                 reinterpret_cast<const void*>(desc->api->device_close), reinterpret_cast<const void*>(desc->api->query),
                                 reinterpret_cast<const void*>(desc->api->compile), reinterpret_cast<const void*>(desc->api->program_destroy),
                                 reinterpret_cast<const void*>(desc->api->execute)})
      EXPECT_TRUE(required);
  }
}

TEST_P(ProviderOfAnyMinor, RefusesAnotherMajorWithAReason) {
  Offer offer(TENON_ABI_MAJOR + 1, 0, newest_minor);
  EXPECT_EQ(query(offer.args.get()), nullptr);
  EXPECT_NE(offer.args->error[0], 0);
}

TEST_P(ProviderOfAnyMinor, RefusesAHostThatHasForgottenItsMinor) {
  Offer offer(TENON_ABI_MAJOR, GetParam().minor + 1, newest_minor);
  EXPECT_EQ(query(offer.args.get()), nullptr);
  EXPECT_NE(offer.args->error[0], 0);
}

TEST_P(ProviderOfAnyMinor, WritesNoMoreOfAReasonThanThereIsRoom) {
  for (const std::size_t room : {1, 2, 7}) {
    Offer offer(TENON_ABI_MAJOR + 1, 0, newest_minor, room);
    EXPECT_EQ(query(offer.args.get()), nullptr);
    EXPECT_EQ(offer.args->error[room - 1], 0);
  }
  Offer nowhere(TENON_ABI_MAJOR + 1, 0, newest_minor);
  nowhere.args->error = nullptr;
  nowhere.args->error_capacity = 0;
  EXPECT_EQ(query(nowhere.args.get()), nullptr);
}

// The question as the first minor asked it: nothing behind it may be read.
TEST_P(ProviderOfAnyMinor, ReadsNoMoreOfTheQuestionThanItsSize) {
  constexpr std::size_t first = offsetof(tenon_query_args, error_capacity) + sizeof(std::uint64_t);
  Offer offer(TENON_ABI_MAJOR, 0, 0);
  Guarded old(first);
  std::memcpy(old.data(), offer.args.get(), first);
  auto* args = static_cast<tenon_query_args*>(old.data());
  args->struct_size = first;
  const tenon_provider_desc* desc = query(args);
  ASSERT_TRUE(desc);
  EXPECT_EQ(desc->abi_minor, 0u);
  args->struct_size = 8;
  EXPECT_EQ(query(args), nullptr) << "no host ever asked so little";
}

TEST_P(ProviderOfAnyMinor, Works) {
  if (!GetParam().host_memory) GTEST_SKIP() << "its device has a memory of its own";
  Offer offer(TENON_ABI_MAJOR, 0, TENON_ABI_MINOR);
  const tenon_provider_desc* desc = query(offer.args.get());
  ASSERT_TRUE(desc);
  for (int again = 0; again < 2; ++again) {
    const Driven done = drive(*desc);
    EXPECT_EQ(done.failure, "");
    EXPECT_THAT(done.y, ElementsAre(0, 2, 0, 4, 0, 6));
  }
}

INSTANTIATE_TEST_SUITE_P(Abi, ProviderOfAnyMinor, ::testing::ValuesIn(libraries), [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace tenon::abi_test
