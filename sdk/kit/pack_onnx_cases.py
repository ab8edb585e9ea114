"""Packs the node cases of the ONNX standard for the conformance kit: pack_onnx_cases.py CORPUS EXCEPTIONS ARCHIVE

CORPUS is what tests/onnx/materialize.py wrote, EXCEPTIONS its list, whose `random:` lines name the cases with results of chance. The
archive holds index.json, read by onnx_cases.cpp, and every file of the cases, equal ones once. The same input gives the same bytes.
"""
import json
import pathlib
import sys
import zipfile

DATE = (1980, 1, 1, 0, 0, 0)


def main(corpus, exceptions, archive):
    corpus, archive = pathlib.Path(corpus), pathlib.Path(archive)
    lines = [line.partition(" ") for line in pathlib.Path(exceptions).read_text().splitlines() if line and not line.startswith("#")]
    random = {name for name, _, reason in lines if reason.startswith("random:")}
    first, cases = {}, []  # by content: the entry that has it

    def entry(path):
        return first.setdefault(path.read_bytes(), str(path.relative_to(corpus)))

    for folder in sorted(p for p in (corpus / "node").iterdir() if (p / "model.onnx").exists()):
        case = {"name": folder.name, "model": entry(folder / "model.onnx"), "sets": []}
        for data in sorted(folder.glob("test_data_set_*")):
            case["sets"].append({kind + "s": [entry(data / f"{kind}_{i}.pb") for i in range(len(list(data.glob(f"{kind}_*.pb"))))]
                                 for kind in ("input", "output")})
        if (folder / "data.json").exists():
            case |= json.loads((folder / "data.json").read_text())
        if folder.name in random:
            case["random"] = True
        cases.append(case)
    index = {"onnx": json.loads((corpus / "manifest.json").read_text())["onnx"], "cases": cases}
    archive.parent.mkdir(parents=True, exist_ok=True)
    draft = archive.with_suffix(".part")
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as out:
        for name, content in [("index.json", json.dumps(index, separators=(",", ":")).encode()), *((n, c) for c, n in first.items())]:
            out.writestr(zipfile.ZipInfo(name, DATE), content, zipfile.ZIP_DEFLATED, 9)
    draft.replace(archive)


if __name__ == "__main__":
    main(*sys.argv[1:])
