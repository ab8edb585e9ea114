// formats: the image formats of one library of codecs: formats_main.cpp or formats_tiff.cpp, whichever it is built with.
//
// Read-only; any thread.
#pragma once

#include <optional>

#include "plugins/cpu/images/canvas.h"

namespace tenon::cpu::images {

struct Format {
  const char* name;
  void (*decode)(Bytes, Canvas&);
};

// By the first bytes; nullopt where this library has no such format.
std::optional<Format> find_format(Bytes bytes);

}  // namespace tenon::cpu::images
