#include "core/report/layout.h"

#include <algorithm>
#include <numeric>

namespace tenon {
namespace {

using Neighbours = std::vector<std::vector<std::uint32_t>>;

// The mean place of a node's neighbours; its own where it has none.
double middle(const std::vector<std::uint32_t>& neighbours, const std::vector<double>& place, std::uint32_t own) {
  if (neighbours.empty()) return place[own];
  double sum = 0;
  for (std::uint32_t n : neighbours) sum += place[n];
  return sum / static_cast<double>(neighbours.size());
}

// Left to right in the order that is given, each as near to its wish as its left neighbour lets it, then the whole layer
// back by what it drifted.
void settle(const std::vector<std::uint32_t>& layer, const Neighbours& near, std::vector<double>& x, double step) {
  std::vector<double> wish;
  for (std::uint32_t n : layer) wish.push_back(middle(near[n], x, n));
  double last = 0, drift = 0;
  for (std::size_t i = 0; i < layer.size(); ++i) {
    last = i == 0 ? wish[0] : std::max(wish[i], last + step);
    x[layer[i]] = last;
    drift += last - wish[i];
  }
  drift /= static_cast<double>(layer.size());
  for (std::uint32_t n : layer) x[n] -= drift;
}

}  // namespace

Layout lay_out_layers(std::size_t count, std::span<const std::pair<std::uint32_t, std::uint32_t>> edges, const LayoutSizes& sizes) {
  Layout out;
  out.nodes.resize(count);
  if (count == 0) return out;
  Neighbours above(count), below(count);
  for (const auto& [from, to] : edges)
    if (from < to && to < count) above[to].push_back(from), below[from].push_back(to);
  std::vector<std::uint32_t> layer_of(count, 0);
  for (std::uint32_t n = 0; n < count; ++n)
    for (std::uint32_t p : above[n]) layer_of[n] = std::max(layer_of[n], layer_of[p] + 1);
  // What depends on nothing goes near its first reader, not to the top.
  for (std::uint32_t n = 0; n < count; ++n) {
    if (!above[n].empty() || below[n].empty()) continue;
    std::uint32_t first = layer_of[below[n][0]];
    for (std::uint32_t r : below[n]) first = std::min(first, layer_of[r]);
    layer_of[n] = first - 1;
  }
  std::vector<std::vector<std::uint32_t>> layers(1 + *std::max_element(layer_of.begin(), layer_of.end()));
  for (std::uint32_t n = 0; n < count; ++n) layers[layer_of[n]].push_back(n);

  std::vector<double> place(count);
  const auto number = [&](const std::vector<std::uint32_t>& layer) {
    for (std::size_t i = 0; i < layer.size(); ++i)
      place[layer[i]] = static_cast<double>(i) - static_cast<double>(layer.size() - 1) / 2;
  };
  for (const auto& layer : layers) number(layer);
  const auto order = [&](std::vector<std::uint32_t>& layer, const Neighbours& near) {
    std::vector<std::pair<double, std::uint32_t>> keyed;
    for (std::uint32_t n : layer) keyed.emplace_back(middle(near[n], place, n), n);
    std::stable_sort(keyed.begin(), keyed.end(), [](auto& a, auto& b) { return a.first < b.first; });
    for (std::size_t i = 0; i < layer.size(); ++i) layer[i] = keyed[i].second;
    number(layer);
  };
  for (int sweep = 0; sweep < 4; ++sweep) {
    for (auto& layer : layers) order(layer, above);
    for (auto it = layers.rbegin(); it != layers.rend(); ++it) order(*it, below);
  }
  for (auto& layer : layers) order(layer, above);

  const double step = sizes.node_width + sizes.gap_x;
  std::vector<double> x(count);
  for (std::uint32_t n = 0; n < count; ++n) x[n] = place[n] * step;
  for (const auto& layer : layers) settle(layer, above, x, step);
  const double left = *std::min_element(x.begin(), x.end());
  for (std::uint32_t n = 0; n < count; ++n) {
    out.nodes[n] = {x[n] - left, layer_of[n] * (sizes.node_height + sizes.gap_y), layer_of[n]};
    out.width = std::max(out.width, out.nodes[n].x + sizes.node_width);
    out.height = std::max(out.height, out.nodes[n].y + sizes.node_height);
  }
  return out;
}

}  // namespace tenon
