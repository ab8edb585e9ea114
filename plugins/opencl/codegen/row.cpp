#include "plugins/opencl/codegen/row.h"

#include <algorithm>
#include <set>

#include "plugins/opencl/codegen/expression_text.h"
#include "plugins/opencl/codegen/types.h"

namespace tenon::opencl {
namespace {

using Reduce = RowProgram::Reduce;

std::string number(std::size_t n) { return std::to_string(n); }
std::string suffix(int width) { return width == 1 ? "" : std::to_string(width); }
bool wide(Compute c) { return c == Compute::f64 || c == Compute::i64 || c == Compute::u64; }
std::string initial(Reduce r) { return r == Reduce::max ? "-INFINITY" : "0"; }
// fmax would take care of NaN lane by lane; here one in the row shows in the sum anyway.
std::string joined(Reduce r, const std::string& a, const std::string& b) { return r == Reduce::max ? "(" + a + " > " + b + " ? " + a + " : " + b + ")" : a + " + " + b; }

Compute type_of(const Expression& e) { return compute_of(e.nodes[e.outputs[0]].dtype); }

// 0, 1, 2, ... as a vector of int.
std::string counting(int width) {
  std::string out = "(int" + suffix(width) + ")(";
  for (int i = 0; i < width; ++i) out += (i ? ", " : "") + number(static_cast<std::size_t>(i));
  return out + ")";
}

class Writer {
 public:
  explicit Writer(const RowForm& form) : form_(form), program_(*form.program) {}

  KernelText write() {
    KernelText out;
    std::vector<int> widths{1};
    if (form_.width > 1) widths.push_back(form_.width);
    std::set<std::string> seen;
    const auto add = [&](const std::vector<std::string>& texts) {
      for (const std::string& t : texts)
        if (seen.insert(t).second) out.helpers.push_back(t);
    };
    for (const RowProgram::Step& s : program_.steps) add(expression_helpers(s.value, widths));
    add(expression_helpers(program_.finish, widths));
    if (form_.epilogue) add(form_.epilogue->helpers(widths));
    out.body = "__kernel __attribute__((reqd_work_group_size(" + number(form_.group) + ", 1, 1))) void KERNEL_NAME(" + parameters() + ") {\n" + pointers() +
               "  const int first = (int)get_global_id(1) * rows_each, last = min(first + rows_each, rows);\n" + locals() +
               "  for (int row = first; row < last; ++row) {\n" + offsets() + (form_.across ? across() : along()) + "  }\n}\n";
    return out;
  }

 private:
  enum class Role { output, row_output, input };
  template <class Fn>
  void each(Fn&& fn) {
    for (std::size_t o = 0; o < form_.outputs.size(); ++o) fn("y" + number(o), form_.outputs[o], Role::output);
    for (std::size_t o = 0; o < form_.row_outputs.size(); ++o) fn("z" + number(o), form_.row_outputs[o], Role::row_output);
    for (std::size_t s = 0; s < form_.inputs.size(); ++s) fn("x" + number(s), form_.inputs[s], Role::input);
  }
  static std::string pointer_type(const RowForm::Operand& o, Role role) {
    return std::string("__global ") + (role == Role::input ? "const " : "") + storage_name(o.dtype) + "*";
  }

  std::string parameters() {
    std::string p;
    each([&](const std::string& name, const RowForm::Operand&, Role role) {
      p += std::string(role == Role::input ? "__global const char* " : "__global char* ") + name + "_base, ulong " + name + "_at, ";
    });
    p += "int n1, int n0, int rows, int rows_each, int lanes, int lanes_each, int split";
    for (int a = 1; a < form_.outer; ++a) p += ", int size" + number(static_cast<std::size_t>(a));
    each([&](const std::string& name, const RowForm::Operand& o, Role role) {
      for (int a = 0; a < form_.outer; ++a) p += ", int " + name + "_s" + number(static_cast<std::size_t>(a));
      if (form_.two_levels && role != Role::row_output) p += ", int " + name + "_sj";
      if (form_.across && role != Role::row_output) p += ", int " + name + "_si";
      if (o.step == Step::strided && (form_.across || role != Role::row_output)) p += ", int " + name + "_sv";
    });
    if (form_.epilogue) p += form_.epilogue->parameters();
    return p;
  }

  std::string pointers() {
    std::string p;
    each([&](const std::string& name, const RowForm::Operand& o, Role role) {
      p += "  " + pointer_type(o, role) + " " + name + "_p = (" + pointer_type(o, role) + ")(" + name + "_base + " + name + "_at);\n";
    });
    return p;
  }

  // Memory of the work item or group.
  std::string locals() {
    std::string p;
    std::set<std::string> types;
    for (std::size_t k = 0; k < program_.steps.size(); ++k) {
      if (program_.steps[k].reduce == Reduce::none) continue;
      const std::string type = compute_name(type_of(program_.steps[k].value));
      if (kept(k)) p += "  " + type + " keep" + number(k) + "[" + number(static_cast<std::size_t>(keep_limit)) + "];\n";
      if (shares_row() && types.insert(type).second) p += "  __local " + type + " shared_" + type + "[" + number(form_.group) + "];\n";
    }
    if (shares_row()) p += "  const int item = get_local_id(0);\n";
    return p;
  }

  std::string offsets() {
    std::string p;
    if (form_.outer > 1) p += "    int t = row;\n";
    for (int a = form_.outer - 1; a > 0; --a) {
      const std::string n = number(static_cast<std::size_t>(a));
      p += "    const int c" + n + " = t % size" + n + "; t /= size" + n + ";\n";
    }
    if (form_.outer > 0) p += std::string("    const int c0 = ") + (form_.outer > 1 ? "t" : "row") + ";\n";
    each([&](const std::string& name, const RowForm::Operand& o, Role role) {
      p += "    " + pointer_type(o, role) + " " + name + "r = " + name + "_p";
      for (int a = 0; a < form_.outer; ++a) p += " + (long)c" + number(static_cast<std::size_t>(a)) + " * " + name + "_s" + number(static_cast<std::size_t>(a));
      p += ";\n";
    });
    return p;
  }

  bool shares_row() const { return form_.group > 1 && !form_.across; }
  bool kept(std::size_t step) const {
    if (!form_.keep) return false;
    const auto reads = [&](const Expression& e) {
      return std::any_of(e.nodes.begin(), e.nodes.end(), [&](const Expression::Node& n) { return n.kind == Expression::Kind::load && n.slot == RowProgram::element_slot + step; });
    };
    return reads(program_.finish) || std::any_of(program_.steps.begin(), program_.steps.end(), [&](const RowProgram::Step& s) { return reads(s.value); });
  }

  // ---- expressions ------------------------------------------------------------------------------------------------------

  // Where kept values of this element stand.
  std::string kept_at() const { return form_.across ? "(j * n1 + i) * " + number(static_cast<std::size_t>(form_.width)) : "i"; }

  std::string load(const Expression::Node& n, int width) const {
    const std::string type = compute_name(compute_of(n.dtype), width);
    if (n.slot >= RowProgram::count_slot) return "(" + type + ")(count)";
    if (n.slot >= RowProgram::element_slot) {
      const std::size_t k = n.slot - RowProgram::element_slot;
      if (!kept(k)) return "e" + number(k) + "_" + number(program_.steps[k].value.outputs[0]);
      return width == 1 ? "keep" + number(k) + "[" + kept_at() + "]" : "vload" + suffix(width) + "(0, keep" + number(k) + " + " + kept_at() + ")";
    }
    if (n.slot >= RowProgram::row_slot) return "(" + type + ")(r" + number(n.slot - RowProgram::row_slot) + ")";
    const RowForm::Operand& o = form_.inputs[n.slot];
    if (once_a_row_) {
      const std::string row = "x" + number(n.slot) + (form_.across ? "l" : "r");
      if (!form_.across || o.step == Step::none) return "(" + type + ")(" + load_text(o.dtype, 1, row, "0") + ")";
      return o.step == Step::unit ? load_text(o.dtype, width, row, "0") : gather_text(o.dtype, width, row, "0", "x" + number(n.slot) + "_sv");
    }
    const std::string name = "x" + number(n.slot) + "e";
    if (o.step == Step::none) return "(" + type + ")(" + load_text(o.dtype, 1, name, "0") + ")";
    const std::string at = form_.across ? "0" : "i";
    if (o.step == Step::unit) return load_text(o.dtype, width, name, at);
    return gather_text(o.dtype, width, name, form_.across ? "0" : "(long)i * x" + number(n.slot) + "_sv", "x" + number(n.slot) + "_sv");
  }

  // Statements of e for one element or vector; first those of elements that e wants and nobody has kept.
  ExpressionText elements(const Expression& e, int width, const std::string& prefix, std::set<std::size_t>& written) const {
    std::string before;
    for (const Expression::Node& n : e.nodes) {
      if (n.kind != Expression::Kind::load || n.slot < RowProgram::element_slot || n.slot >= RowProgram::count_slot) continue;
      const std::size_t k = n.slot - RowProgram::element_slot;
      if (!kept(k) && written.insert(k).second) before += elements(program_.steps[k].value, width, "e" + number(k) + "_", written).statements;
    }
    ExpressionText text = write_expression(e, width, prefix, [&](const Expression::Node& n) { return load(n, width); });
    text.statements = before + text.statements;
    return text;
  }

  // Adds an element to step k's accumulators, a vector to that of this number. fresh: lanes that have not been counted are set in the
  // variable fresh.
  std::string count_in(std::size_t k, int width, bool fresh, int chain = 0) const {
    const RowProgram::Step& step = program_.steps[k];
    std::set<std::size_t> written;
    const ExpressionText text = elements(step.value, width, "v", written);
    const Compute type = type_of(step.value);
    std::string value = text.names[step.value.outputs[0]];
    std::string p = text.statements;
    if (kept(k)) p += width == 1 ? "keep" + number(k) + "[" + kept_at() + "] = " + value + "; " : "vstore" + suffix(width) + "(" + value + ", 0, keep" + number(k) + " + " + kept_at() + "); ";
    if (fresh) {
      const std::string t = compute_name(type, width);
      value = "select((" + t + ")(" + initial(step.reduce) + "), " + value + ", " + (wide(type) ? "convert_long" + suffix(width) + "(fresh)" : "fresh") + ")";
    }
    const std::string acc = !form_.across && width > 1 ? (chain == 0 ? "a" : "a_" + number(static_cast<std::size_t>(chain))) : "s";
    return p + acc + " = " + joined(step.reduce, acc, value) + "; ";
  }

  std::string finish(int width) const {
    std::set<std::size_t> written;
    const ExpressionText text = elements(program_.finish, width, "v", written);
    std::string p = text.statements;
    for (std::size_t o = 0; o < program_.finish.outputs.size(); ++o) {
      const std::string& value = text.names[program_.finish.outputs[o]];
      if (o == 0 && form_.epilogue) {
        p += form_.epilogue->statements(value, width, form_.b, form_.r, form_.c);
        continue;
      }
      const std::size_t y = o - (form_.epilogue ? 1 : 0);
      const RowForm::Operand& to = form_.outputs[y];
      const std::string name = "y" + number(y), at = form_.across ? "0" : "i";
      p += to.step == Step::strided ? scatter_text(to.dtype, width, name + "e", form_.across ? "0" : "(long)i * " + name + "_sv", name + "_sv", value)
                                    : store_text(to.dtype, width, name + "e", at, value);
    }
    return p;
  }

  std::string store_row(std::size_t z, int width, const std::string& pointer) const {
    const std::string value = "r" + number(program_.row_outputs[z]), name = "z" + number(z);
    if (form_.row_outputs[z].step == Step::strided && form_.across) return scatter_text(form_.row_outputs[z].dtype, width, pointer, "0", name + "_sv", value);
    return store_text(form_.row_outputs[z].dtype, width, pointer, "0", value);
  }

  std::string row_value(std::size_t k, int width) {
    std::set<std::size_t> written;
    once_a_row_ = true;
    const ExpressionText text = elements(program_.steps[k].value, width, "w" + number(k) + "_", written);
    once_a_row_ = false;
    return "      " + text.statements + "const " + compute_name(type_of(program_.steps[k].value), width) + " r" + number(k) + " = " + text.names[program_.steps[k].value.outputs[0]] + ";\n";
  }

  // ---- along ------------------------------------------------------------------------------------------------------------

  // Pointers to the start of stretch j.
  std::string stretch() {
    std::string p = form_.two_levels ? "      for (int j = 0; j < n0; ++j) {\n" : "      { const int j = 0;\n";
    each([&](const std::string& name, const RowForm::Operand& o, Role role) {
      if (role == Role::row_output) return;
      p += "        " + pointer_type(o, role) + " " + name + "e = " + name + "r" + (form_.two_levels ? " + (long)j * " + name + "_sj" : "") + ";\n";
    });
    return p;
  }

  // body(width, fresh, chain) for every element of the row.
  template <class Body>
  std::string walk(const Body& body, int chains = 1) {
    const std::string w = number(static_cast<std::size_t>(form_.width)), g = number(form_.group);
    if (shares_row()) {
      std::string p = stretch() + "        int i = item * " + w + ";\n";
      if (form_.width > 1) {
        p += "        for (; i + " + w + " <= n1; i += " + number(form_.group * static_cast<unsigned>(form_.width)) + ") { " + body(form_.width, false, 0) + "}\n";
        p += "        i = n1 / " + w + " * " + w + " + item;\n";
      }
      return p + "        for (; i < n1; i += " + g + ") { " + body(1, false, 0) + "}\n      }\n";
    }
    const std::string single = stretch() + "        for (int i = 0; i < n1; ++i) { " + body(1, false, 0) + "}\n      }\n";
    if (form_.width == 1) return single;
    std::string main;
    if (chains > 1) {
      // Sums that do not wait for each other.
      const std::string step = number(static_cast<std::size_t>(chains * form_.width));
      main += "        for (; i + " + step + " <= n1; i += " + step + ") { ";
      for (int c = 0; c < chains; ++c) main += "{ const int first_of = i + " + number(static_cast<std::size_t>(c * form_.width)) + "; { const int i = first_of; " + body(form_.width, false, c) + "} } ";
      main += "}\n";
    }
    // The last vector reaches back over elements that have been done.
    return "      if (n1 >= " + w + ") {\n" + stretch() + "        int i = 0;\n" + main + "        for (; i + " + w + " <= n1; i += " + w + ") { " + body(form_.width, false, 0) + "}\n" +
           "        if (i < n1) { const int" + w + " fresh = " + counting(form_.width) + " + (n1 - " + w + ") >= i; i = n1 - " + w + "; " + body(form_.width, true, 0) + "}\n      }\n      } else {\n" +
           single + "      }\n";
  }

  std::string along() {
    std::string p = "      const float count = (float)n1 * (float)n0;\n";
    for (std::size_t k = 0; k < program_.steps.size(); ++k) {
      const RowProgram::Step& step = program_.steps[k];
      if (step.reduce == Reduce::none) {
        p += row_value(k, 1);
        continue;
      }
      const Compute type = type_of(step.value);
      const std::string one = compute_name(type), r = "r" + number(k);
      p += "      " + one + " " + r + ";\n      { " + one + " s = " + initial(step.reduce) + ";";
      if (form_.width > 1) p += " " + compute_name(type, form_.width) + " a = " + initial(step.reduce) + ";";
      // Long expressions keep the units busy by themselves.
      const int chains = form_.width > 1 && !shares_row() && !kept(k) && step.value.nodes.size() <= 8 ? 4 : 1;
      for (int c = 1; c < chains; ++c) p += " " + compute_name(type, form_.width) + " a_" + number(static_cast<std::size_t>(c)) + " = " + initial(step.reduce) + ";";
      p += "\n" + walk([&](int width, bool fresh, int chain) { return count_in(k, width, fresh, chain); }, chains);
      for (int c = 1; c < chains; ++c) p += "      a = " + joined(step.reduce, "a", "a_" + number(static_cast<std::size_t>(c))) + ";\n";
      std::string a = "a";
      for (int half = form_.width / 2; half >= 1; half /= 2) {
        const std::string next = "a" + number(static_cast<std::size_t>(half));
        p += "      const " + compute_name(type, half) + " " + next + " = " + joined(step.reduce, a + ".lo", a + ".hi") + ";\n";
        a = next;
      }
      if (form_.width > 1) p += "      s = " + joined(step.reduce, "s", a) + ";\n";
      if (shares_row()) {
        const std::string shared = "shared_" + one, at = shared + "[item]";
        p += "      " + at + " = s; barrier(CLK_LOCAL_MEM_FENCE);\n      for (int o = " + number(form_.group / 2) + "; o > 0; o >>= 1) { if (item < o) " + at + " = " +
             joined(step.reduce, at, shared + "[item + o]") + "; barrier(CLK_LOCAL_MEM_FENCE); }\n      s = " + shared + "[0]; barrier(CLK_LOCAL_MEM_FENCE);\n";
      }
      p += "      " + r + " = s; }\n";
    }
    for (std::size_t z = 0; z < form_.row_outputs.size(); ++z) p += std::string("      ") + (shares_row() ? "if (item == 0) { " : "{ ") + store_row(z, 1, "z" + number(z) + "r") + " }\n";
    return p + walk([&](int width, bool, int) { return finish(width); });
  }

  // ---- across -----------------------------------------------------------------------------------------------------------

  template <class Body>
  std::string walk_across(const Body& body) {
    std::string p = form_.two_levels ? "      for (int j = 0; j < n0; ++j)\n" : "      { const int j = 0;\n";
    p += "      for (int i = 0; i < n1; ++i) { ";
    each([&](const std::string& name, const RowForm::Operand& o, Role role) {
      if (role == Role::row_output) return;
      p += pointer_type(o, role) + " " + name + "e = " + name + "l" + (form_.two_levels ? " + (long)j * " + name + "_sj" : "") + " + (long)i * " + name + "_si; ";
    });
    return p + body + "}\n" + (form_.two_levels ? "" : "      }\n");
  }

  // The rows of lanes [lane, lane + width).
  std::string lanes(int width) {
    std::string p;
    each([&](const std::string& name, const RowForm::Operand& o, Role role) {
      p += "      " + pointer_type(o, role) + " " + name + "l = " + name + "r" + (o.step == Step::none ? "" : o.step == Step::unit ? " + lane" : " + (long)lane * " + name + "_sv") + ";\n";
    });
    p += "      const float count = (float)n1 * (float)n0;\n";
    for (std::size_t k = 0; k < program_.steps.size(); ++k) {
      const RowProgram::Step& step = program_.steps[k];
      if (step.reduce == Reduce::none) {
        p += row_value(k, width);
        continue;
      }
      const std::string type = compute_name(type_of(step.value), width), r = "r" + number(k);
      p += "      " + type + " " + r + ";\n      { " + type + " s = (" + type + ")(" + initial(step.reduce) + ");\n" + walk_across(count_in(k, width, false)) + "      " + r + " = s; }\n";
    }
    for (std::size_t z = 0; z < form_.row_outputs.size(); ++z) p += "      " + store_row(z, width, "z" + number(z) + "l") + "\n";
    return p + walk_across(finish(width));
  }

  std::string across() {
    const std::string w = number(static_cast<std::size_t>(form_.width));
    std::string p = "    const int from = (int)get_global_id(0) * lanes_each, to = min(from + lanes_each, lanes);\n";
    const std::string single = "    for (int lane = from; lane < to; ++lane) {\n" + lanes(1) + "    }\n";
    if (form_.width == 1) return p + single;
    // Lanes at the end are done with some that have been done before.
    return p + "    if (lanes >= " + w + ") {\n    for (int l = from; l < to; l += " + w + ") {\n    const int lane = min(l, lanes - " + w + ");\n" + lanes(form_.width) + "    }\n    } else {\n" + single + "    }\n";
  }

  const RowForm& form_;
  const RowProgram& program_;
  bool once_a_row_ = false;  // operands are read where the row starts
};

}  // namespace

KernelText row_kernel(const RowForm& form) { return Writer(form).write(); }

}  // namespace tenon::opencl
