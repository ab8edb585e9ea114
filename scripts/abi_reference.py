"""The reference page of the provider ABI: plugin-api/REFERENCE.md, from the description and the comments of the headers."""


def cell(text):
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")


def code(text):
    return f"`{text}`"


def struct_section(name, entry, declaration):
    docs = {m.name: m.doc for m in declaration.members}
    table = any("required" in f for f in entry["fields"])
    note = "never changes" if entry["frozen"] else f"{entry['size']} bytes, since minor {entry['since']}"
    out = [f"### {name}", "", f"{cell(declaration.doc)} *({note})*".strip(), ""]
    if not table:
        out += ["| offset | member | type | since | |", "|---|---|---|---|---|"]
        out += [f"| {f['offset']} | {code(f['name'])} | {code(f['type'])} | {f['since']} | {cell(docs[f['name']])} |" for f in entry["fields"]]
        return out + [""]
    out += ["| offset | member | since | must be there | |", "|---|---|---|---|---|"]
    for f in entry["fields"]:
        doc = docs[f["name"]].replace("(required)", "").replace("(optional)", "").strip()
        signature = f["type"].replace("(*)", f["name"]) if "(*)" in f["type"] else f"{f['type']} {f['name']}"
        must = {True: "yes", False: "no", None: ""}[f.get("required")]
        out.append(f"| {f['offset']} | {code(signature)} | {f['since']} | {must} | {cell(doc)} |")
    return out + [""]


def reference_page(description, declarations):
    by_name = {d.name: d for d in declarations}
    state = " (candidate)" if description["candidate"] else ""
    out = [f"# Reference of the provider ABI {description['major']}.{description['minor']}{state}", "",
           "Written by `scripts/abi` from `abi.json` and the comments of the headers. *since* is the minor that brought a member; a struct",
           "from an older side ends before it. An empty last column: the line above speaks for the group.", ""]
    headers = []
    for d in declarations:
        if d.header not in headers:
            headers.append(d.header)
    for header in headers:
        out += [f"## tenon/{header}", ""]
        opaque = [n for n, e in description["opaque"].items() if e["header"] == header]
        if opaque:
            out += ["| opaque type | made and freed by | |", "|---|---|---|"]
            out += [f"| {code(n)} | the {description['opaque'][n]['owner']} | {cell(by_name[n].doc)} |" for n in opaque] + [""]
        constants = [n for n, e in description["constants"].items() if e["header"] == header]
        if constants:
            out += ["| constant | value | since | |", "|---|---|---|---|"]
            for n in constants:
                entry = description["constants"][n]
                out.append(f"| {code(n)} | {code(entry['value'])} | {entry['since']} | {cell(by_name[n].doc)} |")
            out.append("")
        functions = [n for n, e in description["functions"].items() if e["header"] == header]
        if functions:
            out += ["| function | since | |", "|---|---|---|"]
            for n in functions:
                entry = description["functions"][n]
                signature = entry["type"].replace("(*)", f"(*{n})") if entry["kind"] == "callback" else entry["type"].replace(" (", f" {n}(", 1)
                out.append(f"| {code(signature)} | {entry['since']} | {cell(by_name[n].doc)} |")
            out.append("")
        for name, entry in description["structs"].items():
            if entry["header"] == header:
                out += struct_section(name, entry, by_name[name])
    out += ["## Operator forms", "",
            "Form *n* of an operator is what it looks like from the *n*-th opset version of its row on; an operator without a row has one form.",
            "Hosts show a node in the newest form that the provider's `tenon_opset` knows.", "", "| operator | forms begin at |", "|---|---|"]
    for name, versions in description["forms"].items():
        domain, op = name.rsplit("::", 1)
        out.append(f"| {domain + '.' if domain else ''}{op} | {', '.join(map(str, versions))} |")
    return "\n".join(out) + "\n"
