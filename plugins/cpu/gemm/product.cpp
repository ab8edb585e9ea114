#include "plugins/cpu/gemm/product.h"

#include <algorithm>

namespace tenon::cpu::gemm {
namespace {

std::string text(const View& v) {
  std::string s = "[";
  for (int i = 0; i < v.rank; ++i) s += (i ? ", " : "") + std::to_string(v.dims[i]);
  return s + "]";
}

// What a running step hands to the rows that are done.
struct Finish {
  const ProductStep* step;
  const StepContext* context;
  const float* c;
};

void finish_rows(const void* p, float* x, std::int64_t n) {
  const Finish& f = *static_cast<const Finish*>(p);
  const ProductStep& s = *f.step;
  const std::int64_t offset = x - f.c;
  if (s.addend.y.present()) {
    const std::int64_t row = offset / s.columns, column = offset - row * s.columns;
    const float* y = f.context->ptr<float>(s.addend.y) + row * s.addend.row + column * s.addend.column;
    if (s.addend.column == 1)
      for (std::int64_t j = 0; j < n; ++j) x[j] += s.addend.factor * y[j];
    else
      for (std::int64_t j = 0; j < n; ++j) x[j] += s.addend.factor * y[j * s.addend.column];
  }
  if (s.epilogue.count) apply_epilogue(s.epilogue, *f.context, x, offset, n);
}

}  // namespace

View View::dense(std::span<const std::int64_t> dims) {
  if (dims.size() > kMaxRank) throw Failure{TENON_UNSUPPORTED_SHAPE, "matrix product: rank above 8"};
  View v;
  v.rank = static_cast<int>(dims.size());
  std::int64_t stride = 1;
  for (int i = v.rank - 1; i >= 0; --i) {
    if (dims[static_cast<std::size_t>(i)] < 0) throw Failure{TENON_UNSUPPORTED_SHAPE, "matrix product: a size is not known"};
    v.dims[i] = dims[static_cast<std::size_t>(i)];
    v.strides[i] = stride;
    stride *= v.dims[i];
  }
  return v;
}

View View::dense(const Shape& shape) { return dense(shape.dims); }

void View::permute(std::span<const std::int32_t> perm) {
  if (perm.empty()) return;
  if (static_cast<int>(perm.size()) != rank) throw Failure{TENON_INVALID_ARGUMENT, "matrix product: perm does not fit the rank"};
  const View old = *this;
  for (int i = 0; i < rank; ++i) {
    dims[i] = old.dims[perm[static_cast<std::size_t>(i)]];
    strides[i] = old.strides[perm[static_cast<std::size_t>(i)]];
  }
}

void View::swap_last() {
  if (rank < 2) return;
  std::swap(dims[rank - 1], dims[rank - 2]);
  std::swap(strides[rank - 1], strides[rank - 2]);
}

Problem matmul_problem(const View& a, const View& b, const View& c, bool packed) {
  if (a.rank == 0 || b.rank == 0) throw Failure{TENON_INVALID_ARGUMENT, "matrix product: a scalar operand"};
  Problem p;
  const int a_batch = std::max(0, a.rank - 2), b_batch = std::max(0, b.rank - 2), batch = std::max(a_batch, b_batch);
  const int c_rank = batch + (a.rank > 1) + (b.rank > 1);
  p.k = a.dims[a.rank - 1];
  p.a_k = a.strides[a.rank - 1];
  p.m = a.rank > 1 ? a.dims[a.rank - 2] : 1;
  p.a_row = a.rank > 1 ? a.strides[a.rank - 2] : 0;
  const std::int64_t b_k = b.rank > 1 ? b.dims[b.rank - 2] : b.dims[0];
  p.b_k = b.rank > 1 ? b.strides[b.rank - 2] : b.strides[0];
  p.n = b.rank > 1 ? b.dims[b.rank - 1] : 1;
  p.b_column = b.rank > 1 ? b.strides[b.rank - 1] : 0;
  bool fits = p.k == b_k && c.rank == c_rank;
  if (fits) {
    if (a.rank > 1) p.c_row = c.strides[batch], fits = c.dims[batch] == p.m;
    if (b.rank > 1) p.c_column = c.strides[c_rank - 1], fits = fits && c.dims[c_rank - 1] == p.n;
  }
  std::int64_t matrices[kMaxRank] = {};  // batch strides of b in matrices
  std::int64_t count = 1;
  for (int d = b_batch - 1; d >= 0; --d) matrices[d] = count, count *= b.dims[d];
  for (int d = 0; d < batch && fits; ++d) {
    const int ad = d - (batch - a_batch), bd = d - (batch - b_batch);
    const std::int64_t an = ad < 0 ? 1 : a.dims[ad], bn = bd < 0 ? 1 : b.dims[bd], n = c.dims[d];
    fits = (an == n || an == 1) && (bn == n || bn == 1);
    p.push_batch(n, an == 1 ? 0 : a.strides[ad], bn == 1 ? 0 : packed ? matrices[bd] : b.strides[bd], c.strides[d]);
  }
  if (!fits) throw Failure{TENON_INVALID_ARGUMENT, "matrix product: " + text(a) + " times " + text(b) + " into " + text(c)};
  return p;
}

void ProductStep::operator()(const StepContext& context) const {
  const Finish f{this, &context, context.ptr<float>(c)};
  RunArgs args;
  args.a = context.ptr<const float>(a);
  args.b = context.ptr<const float>(b);
  args.c = context.ptr<float>(c);
  if (bias.present()) args.bias = context.ptr<const float>(bias);
  if (residual.present()) args.addend = context.ptr<const float>(residual);
  args.scratch = gemm.scratch_bytes ? worker_scratch<void>(context, scratch, gemm.scratch_bytes) : nullptr;
  args.worker = context.worker;
  args.workers = context.workers;
  if (epilogue.count || addend.y.present()) {
    args.finish = finish_rows;
    args.finish_context = &f;
  }
  run(gemm, args);
}

void emit(PlanBuilder& builder, const char* name, ProductStep step, std::span<const Ref> reads, std::span<const Ref> writes) {
  if (step.gemm.mode == Mode::nothing) return;
  // A sum with another tensor is made in registers.
  if (takes_addend(step.gemm) && step.epilogue.count > 0 && !step.addend.y.present()) {
    const PlannedItem& first = step.epilogue.items[0];
    if (first.item.binary && first.item.op == Binary::add && first.item.input != TENON_NO_VALUE && first.broadcast == Broadcast::full) {
      step.residual = first.y;
      ++step.epilogue.items, --step.epilogue.count;
    }
  }
  if (step.gemm.scratch_bytes) step.scratch = builder.scratch(step.gemm.scratch_bytes);
  const double elements = static_cast<double>(step.gemm.batch_count * step.gemm.p.m * step.gemm.p.n);
  StepOptions options;
  options.est_ns = estimate_ns(step.gemm) + elements * 0.15 * (step.epilogue.count + step.addend.y.present());
  builder.step(name, step, options, reads, writes);
}

}  // namespace tenon::cpu::gemm
