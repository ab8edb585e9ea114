#include <algorithm>
#include <map>
#include <unordered_map>

#include "core/graph/graph.h"
#include "core/report/format.h"
#include "core/report/layout.h"
#include "core/report/page.h"
#include "core/report/placement.h"

namespace tenon {
namespace {

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += static_cast<unsigned char>(c) < ' ' && c != '\n' && c != '\t' ? ' ' : c;
    }
  return out;
}

// JSON inside a script element: nothing in it can end the element.
std::string embedded(std::string json) {
  std::string out;
  out.reserve(json.size());
  for (const char c : json) {
    if (c == '<') out += "\\u003c";
    else out += c;
  }
  return out;
}

std::string shortened(std::string_view text, std::size_t width) {
  if (text.size() <= width) return std::string(text);
  std::size_t from = text.size() - (width - 1);  // the end of a name tells more than its beginning
  while (from < text.size() && (static_cast<unsigned char>(text[from]) & 0xc0) == 0x80) ++from;
  return "…" + std::string(text.substr(from));
}

class Page {
 public:
  Page(const ModelInfo& model, const PlacementReport& report) : model_(model), report_(report) {}

  std::string run() {
    const std::string name = model_.path.empty() ? "model" : model_.path.substr(model_.path.rfind('/') + 1);
    out_ =
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src "
        "'unsafe-inline'\">\n";
    add("<title>{} on tenon</title>\n<style>{}</style></head><body>\n", escaped(name), page_style);
    double copied = 0;
    for (const PlacedCopy& c : report_.copies) copied += static_cast<double>(c.bytes);
    add("<h1>{}</h1>\n<div class=\"soft\">{} · {} · {} copies ({} a run) · estimated {} a run · weights {}</div>\n", escaped(name),
        count_text(report_.nodes.size(), "node"), count_text(report_.parts.size(), "part"), report_.copies.size(), bytes_text(copied),
        ns_text(report_.cost_ns), bytes_text(static_cast<double>(report_.weight_bytes)));
    if (!report_.unsupported.ok()) add("<pre class=\"mono\">cannot run: {}</pre>\n", escaped(report_.unsupported.text()));
    devices();
    add("<h2>Graph</h2>\n<div><input id=\"search\" placeholder=\"operator, name, value, provider, reason\"><span id=\"found\" "
        "class=\"soft\">"
        "</span></div>\n<div id=\"stage\"><div id=\"graph\">\n");
    graph();
    add("</div><div id=\"side\"></div></div>\n<div class=\"soft\">drag to move, wheel to zoom; dashed: copied between "
        "memories</div>\n");
    memory();
    copies();
    refusals();
    notes();
    add("<script type=\"application/json\" id=\"data\">{}</script>\n<script>{}</script>\n</body></html>\n",
        embedded(placement_json(model_, report_)), page_script);
    return std::move(out_);
  }

 private:
  template <class... Args>
  void add(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(out_), format, std::forward<Args>(args)...);
  }

  std::uint32_t device_of(const PlacedNode& n) const {
    for (std::uint32_t d = 0; d < report_.devices.size(); ++d)
      if (report_.devices[d].provider == n.provider && report_.devices[d].uid == n.device) return d;
    return none;
  }
  std::string color(const PlacedNode& n) const {
    const std::uint32_t d = device_of(n);
    return d == none ? n.provider : fmt::format("d{}", d % 8);
  }

  void devices() {
    add("<h2>Devices</h2>\n<table><tr><th>runs on</th><th>device</th><th class=\"r\">nodes</th><th class=\"r\">estimate</th><th "
        "class=\"r\">measured</th><th>share</th></tr>\n");
    for (std::uint32_t d = 0; d < report_.devices.size(); ++d) {
      const PlacedDevice& device = report_.devices[d];
      std::size_t nodes = 0, measured = 0;
      double cost = 0;
      for (const PlacedNode& n : report_.nodes)
        if (device_of(n) == d) ++nodes, cost += n.cost_ns, measured += n.measured;
      add("<tr><td><span class=\"key d{}\"></span>{}{}</td><td>{} <span class=\"soft\">{}</span></td><td class=\"r\">{}</td><td "
          "class=\"r\">{}</td><td class=\"r\">{}</td>"
          "<td><span class=\"bar d{}\" style=\"width:{:.0f}px\"></span></td></tr>\n",
          d % 8, escaped(device.provider), device.fallback ? " (fallback)" : "", escaped(device.uid), escaped(device.name), nodes,
          ns_text(cost), measured, d % 8, report_.cost_ns > 0 ? 240 * std::min(1.0, cost / report_.cost_ns) : 0);
    }
    std::map<std::string, std::size_t> others;
    for (const PlacedNode& n : report_.nodes)
      if (device_of(n) == none) ++others[n.provider];
    for (const auto& [who, nodes] : others)
      add("<tr><td><span class=\"key {}\"></span>{}</td><td class=\"soft\">{}</td><td class=\"r\">{}</td></tr>\n", escaped(who),
          escaped(who), who == "core" ? "shape arithmetic and control flow" : "no provider takes these", nodes);
    add("</table>\n");
  }

  // Each graph (the model's, then bodies) laid out by itself, one below the other.
  void graph() {
    std::vector<std::pair<std::string, std::vector<std::uint32_t>>> graphs;
    for (std::uint32_t n = 0; n < report_.nodes.size(); ++n) {
      if (graphs.empty() || graphs.back().first != report_.nodes[n].graph)
        graphs.emplace_back(report_.nodes[n].graph, std::vector<std::uint32_t>());
      graphs.back().second.push_back(n);
    }
    const LayoutSizes sizes;
    std::string body;
    double width = 400, height = 10;
    for (const auto& [path, nodes] : graphs) {
      if (!path.empty()) {
        body += fmt::format("<text class=\"t\" x=\"0\" y=\"{:.0f}\">body {}</text>\n", height + 30, escaped(path));
        height += 46;
      }
      std::unordered_map<std::int32_t, std::uint32_t> maker;  // by value
      for (std::uint32_t i = 0; i < nodes.size(); ++i)
        for (const std::int32_t v : report_.nodes[nodes[i]].outputs) maker.emplace(v, i);
      std::vector<std::pair<std::uint32_t, std::uint32_t>> edges;
      for (std::uint32_t i = 0; i < nodes.size(); ++i)
        for (const std::int32_t v : report_.nodes[nodes[i]].inputs)
          if (const auto it = maker.find(v); v >= 0 && it != maker.end()) edges.emplace_back(it->second, i);
      std::sort(edges.begin(), edges.end());
      edges.erase(std::unique(edges.begin(), edges.end()), edges.end());
      const Layout layout = lay_out_layers(nodes.size(), edges, sizes);
      for (const auto& [from, to] : edges)
        edge(body, layout.nodes[from], layout.nodes[to], sizes, height, memory_of(nodes[from]) != memory_of(nodes[to]));
      for (std::uint32_t i = 0; i < nodes.size(); ++i) node(body, nodes[i], layout.nodes[i], sizes, height);
      width = std::max(width, layout.width);
      height += layout.height + 30;
    }
    add("<svg width=\"100%\" height=\"100%\" viewBox=\"0 0 {:.0f} {:.0f}\" preserveAspectRatio=\"xMidYMin meet\">\n{}</svg>\n",
        width, height, body);
  }
  std::string memory_of(std::uint32_t n) const {
    const std::uint32_t d = device_of(report_.nodes[n]);
    return d == none ? "host" : report_.devices[d].memory;
  }
  static void edge(std::string& to, const LayoutNode& a, const LayoutNode& b, const LayoutSizes& s, double top, bool copied) {
    const double x1 = a.x + s.node_width / 2, y1 = top + a.y + s.node_height, x2 = b.x + s.node_width / 2, y2 = top + b.y,
                 bend = std::min(60.0, (y2 - y1) / 2);
    to += fmt::format("<path class=\"{}\" d=\"M{:.0f} {:.0f}C{:.0f} {:.0f} {:.0f} {:.0f} {:.0f} {:.0f}\"/>\n",
                      copied ? "e c" : "e", x1, y1, x1, y1 + bend, x2, y2 - bend, x2, y2);
  }
  void node(std::string& to, std::uint32_t n, const LayoutNode& at, const LayoutSizes& s, double top) const {
    const PlacedNode& placed = report_.nodes[n];
    to += fmt::format(
        "<g class=\"n\" id=\"n{}\" transform=\"translate({:.0f} {:.0f})\"><rect class=\"{}\" width=\"{:.0f}\" height=\"{:.0f}\" "
        "rx=\"4\"/>"
        "<text x=\"7\" y=\"15\">{}</text><text class=\"name\" x=\"7\" y=\"28\">{}</text></g>\n",
        n, at.x, top + at.y, color(placed), s.node_width, s.node_height, escaped(shortened(placed.op_type, 20)),
        escaped(shortened(placed.name, 25)));
  }

  // A memory has the colour of the first device that computes in it.
  std::string color_of_memory(std::string_view uid) const {
    for (std::uint32_t d = 0; d < report_.devices.size(); ++d)
      if (report_.devices[d].memory == uid) return fmt::format("d{}", d % 8);
    return "core";
  }
  void memory() {
    const MemoryReport& m = report_.memory;
    add("<h2>Memory of a run</h2>\n");
    if (!m.note.empty()) add("<div class=\"soft\">{}</div>\n", escaped(m.note));
    if (m.domains.empty() || m.steps.empty()) return;
    std::uint64_t most = 1;
    for (const auto& d : m.domains) most = std::max(most, *std::max_element(d.live.begin(), d.live.end()));
    add("<svg id=\"curve\" width=\"100%\" height=\"160\" viewBox=\"0 0 1000 160\" preserveAspectRatio=\"none\">\n");
    for (std::size_t d = 0; d < m.domains.size(); ++d) {
      std::string points;
      const double step = 1000.0 / static_cast<double>(m.steps.size());
      for (std::size_t t = 0; t < m.steps.size(); ++t) {
        const double y = 150 - 140 * static_cast<double>(m.domains[d].live[t]) / static_cast<double>(most);
        points += fmt::format("{:.1f},{:.1f} {:.1f},{:.1f} ", static_cast<double>(t) * step, y, static_cast<double>(t + 1) * step, y);
      }
      add("<polygon class=\"area {}\" points=\"0,150 {}1000,150\"/><polyline class=\"curve\" stroke=\"currentColor\" "
          "points=\"{}\"/>\n",
          color_of_memory(m.domains[d].uid), points, points);
    }
    add("</svg>\n<div id=\"step\" class=\"soft mono\">most: {} at step {} of {}</div>\n<table><tr><th>memory</th><th "
        "class=\"r\">bytes</th></tr>\n",
        bytes_text(static_cast<double>(most)), m.peak_step, m.steps.size());
    for (const auto& d : m.domains)
      add("<tr><td><span class=\"key {}\"></span>{}</td><td class=\"r\">{}</td></tr>\n", color_of_memory(d.uid), escaped(d.uid),
          bytes_text(static_cast<double>(d.bytes)));
    add("</table>\n<table><tr><th>held at the peak</th><th>memory</th><th class=\"r\">bytes</th></tr>\n");
    for (const auto& h : m.at_peak)
      add("<tr><td>{}</td><td>{}</td><td class=\"r\">{}</td></tr>\n", h.value.empty() ? "(inside a part)" : escaped(h.value),
          escaped(h.memory), bytes_text(static_cast<double>(h.bytes)));
    add("</table>\n");
  }

  void copies() {
    if (report_.copies.empty()) return;
    add("<h2>Copies between memories</h2>\n<table><tr><th>value</th><th>from</th><th>to</th><th class=\"r\">bytes</th><th "
        "class=\"r\">estimate</th></tr>\n");
    for (const PlacedCopy& c : report_.copies)
      add("<tr><td>{}</td><td>{}</td><td>{}</td><td class=\"r\">{}</td><td class=\"r\">{}</td></tr>\n", escaped(c.value),
          escaped(c.from), escaped(c.to), bytes_text(static_cast<double>(c.bytes)), ns_text(c.cost_ns));
    add("</table>\n");
  }

  void refusals() {
    const std::vector<RefusalGroup> groups = refusal_groups(report_);
    if (groups.empty()) return;
    add("<h2>Why not elsewhere</h2>\n<table><tr><th>not on</th><th>reason</th><th>operator</th><th "
        "class=\"r\">nodes</th><th>because</th><th>what may help</th></tr>\n");
    for (const RefusalGroup& g : groups)
      add("<tr data-find=\"{}\"><td>{}</td><td>{}</td><td>{}</td><td class=\"r\">{}</td><td>{}</td><td "
          "class=\"soft\">{}</td></tr>\n",
          escaped(g.text.starts_with("outbid") ? "outbid" : g.text), escaped(report_.devices[g.device].provider),
          reject_name(g.reason), escaped(g.op_type), g.nodes.size(), escaped(g.text), refusal_remedy(g.reason));
    add("</table>\n");
  }

  void notes() {
    if (report_.notes.empty()) return;
    add("<h2>Notes</h2>\n<ul>\n");
    for (const std::string& note : report_.notes) add("<li>{}</li>\n", escaped(note));
    add("</ul>\n");
  }

  const ModelInfo& model_;
  const PlacementReport& report_;
  std::string out_;
};

}  // namespace

std::string placement_html(const ModelInfo& model, const PlacementReport& report) { return Page(model, report).run(); }

}  // namespace tenon
