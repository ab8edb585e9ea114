// The text of an expression: statements that compute its nodes on scalars or vectors.
// Pure functions.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "plugins/opencl/codegen/expression.h"

namespace tenon::opencl {

struct ExpressionText {
  std::string statements;             // one declaration for each node
  std::vector<std::string> names;     // by node: the variable that holds it
};

// load: the text of a load's value, of its compute type and width. prefix starts the variables' names. hoisted: loads (by slot) that the
// caller has in a variable already, "" elsewhere.
ExpressionText write_expression(const Expression& e, int width, const std::string& prefix, const std::function<std::string(const Expression::Node&)>& load);

// Helper texts that the statements call, for every width named.
std::vector<std::string> expression_helpers(const Expression& e, const std::vector<int>& widths);

// True for functions that write_expression knows.
bool knows_function(const std::string& fn);

}  // namespace tenon::opencl
