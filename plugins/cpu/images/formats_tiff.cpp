#include "plugins/cpu/images/formats.h"

namespace tenon::cpu::images {

std::optional<Format> find_format(Bytes bytes) {
  if (is_tiff(bytes.data(), bytes.size())) return Format{"TIFF", decode_tiff};
  return std::nullopt;
}

}  // namespace tenon::cpu::images
