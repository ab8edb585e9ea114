#include "plugins/opencl/codegen/elementwise.h"

#include <string>

#include "plugins/opencl/codegen/expression_text.h"
#include "plugins/opencl/codegen/types.h"

namespace tenon::opencl {
namespace {

std::string number(std::size_t n) { return std::to_string(n); }

class Writer {
 public:
  explicit Writer(const ElementwiseForm& form) : form_(form) {}

  KernelText write() {
    KernelText out;
    std::vector<int> widths{1};
    if (form_.width > 1) widths.push_back(form_.width);
    out.helpers = expression_helpers(*form_.expression, widths);
    out.body = "__kernel __attribute__((reqd_work_group_size(" + number(form_.group) + ", 1, 1))) void KERNEL_NAME(" + parameters() + ") {\n" + pointers() +
               "  const int begin = (int)get_global_id(0) * chunk, end = min(begin + chunk, inner);\n"
               "  const int first = (int)get_global_id(1) * rows_each, last = min(first + rows_each, rows);\n"
               "  for (int row = first; row < last; ++row) {\n" + offsets() + "    int i = begin;\n";
    if (form_.width > 1) out.body += "    for (; i + " + number(form_.width) + " <= end; i += " + number(form_.width) + ") {\n      " + step(form_.width) + "\n    }\n";
    out.body += "    for (; i < end; ++i) {\n      " + step(1) + "\n    }\n  }\n}\n";
    return out;
  }

 private:
  template <class Fn>
  void each(Fn&& fn) {
    for (std::size_t o = 0; o < form_.outputs.size(); ++o) fn("y" + number(o), form_.outputs[o], true);
    for (std::size_t s = 0; s < form_.inputs.size(); ++s) fn("x" + number(s), form_.inputs[s], false);
  }

  std::string parameters() {
    std::string p;
    each([&](const std::string& name, const ElementwiseForm::Operand&, bool output) {
      p += std::string(output ? "__global char* " : "__global const char* ") + name + "_base, ulong " + name + "_at, ";
    });
    p += "int inner, int chunk, int rows, int rows_each";
    for (int a = 1; a < form_.outer; ++a) p += ", int n" + number(a);
    each([&](const std::string& name, const ElementwiseForm::Operand& o, bool) {
      if (o.uniform) return;
      for (int a = 0; a < form_.outer; ++a) p += ", int " + name + "_s" + number(a);
      if (o.step == Step::strided) p += ", int " + name + "_si";
    });
    return p;
  }

  std::string pointers() {
    std::string p;
    each([&](const std::string& name, const ElementwiseForm::Operand& o, bool output) {
      const std::string type = std::string("__global ") + (output ? "" : "const ") + storage_name(o.dtype) + "*";
      p += "  " + type + " " + name + "_p = (" + type + ")(" + name + "_base + " + name + "_at);\n";
      if (o.uniform) p += "  const " + compute_name(compute_of(o.dtype)) + " " + name + "_one = " + load_text(o.dtype, 1, name + "_p", "0") + ";\n";
    });
    return p;
  }

  std::string offsets() {
    std::string p;
    if (form_.outer > 1) p += "    int t = row;\n";
    for (int a = form_.outer - 1; a > 0; --a) p += "    const int c" + number(a) + " = t % n" + number(a) + "; t /= n" + number(a) + ";\n";
    if (form_.outer > 0) p += std::string("    const int c0 = ") + (form_.outer > 1 ? "t" : "row") + ";\n";
    each([&](const std::string& name, const ElementwiseForm::Operand& o, bool output) {
      if (o.uniform) return;
      const std::string type = std::string("__global ") + (output ? "" : "const ") + storage_name(o.dtype) + "*";
      p += "    " + type + " " + name + " = " + name + "_p";
      for (int a = 0; a < form_.outer; ++a) p += " + (long)c" + number(a) + " * " + name + "_s" + number(a);
      p += ";\n";
      if (o.step == Step::none) p += "    const " + compute_name(compute_of(o.dtype)) + " " + name + "_row = " + load_text(o.dtype, 1, name, "0") + ";\n";
    });
    return p;
  }

  std::string step(int width) {
    const ExpressionText text = write_expression(*form_.expression, width, "v", [&](const Expression::Node& n) -> std::string {
      const ElementwiseForm::Operand& o = form_.inputs[n.slot];
      const std::string name = "x" + number(n.slot);
      if (o.uniform) return "(" + compute_name(compute_of(o.dtype), width) + ")" + name + "_one";
      if (o.step == Step::none) return "(" + compute_name(compute_of(o.dtype), width) + ")" + name + "_row";
      if (o.step == Step::unit) return load_text(o.dtype, width, name, "i");
      return gather_text(o.dtype, width, name, "(long)i * " + name + "_si", name + "_si");
    });
    std::string p = text.statements;
    for (std::size_t o = 0; o < form_.outputs.size(); ++o) {
      const std::string name = "y" + number(o), &value = text.names[form_.expression->outputs[o]];
      if (form_.outputs[o].step == Step::strided) p += scatter_text(form_.outputs[o].dtype, width, name, "(long)i * " + name + "_si", name + "_si", value);
      else p += store_text(form_.outputs[o].dtype, width, name, "i", value) + " ";
    }
    return p;
  }

  const ElementwiseForm& form_;
};

}  // namespace

KernelText elementwise_kernel(const ElementwiseForm& form) { return Writer(form).write(); }

}  // namespace tenon::opencl
