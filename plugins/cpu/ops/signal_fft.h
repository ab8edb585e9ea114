// Fft: discrete Fourier transforms of one length, in double.
//
// Made in plan (tables of sines); immutable, so any number of threads may transform with it at once.
#pragma once

#include <complex>
#include <cstdint>
#include <memory>
#include <vector>

namespace tenon::cpu {

class Fft {
 public:
  explicit Fft(std::int64_t length);  // length > 0

  std::int64_t length() const { return n_; }
  // Complex numbers of scratch that a transform needs.
  std::int64_t scratch() const { return inner_ ? 2 * inner_->n_ + inner_->scratch() : n_; }
  // X[k] = sum over t of x[t] exp(-2 pi i k t / n), in place; inverse: exp(+...), not divided by n.
  void transform(std::complex<double>* x, std::complex<double>* scratch, bool inverse) const;

 private:
  using Complex = std::complex<double>;

  void forward(Complex* x, Complex* scratch) const;
  void mixed(const Complex* x, std::int64_t stride, Complex* out, std::int64_t n, std::size_t factor) const;
  void chirp(Complex* x, Complex* scratch) const;

  std::int64_t n_;
  std::vector<Complex> roots_;         // exp(-2 pi i k / n)
  std::vector<std::int64_t> factors_;  // of n, small primes; empty where n has a large one
  // Bluestein: a convolution of a length that is a power of two.
  std::unique_ptr<const Fft> inner_;
  std::vector<Complex> chirp_, kernel_;
};

}  // namespace tenon::cpu
