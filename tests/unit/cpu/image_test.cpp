// The library of image codecs at its border: what the provider relies on. Formats are tested through the operator.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <dlfcn.h>

#include <string>
#include <vector>

#include <tenon/types.h>

#include "plugins/cpu/images/codecs.h"

namespace tenon::cpu::test {
namespace {

using namespace std::string_literals;
using testing::ElementsAre;
using testing::HasSubstr;

ImageDecode decoder() {
#ifdef TENON_IMAGE_CODECS
  static void* library = dlopen(TENON_IMAGE_CODECS, RTLD_NOW | RTLD_LOCAL);
  return library ? reinterpret_cast<ImageDecode>(dlsym(library, image_decode_symbol)) : nullptr;
#else
  return nullptr;
#endif
}

struct Decoded {
  std::int32_t code = 0;
  std::string message;
  std::vector<std::int64_t> dims;
  std::vector<std::uint8_t> pixels;
};

Decoded decode(const std::string& bytes, PixelFormat format = PixelFormat::rgb, bool memory = true, std::size_t message_bytes = 256) {
  struct User {
    Decoded out;
    bool memory;
  } user{{}, memory};
  std::vector<char> message(message_bytes, '#');
  ImageRequest request{};
  request.data = reinterpret_cast<const std::uint8_t*>(bytes.data());
  request.bytes = bytes.size();
  request.format = format;
  request.user = &user;
  request.open = [](void* p, std::int64_t height, std::int64_t width, std::int64_t channels) -> std::uint8_t* {
    User& u = *static_cast<User*>(p);
    u.out.dims = {height, width, channels};
    u.out.pixels.resize(u.memory ? static_cast<std::size_t>(height * width * channels) : 0);
    return u.memory ? u.out.pixels.data() : nullptr;
  };
  request.message = message.data();
  request.message_bytes = message.size();
  user.out.code = decoder()(&request);
  user.out.message = user.out.code == TENON_OK ? "" : message.data();
  return user.out;
}

class Image : public testing::Test {
 protected:
  void SetUp() override {
    if (!decoder()) GTEST_SKIP() << "built without the image codecs";
  }
};

const std::string two = "P6 2 1 255\n\1\2\3\4\5\6"s;

TEST_F(Image, WritesTheFormatThatIsAskedFor) {
  EXPECT_THAT(decode(two).dims, ElementsAre(1, 2, 3));
  EXPECT_THAT(decode(two).pixels, ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_THAT(decode(two, PixelFormat::bgr).pixels, ElementsAre(3, 2, 1, 6, 5, 4));
  EXPECT_THAT(decode(two, PixelFormat::grayscale).dims, ElementsAre(1, 2, 1));
  EXPECT_THAT(decode(two, PixelFormat::grayscale).pixels, ElementsAre(2, 5));
}

TEST_F(Image, SaysWhatTheBytesAre) {
  EXPECT_EQ(decode("").code, TENON_DATA_LOSS);
  EXPECT_THAT(decode("").message, HasSubstr("0 bytes are no image"));
  EXPECT_THAT(decode("GIF89a").message, HasSubstr("6 bytes that begin with 47 49 46 38 39 61"));
  EXPECT_THAT(decode(two.substr(0, two.size() - 1)).message, HasSubstr("PNM of 16 bytes: the data end too early"));
}

TEST_F(Image, ChecksTheSizeBeforeItAsksForMemory) {
  const std::string wide_bmp = "BM"s + std::string(8, '\0') + "\x36\0\0\0\x28\0\0\0\xff\xff\xff\x7f\1\0\0\0\1\0\1\0"s +
                               std::string(40, '\0');
  for (const std::string& bytes : {"P4 1048577 1\n"s, "P4 1 1048577\n"s, wide_bmp}) {
    const Decoded d = decode(bytes);
    EXPECT_NE(d.code, TENON_OK);
    EXPECT_TRUE(d.dims.empty()) << d.message;
  }
  EXPECT_EQ(decode("P4 1048577 1\n").code, TENON_RESOURCE_EXHAUSTED);
}

TEST_F(Image, StopsWhereThereIsNoMemory) {
  EXPECT_EQ(decode(two, PixelFormat::rgb, false).code, TENON_CANCELLED);
}

TEST_F(Image, CutsALongMessage) {
  EXPECT_EQ(decode("GIF89a", PixelFormat::rgb, true, 8).message, "6 bytes");
  EXPECT_EQ(decode("GIF89a", PixelFormat::rgb, true, 1).message, "");
}

}  // namespace
}  // namespace tenon::cpu::test
