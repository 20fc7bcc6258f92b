from __future__ import annotations

import json
from pathlib import Path

import pytest

from vespa_colbert.errors import CollectionError
from vespa_colbert.evaluate import beir_files, read_judged

DOCUMENTS = [{"_id": "a", "text": "one"}, {"_id": "b", "title": "B", "text": "two"}]
QUERIES = [{"_id": "q1", "text": "one?"}, {"_id": "q2", "text": "two?"}, {"_id": "q3", "text": "x"}]
FITTING = "q1\ta\t1\nq2\tb\t2\n"
HEADER = "query-id\tcorpus-id\tscore\n"


def write_collection(
    folder: Path,
    qrels: str = "q1\ta\t1\nq2\tb\t2\n",
    *,
    documents: list[dict[str, str]] = DOCUMENTS,
) -> Path:
    (folder / "qrels").mkdir(parents=True)
    for name, rows in (("corpus", documents), ("queries", QUERIES)):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    (folder / "qrels" / "test.tsv").write_text(HEADER + qrels, encoding="utf-8")
    return folder


def test_only_judged_queries_are_asked(tmp_path: Path) -> None:
    found = read_judged(beir_files(write_collection(tmp_path, "q2\tb\t2\nq1\ta\t1\nq1\tb\t0\n")))

    assert dict(found.queries) == {"q1": "one?", "q2": "two?"}
    assert found.qrels == {"q2": {"b": 2}, "q1": {"a": 1, "b": 0}}
    assert [each.id for each in found.documents] == ["a", "b"]
    assert found.unanswered == 0


def test_a_judged_query_that_nothing_answers_is_counted(tmp_path: Path) -> None:
    found = read_judged(beir_files(write_collection(tmp_path, "q1\ta\t1\nq2\tb\t0\n")))

    assert found.unanswered == 1


@pytest.mark.parametrize(
    ("qrels", "fragments"),
    [
        ("q1\ta\t1\nq9\tb\t1\n", ("queries", "queries.jsonl", "q9")),
        ("q1\ta\t1\nq2\tzz\t1\n", ("documents", "corpus.jsonl", "zz")),
        ("q1\ta\t1\nq1\tb\t-1\n", ("line 3", "0 or more", "-1")),
        ("q1\ta\t1\nq1\ta\t1\n", ("line 3", "judged before", "'a'", "'q1'")),
        ("q1\ta\t1\nq1\tb\tgood\n", ("line 3", "whole number", "'good'")),
        ("q1\ta\t0\n", ("grade 1 or more",)),
        ("", ("expected judgements",)),
    ],
)
def test_judgements_that_do_not_fit_are_named(
    tmp_path: Path, qrels: str, fragments: tuple[str, ...]
) -> None:
    with pytest.raises(CollectionError) as error:
        read_judged(beir_files(write_collection(tmp_path, qrels)))

    for fragment in ("test.tsv", *fragments):
        assert fragment in str(error.value)


def test_many_unknown_ids_are_counted(tmp_path: Path) -> None:
    qrels = "".join(f"q1\tx{number}\t1\n" for number in range(9))

    with pytest.raises(CollectionError, match="x0, x1, x2 and 6 more"):
        read_judged(beir_files(write_collection(tmp_path, qrels)))


def test_an_empty_corpus_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match="at least one document"):
        read_judged(beir_files(write_collection(tmp_path, documents=[])))


def test_the_judgements_are_named_where_there_are_several(tmp_path: Path) -> None:
    folder = write_collection(tmp_path)
    test = folder / "qrels" / "test.tsv"
    assert beir_files(folder).qrels == test

    test.rename(folder / "qrels" / "dev.tsv")
    assert beir_files(folder).qrels.name == "dev.tsv"

    (folder / "qrels" / "train.tsv").write_text("q1\ta\t1\n", encoding="utf-8")
    assert beir_files(folder, "train").qrels.name == "train.tsv"
    with pytest.raises(CollectionError, match=r"qrels/test.tsv, found dev, train; name them"):
        beir_files(folder)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match="found no judgements"):
        beir_files(tmp_path)
    folder = write_collection(tmp_path / "c")
    (folder / "queries.jsonl").unlink()
    with pytest.raises(CollectionError, match=r"queries\.jsonl: expected a file"):
        beir_files(folder)
