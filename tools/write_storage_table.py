"""Measure every way of storing token vectors, and write the page of it.

Usage: python tools/write_storage_table.py PAGE DATA [--model FOLDER] [--work FOLDER]
       [--collection NAME …] [--most-queries N] [--centroids N]

DATA is a folder of collections in BEIR's form. Each collection is measured by ``vespa-colbert
evaluate``; token vectors that are in the work folder already are not made again. An evaluation
that is there is not made again with --page-only.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vespa_colbert.cli.console import fail, print_line
from vespa_colbert.files import atomic_file

COLLECTIONS = ("scifact", "cmrc2018-sent")
DIMS, FACTORS, BITS = "128,64", "1,2", "1,2,4"
MEASURE = "nDCG@10"
MOST_LOST = 0.005
"""What two bits may lose of nDCG@10, by the paper of ColBERTv2's compression."""

LEAST_SMALLER = 6.0
HEAD = (
    "stored as",
    "dims",
    "pooling",
    "bytes a token, on disk",
    "in Vespa",
    "bytes a document, on disk",
    "in Vespa",
    MEASURE,
    "difference",
    "95% interval",
    "p corrected",
    "ms a query",
)


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(description="Measure every way of storing token vectors.")
    parser.add_argument("page", type=Path)
    parser.add_argument("data", type=Path, nargs="?", help="Folder of collections.")
    parser.add_argument("--model", type=Path, default=Path("demo-output/model"))
    parser.add_argument("--work", type=Path, default=Path("output/storage"))
    parser.add_argument("--collection", nargs="*", default=COLLECTIONS)
    parser.add_argument("--most-queries", type=int, default=300)
    parser.add_argument("--centroids", type=int, default=0)
    parser.add_argument("--page-only", action="store_true")
    given = parser.parse_args()
    if given.data is None and not given.page_only:
        fail("storage-table: name the folder of collections: make storage-table DATA=FOLDER")
        return 2
    for name in () if given.page_only else given.collection:
        if code := evaluated(given, name):
            return code
    found = {
        name: json.loads((given.work / name / "evaluation.json").read_text(encoding="utf-8"))
        for name in given.collection
    }
    with atomic_file(given.page) as part:
        part.write_text("\n".join(page(found)) + "\n", encoding="utf-8")
    print_line(f"{given.page}: {len(found)} collections")
    return 0


def evaluated(given: argparse.Namespace, name: str) -> int:
    """Return the exit status of ``evaluate`` for a collection."""
    options = {
        "--model": given.model,
        "--output": given.work / name,
        "--dims": DIMS,
        "--pool-factor": FACTORS,
        "--residual-bits": BITS,
        "--centroids": given.centroids,
        "--most-queries": given.most_queries,
        "--measure": MEASURE,
        "--profile": "max_sim_*",
    }
    said = [str(each) for pair in options.items() for each in pair]
    command = [sys.executable, "-m", "vespa_colbert", "evaluate", str(given.data / name), *said]
    return subprocess.run(command, check=False).returncode


def page(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of the page."""
    yield "# Ways of storing token vectors"
    yield ""
    yield (
        "Written by `make storage-table DATA=FOLDER`. All rankings are exact: every document is "
        "scored by the profile of a generated package, in the local ranker. Vectors of fewer dims "
        "are the first components of whole ones, from a head that was not trained to be cut, and "
        "residuals of them are coded at length 1. On disk: cells, and four bytes of a token's "
        "centroid. In Vespa: the tensor attribute by the layout of Vespa's store, labels and "
        "allocation included, calculated and not measured on a node. ms: the median of a query, "
        "its vectors made before; they depend on the machine and on what else it did."
    )
    for name, evaluation in found.items():
        yield from ("", f"## {name}", "")
        yield from collection_lines(evaluation)


def collection_lines(evaluation: Mapping[str, Any]) -> Iterator[str]:
    """Yield the table of a collection and what it says of two bits."""
    said, test = evaluation["collection"], evaluation["test"]
    left_out = said["queries-left-out"]
    of_all = f" of {said['judged-queries'] + left_out}, evenly spaced" if left_out else ""
    models = {system["facts"]["model"][:12] for system in evaluation["systems"]}
    yield (
        f"{said['documents']} documents, {said['judged-queries']} judged queries{of_all}. Model "
        f"{', '.join(sorted(models))}. Differences to {evaluation['baseline']}; {test['test']} "
        f"test, {test['correction']}; {test['permutations']} permutations, seed {test['seed']}."
    )
    yield ""
    yield f"| {' | '.join(HEAD)} |"
    yield f"|{'---|' * len(HEAD)}"
    systems = [each for each in evaluation["systems"] if len(each["fields"]) == 1]
    for system in systems:
        yield f"| {' | '.join(cells(system))} |"
    yield ""
    codecs = {
        f"{each['centroids']} of {each['dim']} components"
        for system in systems
        if (each := system["facts"]["codec"])
    }
    if codecs:
        yield f"Centroids, kept once beside the residuals: {'; '.join(sorted(codecs))}."
    yield from two_bits(systems)


def cells(system: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a row."""
    (field,) = system["fields"]
    difference = system["differences"].get(MEASURE)
    compared = ("baseline", "", "")
    if difference:
        low, high = difference["interval"]
        compared = (
            f"{difference['mean']:+.4f}",
            f"{low:+.4f} to {high:+.4f}",
            f"{difference['corrected']:.4f}",
        )
    sizes = (field["disk_bytes"], field["bytes"])
    return (
        stored_as(system),
        str(dims_of(system)),
        system["facts"]["pooling"] or "none",
        *(f"{each / field['vectors']:.1f}" for each in sizes),
        *(f"{each:,.0f}" for each in sizes),
        f"{system['measures'][MEASURE]:.4f}",
        *compared,
        f"{system['facts']['seconds-a-query'] * 1e3:.0f}",
    )


def stored_as(system: Mapping[str, Any]) -> str:
    """Return how the cells of a system are stored."""
    if codec := system["facts"]["codec"]:
        return f"residual, {codec['bits']} bit{'s' if codec['bits'] > 1 else ''}"
    cell_type = kind_of(system)[0]
    return "int8, a bit a component" if cell_type == "int8" else cell_type


def dims_of(system: Mapping[str, Any]) -> int:
    """Return the components of a token vector."""
    if codec := system["facts"]["codec"]:
        return int(codec["dim"])
    cell_type, width = kind_of(system)
    return width * (8 if cell_type == "int8" else 1)


def kind_of(system: Mapping[str, Any]) -> tuple[str, int]:
    """Return cell type and width of a system's field.

    Raises:
        ValueError: If it is no field of token vectors.
    """
    found = re.fullmatch(r"tensor<(\w+)>\(.*\[([0-9]+)\]\)", system["fields"][0]["type"])
    if found is None:
        raise ValueError(system["fields"][0]["type"])
    return found[1], int(found[2])


def two_bits(systems: list[Mapping[str, Any]]) -> Iterator[str]:
    """Yield what two bits of whole vectors save and lose, and whether that is as the paper says."""
    whole = {
        stored_as(each): each
        for each in systems
        if not each["facts"]["pooling"] and dims_of(each) == max(map(dims_of, systems))
    }
    coded, full, half = (whole.get(name) for name in ("residual, 2 bits", "float", "bfloat16"))
    if coded is None or full is None or half is None:
        return
    size = coded["fields"][0]["disk_bytes"]
    smaller = [each["fields"][0]["disk_bytes"] / size for each in (full, half)]
    lost = full["measures"][MEASURE] - coded["measures"][MEASURE]
    verdict = "within" if lost <= MOST_LOST else "MORE THAN"
    enough = "as" if min(smaller) >= LEAST_SMALLER else "at 16 bits a component less than"
    yield ""
    yield (
        f"Two bits of whole vectors take {smaller[0]:.1f} times less than float and "
        f"{smaller[1]:.1f} times less than bfloat16, {enough} the 6 to 10 of ColBERTv2's paper; "
        f"they lose {lost:.4f} of {MEASURE}, {verdict} {MOST_LOST}."
    )


if __name__ == "__main__":
    sys.exit(main())
