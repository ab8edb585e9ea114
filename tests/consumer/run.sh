#!/usr/bin/env bash
# Installs a build tree, moves the installation, builds and runs the consumer with CMake and with pkg-config:
# run.sh <build folder> <cmake>.
set -euo pipefail
build=$1 cmake=$2
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$cmake" --install "$build" --prefix "$work/first" > "$work/install.log" || { cat "$work/install.log"; exit 1; }
mv "$work/first" "$work/moved"
prefix=$work/moved
if grep -rIl "$work/first" "$prefix"; then
  echo "the files above name the folder of the installation"
  exit 1
fi

# float[1] x => float[1] y { y = Relu(x) }
printf '\x08\x08\x3a\x35\x0a\x0e\x0a\x01\x78\x12\x01\x79\x22\x04\x52\x65\x6c\x75\x3a\x00\x12\x01\x67\x5a\x0f\x0a\x01\x78\x12\x0a\x0a\x08\x08\x01\x12\x04\x0a\x02\x08\x01\x62\x0f\x0a\x01\x79\x12\x0a\x0a\x08\x08\x01\x12\x04\x0a\x02\x08\x01\x42\x04\x0a\x00\x10\x11' > "$work/relu.onnx"
"$cmake" -S "$here" -B "$work/build" -DCMAKE_PREFIX_PATH="$prefix" -DEXAMPLES="$here/../../sdk/examples" > "$work/configure.log" 2>&1 ||
  { cat "$work/configure.log"; exit 1; }
"$cmake" --build "$work/build" > "$work/build.log" 2>&1 || { cat "$work/build.log"; exit 1; }
"$work/build/run_c" "$work/relu.onnx" | grep -q '^y: float32, 1 elements$'
"$work/build/run_cpp" "$work/relu.onnx" | grep -q '^y: float32 1, first 0$'

export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
cc -std=c11 "$here/../../sdk/examples/run.c" -o "$work/run_pc" $(pkg-config --cflags --libs tenon)
LD_LIBRARY_PATH=$prefix/lib "$work/run_pc" "$work/relu.onnx" | grep -q '^y: float32, 1 elements$'
test -d "$(pkg-config --variable=providerdir tenon)"
