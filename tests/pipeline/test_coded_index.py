"""An index of residuals: what is in it, how it ranks and is fed, and what it does not fit."""

from __future__ import annotations

import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.app.tiny_models import write_colbert
from tests.pipeline.coded_indexes import TEXTS, Made, make, package
from tests.pipeline.embedded_corpora import request_of_texts
from vespa_colbert.app import AppOptions, application_spec, folder_embedder, render_app
from vespa_colbert.app.options import TokenRetrieval
from vespa_colbert.arrays import TokenVectors
from vespa_colbert.codec import (
    CodecOptions,
    ResidualCodec,
    ResidualCodes,
    read_codec,
    unit_vectors,
    write_codec,
)
from vespa_colbert.embedder import LocalEmbedder
from vespa_colbert.embedder.pooling import TokenPooling
from vespa_colbert.errors import (
    CollectionError,
    IndexFolderError,
    OutputError,
    SpecError,
    UnknownFeatureError,
)
from vespa_colbert.evaluate import derive_index
from vespa_colbert.export.model_folder import ModelFolder
from vespa_colbert.index import (
    CodedRows,
    DocumentRows,
    FeedFields,
    all_faults,
    open_index,
    open_snapshot,
    read_corpus,
    write_feed,
    write_index,
)
from vespa_colbert.index.join import merge_snapshots, write_manifest
from vespa_colbert.index.manifest import read_manifest
from vespa_colbert.pipeline import (
    EmbedRequest,
    FeedOptions,
    ProofOptions,
    Searcher,
    Shard,
    append_corpus,
    embed,
    feed_corpus,
    only_schema,
    open_feed,
    prove,
)
from vespa_colbert.pipeline import compressed_index as codes_of_index
from vespa_colbert.pipeline.candidates import Finding
from vespa_colbert.pipeline.coded_index import write_coded_index
from vespa_colbert.pipeline.compressed_index import compressed_index
from vespa_colbert.pipeline.embed_request import index_origin
from vespa_colbert.pipeline.residuals import (
    coded_field,
    make_codec,
    plaid_index,
    residual_feed,
)
from vespa_colbert.rank import fused, parse_expression, residuals
from vespa_colbert.tensor import CellType, TensorType
from vespa_colbert.verify import Rung, Verdict
from vespa_colbert.vespa_java import VespaJava

FIELD, PROFILE = "colbert_residual", "max_sim_residual"
QUERY = "green 🦊"
SCORE = 1e-5
"""Absolute: sums of float products of vectors of length 1, in another order."""


@pytest.fixture(scope="module", name="model")
def model_fixture(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return write_colbert(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module", name="made")
def made_fixture(tmp_path_factory: pytest.TempPathFactory, model: ModelFolder) -> Made:
    return make(tmp_path_factory.mktemp("made"), model)


def codes_of(made: Made) -> list[ResidualCodes]:
    codec, vectors = read_codec(made.codec), open_index(made.index).tensors["colbert_float"]
    return [
        codec.encode(unit_vectors(vectors.document(place).values, codec.dim))
        for place in range(len(TEXTS))
    ]


def scores_of(made: Made, codes: list[ResidualCodes]) -> dict[str, float]:
    asked = LocalEmbedder(made.model, threads=1).embed(QUERY, "query")
    vectors = [read_codec(made.codec).decode(each) for each in codes]
    scores = [float((asked @ each.T).max(axis=1).sum()) for each in vectors]
    return {f"d{place}": score for place, score in enumerate(scores)}


def found(searcher: Searcher) -> dict[str, float]:
    hits = searcher.search(QUERY, PROFILE, hits=len(TEXTS))
    relevances = [hit.relevance for hit in hits]
    assert relevances == sorted(relevances, reverse=True)
    return {hit.id: hit.relevance for hit in hits}


def test_codes_are_kept_to_the_bit_with_texts_and_what_they_were_made_with(made: Made) -> None:
    index, source = open_index(made.coded), open_index(made.index)

    rows, codes = index.tensors[FIELD], codes_of(made)
    assert list(index.tensors) == [FIELD]
    assert isinstance(rows, CodedRows)
    assert np.diff(rows.offsets).tolist() == list(map(len, codes))
    assert rows.numbers.tolist() == [n for each in codes for n in each.centroids.tolist()]
    wanted = np.concatenate([each.residuals for each in codes])
    np.testing.assert_array_equal(rows.values.view(np.uint8), wanted)
    assert index.documents == source.documents
    assert all_faults(made.coded) == []
    kept = {name: each for name, each in source.origin.items() if name not in {"types", "fields"}}
    assert kept.items() <= index.origin.items()
    assert index.origin.keys() - source.origin.keys() == {"codec", "codec-dim", "codec-weights"}
    assert FIELD in index.origin["types"]


def test_an_index_of_residuals_is_ranked_by_the_kernel_as_its_vectors_rebuilt(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    rebuilt, kernel = list[Any](), residuals.stored_residuals

    def spied(*arguments: Any) -> Any:
        rebuilt.append(kernel(*arguments))
        return rebuilt[-1]

    monkeypatch.setattr(fused, "stored_residuals", spied)
    searcher = Searcher(made.app, made.coded, made.model, threads=1)

    scores = found(searcher)

    assert scores == pytest.approx(scores_of(made, codes_of(made)), abs=SCORE)
    assert any(each is not None for each in rebuilt)


def test_it_ranks_as_evaluate_ranks_the_same_codes(made: Made, tmp_path: Path) -> None:
    vectors, schema = open_index(made.index).tensors["colbert_float"], only_schema(made.app)
    by_text = {f" {text}": vectors.document(place).values for place, text in enumerate(TEXTS)}

    def stored(text: str) -> TokenVectors:
        return by_text[text]

    derived = derive_index(
        read_corpus(made.corpus),
        coded_field(made.app, made.codec, made.model),
        stored,
        tmp_path,
        origin=index_origin(made.model, schema),
    )

    searchers = [Searcher(made.app, each, made.model, threads=1) for each in (derived, made.coded)]
    assert found(searchers[0]) == found(searchers[1])


def test_its_feed_is_that_of_the_codes_byte_by_byte(made: Made, tmp_path: Path) -> None:
    schema = only_schema(made.app)
    fields = FeedFields.of_schema(schema, namespace="passages")
    source = compressed_index(made.index, made.codec)
    write_feed(residual_feed(source, made.app, schema, fields, None), tmp_path / "source.jsonl")

    options = FeedOptions(namespace="passages", application=made.app)
    write_feed(open_feed(made.coded, schema, options), tmp_path / "coded.jsonl")

    fed = (tmp_path / "coded.jsonl").read_bytes()
    assert fed == (tmp_path / "source.jsonl").read_bytes()
    first = json.loads(fed.splitlines()[0])["fields"][FIELD]["blocks"][0]
    codes = codes_of(made)[0]
    assert first["address"] == {"c": str(codes.centroids[0]), "dt": "0"}
    assert first["values"] == codes.residuals[0].tobytes().hex().upper()


def test_plaid_s_index_is_kept_as_it_is(made: Made, tmp_path: Path) -> None:
    plaid_index(compressed_index(made.index, made.codec), tmp_path / "plaid")
    source = compressed_index(tmp_path / "plaid", None)

    count = write_coded_index(
        source, tmp_path / "coded", made.app, corpus=made.corpus, model=made.model
    )

    assert count == len(TEXTS)
    index, other = open_index(tmp_path / "coded"), open_index(made.coded)
    assert index.documents == other.documents
    rows, wanted = index.tensors[FIELD], other.tensors[FIELD]
    assert [rows.document(place) for place in range(count)] == [
        wanted.document(place) for place in range(count)
    ]
    assert index.origin["codec"] == other.origin["codec"]
    searchers = [
        Searcher(made.app, each, made.model, threads=1) for each in (index.path, other.path)
    ]
    assert found(searchers[0]) == found(searchers[1])


def test_bfloat16_vectors_of_several_segments_are_coded(model: ModelFolder, tmp_path: Path) -> None:
    options = AppOptions(cell_types=(CellType.BFLOAT16,), dims=(16,))
    spec = application_spec(folder_embedder(model), options)
    app = render_app(spec, tmp_path / "app", parse=parse_expression).path
    texts = {f"d{place}": text for place, text in enumerate(TEXTS)}
    given = request_of_texts(dict(list(texts.items())[:3]), model, app, tmp_path, TokenPooling())
    embed(given)
    append_corpus(request_of_texts(texts, model, app, tmp_path, TokenPooling()))
    codec = make_codec(given.output, tmp_path / "codec", CodecOptions(bits=4, centroids=4))
    source = compressed_index(given.output, tmp_path / "codec")
    assert source.local is not None
    assert len(source.local.snapshot.segments) == 2

    (rows,) = open_index(given.output).tensors.values()
    assert rows.type.cell_type is CellType.BFLOAT16
    coded = list(source.documents())
    assert len(coded) == len(TEXTS)
    for place, codes in enumerate(coded):
        wanted = codec.encode(unit_vectors(rows.document(place).values, codec.dim))
        assert codes.centroids.tolist() == wanted.centroids.tolist()
        assert codes.residuals.tobytes() == wanted.residuals.tobytes()


def test_deleted_documents_are_not_coded(made: Made, tmp_path: Path) -> None:
    shutil.copytree(made.index, tmp_path / "index")
    with write_index(tmp_path / "index") as writer:
        assert writer.delete(["d0", "d2", "d3"]) == 3
    source = compressed_index(tmp_path / "index", made.codec)
    wanted = [codes_of(made)[place] for place in (1, 4, 5)]
    assert source.lengths().tolist() == list(map(len, wanted))
    for codes, each in zip(source.documents(), wanted, strict=True):
        assert codes.centroids.tolist() == each.centroids.tolist()
        assert codes.residuals.tobytes() == each.residuals.tobytes()


def test_documents_are_deleted_and_indexes_joined(made: Made, tmp_path: Path) -> None:
    source = compressed_index(made.index, made.codec)
    for name, gone in (("one", ["d0", "d3"]), ("two", ["d1", "d2", "d4", "d5"])):
        write_coded_index(source, tmp_path / name, made.app)
        with write_index(tmp_path / name) as writer:
            assert writer.delete(gone) == len(gone)
    wanted = scores_of(made, codes_of(made))

    def held(name: str) -> dict[str, float]:
        return found(Searcher(made.app, tmp_path / name, made.model, threads=1))

    left = {each: wanted[each] for each in ("d1", "d2", "d4", "d5")}
    assert held("one") == pytest.approx(left, abs=SCORE)
    with write_index(tmp_path / "one") as writer:
        writer.compact()
    assert held("one") == pytest.approx(left, abs=SCORE)
    snapshots = [open_snapshot(tmp_path / name) for name in ("two", "one")]
    merge_snapshots(snapshots, tmp_path / "all", snapshots[0].manifest.origin)
    assert held("all") == pytest.approx(wanted, abs=SCORE)
    assert [each.id for each in open_index(tmp_path / "all").documents] == list(wanted)
    assert all_faults(tmp_path / "all") == []


def test_pooling_is_carried_over_though_vespa_fills_the_fields_beside(
    model: ModelFolder, tmp_path: Path
) -> None:
    made = make(tmp_path, model, factor=2.0)

    searcher = Searcher(made.app, made.coded, model, threads=1)

    assert searcher.pooling == TokenPooling(factor=2.0)
    assert found(searcher) == pytest.approx(scores_of(made, codes_of(made)), abs=SCORE)
    pooled = len(open_index(made.coded).tensors[FIELD].values)
    embedder = LocalEmbedder(model, threads=1)
    assert pooled < sum(len(embedder.embed(f" {text}", "document")) for text in TEXTS)


def test_a_package_with_another_codec_is_refused(made: Made, tmp_path: Path) -> None:
    codec = read_codec(made.codec)
    moved = codec.centroids.copy()
    moved[0, 0] += 0.5
    others = {
        "centroids": replace(codec, centroids=moved),
        "weights": replace(codec, weights=codec.weights * np.float32(0.5)),
    }
    for what, other in others.items():
        write_codec(other, tmp_path / what)
        app = package(made.model, tmp_path / f"app-{what}", tmp_path / what)
        match = rf"app-{what}: .* other {what} .*{made.coded} \(codec [0-9a-f]{{12}}…\)"
        with pytest.raises(SpecError, match=match):
            Searcher(app, made.coded, made.model, threads=1)
        options = FeedOptions(namespace="passages", application=app)
        with pytest.raises(SpecError, match=match):
            open_feed(made.coded, only_schema(app), options)
        with pytest.raises(SpecError, match=f"other {what}"):
            write_coded_index(compressed_index(made.index, made.codec), tmp_path / "out", app)
        source = compressed_index(made.index, tmp_path / what)
        write_coded_index(source, tmp_path / f"coded-{what}", app)
        snapshots = [open_snapshot(each) for each in (made.coded, tmp_path / f"coded-{what}")]
        match = r"made with codec '\w+', expected '\w+'; join indexes that are made alike: "
        with pytest.raises(IndexFolderError, match=match) as caught:
            merge_snapshots(snapshots, tmp_path / "out", snapshots[0].manifest.origin)
        assert "--codec" not in str(caught.value)
    assert not (tmp_path / "out").exists()
    with pytest.raises(SpecError, match="name the package whose codec made its residuals"):
        open_feed(made.coded, only_schema(made.app), FeedOptions(namespace="passages"))
    with pytest.raises(
        IndexFolderError, match=r"other tensor fields .*: with colbert_residual \S+ as"
    ):
        Searcher(made.folder / "float", made.coded, made.model, threads=1)


def test_a_package_one_of_whose_profiles_has_other_weights_is_refused(
    made: Made, tmp_path: Path
) -> None:
    app = shutil.copytree(made.app, tmp_path / "app")
    (path,) = (app / "schemas").glob("*.sd")
    before, found, after = path.read_text(encoding="utf-8").partition("function token_residuals()")
    assert "function token_residuals()" in after, "it is not the only profile"
    path.write_text(before + found + after.replace("f(bucket)(", "f(bucket)(2 * ", 1))

    with pytest.raises(SpecError, match="its rank profiles have other weights than"):
        Searcher(app, made.coded, made.model, threads=1)


def test_vectors_are_coded_by_a_codec_of_their_own_model(made: Made, tmp_path: Path) -> None:
    write_codec(replace(read_codec(made.codec), model="f" * 64), tmp_path / "codec")
    app = package(made.model, tmp_path / "app", tmp_path / "codec")
    with pytest.raises(SpecError, match=r"made with model \w+…, the codec was trained on .* f{12}"):
        coded_field(app, tmp_path / "codec", made.model)
    narrow = replace(made.model, embedder=replace(made.model.embedder, dim=8))
    with pytest.raises(SpecError, match="expected a model of 16 components or more, got .* of 8"):
        coded_field(made.app, made.codec, narrow)


def test_an_index_that_embed_feeds_is_of_the_package_s_codec(made: Made, tmp_path: Path) -> None:
    codec = read_codec(made.codec)
    write_codec(replace(codec, weights=codec.weights * np.float32(0.5)), tmp_path / "codec")
    other = package(made.model, tmp_path / "app", tmp_path / "codec")
    feed, index = tmp_path / "feed.jsonl", open_index(made.coded)

    def fed(app: Path, given: Path | None) -> int:
        schema = only_schema(app)
        return feed_corpus(index, feed, namespace="n", schema=schema, application=given)

    with pytest.raises(SpecError, match="have other weights than the index"):
        fed(other, other)
    with pytest.raises(SpecError, match="name the package whose codec"):
        fed(made.app, None)
    assert not feed.exists()
    assert fed(made.app, made.app) == len(TEXTS)


def test_another_model_is_refused(made: Made) -> None:
    files = {each: replace(digest, sha256="f" * 64) for each, digest in made.model.files.items()}
    other = replace(made.model, files=files)
    with pytest.raises(IndexFolderError, match=r"made with model '\w+', expected 'f+'"):
        Searcher(made.app, made.coded, other, threads=1)


def test_what_cannot_be_kept_says_what_is_missing(made: Made, tmp_path: Path) -> None:
    source = compressed_index(made.index, made.codec)
    with pytest.raises(OutputError, match="another folder than that of what is coded"):
        write_coded_index(source, made.index, made.app)
    assert isinstance(open_index(made.index).tensors["colbert_float"], DocumentRows)
    with pytest.raises(SpecError, match="holds its own documents; leave out the corpus"):
        write_coded_index(source, tmp_path / "out", made.app, corpus=made.corpus)
    plaid_index(source, tmp_path / "plaid")
    plaid = compressed_index(tmp_path / "plaid", None)
    with pytest.raises(SpecError, match="name the corpus"):
        write_coded_index(plaid, tmp_path / "out", made.app, model=made.model)
    with pytest.raises(SpecError, match="name the model that made its vectors, with -m"):
        write_coded_index(plaid, tmp_path / "out", made.app, corpus=made.corpus)
    narrow = replace(made.model, embedder=replace(made.model.embedder, dim=8))
    with pytest.raises(SpecError, match="expected a model of 16 components or more, got .* of 8"):
        write_coded_index(plaid, tmp_path / "out", made.app, corpus=made.corpus, model=narrow)
    lines = made.corpus.read_text(encoding="utf-8").splitlines(keepends=True)
    for wrong, fault in ((lines[:-1], "got more"), ([*lines, lines[0]], "d0")):
        (tmp_path / "other.jsonl").write_text("".join(wrong), encoding="utf-8")
        with pytest.raises(CollectionError, match=fault):
            write_coded_index(
                plaid, tmp_path / "out", made.app, corpus=tmp_path / "other.jsonl", model=made.model
            )
    assert not (tmp_path / "out").exists()


def test_what_has_no_vectors_is_not_coded_nor_searched(made: Made, tmp_path: Path) -> None:
    with pytest.raises(IndexFolderError, match="got residuals of a codec; feed writes"):
        compressed_index(made.coded, made.codec)
    with pytest.raises(IndexFolderError, match="got residuals of a codec; feed writes"):
        make_codec(made.coded, tmp_path / "codec", CodecOptions(bits=2))
    searcher = Searcher(made.app, made.coded, made.model, threads=1)
    for by in ("nearest", "scan", "graph"):
        with pytest.raises(SpecError, match="expected one that compares token vectors"):
            searcher.search(QUERY, PROFILE, finding=Finding(by=by))
    with pytest.raises(UnknownFeatureError, match="no such tensor field or attribute"):
        searcher.search(QUERY, "max_sim_float")


def test_documents_are_not_found_by_a_field_that_is_in_another_index(
    made: Made, tmp_path: Path
) -> None:
    app = package(made.model, tmp_path / "app", made.codec, token_retrieval=TokenRetrieval())
    write_coded_index(compressed_index(made.index, made.codec), tmp_path / "coded", app)
    searcher = Searcher(app, tmp_path / "coded", made.model, threads=1)

    for by in ("query", "nearest", "scan", "graph"):
        match = (
            "rank profile token_retrieval_float: finds documents by colbert_float, which the "
            "index .*coded does not have"
        )
        with pytest.raises(UnknownFeatureError, match=match):
            searcher.search(QUERY, "token_retrieval_float", finding=Finding(by=by))


def embedding(made: Made, output: Path, codec: Path | None) -> EmbedRequest:
    return EmbedRequest(
        corpus=made.corpus,
        model=made.model,
        schema=only_schema(made.app),
        output=output,
        threads=1,
        coded=None if codec is None else coded_field(made.app, codec, made.model),
    )


@pytest.mark.parametrize("first", [[], ["d1", "d4"]], ids=["all", "some"])
def test_more_documents_are_embedded_and_coded_by_the_codec_of_the_index(
    made: Made, tmp_path: Path, first: list[str]
) -> None:
    source = compressed_index(made.index, made.codec)
    write_coded_index(source, tmp_path / "coded", made.app)
    with write_index(tmp_path / "coded") as writer:
        writer.delete([f"d{place}" for place in range(len(TEXTS)) if f"d{place}" not in first])

    done = append_corpus(embedding(made, tmp_path / "coded", made.codec))

    assert (done.documents, done.kept) == (len(TEXTS), len(first))
    held, wanted = open_index(tmp_path / "coded"), open_index(made.coded)
    assert {each.id for each in held.documents} == {each.id for each in wanted.documents}
    for name, place in held.positions.items():
        found_codes = held.tensors[FIELD].document(place)
        assert found_codes == wanted.tensors[FIELD].document(wanted.positions[name]), name
    searcher = Searcher(made.app, tmp_path / "coded", made.model, threads=1)
    assert found(searcher) == pytest.approx(scores_of(made, codes_of(made)), abs=SCORE)
    assert all_faults(tmp_path / "coded") == []


def test_a_corpus_is_embedded_into_residuals_at_once(made: Made, tmp_path: Path) -> None:
    embed(embedding(made, tmp_path / "coded", made.codec))

    held, wanted = open_index(tmp_path / "coded"), open_index(made.coded)
    assert held.origin == wanted.origin
    assert held.documents == wanted.documents
    assert [held.tensors[FIELD].document(place) for place in range(len(TEXTS))] == [
        wanted.tensors[FIELD].document(place) for place in range(len(TEXTS))
    ]


@pytest.mark.parametrize("count", [2, 8])
def test_shards_embed_residuals_as_one_run_does(made: Made, tmp_path: Path, count: int) -> None:
    request = embedding(made, tmp_path / "coded", made.codec)
    request = pickle.loads(pickle.dumps(request))  # noqa: S301 - as Ray sends it

    done = [embed(request, Shard(number=each, of=count)) for each in range(count, 0, -1)]

    assert done[-1].missing == ()
    held, wanted = open_index(tmp_path / "coded"), open_index(made.coded)
    assert held.origin == wanted.origin
    assert held.documents == wanted.documents
    assert [held.tensors[FIELD].document(place) for place in range(len(TEXTS))] == [
        wanted.tensors[FIELD].document(place) for place in range(len(TEXTS))
    ]


def test_documents_are_added_to_plaid_s_index_as_embed_makes_them_by_default(
    made: Made, tmp_path: Path
) -> None:
    plaid_index(compressed_index(made.index, made.codec), tmp_path / "plaid")
    source, path = compressed_index(tmp_path / "plaid", None), tmp_path / "coded"
    write_coded_index(source, path, made.app, corpus=made.corpus, model=made.model)
    said = open_index(path).origin
    given = embedding(made, path, made.codec)
    more = tmp_path / "more.jsonl"
    more.write_text('{"_id": "new", "text": "green red"}\n{"_id": "d0", "text": "red"}\n')

    done = append_corpus(replace(given, corpus=more))

    assert (done.documents, done.kept) == (len(TEXTS) + 1, 1)
    assert open_index(path).origin == said
    assert not {"pooling", "runtime"} & said.keys()
    hits = Searcher(made.app, path, made.model, threads=1).search(QUERY, PROFILE, hits=99)
    assert {hit.id for hit in hits} == {"new", *(f"d{place}" for place in range(len(TEXTS)))}
    with pytest.raises(
        IndexFolderError, match=r"pooling nothing said, expected 'ward, .*; embed with"
    ):
        append_corpus(replace(given, pooling=TokenPooling(factor=2)))
    with pytest.raises(IndexFolderError, match="runtime nothing said, expected 'openvino-bf16'; "):
        append_corpus(replace(given, runtime="openvino-bf16"))


@pytest.mark.parametrize("shard", [None, Shard(number=1, of=2)])
def test_vectors_do_not_replace_residuals_of_the_same_model_for_want_of_a_flag(
    made: Made, tmp_path: Path, shard: Shard | None
) -> None:
    output = Path(shutil.copytree(made.coded, tmp_path / "coded"))
    before = (output / "manifest.json").read_bytes()
    vectors, residuals = (embedding(made, output, each) for each in (None, made.codec))

    match = rf"{output}: holds residuals of the same model.*; name their codec: --codec, or another"
    with pytest.raises(OutputError, match=match):
        embed(vectors, shard)
    assert (output / "manifest.json").read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["coded"]

    embed(replace(vectors, output=tmp_path / "vectors"))
    assert not open_snapshot(tmp_path / "vectors").manifest.is_coded
    embed(replace(residuals, output=tmp_path / "vectors"))
    assert open_snapshot(tmp_path / "vectors").manifest.is_coded


def test_residuals_of_another_model_are_replaced_as_vectors_of_another_are(
    made: Made, tmp_path: Path
) -> None:
    path = tmp_path / "index"
    embed(embedding(made, path, made.codec))
    manifest = read_manifest(path)
    write_manifest(path, replace(manifest, origin={**manifest.origin, "model": "f" * 64}))

    embed(embedding(made, path, None))

    assert not read_manifest(path).is_coded


def test_documents_of_few_tokens_are_coded_together_and_those_of_many_alone(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = compressed_index(made.index, made.codec)
    together, lengths = list(source.documents()), source.lengths().tolist()
    taken: list[int] = []
    once = ResidualCodec.encode

    def encode(codec: ResidualCodec, vectors: TokenVectors) -> ResidualCodes:
        taken.append(len(vectors))
        return once(codec, vectors)

    monkeypatch.setattr(ResidualCodec, "encode", encode)
    list(source.documents())
    assert taken == [sum(lengths)]
    # The one run has more, so that each document is taken alone until there are enough.
    bound = max(lengths) + 1
    monkeypatch.setattr(codes_of_index, "BLOCK_TOKENS", bound)
    taken.clear()
    apart = list(source.documents())

    assert len(taken) > 2
    assert sum(taken) == sum(lengths)
    assert all(each < bound + max(lengths) for each in taken)
    assert all(each >= bound for each in taken[:-1])
    for one, other in zip(together, apart, strict=True):
        assert (one.centroids == other.centroids).all()
        assert (one.residuals == other.residuals).all()


def test_what_is_appended_must_be_of_the_same_kind(made: Made, tmp_path: Path) -> None:
    with pytest.raises(IndexFolderError, match="holds residuals; name their codec: --codec"):
        append_corpus(embedding(made, made.coded, None))
    codec = read_codec(made.codec)
    moved = replace(codec, centroids=codec.centroids[::-1].copy())
    given = embedding(made, made.coded, made.codec)
    assert given.coded is not None
    other = replace(given, coded=replace(given.coded, codec=moved))
    match = r"made with codec '\w+', expected '\w+'; take the --codec that it was made with"
    with pytest.raises(IndexFolderError, match=match):
        append_corpus(other)
    vectors = tmp_path / "vectors"
    embed(embedding(made, vectors, None))
    with pytest.raises(IndexFolderError, match="made with codec nothing said"):
        append_corpus(replace(given, output=vectors))


class Unasked(VespaJava):
    """Vespa's Java where there is no case to ask it about."""

    def versions(self) -> dict[str, str]:
        return {}

    def function_arguments(self, *_where: object) -> dict[str, TensorType]:
        return {}


def test_codes_of_documents_are_no_rows_that_were_checked(made: Made) -> None:
    searcher = Searcher(made.app, made.coded, made.model, threads=1)

    report = prove(searcher, Unasked(), {}, ProofOptions(queries=0))

    rungs = {each.name: each for each in report.rungs}
    codes = rungs["rows, residuals"]
    assert (codes.verdict, codes.cases) == (Verdict.NOT_CHECKED, 0)
    assert codes.note == (
        "colbert_residual: codes, which Vespa does not make: their scores alone are compared"
    )
    assert {each.verdict for each in report.rungs} == {Verdict.NOT_CHECKED}
    assert not report.passed
    vectors = Searcher(made.folder / "float", made.index, made.model, threads=1)
    report = prove(vectors, Unasked(), {}, ProofOptions(queries=0, documents=0))
    assert "rows, residuals" not in {each.name for each in report.rungs}


@pytest.mark.parametrize(("verdict", "pairs"), [(Verdict.PASSED, 10), (Verdict.NOT_CHECKED, 50)])
def test_an_expression_that_was_proved_is_compared_on_fewer_pairs_after_that(
    made: Made, monkeypatch: pytest.MonkeyPatch, verdict: Verdict, pairs: int
) -> None:
    searcher = Searcher(made.folder / "float", made.index, made.model, threads=1)
    asked: dict[str, int] = {}

    def compared(_searcher: object, _java: object, job: Any, sample: Any) -> Rung:
        asked[job.name] = sample.pairs
        rung: Rung = job.not_checked("never asked")
        return replace(rung, verdict=verdict)

    monkeypatch.setitem(prove.__globals__, "_score_rung", compared)
    prove(searcher, Unasked(), {}, ProofOptions(queries=0, documents=0, pairs=50))

    assert asked["score, max_sim_float first-phase"] == 50
    assert asked["score, rerank_float second-phase"] == pairs


@pytest.mark.slow  # a JVM is started for it alone
@pytest.mark.java
def test_vespa_s_java_scores_what_the_index_holds_as_search_does(
    made: Made,
) -> None:
    searcher = Searcher(made.app, made.coded, made.model, threads=1)
    asked = searcher.query(QUERY, PROFILE).tensors["qt"]
    rows = open_index(made.coded).tensors[FIELD]
    cases = [
        {"query(qt)": asked, f"attribute({FIELD})": rows.document(place)}
        for place in range(len(TEXTS))
    ]

    with VespaJava() as java:
        said = java.evaluate_many(made.app, "passage", PROFILE, "max_sim", cases)

    scores = found(searcher)
    wanted = [scores[f"d{place}"] for place in range(len(TEXTS))]
    np.testing.assert_allclose([each.as_number() for each in said], wanted, rtol=0, atol=SCORE)
