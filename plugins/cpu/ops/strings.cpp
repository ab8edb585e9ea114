// StringConcat, StringNormalizer, StringSplit, RegexFullMatch. Strings are written by one worker.
#include <algorithm>
#include <unordered_set>

#include <re2/re2.h>
#include <utf8proc.h>

#include "plugins/cpu/ops/elements.h"
#include "plugins/cpu/ops/movement.h"

namespace tenon::cpu {
namespace {

StepOptions text_options(std::int64_t count, bool allocates = false) {
  StepOptions o;
  o.spmd = false;
  o.allocates = allocates;
  o.est_ns = static_cast<double>(count) * 100;
  return o;
}

Support text_input(const NodeView& node, std::uint32_t i) {
  if (node.dtype(i) != TENON_DTYPE_STRING)
    return Support::no(TENON_REJECT_DTYPE, "input " + std::to_string(i) + " must be a string tensor");
  return Support::yes();
}

// ---- StringConcat -----------------------------------------------------------------------------------------------------

struct ConcatTextStep {
  std::size_t rank;
  std::int64_t count;
  const std::int64_t *dims, *x_strides, *y_strides;
  Ref x, y, z;

  void operator()(const StepContext& c) const {
    std::string text;
    for (std::int64_t i = 0; i < count; ++i) {
      std::int64_t rest = i, a = 0, b = 0;
      for (std::size_t d = rank; d-- > 0; rest /= dims[d]) a += rest % dims[d] * x_strides[d], b += rest % dims[d] * y_strides[d];
      text = c.text(x, a);
      text += c.text(y, b);
      if (!set_text(c, c.addresses[z.operand], i, text)) return;
    }
  }
};

class StringConcatOp final : public Op {
 public:
  void plan(PlanBuilder& b) const override {
    const Shape& z = b.out(0);
    if (z.count() == 0) return;
    const ConcatTextStep s{z.dims.size(), z.count(), b.keep(z.dims), broadcast(b, b.in(0), z), broadcast(b, b.in(1), z),
                           b.in_ref(0), b.in_ref(1), b.out_ref(0)};
    b.step("string concat", s, text_options(z.count()), {{s.x, s.y}}, {{s.z}});
  }

 private:
  static const std::int64_t* broadcast(PlanBuilder& b, const Shape& x, const Shape& z) {
    std::vector<std::int64_t> strides(z.dims.size(), 0);
    if (x.rank() > z.rank()) throw Failure{TENON_INVALID_ARGUMENT, "an input has more dimensions than the output"};
    const PlanList<std::int64_t> dense = dense_strides(x.dims);
    const std::size_t lead = z.dims.size() - x.dims.size();
    for (std::size_t i = 0; i < x.dims.size(); ++i) {
      if (x.dims[i] != 1 && x.dims[i] != z.dims[lead + i])
        throw Failure{TENON_INVALID_ARGUMENT, "the inputs do not broadcast"};
      if (x.dims[i] != 1) strides[lead + i] = dense[i];
    }
    return b.keep(std::span<const std::int64_t>(strides));
  }
};

Support concat_supports(const NodeView& node) {
  if (Support s = text_input(node, 0); s.reason) return s;
  return text_input(node, 1);
}

// ---- StringNormalizer -------------------------------------------------------------------------------------------------

enum class Case : std::uint8_t { keep, lower, upper };

std::string with_case(std::string_view text, Case to) {
  if (to == Case::keep) return std::string(text);
  std::string out;
  out.reserve(text.size());
  const auto* p = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  for (std::size_t i = 0; i < text.size();) {
    utf8proc_int32_t code;
    const utf8proc_ssize_t n = utf8proc_iterate(p + i, static_cast<utf8proc_ssize_t>(text.size() - i), &code);
    if (n <= 0) {  // no UTF-8: the byte stays as it is
      out += text[i++];
      continue;
    }
    utf8proc_uint8_t encoded[4];
    const utf8proc_ssize_t m = utf8proc_encode_char(to == Case::lower ? utf8proc_tolower(code) : utf8proc_toupper(code), encoded);
    out.append(reinterpret_cast<const char*>(encoded), static_cast<std::size_t>(m));
    i += static_cast<std::size_t>(n);
  }
  return out;
}

struct Normalizer {
  Case change = Case::keep;
  bool case_sensitive = false;
  std::unordered_set<std::string> stop_words;  // lower case unless case_sensitive

  bool stops(std::string_view text) const {
    return !stop_words.empty() && stop_words.count(case_sensitive ? std::string(text) : with_case(text, Case::lower)) > 0;
  }
};

struct NormalizeStep {
  const Normalizer* normalizer;
  std::int64_t count;
  bool row;  // [1, C] instead of [C]
  Ref x;
  Output y;

  void operator()(const StepContext& c) const {
    std::vector<std::string> kept;
    for (std::int64_t i = 0; i < count; ++i) {
      const std::string_view text = c.text(x, i);
      if (!normalizer->stops(text)) kept.push_back(with_case(text, normalizer->change));
    }
    if (kept.empty()) kept.emplace_back();  // nothing left: one empty string
    const auto n = static_cast<std::int64_t>(kept.size());
    tenon_address address;
    if (row ? !open_output(c, y, {1, n}, address) : !open_output(c, y, {n}, address)) return;
    for (std::int64_t i = 0; i < n; ++i)
      if (!set_text(c, address, i, kept[static_cast<std::size_t>(i)])) return;
  }
};

class StringNormalizerOp final : public Op {
 public:
  explicit StringNormalizerOp(const NodeView& node) : normalizer_(std::make_shared<Normalizer>()) {
    const std::string_view change = node.string_or("case_change_action", "NONE");
    normalizer_->change = change == "LOWER" ? Case::lower : change == "UPPER" ? Case::upper : Case::keep;
    normalizer_->case_sensitive = node.int_or("is_case_sensitive", 0) != 0;
    for (const tenon_str& word : node.strings("stopwords"))
      normalizer_->stop_words.insert(with_case({word.data, word.size}, normalizer_->case_sensitive ? Case::keep : Case::lower));
  }

  void plan(PlanBuilder& b) const override {
    const Shape& x = b.in(0);
    if (x.rank() != 1 && !(x.rank() == 2 && x[0] == 1))
      throw Failure{TENON_INVALID_ARGUMENT, "the input must be [C] or [1, C]"};
    b.hold(normalizer_);
    const NormalizeStep s{normalizer_.get(), x.count(), x.rank() == 2, b.in_ref(0), output_of(b, 0)};
    b.step("string normalizer", s, text_options(x.count(), true), {{s.x}}, {{s.y.ref}});
  }

 private:
  std::shared_ptr<Normalizer> normalizer_;
};

Support normalizer_supports(const NodeView& node) {
  const std::string_view change = node.string_or("case_change_action", "NONE");
  if (change != "NONE" && change != "LOWER" && change != "UPPER")
    return Support::no(TENON_REJECT_ATTRIBUTE, "case_change_action \"" + std::string(change) + "\" is not known");
  return text_input(node, 0);
}

// ---- StringSplit --------------------------------------------------------------------------------------------------------

// As Python's str.split: without a delimiter at runs of white space, without empty parts. most < 0: no limit.
std::vector<std::string_view> split(std::string_view text, std::string_view delimiter, std::int64_t most) {
  std::vector<std::string_view> parts;
  constexpr std::string_view space = " \t\n\v\f\r\x1c\x1d\x1e\x1f";
  const bool at_space = delimiter.empty();
  for (;;) {
    if (at_space) {
      const std::size_t begin = text.find_first_not_of(space);
      if (begin == std::string_view::npos) return parts;
      text.remove_prefix(begin);
    }
    const bool more = most < 0 || static_cast<std::int64_t>(parts.size()) < most;
    const std::size_t end = !more ? std::string_view::npos : at_space ? text.find_first_of(space) : text.find(delimiter);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + (at_space ? 1 : delimiter.size()));
  }
}

struct SplitStep {
  static constexpr std::size_t max_rank = 32;
  const std::string* delimiter;
  std::int64_t most, count;
  std::size_t rank;
  const std::int64_t* dims;
  Ref x;
  Output y, z;

  void operator()(const StepContext& c) const {
    std::vector<std::vector<std::string_view>> parts;
    std::int64_t width = 0, sizes[max_rank + 1];
    for (std::int64_t i = 0; i < count; ++i) {
      parts.push_back(split(c.text(x, i), *delimiter, most));
      width = std::max(width, static_cast<std::int64_t>(parts.back().size()));
    }
    std::copy(dims, dims + rank, sizes);
    sizes[rank] = width;
    tenon_address address;
    if (y.wanted()) {
      if (!open_output(c, y, std::span<const std::int64_t>(sizes, rank + 1), address)) return;
      for (std::int64_t i = 0; i < count; ++i)
        for (std::int64_t k = 0; k < width; ++k) {
          const auto& row = parts[static_cast<std::size_t>(i)];
          if (!set_text(c, address, i * width + k,
                        k < static_cast<std::int64_t>(row.size()) ? row[static_cast<std::size_t>(k)] : std::string_view{}))
            return;
        }
    }
    if (z.wanted() && open_output(c, z, std::span<const std::int64_t>(sizes, rank), address))
      for (std::int64_t i = 0; i < count; ++i)
        data_of<std::int64_t>(address)[i] = static_cast<std::int64_t>(parts[static_cast<std::size_t>(i)].size());
  }
};

class StringSplitOp final : public Op {
 public:
  explicit StringSplitOp(const NodeView& node)
      : outputs_(node.output_count()),
        delimiter_(std::make_shared<std::string>(node.string_or("delimiter", ""))),
        most_(node.int_or("maxsplit", -1)) {}

  void plan(PlanBuilder& b) const override {
    const Shape& x = b.in(0);
    if (x.dims.size() > SplitStep::max_rank) throw Failure{TENON_UNIMPLEMENTED, "StringSplit of rank " + std::to_string(x.rank())};
    b.hold(delimiter_);
    SplitStep s{delimiter_.get(), most_, x.count(), x.dims.size(), b.keep(x.dims), b.in_ref(0), output_of(b, 0), {}};
    if (outputs_ > 1) s.z = output_of(b, 1);
    std::vector<Ref> writes;
    for (const Output* o : {&s.y, &s.z})
      if (o->wanted()) writes.push_back(o->ref);
    b.step("string split", s, text_options(x.count(), true), {{s.x}}, writes);
  }

 private:
  std::uint32_t outputs_;
  std::shared_ptr<std::string> delimiter_;
  std::int64_t most_;
};

// ---- RegexFullMatch -----------------------------------------------------------------------------------------------------

class RegexOp final : public Op {
 public:
  explicit RegexOp(std::string_view pattern) : regex_(compile(pattern)) {}

  static std::shared_ptr<re2::RE2> compile(std::string_view pattern) {
    re2::RE2::Options options;
    options.set_log_errors(false);
    return std::make_shared<re2::RE2>(re2::StringPiece(pattern.data(), pattern.size()), options);
  }

  void plan(PlanBuilder& b) const override {
    const std::int64_t count = b.in(0).count();
    const Ref x = b.in_ref(0), y = b.out_ref(0);
    if (count == 0) return;
    b.hold(regex_);
    StepOptions options = text_options(count);
    options.spmd = true;  // reads strings, writes bools
    b.step("regex full match", [=, regex = regex_.get()](const StepContext& c) {
      const auto [begin, end] = c.slice(count, 64);
      for (std::int64_t i = begin; i < end; ++i) {
        const std::string_view text = c.text(x, i);
        c.ptr<bool>(y)[i] = re2::RE2::FullMatch(re2::StringPiece(text.data(), text.size()), *regex);
      }
    }, options, {{x}}, {{y}});
  }

 private:
  std::shared_ptr<re2::RE2> regex_;
};

Support regex_supports(const NodeView& node) {
  const auto regex = RegexOp::compile(node.string_or("pattern", ""));
  if (!regex->ok()) return Support::no(TENON_REJECT_ATTRIBUTE, "pattern: " + regex->error());
  return text_input(node, 0);
}

Support split_supports(const NodeView& node) { return text_input(node, 0); }

constexpr OpRow rows[] = {
    {"", "StringConcat", concat_supports,
     [](const NodeView&, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<StringConcatOp>(); }},
    {"", "StringNormalizer", normalizer_supports,
     [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<StringNormalizerOp>(node); }, true},
    {"", "StringSplit", split_supports,
     [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<StringSplitOp>(node); }, true},
    {"", "RegexFullMatch", regex_supports,
     [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<RegexOp>(node.string_or("pattern", "")); }},
};

}  // namespace

std::span<const OpRow> string_rows() { return rows; }

}  // namespace tenon::cpu
