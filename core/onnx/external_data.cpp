#include "core/onnx/external_data.h"

#include <charconv>
#include <filesystem>

#include "core/base/file_map.h"

namespace tenon {
namespace fs = std::filesystem;

Result<ExternalRange> external_range(const onnx::TensorProto& proto, std::uint64_t bytes, Payloads& payloads) {
  const std::string where = "external data of tensor \"" + proto.name() + "\"";
  std::string location;
  std::uint64_t offset = 0, length = bytes;
  for (const auto& entry : proto.external_data()) {
    auto number = [&](std::uint64_t& out) {
      const std::string& s = entry.value();
      auto [end, code] = std::from_chars(s.data(), s.data() + s.size(), out);
      return code == std::errc() && end == s.data() + s.size();
    };
    if (entry.key() == "location") location = entry.value();
    else if (entry.key() == "offset" ? !number(offset) : entry.key() == "length" ? !number(length) : false)
      return invalid("{}: {} must be a whole number, found \"{}\"", where, entry.key(), entry.value());
  }
  if (length != bytes)
    return error(TENON_DATA_LOSS, "{}: the shape needs {} bytes, length says {}", where, bytes, length);
  if (payloads.bundle) {
    const BundleRange all = payloads.bundle->index().weights;
    if (location != bundle_weights)
      return error(TENON_PERMISSION_DENIED, "{}: a bundle reads no other file, location must be \"{}\", found \"{}\"", where, bundle_weights, location);
    if (offset > all.bytes || all.bytes - offset < bytes)
      return error(TENON_DATA_LOSS, "{}: bytes {} to {} are wanted, the bundle's weights have {}", where, offset, offset + bytes, all.bytes);
    return ExternalRange{payloads.bundle->at(all).data() + offset, all.offset + offset, payloads.file, payloads.source, payloads.keep};
  }
  if (payloads.folder.empty())
    return invalid("{}: the model was given as bytes, so the file \"{}\" cannot be found; load it by path", where, location);
  std::error_code code;
  const fs::path wanted(location);
  if (location.empty() || wanted.is_absolute())
    return error(TENON_PERMISSION_DENIED, "{}: location must be a path inside the model's folder, found \"{}\"", where, location);
  const fs::path path = fs::weakly_canonical(fs::path(payloads.folder) / wanted, code);
  const fs::path inside = code ? fs::path() : path.lexically_relative(payloads.folder);
  if (inside.empty() || *inside.begin() == "..")
    return error(TENON_PERMISSION_DENIED, "{}: \"{}\" leaves the model's folder \"{}\"", where, location, payloads.folder);
  auto& map = payloads.maps[path.string()];
  if (!map) {
    TENON_ASSIGN(auto opened, FileMap::open(path.string()));
    map = std::move(opened);
  }
  const auto content = std::static_pointer_cast<const FileMap>(map)->bytes();
  if (offset > content.size() || content.size() - offset < bytes)
    return error(TENON_DATA_LOSS, "{}: bytes {} to {} are wanted, \"{}\" has {}", where, offset, offset + bytes, path.string(),
                 content.size());
  auto file = std::static_pointer_cast<const FileMap>(map);
  return ExternalRange{content.data() + offset, offset, file->identity(), file.get(), file};
}

}  // namespace tenon
