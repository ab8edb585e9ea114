#include "sdk/cli/npy.h"

#include <charconv>
#include <cstring>
#include <fstream>
#include <memory>

#include <fmt/format.h>
#include <minizip/unzip.h>
#include <minizip/zip.h>

#include "sdk/cli/session_args.h"

namespace tenon::cli {
namespace {

struct Kind {
  const char* npy;
  std::int32_t dtype;
};
// bfloat16, float8 and packed types have no numpy name: they travel as the bytes of their bits.
constexpr Kind kinds[] = {{"f4", TENON_DTYPE_FLOAT}, {"f8", TENON_DTYPE_DOUBLE}, {"f2", TENON_DTYPE_FLOAT16}, {"i1", TENON_DTYPE_INT8},
                          {"i2", TENON_DTYPE_INT16}, {"i4", TENON_DTYPE_INT32},  {"i8", TENON_DTYPE_INT64},   {"u1", TENON_DTYPE_UINT8},
                          {"u2", TENON_DTYPE_UINT16}, {"u4", TENON_DTYPE_UINT32}, {"u8", TENON_DTYPE_UINT64},  {"b1", TENON_DTYPE_BOOL}};
constexpr char magic[] = "\x93NUMPY";

[[noreturn]] void bad(const std::string& where, const std::string& what) { throw Failure{failed, where + ": " + what}; }

// The value of a key of the header's Python dictionary, up to the comma or bracket that ends it.
std::string header_value(const std::string& header, const std::string& key, const std::string& where) {
  std::size_t i = header.find("'" + key + "'");
  if (i == std::string::npos || (i = header.find(':', i)) == std::string::npos) bad(where, "its header has no '" + key + "'");
  i = header.find_first_not_of(' ', i + 1);
  if (i == std::string::npos) bad(where, "its header ends early");
  const char open = header[i];
  std::size_t end;
  if (open == '(') end = header.find(')', i);
  else if (open == '\'' || open == '"') ++i, end = header.find(open, i);
  else end = header.find_first_of(",}", i);
  if (end == std::string::npos) bad(where, "its header ends early");
  return header.substr(open == '(' ? i + 1 : i, end - i - (open == '(' ? 1 : 0));
}

// From Fortran order, in which the first index runs fastest, to ours.
void reorder(const char* from, char* to, const Dims& dims, std::size_t size) {
  std::vector<std::size_t> index(dims.size()), stride(dims.size());
  std::size_t count = 1;
  for (std::size_t d = 0; d < dims.size(); ++d) stride[d] = count, count *= static_cast<std::size_t>(dims[d]);
  for (std::size_t e = 0, offset = 0; e < count; ++e) {
    std::memcpy(to + e * size, from + offset * size, size);
    for (std::size_t d = dims.size(); d-- > 0;) {
      offset += stride[d];
      if (++index[d] < static_cast<std::size_t>(dims[d])) break;
      offset -= stride[d] * index[d];
      index[d] = 0;
    }
  }
}

void append_utf8(std::string& out, std::uint32_t code) {
  const auto tail = [&](int shift) { out += static_cast<char>(0x80 | (code >> shift & 63)); };
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xc0 | code >> 6), tail(0);
  } else if (code < 0x10000) {
    out += static_cast<char>(0xe0 | code >> 12), tail(6), tail(0);
  } else {
    out += static_cast<char>(0xf0 | code >> 18), tail(12), tail(6), tail(0);
  }
}

// Elements of "U4" or "S4": texts of a fixed width, filled up with zeros.
std::vector<std::string> texts(const std::string& kind, const char* data, std::size_t left, std::size_t count, const std::string& where) {
  std::size_t width = 0;
  const auto [end, fault] = std::from_chars(kind.data() + 1, kind.data() + kind.size(), width);
  if (fault != std::errc() || end != kind.data() + kind.size() || width > left)
    bad(where, "its element type \"" + kind + "\" is not one, or it is truncated");
  const std::size_t unit = kind[0] == 'U' ? 4 : 1;
  // Texts of no width take no bytes: their number proves nothing.
  if (width ? count > left / (width * unit) : count > 1 << 20) bad(where, "it is truncated");
  std::vector<std::string> out(count);
  for (std::size_t e = 0; e < count; ++e)
    for (std::size_t c = 0; c < width; ++c) {
      std::uint32_t code = 0;
      std::memcpy(&code, data + (e * width + c) * unit, unit);
      if (code == 0) break;
      if (code > 0x10ffff) bad(where, "a text in it is not Unicode");
      if (unit == 1) out[e] += static_cast<char>(code);
      else append_utf8(out[e], code);
    }
  return out;
}

}  // namespace

Value parse_npy(const std::string& bytes, const std::string& where) {
  if (bytes.size() < 10 || std::memcmp(bytes.data(), magic, 6) != 0) bad(where, "not a numpy file");
  const bool long_header = bytes[6] >= 2;
  std::size_t length = static_cast<unsigned char>(bytes[8]) | static_cast<unsigned char>(bytes[9]) << 8, start = 10;
  if (long_header) {
    if (bytes.size() < 12) bad(where, "it is truncated");
    length |= static_cast<std::size_t>(static_cast<unsigned char>(bytes[10])) << 16 | static_cast<std::size_t>(static_cast<unsigned char>(bytes[11])) << 24;
    start = 12;
  }
  if (bytes.size() < start + length) bad(where, "it is truncated");
  const std::string header = bytes.substr(start, length);
  const std::string descr = header_value(header, "descr", where);
  const bool fortran = header_value(header, "fortran_order", where).starts_with("True");
  Dims dims;
  std::int64_t count = 1;
  const std::string shape = header_value(header, "shape", where);
  for (std::size_t i = 0; i < shape.size();) {
    const std::size_t comma = std::min(shape.find(',', i), shape.size());
    const std::string part = shape.substr(i, comma - i);
    if (part.find_first_of("0123456789") != std::string::npos) {
      try {
        dims.push_back(std::stoll(part));
      } catch (const std::exception&) {
        bad(where, "shape (" + shape + ") is not one");
      }
      if (dims.back() < 0 || __builtin_mul_overflow(count, dims.back(), &count)) bad(where, "shape (" + shape + ") is too large");
    }
    i = comma + 1;
  }
  const std::string kind = descr.size() > 1 ? descr.substr(1) : "";
  if (descr.starts_with('>') && kind.size() > 1 && kind[1] != '1') bad(where, "its bytes are in big-endian order");
  const char* data = bytes.data() + start + length;
  const std::size_t left = bytes.size() - start - length;
  if (kind.starts_with('U') || kind.starts_with('S')) {
    if (fortran && dims.size() > 1) bad(where, "texts in Fortran order are not read; save numpy.ascontiguousarray of it");
    return Value::strings(texts(kind, data, left, static_cast<std::size_t>(count), where), dims);
  }
  for (const Kind& k : kinds) {
    if (kind != k.npy) continue;
    const auto size = static_cast<std::size_t>(tenon_dtype_bits(k.dtype)) / 8;
    if (static_cast<std::size_t>(count) > left / size)
      bad(where, fmt::format("it is truncated: {} bytes of data for {} elements of {} bytes", left, count, size));
    Value v = Value::tensor(k.dtype, dims);
    if (count == 0) return v;
    auto* to = static_cast<char*>(tenon_datum_data(v.handle()));
    if (fortran && dims.size() > 1) reorder(data, to, dims, size);
    else std::memcpy(to, data, v.size_bytes());
    return v;
  }
  bad(where, "element type \"" + descr + "\" is not supported");
}

namespace {

std::string to_npy(const Value& value, const std::string& where) {
  const char* kind = nullptr;
  for (const Kind& k : kinds)
    if (k.dtype == value.dtype()) kind = k.npy;
  std::string shape, descr, data;
  for (std::int64_t d : value.dims()) shape += fmt::format("{},", d);
  if (value.dtype() == TENON_DTYPE_STRING) {
    const std::vector<std::string> all = value.strings();
    std::size_t width = 1;
    for (const std::string& s : all) width = std::max(width, s.size());
    descr = fmt::format("|S{}", width);
    for (std::string s : all) s.resize(width), data += s;
  } else if (value.kind() != TENON_KIND_TENSOR) {
    bad(where, "only tensors can be written as numpy arrays");
  } else {
    const std::size_t bytes = value.size_bytes();
    if (!kind) {
      // The bits as unsigned numbers of the same width, or plain bytes for packed types.
      const int bits = tenon_dtype_bits(value.dtype());
      kind = bits == 16 ? "u2" : "u1";
      if (bits < 8) shape = fmt::format("{},", bytes);
    }
    descr = fmt::format("{}{}", kind[1] == '1' ? "|" : "<", kind);
    data.assign(static_cast<const char*>(value.bytes()), bytes);
  }
  std::string header = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", descr, shape);
  header.append(63 - (10 + header.size()) % 64, ' ');
  header += '\n';
  std::string out(magic, 6);
  out += {1, 0, static_cast<char>(header.size() & 255), static_cast<char>(header.size() >> 8)};
  return out + header + data;
}

}  // namespace

std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw Failure{failed, fmt::format("cannot read \"{}\"", path.string())};
  return {std::istreambuf_iterator<char>(in), {}};
}

Value read_npy(const std::filesystem::path& path) { return parse_npy(read_file(path), path.string()); }

std::vector<Feed> read_npz(const std::filesystem::path& path) {
  const std::unique_ptr<void, int (*)(void*)> zip(unzOpen64(path.c_str()), unzClose);
  if (!zip) bad(path.string(), "not an .npz archive");
  std::vector<Feed> out;
  std::string name(1 << 16, '\0');  // longer than any name in an archive, so it ends in a zero
  for (int code = unzGoToFirstFile(zip.get()); code == UNZ_OK; code = unzGoToNextFile(zip.get())) {
    unz_file_info64 info{};
    if (unzGetCurrentFileInfo64(zip.get(), &info, name.data(), name.size(), nullptr, 0, nullptr, 0) != UNZ_OK || unzOpenCurrentFile(zip.get()) != UNZ_OK)
      bad(path.string(), "the archive is damaged");
    std::string bytes;
    std::vector<char> chunk(1 << 20);
    int n = 0;
    while ((n = unzReadCurrentFile(zip.get(), chunk.data(), static_cast<unsigned>(chunk.size()))) > 0) bytes.append(chunk.data(), static_cast<std::size_t>(n));
    if (n < 0 || unzCloseCurrentFile(zip.get()) != UNZ_OK) bad(path.string(), "the archive is damaged");
    std::string key = name.c_str();
    if (key.ends_with(".npy")) key.resize(key.size() - 4);
    out.push_back({key, parse_npy(bytes, path.string() + ":" + key)});
  }
  return out;
}

void write_npy(const std::filesystem::path& path, const Value& value) {
  std::ofstream out(path, std::ios::binary);
  const std::string bytes = to_npy(value, path.string());
  if (!out.write(bytes.data(), static_cast<std::streamsize>(bytes.size())).flush()) bad(path.string(), "cannot be written");
}

void write_npz(const std::filesystem::path& path, std::span<const Feed> values) {
  const zipFile zip = zipOpen64(path.c_str(), APPEND_STATUS_CREATE);
  if (!zip) bad(path.string(), "cannot be written");
  bool good = true;
  for (const Feed& v : values) {
    const std::string bytes = to_npy(v.value, path.string());
    const zip_fileinfo info{};
    good = good && zipOpenNewFileInZip64(zip, (v.name + ".npy").c_str(), &info, nullptr, 0, nullptr, 0, nullptr, 0, 0, 1) == ZIP_OK;
    for (std::size_t at = 0; good && at < bytes.size(); at += 1 << 30)
      good = zipWriteInFileInZip(zip, bytes.data() + at, static_cast<unsigned>(std::min<std::size_t>(1 << 30, bytes.size() - at))) == ZIP_OK;
    good = good && zipCloseFileInZip(zip) == ZIP_OK;
  }
  good = zipClose(zip, nullptr) == ZIP_OK && good;
  if (!good) bad(path.string(), "cannot be written");
}

}  // namespace tenon::cli
