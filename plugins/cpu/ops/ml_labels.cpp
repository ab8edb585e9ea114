// LabelEncoder, CategoryMapper and OneHotEncoder: numbers and texts looked up in a table.
#include <cstring>
#include <unordered_map>

#include "plugins/cpu/ops/elements.h"
#include "plugins/cpu/ops/ml_common.h"

namespace tenon::cpu {
namespace {

enum class LabelKind : std::uint8_t { whole, real, text };

bool label_kind(std::int32_t dtype, LabelKind* out) {
  switch (dtype) {
    case TENON_DTYPE_STRING: *out = LabelKind::text; return true;
    case TENON_DTYPE_FLOAT:
    case TENON_DTYPE_DOUBLE: *out = LabelKind::real; return true;
    case TENON_DTYPE_INT64:
    case TENON_DTYPE_INT32:
    case TENON_DTYPE_INT16: *out = LabelKind::whole; return true;
    default: return false;
  }
}

// A list of labels of one kind.
struct LabelList {
  LabelKind kind = LabelKind::whole;
  std::vector<std::int64_t> whole;
  std::vector<double> real;
  std::vector<std::string> text;

  std::size_t size() const { return kind == LabelKind::text ? text.size() : kind == LabelKind::real ? real.size() : whole.size(); }
};

double real_at(const void* data, std::int32_t dtype, std::int64_t i) {
  return dtype == TENON_DTYPE_DOUBLE ? static_cast<const double*>(data)[i] : static_cast<double>(static_cast<const float*>(data)[i]);
}

// The attributes <name>_tensor, <name>_strings, <name>_int64s, <name>_floats, whichever is there; empty list: none.
LabelList read_labels(const NodeView& node, const std::string& name) {
  LabelList list;
  if (const tenon_const_tensor* t = node.tensor(name + "_tensor")) {
    std::int64_t n = 1;
    for (std::uint64_t d = 0; d < t->rank; ++d) n *= t->dims[d];
    if (n > 0) {
      if (!label_kind(t->dtype, &list.kind)) invalid_argument(name + "_tensor has element type " + std::to_string(t->dtype));
      for (std::int64_t i = 0; i < n; ++i) {
        if (list.kind == LabelKind::text) list.text.emplace_back(view_of(static_cast<const tenon_str*>(t->data)[i]));
        else if (list.kind == LabelKind::real) list.real.push_back(real_at(t->data, t->dtype, i));
        else list.whole.push_back(int_at(t->data, t->dtype, i));
      }
      return list;
    }
  }
  if (const auto strings = node.strings(name + "_strings"); !strings.empty()) {
    list.kind = LabelKind::text;
    for (const tenon_str& s : strings) list.text.emplace_back(view_of(s));
  } else if (const auto ints = node.ints(name + "_int64s"); !ints.empty()) {
    list.whole.assign(ints.begin(), ints.end());
  } else {
    list.kind = LabelKind::real;
    for (float v : node.floats(name + "_floats")) list.real.push_back(static_cast<double>(v));
  }
  return list;
}

// From a label to its position; the first of equal ones.
struct LabelIndex {
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view s) const { return std::hash<std::string_view>()(s); }
  };
  LabelKind kind = LabelKind::whole;
  std::unordered_map<std::int64_t, std::int64_t> whole;
  std::unordered_map<double, std::int64_t> real;
  std::unordered_map<std::string, std::int64_t, Hash, std::equal_to<>> text;
  std::int64_t nan = -1;

  explicit LabelIndex(const LabelList& keys) : kind(keys.kind) {
    for (std::size_t i = 0; i < keys.size(); ++i) {
      const std::int64_t at = static_cast<std::int64_t>(i);
      if (kind == LabelKind::text) text.emplace(keys.text[i], at);
      else if (kind == LabelKind::whole) whole.emplace(keys.whole[i], at);
      else if (keys.real[i] == keys.real[i]) real.emplace(keys.real[i], at);
      else if (nan < 0) nan = at;
    }
  }

  // Of element i of the operand; -1: not there. whole_reals: real numbers are cut to whole ones and looked up as such.
  std::int64_t find(const StepContext& c, Ref x, std::int32_t dtype, std::int64_t i, bool whole_reals) const {
    const auto at = [](const auto& map, const auto& key) {
      const auto found = map.find(key);
      return found == map.end() ? std::int64_t(-1) : found->second;
    };
    if (dtype == TENON_DTYPE_STRING) return at(text, c.text(x, i));
    const void* data = c.ptr<const char>(x);
    if (dtype == TENON_DTYPE_FLOAT || dtype == TENON_DTYPE_DOUBLE) {
      const double v = real_at(data, dtype, i);
      if (!whole_reals) return v != v ? nan : at(real, v);
      if (!(v > -9.2e18 && v < 9.2e18)) return -1;
      return at(whole, static_cast<std::int64_t>(v));
    }
    return at(whole, int_at(data, dtype, i));
  }
};

// y[i] = values[position of x[i]], or what stands behind the last value.
struct LookupStep {
  Ref x, y;
  const LabelIndex* keys;
  const LabelList* values;  // with the default at the end
  std::int64_t count;
  std::int32_t in_dtype, out_dtype;

  void operator()(const StepContext& c) const {
    const auto slice = c.slice(count);
    const std::int64_t last = static_cast<std::int64_t>(values->size()) - 1;
    for (std::int64_t i = slice.begin; i < slice.end; ++i) {
      const std::int64_t found = keys->find(c, x, in_dtype, i, false);
      const std::size_t at = static_cast<std::size_t>(found < 0 ? last : found);
      switch (out_dtype) {
        case TENON_DTYPE_STRING:
          if (!set_text(c, c.addresses[y.operand], i, values->text[at])) return;
          break;
        case TENON_DTYPE_FLOAT: c.ptr<float>(y)[i] = static_cast<float>(values->real[at]); break;
        case TENON_DTYPE_DOUBLE: c.ptr<double>(y)[i] = values->real[at]; break;
        case TENON_DTYPE_INT32: c.ptr<std::int32_t>(y)[i] = static_cast<std::int32_t>(values->whole[at]); break;
        case TENON_DTYPE_INT16: c.ptr<std::int16_t>(y)[i] = static_cast<std::int16_t>(values->whole[at]); break;
        default: c.ptr<std::int64_t>(y)[i] = values->whole[at]; break;
      }
    }
  }
};

class LookupOp final : public Op {
 public:
  LookupOp(const LabelList& keys, LabelList values) : keys_(keys), values_(std::move(values)) {
    if (values_.size() != keys.size() + 1) invalid_argument("keys and values differ in number");
  }

  void plan(PlanBuilder& builder) const override {
    const Shape &in = builder.in(0), &out = builder.out(0);
    LabelKind from, to;
    if (!label_kind(in.dtype, &from) || from != keys_.kind) invalid_argument("the keys are of another type than the input");
    if (!label_kind(out.dtype, &to) || to != values_.kind) invalid_argument("the values are of another type than the output");
    if (in.count() == 0) return;
    builder.step("LabelEncoder", LookupStep{builder.in_ref(0), builder.out_ref(0), &keys_, &values_, in.count(), in.dtype, out.dtype},
                 {.spmd = to != LabelKind::text, .est_ns = static_cast<double>(in.count()) * 30});
  }

 private:
  LabelIndex keys_;
  LabelList values_;
};

std::unique_ptr<Op> make_encoder(const NodeView& node, CompileContext&) {
  LabelList values = read_labels(node, "values");
  const tenon_const_tensor* fallback = node.tensor("default_tensor");
  LabelKind kind = values.kind;
  if (fallback && (!label_kind(fallback->dtype, &kind) || kind != values.kind))
    invalid_argument("default_tensor is of another type than the values");
  if (values.kind == LabelKind::text) {
    values.text.emplace_back(fallback ? view_of(*static_cast<const tenon_str*>(fallback->data))
                                      : node.string_or("default_string", "_Unused"));
  } else if (values.kind == LabelKind::real) {
    values.real.push_back(fallback ? real_at(fallback->data, fallback->dtype, 0)
                                   : static_cast<double>(node.float_or("default_float", -0.0f)));
  } else {
    values.whole.push_back(fallback ? int_at(fallback->data, fallback->dtype, 0) : node.int_or("default_int64", -1));
  }
  return std::make_unique<LookupOp>(read_labels(node, "keys"), std::move(values));
}

std::unique_ptr<Op> make_mapper(const NodeView& node, CompileContext&) {
  LabelList numbers, texts;
  texts.kind = LabelKind::text;
  for (std::int64_t v : node.ints("cats_int64s")) numbers.whole.push_back(v);
  for (const tenon_str& s : node.strings("cats_strings")) texts.text.emplace_back(view_of(s));
  if (node.dtype(0) == TENON_DTYPE_STRING) {
    numbers.whole.push_back(node.int_or("default_int64", -1));
    return std::make_unique<LookupOp>(texts, std::move(numbers));
  }
  texts.text.emplace_back(node.string_or("default_string", "_Unused"));
  return std::make_unique<LookupOp>(numbers, std::move(texts));
}

// ---- OneHotEncoder ---------------------------------------------------------------------------------------------------

struct OneHotStep {
  Ref x, y;
  const LabelIndex* keys;
  std::int64_t count, classes;
  std::int32_t dtype;
  bool zeros;

  void operator()(const StepContext& c) const {
    const auto slice = c.slice(count);
    for (std::int64_t i = slice.begin; i < slice.end; ++i) {
      float* row = c.ptr<float>(y) + i * classes;
      std::fill(row, row + classes, 0.0f);
      const std::int64_t at = keys->find(c, x, dtype, i, true);
      if (at >= 0) {
        row[at] = 1;
      } else if (!zeros) {
        c.fail(TENON_INVALID_ARGUMENT, "element " + std::to_string(i) + " is none of the categories");
        return;
      }
    }
  }
};

class OneHotOp final : public Op {
 public:
  OneHotOp(const LabelList& keys, bool zeros) : keys_(keys), classes_(static_cast<std::int64_t>(keys.size())), zeros_(zeros) {}

  void plan(PlanBuilder& builder) const override {
    const Shape& in = builder.in(0);
    if ((in.dtype == TENON_DTYPE_STRING) != (keys_.kind == LabelKind::text))
      invalid_argument("the categories are of another type than the input");
    if (in.count() == 0) return;
    builder.step("OneHotEncoder", OneHotStep{builder.in_ref(0), builder.out_ref(0), &keys_, in.count(), classes_, in.dtype, zeros_},
                 {.est_ns = static_cast<double>(in.count() * (30 + classes_))});
  }

 private:
  LabelIndex keys_;
  std::int64_t classes_;
  bool zeros_;
};

std::unique_ptr<Op> make_one_hot(const NodeView& node, CompileContext&) {
  LabelList keys;
  for (std::int64_t v : node.ints("cats_int64s")) keys.whole.push_back(v);
  if (keys.whole.empty()) {
    keys.kind = LabelKind::text;
    for (const tenon_str& s : node.strings("cats_strings")) keys.text.emplace_back(view_of(s));
  }
  return std::make_unique<OneHotOp>(keys, node.int_or("zeros", 1) != 0);
}

Support supports_labels(const NodeView& node) {
  LabelKind kind;
  if (!label_kind(node.dtype(0), &kind)) return refuse_dtype(node.dtype(0));
  if (!node.has_output(0) || !label_kind(node.output(0).dtype, &kind)) return refuse_dtype(node.has_output(0) ? node.output(0).dtype : 0);
  return Support::yes();
}

Support supports_mapper(const NodeView& node) {
  const std::int32_t dtype = node.dtype(0);
  return dtype == TENON_DTYPE_STRING || dtype == TENON_DTYPE_INT64 ? Support::yes() : refuse_dtype(dtype);
}

Support supports_one_hot(const NodeView& node) { return node.dtype(0) == TENON_DTYPE_STRING ? Support::yes() : supports_ml(node); }

}  // namespace

std::span<const OpRow> ml_label_rows() {
  static const OpRow rows[] = {
      {"ai.onnx.ml", "LabelEncoder", supports_labels, make_encoder},
      {"ai.onnx.ml", "CategoryMapper", supports_mapper, make_mapper},
      {"ai.onnx.ml", "OneHotEncoder", supports_one_hot, make_one_hot},
  };
  return rows;
}

}  // namespace tenon::cpu
