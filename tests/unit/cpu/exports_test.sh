#!/bin/sh
# The library exports its entry and nothing else.
found=$(nm -D --defined-only "$1" | awk '{print $3}')
[ "$found" = tenon_provider_query ] || { echo "exported: $found"; exit 1; }
