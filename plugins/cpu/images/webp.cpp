// WebP through libwebp; the first image of an animation. Alpha is dropped.
#include <memory>
#include <vector>

#include <webp/decode.h>
#include <webp/demux.h>

#include "plugins/cpu/images/canvas.h"

namespace tenon::cpu::images {
namespace {

void decode_animation(Bytes bytes, Canvas& canvas) {
  WebPAnimDecoderOptions options;
  WebPAnimDecoderOptionsInit(&options);
  options.color_mode = MODE_RGBA;
  const WebPData data{bytes.data(), bytes.size()};
  // The size first: the decoder takes memory for two whole images.
  const std::unique_ptr<WebPDemuxer, decltype(&WebPDemuxDelete)> parts(WebPDemux(&data), WebPDemuxDelete);
  if (!parts) damaged("its chunks do not fit together");
  canvas.open(WebPDemuxGetI(parts.get(), WEBP_FF_CANVAS_WIDTH), WebPDemuxGetI(parts.get(), WEBP_FF_CANVAS_HEIGHT));
  using Decoder = std::unique_ptr<WebPAnimDecoder, decltype(&WebPAnimDecoderDelete)>;
  const Decoder decoder(WebPAnimDecoderNew(&data, &options), WebPAnimDecoderDelete);
  std::uint8_t* pixels = nullptr;
  int time = 0;
  if (!decoder || !WebPAnimDecoderGetNext(decoder.get(), &pixels, &time)) damaged("the first image of the animation cannot be decoded");
  for (std::uint64_t y = 0; y < canvas.height(); ++y) canvas.put_rgb(y, 0, canvas.width(), pixels + y * canvas.width() * 4, 4);
}

}  // namespace

void decode_webp(Bytes bytes, Canvas& canvas) {
  WebPBitstreamFeatures features;
  if (WebPGetFeatures(bytes.data(), bytes.size(), &features) != VP8_STATUS_OK) damaged("its header is damaged or too short");
  if (features.has_animation) return decode_animation(bytes, canvas);
  canvas.open(static_cast<std::uint64_t>(features.width), static_cast<std::uint64_t>(features.height));
  const std::size_t stride = canvas.width() * 3, all = stride * canvas.height();
  std::vector<std::uint8_t> kept(canvas.gray() ? all : 0);
  std::uint8_t* to = canvas.gray() ? kept.data() : canvas.memory();
  const auto decode = canvas.format() == PixelFormat::bgr ? WebPDecodeBGRInto : WebPDecodeRGBInto;
  if (!decode(bytes.data(), bytes.size(), to, all, static_cast<int>(stride))) damaged("its pixels are damaged or end too early");
  if (canvas.gray())
    for (std::uint64_t y = 0; y < canvas.height(); ++y) canvas.put_rgb(y, 0, canvas.width(), to + y * stride);
}

}  // namespace tenon::cpu::images
