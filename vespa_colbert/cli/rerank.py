"""``vespa-colbert rerank``."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vespa_colbert.cli.flags import Given, takes_flags
from vespa_colbert.cli.streams import STREAM, input_lines, output_lines
from vespa_colbert.errors import OutputError, SpecError

if TYPE_CHECKING:
    from vespa_colbert.reranker import Reranker, RerankRecord

READING: dict[str, Any] = {
    "allow_pickle": Annotated[
        bool | None, typer.Option("--allow-pickle", help="Open torch files (.bin): tensors only.")
    ],
    "device": Annotated[
        str | None, typer.Option("--device", help="Where torch computes a checkpoint; cpu else.")
    ],
    "half": Annotated[
        bool | None, typer.Option("--half", help="In half precision: a checkpoint on a GPU.")
    ],
    "threads": Annotated[
        int | None, typer.Option("--threads", min=0, help="Calls at a time; one a processor else.")
    ],
}
"""How a model is opened."""

SEQUENCES: dict[str, Any] = {
    "max_tokens": Annotated[
        int | None,
        typer.Option("--max-tokens", help="Of a pair, special ones too; what the model states."),
    ],
    "query_tokens": Annotated[
        int | None,
        typer.Option(
            "--query-tokens",
            help="Of a query; 3/4 of a pair else, as FlagEmbedding. A package: its query-tokens.",
        ),
    ],
    "cut": Annotated[
        Literal["document", "end"] | None,
        typer.Option(
            "--cut",
            help="What an overlong pair loses: tokens of the document, or its end with the last "
            "separator, as Vespa's customTokenInputIds by itself.",
        ),
    ],
    "separators": Annotated[
        int | None,
        typer.Option("--separators", min=1, max=2, help="Between the texts; the tokenizer's else."),
    ],
}
"""How pairs become sequences."""

RUN: dict[str, Any] = {
    "queries": Annotated[
        Path | None, typer.Option("--queries", help="JSON lines with _id and text, with --run.")
    ],
    "corpus": Annotated[
        Path | None, typer.Option("--corpus", help="JSON lines with _id, title, text, with --run.")
    ],
    "run": Annotated[
        Path | None, typer.Option("--run", help="A TREC run; another one is written.")
    ],
    "depth": Annotated[
        int | None, typer.Option("--depth", min=1, help="Documents of the run a query; all else.")
    ],
}
"""A run in the place of lines with queries and documents."""


@takes_flags("opened", READING)
@takes_flags("rule", SEQUENCES)
@takes_flags("files", RUN)
def command(
    model: Annotated[
        Path, typer.Argument(help="A model folder, a checkpoint, or a model with versions.")
    ],
    source: Annotated[
        Path, typer.Argument(help='Lines {"query": …, "documents": […]}; - for stdin.')
    ] = STREAM,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Where to; - for stdout.")
    ] = STREAM,
    top: Annotated[int | None, typer.Option("--top", min=1, help="Documents left; all else.")] = (
        None
    ),
    score: Annotated[
        Literal["logit", "sigmoid"], typer.Option("--score", help="What is given; logit else.")
    ] = "logit",
    cache: Annotated[
        Path | None, typer.Option("--cache", help="File of known scores; made if need be.")
    ] = None,
    log: Annotated[
        Path | None,
        typer.Option("--log", help="JSON lines of latency and scores are added; - for stderr."),
    ] = None,
    opened: Given | None = None,
    rule: Given | None = None,
    files: Given | None = None,
) -> None:
    """Put the documents of each query in the order in which a cross-encoder sees them.

    Lines are answered as they come in. A model folder runs without torch.

    Example: vespa-colbert rerank output/reranker candidates.jsonl -o reranked.jsonl --cache c.db

    Example: vespa-colbert rerank models/reranker --queries q.jsonl --corpus c.jsonl --run bm25.run
    """
    with contextlib.ExitStack() as held:
        reranker = _open(model, opened or {}, rule or {}, score, held, cache)
        tell = held.enter_context(_log(log))
        write = held.enter_context(output_lines(output))
        lines = _lines(reranker, source, files or {}, top, tell, held)
        for line in lines:
            write(f"{line}\n")
            if output == STREAM:
                sys.stdout.flush()


def _open(
    model: Path,
    opened: Given,
    rule: Given,
    score: Literal["logit", "sigmoid"],
    held: contextlib.ExitStack,
    cache: Path | None,
) -> Reranker:
    """Return what scores pairs as the flags say."""
    from vespa_colbert.checkpoint import ReadOptions
    from vespa_colbert.export.versions import open_model
    from vespa_colbert.reranker import Reranker, ScoreCache, Sequencing, open_scorer

    options = ReadOptions(allow_pickle=opened.pop("allow_pickle", False))
    most = rule.pop("max_tokens", None)
    scorer = open_scorer(open_model(model), options=options, max_tokens=most, **opened)
    length = most or scorer.max_tokens
    given = {"query_tokens": length * 3 // 4, **rule}
    return Reranker(
        scorer,
        sequencing=Sequencing(max_tokens=length, **given),
        score=score,
        cache=None if cache is None else held.enter_context(ScoreCache(cache)),
    )


def _lines(
    reranker: Reranker,
    source: Path,
    files: Given,
    top: int | None,
    tell: Callable[[RerankRecord], None],
    held: contextlib.ExitStack,
) -> Iterator[str]:
    """Return the lines of the answer.

    Raises:
        SpecError: If some of a run's files are missing, or a file of lines is named too.
    """
    from vespa_colbert.pipeline.rerank import rerank_lines

    if files:
        if source != STREAM:
            raise SpecError(f"rerank: expected lines or a run, got both {source} and a run")
        return _run_lines(reranker, files, top, tell)
    lines = held.enter_context(input_lines(source))
    title = "stdin" if source == STREAM else str(source)
    return rerank_lines(lines, reranker, source=title, top=top, log=tell)


def _run_lines(
    reranker: Reranker, files: Given, top: int | None, tell: Callable[[RerankRecord], None]
) -> Iterator[str]:
    """Return the lines of a run.

    Raises:
        SpecError: If a file is not named.
    """
    from vespa_colbert.evaluate.run_file import read_run
    from vespa_colbert.index.collection import read_corpus, read_queries
    from vespa_colbert.pipeline.rerank import RunToRerank, rerank_run

    if missing := [f"--{name}" for name in ("run", "queries", "corpus") if name not in files]:
        raise SpecError(f"rerank: a run needs {', '.join(missing)} too")
    documents = {each.id: each for each in read_corpus(files["corpus"])}
    asked = RunToRerank(
        run=read_run(files["run"], documents=documents),
        queries=read_queries(files["queries"]),
        documents=documents,
        depth=files.get("depth"),
        top=top,
    )
    return rerank_run(asked, reranker, log=tell)


@contextlib.contextmanager
def _log(path: Path | None) -> Iterator[Callable[[RerankRecord], None]]:
    """Yield what writes a line for each query, and one for all of them at the end.

    Raises:
        OutputError: If the file cannot be written.
    """
    from vespa_colbert.reranker import summary_record

    if path is None:
        yield lambda _record: None
        return
    records: list[RerankRecord] = []
    with contextlib.ExitStack() as held:
        try:
            # Each line is written at once: those of two processes do not mix.
            stream = (
                sys.stderr
                if path == STREAM
                else held.enter_context(path.open("a", encoding="utf-8", buffering=1))
            )
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error.strerror})") from error

        def tell(record: RerankRecord) -> None:
            records.append(record)
            stream.write(json.dumps(record.line(), ensure_ascii=False) + "\n")

        yield tell
        stream.write(json.dumps(summary_record(records), ensure_ascii=False) + "\n")
