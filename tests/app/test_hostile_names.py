"""Hostile texts in every place: refused with place and value, or in the package as they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.app.hostile_names import (
    NAMES,
    OPTIONAL,
    PLACES,
    PLAIN,
    Target,
    application,
    files_of,
    package_of,
    read_by_vespa,
    replaced,
    target_of,
)
from vespa_colbert.app import (
    ApplicationSpec,
    AppOptions,
    eject_templates,
    read_application,
    read_package,
    render_app,
)
from vespa_colbert.errors import SpecError
from vespa_colbert.export.model_folder import EmbedderSpec
from vespa_colbert.rank import parse_expression
from vespa_colbert.recipe import read_recipe, recipe_application
from vespa_colbert.vespa_java import VespaJava

TARGETS: tuple[Target, ...] = ("hosts", "cloud")
SHOWN = 60
"""Characters of a value that a message shows at least."""

FEW = 5
"""A default run takes one name of so many; the slow one takes all."""

STRIDE = 7
"""Places of one package hold names this far apart, so that they differ."""

SIGNS = "ab_Z09-.$ \n\t{}()<>\"'&;#%:/\\@=,|!é\u202e\0"


def spec_of(facts: EmbedderSpec, room: Path, values: Mapping[str, str]) -> ApplicationSpec:
    """Return the application with these texts, where all their places are."""
    is_cloud = any(target_of(place) == "cloud" for place in values)
    return application(facts, room / "file", values, "cloud" if is_cloud else "hosts")


def refusal(facts: EmbedderSpec, room: Path, place: str, text: str) -> str | None:
    """Return why a text is refused in a place; nothing if it is taken."""
    try:
        spec_of(facts, room, {place: text})
    except SpecError as error:
        return str(error)
    return None


@pytest.fixture(name="room")
def room_fixture(tmp_path: Path) -> Path:
    (tmp_path / "room" / "beside").mkdir(parents=True)
    (tmp_path / "room" / "file").write_bytes(b"a file")
    (tmp_path / "room" / "beside" / "other").write_bytes(b"another")
    return tmp_path / "room"


@pytest.mark.parametrize("step", [FEW, pytest.param(1, marks=pytest.mark.slow)])
def test_what_is_refused_is_named_with_its_place_and_nothing_is_written(
    facts: EmbedderSpec, room: Path, step: int
) -> None:
    before = files_of(room)
    verdicts = {
        (place, name): refusal(facts, room, place, name)
        for place in PLACES
        for name in NAMES[::step]
    }
    assert len(verdicts) >= 480
    refused = {case: message for case, message in verdicts.items() if message is not None}
    for (place, name), message in refused.items():
        assert PLACES[place][1] in message, (place, name, message)
        assert repr(name[:SHOWN])[1:-1] in message, (place, name, message)
    assert 480 <= len(refused) < len(verdicts)
    assert {place for place, _ in refused} == PLACES.keys()
    assert files_of(room) == before


def outside(room: Path) -> dict[str, tuple[int, int]]:
    """Return all there is but the package."""
    found = files_of(room).items()
    return {path: each for path, each in found if not Path(path).is_relative_to(room / "app")}


def written(
    facts: EmbedderSpec, java: VespaJava, room: Path, target: Target, values: Mapping[str, str]
) -> tuple[object, object]:
    """Return what is in the package with these texts, which Vespa takes, and what Vespa reads."""
    before = outside(room)
    spec = application(facts, room / "file", values, target)
    package = render_app(spec, room / "app", parse=parse_expression)
    assert outside(room) == before
    assert read_package(room / "app") == package

    assert read_application(room / "app").schemas == spec.schemas
    report = java.validate_application(room / "app")
    assert report.errors == (), (values, report.errors)
    return package_of(room / "app"), read_by_vespa(report)


def check(
    facts: EmbedderSpec,
    java: VespaJava,
    room: Path,
    plain: Mapping[Target, tuple[object, object]],
    values: Mapping[str, str],
    target: Target,
) -> None:
    """Render one package with these texts: it is the plain one, they in the plain ones' places."""
    stands = {place: text for place, text in values.items() if target_of(place) in {"", target}}
    for found, wanted in zip(
        written(facts, java, room, target, stands), plain[target], strict=True
    ):
        assert found == replaced(wanted, stands), stands


@pytest.fixture(name="plain")
def plain_fixture(
    facts: EmbedderSpec, java: VespaJava, room: Path
) -> Mapping[Target, tuple[object, object]]:
    """What the packages hold when every text is a plain one; each plain one stands somewhere."""
    plain = {target: written(facts, java, room, target, {}) for target in TARGETS}
    for place, text in PLAIN.items():
        assert any(
            text in str(content)
            for target, content in plain.items()
            if target_of(place) in {"", target}
        ), place
    return plain


@pytest.mark.java
@pytest.mark.parametrize("step", [20, pytest.param(1, marks=pytest.mark.slow)])
def test_what_is_taken_stands_in_the_package_alone_and_vespa_takes_it(
    facts: EmbedderSpec,
    java: VespaJava,
    room: Path,
    plain: Mapping[Target, tuple[object, object]],
    step: int,
) -> None:
    taken = {
        place: [
            name
            for name in (*NAMES[::step], PLAIN[place])
            if (name or place not in OPTIONAL) and refusal(facts, room, place, name) is None
        ]
        for place in PLACES
    }
    seen = set[tuple[str, str]]()
    for round_ in range(0, max(map(len, taken.values())), step):
        values = {
            place: names[(round_ + STRIDE * order) % len(names)]
            for order, (place, names) in enumerate(taken.items())
        }
        for target in TARGETS:
            check(facts, java, room, plain, values, target)
        seen |= set(values.items())
    if step == 1:
        assert seen == {(place, name) for place, names in taken.items() for name in names}
        assert all(len(names) > 1 for names in taken.values())
        assert len(seen) >= 480


def texts(place: str) -> st.SearchStrategy[str]:
    """Return strings that are nearly, or quite, what a place takes, and some that are not."""
    plain = PLAIN[place]
    damaged = st.builds(
        lambda before, part, after: plain[:before] + part + plain[before + after :],
        st.integers(0, len(plain)),
        st.text(SIGNS, max_size=6),
        st.integers(0, 3),
    )
    return st.one_of(damaged, st.text(SIGNS, max_size=12), st.text(max_size=12))


STRINGS = st.fixed_dictionaries({place: texts(place) for place in PLACES})


@pytest.mark.java
@pytest.mark.parametrize(
    "examples", [pytest.param(3, id="few"), pytest.param(64, id="all", marks=pytest.mark.slow)]
)
def test_random_strings_are_refused_or_stand_in_a_package_that_vespa_takes(
    facts: EmbedderSpec,
    java: VespaJava,
    room: Path,
    plain: Mapping[Target, tuple[object, object]],
    examples: int,
) -> None:
    counts = {"taken": 0, "refused": 0}

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example],
    )
    @given(STRINGS)
    def judge(strings: dict[str, str]) -> None:
        taken = {}
        for place, text in strings.items():
            message = refusal(facts, room, place, text)
            counts["taken" if message is None else "refused"] += 1
            if message is None and (text or place not in OPTIONAL):
                taken[place] = text
            if message is not None:
                assert PLACES[place][1] in message, (place, text, message)
                assert repr(text[:SHOWN])[1:-1] in message, (place, text, message)
        for target in TARGETS:
            check(facts, java, room, plain, taken, target)

    judge()
    assert sum(counts.values()) >= examples * len(PLACES)
    assert min(counts.values()) >= examples


RECIPE_KEYS = {
    "application": ("app", "name"),
    "schema": ("app", "schema"),
    "Vespa version": ("app", "minimum-vespa-version"),
    "url": ("model", "transformer-url"),
    "model id": ("model", "transformer-id"),
    "secret": ("model", "secret-ref"),
    "host": ("nodes", "hosts"),
    "region": ("cloud", "regions"),
    "memory": ("cloud", "container-memory"),
    "GPU memory": ("cloud", "gpu-memory"),
}
"""Place → table and key of a recipe."""


def recipe_text(place: str, text: str, target: Target) -> str:
    """Return a recipe with a text in one of its keys, the others plain."""
    tables: dict[str, dict[str, object]] = {
        "model": {"embedder": "facts.json", "tokenizer-url": "https://a.example/tokenizer.json"},
        "nodes": {"target": target},
    }
    for each, (table, key) in RECIPE_KEYS.items():
        if target_of(each) in {"", target}:
            said = text if each == place else PLAIN[each]
            value = [said] if key in {"hosts", "regions"} else said
            tables.setdefault(table, {})[key] = value
    lines = []
    for table, values in tables.items():
        lines += [f"[{table}]", *(f"{key} = {json.dumps(said)}" for key, said in values.items())]
    return "\n".join(lines)


@pytest.mark.parametrize("place", RECIPE_KEYS)
def test_a_recipe_takes_what_the_generator_takes(
    facts: EmbedderSpec, room: Path, place: str
) -> None:
    (room / "facts.json").write_text(json.dumps({"embedder": asdict(facts)}), encoding="utf-8")
    target = target_of(place) or "hosts"
    for name in NAMES[::FEW]:
        wanted = refusal(facts, room, place, name) is None
        path = room / "recipe.toml"
        path.write_text(recipe_text(place, name, target), encoding="utf-8")
        if not wanted:
            with pytest.raises(SpecError, match=rf"recipe\.toml|{PLACES[place][1]}"):
                recipe_application(read_recipe(path))
            continue
        spec = recipe_application(read_recipe(path))
        said = application(facts, room / "file", {place: name}, target)
        assert (spec.name, spec.nodes.hosts) == (said.name, said.nodes.hosts)
        assert spec.minimum_vespa_version == said.minimum_vespa_version
        assert spec.schemas[0].name == said.schemas[0].name
        assert spec.embedders[0].transformer == said.embedders[0].transformer
        assert spec.cloud == said.cloud


def test_what_looks_like_a_template_stays_text(facts: EmbedderSpec, room: Path) -> None:
    looks = "{{7*7}}"
    places = ("model output", "query prepend", "property value", "condition", "query source")
    render_app(
        application(facts, room / "file", dict.fromkeys(places, looks), "hosts"),
        room / "app",
        parse=parse_expression,
    )
    said = {
        path.relative_to(room / "app").as_posix(): path.read_text(encoding="utf-8")
        for path in (room / "app").rglob("*.*")
        if path.is_file() and path.suffix in {".xml", ".sd", ".md", ".json"}
    }
    profile = f"search/query-profiles/{PLAIN['rank profile']}.xml"
    schema = f"schemas/{PLAIN['schema']}.sd"
    assert said["services.xml"].count(looks) == 2
    assert f'"plainproperty": "{looks}"' in said[schema]
    assert f"where {looks}<" in said[profile]
    assert f">{looks}<" in said[profile]
    assert f"where {looks}'" in said["README.md"]
    assert f"={looks}'" in said["README.md"]
    assert looks in said[".vespa-colbert.json"]
    assert not any("49" in text for path, text in said.items() if path != ".vespa-colbert.json")


FILE_NAMES = (
    *("..jinja", "...jinja", ".jinja", "sub/...jinja", "a\nb.jinja", "a\u202eb", "\udcff", "a\\b"),
    *("services.xml", "schemas/passage.sd", "schemas/passage.sd.jinja", "README.md/more.jinja"),
    *("schemas.jinja", "files.jinja", "files/more", ".vespa-colbert.json", "search"),
)
"""Files beside templates that no package can take."""


@pytest.mark.parametrize("name", FILE_NAMES)
def test_a_file_beside_templates_that_would_replace_or_leave_the_package_is_refused(
    spec: ApplicationSpec, room: Path, name: str
) -> None:
    mine = room / "mine"
    eject_templates(mine)
    if name == "search":
        (mine / name / "query-profiles" / "query-profile.xml.jinja").unlink()
        (mine / name / "query-profiles").rmdir()
        (mine / name).rmdir()
    (mine / name).parent.mkdir(parents=True, exist_ok=True)
    (mine / name).write_text("a text")
    before = files_of(room)
    with pytest.raises(SpecError) as caught:
        render_app(spec, room / "app", templates=mine, parse=parse_expression)
    assert str(mine) in str(caught.value)
    assert files_of(room) == before


@pytest.mark.parametrize("name", ["{{7*7}}.jinja", "-rf.jinja", "a b;c", "....jinja", ".hidden"])
def test_a_file_of_an_odd_name_beside_templates_stands_in_the_package(
    spec: ApplicationSpec, room: Path, name: str
) -> None:
    mine = room / "mine"
    eject_templates(mine)
    (mine / name).write_text("a text")
    before = files_of(room)
    package = render_app(spec, room / "app", templates=mine, parse=parse_expression)
    assert (room / "app" / name.removesuffix(".jinja")).read_text() == "a text"
    assert read_package(package.path) == package
    assert outside(room) == before


@pytest.mark.parametrize("folder", ["{{7*7}}", "a b", "a'b", "日本", "%2e", "-rf", "${HOME}"])
def test_an_output_of_an_odd_name_is_one_folder(
    spec: ApplicationSpec, room: Path, folder: str
) -> None:
    before = {path.name for path in room.iterdir()}
    render_app(spec, room / folder, parse=parse_expression)
    assert {path.name for path in room.iterdir()} == before | {folder}
    assert read_package(room / folder).name == AppOptions().name
