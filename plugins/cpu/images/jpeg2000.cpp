// JPEG 2000 through OpenJPEG, as a codestream or in a JP2 file. Alpha is dropped.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include <openjpeg.h>

#include "plugins/cpu/images/canvas.h"

namespace tenon::cpu::images {
namespace {

struct Source {
  Bytes bytes;
  std::size_t at = 0;
};

OPJ_SIZE_T read_source(void* to, OPJ_SIZE_T n, void* user) {
  auto& s = *static_cast<Source*>(user);
  const std::size_t left = s.bytes.size() - s.at;
  if (left == 0) return static_cast<OPJ_SIZE_T>(-1);
  const std::size_t taken = std::min<std::size_t>(n, left);
  std::memcpy(to, s.bytes.data() + s.at, taken);
  s.at += taken;
  return taken;
}
OPJ_OFF_T skip_source(OPJ_OFF_T n, void* user) {
  auto& s = *static_cast<Source*>(user);
  if (n < 0) return -1;
  const auto skipped = std::min(static_cast<std::size_t>(n), s.bytes.size() - s.at);
  s.at += skipped;
  return skipped || n == 0 ? static_cast<OPJ_OFF_T>(skipped) : -1;
}
OPJ_BOOL seek_source(OPJ_OFF_T at, void* user) {
  auto& s = *static_cast<Source*>(user);
  if (at < 0 || static_cast<std::size_t>(at) > s.bytes.size()) return OPJ_FALSE;
  s.at = static_cast<std::size_t>(at);
  return OPJ_TRUE;
}

// The first message says most.
void keep_message(const char* text, void* user) {
  auto& message = *static_cast<std::string*>(user);
  if (!message.empty()) return;
  message = text;
  while (!message.empty() && (message.back() == '\n' || message.back() == ' ')) message.pop_back();
}

// Samples of a component as 8 bits: larger ones rounded, smaller ones shifted up; a lone component of more than 8 bits is
// 16-bit gray, cut off at 255.
struct Component {
  const opj_image_comp_t& c;
  std::int64_t offset;
  int shift;
  bool cut;

  Component(const opj_image_comp_t& comp, bool alone)
      : c(comp),
        offset(comp.sgnd ? std::int64_t{1} << (comp.prec - 1) : 0),
        shift(8 - static_cast<int>(comp.prec)),
        cut(alone && comp.prec > 8) {
    if (cut) shift = 16 - static_cast<int>(comp.prec);
    if (shift < 0) offset += std::int64_t{1} << (-shift - 1);
  }
  void read_row(std::uint64_t y, std::uint64_t width, std::uint8_t* to, std::size_t step) const {
    const OPJ_INT32* row = c.data + std::min<std::uint64_t>(y / c.dy, c.h - 1) * c.w;
    for (std::uint64_t x = 0; x < width; ++x, to += step) {
      const std::int64_t v = row[std::min<std::uint64_t>(x / c.dx, c.w - 1)] + offset;
      *to = static_cast<std::uint8_t>(std::clamp<std::int64_t>(shift < 0 ? v >> -shift : v << shift, 0, 255));
    }
  }
};

void ycc_to_rgb(std::uint8_t* p) {
  const double y = p[0], b = p[1] - 128.0, r = p[2] - 128.0;
  const auto byte = [](double v) { return static_cast<std::uint8_t>(std::clamp(std::nearbyint(v), 0.0, 255.0)); };
  p[0] = byte(y + 1.402 * r), p[1] = byte(y - 0.344136 * b - 0.714136 * r), p[2] = byte(y + 1.772 * b);
}

void put_image(const opj_image_t& image, Canvas& canvas) {
  const std::size_t count = image.numcomps;
  std::vector<Component> components;
  for (std::size_t i = 0; i < count; ++i) {
    const opj_image_comp_t& c = image.comps[i];
    if (!c.data || !c.w || !c.h || !c.dx || !c.dy) damaged("component " + std::to_string(i) + " has no samples");
    if (c.prec < 1 || c.prec > 31) unsupported("samples of " + std::to_string(c.prec) + " bits");
    components.emplace_back(c, count == 1);
  }
  const bool inks = count == 4 && image.color_space == OPJ_CLRSPC_CMYK, ycc = count >= 3 && image.color_space == OPJ_CLRSPC_SYCC;
  const std::size_t step = count <= 2 ? 1 : inks ? 4 : 3;
  std::vector<std::uint8_t> row(canvas.width() * step);
  for (std::uint64_t y = 0; y < canvas.height(); ++y) {
    for (std::size_t i = 0; i < step; ++i) components[i].read_row(y, canvas.width(), row.data() + i, step);
    if (ycc)
      for (std::uint64_t x = 0; x < canvas.width(); ++x) ycc_to_rgb(&row[x * 3]);
    if (step == 1) canvas.put_gray(y, 0, canvas.width(), row.data());
    else if (inks) canvas.put_cmyk(y, 0, canvas.width(), row.data());
    else canvas.put_rgb(y, 0, canvas.width(), row.data());
  }
}

}  // namespace

void decode_jpeg2000(Bytes bytes, Canvas& canvas) {
  Source source{bytes};
  std::string message;
  const std::unique_ptr<opj_codec_t, void (*)(opj_codec_t*)> codec(
      opj_create_decompress(bytes[0] == 0xff ? OPJ_CODEC_J2K : OPJ_CODEC_JP2), [](opj_codec_t* c) { opj_destroy_codec(c); });
  const std::unique_ptr<opj_stream_t, void (*)(opj_stream_t*)> stream(opj_stream_default_create(OPJ_TRUE),
                                                                      [](opj_stream_t* s) { opj_stream_destroy(s); });
  if (!codec || !stream) throw std::bad_alloc();
  opj_stream_set_read_function(stream.get(), read_source);
  opj_stream_set_skip_function(stream.get(), skip_source);
  opj_stream_set_seek_function(stream.get(), seek_source);
  opj_stream_set_user_data(stream.get(), &source, nullptr);
  opj_stream_set_user_data_length(stream.get(), bytes.size());
  opj_set_error_handler(codec.get(), keep_message, &message);
  opj_dparameters_t parameters;
  opj_set_default_decoder_parameters(&parameters);
  opj_image_t* made = nullptr;
  const bool read = opj_setup_decoder(codec.get(), &parameters) && opj_read_header(stream.get(), codec.get(), &made);
  const std::unique_ptr<opj_image_t, void (*)(opj_image_t*)> image(made, [](opj_image_t* i) { opj_image_destroy(i); });
  if (!read || !image) damaged(message.empty() ? "its header is damaged" : message);
  if (image->numcomps < 1 || image->numcomps > 4) unsupported(std::to_string(image->numcomps) + " components");
  if (image->x1 <= image->x0 || image->y1 <= image->y0) damaged("its size is empty");
  canvas.open(image->x1 - image->x0, image->y1 - image->y0);
  if (!opj_decode(codec.get(), stream.get(), image.get()) || !opj_end_decompress(codec.get(), stream.get()))
    damaged(message.empty() ? "its pixels are damaged" : message);
  if (image->numcomps < 1 || image->numcomps > 4) unsupported("a palette of " + std::to_string(image->numcomps) + " channels");
  put_image(*image, canvas);
}

}  // namespace tenon::cpu::images
