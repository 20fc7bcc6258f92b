"""What the public applications rank by, our recipes make too; the page shows what is made."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.app.canonical_form import canonical, canonical_phases
from tests.app.public_applications import APPLICATIONS, Alike, PublicRecipe
from tests.app.write_public_applications import page, specs
from vespa_colbert.app import ApplicationSpec, RankProfile, read_schema

ROOT = Path(__file__).parents[2]
CORPUS = "VESPA_COLBERT_SCHEMA_CORPUS"
FIRST_PHASE_AGAIN = "firstPhase"
EVERY = [(public, alike) for public in APPLICATIONS for alike in public.profiles]
NAMES = [f"{public.title}-{alike.theirs}" for public, alike in EVERY]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ApplicationSpec]:
    return specs(tmp_path_factory.mktemp("recipes"))


def counts_of(profile: RankProfile, phases: tuple[str, ...]) -> dict[str, int | None]:
    found = {"second-phase": profile.second_phase, "global-phase": profile.global_phase}
    return {
        name: phase.rerank_count
        for name, phase in found.items()
        if phase is not None and name in phases
    }


@pytest.mark.parametrize(("public", "alike"), EVERY, ids=NAMES)
def test_our_profile_ranks_as_the_public_one(
    made: dict[str, ApplicationSpec], public: PublicRecipe, alike: Alike
) -> None:
    schema = made[public.title].schemas[0]

    ours = canonical_phases(schema, alike.ours)

    for phase, expression in alike.phases.items():
        wanted = canonical(expression, public.names)
        for theirs, other in alike.other:
            wanted = wanted.replace(theirs, other)
        assert ours[phase] == canonical(wanted), phase
    assert ours.keys() == alike.phases.keys()
    profile = schema.profile(alike.ours)
    assert counts_of(profile, tuple(alike.counts)) == alike.counts
    body = public.names.get("text", "text")
    stated = {(name.replace("text", body), value) for name, value in alike.properties}
    assert stated <= set(profile.properties)
    # What is exchanged is in some phase, and said.
    told = " ".join(canonical(each, public.names) for each in alike.phases.values())
    assert all(theirs in told for theirs, _ in alike.other)
    assert not alike.other or alike.left


@pytest.mark.parametrize(("public", "alike"), EVERY, ids=NAMES)
def test_the_public_profile_is_as_stated(public: PublicRecipe, alike: Alike) -> None:
    if CORPUS not in os.environ or not public.schema:
        pytest.skip(f"{CORPUS} names no folder of schemas, or it is a notebook")
    found = [*Path(os.environ[CORPUS]).rglob(public.schema)]
    assert found, public.schema
    schema = read_schema(found[0])

    theirs = canonical_phases(schema, alike.theirs)

    stated = {phase: canonical(each) for phase, each in alike.phases.items()}
    again = {phase for phase, each in theirs.items() if each == FIRST_PHASE_AGAIN}
    assert {phase: each for phase, each in theirs.items() if phase not in again} == stated
    profile = schema.profile(alike.theirs)
    assert counts_of(profile, tuple(alike.counts)) == alike.counts
    assert set(alike.properties) <= set(profile.properties)


def test_forms_are_the_same_whatever_the_parentheses_and_the_order_of_a_sum() -> None:
    assert canonical("sum((b + (a)), x) + (bm25(t))") == canonical("bm25(t) + (sum(b + a, x))")
    assert canonical("a * (b + c)") != canonical("a * b + c")
    assert canonical("sum(q * v, v)", {"v": "x"}) == canonical("sum(q * x, x)")


def test_the_page_shows_what_is_generated() -> None:
    written = (ROOT / "docs" / "public-applications.md").read_text(encoding="utf-8")
    assert written == page(), "write it anew with: make public-applications"
