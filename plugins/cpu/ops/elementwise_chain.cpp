// Chain: float32 elementwise ops in one pass over memory, tile by tile.
#include <algorithm>
#include <string>

#include "plugins/cpu/ops/elementwise.h"
#include "plugins/cpu/ops/elements.h"

namespace tenon::cpu {
namespace {

struct ChainStep {
  EpiloguePlan plan;
  PlannedItem head;
  Ref out;
  std::int64_t count;

  void operator()(const StepContext& c) const {
    const auto [begin, end] = c.slice(count, tile_size);
    const float* x = c.ptr<const float>(head.y);
    float* to = c.ptr<float>(out);
    alignas(64) float wide[tile_size];
    for (std::int64_t i = begin; i < end; i += tile_size) {
      const std::int64_t n = std::min(tile_size, end - i);
      if (head.broadcast == Broadcast::full) {
        apply_tile(plan, c, x + i, to + i, i, n);
      } else {
        expand_operand(plan, head, x, i, n, wide);
        apply_tile(plan, c, wide, to + i, i, n);
      }
    }
  }
};

// Nanoseconds of one element, rounded up: for estimates.
double cost(const EpilogueItem& item) {
  if (item.binary) return item.op == Binary::pow || item.op == Binary::rpow ? 2 : 0.1;
  switch (item.unary) {
    case Unary::elu: case Unary::selu: case Unary::celu: case Unary::sigmoid: case Unary::tanh: case Unary::swish: case Unary::mish:
    case Unary::gelu_erf: case Unary::gelu_tanh: case Unary::softplus: case Unary::erf: case Unary::exp: case Unary::log: case Unary::sin:
    case Unary::cos: return 0.5;
    default: return 0.1;
  }
}

Binary reversed(Binary f) {
  switch (f) {
    case Binary::sub: return Binary::rsub;
    case Binary::rsub: return Binary::sub;
    case Binary::div: return Binary::rdiv;
    case Binary::rdiv: return Binary::div;
    case Binary::pow: return Binary::rpow;
    case Binary::rpow: return Binary::pow;
    default: return f;
  }
}
bool commutes(Binary f) { return f == Binary::add || f == Binary::mul || f == Binary::max || f == Binary::min; }
bool reads_input(const EpilogueItem& item) { return item.binary && item.input != TENON_NO_VALUE; }

class Chain final : public Op {
 public:
  Chain(const NodeView& node, std::uint32_t head, std::vector<EpilogueItem> first)
      : name_(node.op_type()), head_(head), first_(std::move(first)) {
    for (std::uint32_t i = 0; i < node.input_count(); ++i) note(node, i, i);
  }

  bool absorb(const NodeView& next, std::uint32_t slot, std::uint32_t first_input, CompileContext& context) override {
    if (!rest_.add(next, slot, first_input, context)) return false;
    for (std::uint32_t i = 0; i < next.input_count(); ++i)
      if (i != slot) note(next, i, first_input + (i < slot ? i : i - 1));
    return true;
  }

  // Blocked if any input of the output's shape is: the others of that shape follow, the rest is read where it lies.
  std::int32_t layout(std::span<std::int32_t> inputs, std::int32_t machine_block) override {
    std::int32_t block = 0;
    for (std::size_t i = 0; i < inputs.size() && machine_block; ++i)
      if (like(i).full) block = std::max(block, inputs[i]);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const bool keep = inputs[i] == block && like(i).points;
      if (!keep) inputs[i] = like(i).full && !like(i).constant ? block : 0;
    }
    return block;
  }

  void plan(PlanBuilder& builder) const override {
    if (!builder.out_ref(0).present()) return;
    const Shape& out = builder.out(0);
    PlanList<EpilogueItem> items(first_.begin(), first_.end());
    items.insert(items.end(), rest_.items().begin(), rest_.items().end());
    ChainStep step{};
    step.count = out.count();
    step.head.item.input = choose_head(builder, items);
    step.plan = plan_items(builder, items, &step.head);
    step.out = builder.out_ref(0);

    double ns = 0, bytes = 8;
    PlanList<Ref> reads = {step.head.y};
    PlanList<std::uint32_t> whole;
    if (is_full(builder, step.head.item.input)) whole.push_back(step.head.item.input);
    for (const EpilogueItem& item : items) {
      ns += cost(item);
      if (!reads_input(item)) continue;
      reads.push_back(builder.in_ref(item.input));
      if (is_full(builder, item.input)) whole.push_back(item.input), bytes += 4;
    }
    const Ref writes[] = {step.out};
    builder.step(name_.c_str(), step, {.est_ns = 20 + static_cast<double>(step.count) * (ns + bytes / 10)}, reads, writes);
    for (std::uint32_t i : whole)
      if (!builder.in_ref(i).constant) builder.inplace(i, 0);
  }

 private:
  // What is known of an input in compile.
  struct Known {
    bool full = false;    // the output's shape
    bool points = false;  // [N, C, 1, 1]: the same bytes blocked or not
    bool constant = false;
  };

  Known like(std::size_t i) const { return i < known_.size() ? known_[i] : Known{}; }
  void note(const NodeView& node, std::uint32_t i, std::uint32_t input) {
    if (known_.size() <= input) known_.resize(input + 1);
    if (!node.has_input(i) || !node.has_output(0)) return;
    const tenon_value& v = node.input(i);
    Known& k = known_[input];
    k.full = same_shape(v, node.output(0));
    k.constant = node.is_constant(i);
    k.points = v.rank >= 3;
    for (std::int32_t d = 2; d < v.rank; ++d) k.points = k.points && v.dims[d] == 1;
  }

  static bool is_full(const PlanBuilder& builder, std::uint32_t i) {
    const Shape &in = builder.in(i), &out = builder.out(0);
    return in.block == out.block && in.count() == out.count();
  }
  // The input that tiles start from: one of the output's shape, if there is one that may go first.
  std::uint32_t choose_head(const PlanBuilder& builder, PlanList<EpilogueItem>& items) const {
    if (is_full(builder, head_)) return head_;
    for (std::size_t i = 0; i < items.size() && reads_input(items[i]); ++i) {
      if (i > 0 && !(commutes(items[i].op) && items[i].op == items[0].op)) break;
      if (!is_full(builder, items[i].input) || items[i].op == Binary::prelu) continue;
      const std::uint32_t head = items[i].input;
      items[i].input = head_;
      items[i].op = reversed(items[i].op);
      return head;
    }
    return head_;
  }

  std::string name_;
  std::uint32_t head_;
  std::vector<EpilogueItem> first_;
  Epilogue rest_;
  std::vector<Known> known_;
};

}  // namespace

std::unique_ptr<Op> make_chain(const NodeView& node, CompileContext& context) {
  if (!node.has_output(0) || node.output(0).rank > 8) return nullptr;
  // A constant in front (1 - x, 2 * x) is better an operand.
  std::uint32_t head = 0;
  if (node.is_constant(0) && node.input_count() > 1 && node.has_input(1) && !node.is_constant(1)) head = 1;
  std::vector<EpilogueItem> items;
  for (const std::uint32_t slot : {head, 0u})
    if (node.has_input(slot) && append_items(node, slot, TENON_NO_VALUE, context, items))
      return std::make_unique<Chain>(node, slot, std::move(items));
  return nullptr;
}

}  // namespace tenon::cpu
