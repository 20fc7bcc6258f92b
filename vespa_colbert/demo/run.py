"""The demo: the whole path on real input, driven by a recipe that it writes for itself."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vespa_colbert.app import render_app
from vespa_colbert.checkpoint.folder import CHECKSUMS_FILE
from vespa_colbert.demo.checkpoint import demo_checkpoint_is_current, write_demo_checkpoint
from vespa_colbert.demo.corpus import collapse_to_topics, demo_passages, write_corpus
from vespa_colbert.demo.questions import Question, demo_questions
from vespa_colbert.errors import OutputError, SpecError
from vespa_colbert.evaluate import evaluate_run
from vespa_colbert.export import read_model_folder
from vespa_colbert.files import atomic_file
from vespa_colbert.pipeline import (
    ProofOptions,
    Reporter,
    Searcher,
    embed_corpus,
    export_model,
    feed_corpus,
    only_schema,
    prove,
)
from vespa_colbert.pipeline.search import MatchedToken
from vespa_colbert.rank import Hit, parse_expression
from vespa_colbert.recipe import Recipe, default_recipe, read_recipe, recipe_application
from vespa_colbert.verify import ParityReport
from vespa_colbert.vespa_java import ApplicationReport, VespaJava

__all__ = ["DemoResult", "Ranked", "Step", "run_demo"]

RECIPE_FILE = "recipe.toml"
PROFILES = ("bm25", "max_sim_float", "max_sim_int8")
SHOWN_QUESTION = "q25"
SHOWN_HITS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one stage did.

    Attributes:
        stage: Its name.
        path: What it made.
        reused: Whether that stood there already and was valid by its checksums.
        seconds: How long it took.
        facts: Figures in words.
    """

    stage: str
    path: Path
    reused: bool
    seconds: float
    facts: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """One hit of the question that is shown.

    Attributes:
        id: Of the passage.
        title: Of the passage.
        topics: That the passage belongs to.
        relevance: Its score.
        matched: Which document token answers which query token.
    """

    id: str
    title: str
    topics: tuple[str, ...]
    relevance: float
    matched: tuple[MatchedToken, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult:
    """All that the demo has to show.

    Attributes:
        folder: Where everything was written.
        steps: The stages, in order.
        application: What Vespa's config model said.
        measures: Rank profile → measure → mean over the questions.
        questions: How many questions were asked.
        question: The one whose ranking is shown.
        ranking: Its best passages.
        parity: The ladder.
    """

    folder: Path
    steps: tuple[Step, ...]
    application: ApplicationReport
    measures: Mapping[str, Mapping[str, float]]
    questions: int
    question: Question
    ranking: tuple[Ranked, ...]
    parity: ParityReport

    def to_json(self) -> dict[str, Any]:
        """Return the same figures for machines."""
        return {
            "folder": str(self.folder),
            "steps": [{**asdict(step), "path": str(step.path)} for step in self.steps],
            "application": {
                "accepted": self.application.accepted,
                "vespa": self.application.vespa_version,
                "errors": list(self.application.errors),
                "warnings": list(self.application.warnings),
                "not-checked": list(self.application.not_checked),
            },
            "questions": self.questions,
            "measures": {name: dict(each) for name, each in self.measures.items()},
            "question": asdict(self.question),
            "ranking": [asdict(hit) for hit in self.ranking],
            "parity": json.loads(self.parity.to_json()),
        }


@dataclass(slots=True)
class _Note:
    """What a stage says of itself while it runs."""

    facts: str = ""
    reused: bool = False


@dataclass(slots=True)
class _Steps:
    """Stages while they are done, each told to the reporter with its time."""

    reporter: Reporter
    done: list[Step] = field(default_factory=list)

    @contextlib.contextmanager
    def step(self, stage: str, path: Path) -> Iterator[_Note]:
        """Yield the note of a stage; it is told when the block ends."""
        started, note = time.monotonic(), _Note()
        self.reporter.say(f"{stage} …")
        yield note
        seconds = round(time.monotonic() - started, 2)
        self.done.append(
            Step(stage=stage, path=path, reused=note.reused, seconds=seconds, facts=note.facts)
        )
        state = "still valid, reused" if note.reused else f"{seconds:.1f} s"
        self.reporter.say(f"{stage}: {note.facts} ({state})")


def run_demo(
    folder: Path, reporter: Reporter, open_java: Callable[[], AbstractContextManager[VespaJava]]
) -> DemoResult:
    """Return what the demo made and measured.

    Args:
        folder: Where everything goes; what is valid there is reused.
        reporter: Hears of the progress.
        open_java: Gives Vespa's Java.

    Raises:
        OutputError: If the folder holds anything but an earlier run of the demo.
        VespaColbertError: If a stage fails; what earlier stages made stays.
    """
    if not _may_be_used(folder):
        raise OutputError(
            f"{folder}: expected a new folder or an earlier demo's, got one with other files; "
            "name another one with: vespa-colbert demo -o FOLDER"
        )
    steps = _Steps(reporter)
    recipe = _inputs(folder, steps)
    with open_java() as java:
        application = _application(recipe, steps, java)
        searcher = _index(recipe, steps)
        measures = _measures(searcher, recipe, steps)
        ranking = _ranking(searcher, recipe)
        parity = _parity(searcher, recipe, steps, java)
    return DemoResult(
        folder=folder,
        steps=tuple(steps.done),
        application=application,
        measures=measures,
        questions=len(demo_questions()),
        question=_shown_question(),
        ranking=ranking,
        parity=parity,
    )


def _may_be_used(folder: Path) -> bool:
    """Return whether a folder is new, or holds a demo, or what a killed one left unnamed."""
    if not folder.exists() or (folder / "checkpoint" / CHECKSUMS_FILE).is_file():
        return True
    return folder.is_dir() and all(path.name.startswith(".") for path in folder.iterdir())


def _inputs(folder: Path, steps: _Steps) -> Recipe:
    """Return the demo's recipe, after writing it and all that it names."""
    with steps.step("checkpoint", folder / "checkpoint") as note:
        note.reused = demo_checkpoint_is_current(folder / "checkpoint")
        write_demo_checkpoint(folder / "checkpoint")
        note.facts = "MiniLM-L6 with this package's 384→128 head, in PyLate's layout"
    with steps.step("corpus", folder / "corpus.jsonl") as note:
        write_corpus(folder / "corpus.jsonl")
        rows = [{"_id": each.id, "text": each.text} for each in demo_questions()]
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        _write(folder / "queries.jsonl", lines)
        note.facts = (
            f"{len(demo_passages())} passages of the Python reference, {len(rows)} questions"
        )
    _write(folder / RECIPE_FILE, _recipe_text())
    return read_recipe(folder / RECIPE_FILE)


def _recipe_text() -> str:
    """Return the default recipe with the demo's own inputs and outputs in it."""
    text = default_recipe().replace("output/", "")
    for name in ("checkpoint", "corpus.jsonl", "queries.jsonl"):
        text = re.sub(rf'(?m)^# (\w+ = "{re.escape(name)}")$', r"\1", text)
    return text.replace('profile = "max_sim_int8"', 'profile = "max_sim_float"')


def _application(recipe: Recipe, steps: _Steps, java: VespaJava) -> ApplicationReport:
    """Return Vespa's judgement of the package, after exporting the model and printing it.

    Raises:
        SpecError: If Vespa refuses the package.
    """
    checkpoint = recipe.checkpoint.path or recipe.export.output
    with steps.step("model", recipe.export.output) as note:
        made = export_model(
            checkpoint,
            recipe.export.output,
            export=recipe.export_options,
            options=recipe.checkpoint.options,
            reporter=steps.reporter,
        )
        note.reused = made.reused
        note.facts = made.value.comparison
    with steps.step("application", recipe.app.output) as note:
        package = render_app(recipe_application(recipe), recipe.app.output, parse=parse_expression)
        note.facts = f"{len(package.files)} files"
    with steps.step("validation", recipe.app.output) as note:
        report = java.validate_application(recipe.app.output)
        if not report.accepted:
            raise SpecError("Vespa refuses the application package", report.errors)
        note.facts = f"accepted by the config model of Vespa {report.vespa_version}"
    return report


def _index(recipe: Recipe, steps: _Steps) -> Searcher:
    """Return the searcher, after embedding the corpus and writing the feed."""
    model = read_model_folder(recipe.export.output)
    schema = only_schema(recipe.app.output)
    with steps.step("index", recipe.index.output) as note:
        made = embed_corpus(
            recipe.corpus.path or recipe.index.output,
            model,
            schema,
            recipe.index.output,
            threads=recipe.index.threads,
            reporter=steps.reporter,
        )
        rows = max(len(each.values) for each in made.value.tensors.values())
        note.reused = made.reused
        note.facts = f"{len(made.value)} passages, {rows} token vectors"
    with steps.step("feed", recipe.index.feed) as note:
        count = feed_corpus(made.value, recipe.index.feed, namespace=recipe.app.name, schema=schema)
        note.facts = f"{count} put operations"
    return Searcher(recipe.app.output, recipe.index.output, model, threads=recipe.index.threads)


def _measures(searcher: Searcher, recipe: Recipe, steps: _Steps) -> dict[str, Mapping[str, float]]:
    """Return profile → measures, of the topics that hold the best passages."""
    questions = demo_questions()
    qrels = {each.id: dict.fromkeys(each.topics, 1) for each in questions}
    runs: dict[str, dict[str, list[str]]] = {profile: {} for profile in PROFILES}
    with steps.step("questions", recipe.app.output) as note:
        for each in questions:
            for profile, run in runs.items():
                hits = searcher.search(each.text, profile, hits=len(searcher.index))
                run[each.id] = _topics(hits)
        names = recipe.evaluate.measures
        measures = {name: evaluate_run(qrels, run, names).means for name, run in runs.items()}
        note.facts = f"{len(questions)} questions by {len(PROFILES)} rank profiles"
    return measures


def _topics(hits: Sequence[Hit]) -> list[str]:
    """Return the topics of ranked passages, each where its best passage stands."""
    scores = {hit.id: hit.relevance for hit in hits}
    return [topic for topic, _score in collapse_to_topics(scores, demo_passages())]


def _shown_question() -> Question:
    return next(each for each in demo_questions() if each.id == SHOWN_QUESTION)


def _ranking(searcher: Searcher, recipe: Recipe) -> tuple[Ranked, ...]:
    """Return the best passages of the question that is shown, with the matched tokens."""
    text, profile = _shown_question().text, recipe.search.profile
    passages = {each.id: each for each in demo_passages()}
    return tuple(
        Ranked(
            id=hit.id,
            title=passages[hit.id].title,
            topics=passages[hit.id].topics,
            relevance=hit.relevance,
            matched=tuple(searcher.matched_tokens(text, profile, hit)),
        )
        for hit in searcher.search(text, profile, hits=SHOWN_HITS)
    )


def _parity(searcher: Searcher, recipe: Recipe, steps: _Steps, java: VespaJava) -> ParityReport:
    """Return the ladder, after writing it."""
    options = ProofOptions(
        documents=recipe.verify.documents,
        queries=recipe.verify.queries,
        pairs=recipe.verify.pairs,
        seed=recipe.verify.seed,
    )
    with steps.step("parity", recipe.verify.output) as note:
        texts = {each.id: each.text for each in demo_questions()}
        report = prove(searcher, java, texts, options, steps.reporter)
        _write(recipe.verify.output, report.to_json())
        checked = [rung for rung in report.rungs if rung.cases]
        note.facts = f"{len(checked)} rungs {'passed' if report.passed else 'and not all passed'}"
    return report


def _write(path: Path, text: str) -> None:
    with atomic_file(path) as part:
        part.write_text(text, encoding="utf-8")
