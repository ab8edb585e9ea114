#include "plugins/cpu/ops/attention_cache.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace tenon::cpu {
namespace {

std::size_t bytes_of(std::int64_t elements) { return static_cast<std::size_t>(elements) * sizeof(float); }

}  // namespace

void CacheCounts::add_to(std::vector<Ref>& reads) const {
  for (const Ref r : {before, after, shifts, kept})
    if (r.present()) reads.push_back(r);
}

void RowForm::add_to(std::vector<Ref>& reads) const {
  for (const Ref r : {norm, cos, sin, positions, total})
    if (r.present()) reads.push_back(r);
}

bool RowForm::apply(const StepContext& c, std::int64_t item, std::int64_t place, const float* from, float* to, std::int64_t depth) const {
  if (from != to) std::memcpy(to, from, bytes_of(depth));
  if (norm.present()) {
    float squares = 0;
    for (std::int64_t e = 0; e < depth; ++e) squares += to[e] * to[e];
    const float factor = 1 / std::sqrt(squares / static_cast<float>(depth) + epsilon);
    const auto* by = c.ptr<const float>(norm);
    for (std::int64_t e = 0; e < depth; ++e) to[e] *= factor * by[e];
  }
  if (half == 0) return true;
  std::int64_t at = place;
  if (const auto* given = positions.present() ? c.ptr<const std::int64_t>(positions) : nullptr)
    at = total.present() && *c.ptr<const std::int32_t>(total) == rows ? std::clamp<std::int64_t>(given[0], -1, table_rows) + item % rows
                                                                      : given[item];
  if (at < 0 || at >= table_rows) {
    c.fail(TENON_OUT_OF_RANGE, "position " + std::to_string(at) + " is outside " + std::to_string(table_rows) + " table rows");
    return false;
  }
  const float *co = c.ptr<const float>(cos) + at * half, *si = c.ptr<const float>(sin) + at * half;
  const std::int64_t step = interleaved ? 2 : 1, second = interleaved ? 1 : half;
  for (std::int64_t i = 0; i < half; ++i) {
    const float a = to[i * step], b = to[i * step + second];
    to[i * step] = a * co[i] - b * si[i];
    to[i * step + second] = a * si[i] + b * co[i];
  }
  return true;
}

int CacheFormat::code(float x, float by) const {
  const float whole = std::nearbyint(x / by), most = bits == 8 ? 127 : 7;
  return whole == whole ? static_cast<int>(std::fmin(std::fmax(whole, -most - 1), most)) : 0;
}

void CacheFormat::read(const StepContext& c, std::int64_t head, const void* row, float* to, std::int64_t depth) const {
  if (bits == 32) {
    if (row != to) std::memcpy(to, row, bytes_of(depth));
    return;
  }
  const float* by = c.ptr<const float>(scale) + head * scale_head;
  const auto* bytes = static_cast<const std::uint8_t*>(row);
  for (std::int64_t e = 0; e < depth; ++e) {
    const int code = bits == 8 ? static_cast<std::int8_t>(bytes[e]) : (bytes[e / 2] >> (e % 2 * 4) & 15) - 8;
    to[e] = static_cast<float>(code) * by[e * scale_element];
  }
}

void CacheFormat::write(const StepContext& c, std::int64_t head, const float* from, void* row, std::int64_t depth) const {
  if (bits == 32) {
    std::memcpy(row, from, bytes_of(depth));
    return;
  }
  const float* by = c.ptr<const float>(scale) + head * scale_head;
  auto* bytes = static_cast<std::uint8_t*>(row);
  if (bits == 4) std::memset(row, 0, static_cast<std::size_t>(row_bytes(depth)));
  for (std::int64_t e = 0; e < depth; ++e) {
    const int x = code(from[e], by[e * scale_element]);
    if (bits == 8) bytes[e] = static_cast<std::uint8_t>(x);
    else bytes[e / 2] = static_cast<std::uint8_t>(bytes[e / 2] | (x + 8) << (e % 2 * 4));
  }
}

void CacheFormat::round(const StepContext& c, std::int64_t head, float* row, std::int64_t depth) const {
  if (bits == 32) return;
  const float* by = c.ptr<const float>(scale) + head * scale_head;
  for (std::int64_t e = 0; e < depth; ++e) row[e] = static_cast<float>(code(row[e], by[e * scale_element])) * by[e * scale_element];
}

void FormQueries::operator()(const StepContext& c) const {
  const auto slice = c.slice(batch * rows);
  for (std::int64_t item = slice.begin; item < slice.end; ++item) {
    const std::int64_t b = item / rows, t = item % rows, old = counts.read_rows(c, b);
    float* row = c.ptr<float>(to) + item * heads * depth;
    if (t >= counts.rows(c, b) - old) {
      std::fill(row, row + heads * depth, 0.0f);
      continue;
    }
    for (std::int64_t h = 0; h < heads; ++h)
      if (!form.apply(c, item, counts.shift(c, b) + old + t,
                      c.ptr<const float>(from) + b * strides.batch + h * strides.head + t * strides.row, row + h * depth, depth))
        return;
  }
}

void FillCache::operator()(const StepContext& c) const {
  const auto slice = c.slice(batch * heads * rows, 8);
  const char* before = past.present() ? c.ptr<const char>(past) : nullptr;
  for (std::int64_t item = slice.begin; item < slice.end; ++item) {
    const std::int64_t head = item / rows, t = item % rows, b = head / heads, old = counts.read_rows(c, b), n = t - old;
    float* row = c.ptr<float>(to) + item * depth;
    if (n < 0) {
      format.read(c, head % heads, before + (head * past_rows + t) * format.row_bytes(depth), row, depth);
    } else if (t < counts.rows(c, b)) {
      const float* from = c.ptr<const float>(fresh) + offset + b * strides.batch + head % heads * strides.head + n * strides.row;
      if (!form.apply(c, b * fresh_rows + n, counts.shift(c, b) + t, from, row, depth)) return;
      format.round(c, head % heads, row, depth);
    } else {
      std::fill(row, row + depth, 0.0f);
    }
  }
}

void StoreCache::operator()(const StepContext& c) const {
  const auto slice = c.slice(batch * heads * rows, 8);
  const std::int64_t bytes = format.row_bytes(depth);
  for (std::int64_t item = slice.begin; item < slice.end; ++item) {
    const std::int64_t head = item / rows, t = item % rows, b = head / heads, kept = counts.kept_rows(c, b);
    const std::int64_t at = counts.rows(c, b) - kept + t;
    char* row = c.ptr<char>(to) + item * bytes;
    if (t >= kept) {
      std::memset(row, 0, static_cast<std::size_t>(bytes));
    } else if (at < counts.read_rows(c, b)) {
      const char* from = c.ptr<const char>(past) + (head * past_rows + at) * bytes;
      if (from != row) std::memcpy(row, from, static_cast<std::size_t>(bytes));
    } else {
      format.write(c, head % heads, c.ptr<const float>(from) + (head * from_rows + at) * depth, row, depth);
    }
  }
}

}  // namespace tenon::cpu
