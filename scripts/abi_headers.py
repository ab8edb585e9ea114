"""Reads the C headers of the provider ABI: what they declare, in order, with the comments beside it.

The headers are written so that this can be simple: one declaration a statement, a comment before it or behind it on its
line. What does not fit is an error, so nothing is overlooked."""
import dataclasses
import pathlib
import re
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
INCLUDE = ROOT / "plugin-api/include"
# The contract itself, then its extensions; each may include those before it.
CORE = ("types.h", "host.h", "provider.h")


def headers():
    names = sorted(p.name for p in (INCLUDE / "tenon").glob("*.h") if p.name != "abi_hash.h")
    return [*CORE, *(n for n in names if n not in CORE)]


@dataclasses.dataclass
class Member:
    name: str
    type: str  # a C type name: for functions `result (*)(parameters)`
    doc: str = ""
    offset: int = 0


@dataclasses.dataclass
class Declaration:
    kind: str  # constant, opaque, struct, callback, function
    name: str
    header: str
    doc: str = ""
    type: str = ""  # of callbacks and functions; of constants the value as written
    owner: str = ""  # of opaque types: who makes and frees them
    members: list = dataclasses.field(default_factory=list)
    size: int = 0


class Source:
    """A header with its comments taken out: \\x01n\\x02 stands for comment n."""

    def __init__(self, name):
        self.name = name
        self.comments = []
        text = (INCLUDE / "tenon" / name).read_text()
        self.code = re.sub(r"/\*(.*?)\*/", self._take, text, flags=re.S)

    def _take(self, match):
        self.comments.append(re.sub(r"\s*\n\s*\*?\s*", " ", match.group(1)).strip())
        return f"\x01{len(self.comments) - 1}\x02"

    def doc(self, before, behind=""):
        """The comment that ends right before a declaration, and those behind it on its line."""
        found = []
        if match := re.search(r"(?:^|\n)[ \t]*\x01(\d+)\x02[ \t]*\n?[ \t]*$", before):
            found.append(self.comments[int(match.group(1))])
        found += [self.comments[int(n)] for n in re.findall(r"\x01(\d+)\x02", behind)]
        return " ".join(c for c in found if not c.startswith("-- ") and not c.startswith("----"))


def squeeze(text):
    return re.sub(r"\s+", " ", re.sub(r"\x01\d+\x02", "", text)).strip()


def member(source, statement, before, behind):
    text = squeeze(statement)
    if match := re.fullmatch(r"(.*?)\s*\(\*(\w+)\)\((.*)\)", text):
        return Member(match[2], f"{match[1]} (*)({match[3]})", source.doc(before, behind))
    if match := re.fullmatch(r"((?:const )?(?:unsigned )?\w+(?: ?\*| const\*)*)\s*(\w+)", text):
        return Member(match[2], match[1], source.doc(before, behind))
    raise SystemExit(f"{source.name}: a member that scripts/abi cannot read: {text}")


def members(source, body):
    out, start = [], 0
    for match in re.finditer(r";([^\n]*)", body):
        statement = body[start:match.start()]
        lead = re.match(r"(?:\s|\x01\d+\x02)*", statement).end()
        out.append(member(source, statement[lead:], statement[:lead], match[1]))
        start = match.end()
    return out


PATTERN = re.compile(
    r"typedef struct (?P<struct>\w+) \{(?P<body>.*?)\n\} (?P=struct);"
    r"|typedef struct (?P<opaque>\w+) (?P=opaque);"
    r"|typedef (?P<result>[^;{}()]*?)\(\*(?P<callback>\w+)\)\((?P<parameters>[^;]*)\);"
    r"|^#define (?P<constant>TENON_\w+) (?P<value>[^\n\x01]+)"
    r"|^(?:TENON_EXPORT|static inline) (?P<returns>[^;{}()]*?)(?P<function>\w+)\((?P<arguments>[^)]*)\)",
    re.S | re.M)
# Facts of the compiler that reads the header, not of the contract.
NOT_OURS = {"TENON_EXPORT", "TENON_SANITIZER", "TENON_TYPES_H", "TENON_HOST_H", "TENON_PROVIDER_H"}


def read():
    """Every declaration of the headers, in order, with sizes and offsets as the compiler has them."""
    out = []
    for name in headers():
        source = Source(name)
        owner = "host"
        for match in PATTERN.finditer(source.code):
            before, line_end = source.code[:match.start()], source.code.find("\n", match.end())
            behind = source.code[match.end():line_end]
            if match["opaque"]:
                if "Made and freed by the provider" in source.doc(before):
                    owner = "provider"
                doc = source.doc("", behind)
                out.append(Declaration("opaque", match["opaque"], name, doc, owner=owner))
            elif match["struct"]:
                out.append(Declaration("struct", match["struct"], name, source.doc(before), members=members(source, match["body"])))
            elif match["callback"]:
                out.append(Declaration("callback", match["callback"], name, source.doc(before, behind),
                                       f"{squeeze(match['result'])} (*)({squeeze(match['parameters'])})"))
            elif match["function"]:
                out.append(Declaration("function", match["function"], name, source.doc(before, behind),
                                       f"{squeeze(match['returns'])} ({squeeze(match['arguments'])})"))
            elif match["constant"] not in NOT_OURS:
                out.append(Declaration("constant", match["constant"], name, source.doc(before, behind), squeeze(match["value"])))
    measure(out)
    return out


def measure(declarations):
    """Asks the C compiler for sizes and offsets."""
    structs = [d for d in declarations if d.kind == "struct"]
    lines = ["#include <stdio.h>", *(f"#include <tenon/{h}>" for h in headers()), "int main(void) {"]
    for s in structs:
        lines.append(f'printf("%zu\\n", sizeof({s.name}));')
        lines += [f'printf("%zu\\n", offsetof({s.name}, {m.name}));' for m in s.members]
    with tempfile.TemporaryDirectory() as folder:
        source, program = pathlib.Path(folder, "probe.c"), pathlib.Path(folder, "probe")
        source.write_text("\n".join([*lines, "return 0; }", ""]))
        subprocess.run(["cc", "-std=c11", f"-I{INCLUDE}", "-o", program, source], check=True)
        numbers = iter(subprocess.run([program], check=True, capture_output=True, text=True).stdout.split())
    for s in structs:
        s.size = int(next(numbers))
        for m in s.members:
            m.offset = int(next(numbers))
