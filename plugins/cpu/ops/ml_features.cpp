// Scaler, Normalizer, Imputer, Binarizer, FeatureVectorizer and ArrayFeatureExtractor.
#include <limits>

#include "plugins/cpu/ops/elements.h"
#include "plugins/cpu/ops/ml_common.h"

namespace tenon::cpu {
namespace {

std::int64_t last_dim(const Shape& shape) { return shape.rank() > 0 ? shape[-1] : 1; }

// ---- Scaler: (x - offset) * scale ------------------------------------------------------------------------------------

struct ScalerStep {
  Ref x, y;
  const float *offset, *scale;  // null: 0 and 1
  std::int64_t offset_count, scale_count, rows, features;
  std::int32_t dtype;

  void operator()(const StepContext& c) const {
    const auto slice = c.slice(rows);
    float* out = c.ptr<float>(y);
    visit_ml(dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      const T* in = c.ptr<const T>(x);
      for (std::int64_t r = slice.begin; r < slice.end; ++r) {
        for (std::int64_t i = 0; i < features; ++i) {
          const float o = offset ? offset[offset_count == 1 ? 0 : i] : 0.0f, s = scale ? scale[scale_count == 1 ? 0 : i] : 1.0f;
          out[r * features + i] = (static_cast<float>(in[r * features + i]) - o) * s;
        }
      }
    });
  }
};

class ScalerOp final : public Op {
 public:
  explicit ScalerOp(const NodeView& node) {
    const auto offset = node.floats("offset"), scale = node.floats("scale");
    offset_.assign(offset.begin(), offset.end());
    scale_.assign(scale.begin(), scale.end());
  }

  void plan(PlanBuilder& builder) const override {
    const Shape& in = builder.in(0);
    const std::int64_t features = last_dim(in), count = in.count();
    for (const std::vector<float>* v : {&offset_, &scale_}) {
      if (v->size() > 1 && static_cast<std::int64_t>(v->size()) != features)
        invalid_argument("offset and scale need one number or one a feature");
    }
    if (count == 0) return;
    builder.step("Scaler",
                 ScalerStep{builder.in_ref(0), builder.out_ref(0), offset_.empty() ? nullptr : offset_.data(),
                            scale_.empty() ? nullptr : scale_.data(), static_cast<std::int64_t>(offset_.size()),
                            static_cast<std::int64_t>(scale_.size()), count / features, features, in.dtype},
                 {.est_ns = static_cast<double>(count)});
  }

 private:
  std::vector<float> offset_, scale_;
};

// ---- Normalizer: each row by its largest element, sum or length ------------------------------------------------------

enum class RowNorm : std::uint8_t { max, l1, l2 };

struct NormalizerStep {
  Ref x, y;
  std::int64_t rows, features;
  std::int32_t dtype;
  RowNorm norm;

  void operator()(const StepContext& c) const {
    const auto slice = c.slice(rows);
    visit_ml(dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      for (std::int64_t r = slice.begin; r < slice.end; ++r) {
        const T* in = c.ptr<const T>(x) + r * features;
        float* out = c.ptr<float>(y) + r * features;
        float size = norm == RowNorm::max ? -std::numeric_limits<float>::infinity() : 0.0f;
        for (std::int64_t i = 0; i < features; ++i) {
          const float v = static_cast<float>(in[i]);
          if (norm == RowNorm::max) size = std::max(size, v);
          else size += norm == RowNorm::l1 ? std::abs(v) : v * v;
        }
        if (norm == RowNorm::l2) size = std::sqrt(size);
        if (size == 0) size = 1;
        for (std::int64_t i = 0; i < features; ++i) out[i] = static_cast<float>(in[i]) / size;
      }
    });
  }
};

class NormalizerOp final : public Op {
 public:
  explicit NormalizerOp(const NodeView& node) {
    const std::string_view norm = node.string_or("norm", "MAX");
    norm_ = norm == "L1" ? RowNorm::l1 : norm == "L2" ? RowNorm::l2 : RowNorm::max;
  }

  void plan(PlanBuilder& builder) const override {
    const Shape& in = builder.in(0);
    const std::int64_t count = in.count(), features = last_dim(in);
    if (count == 0) return;
    builder.step("Normalizer", NormalizerStep{builder.in_ref(0), builder.out_ref(0), count / features, features, in.dtype, norm_},
                 {.est_ns = static_cast<double>(count) * 2});
  }

 private:
  RowNorm norm_;
};

// ---- Imputer: one value by another -----------------------------------------------------------------------------------

struct ImputerStep {
  Ref x, y;
  const float* floats;  // null: whole numbers
  const std::int64_t* integers;
  std::int64_t value_count, count, features, replaced_integer;
  float replaced;
  std::int32_t dtype;

  void operator()(const StepContext& c) const {
    const auto slice = c.slice(count);
    visit_ml(dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      const T* in = c.ptr<const T>(x);
      T* out = c.ptr<T>(y);
      for (std::int64_t i = slice.begin; i < slice.end; ++i) {
        const std::int64_t at = value_count == 1 ? 0 : i % features;
        bool gone;
        if constexpr (std::is_integral_v<T>) gone = static_cast<std::int64_t>(in[i]) == replaced_integer;
        else gone = replaced != replaced ? in[i] != in[i] : in[i] == static_cast<T>(replaced);
        out[i] = !gone ? in[i] : floats ? static_cast<T>(floats[at]) : static_cast<T>(integers[at]);
      }
    });
  }
};

class ImputerOp final : public Op {
 public:
  explicit ImputerOp(const NodeView& node)
      : replaced_(node.float_or("replaced_value_float", 0)), replaced_integer_(node.int_or("replaced_value_int64", 0)) {
    const auto floats = node.floats("imputed_value_floats");
    const auto integers = node.ints("imputed_value_int64s");
    floats_.assign(floats.begin(), floats.end());
    integers_.assign(integers.begin(), integers.end());
  }

  void plan(PlanBuilder& builder) const override {
    const Shape& in = builder.in(0);
    const bool whole = !is_float(in.dtype);
    const std::int64_t values = static_cast<std::int64_t>(whole ? integers_.size() : floats_.size()), features = last_dim(in);
    if (values == 0) invalid_argument("no imputed values of the input's type");
    if (values != 1 && values != features) invalid_argument("imputed values: one, or one a feature");
    if (in.count() == 0) return;
    builder.inplace(0, 0);
    builder.step("Imputer",
                 ImputerStep{builder.in_ref(0), builder.out_ref(0), whole ? nullptr : floats_.data(), integers_.data(), values, in.count(),
                             features, replaced_integer_, replaced_, in.dtype},
                 {.est_ns = static_cast<double>(in.count()) * 2});
  }

 private:
  float replaced_;
  std::int64_t replaced_integer_;
  std::vector<float> floats_;
  std::vector<std::int64_t> integers_;
};

// ---- Binarizer -------------------------------------------------------------------------------------------------------

struct BinarizerStep {
  Ref x, y;
  std::int64_t count;
  float threshold;
  std::int32_t dtype;

  void operator()(const StepContext& c) const {
    const auto slice = c.slice(count, 16);
    visit_ml(dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      const T* in = c.ptr<const T>(x);
      T* out = c.ptr<T>(y);
      for (std::int64_t i = slice.begin; i < slice.end; ++i)
        out[i] = static_cast<double>(in[i]) > static_cast<double>(threshold) ? T(1) : T(0);
    });
  }
};

class BinarizerOp final : public Op {
 public:
  explicit BinarizerOp(const NodeView& node) : threshold_(node.float_or("threshold", 0)) {}

  void plan(PlanBuilder& builder) const override {
    const Shape& in = builder.in(0);
    if (in.count() == 0) return;
    builder.inplace(0, 0);
    builder.step("Binarizer", BinarizerStep{builder.in_ref(0), builder.out_ref(0), in.count(), threshold_, in.dtype},
                 {.est_ns = static_cast<double>(in.count())});
  }

 private:
  float threshold_;
};

// ---- FeatureVectorizer: inputs beside each other, cut or filled with zeros to inputdimensions -------------------------

struct VectorizerStep {
  Ref x, y;
  std::int64_t rows, features, width, offset, total;
  std::int32_t dtype;

  void operator()(const StepContext& c) const {
    const auto slice = c.slice(rows);
    visit_ml(dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      for (std::int64_t r = slice.begin; r < slice.end; ++r) {
        const T* in = c.ptr<const T>(x) + r * features;
        float* out = c.ptr<float>(y) + r * total + offset;
        for (std::int64_t i = 0; i < width; ++i) out[i] = i < features ? static_cast<float>(in[i]) : 0.0f;
      }
    });
  }
};

class VectorizerOp final : public Op {
 public:
  explicit VectorizerOp(const NodeView& node) : inputs_(node.input_count()) {
    const auto widths = node.ints("inputdimensions");
    widths_.assign(widths.begin(), widths.end());
  }

  void plan(PlanBuilder& builder) const override {
    const Shape& out = builder.out(0);
    if (out.rank() != 2) invalid_argument("FeatureVectorizer makes a matrix");
    std::int64_t offset = 0;
    for (std::uint32_t i = 0; i < inputs_; ++i) {
      const MlMatrix matrix(builder.in(i));
      VectorizerStep step{};
      step.x = builder.in_ref(i), step.y = builder.out_ref(0), step.rows = matrix.rows, step.features = matrix.features;
      step.width = i < widths_.size() ? widths_[i] : matrix.features;
      step.offset = offset, step.total = out[1], step.dtype = builder.in(i).dtype;
      offset += step.width;
      if (step.width < 0 || offset > out[1] || matrix.rows != out[0]) invalid_argument("the inputs do not fit beside each other");
      const Ref reads[] = {step.x}, writes[] = {step.y};
      if (matrix.rows > 0 && step.width > 0) {
        builder.step("FeatureVectorizer", step, {.est_ns = static_cast<double>(matrix.rows * step.width)}, reads, writes);
      }
    }
    if (offset != out[1]) invalid_argument("the inputs do not fill the output");
  }

 private:
  std::uint32_t inputs_;
  std::vector<std::int64_t> widths_;
};

// ---- ArrayFeatureExtractor: columns by index -------------------------------------------------------------------------

struct ExtractStep {
  Ref x, index, y;
  Element element;
  std::int64_t rows, features, count;

  void operator()(const StepContext& c) const {
    const std::int64_t* at = c.ptr<const std::int64_t>(index);
    for (std::int64_t k = 0; k < count; ++k) {
      if (at[k] >= 0 && at[k] < features) continue;
      c.fail(TENON_OUT_OF_RANGE, "index " + std::to_string(at[k]) + " is outside " + std::to_string(features) + " features");
      return;
    }
    const Copier copier(c, element, x, y);
    const auto slice = c.slice(rows);
    for (std::int64_t r = slice.begin; r < slice.end; ++r) {
      for (std::int64_t k = 0; k < count; ++k) copier.copy(r * count + k, r * features + at[k], 1);
    }
  }
};

class ExtractOp final : public Op {
 public:
  void plan(PlanBuilder& builder) const override {
    const Shape& in = builder.in(0);
    const std::int64_t features = last_dim(in), count = builder.in(1).count();
    const std::int64_t rows = features > 0 ? in.count() / features : 0;
    if (builder.out(0).count() != rows * count) invalid_argument("unexpected shape of the extracted features");
    if (rows * count == 0) return;
    const Element element = element_of(in.dtype);
    builder.step("ArrayFeatureExtractor",
                 ExtractStep{builder.in_ref(0), builder.in_ref(1), builder.out_ref(0), element, rows, features, count},
                 {.spmd = element != Element::text, .est_ns = static_cast<double>(rows * count) * 3});
  }
};

Support supports_normalizer(const NodeView& node) {
  const std::string_view norm = node.string_or("norm", "MAX");
  if (norm != "MAX" && norm != "L1" && norm != "L2") return Support::no(TENON_REJECT_ATTRIBUTE, "norm " + std::string(norm));
  return supports_ml(node);
}

Support supports_vectorizer(const NodeView& node) {
  for (std::uint32_t i = 0; i < node.input_count(); ++i) {
    if (!node.has_input(i) || !visit_ml(node.dtype(i), [](auto) {})) return refuse_dtype(node.dtype(i));
  }
  return Support::yes();
}

Support supports_extract(const NodeView& node) {
  if (node.dtype(1) != TENON_DTYPE_INT64) return refuse_dtype(node.dtype(1));
  return node.dtype(0) == TENON_DTYPE_STRING ? Support::yes() : supports_ml(node);
}

template <class T>
std::unique_ptr<Op> make(const NodeView& node, CompileContext&) {
  if constexpr (std::is_default_constructible_v<T>) return std::make_unique<T>();
  else return std::make_unique<T>(node);
}

}  // namespace

std::span<const OpRow> ml_feature_rows() {
  static const OpRow rows[] = {
      {"ai.onnx.ml", "Scaler", supports_ml, make<ScalerOp>},
      {"ai.onnx.ml", "Normalizer", supports_normalizer, make<NormalizerOp>},
      {"ai.onnx.ml", "Imputer", supports_ml, make<ImputerOp>},
      {"ai.onnx.ml", "Binarizer", supports_ml, make<BinarizerOp>},
      {"ai.onnx.ml", "FeatureVectorizer", supports_vectorizer, make<VectorizerOp>},
      {"ai.onnx.ml", "ArrayFeatureExtractor", supports_extract, make<ExtractOp>},
  };
  return rows;
}

}  // namespace tenon::cpu
