#!/usr/bin/env bash
# The binary interface against the stored dump of every minor: nothing may have changed but by growing at the end.
#
#   abidiff_test.sh          compares; proves that growth passes and that a changed member does not
#   abidiff_test.sh --dump   stores the dump of the minor that the headers are at, once, when it is given out
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
if ! command -v abidiff >/dev/null || ! command -v abidw >/dev/null; then
  echo "skipped: abidiff is not here; scripts/setup installs it (package abigail-tools)"
  exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
build() { cc -std=c11 -g -O0 -shared -fPIC -I"$1" -ffile-prefix-map="$here/"= -o "$2" "$here/surface.c"; }  # include folder, library
same() { abidiff --no-show-locs "$@" >"$work/report" 2>&1; }
# Nothing but growth at the ends of structs: no member has moved, gone or changed its own type, no function its signature.
grown() {
  same "$@" && return
  ! grep -E 'offset changed|deletion|name changed|\[D\]|[1-9][0-9]* Removed|parameter [0-9]+ .*was (added|removed)|entity changed|^abidiff:' "$work/report"
}

build "$root/plugin-api/include" "$work/now.so"
version=$(sed -n 's/^#define TENON_ABI_M[AJINOR]* \([0-9]*\)u/\1/p' "$root/plugin-api/include/tenon/types.h" | paste -sd.)
if [ "${1:-}" = --dump ]; then
  [ ! -e "$here/dumps/$version.abixml" ] || { echo "dumps/$version.abixml is there already, and a minor that was given out does not change"; exit 1; }
  abidw --no-corpus-path --no-comp-dir-path --no-show-locs --out-file "$here/dumps/$version.abixml" "$work/now.so"
  exit
fi
[ -e "$here/dumps/$version.abixml" ] || { echo "there is no dump of $version: run tests/abi/abidiff_test.sh --dump"; exit 1; }
same "$here/dumps/$version.abixml" "$work/now.so" || { cat "$work/report"; echo "the ABI is not what $version was"; exit 1; }
for dump in "$here"/dumps/*.abixml; do
  grown "$dump" "$work/now.so" || { cat "$work/report"; echo "the ABI breaks $(basename "$dump" .abixml)"; exit 1; }
done

# The check itself: a minor more passes, a member of another type does not.
"$root/scripts/abi" --next "$work/next"
build "$work/next" "$work/next.so"
grown "$work/now.so" "$work/next.so" || { cat "$work/report"; echo "structs that grow at their end are taken for broken"; exit 1; }
if same "$work/now.so" "$work/next.so"; then echo "structs that grow are not seen"; exit 1; fi
cp -r "$root/plugin-api/include" "$work/broken"
sed -i 's/^  uint32_t node_count;/  uint64_t node_count;/' "$work/broken/tenon/provider.h"
build "$work/broken" "$work/broken.so"
if grown "$work/now.so" "$work/broken.so" >/dev/null; then echo "a member of another type is not seen"; exit 1; fi
echo "$version and $(find "$here/dumps" -name '*.abixml' | wc -l) stored dumps"
