#include "plugins/cpu/ops/signal_fft.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace tenon::cpu {
namespace {

constexpr std::int64_t largest_factor = 13;

std::complex<double> root(std::int64_t k, std::int64_t n) {
  const double angle = -2 * std::numbers::pi * static_cast<double>(k) / static_cast<double>(n);
  return {std::cos(angle), std::sin(angle)};
}

// std::complex's product looks after infinities, which costs a branch for each.
inline std::complex<double> times(std::complex<double> a, std::complex<double> b) {
  return {a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real()};
}

}  // namespace

Fft::Fft(std::int64_t length) : n_(length) {
  std::int64_t rest = n_;
  for (std::int64_t p : {4, 2, 3, 5, 7, 11, 13}) {
    while (rest % p == 0) factors_.push_back(p), rest /= p;
  }
  if (rest == 1) {
    roots_.resize(static_cast<std::size_t>(n_));
    for (std::int64_t k = 0; k < n_; ++k) roots_[static_cast<std::size_t>(k)] = root(k, n_);
    return;
  }
  factors_.clear();
  std::int64_t m = 1;
  while (m < 2 * n_ - 1) m *= 2;
  inner_ = std::make_unique<const Fft>(m);
  // exp(-pi i k^2 / n); k^2 modulo 2 n keeps the angle exact.
  chirp_.resize(static_cast<std::size_t>(n_));
  for (std::int64_t k = 0, square = 0; k < n_; ++k) {
    chirp_[static_cast<std::size_t>(k)] = root(square, 2 * n_);
    square = (square + 2 * k + 1) % (2 * n_);
  }
  kernel_.assign(static_cast<std::size_t>(m), Complex(0));
  for (std::int64_t k = 0; k < n_; ++k) {
    const Complex c = std::conj(chirp_[static_cast<std::size_t>(k)]);
    kernel_[static_cast<std::size_t>(k)] = c;
    if (k > 0) kernel_[static_cast<std::size_t>(m - k)] = c;
  }
  std::vector<Complex> scratch(static_cast<std::size_t>(inner_->scratch()));
  inner_->forward(kernel_.data(), scratch.data());
}

void Fft::transform(std::complex<double>* x, std::complex<double>* scratch, bool inverse) const {
  if (inverse) std::for_each(x, x + n_, [](Complex& v) { v = std::conj(v); });
  forward(x, scratch);
  if (inverse) std::for_each(x, x + n_, [](Complex& v) { v = std::conj(v); });
}

void Fft::forward(Complex* x, Complex* scratch) const {
  if (inner_) return chirp(x, scratch);
  std::copy(x, x + n_, scratch);
  mixed(scratch, 1, x, n_, 0);
}

// out = transform of x[0], x[stride], ...; n elements.
void Fft::mixed(const Complex* x, std::int64_t stride, Complex* out, std::int64_t n, std::size_t factor) const {
  if (n == 1) {
    *out = *x;
    return;
  }
  const std::int64_t p = factors_[factor], m = n / p;
  for (std::int64_t q = 0; q < p; ++q) mixed(x + q * stride, stride * p, out + q * m, m, factor + 1);
  const Complex* roots = roots_.data();
  if (p == 2) {
    for (std::int64_t k = 0; k < m; ++k) {
      const Complex a = out[k], b = times(out[k + m], roots[k * stride]);
      out[k] = a + b;
      out[k + m] = a - b;
    }
    return;
  }
  if (p == 4) {
    for (std::int64_t k = 0; k < m; ++k) {
      const Complex a = out[k], b = times(out[k + m], roots[k * stride]), c = times(out[k + 2 * m], roots[2 * k * stride]);
      const Complex d = times(out[k + 3 * m], roots[3 * k * stride]);
      const Complex s = a + c, t = a - c, u = b + d, w(b.imag() - d.imag(), d.real() - b.real());  // w = -i (b - d)
      out[k] = s + u;
      out[k + m] = t + w;
      out[k + 2 * m] = s - u;
      out[k + 3 * m] = t - w;
    }
    return;
  }
  Complex in[largest_factor];
  for (std::int64_t k = 0; k < m; ++k) {
    for (std::int64_t q = 0; q < p; ++q) in[q] = times(out[k + q * m], roots[q * k * stride % n_]);
    for (std::int64_t r = 0; r < p; ++r) {
      Complex sum = in[0];
      for (std::int64_t q = 1; q < p; ++q) sum += times(in[q], roots[q * r * m * stride % n_]);
      out[k + r * m] = sum;
    }
  }
}

void Fft::chirp(Complex* x, Complex* scratch) const {
  const std::int64_t m = inner_->n_;
  Complex *a = scratch, *rest = scratch + m;
  for (std::int64_t k = 0; k < n_; ++k) a[k] = times(x[k], chirp_[static_cast<std::size_t>(k)]);
  std::fill(a + n_, a + m, Complex(0));
  inner_->forward(a, rest);
  for (std::int64_t k = 0; k < m; ++k) a[k] = times(a[k], kernel_[static_cast<std::size_t>(k)]);
  inner_->transform(a, rest, true);
  for (std::int64_t k = 0; k < n_; ++k) x[k] = times(a[k], chirp_[static_cast<std::size_t>(k)]) / static_cast<double>(m);
}

}  // namespace tenon::cpu
