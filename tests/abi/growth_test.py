#!/usr/bin/env python3
"""The ABI grows and does nothing else: today's description has all that the candidate's had, and scripts/abi lets no other
change pass, tried on a copy of the headers, one change at a time."""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

root = pathlib.Path(__file__).resolve().parent.parent.parent
CHANGES = [  # header, text, its replacement, what is said of it (nothing: allowed, and written)
    ("types.h", "#define TENON_NO_VALUE", "#define TENON_NEW 5\n#define TENON_NO_VALUE", "raise TENON_ABI_MINOR"),
    ("types.h", "  int32_t dlpack_id;\n", "  int32_t dlpack_id;\n  uint64_t more;\n", "raise TENON_ABI_MINOR"),
    ("types.h", "  uint64_t max_alloc;", "  uint32_t max_alloc;", "member max_alloc was"),
    ("types.h", "TENON_DEVICE_LOST 103", "TENON_DEVICE_LOST 113", "TENON_DEVICE_LOST was"),
    ("types.h", "  uint64_t size;\n} tenon_str;", "  uint64_t size;\n  uint64_t more;\n} tenon_str;", "frozen layout"),
    ("host.h", "  void (*progress)(tenon_task* task, double fraction);\n", "", "member progress was"),
    ("provider.h", "/* (required) Its plans have been destroyed. */", "/* Its plans have been destroyed. */", "member program_destroy was"),
    ("trace.h", "  uint64_t begin_ns;", "  uint64_t queued_ns;\n  uint64_t begin_ns;", "member begin_ns was"),
    ("trace.h", "} tenon_trace_event;", "  uint64_t more;\n} tenon_trace_event;", ""),
]


def copy(to):
    shutil.copytree(root / "plugin-api", to / "plugin-api")
    for name in ("scripts/abi", "scripts/abi_headers.py", "scripts/abi_reference.py"):
        (to / name).parent.mkdir(exist_ok=True)
        shutil.copy(root / name, to / name)
    for name in ("tests/abi", "core/ops"):
        (to / name).mkdir(parents=True)


def run(to, *arguments):
    return subprocess.run([sys.executable, to / "scripts/abi", *arguments], capture_output=True, text=True)


def edit(to, header, text, replacement):
    path = to / "plugin-api/include/tenon" / header
    before = path.read_text()
    assert before.count(text) == 1, f"{header}: {before.count(text)} times {text!r}"
    path.write_text(before.replace(text, replacement))


def lost(old, new):
    """What the candidate promised and today's description does not."""
    for kind in ("constants", "opaque", "functions"):
        yield from (f"{kind} {name}" for name, entry in old[kind].items() if {**new[kind].get(name, {}), "header": ""} != {**entry, "header": ""})
    for name, entry in old["structs"].items():
        now = new["structs"].get(name, {"fields": [], "frozen": None})
        if now["fields"][:len(entry["fields"])] != entry["fields"] or now["frozen"] != entry["frozen"]:
            yield f"struct {name}"
    for name, versions in old["forms"].items():
        if new["forms"].get(name, [])[:len(versions)] != versions:
            yield f"forms of {name}"


candidate, today = (json.loads((root / p).read_text()) for p in ("tests/abi/candidate/abi.json", "plugin-api/abi.json"))
errors = [f"{what} is not what the candidate says" for what in lost(candidate, today)]
assert [*lost({**candidate, "forms": {"::Relu": [1, 5]}}, today)] == ["forms of ::Relu"], "the comparison sees nothing"
for header, text, replacement, said in CHANGES:
    with tempfile.TemporaryDirectory() as folder:
        to = pathlib.Path(folder)
        copy(to)
        edit(to, header, text, replacement)
        made = run(to)
        if (made.returncode == 0) != (said == "") or said not in made.stderr:
            errors.append(f"{header}: {replacement!r}: {made.returncode}, {made.stderr}")
        elif said == "raise TENON_ABI_MINOR":
            types = (to / "plugin-api/include/tenon/types.h").read_text()
            minor = int(types.split("#define TENON_ABI_MINOR ")[1].split("u")[0])
            edit(to, "types.h", f"#define TENON_ABI_MINOR {minor}u", f"#define TENON_ABI_MINOR {minor + 1}u")
            made = run(to)
            if made.returncode != 0 or run(to, "--check").returncode != 0 or f'"since": {minor + 1}' not in (to / "plugin-api/abi.json").read_text():
                errors.append(f"{header}: {replacement!r} under another minor: {made.stderr}")
print("\n".join(errors) or f"{len(CHANGES)} changes")
sys.exit(bool(errors))
