"""Recipes of every way of running ColBERT on Vespa, each judged by Vespa's own code.

A recipe is put together from its text as ``generate`` does. The package is judged by Vespa's config
model, documents by its indexing, questions by its query profiles, and scores by its evaluation of
rank expressions, which ``verify`` drives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.app.judged_package import judge_package
from tests.app.recipe_models import QUESTIONS, input_of_another_model, sent_by_a_client
from tests.app.recipe_texts import RECIPES
from vespa_colbert.app import Query, read_application, render_app
from vespa_colbert.export.model_folder import ModelFolder
from vespa_colbert.index import LocalIndex, open_index
from vespa_colbert.pipeline import (
    EmbedRequest,
    ProofOptions,
    QueryOptions,
    Searcher,
    embed,
    embed_corpus,
    only_schema,
    prove,
    query_body,
)
from vespa_colbert.pipeline.packaged_codec import holds_residuals_alone
from vespa_colbert.pipeline.query import other_inputs, query_tensors, token_inputs
from vespa_colbert.pipeline.residuals import coded_field
from vespa_colbert.pipeline.served import NEAREST, Served, local_copies
from vespa_colbert.rank import parse_expression
from vespa_colbert.recipe import Recipe, read_recipe, recipe_application
from vespa_colbert.tensor.literal_text import literal
from vespa_colbert.validate import Severity, validate_application
from vespa_colbert.verify import Rung, Verdict
from vespa_colbert.vespa_java import VespaJava

__all__ = ["Judged", "judge_recipe"]

FLOAT_STEPS = 2e-6
"""Components of pooled rows, summed in float by the graph and in double here."""

PAIRS = 10
"""Of each phase and question; half of them its best hits."""

GIVEN = "own value not checked"
GROUP = "ada"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What came of a recipe.

    Attributes:
        profiles: Rank profiles of the package.
        faults: What Vespa or our own checks refuse, and what is not as it was read; none if good.
        warnings: What Vespa warns of.
        codes: What our own checks warn of, each kind once.
        tensors: Tensors of documents that Vespa's indexing and the local index made alike.
        questions: Questions through query profiles or request bodies, inputs as made here.
        scores: Rungs of phases and results.
    """

    profiles: int
    faults: tuple[str, ...]
    warnings: tuple[str, ...]
    codes: tuple[str, ...]
    tensors: int
    questions: int
    scores: tuple[Rung, ...]

    @property
    def pairs(self) -> int:
        """Scores that were compared."""
        return sum(rung.values for rung in self.scores)

    @property
    def worst(self) -> float:
        """The largest difference of two scores, relative."""
        return max((rung.worst for rung in self.scores), default=0.0)

    @property
    def not_checked(self) -> Counter[str]:
        """Why phases were not checked → how many."""
        return Counter(r.note for r in self.scores if r.verdict is Verdict.NOT_CHECKED)

    @property
    def given(self) -> int:
        """Phases in which Java was given what a content node computes, by the local ranker."""
        return sum(GIVEN in r.note for r in self.scores if r.verdict is Verdict.PASSED)


def judge_recipe(
    java: VespaJava, name: str, model: ModelFolder, questions: Sequence[str] = QUESTIONS
) -> Judged:
    """Return what comes of a recipe of the table.

    Args:
        java: Vespa's own code.
        name: Of the recipe.
        model: What ``write_recipe_models`` returned.
        questions: What is asked.
    """
    folder = model.path.parents[1]
    path = folder / f"{name}.toml"
    path.write_text(RECIPES[name], encoding="utf-8")
    recipe = read_recipe(path)
    spec = recipe_application(recipe)
    app = render_app(spec, folder / name / "app", parse=parse_expression).path
    report = java.validate_application(app)
    findings = validate_application(app, java)
    profiles = judge_package(java, read_application(app), report)
    index = _indexed(folder / "corpus.jsonl", model, app, folder / name / "index")
    searcher = Searcher(app, index, model, threads=1)
    options = ProofOptions(documents=len(index), pairs=PAIRS * len(questions))
    scores = prove(searcher, java, {each[:20]: each for each in questions}, options).rungs
    failed = [f"{rung.name}: {rung.note}" for rung in scores if rung.verdict is Verdict.FAILED]
    errors = [str(each) for each in findings.of(Severity.ERROR)]
    read = [f"{profile}: {each}" for profile, found in profiles.items() for each in found]
    return Judged(
        profiles=len(profiles),
        faults=(*report.errors, *errors, *read, *failed),
        warnings=report.warnings,
        codes=tuple(dict.fromkeys(each.code for each in findings.of(Severity.WARNING))),
        tensors=_compare_documents(searcher, java),
        questions=sum(
            _compare_question(java, searcher, each, question, recipe)
            for each in spec.queries
            for question in questions
        ),
        scores=tuple(rung for rung in scores if rung.name.startswith("score")),
    )


def _indexed(corpus: Path, model: ModelFolder, app: Path, output: Path) -> LocalIndex:
    """Return the index of a corpus: its token vectors, or residuals where the package has no more.

    Args:
        corpus: The texts.
        model: The model folder.
        app: The package.
        output: The index folder.
    """
    schema = only_schema(app)
    if not holds_residuals_alone(schema):
        return embed_corpus(corpus, model, schema, output).value
    coded = coded_field(app, corpus.with_name("codec"), model)
    request = EmbedRequest(corpus=corpus, model=model, schema=schema, output=output, coded=coded)
    embed(request)
    return open_index(output)


def _compare_documents(searcher: Searcher, java: VespaJava) -> int:
    """Return how many tensors Vespa's indexing makes of the corpus as the local index has them."""
    index, count = searcher.index, 0
    theirs = Served(searcher, java, range(len(index))).documents
    assert list(theirs.ids) == [each.id for each in index.documents]
    for name, rows in index.tensors.items():
        for position in range(len(index)):
            assert rows.document(position) == theirs.tensors[name].document(position), name
            count += 1
    return count


def _compare_question(
    java: VespaJava, searcher: Searcher, query: Query, text: str, recipe: Recipe
) -> bool:
    """Return true: a question's statement, profile and inputs in Vespa are what is meant.

    It is asked by a query profile where there is one, else by the body of a request.
    """
    app, schema, embedder = searcher.application, searcher.schema, searcher.embedder
    profile = schema.profile(query.profile)
    unknown = {
        name: sent_by_a_client(profile.input_types[name], text)
        for name, source in query.inputs
        if not source and name in other_inputs(profile)
    }
    said = {name: literal(tensor).partition(":")[2] for name, tensor in unknown.items()}
    options = QueryOptions(group=GROUP, tensors=said)
    body = query_body(app, schema, text, query.profile, model=embedder.folder, options=options)
    sent = {name: str(value) for name, value in body.items()}
    if query.is_filled and recipe.app.query_profiles:
        sent = {"queryProfile": query.profile, "text": text}
        sent |= {name: GROUP for name, _ in query.parameters}
    found = java.read_query(app, sent, models=local_copies(app, embedder.folder))
    assert found.profile == query.profile
    vectors = embedder.embed(text, "query")
    meant = NEAREST.findall(query.yql(schema.name, len(vectors)))
    assert sorted(NEAREST.findall(found.yql)) == sorted(meant)
    words = "default contains" in found.yql
    assert words == ("userInput" in query.where and query.nearest is None), found.yql
    wanted = query_tensors(token_inputs(profile), vectors) | unknown
    models = {"q_dense": recipe.dense.model, "q_tokens": recipe.cross_encoder.model}
    for name, other in models.items():
        if other is not None and name in profile.input_types:
            wanted[name] = input_of_another_model(other, profile.input_types[name], text)
    assert {f"query({name})" for name in wanted} == found.inputs.keys()
    for name, tensor in wanted.items():
        theirs = found.inputs[f"query({name})"]
        assert theirs.type == tensor.type
        ours, judged = tensor.subspaces(), theirs.subspaces()
        assert ours.keys() == judged.keys()
        steps = FLOAT_STEPS if name == "q_dense" else 0.0
        for label, cells in ours.items():
            np.testing.assert_allclose(judged[label], cells, rtol=0.0, atol=steps)
    return True
