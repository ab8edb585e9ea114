// Tensors, sequences, maps and optionals of the C API.
#include "sdk/c/handles.h"

using namespace tenon;
using namespace tenon::sdk;

namespace {

Status read_dims(const int64_t* dims, size_t rank, Dims& out) {
  if (rank && !dims) return missing("dims");
  if (rank > 1024) return error(TENON_OUT_OF_RANGE, "a tensor of rank {}", rank);
  for (size_t i = 0; i < rank; ++i)
    if (dims[i] < 0) return error(TENON_OUT_OF_RANGE, "dims[{}] is {}", i, dims[i]);
  out.assign(dims, dims + rank);
  return {};
}

Status known_dtype(int32_t dtype) {
  if (dtype == TENON_DTYPE_STRING || dtype_bits(dtype) > 0) return {};
  return invalid("{} is no element type", dtype);
}

Status give(Datum datum, tenon_datum** out) {
  if (!out) return missing("out_datum");
  *out = wrap(new Datum(std::move(datum)));
  return {};
}

Status copy_items(const tenon_datum* const* items, size_t count, std::vector<Datum>& out) {
  if (count && !items) return missing("items");
  out.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    if (!items[i]) return invalid("items[{}] is NULL", i);
    out.push_back(*unwrap(items[i]));
  }
  return {};
}

Status string_at(const tenon_datum* datum, size_t index, std::string*& out) {
  if (!datum) return missing("datum");
  const Datum& d = *unwrap(datum);
  if (d.kind != TENON_KIND_TENSOR || d.dtype != TENON_DTYPE_STRING || !d.strings)
    return invalid("this datum is no string tensor but of element type {}", dtype_name(d.dtype));
  if (index >= d.strings->size()) return error(TENON_OUT_OF_RANGE, "element {} of {}", index, d.strings->size());
  out = &(*d.strings)[index];
  return {};
}

bool valid(tenon_str s) { return s.data || !s.size; }
std::string text_of(tenon_str s) { return s.size ? std::string(s.data, s.size) : std::string(); }

// Frees the caller's memory when the last holder is gone.
struct Release {
  void (*function)(void*);
  void* user;
  void operator()(void*) const { function(user); }
};

}  // namespace

tenon_status* tenon_datum_create_tensor(int32_t dtype, const int64_t* dims, size_t rank, tenon_datum** out_datum) {
  return guard([&]() -> Status {
    Dims shape;
    TENON_TRY(known_dtype(dtype));
    TENON_TRY(read_dims(dims, rank, shape));
    TENON_ASSIGN(Datum datum, Datum::tensor(dtype, std::move(shape)));
    return give(std::move(datum), out_datum);
  });
}

tenon_status* tenon_datum_borrow_tensor(int32_t dtype, const int64_t* dims, size_t rank, void* data, size_t bytes,
                                        void (*release)(void* user), void* user, tenon_datum** out_datum) {
  return guard([&]() -> Status {
    if (!out_datum) return missing("out_datum");
    TENON_TRY(known_dtype(dtype));
    if (dtype == TENON_DTYPE_STRING) return invalid("a string tensor cannot be borrowed; use tenon_datum_create_strings");
    auto datum = std::make_unique<Datum>();
    TENON_TRY(read_dims(dims, rank, datum->dims));
    const Checked count = element_count(datum->dims);
    const Checked needed = count.valid() ? dtype_bytes(dtype, count) : count;
    if (!needed.valid()) return error(TENON_OUT_OF_RANGE, "a tensor of shape {} is too large", dims_text(datum->dims));
    if (static_cast<std::uint64_t>(needed.value()) != bytes)
      return invalid("a tensor of {} with shape {} has {} bytes, not {}", dtype_name(dtype), dims_text(datum->dims), needed.value(), bytes);
    if (bytes && !data) return missing("data");
    datum->dtype = dtype;
    datum->data = static_cast<std::byte*>(data);
    datum->bytes = bytes;
    // Without memory for the count of holders shared_ptr would call release at once, and the call must not own then.
    if (release) {
      struct Armed {
        Release release;
        bool armed = false;
        ~Armed() {
          if (armed) release.function(release.user);
        }
      };
      auto holder = std::make_shared<Armed>();
      holder->release = {release, user};
      holder->armed = true;
      datum->keep = std::shared_ptr<void>(holder, data ? data : holder.get());
    }
    *out_datum = wrap(datum.release());
    return {};
  });
}

tenon_status* tenon_datum_create_strings(const int64_t* dims, size_t rank, const tenon_str* elements, tenon_datum** out_datum) {
  return guard([&]() -> Status {
    Dims shape;
    TENON_TRY(read_dims(dims, rank, shape));
    TENON_ASSIGN(Datum datum, Datum::tensor(TENON_DTYPE_STRING, std::move(shape)));
    if (!elements && !datum.strings->empty()) return missing("elements");
    for (size_t i = 0; i < datum.strings->size(); ++i) {
      if (!valid(elements[i])) return invalid("elements[{}] is NULL", i);
      (*datum.strings)[i] = text_of(elements[i]);
    }
    return give(std::move(datum), out_datum);
  });
}

tenon_status* tenon_datum_create_sequence(int32_t dtype, const tenon_datum* const* items, size_t count, tenon_datum** out_datum) {
  return guard([&]() -> Status {
    Datum datum;
    datum.kind = TENON_KIND_SEQUENCE;
    datum.dtype = dtype;
    TENON_TRY(copy_items(items, count, datum.items));
    if (count && datum.items[0].kind == TENON_KIND_TENSOR) datum.dtype = datum.items[0].dtype;
    return give(std::move(datum), out_datum);
  });
}

tenon_status* tenon_datum_create_map(const int64_t* int_keys, const tenon_str* string_keys, const tenon_datum* const* values,
                                     size_t count, tenon_datum** out_datum) {
  return guard([&]() -> Status {
    if (count && !int_keys == !string_keys) return invalid("a map has either int_keys or string_keys");
    Datum datum;
    datum.kind = TENON_KIND_MAP;
    datum.dtype = string_keys ? TENON_DTYPE_STRING : TENON_DTYPE_INT64;
    TENON_TRY(copy_items(values, count, datum.items));
    if (int_keys) datum.int_keys.assign(int_keys, int_keys + count);
    for (size_t i = 0; string_keys && i < count; ++i) {
      if (!valid(string_keys[i])) return invalid("string_keys[{}] is NULL", i);
      datum.string_keys.push_back(text_of(string_keys[i]));
    }
    return give(std::move(datum), out_datum);
  });
}

tenon_status* tenon_datum_create_optional(const tenon_datum* value, tenon_datum** out_datum) {
  return guard([&]() -> Status {
    Datum datum;
    datum.kind = TENON_KIND_OPTIONAL;
    if (value) datum.items.push_back(*unwrap(value));
    return give(std::move(datum), out_datum);
  });
}

tenon_status* tenon_datum_copy(const tenon_datum* datum, tenon_datum** out_datum) {
  return guard([&]() -> Status { return datum ? give(*unwrap(datum), out_datum) : missing("datum"); });
}
void tenon_datum_release(tenon_datum* datum) { delete unwrap(datum); }

int32_t tenon_datum_kind(const tenon_datum* datum) { return datum ? unwrap(datum)->kind : TENON_KIND_TENSOR; }
int32_t tenon_datum_dtype(const tenon_datum* datum) { return datum ? unwrap(datum)->dtype : TENON_DTYPE_UNDEFINED; }
size_t tenon_datum_rank(const tenon_datum* datum) { return datum ? unwrap(datum)->dims.size() : 0; }
const int64_t* tenon_datum_dims(const tenon_datum* datum) { return datum ? unwrap(datum)->dims.data() : nullptr; }
size_t tenon_datum_count(const tenon_datum* datum) {
  if (!datum) return 0;
  const Datum& d = *unwrap(datum);
  if (d.kind != TENON_KIND_TENSOR) return d.items.size();
  return d.strings ? d.strings->size() : static_cast<size_t>(d.count());
}
void* tenon_datum_data(const tenon_datum* datum) { return datum ? unwrap(datum)->data : nullptr; }
size_t tenon_datum_bytes(const tenon_datum* datum) { return datum ? unwrap(datum)->bytes : 0; }

tenon_status* tenon_datum_string(const tenon_datum* datum, size_t index, tenon_str* out_string) {
  return guard([&]() -> Status {
    std::string* element = nullptr;
    if (!out_string) return missing("out_string");
    TENON_TRY(string_at(datum, index, element));
    *out_string = {element->data(), element->size()};
    return {};
  });
}
tenon_status* tenon_datum_set_string(tenon_datum* datum, size_t index, tenon_str string) {
  return guard([&]() -> Status {
    std::string* element = nullptr;
    TENON_TRY(string_at(datum, index, element));
    if (!valid(string)) return missing("string");
    *element = text_of(string);
    return {};
  });
}

const tenon_datum* tenon_datum_item(const tenon_datum* datum, size_t index) {
  return datum && index < unwrap(datum)->items.size() ? wrap(&unwrap(datum)->items[index]) : nullptr;
}
int32_t tenon_datum_key_kind(const tenon_datum* datum) {
  if (!datum) return 0;
  return !unwrap(datum)->int_keys.empty() ? 1 : !unwrap(datum)->string_keys.empty() ? 2 : 0;
}
tenon_status* tenon_datum_int_key(const tenon_datum* datum, size_t index, int64_t* out_key) {
  return guard([&]() -> Status {
    if (!datum || !out_key) return missing("datum or out_key");
    const auto& keys = unwrap(datum)->int_keys;
    if (index >= keys.size()) return error(TENON_OUT_OF_RANGE, "key {} of {}", index, keys.size());
    *out_key = keys[index];
    return {};
  });
}
tenon_status* tenon_datum_string_key(const tenon_datum* datum, size_t index, tenon_str* out_key) {
  return guard([&]() -> Status {
    if (!datum || !out_key) return missing("datum or out_key");
    const auto& keys = unwrap(datum)->string_keys;
    if (index >= keys.size()) return error(TENON_OUT_OF_RANGE, "key {} of {}", index, keys.size());
    *out_key = {keys[index].data(), keys[index].size()};
    return {};
  });
}
