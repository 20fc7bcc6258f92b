"""Measure every way of storing token vectors, and write the page of it.

Usage: python tools/write_storage_table.py PAGE DATA [--model FOLDER] [--work FOLDER]
       [--collection NAME …] [--most-queries N] [--centroids N]
       [--scan-only] [--scan-queries N] [--page-only] [--note TEXT]

DATA is a folder of collections in BEIR's form. Each collection is measured by ``vespa-colbert
evaluate``, one pool factor and one number of components at a time: what a run that was ended had
measured is not measured again, unless collection, model or choices are others by now. --scan-only
measures all times again, in one run, and nothing else; --page-only writes what is measured. A note
says what a reader should know of the model.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import vespa_colbert
from vespa_colbert.cli.console import Console, fail, print_line
from vespa_colbert.embedder.tokenizer import open_tokenizer
from vespa_colbert.evaluate import CollectionFiles, Sampling, beir_files, differences_to
from vespa_colbert.export import ModelFolder, read_model_folder
from vespa_colbert.files import atomic_file, digest_file
from vespa_colbert.index import read_corpus

COLLECTIONS = ("scifact", "cmrc2018-sent")
DIMS, FACTORS, BITS = ("128", "64"), ("1", "2"), "1,2,4"
MEASURE = "nDCG@10"
CENTROIDS = 2048
"""PLAID takes 16,384 for a collection such as SciFact, whose k-means takes eight times as long."""

MOST_LOST = 0.005
"""What two bits may lose of nDCG@10, by the paper of ColBERTv2's compression."""

LEAST_SMALLER = 6.0
MANY_UNKNOWN = 0.05
"""Share of unknown tokens from which on a collection says little of its language."""

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
    "to float",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """What one call of ``evaluate`` measures of a collection.

    Attributes:
        name: Of the collection.
        factor: Vectors pooled into one.
        dims: Components of a vector.
        queries: How many at most.
        is_scan: Whether only its times are kept.
    """

    name: str
    factor: str
    dims: str
    queries: int
    is_scan: bool = False

    def path(self, work: Path) -> Path:
        """Return where what was measured is kept."""
        kind = "scan-" if self.is_scan else ""
        return work / self.name / f"{kind}pool-{self.factor}-dims-{self.dims}.json"


def main() -> int:
    """Return the exit status."""
    given = arguments()
    if given.data is None and not given.page_only:
        fail("storage-table: name the folder of collections: make storage-table DATA=FOLDER")
        return 2
    for name in () if given.page_only else given.collection:
        if code := measured(given, name):
            return code
    found = {name: kept(given.work, name) for name in given.collection}
    with atomic_file(given.page) as part:
        part.write_text("\n".join(page(found, given.note)) + "\n", encoding="utf-8")
    print_line(f"{given.page}: {len(found)} collections")
    return 0


def arguments() -> argparse.Namespace:
    """Return what is asked for."""
    parser = argparse.ArgumentParser(description="Measure every way of storing token vectors.")
    parser.add_argument("page", type=Path)
    parser.add_argument("data", type=Path, nargs="?", help="Folder of collections.")
    parser.add_argument("--model", type=Path, default=Path("demo-output/model"))
    parser.add_argument("--work", type=Path, default=Path("output/storage"))
    parser.add_argument("--collection", nargs="*", default=COLLECTIONS)
    parser.add_argument("--most-queries", type=int, default=300)
    parser.add_argument("--centroids", type=int, default=CENTROIDS, help="0 as PLAID takes.")
    parser.add_argument("--scan-queries", type=int, default=30)
    parser.add_argument("--scan-only", action="store_true")
    parser.add_argument("--page-only", action="store_true")
    parser.add_argument("--note", default="")
    return parser.parse_args()


def pieces(name: str, queries: int, *, is_scan: bool = False) -> list[Piece]:
    """Return the pieces of a collection."""
    return [
        Piece(name=name, factor=factor, dims=dims, queries=queries, is_scan=is_scan)
        for factor in FACTORS
        for dims in DIMS
    ]


def measured(given: argparse.Namespace, name: str) -> int:
    """Return the exit status of the first call of ``evaluate`` that fails, or 0."""
    model, files = read_model_folder(given.model), beir_files(given.data / name)
    wanted = pieces(name, given.scan_queries if given.scan_only else given.most_queries)
    if given.scan_only:
        wanted = pieces(name, given.scan_queries, is_scan=True)
        for piece in wanted:  # times of two runs do not compare
            piece.path(given.work).unlink(missing_ok=True)
    unknown = None
    for piece in wanted:
        made_with, known = origin(given, piece, model, files), read_record(piece, given.work)
        path = piece.path(given.work)
        if known and known["made-with"] == made_with:
            Console().say(f"{path}: still valid, reused")
            continue
        if code := evaluated(given, piece):
            return code
        unknown = unknown_share(model, files) if unknown is None else unknown
        record = {"made-with": made_with, "unknown-letters": unknown}
        output = given.work / name / "evaluation.json"
        record["evaluation"] = json.loads(output.read_text(encoding="utf-8"))
        with atomic_file(path) as part:
            part.write_text(json.dumps(record), encoding="utf-8")
    return 0


def origin(
    given: argparse.Namespace, piece: Piece, model: ModelFolder, files: CollectionFiles
) -> dict[str, Any]:
    """Return what the figures of a piece depend on."""
    return {
        "version": vespa_colbert.__version__,
        "model": model.checksum,
        "centroids": given.centroids,
        "piece": asdict(piece),
        "files": [digest_file(each).sha256 for each in (files.corpus, files.queries, files.qrels)],
    }


def evaluated(given: argparse.Namespace, piece: Piece) -> int:
    """Return the exit status of ``evaluate`` for a piece."""
    options = {
        "--model": given.model,
        "--output": given.work / piece.name,
        "--dims": piece.dims,
        "--pool-factor": piece.factor,
        "--residual-bits": BITS,
        "--centroids": given.centroids,
        "--most-queries": piece.queries,
        "--measure": MEASURE,
        "--profile": "max_sim_*",
    }
    said = [str(each) for pair in options.items() for each in pair]
    program = [sys.executable, "-m", "vespa_colbert", "evaluate"]
    Console().say(f"{piece.path(given.work)}: measured now")
    return subprocess.run([*program, str(given.data / piece.name), *said], check=False).returncode


def unknown_share(model: ModelFolder, files: CollectionFiles) -> float:
    """Return the share of the documents' letters that the model's vocabulary does not have.

    What is counted are tokens that stand for nothing but letters, Han characters among them.
    """
    stated = json.loads(model.tokenizer_path.read_text(encoding="utf-8"))["model"]
    tokenizer = open_tokenizer(model.tokenizer_path, model.embedder.max_tokens)
    unknown = stated.get("unk_id", tokenizer.token_to_id(stated.get("unk_token") or ""))
    known = [
        number != unknown
        for text in (each.text("text") for each in read_corpus(files.corpus))
        for found in [tokenizer.encode(text, add_special_tokens=False)]
        for number, (start, end) in zip(found.ids, found.offsets, strict=True)
        if text[start:end].isalpha()
    ]
    return known.count(False) / max(len(known), 1)


def kept(work: Path, name: str) -> dict[str, Any]:
    """Return what is measured of a collection, its systems compared with the whole floats."""
    wanted = pieces(name, 0)
    records = [each for piece in wanted if (each := read_record(piece, work))]
    scans = [each for piece in pieces(name, 0, is_scan=True) if (each := read_record(piece, work))]
    systems = systems_of(records)
    times = systems_of(scans) if len(scans) == len(records) else systems
    for system, timed in zip(systems, times, strict=True):
        system["seconds"] = timed["facts"]["seconds-a-query"]
    whole = "float", (max(map(dims_of, systems)), "")
    reference = [(stored_as(each), alike(each)) for each in systems].index(whole)
    floats = {alike(each): each["seconds"] for each in systems if stored_as(each) == "float"}
    queries = list(systems[0]["by-query"][MEASURE])
    values = [[each["by-query"][MEASURE][query] for each in systems] for query in queries]
    sampling = Sampling()
    for each, difference in zip(
        systems, differences_to(np.array(values), reference, sampling), strict=True
    ):
        each["difference"] = None if each is systems[reference] else difference
        each["slower"] = each["seconds"] / floats[alike(each)]
    return {
        "collection": records[0]["evaluation"]["collection"],
        "absent": [each for each in wanted if not each.path(work).is_file()],
        "timed-queries": len(times[0]["by-query"][MEASURE]),
        "unknown-letters": records[0]["unknown-letters"],
        "sampling": sampling,
        "systems": systems,
    }


def read_record(piece: Piece, work: Path) -> dict[str, Any] | None:
    """Return what is kept of a piece; None if it is not measured."""
    path = piece.path(work)
    if not path.is_file():
        return None
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


def systems_of(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the systems of all records that read one field."""
    systems = (each for record in records for each in record["evaluation"]["systems"])
    return [each for each in systems if len(each["fields"]) == 1]


def page(found: Mapping[str, Any], note: str) -> Iterator[str]:
    """Yield the lines of the page."""
    yield "# Ways of storing token vectors"
    yield ""
    yield (
        "Written by `make storage-table DATA=FOLDER`. All rankings are exact: every document is "
        "scored by the profile of a generated package, in the local ranker. Vectors of fewer dims "
        "are the first components of whole ones, from a head that was not trained to be cut; "
        "residuals of them are coded at length 1, which those floats are not. On disk: cells, and "
        "four bytes of a token's centroid. In Vespa: the attribute by the store's layout, labels "
        "and allocation included, calculated and not measured on a node. ms: the median of a "
        "query's share of those that the local ranker ranks together, their vectors made before; "
        "to float: that to float of the same dims and pooling, measured in the same call. Times "
        "depend on what else the machine did, which changes from call to call: read them as these "
        "ratios."
    )
    if note:
        yield from ("", note)
    for name, each in found.items():
        yield from ("", f"## {name}", "")
        yield from collection_lines(each)


def collection_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the table of a collection and what it says of two bits."""
    said, systems, sampling = found["collection"], found["systems"], found["sampling"]
    left_out = said["queries-left-out"]
    of_all = f" of {said['judged-queries'] + left_out}, evenly spaced" if left_out else ""
    models = {system["facts"]["model"][:12] for system in systems}
    yield (
        f"{said['documents']} documents, {said['judged-queries']} judged queries{of_all}; times of "
        f"{found['timed-queries']} of them. Model {', '.join(sorted(models))}. Differences to "
        f"float, {max(map(dims_of, systems))} dims, no pooling; two-sided paired randomization "
        f"test, Holm over {len(systems) - 1} systems; {sampling.permutations} permutations, seed "
        f"{sampling.seed}."
    )
    yield ""
    if (unknown := found["unknown-letters"]) >= MANY_UNKNOWN:
        yield (
            f"**{100 * unknown:.0f} % of the letters (Han characters among them) of its documents "
            "are [UNK] to this model's vocabulary**: what is lost here is lost of a poor ranking, "
            "and no quality of this table holds for a model that knows the language; sizes do."
        )
        yield ""
    yield f"| {' | '.join(HEAD)} |"
    yield f"|{'---|' * len(HEAD)}"
    for system in systems:
        yield f"| {' | '.join(cells(system))} |"
    yield ""
    for each in found["absent"]:
        yield f"Not measured: {each.dims} dims, pooling by {each.factor}.\n"
    counts = {str(each["centroids"]) for system in systems if (each := system["facts"]["codec"])}
    if counts:
        yield f"Centroids, kept once beside the residuals: {' or '.join(sorted(counts))}."
    yield from two_bits(systems)


def cells(system: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a row."""
    (field,) = system["fields"]
    difference = system["difference"]
    compared = ("baseline", "", "")
    if difference is not None:
        low, high = difference.interval
        compared = (
            f"{difference.mean:+.4f}",
            f"{low:+.4f} to {high:+.4f}",
            f"{difference.corrected:.4f}",
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
        f"{system['seconds'] * 1e3:.0f}",
        f"{system['slower']:.2f}",
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


def alike(system: Mapping[str, Any]) -> tuple[int, str]:
    """Return what systems have in common that one call measures."""
    return dims_of(system), str(system["facts"]["pooling"])


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
    most = max(map(dims_of, systems))
    whole = {stored_as(each): each for each in systems if alike(each) == (most, "")}
    coded, full, half = (whole.get(name) for name in ("residual, 2 bits", "float", "bfloat16"))
    if coded is None or full is None or half is None:
        return
    sizes = [
        [each["fields"][0][kind] / coded["fields"][0][kind] for each in (full, half)]
        for kind in ("disk_bytes", "bytes")
    ]
    mean, (low, high) = coded["difference"].mean, coded["difference"].interval
    verdict = "within" if -mean <= MOST_LOST else "MORE THAN"
    beyond = "outside" if -low <= MOST_LOST else "inside"
    enough = "reached" if min(map(min, sizes)) >= LEAST_SMALLER else "NOT reached everywhere"
    yield ""
    yield (
        f"Two bits of whole vectors take {sizes[0][0]:.1f} times less than float and "
        f"{sizes[0][1]:.1f} times less than bfloat16 on disk, {sizes[1][0]:.1f} and "
        f"{sizes[1][1]:.1f} times less in Vespa: the 6 to 10 of ColBERTv2's paper are {enough}. "
        f"Their {MEASURE} differs by {mean:+.4f}, {verdict} a loss of {MOST_LOST}; a larger loss "
        f"is {beyond} of the 95% interval, {low:+.4f} to {high:+.4f}."
    )


if __name__ == "__main__":
    sys.exit(main())
