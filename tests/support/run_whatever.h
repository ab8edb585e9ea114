// run_whatever: loads and runs a model that may be damaged or hostile, under small limits.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "core/run/session.h"

namespace tenon::test {

// Small values for whatever the model, damaged or not, says it takes.
inline std::vector<NamedDatum> feeds_of(const Session& s) {
  std::vector<NamedDatum> feeds;
  for (const Port& p : s.inputs()) {
    if (p.type.kind != TENON_KIND_TENSOR) continue;
    Dims dims;
    if (p.type.dims)
      for (const Dim& d : *p.type.dims) dims.push_back(d.fixed() ? d.value : 2);
    const Checked count = element_count(dims);
    if (!count.valid() || count.value() > 100000) continue;
    auto d = Datum::tensor(p.type.dtype, dims);
    if (!d.ok()) continue;
    if (d->data) std::memset(d->data, 1, d->bytes);
    feeds.push_back({p.name, *std::move(d)});
  }
  return feeds;
}

// What went wrong in load or run, if anything; a failure of either is fine, ending the process is not.
inline Status run_whatever(std::string_view bytes) {
  static const Config limits = *Config::parse(
      R"({"providers":[{"use":"cpu"}],"session":{"threads":1,"bundle":"any"},"limits":{"memory":"16MiB","run":"50ms","load":"5s"}})", "limits");
  LoadOptions options;
  options.config = limits;
  auto s = Session::load_bytes({reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()}, std::move(options));
  if (!s.ok()) return std::move(s.status());
  std::vector<NamedDatum> out;
  return (*s)->run(feeds_of(**s), {}, out);
}

}  // namespace tenon::test
