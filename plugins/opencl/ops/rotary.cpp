// RotaryEmbedding of ONNX and of com.microsoft.
#include "plugins/opencl/ops/rotary.h"

#include <algorithm>

#include "plugins/opencl/codegen/types.h"
#include "plugins/opencl/ops/attention.h"

namespace tenon::opencl {
namespace {

void check(bool fits, const char* text) {
  if (!fits) throw Failure{TENON_INVALID_ARGUMENT, text};
}

// An item turns one head's row. With positions: an index into the tables; else the tables have a row for each batch and row.
KernelText rotary_kernel(const Rotary& r, std::uint32_t group) {
  const auto pointer = [](const std::string& name, const std::string& storage, bool output = false) {
    const std::string t = std::string("__global ") + (output ? "" : "const ") + storage + "*";
    return "  " + t + " " + name + " = (" + t + ")(" + name + "_base + " + name + "_at);\n";
  };
  const std::string table = storage_name(r.cos.dtype), one = compute_name(compute_of(r.x.dtype));
  std::string p = "__kernel __attribute__((reqd_work_group_size(" + std::to_string(group) + ", 1, 1))) void KERNEL_NAME(__global char* y_base, ulong y_at";
  for (const char* name : {"x", "cs", "sn"}) p += std::string(", __global const char* ") + name + "_base, ulong " + name + "_at";
  if (r.positions.present()) p += ", __global const char* positions_base, ulong positions_at";
  if (r.firsts.present()) p += ", __global const char* firsts_base, ulong firsts_at";
  p += ", int count, int heads, int rows, int size, int pairs, int table_rows, int table_stride, int y_b, int y_h, int y_r, int x_b, int x_h, int x_r, int p_b, int p_r) {\n";
  p += pointer("y", storage_name(r.y.dtype), true) + pointer("x", storage_name(r.x.dtype)) + pointer("cs", table) + pointer("sn", table);
  if (r.positions.present()) p += pointer("positions", "long");
  if (r.firsts.present()) p += pointer("firsts", "int");
  p += "  const int n = (int)get_global_id(0); if (n >= count) return;\n  const int h = n % heads, t = n / heads % rows, b = n / heads / rows;\n";
  if (r.positions.present()) p += "  const long at = clamp(positions[b * p_b + t * p_r] + (p_r == 0 ? t : 0), 0L, (long)table_rows - 1);\n";
  else if (r.firsts.present()) p += "  const long at = clamp(firsts[b] + t, 0, table_rows - 1);\n";
  else p += "  const long at = (long)b * rows + t;\n";
  p += "  cs += at * table_stride; sn += at * table_stride;\n  x += (long)b * x_b + (long)h * x_h + (long)t * x_r; y += (long)b * y_b + (long)h * y_h + (long)t * y_r;\n";
  const std::string first = r.interleaved ? "2 * i" : "i", second = r.interleaved ? "2 * i + 1" : "i + pairs";
  p += "  for (int i = 0; i < pairs; ++i) {\n    const " + one + " c = " + load_text(r.cos.dtype, 1, "cs", "i") + ", s = " + load_text(r.sin.dtype, 1, "sn", "i") + ", a = " + load_text(r.x.dtype, 1, "x", first) +
       ", z = " + load_text(r.x.dtype, 1, "x", second) + ";\n    " + store_text(r.y.dtype, 1, "y", first, "(a * c - z * s)") + " " + store_text(r.y.dtype, 1, "y", second, "(a * s + z * c)") + "\n  }\n";
  p += "  for (int i = 2 * pairs; i < size; ++i) { " + store_text(r.y.dtype, 1, "y", "i", load_text(r.x.dtype, 1, "x", "i")) + " }\n}\n";
  return {{}, p};
}

// com.microsoft has the positions before the tables, and the head size may be told by the tables alone.
class RotaryOp final : public Op {
 public:
  explicit RotaryOp(const Node& node)
      : microsoft_(!node.domain().empty()), interleaved_(node.integer("interleaved", 0) != 0), heads_(node.integer("num_heads", 0)), turned_(node.integer("rotary_embedding_dim", 0)) {}

  void plan(PlanBuilder& b) const override {
    const std::size_t cos = microsoft_ ? 2 : 1, sin = microsoft_ ? 3 : 2, positions = microsoft_ ? 1 : 3;
    Rotary r;
    r.cos = b.dense(b.in(cos)), r.sin = b.dense(b.in(sin));
    check(r.cos.rank() >= 1 && r.sin.dims == r.cos.dims, "the tables of sines and cosines differ in shape");
    std::int64_t heads = heads_;
    if (heads <= 0 && microsoft_ && b.in(0).rank() == 3 && r.cos.dim(-1) > 0) heads = b.in(0).dims[2] / (2 * r.cos.dim(-1));
    const Tensor x = b.in(0).rank() == 4 && b.in(0).strides[3] != 1 ? b.dense(b.in(0)) : b.in(0);
    r.x = by_heads(b, x, heads);
    if (r.x.dims[3] > 1 && r.x.strides[3] != 1) r.x = b.dense(r.x);
    r.y = by_heads(b, b.make_out(0), heads);
    r.interleaved = interleaved_;
    const std::int64_t size = r.x.dims[3], turned = turned_ > 0 ? turned_ : size;
    check(turned % 2 == 0 && turned <= size, "rotary_embedding_dim must be even and at most the head size");
    r.pairs = turned / 2;
    check(r.cos.dim(-1) == r.pairs, "the tables do not have half the rotated size");
    if (b.in(positions).present()) {
      r.positions = b.dense(b.in(positions));
      const bool one = microsoft_ && r.positions.rank() < 2 && r.positions.count() == 1;
      check(one || r.positions.count() == r.x.dims[0] * r.x.dims[2], "positions do not fit the input");
      if (one) r.positions.dims = {1, 1}, r.positions.strides = {0, 0};
      else r.positions.dims = {r.x.dims[0], r.x.dims[2]}, r.positions.strides = {r.x.dims[2], 1};
    } else {
      check(r.pairs == 0 || r.cos.count() / r.pairs == r.x.dims[0] * r.x.dims[2], "tables do not fit the input");
    }
    plan_rotary(b, r);
  }

 private:
  bool microsoft_, interleaved_;
  std::int64_t heads_, turned_;
};

Support supports(const Node& node, const Profile&) {
  const bool microsoft = !node.domain().empty();
  const std::int32_t type = node.input(0)->dtype;
  if (!is_floating(type)) return Support::no(TENON_REJECT_DTYPE, "only floating types, not " + dtype_text(type));
  for (std::size_t i : {microsoft ? 2 : 1, microsoft ? 3 : 2})
    if (!node.input(i) || node.input(i)->dtype != type) return Support::no(TENON_REJECT_DTYPE, "tables of another type than the input");
  const tenon_value* positions = node.input(microsoft ? 1 : 3);
  if (positions && positions->dtype != TENON_DTYPE_INT64) return Support::no(TENON_REJECT_DTYPE, "positions of " + dtype_text(positions->dtype));
  if (node.input(0)->rank != 3 && node.input(0)->rank != 4) return Support::no(TENON_REJECT_RANK, "the input must have rank 3 or 4");
  return Support::yes();
}

}  // namespace

void plan_rotary(PlanBuilder& builder, const Rotary& r) {
  const std::int64_t count = r.x.dims[0] * r.x.dims[1] * r.x.dims[2];
  if (count * r.x.dims[3] == 0) return;
  const std::uint32_t group = builder.profile().group;
  Launch l;
  l.name = "RotaryEmbedding";
  l.kernel = rotary_kernel(r, group);
  l.args = {Arg::out(r.y), Arg::in(r.x), Arg::in(r.cos), Arg::in(r.sin)};
  for (const Tensor* t : {&r.positions, &r.firsts})
    if (t->present()) l.args.push_back(Arg::in(*t));
  const std::int64_t table_rows = r.pairs > 0 ? r.cos.count() / r.cos.dim(-1) : 1, p_b = r.positions.present() ? r.positions.strides[0] : 0, p_r = r.positions.present() ? r.positions.strides[1] : 0;
  for (std::int64_t n : {count, r.x.dims[1], r.x.dims[2], r.x.dims[3], r.pairs, table_rows, r.cos.dim(-1), r.y.strides[0], r.y.strides[1], r.y.strides[2], r.x.strides[0], r.x.strides[1], r.x.strides[2], p_b, p_r})
    l.args.push_back(Arg::i32(n));
  l.local = {group, 1, 1};
  l.global = {static_cast<std::size_t>((count + group - 1) / group * group), 1, 1};
  l.flops = static_cast<double>(count * r.x.dims[3]) * 3;
  builder.launch(std::move(l));
}

std::span<const OpRow> rotary_rows() {
  static constexpr auto make = [](const Node& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<RotaryOp>(node); };
  static const OpRow rows[] = {{"", "RotaryEmbedding", supports, make}, {"com.microsoft", "RotaryEmbedding", supports, make}};
  return rows;
}

}  // namespace tenon::opencl
