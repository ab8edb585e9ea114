// ImageDecoder: encoded bytes to [height, width, channels] u8, by the library of codecs (image_library.h).
#include "plugins/cpu/families.h"
#include "plugins/cpu/ops/elements.h"
#include "plugins/cpu/ops/image_library.h"

namespace tenon::cpu {
namespace {

std::optional<PixelFormat> find_format(std::string_view name) {
  if (name == "RGB") return PixelFormat::rgb;
  if (name == "BGR") return PixelFormat::bgr;
  if (name == "Grayscale") return PixelFormat::grayscale;
  return std::nullopt;
}

struct ImageDecoderStep {
  PixelFormat format;
  std::uint64_t bytes;
  Ref encoded;
  Output image;

  struct Opening {
    const StepContext& context;
    const Output& image;
  };
  static std::uint8_t* open(void* user, std::int64_t height, std::int64_t width, std::int64_t channels) {
    const Opening& o = *static_cast<Opening*>(user);
    tenon_address address;
    return open_output(o.context, o.image, {height, width, channels}, address) ? data_of<std::uint8_t>(address) : nullptr;
  }

  void operator()(const StepContext& c) const {
    char message[512] = "";
    Opening opening{c, image};
    const auto* data = bytes ? c.ptr<const std::uint8_t>(encoded) : nullptr;
    const ImageRequest request{data, bytes, format, open, &opening, message, sizeof message};
    const ImageLibrary& library = is_tiff(data, bytes) ? tiff_library() : image_library();
    if (!library.decode) return c.fail(TENON_UNIMPLEMENTED, library.reason);
    const std::int32_t code = library.decode(&request);
    if (code != TENON_OK && code != TENON_CANCELLED) c.fail(code, message);  // CANCELLED: open has said why
  }
};

class ImageDecoderOp final : public Op {
 public:
  explicit ImageDecoderOp(PixelFormat format) : format_(format) {}

  void plan(PlanBuilder& b) const override {
    const Output image = output_of(b, 0);
    if (!image.wanted()) return;
    const ImageDecoderStep s{format_, static_cast<std::uint64_t>(b.in(0).count()), b.in_ref(0), image};
    StepOptions options;
    options.spmd = false, options.allocates = true;
    options.est_ns = static_cast<double>(s.bytes) * 50;
    b.step("image decoder", s, options, {{s.encoded}}, {{image.ref}});
  }

 private:
  PixelFormat format_;
};

Support supports(const NodeView& node) {
  if (node.dtype(0) != TENON_DTYPE_UINT8)
    return Support::no(TENON_REJECT_DTYPE, "encoded bytes are uint8, not type " + std::to_string(node.dtype(0)));
  if (node.rank(0) >= 0 && node.rank(0) != 1)
    return Support::no(TENON_REJECT_RANK, "encoded bytes have one dimension, not " + std::to_string(node.rank(0)));
  const std::string_view format = node.string_or("pixel_format", "RGB");
  if (!find_format(format))
    return Support::no(TENON_REJECT_ATTRIBUTE, "pixel_format \"" + std::string(format) + "\" is none of RGB, BGR, Grayscale");
  if (!image_library().decode) return Support::no(TENON_REJECT_OTHER, image_library().reason);
  return Support::yes();
}

constexpr OpRow rows[] = {
    {"", "ImageDecoder", supports,
     [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> {
       return std::make_unique<ImageDecoderOp>(*find_format(node.string_or("pixel_format", "RGB")));
     },
     true},
};

}  // namespace

std::span<const OpRow> image_rows() { return rows; }

}  // namespace tenon::cpu
