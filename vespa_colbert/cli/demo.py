"""``vespa-colbert demo``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vespa_colbert.cli.console import Console, print_json, print_line, table
from vespa_colbert.cli.options import JsonFlag

if TYPE_CHECKING:
    from vespa_colbert.demo.run import DemoResult


def command(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Where everything is written.")
    ] = Path("demo-output"),
    as_json: JsonFlag = False,
) -> None:
    """Run the whole path on real input, with Vespa's own Java as the judge.

    Everything it does is a key of the recipe that it writes.

    Example: vespa-colbert demo -o demo-output
    """
    from vespa_colbert.cli.java import open_java
    from vespa_colbert.cli.verify import failure
    from vespa_colbert.demo.run import run_demo
    from vespa_colbert.errors import ParityError

    console = Console()
    result = run_demo(output, console, lambda: open_java(console))
    if as_json:
        print_json(result.to_json())
    else:
        for line in _lines(result):
            print_line(line)
    if not result.parity.passed:
        raise ParityError(failure(result.parity))


def _lines(result: DemoResult) -> list[str]:
    """Return what the demo has to show as lines of text."""
    from vespa_colbert.cli.search import strongest
    from vespa_colbert.cli.verify import ladder_lines

    names = list(next(iter(result.measures.values())))
    measures: list[tuple[str, ...]] = [("rank profile", *names)]
    for profile, means in result.measures.items():
        measures.append((profile, *(f"{means[name]:.3f}" for name in names)))
    lines = [f"How {result.questions} questions about Python are answered, by topic"]
    lines += table(measures)
    lines += ["", f"“{result.question.text}” (answered by {', '.join(result.question.topics)})"]
    for rank, hit in enumerate(result.ranking, start=1):
        lines.append(f"  {rank}  {hit.relevance:.3f}  {hit.id}  {hit.title}")
        lines.append(f"     {strongest(hit.matched)}")
    ours, theirs = result.parity.judges
    lines += ["", f"The ladder: {ours} against {theirs}"]
    lines += ladder_lines(result.parity)
    lines += ["", "What was made"]
    rows = [
        (str(step.path), step.facts, "reused" if step.reused else f"{step.seconds:.1f} s")
        for step in result.steps
        if step.stage not in {"validation", "questions"}
    ]
    lines += table(rows)
    lines += ["", "Next, with your own checkpoint and a JSONL of _id, title and text"]
    command = _command()
    lines += [
        f"  {command} init recipe.toml    # name both in it, then",
        f"  {command} export && {command} generate && {command} validate",
        f"  {command} embed && {command} search 'your question' && {command} verify",
        f"  vespa deploy {result.folder / 'app'} && vespa feed {result.folder / 'feed.jsonl'}",
    ]
    return lines


def _command() -> str:
    """Return how this command was called, as one would type it in this folder."""
    program = Path(sys.argv[0])
    if program.name != "vespa-colbert":
        return "vespa-colbert"
    here = Path.cwd()
    return str(program.relative_to(here) if program.is_relative_to(here) else program)
