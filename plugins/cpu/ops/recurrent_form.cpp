#include <algorithm>
#include <cctype>
#include <iterator>
#include <string>

#include "plugins/cpu/ops/recurrent.h"

namespace tenon::cpu {
namespace {

// The names are compared without case. False: unknown.
bool parse_activation(std::string_view name, Activation* out, bool* alpha, bool* beta) {
  struct Known {
    std::string_view name;
    Activation activation;
    bool alpha, beta;
  };
  static constexpr Known known[] = {
      {"relu", {Activate::relu, 0, 0}, false, false},
      {"tanh", {Activate::tanh, 0, 0}, false, false},
      {"sigmoid", {Activate::sigmoid, 0, 0}, false, false},
      {"affine", {Activate::affine, 1, 0}, true, true},
      {"leakyrelu", {Activate::leaky_relu, 0.01f, 0}, true, false},
      {"thresholdedrelu", {Activate::thresholded_relu, 1, 0}, true, false},
      {"scaledtanh", {Activate::scaled_tanh, 1, 1}, true, true},
      {"hardsigmoid", {Activate::hard_sigmoid, 0.2f, 0.5f}, true, true},
      {"elu", {Activate::elu, 1, 0}, true, false},
      {"softsign", {Activate::softsign, 0, 0}, false, false},
      {"softplus", {Activate::softplus, 0, 0}, false, false},
  };
  const auto same = [](char a, char b) { return a == b || (a >= 'A' && a <= 'Z' && a - 'A' + 'a' == b); };
  for (const Known& k : known) {
    if (!std::equal(name.begin(), name.end(), k.name.begin(), k.name.end(), same)) continue;
    *out = k.activation, *alpha = k.alpha, *beta = k.beta;
    return true;
  }
  return false;
}

}  // namespace

std::string parse_recurrent_form(const NodeView& node, RecurrentForm* form) {
  const std::string_view type = node.op_type(), direction = node.string_or("direction", "forward");
  form->kind = type == "LSTM" || type == "DynamicQuantizeLSTM" ? RecurrentKind::lstm : type == "GRU" ? RecurrentKind::gru : RecurrentKind::rnn;
  if (direction != "forward" && direction != "reverse" && direction != "bidirectional") return "direction " + std::string(direction);
  form->directions = direction == "bidirectional" ? 2 : 1;
  form->reverse = direction == "reverse";
  form->batch_first = node.int_or("layout", 0) != 0;
  form->linear_before_reset = node.int_or("linear_before_reset", 0) != 0;
  form->input_forget = node.int_or("input_forget", 0) != 0;
  form->clip = node.float_or("clip", 0);
  const std::size_t each = form->kind == RecurrentKind::lstm ? 3 : form->kind == RecurrentKind::gru ? 2 : 1;
  const auto names = node.strings("activations");
  const auto alphas = node.floats("activation_alpha"), betas = node.floats("activation_beta");
  std::size_t next_alpha = 0, next_beta = 0;
  const std::size_t wanted = each * static_cast<std::size_t>(form->directions);
  if (!names.empty() && names.size() < wanted) return "too few activations";
  for (std::size_t i = 0; i < wanted; ++i) {
    static constexpr std::string_view defaults[3] = {"sigmoid", "tanh", "tanh"};
    std::string_view name = form->kind == RecurrentKind::rnn ? "tanh" : defaults[i % each];
    if (!names.empty()) name = {names[i].data, names[i].size};
    Activation& activation = form->activations[i / each][i % each];
    bool alpha, beta;
    if (!parse_activation(name, &activation, &alpha, &beta)) return "activation " + std::string(name);
    if (alpha && next_alpha < alphas.size()) activation.alpha = alphas[next_alpha++];
    if (beta && next_beta < betas.size()) activation.beta = betas[next_beta++];
  }
  return {};
}

}  // namespace tenon::cpu
