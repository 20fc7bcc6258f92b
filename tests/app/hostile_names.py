"""An application with a text of somebody else in every place that takes one.

``PLACES`` says where; ``application`` builds it. What may be in the package is what the same
application has with plain texts in the same places, each plain text replaced.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from lxml import etree

from vespa_colbert.app import (
    ApplicationSpec,
    AppOptions,
    Constant,
    DocumentSummary,
    Embedder,
    Field,
    FieldSet,
    Function,
    Input,
    PackagedFile,
    Query,
    RankProfile,
    RemoteFile,
    Schema,
    application_spec,
)
from vespa_colbert.app.dense_embedder import DenseEmbedder
from vespa_colbert.app.nodes import Cloud, Nodes, Resources
from vespa_colbert.app.options import DenseVectors
from vespa_colbert.export.dense_spec import DenseSpec
from vespa_colbert.export.model_folder import EmbedderSpec
from vespa_colbert.tensor import CellType, TensorType
from vespa_colbert.vespa_java import ApplicationReport

__all__ = [
    "NAMES",
    "OPTIONAL",
    "PLACES",
    "PLAIN",
    "Target",
    "application",
    "files_of",
    "package_of",
    "read_by_vespa",
    "replaced",
    "target_of",
]

Target = Literal["hosts", "cloud"]

NAMES = (
    *("", " ", "a b", " a", "a ", "a\tb", "a\nb", "a\r\nb", "a\0b", "a\x1bb", "a\x7f", "\ufeffa"),
    *("a\u202eb", "a\u2028b", "a\u00adb", "\ud800", "\ufffe", "ä", "名前", "ａ", "a١", "🙂", "ſ"),
    *("../../evil", "..", ".", "/abs", "a/b", "a\\b", "C:\\x", "~", "$HOME", "%2e%2e%2f"),
    *("a/../b", "a }\nschema x {", "a } schema x { }", '" evil="1', "a' evil='1", "<x/>"),
    *("<x>&amp;", "&lt;", "]]><b/>", "<!--", "--><a/>", "<?x?>", "{{ 7*7 }}", "{{7*7}}"),
    *("{% raw %}", "{#", "#}", "${x}", "a;b", "a,b", "a:b", "a(b)", "a.b", "a..b", "@a", "a$"),
    *("#a", "'", '"', "a=b", "a|b", "`a`", "-a", "a-", "a-b", "a--b", "1", "1a", "_", "__class__"),
    *("A", "a" * 63, "a" * 64, "a" * 128, "a" * 129, "a" * 300, "con", "nul", "expression"),
    *("index", "document", "id", "position", "if", "admin", "default", "hosts", "client", "true"),
    *("null", "inherits", "query", "attribute", "in", "tensor", "inline", "reduce", "sum"),
    *("field", "type", "summary", "rank", "unranked", "colbert", "max_sim", "bm25"),
    *("matchfeatures", "onnx", "constant", "value", "nan", "random", "search"),
    *("https://a.example/x", "https://a.example/?a=1&b=2#c", "http://[::1]/", "https://%"),
    *("8.1.2", "https://a.example:99999/", "https://a b/", "https://$(id)/", "javascript:x"),
    *("16Gb", "0Gb", "${x}y", "%{x}", "a-1", "a-1.2", "a-b-1", "a%zz", "https://a.example/%2"),
    *("https://a#b#c", "z", "switch", "for_each", "input", "embed", "now", "split", "else"),
    *("this", "true-", "chunk", "aws-us-east-1c", "host1.example", "a.-b", "xn--a", "127.0.0.1"),
    *("::1", "1e3Gb", "999999999Gb"),
    *("files/a.b", "files/..", "files/../x", "files/a b", "files/.a", "files/a/b", "models/a"),
)  # fmt: skip
"""Texts that break out of their place somewhere, or mean something there."""

PLACES = {
    "application": ("plainname", "application"),
    "schema": ("plainschema", "schema"),
    "component": ("plaincomponent", "component"),
    "url": ("https://plain.example/model", "URL"),
    "model id": ("plain-model", "model_id"),
    "secret": ("plain-secret", "secret_ref"),
    "model input": ("plain_ids", "input_ids"),
    "model output": ("plain_vectors", "output"),
    "dense component": ("plaindense", "component"),
    "query prepend": ("plainquestion", "query_prepend"),
    "document prepend": ("plainstatement", "document_prepend"),
    "dense input": ("plain_tokens", "input_ids"),
    "dense output": ("plain_hidden", "output"),
    "host": ("plainhost.example", "hosts"),
    "region": ("plain-region", "regions"),
    "memory": ("77Gb", "memory"),
    "GPU memory": ("78Gb", "gpu_memory"),
    "Vespa version": ("8.577.77", "Vespa version"),
    "field": ("plainfield", "field"),
    "fieldset": ("plainset", "fieldset"),
    "document summary": ("plainsummary", "document-summary"),
    "rank profile": ("plainprofile", "rank-profile"),
    "input": ("plaininput", "input"),
    "constant": ("plainconstant", "constant"),
    "function": ("plainfunction", "function"),
    "argument": ("plainargument", "argument"),
    "property": ("plainproperty", "rank-properties"),
    "property value": ("plainvalue", "rank-properties"),
    "condition": ("plaincondition", "where"),
    "query source": ("plainsource", "input"),
    "parameter": ("plainparameter", "parameter"),
    "packaged file": ("files/plain.bin", "files"),
}
"""Place → a text that it takes and that stands nowhere else, and a word that names the place."""

ONLY: dict[str, Target] = {
    "host": "hosts",
    "region": "cloud",
    "memory": "cloud",
    "GPU memory": "cloud",
}
"""Place → the target that has it, where not both have."""

OPTIONAL = frozenset({
    *("url", "model id", "secret", "memory", "GPU memory"),
    *("query prepend", "document prepend", "query source"),
})
"""Places where an empty text asks for nothing."""

PLAIN = {place: plain for place, (plain, _word) in PLACES.items()}
TOKENS = re.compile(f'("?)({"|".join(map(re.escape, PLAIN.values()))})("?)')
PLACE_OF = {plain: place for place, plain in PLAIN.items()}
WIDTH, NUMBER = TensorType.parse("tensor<float>(x[2])"), TensorType.parse("tensor()")
OTHER_PROFILE = "of_functions"


def application(
    facts: EmbedderSpec, file: Path, values: Mapping[str, str], target: Target
) -> ApplicationSpec:
    """Return the application with plain texts, or those given, in all places.

    Args:
        facts: Of the model.
        file: A file to put into the package.
        values: Place → text.
        target: Where it runs; hosts and regions exclude each other.
    """
    said = {**PLAIN, **values}
    in_cloud = target == "cloud"
    resources = Resources(memory=said["memory"], gpu_memory=said["GPU memory"])
    options = AppOptions(
        name=said["application"],
        schema=said["schema"],
        cell_types=(CellType.INT8,),
        dense=DenseVectors(embedder=_dense(said)),
        nodes=Nodes() if in_cloud else Nodes(hosts=(said["host"],)),
        cloud=Cloud(regions=(said["region"],), container=resources) if in_cloud else None,
        minimum_vespa_version=said["Vespa version"],
    )
    spec = application_spec(_embedder(facts, said), options)
    query = Query(
        profile=said["rank profile"],
        where=said["condition"],
        inputs=((said["input"], said["query source"]),),
        parameters=((said["parameter"], "1"),),
    )
    return replace(
        spec,
        schemas=(_schema(spec.schemas[0], said),),
        queries=(*spec.queries, query),
        models=(PackagedFile(path=said["packaged file"], source=file),),
    )


def target_of(place: str) -> Target | Literal[""]:
    """Return the target that alone has a place; empty where both have it."""
    return ONLY.get(place, "")


def _embedder(facts: EmbedderSpec, said: Mapping[str, str]) -> Embedder:
    return Embedder(
        name=said["component"],
        facts=facts,
        transformer=RemoteFile(
            url=said["url"], model_id=said["model id"], secret_ref=said["secret"]
        ),
        tokenizer=RemoteFile(url="https://a.example/tokenizer.json"),
        input_ids=said["model input"],
        output=said["model output"],
    )


def _dense(said: Mapping[str, str]) -> DenseEmbedder:
    facts = DenseSpec(
        dim=8,
        max_tokens=64,
        pooling="mean",
        normalize=True,
        query_prepend=said["query prepend"],
        document_prepend=said["document prepend"],
        input_ids=said["dense input"],
        output=said["dense output"],
    )
    file = RemoteFile(url="https://a.example/dense")
    return DenseEmbedder(
        name=said["dense component"], facts=facts, transformer=file, tokenizer=file
    )


def _schema(schema: Schema, said: Mapping[str, str]) -> Schema:
    """Return a schema with a field, a fieldset, a summary and two profiles more.

    No expression calls the function or its argument: Vespa takes one named ``if`` or ``query``,
    and reads what seems to call it as something else.
    """
    field = Field(name=said["field"], type="string", indexing=("summary | index",))
    given, constant = said["input"], said["constant"]
    profile = RankProfile(
        name=said["rank profile"],
        inputs=(Input(name=given, type=WIDTH),),
        constants=(Constant(name=constant, type=NUMBER, value="2.5"),),
        first_phase=f"sum(query({given})) + constant({constant})",
        match_features=(f"query({given})",),
        properties=((said["property"], said["property value"]),),
    )
    function = Function(
        name=said["function"], arguments=(said["argument"],), expression="1.0 + 2.0"
    )
    other = RankProfile(name=OTHER_PROFILE, functions=(function,), first_phase="1.0")
    return replace(
        schema,
        fields=(*schema.fields, field),
        fieldsets=(*schema.fieldsets, FieldSet(name=said["fieldset"], fields=(field.name,))),
        summaries=(
            *schema.summaries,
            DocumentSummary(name=said["document summary"], fields=("title",)),
        ),
        rank_profiles=(*schema.rank_profiles, profile, other),
    )


def package_of(folder: Path) -> dict[str, Any]:
    """Return path → content of each file: XML as a tree, a manifest without checksums, text."""
    found: dict[str, Any] = {}
    for path in folder.rglob("*"):
        if path.is_file():
            found[path.relative_to(folder).as_posix()] = _content(path)
    return found


def _content(path: Path) -> Any:
    text = path.read_bytes().decode("utf-8")
    if path.suffix == ".xml":
        return _tree(etree.fromstring(text.encode()))
    if path.suffix == ".json":
        manifest = json.loads(text)
        return manifest | {"files": dict.fromkeys(manifest["files"])}
    return text


def _tree(element: etree._Element) -> list[Any]:
    """Return tag, attributes, text and children; comments and instructions would be children."""
    children = [_tree(child) for child in element]
    own = element.text or ""
    return [str(element.tag), dict(element.attrib), own if not children else own.strip(), children]


def read_by_vespa(report: ApplicationReport) -> Any:
    """Return schema → rank profile → what Vespa read and derived, in any order."""
    return {
        schema: {
            name: dict(Counter(f"{each} = {text}" for each, text in (*written, *derived)))
            for name, derived in profiles.items()
            for written in (report.written[schema][name],)
        }
        for schema, profiles in report.profiles.items()
    }


def replaced(plain: Any, values: Mapping[str, str]) -> Any:
    """Return what a package must hold with other texts, from what it holds with plain ones."""
    if isinstance(plain, str):
        return TOKENS.sub(lambda found: _said(found, {**PLAIN, **values}), plain)
    if isinstance(plain, dict):
        return {replaced(key, values): replaced(each, values) for key, each in plain.items()}
    return [replaced(each, values) for each in plain] if isinstance(plain, list) else plain


def _said(found: re.Match[str], said: Mapping[str, str]) -> str:
    """Return a text in the place of a plain one; one that holds " stands between others."""
    before, text, after = found[1], said[PLACE_OF[found[2]]], found[3]
    return f"'{text}'" if '"' in text and before and after else before + text + after


def files_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Return path → size and time of everything below a folder, links and folders too."""
    facts = ((path, path.lstat()) for path in folder.rglob("*"))
    return {str(path): (each.st_size, each.st_mtime_ns) for path, each in facts}
