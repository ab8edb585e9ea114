// LSTM, GRU and RNN: one product projects all steps of the input at once, one kernel walks the steps.
#include <algorithm>

#include "plugins/opencl/codegen/gemm_pack.h"
#include "plugins/opencl/codegen/linked_epilogue.h"
#include "plugins/opencl/codegen/recurrent.h"
#include "plugins/opencl/families.h"
#include "plugins/opencl/ops/gemm_product.h"

namespace tenon::opencl {
namespace {

std::int32_t computed_in(std::int32_t dtype) { return dtype == TENON_DTYPE_DOUBLE ? TENON_DTYPE_DOUBLE : TENON_DTYPE_FLOAT; }

// Reads the attributes. The reason why that cannot be; empty: it was done.
std::string read_form(const Node& node, RecurrentForm* f) {
  const std::string_view type = node.op_type();
  const std::string direction = node.text("direction", "forward");
  f->kind = type == "LSTM" ? RecurrentKind::lstm : type == "GRU" ? RecurrentKind::gru : RecurrentKind::rnn;
  if (direction != "forward" && direction != "reverse" && direction != "bidirectional") return "direction " + direction;
  f->directions = direction == "bidirectional" ? 2 : 1;
  f->backwards = direction == "reverse" ? 1 : direction == "bidirectional" ? 2 : 0;
  f->linear_before_reset = node.integer("linear_before_reset", 0) != 0;
  f->input_forget = node.integer("input_forget", 0) != 0;
  f->clip = node.number("clip", 0);
  f->dtype = node.input(0)->dtype;
  f->compute = computed_in(f->dtype);
  const std::size_t each = f->kind == RecurrentKind::lstm ? 3 : f->kind == RecurrentKind::gru ? 2 : 1, wanted = each * static_cast<std::size_t>(f->directions);
  std::vector<std::string> names;
  if (const tenon_attr* a = node.attribute("activations"); a && a->type == 8)
    for (std::uint64_t i = 0; i < a->count; ++i) names.emplace_back(plugin::view(static_cast<const tenon_str*>(a->data)[i]));
  if (!names.empty() && names.size() < wanted) return "too few activations";
  const std::vector<float> alphas = node.numbers("activation_alpha"), betas = node.numbers("activation_beta");
  std::size_t next_alpha = 0, next_beta = 0;
  for (std::size_t i = 0; i < wanted; ++i) {
    static const char* defaults[3] = {"sigmoid", "tanh", "tanh"};
    const std::string name = !names.empty() ? names[i] : f->kind == RecurrentKind::rnn ? "tanh" : defaults[i % each];
    Activation& a = f->activations[i / each][i % each];
    bool alpha = false, beta = false;
    if (!know_activation(name, &a, &alpha, &beta)) return "activation " + name;
    if (alpha && next_alpha < alphas.size()) a.alpha = alphas[next_alpha++];
    if (beta && next_beta < betas.size()) a.beta = betas[next_beta++];
  }
  return {};
}

class RecurrentOp final : public Op {
 public:
  RecurrentOp(const Node& node, CompileContext& context) : batch_first_(node.integer("layout", 0) != 0) {
    read_form(node, &form_);
    w_ = pack_constant_b(node, 1, true, context);
    const Profile& profile = context.profile();
    form_.width = profile.cpu ? static_cast<int>(form_.compute == TENON_DTYPE_DOUBLE ? std::max(profile.vector / 2, 4u) : profile.vector) : 1;
    while (!profile.cpu && form_.group * 2 <= static_cast<int>(std::min<std::uint64_t>(256, profile.max_group))) form_.group *= 2;
    pack_r(node, context);
  }

  void plan(PlanBuilder& b) const override {
    const Tensor x = b.dense(b.in(0));
    const Tensor &w = b.in(1), &r = b.in(2);
    if (x.rank() != 3 || w.rank() != 3 || r.rank() != 3) throw Failure{TENON_INVALID_ARGUMENT, "X, W and R must have rank 3"};
    RecurrentForm f = form_;
    const std::int64_t steps = x.dims[batch_first_ ? 1 : 0], batch = x.dims[batch_first_ ? 0 : 1], hidden = r.dims[2], wide = f.gates() * hidden, directions = f.directions;
    check(b, 1, directions * wide * x.dims[2]), check(b, 2, directions * wide * hidden), check(b, 3, directions * 2 * wide), check(b, 4, batch), check(b, 5, directions * batch * hidden);
    const bool lstm = f.kind == RecurrentKind::lstm;
    if (lstm) check(b, 6, directions * batch * hidden), check(b, 7, directions * 3 * hidden);
    Tensor outs[3];
    for (std::size_t o = 0; o < (lstm ? 3u : 2u); ++o) {
      if (o >= b.outputs() || !b.out_shape(o).present()) continue;
      if (b.out_shape(o).count() != (o == 0 ? steps : 1) * directions * batch * hidden) throw Failure{TENON_INVALID_ARGUMENT, "R has another number of hidden units than hidden_size says"};
      outs[o] = b.make_out(o);
    }
    if (batch == 0 || hidden == 0) return;

    // Rows of X to [direction, row, gates * hidden].
    const Tensor p = b.temp(f.compute, {directions, steps * batch, wide});
    if (p.count() > 0) project(b, x, w, p);

    f.bias = b.in(3).present(), f.lengths = b.in(4).present(), f.h0 = b.in(5).present();
    f.c0 = lstm && b.in(6).present(), f.peepholes = lstm && b.in(7).present();
    f.y = outs[0].present(), f.y_h = outs[1].present(), f.y_c = outs[2].present();
    f.rows = f.group > 1 ? 1 : static_cast<int>(batch >= 8 ? 4 : batch >= 4 ? 2 : 1);
    const auto state = [&](std::int64_t size) { return b.temp(f.compute, {directions, batch, size}); };
    Launch l;
    l.name = "recurrence";
    l.kernel = recurrent_kernel(f);
    l.args = {Arg::in(p), r_.present() ? Arg::weight(r_) : Arg::in(packed_r(b, r))};
    for (std::int64_t size : {hidden, hidden, hidden, wide}) l.args.push_back(Arg::out(state(size)));
    for (std::size_t i : {3, 7, 4, 5, 6})
      if (i < b.inputs() && b.in(i).present() && (lstm || i < 6)) l.args.push_back(Arg::in(b.dense(b.in(i))));
    for (const Tensor& t : outs)
      if (t.present()) l.args.push_back(Arg::out(t));
    for (std::int64_t n : {steps, batch, hidden}) l.args.push_back(Arg::i32(n));
    // Strides of step, batch, direction.
    if (batch_first_)
      for (std::int64_t n : {wide, steps * wide, steps * batch * wide, directions * hidden, steps * directions * hidden, hidden, directions * hidden, hidden}) l.args.push_back(Arg::i32(n));
    else
      for (std::int64_t n : {batch * wide, wide, steps * batch * wide, directions * batch * hidden, hidden, batch * hidden, hidden, batch * hidden}) l.args.push_back(Arg::i32(n));
    l.local = {static_cast<std::size_t>(f.group), 1, 1};
    l.global = {static_cast<std::size_t>((batch + f.rows - 1) / f.rows * f.group), static_cast<std::size_t>(directions), 1};
    l.flops = 2.0 * static_cast<double>(steps * batch * directions) * static_cast<double>(wide * hidden);
    b.launch(std::move(l));
  }

 private:
  static void check(PlanBuilder& b, std::size_t i, std::int64_t count) {
    if (i < b.inputs() && b.in(i).present() && b.in(i).count() != count)
      throw Failure{TENON_INVALID_ARGUMENT, "input " + std::to_string(i) + " has " + std::to_string(b.in(i).count()) + " elements, " + std::to_string(count) + " were expected"};
  }

  void project(PlanBuilder& b, const Tensor& x, const Tensor& w, const Tensor& p) const {
    Product product;
    reshaped(x, {1, x.dims[0] * x.dims[1], x.dims[2]}, product.a);
    product.b = transposed(w);
    product.packed = w_;
    product.batch = {p.dims[0]};
    if (p.dims[0] == 1) {
      // One direction: plain matrices.
      for (Tensor* t : {&product.a, &product.b}) t->dims.erase(t->dims.begin()), t->strides.erase(t->strides.begin());
      if (product.packed.weight.present()) product.packed.dims.erase(product.packed.dims.begin());
      product.batch.clear();
    }
    const PlannedProduct planned(b, product);
    Expression e;
    e.outputs = {e.load(0, planned.accumulator())};
    // Where the tile is turned, its rows are columns of p.
    const bool swapped = planned.swapped();
    std::vector<ExpressionEpilogue::Operand> outputs{{p.dtype, true, true, swapped ? 2 : 1}};
    std::vector<Arg> args{Arg::out(p), Arg::i32(p.strides[0]), Arg::i32(swapped ? 1 : p.strides[1])};
    if (swapped) args.push_back(Arg::i32(p.strides[1]));
    planned.launch(b, ExpressionEpilogue(std::move(e), {}, std::move(outputs)), std::move(args), "input projection");
  }

  // R in panels, as the kernel reads it: in compile where it is constant, else in the run.
  void pack_r(const Node& node, CompileContext& context) {
    const tenon_value& r = *node.input(2);
    if (!is_constant(&r) || r.rank != 3 || r.dtype != form_.compute) return;
    const std::int64_t directions = r.dims[0], wide = r.dims[1], hidden = r.dims[2], bytes = storage_bytes(r.dtype);
    if (directions * wide * hidden == 0) return;
    const int columns = form_.columns();
    const std::int64_t one = packed_panel_bytes(hidden, wide, columns, bytes);
    const std::array<std::size_t, 1> inputs{2};
    r_ = context.packed(node, inputs, "recurrent_r/" + std::to_string(columns), static_cast<std::uint64_t>(one * directions), [=](std::span<const tenon_const_tensor> from, void* to) {
      for (std::int64_t d = 0; d < directions; ++d)
        pack_panels(static_cast<const char*>(from[0].data) + d * wide * hidden * bytes, 1, hidden, hidden, wide, columns, bytes, static_cast<char*>(to) + d * one);
    });
  }
  Tensor packed_r(PlanBuilder& b, const Tensor& r) const {
    PackConfig config;
    config.from = r.dtype, config.to = form_.compute;
    config.columns = form_.columns();
    config.group = form_.group > 1 ? 64 : 1;
    const std::int64_t hidden = r.dims[2], wide = r.dims[1], panels = (wide + config.columns - 1) / config.columns;
    const Tensor to = b.temp(config.to, {r.dims[0], panels, hidden, config.columns});
    Launch l;
    l.name = "pack weights";
    l.kernel = pack_panels_kernel(config);
    l.args = {Arg::in(r), Arg::out(to)};
    for (std::int64_t n : {hidden, wide, r.strides[2], r.strides[1], std::int64_t{1}, std::int64_t{1}, r.dims[0], std::int64_t{0}, std::int64_t{0}, std::int64_t{0}, r.strides[0]}) l.args.push_back(Arg::i32(n));
    l.local = {static_cast<std::size_t>(config.group), 1, 1};
    const std::int64_t items = config.group == 1 ? (hidden + kPackDepth - 1) / kPackDepth : (hidden * config.columns + config.group - 1) / config.group * config.group;
    l.global = {static_cast<std::size_t>(items), static_cast<std::size_t>(panels), static_cast<std::size_t>(r.dims[0])};
    b.launch(std::move(l));
    return to;
  }

  RecurrentForm form_;
  bool batch_first_;
  PackedB w_;
  Weight r_;
};

Support supports(const Node& node, const Profile&) {
  RecurrentForm form;
  const std::int32_t type = node.input(0)->dtype;
  if (!is_floating(type)) return Support::no(TENON_REJECT_DTYPE, "only floating types, not " + dtype_text(type));
  for (std::size_t i : {1, 2, 3, 5, 6, 7})
    if (node.input(i) && node.input(i)->dtype != type) return Support::no(TENON_REJECT_DTYPE, "operands of different types");
  if (node.input(4) && node.input(4)->dtype != TENON_DTYPE_INT32) return Support::no(TENON_REJECT_DTYPE, "sequence_lens of " + dtype_text(node.input(4)->dtype));
  const std::string reason = read_form(node, &form);
  return reason.empty() ? Support::yes() : Support::no(TENON_REJECT_ATTRIBUTE, reason);
}

double flops(const Node& node) {
  const tenon_value &x = *node.input(0), &r = *node.input(2);
  return 2 * opt_dim(x, 0) * opt_dim(x, 1) * opt_dim(r, 0) * opt_dim(r, 1) * (opt_dim(x, 2) + opt_dim(r, 2));
}

std::unique_ptr<Op> make(const Node& node, CompileContext& context) { return std::make_unique<RecurrentOp>(node, context); }

const OpRow rows[] = {{"", "LSTM", supports, make, flops}, {"", "GRU", supports, make, flops}, {"", "RNN", supports, make, flops}};

}  // namespace

std::span<const OpRow> recurrent_rows() { return rows; }

}  // namespace tenon::opencl
