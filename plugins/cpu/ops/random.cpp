// RandomNormal, RandomUniform (and Like), Multinomial, Bernoulli, Dropout in training mode.
//
// Numbers come from a counter-based generator: element i depends on the seed and i alone, not on the worker. With a seed
// every run gives the same numbers; without one a run draws a stream number first. Dropout follows the ONNX reference, which
// is numpy's Mersenne twister, so that a seed gives the mask that other runtimes give.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <numbers>
#include <random>

#include "plugins/cpu/families.h"
#include "plugins/cpu/ops/elements.h"

namespace tenon::cpu {
namespace {

// Philox 4x32 with 10 rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3").
struct Philox {
  std::uint64_t key, stream;

  struct Block {
    std::uint32_t words[4];
  };
  Block operator()(std::uint64_t counter) const {
    Block b{{static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32), static_cast<std::uint32_t>(stream),
             static_cast<std::uint32_t>(stream >> 32)}};
    std::uint32_t k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
    for (int round = 0; round < 10; ++round, k0 += 0x9e3779b9, k1 += 0xbb67ae85) {
      const std::uint64_t p0 = std::uint64_t{0xd2511f53} * b.words[0], p1 = std::uint64_t{0xcd9e8d57} * b.words[2];
      b = {{static_cast<std::uint32_t>(p1 >> 32) ^ b.words[1] ^ k0, static_cast<std::uint32_t>(p1),
            static_cast<std::uint32_t>(p0 >> 32) ^ b.words[3] ^ k1, static_cast<std::uint32_t>(p0)}};
    }
    return b;
  }
  // In [0, 1), 53 bits; two numbers a block.
  double uniform(std::int64_t i) const {
    const Block b = (*this)(static_cast<std::uint64_t>(i) / 2);
    const std::uint32_t* w = b.words + i % 2 * 2;
    return static_cast<double>((static_cast<std::uint64_t>(w[0]) << 21) ^ (w[1] >> 11)) * 0x1p-53;
  }
  // Standard normal numbers i and i + 1 for even i (Box and Muller).
  void normal(std::int64_t i, double* pair) const {
    const double radius = std::sqrt(-2 * std::log(1 - uniform(i))), angle = 2 * std::numbers::pi * uniform(i + 1);
    pair[0] = radius * std::cos(angle), pair[1] = radius * std::sin(angle);
  }
};

// Where the numbers of a node start. Copied into the plan's steps.
class Source {
 public:
  // Seeds are floats; their bits are the key. Without one the process draws a key.
  explicit Source(const NodeView& node) : runs_(std::make_shared<std::atomic<std::uint64_t>>(0)) {
    seeded_ = node.attribute("seed") != nullptr;
    if (seeded_) {
      const float seed = node.float_or("seed", 0);
      std::uint32_t bits;
      std::memcpy(&bits, &seed, sizeof(bits));
      key_ = bits;
    } else {
      std::random_device device;
      key_ = static_cast<std::uint64_t>(device()) << 32 | device();
    }
  }

  struct Drawn {
    std::uint64_t key;
    Ref stream;  // not present: stream 0
    Philox open(const StepContext& c) const { return {key, stream.present() ? *c.ptr<const std::uint64_t>(stream) : 0}; }
  };
  // Emits the step that draws this run's stream, where there is no seed.
  Drawn draw(PlanBuilder& b) const {
    if (seeded_) return {key_, {}};
    const Ref stream = b.temp(sizeof(std::uint64_t));
    b.hold(runs_);
    StepOptions one;
    one.spmd = false;
    b.step("draw", [stream, runs = runs_.get()](const StepContext& c) { *c.ptr<std::uint64_t>(stream) = runs->fetch_add(1); }, one,
           std::span<const Ref>{&stream, 0}, {{stream}});
    return {key_, stream};
  }

 private:
  bool seeded_;
  std::uint64_t key_;
  std::shared_ptr<std::atomic<std::uint64_t>> runs_;
};

StepOptions costly(std::int64_t count, double ns) {
  StepOptions o;
  o.est_ns = static_cast<double>(count) * ns;
  return o;
}

// ---- RandomNormal, RandomUniform ----------------------------------------------------------------------------------------

class RandomOp final : public Op {
 public:
  explicit RandomOp(const NodeView& node) : source_(node), normal_(node.op_type().starts_with("RandomNormal")) {
    if (normal_) {
      shift_ = node.float_or("mean", 0), scale_ = node.float_or("scale", 1);
    } else {
      shift_ = node.float_or("low", 0), scale_ = static_cast<double>(node.float_or("high", 1)) - shift_;
    }
  }

  void plan(PlanBuilder& b) const override {
    const std::int64_t count = b.out(0).count();
    if (count == 0) return;
    if (b.out(0).dtype == TENON_DTYPE_DOUBLE) emit<double>(b, count);
    else emit<float>(b, count);
  }

 private:
  template <class T>
  void emit(PlanBuilder& b, std::int64_t count) const {
    const Source::Drawn source = source_.draw(b);
    const Ref dst = b.out_ref(0);
    std::vector<Ref> reads;
    if (source.stream.present()) reads.push_back(source.stream);
    b.step("random", [=, normal = normal_, shift = shift_, scale = scale_](const StepContext& c) {
      const Philox philox = source.open(c);
      const auto [begin, end] = c.slice(count, 64);
      T* y = c.ptr<T>(dst);
      for (std::int64_t i = begin; i < end; i += 2) {  // a slice begins at an even number
        double pair[2];
        if (normal) philox.normal(i, pair);
        else pair[0] = philox.uniform(i), pair[1] = philox.uniform(i + 1);
        y[i] = static_cast<T>(shift + scale * pair[0]);
        if (i + 1 < end) y[i + 1] = static_cast<T>(shift + scale * pair[1]);
      }
    }, costly(count, normal_ ? 50 : 10), reads, {{dst}});
  }

  Source source_;
  bool normal_;
  double shift_, scale_;
};

Support random_supports(const NodeView& node) {
  const std::int32_t dtype = node.has_output(0) ? compute_dtype(node.output(0).dtype) : 0;
  if (dtype != TENON_DTYPE_FLOAT && dtype != TENON_DTYPE_DOUBLE)
    return Support::no(TENON_REJECT_DTYPE, "the output must be floating point");
  return Support::yes();
}

// ---- Bernoulli ----------------------------------------------------------------------------------------------------------

class BernoulliOp final : public Op {
 public:
  explicit BernoulliOp(const NodeView& node) : source_(node) {}

  void plan(PlanBuilder& b) const override {
    const std::int64_t count = b.out(0).count();
    if (b.in(0).count() != count) throw Failure{TENON_INVALID_ARGUMENT, "input and output differ in size"};
    if (count == 0) return;
    if (b.in(0).dtype == TENON_DTYPE_DOUBLE) emit<double>(b, count);
    else emit<float>(b, count);
  }

 private:
  // The number 1 of a type, as bytes.
  static std::uint64_t one_of(std::int32_t dtype) {
    std::uint64_t bits = 1;
    const float f = 1;
    const double d = 1;
    if (dtype == TENON_DTYPE_FLOAT) std::memcpy(&bits, &f, sizeof(f)), bits &= 0xffffffff;
    if (dtype == TENON_DTYPE_DOUBLE) std::memcpy(&bits, &d, sizeof(d));
    return bits;
  }
  template <class T>
  void emit(PlanBuilder& b, std::int64_t count) const {
    const Source::Drawn source = source_.draw(b);
    const Ref src = b.in_ref(0), dst = b.out_ref(0);
    const std::uint64_t one = one_of(b.out(0).dtype);
    const std::size_t bytes = static_cast<std::size_t>(element_bytes(element_of(b.out(0).dtype)));
    std::vector<Ref> reads{src};
    if (source.stream.present()) reads.push_back(source.stream);
    b.step("bernoulli", [=](const StepContext& c) {
      const Philox philox = source.open(c);
      const auto [begin, end] = c.slice(count, 64);
      const T* p = c.ptr<const T>(src);
      char* y = c.ptr<char>(dst);
      for (std::int64_t i = begin; i < end; ++i) {
        const std::uint64_t value = philox.uniform(i) < static_cast<double>(p[i]) ? one : 0;
        std::memcpy(y + static_cast<std::size_t>(i) * bytes, &value, bytes);
      }
    }, costly(count, 12), reads, {{dst}});
  }

  Source source_;
};

Support float_input(const NodeView& node) {
  if (node.dtype(0) != TENON_DTYPE_FLOAT && node.dtype(0) != TENON_DTYPE_DOUBLE)
    return Support::no(TENON_REJECT_DTYPE, "the input must be floating point");
  return Support::yes();
}
Support bernoulli_supports(const NodeView& node) {
  const std::int32_t dtype = node.has_output(0) ? compute_dtype(node.output(0).dtype) : 0;
  if (dtype != TENON_DTYPE_FLOAT && dtype != TENON_DTYPE_DOUBLE && dtype != TENON_DTYPE_BOOL && !is_integer(dtype))
    return Support::no(TENON_REJECT_DTYPE, "the output's element type is not supported");
  return float_input(node);
}

// ---- Multinomial --------------------------------------------------------------------------------------------------------

class MultinomialOp final : public Op {
 public:
  explicit MultinomialOp(const NodeView& node) : source_(node) {}

  void plan(PlanBuilder& b) const override {
    const Shape &x = b.in(0), &y = b.out(0);
    if (x.rank() != 2 || y.rank() != 2 || x[0] != y[0])
      throw Failure{TENON_INVALID_ARGUMENT, "the input must be [batch, classes]"};
    if (y.count() == 0) return;
    if (x[1] == 0) throw Failure{TENON_INVALID_ARGUMENT, "there is no class to draw"};
    if (x.dtype == TENON_DTYPE_DOUBLE) emit<double>(b, x[0], x[1], y[1]);
    else emit<float>(b, x[0], x[1], y[1]);
  }

 private:
  template <class T>
  void emit(PlanBuilder& b, std::int64_t batch, std::int64_t classes, std::int64_t samples) const {
    const Source::Drawn source = source_.draw(b);
    const Ref src = b.in_ref(0), dst = b.out_ref(0);
    const std::uint64_t bytes = static_cast<std::uint64_t>(classes) * sizeof(double);
    const Ref scratch = b.scratch(bytes);
    const bool wide = b.out(0).dtype == TENON_DTYPE_INT64;
    std::vector<Ref> reads{src};
    if (source.stream.present()) reads.push_back(source.stream);
    b.step("multinomial", [=](const StepContext& c) {
      const Philox philox = source.open(c);
      const auto [begin, end] = c.slice(batch);
      double* sums = worker_scratch<double>(c, scratch, bytes);
      for (std::int64_t row = begin; row < end; ++row) {
        const T* x = c.ptr<const T>(src) + row * classes;
        double top = -INFINITY, total = 0;
        for (std::int64_t k = 0; k < classes; ++k) top = std::max(top, static_cast<double>(x[k]));
        for (std::int64_t k = 0; k < classes; ++k) sums[k] = total += std::exp(static_cast<double>(x[k]) - top);
        if (!(total > 0) || std::isinf(total))
          return c.fail(TENON_INVALID_ARGUMENT, "the log-probabilities of row " + std::to_string(row) + " are not finite");
        for (std::int64_t s = 0; s < samples; ++s) {
          const std::int64_t at = row * samples + s;
          const std::int64_t k =
              std::min<std::int64_t>(std::upper_bound(sums, sums + classes, philox.uniform(at) * total) - sums, classes - 1);
          if (wide) c.ptr<std::int64_t>(dst)[at] = k;
          else c.ptr<std::int32_t>(dst)[at] = static_cast<std::int32_t>(k);
        }
      }
    }, costly(batch * (classes + samples), 20), reads, {{dst}});
  }

  Source source_;
};

// ---- Dropout ------------------------------------------------------------------------------------------------------------

class DropoutOp final : public Op {
 public:
  explicit DropoutOp(const NodeView& node) : outputs_(node.output_count()), seeded_(node.attribute("seed") != nullptr) {
    seed_ = static_cast<std::uint32_t>(seeded_ ? node.int_or("seed", 0) : static_cast<std::int64_t>(std::random_device{}()));
  }

  void plan(PlanBuilder& b) const override {
    const std::int64_t count = b.in(0).count();
    if (count == 0) return;
    if (b.in(0).dtype == TENON_DTYPE_DOUBLE) emit<double>(b, count);
    else emit<float>(b, count);
  }

 private:
  template <class T>
  void emit(PlanBuilder& b, std::int64_t count) const {
    const auto given = [&](std::uint32_t i) { return b.in(i).dtype != TENON_DTYPE_UNDEFINED && b.in(i).count() > 0; };
    const Ref src = b.in_ref(0), dst = b.out_ref(0), ratio = given(1) ? b.in_ref(1) : Ref{}, training = given(2) ? b.in_ref(2) : Ref{};
    const Ref mask = outputs_ > 1 ? b.out_ref(1) : Ref{};
    const bool wide_ratio = b.in(1).dtype == TENON_DTYPE_DOUBLE;
    auto runs = std::make_shared<std::atomic<std::uint32_t>>(0);
    b.hold(runs);
    StepOptions one = costly(count, 15);
    one.spmd = false;  // the reference's generator is sequential
    b.step(
        "dropout",
        [=, seed = seed_, fresh = !seeded_, runs = runs.get()](const StepContext& c) {
          const double drop = !ratio.present() ? 0.5
                              : wide_ratio     ? *c.ptr<const double>(ratio)
                                               : static_cast<double>(*c.ptr<const float>(ratio));
          const T* x = c.ptr<const T>(src);
          T* y = dst.present() ? c.ptr<T>(dst) : nullptr;
          bool* kept = mask.present() ? c.ptr<bool>(mask) : nullptr;
          if (drop == 0 || !training.present() || !*c.ptr<const bool>(training)) {
            if (y && y != x) std::copy(x, x + count, y);
            if (kept) std::fill(kept, kept + count, true);
            return;
          }
          std::mt19937 twister(seed + (fresh ? runs->fetch_add(1) : 0));
          const T scale = static_cast<T>(1 / (1 - drop));
          for (std::int64_t i = 0; i < count; ++i) {
            const std::uint32_t high = static_cast<std::uint32_t>(twister()) >> 5, low = static_cast<std::uint32_t>(twister()) >> 6;
            const bool keep = (high * 67108864.0 + low) / 9007199254740992.0 >= drop;
            if (y) y[i] = keep ? x[i] * scale : T{0};
            if (kept) kept[i] = keep;
          }
        },
        one);
  }

  std::uint32_t outputs_;
  bool seeded_;
  std::uint32_t seed_;
};

Support dropout_supports(const NodeView& node) {
  if (node.has_input(1) && node.dtype(1) != TENON_DTYPE_FLOAT && node.dtype(1) != TENON_DTYPE_DOUBLE)
    return Support::no(TENON_REJECT_DTYPE, "ratio must be floating point");
  if (node.has_input(2) && node.dtype(2) != TENON_DTYPE_BOOL) return Support::no(TENON_REJECT_DTYPE, "training_mode must be bool");
  return float_input(node);
}

template <class T>
std::unique_ptr<Op> make(const NodeView& node, CompileContext&) {
  return std::make_unique<T>(node);
}

constexpr OpRow rows[] = {
    {"", "RandomNormal", random_supports, make<RandomOp>},     {"", "RandomNormalLike", random_supports, make<RandomOp>},
    {"", "RandomUniform", random_supports, make<RandomOp>},    {"", "RandomUniformLike", random_supports, make<RandomOp>},
    {"", "Bernoulli", bernoulli_supports, make<BernoulliOp>},  {"", "Multinomial", float_input, make<MultinomialOp>},
    {"", "Dropout", dropout_supports, make<DropoutOp>},
};

}  // namespace

std::span<const OpRow> random_rows() { return rows; }

}  // namespace tenon::cpu
