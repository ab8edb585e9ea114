#include "core/run/map_steps.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include <fmt/format.h>

#include "core/base/text.h"

namespace tenon {
namespace {

// Rows of scores as a sequence of maps from class label to score.
Result<Datum> zip_map(const Node& node, const std::vector<Datum>& in) {
  const Datum& x = in[0];
  if (x.dtype != TENON_DTYPE_FLOAT || x.dims.empty() || x.dims.size() > 2) return invalid("ZipMap takes float scores of rank 1 or 2, found {}", dims_text(x.dims));
  const Attribute* strings = node.find("classlabels_strings");
  const std::vector<std::int64_t>* numbers = node.ints("classlabels_int64s");
  const auto* names = strings ? std::get_if<std::vector<std::string>>(&strings->value) : nullptr;
  const bool by_name = names && !names->empty();
  const std::size_t columns = static_cast<std::size_t>(x.dims.back()), rows = x.dims.size() == 2 ? static_cast<std::size_t>(x.dims[0]) : 1;
  const std::size_t labels = by_name ? names->size() : numbers ? numbers->size() : 0;
  if (labels != columns) return invalid("there are {} class labels and {} scores a row", labels, columns);
  Datum out;
  out.kind = TENON_KIND_SEQUENCE;
  for (std::size_t r = 0; r < rows; ++r) {
    Datum map;
    map.kind = TENON_KIND_MAP;
    map.dtype = by_name ? TENON_DTYPE_STRING : TENON_DTYPE_INT64;
    if (by_name) map.string_keys = *names;
    else if (numbers) map.int_keys = *numbers;
    for (std::size_t c = 0; c < columns; ++c) {
      TENON_ASSIGN(Datum score, Datum::tensor(TENON_DTYPE_FLOAT, {}));
      std::memcpy(score.data, x.data + (r * columns + c) * 4, 4);
      map.items.push_back(std::move(score));
    }
    out.items.push_back(std::move(map));
  }
  return out;
}

// The values of a map at the places of a vocabulary; what the map lacks is 0.
Result<Datum> dict_vectorizer(const Node& node, const std::vector<Datum>& in) {
  const Datum& map = in[0];
  const Attribute* a = node.find("string_vocabulary");
  const auto* words = a ? std::get_if<std::vector<std::string>>(&a->value) : nullptr;
  const std::vector<std::int64_t>* numbers = node.ints("int64_vocabulary");
  const bool by_word = words && !words->empty();
  const std::size_t size = by_word ? words->size() : numbers ? numbers->size() : 0;
  if (map.kind != TENON_KIND_MAP || map.items.empty()) return invalid("DictVectorizer takes a map with at least one entry");
  const DType dtype = map.items[0].dtype;
  if (by_word ? map.string_keys.size() != map.items.size() : map.int_keys.size() != map.items.size())
    return invalid("the keys of the map and the vocabulary have different types");
  TENON_ASSIGN(Datum out, Datum::tensor(dtype, {1, static_cast<std::int64_t>(size)}));
  const std::size_t width = static_cast<std::size_t>(dtype_bits(dtype)) / 8;
  if (out.bytes) std::memset(out.data, 0, out.bytes);
  for (std::size_t k = 0; k < map.items.size(); ++k)
    for (std::size_t i = 0; i < size; ++i) {
      if (by_word ? (*words)[i] != map.string_keys[k] : (*numbers)[i] != map.int_keys[k]) continue;
      if (map.items[k].dtype != dtype || map.items[k].count() != 1) return invalid("the values of the map must be single elements of one type");
      if (out.strings) (*out.strings)[i] = map.items[k].strings->at(0);
      else std::memcpy(out.data + i * width, map.items[k].data, width);
    }
  return out;
}

// One value of a map as text or number, in another of both.
Status cast_value(const Datum& from, Datum& to, std::size_t i) {
  double number = 0;
  if (from.kind != TENON_KIND_TENSOR || from.count() != 1) return invalid("CastMap: a value of the map is not a single element");
  if (from.strings) {
    const std::string& text = from.strings->at(0);
    if (to.strings) return (*to.strings)[i] = text, Status{};
    const auto parsed = parse_real(text);
    if (!parsed) return invalid("CastMap: \"{}\" is not a number", text);
    number = *parsed;
  } else if (from.dtype == TENON_DTYPE_FLOAT) {
    float f;
    std::memcpy(&f, from.data, 4);
    number = f;
  } else if (from.dtype == TENON_DTYPE_INT64) {
    std::int64_t n;
    std::memcpy(&n, from.data, 8);
    if (to.dtype == TENON_DTYPE_INT64) return std::memcpy(to.data + i * 8, &n, 8), Status{};
    if (to.strings) return (*to.strings)[i] = std::to_string(n), Status{};
    number = static_cast<double>(n);
  } else {
    return invalid("CastMap takes maps to float, int64 or string, found {}", dtype_name(from.dtype));
  }
  if (to.strings) {
    (*to.strings)[i] = fmt::format("{}", static_cast<float>(number));
  } else if (to.dtype == TENON_DTYPE_FLOAT) {
    const auto f = static_cast<float>(number);
    std::memcpy(to.data + i * 4, &f, 4);
  } else {
    if (!(number >= -0x1p63 && number < 0x1p63)) return error(TENON_OUT_OF_RANGE, "CastMap: {} is no int64", number);
    const auto n = static_cast<std::int64_t>(number);
    std::memcpy(to.data + i * 8, &n, 8);
  }
  return {};
}

// The values of a map in the order of its keys; SPARSE: at the place that the key names, in a row of max_map.
Result<Datum> cast_map(const Node& node, const std::vector<Datum>& in) {
  const Datum& map = in[0];
  if (map.kind != TENON_KIND_MAP || map.int_keys.size() != map.items.size()) return invalid("CastMap takes a map with int64 keys");
  const std::string to = node.string_or("cast_to", "TO_FLOAT");
  const DType dtype = to == "TO_STRING" ? TENON_DTYPE_STRING : to == "TO_INT64" ? TENON_DTYPE_INT64 : TENON_DTYPE_FLOAT;
  const bool sparse = node.string_or("map_form", "DENSE") == "SPARSE";
  const std::int64_t size = sparse ? node.int_or("max_map", 1) : static_cast<std::int64_t>(map.items.size());
  if (size < 0) return invalid("max_map must not be negative, found {}", size);
  TENON_ASSIGN(Datum out, Datum::tensor(dtype, {1, size}));
  if (out.bytes) std::memset(out.data, 0, out.bytes);
  std::vector<std::size_t> order(map.items.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return map.int_keys[a] < map.int_keys[b]; });
  for (std::size_t i = 0; i < order.size(); ++i) {
    const std::int64_t place = sparse ? map.int_keys[order[i]] : static_cast<std::int64_t>(i);
    if (place < 0 || place >= size) return error(TENON_OUT_OF_RANGE, "key {} is outside max_map ({})", place, size);
    TENON_TRY(cast_value(map.items[order[i]], out, static_cast<std::size_t>(place)));
  }
  return out;
}

}  // namespace

Result<Datum> run_map_operator(const Node& node, const std::vector<Datum>& in) {
  if (node.op_type == "ZipMap") return zip_map(node, in);
  if (node.op_type == "DictVectorizer") return dict_vectorizer(node, in);
  if (node.op_type == "CastMap") return cast_map(node, in);
  return error(TENON_UNIMPLEMENTED, "core does not run this operator on maps");
}

}  // namespace tenon
