"""``vespa-colbert evaluate``."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from vespa_colbert.cli.console import Console, print_json, print_line, table
from vespa_colbert.cli.flags import Given, takes_flags
from vespa_colbert.cli.options import (
    AppOption,
    JsonFlag,
    ModelOption,
    RecipeOption,
    load_recipe,
    needed,
)
from vespa_colbert.cli.rank import VespaTermsFlag, terms

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vespa_colbert.evaluate import (
        CollectionFiles,
        Evaluation,
        EvaluationOptions,
        JudgedCollection,
        Row,
    )
    from vespa_colbert.pipeline import Contender
    from vespa_colbert.recipe import Recipe

CELL_TYPES = "float,bfloat16,int8"
VARIANT_PROFILES = ("bm25", "max_sim_*")
JSON_FILE, PAGE_FILE = "evaluation.json", "evaluation.html"
SHOWN = 72
"""Characters of a query that a line shows."""

CollectionArgument: TypeAlias = Annotated[
    Path | None, typer.Argument(help="Folder with corpus.jsonl, queries.jsonl and qrels/.")
]
OutputOption: TypeAlias = Annotated[
    Path, typer.Option("-o", "--output", help="Where vectors, page and JSON are kept.")
]
SplitOption: TypeAlias = Annotated[
    str, typer.Option("--split", help="Name of the judgements; test if there are several.")
]

VARIANTS: dict[str, Any] = {
    "cell_types": Annotated[
        str | None,
        typer.Option("--cell-types", help=f"Variants of a recipe: cells; {CELL_TYPES} by default."),
    ],
    "dims": Annotated[
        str | None,
        typer.Option("--dims", help="Variants of a recipe: components, as 128,64; else all."),
    ],
    "profile": Annotated[
        list[str] | None,
        typer.Option("-p", "--profile", help="A rank profile or a pattern; repeatable."),
    ],
    "pool_factor": Annotated[
        str | None,
        typer.Option(
            "--pool-factor", help="Vectors pooled into one, as 1,2: each profile once for each."
        ),
    ],
    "residual_bits": Annotated[
        str | None,
        typer.Option(
            "--residual-bits",
            help="Residuals too, bits a component as 1,2,4: codecs are trained on the documents.",
        ),
    ],
    "centroids": Annotated[
        int | None, typer.Option("--centroids", min=0, help="Of the codecs; 0 as PLAID takes.")
    ],
    "protected_tokens": Annotated[
        int | None,
        typer.Option("--protected-tokens", min=0, help="First vectors that stay; 1 else."),
    ],
}

PEERS: dict[str, Any] = {
    "against": Annotated[
        Path | None, typer.Option("--against", help="Another package to compare with.")
    ],
    "against_model": Annotated[
        Path | None, typer.Option("--against-model", help="Its model folder, if it has its own.")
    ],
    "run": Annotated[
        list[Path] | None, typer.Option("--run", help="A run in TREC's form; repeatable.")
    ],
}

MEASURED: dict[str, Any] = {
    "measures": Annotated[
        list[str] | None,
        typer.Option("--measure", help="As ir_measures has it, R@100; repeatable."),
    ],
    "baseline": Annotated[
        str | None,
        typer.Option(
            "--baseline", help="Compared with the others; else the field of the most bytes."
        ),
    ],
    "losers": Annotated[
        int | None, typer.Option("--losers", min=0, help="Queries kept that lose most; 5 else.")
    ],
    "permutations": Annotated[
        int | None, typer.Option("--permutations", min=1, help="Of the test; 100,000 else.")
    ],
    "most_queries": Annotated[
        int | None,
        typer.Option("--most-queries", min=1, help="So many judged queries, evenly spaced."),
    ],
    "seed": Annotated[
        int | None, typer.Option("--seed", min=0, help="Of the test and the intervals.")
    ],
}


@takes_flags("measured", MEASURED)
@takes_flags("peers", PEERS)
@takes_flags("variants", VARIANTS)
def command(
    collection: CollectionArgument = None,
    application: AppOption = None,
    model: ModelOption = None,
    output: OutputOption = Path("output/evaluation"),
    split: SplitOption = "",
    recipe: RecipeOption = None,
    vespa_terms: VespaTermsFlag = False,
    as_json: JsonFlag = False,
    variants: Given | None = None,
    peers: Given | None = None,
    measured: Given | None = None,
) -> None:
    """Measure rankings on judged queries: storage variants of a recipe, or profiles of a package.

    Example: vespa-colbert evaluate scifact --dims 128,64 -o output/evaluation
    """
    from vespa_colbert.evaluate import parse_measures, read_judged
    from vespa_colbert.pipeline import evaluate_applications

    given, others, said = variants or {}, peers or {}, load_recipe(recipe)
    _check(application, given, others)
    options = _options(said, measured or {})
    parse_measures(options.measures)
    judged = read_judged(_files(collection, said, split))
    judged = judged.sampled((measured or {}).get("most_queries", len(judged.queries)))
    contenders = _contenders(said, application, model, output, given, others)
    contenders += _coded(judged, contenders, said, output, given)
    with terms(vespa=vespa_terms) as tokenize:
        found = evaluate_applications(
            judged,
            [replace(each, tokenize=tokenize) for each in contenders],
            output,
            options,
            runs=others.get("run", ()),
            reporter=Console(),
        )
    _write(found, output)
    if as_json:
        print_json(found.to_json())
        return
    for line in [*evaluation_lines(found), "", f"{output / PAGE_FILE}: picture and losers"]:
        print_line(line)


def _check(application: Path | None, variants: Given, peers: Given) -> None:
    """Return nothing if the flags can be given together."""
    if application is not None and {"cell_types", "dims", "residual_bits"} & variants.keys():
        raise typer.BadParameter("a package has its own; leave it or -a out", param_hint="--dims")
    if "against_model" in peers and "against" not in peers:
        raise typer.BadParameter("expected --against too", param_hint="--against-model")


def _write(found: Evaluation, output: Path) -> None:
    """Write an evaluation as JSON and as a page."""
    from vespa_colbert.evaluate import evaluation_page
    from vespa_colbert.files import atomic_file

    texts = {
        JSON_FILE: json.dumps(found.to_json(), indent=2, ensure_ascii=False) + "\n",
        PAGE_FILE: evaluation_page(found),
    }
    for name, text in texts.items():
        with atomic_file(output / name) as part:
            part.write_text(text, encoding="utf-8")


def _options(said: Recipe, given: Given) -> EvaluationOptions:
    from vespa_colbert.evaluate import EvaluationOptions, Sampling

    drawn = {name: given[name] for name in ("permutations", "seed") if name in given}
    chosen = {name: given[name] for name in ("baseline", "losers") if name in given}
    measures = tuple(given.get("measures") or said.evaluate.measures)
    return EvaluationOptions(measures=measures, sampling=Sampling(**drawn), **chosen)


def _files(collection: Path | None, said: Recipe, split: str) -> CollectionFiles:
    from vespa_colbert.evaluate import CollectionFiles, beir_files

    if collection is not None:
        return beir_files(collection, split)
    return CollectionFiles(
        corpus=needed(said.corpus.path, "the corpus", "corpus.path"),
        queries=needed(said.evaluate.queries, "the queries", "evaluate.queries"),
        qrels=needed(said.evaluate.qrels, "the judgements", "evaluate.qrels"),
    )


def _contenders(
    said: Recipe,
    application: Path | None,
    model: Path | None,
    output: Path,
    variants: Given,
    peers: Given,
) -> list[Contender]:
    """Return the packages that are ranked, that of a recipe's variants printed first."""
    from vespa_colbert.export import read_model_folder
    from vespa_colbert.pipeline import Contender

    folder = read_model_folder(model or said.export.output)
    profiles = tuple(variants.get("profile", () if application else VARIANT_PROFILES))
    packages = [(application or _variant_package(said, folder.path, output, variants), folder)]
    if (other := peers.get("against")) is not None:
        own = peers.get("against_model")
        packages.append((other, folder if own is None else read_model_folder(own)))
    contenders = [
        Contender(
            application=path,
            model=each,
            name="" if len(packages) == 1 else str(path),
            profiles=profiles,
            threads=said.index.threads,
        )
        for path, each in packages
    ]
    return [pooled for each in contenders for pooled in _pooled(each, variants)]


def _pooled(contender: Contender, variants: Given) -> Iterator[Contender]:
    """Yield a contender once for each pool factor."""
    from vespa_colbert.embedder.pooling import TokenPooling

    for factor in _factors(variants.get("pool_factor", "1")):
        pooling = TokenPooling(factor=factor, protected=variants.get("protected_tokens", 1))
        name = f"{contender.name} pool {factor:g}".strip()
        pooled = replace(contender, name=name, pool=pooling.pool, pool_key=str(pooling))
        yield pooled if pooling.is_active else contender


def _coded(
    judged: JudgedCollection,
    contenders: Sequence[Contender],
    said: Recipe,
    output: Path,
    variants: Given,
) -> list[Contender]:
    """Return the residuals that are ranked beside the other variants of a recipe."""
    from vespa_colbert.codec import CodecOptions
    from vespa_colbert.pipeline import ResidualStorage, coded_contenders

    if "residual_bits" not in variants:
        return []
    model = contenders[0].model
    storage = ResidualStorage(
        bits=tuple(dict.fromkeys(_numbers(variants["residual_bits"], "--residual-bits", "1,2,4"))),
        dims=_dims(said, variants) or (model.embedder.dim,),
        options=CodecOptions(centroids=variants.get("centroids", 0)),
    )

    def package(codec: Path, dim: int) -> Path:
        return _package(
            said, model.path, output / "residual" / codec.name, ("int8",), (dim,), codec
        )

    return [
        coded
        for each in contenders
        for coded in coded_contenders(
            judged, each, storage, output, package=package, reporter=Console()
        )
    ]


def _variant_package(said: Recipe, model: Path, output: Path, variants: Given) -> Path:
    """Return the package of a recipe with a field for each kind of cells and each of the dims."""
    names = _listed(variants.get("cell_types", CELL_TYPES))
    if unknown := [name for name in names if name not in _listed(CELL_TYPES)]:
        raise typer.BadParameter(
            f"expected {CELL_TYPES} or some of them, got {unknown[0]!r}", param_hint="--cell-types"
        )
    return _package(said, model, output / "app", names, _dims(said, variants), None)


def _dims(said: Recipe, variants: Given) -> tuple[int, ...]:
    given = variants.get("dims")
    return said.tokens.dims if given is None else _numbers(given, "--dims", "128,64")


def _package(
    said: Recipe,
    model: Path,
    path: Path,
    cell_types: Sequence[str],
    dims: tuple[int, ...],
    codec: Path | None,
) -> Path:
    """Return the package of a recipe with other cells, dims and codec."""
    from vespa_colbert.app import render_app
    from vespa_colbert.rank import parse_expression
    from vespa_colbert.recipe import recipe_application
    from vespa_colbert.tensor import CellType

    path.parent.mkdir(parents=True, exist_ok=True)
    varied = said.model_copy(
        update={
            "export": said.export.model_copy(update={"output": model}),
            "app": said.app.model_copy(update={"cell_types": tuple(map(CellType, cell_types))}),
            "tokens": said.tokens.model_copy(update={"dims": dims, "residual": codec}),
        }
    )
    return render_app(recipe_application(varied), path, parse=parse_expression).path


def _listed(text: str) -> list[str]:
    return [each.strip() for each in text.split(",")]


def _numbers(text: str, option: str, example: str) -> tuple[int, ...]:
    try:
        return tuple(int(each) for each in _listed(text))
    except ValueError:
        raise typer.BadParameter(
            f"expected whole numbers such as {example}, got {text!r}", param_hint=option
        ) from None


def _factors(text: str) -> tuple[float, ...]:
    try:
        return tuple(dict.fromkeys(float(each) for each in _listed(text)))
    except ValueError:
        raise typer.BadParameter(
            f"expected numbers such as 1,2, got {text!r}", param_hint="--pool-factor"
        ) from None


def evaluation_lines(found: Evaluation) -> list[str]:
    """Return an evaluation as lines of text."""
    from vespa_colbert.evaluate.page import collection_text, method_text

    measures = found.options.measures
    head = ("system", "bytes/doc", *measures, "difference", "interval", "p", "p corrected")
    rows = [head, *(_row(row, measures, found.options.measure) for row in found.rows)]
    lines = [f"{found.collection.files.qrels}: {collection_text(found)}", *table(rows)]
    lines += [f"  not ranked: {name}: {why}" for name, why in found.skipped.items()]
    lines += ["", method_text(found)]
    if any(row.losers for row in found.rows):
        lines += ["", f"the query that loses most against {found.options.baseline}"]
        lines += table([_loser(row) for row in found.rows if row.losers])
    return lines


def _row(row: Row, measures: Sequence[str], measure: str) -> tuple[str, ...]:
    from vespa_colbert.evaluate.page import difference_text
    from vespa_colbert.evaluate.picture import bytes_text

    size, difference = row.system.bytes, row.differences.get(measure)
    compared = ("baseline", "", "", "") if difference is None else difference_text(difference)
    means = (f"{row.means[name]:.4f}" for name in measures)
    return (row.system.name, "not known" if size is None else bytes_text(size), *means, *compared)


def _loser(row: Row) -> tuple[str, ...]:
    lost = row.losers[0]
    text = lost.text if len(lost.text) <= SHOWN else f"{lost.text[:SHOWN]}…"
    return row.system.name, f"{lost.baseline_value:.3f} → {lost.value:.3f}", f"{lost.query}: {text}"
