#include "core/base/json_text.h"

#include <algorithm>
#include <iterator>

namespace tenon {
namespace {

using nlohmann::json;

// Reads the text and says how far the parser has come.
struct Cursor {
  using iterator_category = std::forward_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;
  const char* p = nullptr;
  const char** at = nullptr;

  const char& operator*() const { return *p; }
  Cursor& operator++() {
    *at = ++p;
    return *this;
  }
  Cursor operator++(int) {
    Cursor old = *this;
    ++*this;
    return old;
  }
  bool operator==(const Cursor& o) const { return p == o.p; }
  bool operator!=(const Cursor& o) const { return p != o.p; }
};

class Builder {
 public:
  Builder(std::string_view text, const char** at, JsonText& out) : text_(text), at_(at), out_(out) {}

  bool null() { return put(json(nullptr), 4); }
  bool boolean(bool v) { return put(json(v), v ? 4 : 5); }
  bool number_integer(json::number_integer_t v) { return put(json(v), number_length()); }
  bool number_unsigned(json::number_unsigned_t v) { return put(json(v), number_length()); }
  bool number_float(json::number_float_t v, const json::string_t&) { return put(json(v), number_length()); }
  bool string(json::string_t& v) {
    const std::size_t length = string_length();
    return put(json(std::move(v)), length);
  }
  bool binary(json::binary_t&) { return false; }
  bool start_object(std::size_t) { return open(json::object()); }
  bool start_array(std::size_t) { return open(json::array()); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }

  bool key(json::string_t& name) {
    Frame& frame = stack_.back();
    frame.key = name;
    const std::string where = frame.pointer + "/" + pointer_part(name);
    const Place place = place_at(offset() - string_length());
    frame.duplicate = frame.value->contains(name);
    if (frame.duplicate) {
      const Place first = out_.keys[where];
      out_.keys[where] = place;
      out_.fault(where, false, fmt::format("this key was given before, in line {}", first.line));
    }
    out_.keys[where] = place;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& e) {
    std::string what = e.what();
    // "[json.exception.parse_error.101] parse error at line 1, column 2: text"
    if (const std::size_t colon = what.find(": "); colon != std::string::npos) what = what.substr(colon + 2);
    const Place place = place_at(position == 0 ? 0 : position - 1);
    out_.keys[""] = out_.values[""] = place;
    out_.fault("", false, what);
    return false;
  }

 private:
  struct Frame {
    json* value;
    std::string pointer, key;
    bool duplicate = false;
  };

  std::size_t offset() const { return static_cast<std::size_t>(*at_ - text_.data()); }

  Place place_at(std::size_t offset) {
    offset = std::min(offset, text_.size());
    if (offset < counted_) counted_ = 0, line_ = 1, line_start_ = 0;
    for (; counted_ < offset; ++counted_)
      if (text_[counted_] == '\n') ++line_, line_start_ = counted_ + 1;
    return {line_, offset - line_start_ + 1};
  }

  // Of the string that ends here, quotes included.
  std::size_t string_length() const {
    const std::size_t end = offset();
    std::size_t p = end - 1;
    while (p > 0) {
      --p;
      if (text_[p] != '"') continue;
      std::size_t slashes = 0;
      while (slashes < p && text_[p - 1 - slashes] == '\\') ++slashes;
      if (slashes % 2 == 0) break;
    }
    return end - p;
  }
  // A number is only known to end by the character after it.
  std::size_t number_length() const {
    const auto part = [](char c) { return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E'; };
    std::size_t p = offset();
    if (p > 0 && !part(text_[p - 1])) --p;
    while (p > 0 && part(text_[p - 1])) --p;
    return offset() - p;
  }

  std::string next_pointer(std::size_t back) {
    if (stack_.empty()) {
      out_.keys[""] = out_.values[""] = place_at(offset() - std::min(back, offset()));
      return "";
    }
    Frame& frame = stack_.back();
    const Place place = place_at(offset() - std::min(back, offset()));
    const bool array = frame.value->is_array();
    std::string where = frame.pointer + "/" + (array ? std::to_string(frame.value->size()) : pointer_part(frame.key));
    if (array) out_.keys[where] = place;
    out_.values[where] = place;
    return where;
  }

  json* attach(json&& v) {
    if (stack_.empty()) {
      out_.root = std::move(v);
      return &out_.root;
    }
    Frame& frame = stack_.back();
    if (frame.value->is_array()) {
      frame.value->push_back(std::move(v));
      return &frame.value->back();
    }
    return &((*frame.value)[frame.key] = std::move(v));
  }

  bool put(json v, std::size_t length) {
    next_pointer(length);
    attach(std::move(v));
    return true;
  }
  bool open(json v) {
    std::string where = next_pointer(1);
    if (stack_.size() >= 64) {
      out_.fault(where, true, "more than 64 levels deep");
      return false;
    }
    json* at = attach(std::move(v));
    stack_.push_back({at, std::move(where), "", false});
    return true;
  }
  bool close() {
    stack_.pop_back();
    return true;
  }

  std::string_view text_;
  const char** at_;
  JsonText& out_;
  std::vector<Frame> stack_;
  std::size_t counted_ = 0, line_ = 1, line_start_ = 0;
};

}  // namespace

std::string pointer_part(std::string_view key) {
  std::string out;
  for (const char c : key) {
    if (c == '~') out += "~0";
    else if (c == '/') out += "~1";
    else out += c;
  }
  return out;
}

void JsonText::fault(std::string_view pointer, bool at_value, std::string_view text) {
  const auto& places = at_value ? values : keys;
  const auto found = places.find(std::string(pointer));
  const Place place = found == places.end() ? Place{} : found->second;
  const std::string at = pointer.empty() ? "" : fmt::format(" at {}", pointer);
  if (place.line == 0) faults.push_back(fmt::format("{}: error{}: {}", source, at, text));
  else faults.push_back(fmt::format("{}:{}:{}: error{}: {}", source, place.line, place.column, at, text));
}

Status JsonText::status() const {
  if (faults.empty()) return {};
  std::string all;
  for (const std::string& fault : faults) all += (all.empty() ? "" : "\n") + fault;
  return Status(TENON_INVALID_ARGUMENT, std::move(all));
}

JsonText read_json(std::string_view text, const std::string& source) {
  JsonText out;
  out.source = source;
  if (text.size() > (16u << 20)) {
    out.fault("", false, "larger than 16 MiB");
    return out;
  }
  const char* at = text.data();
  Builder builder(text, &at, out);
  try {
    const Cursor begin{text.data(), &at}, end{text.data() + text.size(), &at};
    if (!json::sax_parse(begin, end, &builder, json::input_format_t::json, true, true)) {
      if (out.faults.empty()) out.fault("", false, "not JSON");
      out.root = nullptr;
    }
  } catch (const std::exception& e) {
    out.fault("", false, e.what());
    out.root = nullptr;
  }
  return out;
}

}  // namespace tenon
