#include "core/plan/plan.h"

namespace tenon {

Plan::~Plan() {
  for (PlannedProgram& p : programs)
    if (p.handle) p.program->device->plan_destroy(p.handle);
}

std::uint64_t Plan::Domain::bytes() const {
  std::uint64_t sum = 0;
  for (std::uint64_t s : slabs) sum += s;
  return sum;
}

namespace {

class PlanText {
 public:
  PlanText(const Plan& plan, const Graph& graph) : plan_(plan), graph_(graph) {}

  std::string run() {
    out_ = fmt::format("segment {}: {} items\n", plan_.segment, plan_.items.size());
    for (const Plan::Domain& d : plan_.domains) {
      out_ += fmt::format("  arena {} {} bytes", d.uid, d.bytes());
      if (d.slabs.size() > 1) {
        out_ += " in slabs of";
        for (std::uint64_t s : d.slabs) out_ += fmt::format(" {}", s);
      }
      out_ += '\n';
    }
    for (const auto& r : plan_.residents) out_ += fmt::format("  evaluated values {} bytes, copied once\n", r->address().bytes);
    for (const Plan::Kept& k : plan_.keeps) out_ += fmt::format("  keep {} {} bytes in {}\n", name(k.value), k.bytes, plan_.domains[k.domain].uid);
    for (const PlannedItem& item : plan_.items) {
      for (const PlannedWait& w : item.waits)
        out_ += fmt::format("  wait for {}{}{}\n", w.mark == none ? "" : fmt::format("mark {} of ", w.mark), queue(w.queue), w.by == none ? "" : " by " + queue(w.by));
      switch (item.kind) {
        case PlannedItem::Kind::host_step: out_ += fmt::format("  core {}\n", graph_.nodes[item.index].label()); break;
        case PlannedItem::Kind::copy: copy(plan_.copies[item.index]); break;
        case PlannedItem::Kind::program: program(plan_.programs[item.index]); break;
      }
      if (item.mark != none) out_ += fmt::format("  mark {}\n", item.mark);
    }
    for (std::uint32_t q = 0; q < plan_.queues.size(); ++q) out_ += fmt::format("  wait for {}\n", queue(q));
    return std::move(out_);
  }

 private:
  std::string queue(std::uint32_t q) const { return "queue of " + plan_.queues[q]->info().uid; }
  std::string where(const Storage& s) const {
    const std::string& uid = plan_.domains[s.domain].uid;
    switch (s.kind) {
      case Storage::Kind::arena: return plan_.domains[s.domain].slabs.size() > 1 ? fmt::format("{}+{}:{}", uid, s.slab, s.offset) : fmt::format("{}+{}", uid, s.offset);
      case Storage::Kind::slot: return "slot";
      case Storage::Kind::fixed: return "evaluated";
      case Storage::Kind::kept: return uid + " kept";
      case Storage::Kind::resident: return fmt::format("{} evaluated+{}", uid, s.offset);
      case Storage::Kind::absent: break;
    }
    return "-";
  }
  std::string name(ValueId v) const { return v == none ? "temp" : "\"" + graph_.values[v].name + "\""; }

  void copy(const PlannedCopy& c) {
    const RouteInfo& route = c.device->info().routes[c.route];
    out_ += fmt::format("  copy {} {} bytes {} -> {} by {}, {:.3g} GB/s and {:.3g} us{}\n", name(c.value), c.bytes, where(c.from), where(c.to),
                        c.device->info().uid, route.bytes_per_ns, route.latency_ns / 1000, c.queue == none ? "" : ", queued");
  }
  void program(const PlannedProgram& p) {
    out_ += fmt::format("  {} {} steps{}\n", p.program->device->provider().id(), p.step_count, p.queue == none ? "" : ", queued");
    for (std::size_t o = 0; o < p.operands.size(); ++o)
      out_ += fmt::format("    operand {} {} {} bytes {}\n", o, name(p.operands[o].value), p.operands[o].bytes, where(p.operands[o]));
    for (const PlannedStep& s : p.steps) out_ += fmt::format("    {}{}\n", s.name, s.spmd ? " spmd" : "");
  }

  const Plan& plan_;
  const Graph& graph_;
  std::string out_;
};

}  // namespace

std::string plan_text(const Plan& plan, const Graph& graph) { return PlanText(plan, graph).run(); }

}  // namespace tenon
