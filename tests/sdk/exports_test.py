#!/usr/bin/env python3
"""libtenon exports exactly the functions of tenon.h: exports_test.py <libtenon.so> <tenon.h>."""
import re
import subprocess
import sys

library, header = sys.argv[1:]
text = re.sub(r"/\*.*?\*/", "", open(header).read(), flags=re.S)
declared = set(re.findall(r"TENON_API [^(;]*?\b(tenon_\w+)\(", text))
listing = subprocess.run(["nm", "-D", "--defined-only", library], check=True, capture_output=True, text=True).stdout
exported = {line.split()[-1].split("@")[0] for line in listing.splitlines()} - {"TENON_0"}
print(f"{len(exported)} exported")
for name in sorted(declared ^ exported):
    print(name, "is declared but not exported" if name in declared else "is exported but not declared")
sys.exit(declared != exported or not declared or len(open(header).readlines()) > 500)
