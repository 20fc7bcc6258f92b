from __future__ import annotations

import io
import json
import multiprocessing
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.index.feed_cases import KEYS, TYPES, documents, schema, tensors, write_package
from vespa_colbert.errors import CollectionError, OutputError
from vespa_colbert.index import (
    Document,
    Feed,
    FeedFields,
    document_id,
    resume_feed,
    stream_feed,
    write_feed,
)
from vespa_colbert.tensor import Tensor, TensorType
from vespa_colbert.vespa_java import JavaDocument, VespaJava

ANY = FeedFields(namespace="ns", document_type="passage")


def feed(*, group: str = "", is_costly: bool = False) -> Feed:
    fields = FeedFields.of_schema(schema(), namespace="ns", group=group)
    return Feed(documents=documents(), fields=fields, tensors=tensors, is_costly=is_costly)


def lines_of(feed: Feed) -> list[bytes]:
    stream = io.BytesIO()
    stream_feed(feed, stream)
    return stream.getvalue().splitlines(keepends=True)


def test_an_operation_is_written_as_vespa_documents_it() -> None:
    kind = TensorType.parse("tensor<int8>(dt{},x[2])")
    made = Feed(
        documents=[Document(id="a/1", fields={"title": "t", "text": "é"})],
        fields=ANY,
        tensors=lambda _position, _document: {
            "bits": Tensor.rows(kind, np.array([[1, -1], [127, -128]]))
        },
    )

    assert lines_of(made) == [
        '{"put": "id:ns:passage::a/1", "fields": {"id": "a/1", "title": "t", "text": "é", '
        '"bits": {"blocks": {"0": "01FF", "1": "7F80"}}}}\n'.encode()
    ]


def test_only_fields_of_the_document_type_are_fed_and_the_others_are_named() -> None:
    fields = FeedFields(namespace="n", document_type="d", types={"text": "string"})
    documents = [Document(id="1", fields={"title": "lost", "text": "kept", "url": ""})]
    made = Feed(documents=documents, fields=fields)

    assert json.loads(lines_of(made)[0]) == {"put": "id:n:d::1", "fields": {"text": "kept"}}
    assert made.left_out == {"title"}


@pytest.mark.parametrize(
    ("kind", "value"), [("string", ["a"]), ("array<string>", "a"), ("int", "1")]
)
def test_a_value_that_the_field_does_not_take_stops_the_feed(
    kind: str, value: str | list[str]
) -> None:
    fields = FeedFields(namespace="n", document_type="d", types={"text": kind})
    made = Feed(documents=[Document(id="1", fields={"text": value})], fields=fields)

    with pytest.raises(CollectionError, match=f"the schema says {kind}, got a"):
        lines_of(made)


@pytest.mark.parametrize("character", ["\x00", "\x0b", "\ufdd0", "\uffff", "\U0001fffe"])
@pytest.mark.parametrize("is_list", [False, True], ids=["text", "list"])
def test_a_character_that_vespa_refuses_stops_the_feed(
    tmp_path: Path, character: str, is_list: bool
) -> None:
    value: str | list[str] = ["ok", f"x{character}"] if is_list else f"x{character}"
    made = Feed(documents=[Document(id="a", fields={"text": value})], fields=ANY)

    with pytest.raises(CollectionError, match=f"U\\+{ord(character):04X} at character 1"):
        write_feed(made, tmp_path / "feed.jsonl")

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("character", ["\t", "\n", "\x7f", "\ufde0", "\U0001f600", "\u0085"])
def test_a_character_that_vespa_takes_is_fed(tmp_path: Path, character: str) -> None:
    made = Feed(documents=[Document(id="a", fields={"text": f"x{character}"})], fields=ANY)

    assert write_feed(made, tmp_path / "feed.jsonl").operations == 1


def test_a_group_is_the_documents_own_or_a_field() -> None:
    documents = [Document(id="1", fields={"title": "t"}, group="me")]
    own = Feed(documents=documents, fields=ANY)
    named = Feed(documents=documents, fields=replace(ANY, group="title"))
    missing = Feed(documents=documents, fields=replace(ANY, group="nosuch"))

    assert json.loads(lines_of(own)[0])["put"] == "id:ns:passage:g=me:1"
    assert json.loads(lines_of(named)[0])["put"] == "id:ns:passage:g=t:1"
    with pytest.raises(CollectionError, match="expected a text in nosuch"):
        lines_of(missing)


def test_file_and_stream_have_the_same_bytes(tmp_path: Path) -> None:
    done: list[int] = []

    result = write_feed(feed(), tmp_path / "feed.jsonl", progress=done.append)

    assert (tmp_path / "feed.jsonl").read_bytes() == b"".join(lines_of(feed()))
    assert (result.operations, result.kept) == (len(KEYS), 0)
    assert done == list(range(1, len(KEYS) + 1))


def test_operations_are_made_one_at_a_time() -> None:
    """A feed of any length is in memory one document at a time."""
    taken: list[int] = []

    def endless() -> Iterator[Document]:
        for number in range(10**9):
            taken.append(number)
            yield Document(id=str(number), fields={"text": "x"})

    operations = Feed(documents=endless(), fields=ANY).operations()
    next(operations)
    next(operations)

    assert taken == [0, 1]


@pytest.mark.parametrize("is_costly", [False, True], ids=["cheap", "costly"])
def test_a_feed_goes_on_from_wherever_it_was_cut(tmp_path: Path, is_costly: bool) -> None:
    lines = lines_of(feed())
    whole = b"".join(lines)
    ends = [sum(map(len, lines[:count])) for count in range(len(lines) + 1)]
    path = tmp_path / "feed.jsonl"
    cuts = [0, 1, *(end + step for end in ends[1:-1:4] for step in (-1, 0, 1)), len(whole)]
    for cut in cuts:
        path.unlink(missing_ok=True)
        (tmp_path / "feed.jsonl.partial").write_bytes(whole[:cut])

        result = resume_feed(feed(is_costly=is_costly), path)

        assert path.read_bytes() == whole
        assert result.kept == sum(end <= cut for end in ends[1:])
        assert result.operations == len(KEYS)
        assert [each.name for each in tmp_path.iterdir()] == ["feed.jsonl"]


def test_a_file_that_a_pipe_left_is_gone_on_with(tmp_path: Path) -> None:
    lines = lines_of(feed())
    path = tmp_path / "feed.jsonl"
    path.write_bytes(b"".join(lines[:3]) + lines[3][:9])

    result = resume_feed(feed(), path)

    assert (result.kept, path.read_bytes()) == (3, b"".join(lines))


@pytest.mark.parametrize("is_costly", [False, True], ids=["cheap", "costly"])
@pytest.mark.parametrize("changed", [0, 2, 4])
def test_what_another_feed_left_is_not_gone_on_with(
    tmp_path: Path, changed: int, is_costly: bool
) -> None:
    lines = lines_of(feed())[:5]
    lines[changed] = lines[changed].replace(b"title", b"titel", 2)
    left = b"".join(lines)
    (tmp_path / "feed.jsonl.partial").write_bytes(left)

    with pytest.raises(OutputError, match=f"line {changed + 1} differs"):
        resume_feed(feed(is_costly=is_costly), tmp_path / "feed.jsonl")

    assert (tmp_path / "feed.jsonl.partial").read_bytes() == left
    assert not (tmp_path / "feed.jsonl").exists()


@pytest.mark.parametrize("changed", [0, 4], ids=["first", "last"])
def test_tensors_of_another_model_in_the_first_or_last_line_are_seen(
    tmp_path: Path, changed: int
) -> None:
    lines = lines_of(feed())[1:6]
    lines[changed] = lines[changed].replace(
        b'"rows": {"blocks": {"0": "', b'"rows": {"blocks": {"0": "0'
    )
    (tmp_path / "feed.jsonl.partial").write_bytes(b"".join(lines))
    costly = feed(is_costly=True)
    costly.documents = documents()[1:]
    costly.tensors = lambda position, document: tensors(position + 1, document)

    with pytest.raises(OutputError, match=f"line {changed + 1} differs"):
        resume_feed(costly, tmp_path / "feed.jsonl")


def test_more_lines_than_the_feed_has_are_another_feeds(tmp_path: Path) -> None:
    lines = lines_of(feed())
    (tmp_path / "feed.jsonl.partial").write_bytes(b"".join([*lines, lines[0]]))

    with pytest.raises(OutputError, match=f"line {len(lines) + 1} differs"):
        resume_feed(feed(), tmp_path / "feed.jsonl")


def test_a_costly_feed_makes_no_tensors_of_what_is_there(tmp_path: Path) -> None:
    asked: list[int] = []

    def counted(position: int, document: Document) -> dict[str, Tensor]:
        asked.append(position)
        return tensors(position, document)

    (tmp_path / "feed.jsonl.partial").write_bytes(b"".join(lines_of(feed())[:10]))
    costly = feed(is_costly=True)
    costly.tensors = counted

    resume_feed(costly, tmp_path / "feed.jsonl")

    assert asked == [0, 9, *range(10, len(KEYS))]


def test_an_error_in_the_middle_leaves_what_was_written_to_go_on_with(tmp_path: Path) -> None:
    broken = feed()
    broken.documents = [*documents()[:4], Document(id="x", fields={"text": "\x00"})]

    with pytest.raises(CollectionError):
        resume_feed(broken, tmp_path / "feed.jsonl")
    assert not (tmp_path / "feed.jsonl").exists()

    assert resume_feed(feed(), tmp_path / "feed.jsonl").kept == 4


def _hold(path: Path, started: object, ended: object) -> None:
    def slow() -> Iterator[Document]:
        started.set()  # type: ignore[attr-defined]
        ended.wait(30)  # type: ignore[attr-defined]
        yield from documents()

    held = feed()
    held.documents = slow()
    resume_feed(held, path)


def test_two_writers_of_one_feed_are_kept_apart(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    started, ended = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path / "feed.jsonl", started, ended))
    other.start()
    assert started.wait(30)

    with pytest.raises(OutputError, match=rf"another process \({other.pid}\) is writing it"):
        resume_feed(feed(), tmp_path / "feed.jsonl")
    ended.set()
    other.join(30)

    assert (tmp_path / "feed.jsonl").read_bytes() == b"".join(lines_of(feed()))


@pytest.mark.java
def test_vespa_reads_every_document_and_tensor_as_it_was_meant(
    java: VespaJava, tmp_path: Path
) -> None:
    package = write_package(tmp_path / "app")
    texts = [line.decode() for line in lines_of(feed())]

    read = java.read_documents(package, texts)

    assert len(read) == len(KEYS)
    for position, (document, found) in enumerate(zip(documents(), read, strict=True)):
        assert isinstance(found, JavaDocument), found
        assert found.id == document_id(document.id, namespace="ns", document_type="passage")
        wanted = tensors(position, document)
        for name, kind in TYPES.items():
            assert found.fields.pop(name) == wanted[name], (name, kind)
        assert found.fields == {**document.fields, "id": document.id}


@pytest.mark.java
def test_vespa_refuses_the_groups_that_we_refuse_and_takes_the_others(
    java: VespaJava, tmp_path: Path
) -> None:
    package = write_package(tmp_path / "app")
    read = java.read_documents(
        package,
        [
            json.dumps({"put": f"id:n:passage:g={group}:k", "fields": {}})
            for group in ("a,b", "me@x.org", "a=b", "ü/1")
        ],
    )

    assert not isinstance(read[0], JavaDocument)
    assert [each.id for each in read[1:] if isinstance(each, JavaDocument)] == [
        document_id("k", namespace="n", document_type="passage", group=group)
        for group in ("me@x.org", "a=b", "ü/1")
    ]
