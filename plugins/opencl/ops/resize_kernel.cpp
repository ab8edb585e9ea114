// The kernel walks the result in the order of its memory: with channels last, vectors of channels share their weights.
#include "plugins/opencl/ops/resize_kernel.h"

#include <algorithm>

namespace tenon::opencl {
namespace {

class ResizeKernel {
 public:
  explicit ResizeKernel(const ResizeRule& rule) : rule_(rule) {}

  void emit(PlanBuilder& b, const std::vector<AxisChange>& changes, const Tensor& x, const Tensor& y, std::int32_t real, float constant) const {
    const bool nearest = rule_.mode == ResizeMode::nearest, cropped = rule_.coordinates == CoordinateMode::tf_crop_and_resize;
    // Axes in the order of the result's memory.
    std::vector<std::int64_t> order(y.dims.size());
    for (std::size_t a = 0; a < order.size(); ++a) order[a] = static_cast<std::int64_t>(a);
    std::stable_sort(order.begin(), order.end(),
                     [&](std::int64_t p, std::int64_t q) { return y.strides[static_cast<std::size_t>(p)] > y.strides[static_cast<std::size_t>(q)]; });
    const Tensor from = permuted(nearest && !cropped ? as_bits(x) : x, order), to = permuted(nearest && !cropped ? as_bits(y) : y, order);
    const std::size_t rank = order.size(), last = rank - 1;
    const auto change = [&](std::size_t a) -> const AxisChange& { return changes[static_cast<std::size_t>(order[a])]; };
    SpaceKernel k(b, "resize", to.dims);
    k.out("y", to), k.in("x", from);
    double taps = 1;
    for (std::size_t a = 0; a < rank; ++a) {
      if (change(a).same) continue;
      const std::string n = std::to_string(a);
      k.in("index" + n, change(a).index);
      if (!nearest) k.in("weight" + n, change(a).weight);
      k.integer("taps" + n, change(a).taps), k.integer("size" + n, change(a).out);
      taps *= static_cast<double>(change(a).taps);
    }
    const std::string value = "extrapolation";
    k.scalar("float", value, Arg::f32(constant));
    const int full = static_cast<int>(real == TENON_DTYPE_DOUBLE ? std::max(b.profile().vector / 2, 1u) : b.profile().vector);
    const bool vectors = change(last).same && from.strides[last] == 1 && to.strides[last] == 1 && from.dims[last] > 1;
    // Vectors of elements from anywhere; where the constant may stand among them, one at a time.
    const bool gathers = !change(last).same && to.strides[last] == 1 && !cropped && change(last).taps <= 4;
    k.width(vectors ? full : gathers ? std::min(full, 8) : 1);
    if (nearest && cropped) k.helpers(cast_helpers(TENON_DTYPE_FLOAT, y.dtype, {1}));
    if (nearest) copied(k, change, rank, cropped, y.dtype);
    else blended(k, change, rank, cropped, x.dtype, y.dtype, real);
    k.cost(nearest ? 2 : taps);
    k.launch();
  }

 private:
  using Change = std::function<const AxisChange&(std::size_t)>;

  // Indices of the axes that change; those of all but the last one stand in the row.
  static std::string indices(const Change& change, std::size_t from, std::size_t to, const SpaceKernel& k) {
    std::string p;
    for (std::size_t a = from; a < to; ++a)
      if (const std::string n = std::to_string(a); !change(a).same) p += "const int i" + n + " = index" + n + "[" + k.at(a) + "]; ";
    return p;
  }

  void copied(SpaceKernel& k, const Change& change, std::size_t rank, bool cropped, std::int32_t dtype) const {
    std::string outside = "false";
    std::vector<std::string> from;
    for (std::size_t a = 0; a < rank; ++a) {
      from.push_back(change(a).same ? k.at(a) : "i" + std::to_string(a));
      if (!change(a).same) outside += " || i" + std::to_string(a) + " < 0";
    }
    const std::vector<std::string> outer(from.begin(), from.end() - 1);
    k.row(indices(change, 0, rank - 1, k) + "const long from = " + (outer.empty() ? "0" : k.index("x", outer)) + ";");
    k.each([&k, change, rank, cropped, dtype, outside, last = from.back()](int width) {
      if (width > 1 && !change(rank - 1).same) {
        const std::string n = std::to_string(rank - 1);
        std::string values;
        for (int l = 0; l < width; ++l)
          values += (l ? ", " : "") + k.load("x", "from + (long)index" + n + "[" + k.at(rank - 1) + " + " + std::to_string(l) + "] * x_s" + n);
        return k.store("y", k.here("y"), "(" + k.compute("y", width) + ")(" + values + ")", width);
      }
      const std::string p = indices(change, rank - 1, rank, k),
                        store = k.store("y", k.here("y"), k.load("x", "from + (long)" + last + " * x_s" + std::to_string(rank - 1), width), width);
      if (!cropped) return p + store;
      const std::string type = k.compute("y", width);
      return p + "if (" + outside + ") { " + type + " made; " + cast_text(TENON_DTYPE_FLOAT, dtype, 1, "made", "extrapolation") +
             k.store("y", k.here("y"), "made", width) + "} else { " + store + "}";
    });
  }

  // The taps of all axes but the last are put together once a row: offsets and weights.
  void blended(SpaceKernel& k, const Change& change, std::size_t rank, bool cropped, std::int32_t from_type, std::int32_t to_type,
               std::int32_t real) const {
    const std::size_t last = rank - 1;
    const std::string one = compute_name(compute_of(real));
    std::int64_t most = 1;
    std::string row, same = "0", outside = "false";
    for (std::size_t a = 0; a < last; ++a) {
      if (change(a).same) same += " + (long)" + k.at(a) + " * x_s" + std::to_string(a);
      else most *= change(a).taps;
    }
    if (most > 256) throw Failure{TENON_UNSUPPORTED_SHAPE, "a result element is made of too many input elements"};
    row = "long off[" + std::to_string(most) + "]; " + one + " wt[" + std::to_string(most) + "]; int count = 1; off[0] = " + same + "; wt[0] = 1; ";
    for (std::size_t a = 0; a < last; ++a) {
      if (change(a).same) continue;
      const std::string n = std::to_string(a), at = "[k * size" + n + " + " + k.at(a) + "]";
      row += "for (int i = count; i-- > 0;) for (int k = taps" + n + "; k-- > 0;) { off[i * taps" + n + " + k] = off[i] + (long)index" + n + at +
             " * x_s" + n + "; wt[i * taps" + n + " + k] = wt[i] * weight" + n + at + "; } count *= taps" + n + "; ";
      outside += " || index" + n + "[" + k.at(a) + "] < 0";
    }
    const AxisChange& inner = change(last);
    const std::string n = std::to_string(last), c = k.at(last);
    if (cropped && !inner.same) outside += " || index" + n + "[" + c + "] < 0";
    k.row(row);
    const bool along = !inner.same;
    const std::int64_t taps = inner.taps;
    k.each([this, &k, n, c, along, taps, cropped, outside, from_type, to_type, real, most](int width) {
      const std::string type = compute_name(compute_of(real), width), result = k.compute("y", width);
      const auto load = [&](const std::string& at) {
        const std::string v = k.load("x", at, width);
        return compute_of(from_type) == compute_of(real) ? v : "convert_" + type + "(" + v + ")";
      };
      std::string p = type + " sum = 0; ", count = most > 16 ? "count" : std::to_string(most), line;
      if (along && taps <= 4) {
        // Neighbours in the result have weights that are neighbours, and elements wherever the indices say.
        for (std::int64_t t = 0; t < taps; ++t) {
          const std::string d = std::to_string(t), at = d + " * size" + n + " + " + c;
          p += "const " + type + " w" + d + " = " + load_text(real, width, "weight" + n, at) + "; ";
          for (int l = 0; l < width; ++l)
            p += "const long o" + d + "_" + std::to_string(l) + " = (long)index" + n + "[" + at + " + " + std::to_string(l) + "] * x_s" + n + "; ";
          std::string values;
          for (int l = 0; l < width; ++l) {
            const std::string v = k.load("x", "off[p] + o" + d + "_" + std::to_string(l));
            values += (l ? ", " : "") + (compute_of(from_type) == compute_of(real) ? v : "convert_" + compute_name(compute_of(real)) + "(" + v + ")");
          }
          line += (t ? " + " : "") + ("w" + d + " * (" + type + ")(" + values + ")");
        }
        p += "for (int p = 0; p < " + count + "; ++p) sum += wt[p] * (" + line + "); ";
      } else if (along) {
        p += "for (int p = 0; p < " + count + "; ++p) { " + type + " line = 0; for (int k = 0; k < taps" + n + "; ++k) line += weight" + n +
             "[k * size" + n + " + " + c + "] * " + load("off[p] + (long)index" + n + "[k * size" + n + " + " + c + "] * x_s" + n) +
             "; sum += wt[p] * line; } ";
      } else {
        p += "for (int p = 0; p < " + count + "; ++p) sum += wt[p] * " + load("off[p] + (long)" + c + " * x_s" + n) + "; ";
      }
      // Integers are rounded to the nearest even and held inside their type.
      const auto made = [&](const std::string& v) {
        return is_floating(to_type) ? v : "convert_" + result + "_sat(rint(" + held(to_type, type, v) + "))";
      };
      p += "{ const " + result + " made = " + made("sum") + "; " + k.store("y", k.here("y"), "made", width) + "} ";
      if (!cropped) return p;
      return "if (" + outside + ") { const " + result + " made = " + made("(" + type + ")extrapolation") + "; " +
             k.store("y", k.here("y"), "made", width) + "} else { " + p + "}";
    });
  }

  // A value held inside the range of a small integer type.
  static std::string held(std::int32_t dtype, const std::string& type, const std::string& value) {
    switch (dtype) {
      case TENON_DTYPE_UINT8:
        return "clamp(" + value + ", (" + type + ")0, (" + type + ")255)";
      case TENON_DTYPE_INT8:
        return "clamp(" + value + ", (" + type + ")-128, (" + type + ")127)";
      case TENON_DTYPE_UINT16:
        return "clamp(" + value + ", (" + type + ")0, (" + type + ")65535)";
      case TENON_DTYPE_INT16:
        return "clamp(" + value + ", (" + type + ")-32768, (" + type + ")32767)";
      default:
        return value;
    }
  }

  const ResizeRule& rule_;
};

}  // namespace

void launch_resize(PlanBuilder& builder, const ResizeRule& rule, const std::vector<AxisChange>& changes, const Tensor& x, const Tensor& y,
                   std::int32_t real, float extrapolation) {
  ResizeKernel(rule).emit(builder, changes, x, y, real, extrapolation);
}

}  // namespace tenon::opencl
