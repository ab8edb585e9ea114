// com.microsoft Tokenizer: each string becomes a row of tokens, cut at separators or found by an expression.
#include <algorithm>

#include <re2/re2.h>
#include <utf8proc.h>

#include "plugins/cpu/ops/elements.h"
#include "plugins/cpu/ops/microsoft.h"
#include "plugins/cpu/ops/movement.h"

namespace tenon::cpu {
namespace {

using Expression = std::unique_ptr<re2::RE2>;

Expression compile(std::string_view pattern) {
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_longest_match(true);
  return std::make_unique<re2::RE2>(re2::StringPiece(pattern.data(), pattern.size()), options);
}

// Bytes of the character at the front; a byte that is no UTF-8 counts for itself.
std::size_t character(std::string_view text) {
  utf8proc_int32_t code;
  const auto n =
      utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()), static_cast<utf8proc_ssize_t>(text.size()), &code);
  return n > 0 ? static_cast<std::size_t>(n) : 1;
}
std::int64_t characters(std::string_view text) {
  std::int64_t n = 0;
  for (; !text.empty(); text.remove_prefix(character(text))) ++n;
  return n;
}

struct Rules {
  std::vector<Expression> separators;
  Expression token;
  bool each_character = false, marked = false;
  std::int64_t shortest = 1;
  std::string padding;

  std::vector<std::string_view> tokens(std::string_view text) const {
    std::vector<std::string_view> found;
    if (each_character) {
      for (; !text.empty(); text.remove_prefix(found.back().size())) found.push_back(text.substr(0, character(text)));
      return found;
    }
    found = token ? matches(text) : pieces(text);
    std::erase_if(found, [&](std::string_view t) { return characters(t) < shortest; });
    return found;
  }

 private:
  std::vector<std::string_view> matches(std::string_view text) const {
    std::vector<std::string_view> found;
    re2::StringPiece match;
    std::size_t at = 0;
    while (at < text.size() &&
           token->Match(re2::StringPiece(text.data(), text.size()), at, text.size(), re2::RE2::UNANCHORED, &match, 1)) {
      const std::size_t begin = static_cast<std::size_t>(match.data() - text.data());
      if (!match.empty()) found.push_back(text.substr(begin, match.size()));
      at = match.empty() ? begin + (begin < text.size() ? character(text.substr(begin)) : 1) : begin + match.size();
    }
    return found;
  }

  // Each separator in turn cuts what the ones before it have left.
  std::vector<std::string_view> pieces(std::string_view text) const {
    std::vector<std::string_view> whole{text};
    for (const Expression& separator : separators) {
      std::vector<std::string_view> cut;
      for (const std::string_view piece : whole) {
        re2::StringPiece match;
        std::size_t begin = 0, at = 0;
        while (at < piece.size() &&
               separator->Match(re2::StringPiece(piece.data(), piece.size()), at, piece.size(), re2::RE2::UNANCHORED, &match, 1)) {
          const std::size_t end = static_cast<std::size_t>(match.data() - piece.data());
          if (match.empty()) {
            at = end + (end < piece.size() ? character(piece.substr(end)) : 1);
            continue;
          }
          cut.push_back(piece.substr(begin, end - begin));
          begin = at = end + match.size();
        }
        cut.push_back(piece.substr(std::min(begin, piece.size())));
      }
      whole = std::move(cut);
    }
    return whole;
  }
};

struct TokenizeStep {
  static constexpr std::size_t most_dims = 2;
  const Rules* rules;
  std::int64_t count;
  std::size_t rank;
  std::int64_t dims[most_dims];
  Ref x;
  Output y;

  void operator()(const StepContext& c) const {
    std::vector<std::vector<std::string_view>> rows;
    std::size_t width = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      rows.push_back(rules->tokens(c.text(x, static_cast<std::uint64_t>(i))));
      width = std::max(width, rows.back().size());
    }
    // Marks stand around tokens only where any string has some.
    if (rules->marked && width > 0) {
      width += 2;
      for (auto& row : rows) {
        row.insert(row.begin(), "\x02");
        row.push_back("\x03");
      }
    }
    std::int64_t sizes[most_dims + 1];
    std::copy(dims, dims + rank, sizes);
    sizes[rank] = static_cast<std::int64_t>(width);
    tenon_address address;
    if (!open_output(c, y, std::span<const std::int64_t>(sizes, rank + 1), address)) return;
    std::int64_t at = 0;
    for (const auto& row : rows)
      for (std::size_t k = 0; k < width; ++k)
        if (!set_text(c, address, at++, k < row.size() ? row[k] : std::string_view(rules->padding))) return;
  }
};

class TokenizerOp final : public Op {
 public:
  explicit TokenizerOp(const NodeView& node) : rules_(std::make_shared<Rules>()) {
    const auto separators = node.strings("separators");
    const std::string_view token = node.string_or("tokenexp", "");
    rules_->each_character = token == "." || (separators.size() == 1 && separators[0].size == 0);
    rules_->marked = node.int_or("mark", 0) != 0, rules_->shortest = node.int_or("mincharnum", 1),
    rules_->padding = node.string_or("pad_value", "");
    if (!token.empty()) rules_->token = compile(token);
    for (const tenon_str& s : separators) rules_->separators.push_back(compile({s.data, s.size}));
  }

  void plan(PlanBuilder& b) const override {
    const Shape& x = b.in(0);
    if (x.rank() < 1 || x.rank() > 2) throw Failure{TENON_INVALID_ARGUMENT, "the input must have shape [C] or [N, C]"};
    b.hold(rules_);
    TokenizeStep s{rules_.get(), x.count(), x.dims.size(), {}, b.in_ref(0), output_of(b, 0)};
    std::copy(x.dims.begin(), x.dims.end(), s.dims);
    b.step("tokenize", s, {.spmd = false, .est_ns = static_cast<double>(s.count) * 500, .allocates = true}, {{s.x}}, {{s.y.ref}});
  }

 private:
  std::shared_ptr<Rules> rules_;
};

Support supports(const NodeView& node) {
  if (!node.has_input(0) || node.dtype(0) != TENON_DTYPE_STRING) return Support::no(TENON_REJECT_DTYPE, "input 0 must be a string tensor");
  const auto separators = node.strings("separators");
  const std::string_view token = node.string_or("tokenexp", "");
  if (separators.empty() == token.empty()) return Support::no(TENON_REJECT_ATTRIBUTE, "one of separators and tokenexp must be given");
  if (node.int_or("mincharnum", 1) < 1) return Support::no(TENON_REJECT_ATTRIBUTE, "mincharnum must be positive");
  std::vector<std::string_view> patterns{token};
  for (const tenon_str& s : separators) patterns.push_back({s.data, s.size});
  for (const std::string_view p : patterns)
    if (const Expression e = compile(p); !e->ok()) return Support::no(TENON_REJECT_ATTRIBUTE, "\"" + std::string(p) + "\": " + e->error());
  return Support::yes();
}

constexpr OpRow table[] = {
    {"com.microsoft", "Tokenizer", supports,
     [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<TokenizerOp>(node); }, true},
};

}  // namespace

std::span<const OpRow> tokenizer_rows() { return table; }

}  // namespace tenon::cpu
