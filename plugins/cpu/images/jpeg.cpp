// JPEG through libjpeg-turbo: the exact inverse transform and smooth upsampling, which are its defaults.
//
// The library leaves by longjmp. Whatever it is called from holds nothing that needs a destructor.
#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <vector>

#include <jpeglib.h>
#include <jerror.h>

#include "plugins/cpu/images/canvas.h"

namespace tenon::cpu::images {
namespace {

// A progressive file of few bytes can ask for the whole image to be gone through again and again. About ten scans are usual.
int scans_allowed(std::uint64_t pixels) { return static_cast<int>(std::clamp<std::uint64_t>((1u << 30) / pixels, 32, 500)); }

struct Reader {
  jpeg_decompress_struct info{};
  jpeg_error_mgr errors{};
  jpeg_progress_mgr progress{};
  std::jmp_buf out;
  char message[JMSG_LENGTH_MAX] = "";
  bool made = false;
  int scans = 0;

  Reader() {
    info.err = jpeg_std_error(&errors);
    errors.error_exit = [](j_common_ptr c) {
      auto* self = static_cast<Reader*>(c->client_data);
      c->err->format_message(c, self->message);
      std::longjmp(self->out, 1);
    };
    // Warnings are for damaged pixels, which decoders repair; data that end too early are an error.
    errors.emit_message = [](j_common_ptr c, int level) {
      if (level < 0 && c->err->msg_code == JWRN_JPEG_EOF) c->err->error_exit(c);
    };
    errors.output_message = [](j_common_ptr) {};
    progress.progress_monitor = [](j_common_ptr c) {
      auto* self = static_cast<Reader*>(c->client_data);
      if (!c->is_decompressor || self->info.input_scan_number <= self->scans) return;
      std::snprintf(self->message, sizeof self->message, "more than %d scans", self->scans);
      std::longjmp(self->out, 1);
    };
    info.client_data = this;
  }
  ~Reader() {
    if (made) jpeg_destroy_decompress(&info);
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
};

bool read_header(Reader& r, Bytes bytes) {
  if (setjmp(r.out)) return false;
  jpeg_create_decompress(&r.info);
  r.made = true;
  r.info.client_data = &r;  // create clears the rest of the structure
  r.info.progress = &r.progress;
  jpeg_mem_src(&r.info, bytes.data(), bytes.size());
  jpeg_read_header(&r.info, TRUE);
  return true;
}

bool start(Reader& r) {
  if (setjmp(r.out)) return false;
  jpeg_start_decompress(&r.info);
  return true;
}

bool read_row(Reader& r, std::uint8_t* row) {
  if (setjmp(r.out)) return false;
  JSAMPROW rows[] = {row};
  return jpeg_read_scanlines(&r.info, rows, 1) == 1;
}

}  // namespace

void decode_jpeg(Bytes bytes, Canvas& canvas) {
  Reader r;
  if (!read_header(r, bytes)) damaged(r.message);
  const int components = r.info.num_components;
  if (components != 1 && components != 3 && components != 4) unsupported(std::to_string(components) + " components");
  r.info.out_color_space = components == 1 ? JCS_GRAYSCALE : components == 3 ? JCS_RGB : JCS_CMYK;
  canvas.open(r.info.image_width, r.info.image_height);
  r.scans = scans_allowed(canvas.width() * canvas.height());
  if (!start(r)) damaged(r.message);
  std::vector<std::uint8_t> row(static_cast<std::size_t>(r.info.output_width) * static_cast<std::size_t>(components));
  for (std::uint64_t y = 0; y < canvas.height(); ++y) {
    if (!read_row(r, row.data())) damaged("row " + std::to_string(y) + ": " + r.message);
    if (components == 1) canvas.put_gray(y, 0, canvas.width(), row.data());
    else if (components == 3) canvas.put_rgb(y, 0, canvas.width(), row.data());
    else {
      for (std::uint8_t& ink : row) ink = static_cast<std::uint8_t>(255 - ink);  // Adobe's way, and so everybody's
      canvas.put_cmyk(y, 0, canvas.width(), row.data());
    }
  }
}

}  // namespace tenon::cpu::images
