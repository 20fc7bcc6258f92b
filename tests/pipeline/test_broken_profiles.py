"""What ``verify`` says of profiles that cannot rank, in a schema that was written by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from tests.app.tiny_models import write_colbert
from tests.pipeline.coded_indexes import TEXTS, package
from tests.pipeline.embedded_corpora import request_of_texts
from vespa_colbert.embedder.pooling import TokenPooling
from vespa_colbert.pipeline import ProofOptions, Searcher, embed, prove
from vespa_colbert.tensor import Tensor, TensorType
from vespa_colbert.verify import Rung, Verdict
from vespa_colbert.vespa_java import VespaJava

PAIRS = 5
FIELD = """
        field gone type tensor<float>(x[4]) {
            indexing: attribute
        }
        field kind type int {
            indexing: attribute
        }
"""
PROFILES = """
    rank-profile lacks_a_phase inherits max_sim_float {
        second-phase {
            expression: sum(attribute(gone))
        }
    }
    rank-profile lacks_a_match_feature inherits max_sim_float {
        function missing() {
            expression: sum(attribute(gone))
        }
        match-features: missing
    }
    rank-profile lacks_a_result inherits max_sim_float {
        function missing() {
            expression: sum(attribute(gone))
        }
        global-phase {
            expression: normalize_linear(missing)
        }
    }
    rank-profile leaves_out inherits max_sim_float {
        second-phase {
            expression: firstPhase
        }
        diversity {
            attribute: kind
            min-groups: 3
        }
    }
}
"""


class MaxSimInNumpy(VespaJava):
    """A judge of the one expression that can be scored: MaxSim, worked out from what it is given.

    Attributes:
        off: What it adds to each score.
    """

    off = 0.0

    def versions(self) -> dict[str, str]:
        return {}

    def function_arguments(self, *_where: object) -> dict[str, TensorType]:
        names = ("query(qt)", "attribute(colbert_float)")
        return dict.fromkeys(names, TensorType.parse("tensor<float>(t{},x[16])"))

    def global_phase_features(self, *_where: object) -> list[str]:
        return ["missing"]

    def evaluate_many(self, *given: Any, **_more: Any) -> list[Tensor]:
        bindings: Sequence[Mapping[str, Tensor]] = given[-1]
        return [Tensor.number(self.off + max_sim(*each.values())) for each in bindings]


def max_sim(query: Tensor, document: Tensor) -> float:
    products = query.values.astype(np.float64) @ document.values.astype(np.float64).T
    return float(products.max(axis=1).sum())


@pytest.fixture(scope="module", name="searcher")
def searcher_fixture(tmp_path_factory: pytest.TempPathFactory) -> Searcher:
    folder = tmp_path_factory.mktemp("made")
    model = write_colbert(folder / "model")
    app = package(model, folder / "app", None)
    (path,) = (app / "schemas").glob("*.sd")
    text = path.read_text(encoding="utf-8").rstrip().removesuffix("}")
    head, brace, rest = text.partition("document passage {")
    path.write_text(head + brace + FIELD + rest + PROFILES, encoding="utf-8")
    texts = {f"d{place}": text for place, text in enumerate(TEXTS)}
    request = request_of_texts(texts, model, app, folder, TokenPooling())
    embed(request)
    return Searcher(app, request.output, model, threads=1)


@pytest.fixture(autouse=True)
def without_embeddings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the rungs below the scores, which take Vespa's own embedder."""
    monkeypatch.setitem(prove.__globals__, "compare_embeddings", lambda *_given: [])


def rungs_of(searcher: Searcher, java: VespaJava) -> dict[str, Rung]:
    options = ProofOptions(documents=0, queries=1, pairs=PAIRS)
    report = prove(searcher, java, {"q": "green 🦊"}, options)
    return {each.name: each for each in report.rungs if each.name.startswith("score, ")}


@pytest.mark.parametrize("profile", ["lacks_a_phase", "lacks_a_match_feature", "lacks_a_result"])
def test_a_phase_that_can_be_checked_is_though_its_profile_cannot_rank(
    searcher: Searcher, profile: str
) -> None:
    rung = rungs_of(searcher, MaxSimInNumpy())[f"score, {profile} first-phase"]
    assert (rung.verdict, rung.cases) == (Verdict.PASSED, PAIRS)
    assert "all pairs at random, as the profile does not rank: attribute(gone): " in rung.note


def test_what_cannot_be_checked_says_why_and_hides_no_other_profile(searcher: Searcher) -> None:
    found = rungs_of(searcher, MaxSimInNumpy())
    notes = {name: each.note for name, each in found.items() if not each.cases}
    assert "attribute(gone): " in notes["score, lacks_a_phase second-phase"]
    assert "attribute(gone): " in notes["score, lacks_a_result global-phase"]
    assert "diversity by kind is not reproduced" in notes["score, leaves_out"]
    assert {found[name].verdict for name in notes} == {Verdict.NOT_CHECKED}
    whole = found["score, max_sim_float first-phase"]
    assert (whole.verdict, whole.note) == (Verdict.PASSED, "")


def test_a_phase_of_a_profile_that_cannot_rank_may_fail(searcher: Searcher) -> None:
    java = MaxSimInNumpy()
    java.off = 0.01
    rung = rungs_of(searcher, java)["score, lacks_a_phase first-phase"]
    assert rung.verdict is Verdict.FAILED
    assert len(TEXTS) > PAIRS


@pytest.mark.slow  # a JVM is started for it alone
@pytest.mark.java
def test_vespa_s_java_scores_the_phases_that_can_be_checked(searcher: Searcher) -> None:
    with VespaJava() as java:
        found = rungs_of(searcher, java)
    checked = {name for name, each in found.items() if each.verdict is Verdict.PASSED}
    assert checked >= {
        "score, max_sim_float first-phase",
        "score, lacks_a_phase first-phase",
        "score, lacks_a_match_feature first-phase",
        "score, lacks_a_result first-phase",
    }
    assert Verdict.FAILED not in {each.verdict for each in found.values()}
