// image_library: the shared objects with the image codecs, beside the one that holds this code; each opened at the first question.
// Never closed. Any thread.
#pragma once

#include <string>

#include "plugins/cpu/images/codecs.h"

namespace tenon::cpu {

struct ImageLibrary {
  ImageDecode decode = nullptr;
  std::string reason;  // why there is none, and what to do
};

const ImageLibrary& image_library();  // everything but TIFF
const ImageLibrary& tiff_library();

}  // namespace tenon::cpu
