// Adagrad, Adam, Momentum (ai.onnx.preview.training): one step of an optimiser, for any number of tensors at once.
//
// Inputs: R, T, then all tensors, all their gradients, all their states; outputs: the new tensors, then the new states.
#include <cmath>

#include "plugins/cpu/families.h"
#include "plugins/cpu/ops/reduce_types.h"

namespace tenon::cpu {
namespace {

constexpr const char* domain = "ai.onnx.preview.training";

enum class Rule : std::uint8_t { adagrad, adam, momentum, nesterov };
constexpr std::uint32_t states_of(Rule rule) { return rule == Rule::adam ? 2 : 1; }

struct Coefficients {
  double alpha, beta, decay, epsilon, norm, norm_post;
};

// One tensor: x and its gradient g; v is the momentum, h the accumulated square.
template <class T>
struct UpdateStep {
  Rule rule;
  Coefficients k;
  Ref rate, count, x, g, v, h, new_x, new_v, new_h;
  bool wide_rate;
  std::int64_t n;

  void operator()(const StepContext& c) const {
    const double r = wide_rate ? *c.ptr<const double>(rate) : static_cast<double>(*c.ptr<const float>(rate));
    const auto t = static_cast<double>(*c.ptr<const std::int64_t>(count));
    const auto [begin, end] = c.slice(n, 1024);
    const T alpha = static_cast<T>(k.alpha), beta = static_cast<T>(k.beta), epsilon = static_cast<T>(k.epsilon);
    const T norm = static_cast<T>(k.norm), keep = static_cast<T>(1 - k.norm_post), fresh = static_cast<T>(t > 0 ? k.beta : 1);
    const T step = static_cast<T>(rule == Rule::adagrad           ? r / (1 + t * k.decay)
                                  : rule == Rule::adam && t > 0 ? r * std::sqrt(1 - std::pow(k.beta, t)) / (1 - std::pow(k.alpha, t))
                                                                : r);
    const T rest_alpha = static_cast<T>(1 - k.alpha), rest_beta = static_cast<T>(1 - k.beta);
    const T *px = c.ptr<const T>(x), *pg = c.ptr<const T>(g);
    const T* pv = v.present() ? c.ptr<const T>(v) : nullptr;
    const T* ph = h.present() ? c.ptr<const T>(h) : nullptr;
    T* to_x = new_x.present() ? c.ptr<T>(new_x) : nullptr;
    T* to_v = new_v.present() ? c.ptr<T>(new_v) : nullptr;
    T* to_h = new_h.present() ? c.ptr<T>(new_h) : nullptr;
    for (std::int64_t i = begin; i < end; ++i) {
      const T gradient = norm * px[i] + pg[i];
      T value, velocity = 0, square = 0;
      switch (rule) {
        case Rule::adagrad:
          square = ph[i] + gradient * gradient;
          value = px[i] - step * gradient / (std::sqrt(square) + epsilon);
          break;
        case Rule::adam:
          velocity = alpha * pv[i] + rest_alpha * gradient;
          square = beta * ph[i] + rest_beta * gradient * gradient;
          value = keep * (px[i] - step * velocity / (std::sqrt(square) + epsilon));
          break;
        default:
          velocity = alpha * pv[i] + fresh * gradient;
          value = px[i] - step * (rule == Rule::nesterov ? gradient + alpha * velocity : velocity);
      }
      if (to_x) to_x[i] = value;
      if (to_v) to_v[i] = velocity;
      if (to_h) to_h[i] = square;
    }
  }
};

class OptimizerOp final : public Op {
 public:
  OptimizerOp(const NodeView& node, Rule rule)
      : rule_(rule), tensors_((node.input_count() - 2) / (2 + states_of(rule))),
        k_{real(node, "alpha", 0.9f), real(node, "beta", 0.999f), real(node, "decay_factor", 0), real(node, "epsilon", 1e-6f),
           real(node, "norm_coefficient", 0), real(node, "norm_coefficient_post", 0)} {}

  void plan(PlanBuilder& b) const override {
    if (b.in(0).count() != 1 || b.in(1).count() != 1) invalid_argument("R and T must have one element each");
    for (std::uint32_t i = 0; i < tensors_; ++i) {
      const std::uint32_t x = 2 + i, states = states_of(rule_);
      for (std::uint32_t part = 1; part < 2 + states; ++part) {
        if (b.in(x + part * tensors_).count() != b.in(x).count())
          invalid_argument("input " + std::to_string(x + part * tensors_) + " must have the shape of input " + std::to_string(x));
      }
      if (b.in(x).count() > 0) visit_float(b.in(x).dtype, [&](auto tag) { emit<typename decltype(tag)::type>(b, i); });
    }
  }

 private:
  static double real(const NodeView& node, const char* name, float fallback) { return static_cast<double>(node.float_or(name, fallback)); }

  template <class T>
  void emit(PlanBuilder& b, std::uint32_t i) const {
    const std::uint32_t x = 2 + i;
    UpdateStep<T> s{rule_, k_, b.in_ref(0), b.in_ref(1), b.in_ref(x), b.in_ref(x + tensors_), {}, {}, b.out_ref(i), {}, {},
                    b.in(0).dtype == TENON_DTYPE_DOUBLE, b.in(x).count()};
    std::vector<Ref> reads{s.rate, s.count, s.x, s.g}, writes;
    (rule_ == Rule::adagrad ? s.h : s.v) = b.in_ref(x + 2 * tensors_);
    (rule_ == Rule::adagrad ? s.new_h : s.new_v) = b.out_ref(i + tensors_);
    if (rule_ == Rule::adam) s.h = b.in_ref(x + 3 * tensors_), s.new_h = b.out_ref(i + 2 * tensors_);
    for (const Ref& r : {s.v, s.h})
      if (r.present()) reads.push_back(r);
    for (const Ref& r : {s.new_x, s.new_v, s.new_h})
      if (r.present()) writes.push_back(r);
    if (!writes.empty()) b.step("optimizer", s, {.est_ns = 20 + 2.0 * static_cast<double>(s.n)}, reads, writes);
  }

  Rule rule_;
  std::uint32_t tensors_;
  Coefficients k_;
};

Support supports_update(const NodeView& node, Rule rule) {
  const std::uint32_t each = 2 + states_of(rule);
  if (node.input_count() < 2 + each || (node.input_count() - 2) % each != 0)
    return Support::no(TENON_REJECT_OTHER, "after R and T come " + std::to_string(each) + " inputs for each tensor");
  if (node.output_count() > (node.input_count() - 2) / each * (each - 1)) return Support::no(TENON_REJECT_OTHER, "too many outputs");
  for (std::uint32_t i = 0; i < node.input_count(); ++i) {
    if (!node.has_input(i)) return Support::no(TENON_REJECT_OTHER, "an input is missing");
    if (i == 1 ? node.dtype(i) != TENON_DTYPE_INT64 : !is_float(node.dtype(i))) return refuse_dtype(node.dtype(i));
  }
  const std::uint32_t tensors = (node.input_count() - 2) / each;
  for (std::uint32_t i = 2; i < node.input_count(); ++i)
    if (node.dtype(i) != node.dtype(2 + (i - 2) % tensors)) return refuse_dtype(node.dtype(i));
  return Support::yes();
}

Rule momentum_of(const NodeView& node) { return node.string_or("mode", "standard") == "nesterov" ? Rule::nesterov : Rule::momentum; }
Support supports_momentum(const NodeView& node) {
  const std::string_view mode = node.string_or("mode", "standard");
  if (mode != "standard" && mode != "nesterov") return Support::no(TENON_REJECT_ATTRIBUTE, "mode must be standard or nesterov");
  return supports_update(node, Rule::momentum);
}

template <Rule rule>
Support supports(const NodeView& node) {
  return supports_update(node, rule);
}
template <Rule rule>
std::unique_ptr<Op> make(const NodeView& node, CompileContext&) {
  return std::make_unique<OptimizerOp>(node, rule);
}

constexpr OpRow rows[] = {
    {domain, "Adagrad", supports<Rule::adagrad>, make<Rule::adagrad>},
    {domain, "Adam", supports<Rule::adam>, make<Rule::adam>},
    {domain, "Momentum", supports_momentum,
     [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<OptimizerOp>(node, momentum_of(node)); }},
};

}  // namespace

std::span<const OpRow> optimizer_rows() { return rows; }

}  // namespace tenon::cpu
