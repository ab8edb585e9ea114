#include "sdk/cli/inputs.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <random>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "sdk/cli/npy.h"
#include "sdk/cli/session_args.h"

namespace tenon::cli {
namespace fs = std::filesystem;
namespace {

Value read_pb(const fs::path& path, std::int32_t kind, std::string* name = nullptr) {
  const std::string bytes = read_file(path);
  char* own = nullptr;
  tenon_datum* datum = nullptr;
  detail::check(tenon_datum_parse(kind, bytes.data(), bytes.size(), &own, &datum));
  if (name) *name = own;
  tenon_text_release(own);
  return Value(datum);
}

// Values that suit most models: normal numbers, and small whole ones that are valid as indices.
void fill(Value& v, std::mt19937_64& random) {
  const std::size_t n = v.count();
  std::normal_distribution<float> normal;
  std::uniform_int_distribution<int> whole(0, 9), coin(0, 1);
  switch (v.dtype()) {
    case TENON_DTYPE_FLOAT: for (float& x : v.mutable_data<float>()) x = normal(random); break;
    case TENON_DTYPE_DOUBLE: for (double& x : v.mutable_data<double>()) x = normal(random); break;
    case TENON_DTYPE_FLOAT16: case TENON_DTYPE_BFLOAT16: {
      // Bits of numbers between 1 and 2.
      auto* bits = static_cast<std::uint16_t*>(tenon_datum_data(v.handle()));
      for (std::size_t i = 0; i < n; ++i) bits[i] = static_cast<std::uint16_t>((v.dtype() == TENON_DTYPE_FLOAT16 ? 0x3c00 : 0x3f80) | (random() & 0x7f));
      break;
    }
    case TENON_DTYPE_INT64: for (auto& x : v.mutable_data<std::int64_t>()) x = coin(random); break;
    case TENON_DTYPE_INT32: for (auto& x : v.mutable_data<std::int32_t>()) x = coin(random); break;
    case TENON_DTYPE_BOOL: for (auto& x : v.mutable_data<bool>()) x = coin(random) != 0; break;
    case TENON_DTYPE_STRING:
      for (std::size_t i = 0; i < n; ++i) {
        const std::string s = fmt::format("text {}", whole(random));
        detail::check(tenon_datum_set_string(v.handle(), i, detail::str(s)));
      }
      break;
    default: {
      auto* bytes = static_cast<unsigned char*>(tenon_datum_data(v.handle()));
      for (std::size_t i = 0; i < v.size_bytes(); ++i) bytes[i] = static_cast<unsigned char>(whole(random));
      if (tenon_dtype_bits(v.dtype()) > 8)  // wide integers: keep them small
        for (std::size_t i = 0; i < v.size_bytes(); ++i)
          if (i % static_cast<std::size_t>(tenon_dtype_bits(v.dtype()) / 8) != 0) bytes[i] = 0;
    }
  }
}

}  // namespace

void Inputs::add_to(CLI::App& app) {
  app.add_option("-i,--input", files, "values: NAME=FILE.npy or .pb, FILE.npz, or a folder of input_N.pb; what is not given is random")->allow_extra_args(false);
  app.add_option("-d,--dim", sizes, "size of a named dimension of random inputs: NAME=N; default: 1 in front, 16 elsewhere")->allow_extra_args(false);
  app.add_option("--seed", seed, "of random inputs");
}

std::map<std::string, std::int64_t> Inputs::named_sizes() const {
  std::map<std::string, std::int64_t> out;
  for (const std::string& s : sizes) {
    const std::size_t i = s.find('=');
    char* end = nullptr;
    const std::int64_t n = i == std::string::npos ? -1 : std::strtoll(s.c_str() + i + 1, &end, 10);
    if (n < 0 || !end || *end || end == s.c_str() + i + 1) throw Failure{usage, fmt::format("--dim {}: NAME=N is expected", s)};
    out[s.substr(0, i)] = n;
  }
  return out;
}

void Inputs::read_files(const Session& session, std::vector<Feed>& feeds) const {
  for (const std::string& file : files) {
    const std::size_t eq = file.find('=');
    const std::string name = eq == std::string::npos ? "" : file.substr(0, eq);
    const fs::path path = eq == std::string::npos ? file : file.substr(eq + 1);
    if (fs::is_directory(path)) {
      const std::size_t before = feeds.size();
      for (std::size_t i = 0; i < session.inputs().size(); ++i) {
        const fs::path pb = path / fmt::format("input_{}.pb", i);
        if (fs::exists(pb)) feeds.push_back({std::string(session.inputs()[i].name), read_pb(pb, session.inputs()[i].kind)});
      }
      if (feeds.size() == before) throw Failure{usage, fmt::format("--input {}: the folder has no input_0.pb", file)};
    } else if (path.extension() == ".npz") {
      for (Feed& f : read_npz(path)) feeds.push_back(std::move(f));
    } else if (path.extension() == ".pb") {
      std::string own;
      const auto port = std::find_if(session.inputs().begin(), session.inputs().end(), [&](const Port& p) { return p.name == name; });
      Value v = read_pb(path, port == session.inputs().end() ? TENON_KIND_TENSOR : port->kind, &own);
      feeds.push_back({name.empty() ? own : name, std::move(v)});
    } else if (name.empty()) {
      throw Failure{usage, fmt::format("--input {}: say which input: NAME={}", file, file)};
    } else {
      feeds.push_back({name, read_npy(path)});
    }
  }
  for (const Feed& f : feeds) check_name("--input", f.name, session.inputs(), "takes");
  // Numpy has no names for some types: their bits are stored, and the model says what they are.
  for (Feed& f : feeds)
    for (const Port& p : session.inputs()) {
      if (p.name != f.name || p.kind != TENON_KIND_TENSOR || f.value.dtype() == p.dtype) continue;
      const bool bits = (p.dtype == TENON_DTYPE_BFLOAT16 && f.value.dtype() == TENON_DTYPE_UINT16) ||
                        (p.dtype >= TENON_DTYPE_FLOAT8E4M3FN && p.dtype <= TENON_DTYPE_FLOAT8E5M2FNUZ && f.value.dtype() == TENON_DTYPE_UINT8);
      if (!bits) continue;
      Value same = Value::tensor(p.dtype, Dims(f.value.dims().begin(), f.value.dims().end()));
      std::memcpy(tenon_datum_data(same.handle()), f.value.bytes(), f.value.size_bytes());
      f.value = same;
    }
}

std::vector<Feed> Inputs::make(const Session& session) const {
  std::vector<Feed> feeds;
  read_files(session, feeds);
  auto sizes_by_name = named_sizes();
  std::mt19937_64 random(seed);
  for (const Port& p : session.inputs()) {
    if (std::any_of(feeds.begin(), feeds.end(), [&](const Feed& f) { return f.name == p.name; }) || p.optional) continue;
    if (p.kind != TENON_KIND_TENSOR || !p.dims)
      throw Failure{failed, fmt::format("input \"{}\" ({}) cannot be made up; give it with --input", p.name, p.type)};
    Dims dims = *p.dims;
    for (std::size_t d = 0; d < dims.size(); ++d) {
      if (dims[d] >= 0) continue;
      const auto given = sizes_by_name.find(std::string(p.dim_names[d]));
      dims[d] = given != sizes_by_name.end() ? given->second : d == 0 ? 1 : 16;
    }
    Value v = Value::tensor(p.dtype, dims);
    fill(v, random);
    feeds.push_back({std::string(p.name), std::move(v)});
  }
  for (const auto& [name, size] : sizes_by_name) {
    const auto named = [&](const Port& p) { return std::find(p.dim_names.begin(), p.dim_names.end(), name) != p.dim_names.end(); };
    if (std::none_of(session.inputs().begin(), session.inputs().end(), named))
      throw Failure{usage, fmt::format("--dim {}={}: no input has a dimension of that name", name, size)};
  }
  return feeds;
}

void check_name(const char* option, std::string_view name, std::span<const Port> ports, const char* verb) {
  std::string known;
  for (const Port& p : ports) {
    if (p.name == name) return;
    known += fmt::format("{}\"{}\"", known.empty() ? "" : ", ", p.name);
  }
  throw Failure{usage, fmt::format("{}: the model {} no \"{}\"; it {} {}", option, verb, name, verb, known.empty() ? "nothing" : known)};
}

std::string shape_text(const Value& v) {
  std::string dims;
  for (std::int64_t d : v.dims()) dims += fmt::format("{}{}", dims.empty() ? "" : ",", d);
  switch (v.kind()) {
    case TENON_KIND_TENSOR: return fmt::format("{}[{}]", tenon_dtype_name(v.dtype()), dims);
    case TENON_KIND_SEQUENCE: return fmt::format("sequence of {}", v.count());
    case TENON_KIND_MAP: return fmt::format("map of {}", v.count());
    default: return v.count() ? "optional with a value" : "optional without a value";
  }
}

std::string port_text(const Port& p) {
  if (p.kind != TENON_KIND_TENSOR) return std::string(p.type);
  if (!p.dims) return fmt::format("{}[...]", tenon_dtype_name(p.dtype));
  std::string dims;
  for (std::size_t d = 0; d < p.dims->size(); ++d) {
    const std::int64_t n = (*p.dims)[d];
    dims += fmt::format("{}{}", d ? "," : "", n >= 0 ? std::to_string(n) : p.dim_names[d].empty() ? "?" : std::string(p.dim_names[d]));
  }
  return fmt::format("{}[{}]", tenon_dtype_name(p.dtype), dims);
}

}  // namespace tenon::cli
