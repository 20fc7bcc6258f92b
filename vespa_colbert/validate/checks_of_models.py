"""Checks of the files that embedders run: ONNX models and tokenizers."""

from __future__ import annotations

from collections.abc import Iterator

from vespa_colbert.errors import ExportError
from vespa_colbert.export.runtimes import OLDEST_VESPA, RUNTIMES, runtime_of
from vespa_colbert.validate.findings import Fault
from vespa_colbert.validate.model_file import ModelFacts
from vespa_colbert.validate.package import COLBERT, MODEL, TOKENIZER, Package
from vespa_colbert.validate.services import Component

__all__ = [
    "damaged_files",
    "model_cannot_load",
    "model_input_not_given",
    "model_names",
    "model_needs_newer",
    "model_not_finite",
    "model_outside_weights",
    "positions_exceeded",
    "tokenizer_cuts",
    "wrong_token_ids",
]

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
COLBERT_IDS = (
    ("transformer-start-sequence-token", 101),
    ("transformer-end-sequence-token", 102),
    ("transformer-mask-token", 103),
    ("transformer-pad-token", 0),
    ("query-token-id", 1),
    ("document-token-id", 2),
)
"""Element → Vespa's default. Source: col-bert-embedder.def, Vespa 8.700.24."""


def damaged_files(package: Package) -> Iterator[Fault]:
    """Yield models and tokenizers that are none."""
    _ = package.models, package.tokenizers
    yield from package.damaged


def _with_models(package: Package) -> Iterator[tuple[Component, ModelFacts, str]]:
    for embedder in package.embedders:
        if (model := package.model_of(embedder)) is not None:
            yield embedder, model, embedder.settings[MODEL].path


def _wanted_inputs(embedder: Component, model: ModelFacts) -> list[tuple[str, str]]:
    """Return element and name of each input that the embedder looks for."""
    pairs = [
        (element, embedder.text(element, default))
        for element, default in (
            ("transformer-input-ids", INPUTS[0]),
            ("transformer-attention-mask", INPUTS[1]),
            ("transformer-token-type-ids", INPUTS[2]),
        )
    ]
    if embedder.kind == COLBERT:
        return pairs[:2]
    return pairs[: max(1, min(3, len(model.inputs)))]


def _output(embedder: Component) -> tuple[str, str]:
    default = "contextual" if embedder.kind == COLBERT else "last_hidden_state"
    return "transformer-output", embedder.text("transformer-output", default)


def model_names(package: Package) -> Iterator[Fault]:
    """Yield inputs and outputs that an embedder wants and its model does not have."""
    for embedder, model, path in _with_models(package):
        for element, name in _wanted_inputs(embedder, model):
            if name not in model.inputs:
                yield Fault(
                    place=embedder.place_of(element),
                    reason=f"embedder {embedder.name}: {path} has no input {name}, but "
                    f"{', '.join(model.inputs)}: the container does not start",
                    remedy=f"name the model's own in {element}",
                )
        element, name = _output(embedder)
        if name not in model.outputs:
            yield Fault(
                place=embedder.place_of(element),
                reason=f"embedder {embedder.name}: {path} has no output {name}, but "
                f"{', '.join(model.outputs)}: the container does not start",
                remedy=f"name the model's own in {element}",
            )


def model_input_not_given(package: Package) -> Iterator[Fault]:
    """Yield inputs that a model needs and its embedder never gives.

    Source: ColBertEmbedder.validateModel and HuggingFaceEmbedder.analyze, Vespa 8.700.24.
    """
    for embedder, model, path in _with_models(package):
        given = {name for _, name in _wanted_inputs(embedder, model)}
        if not given <= {*model.inputs}:
            continue
        if more := [name for name in model.inputs if name not in given]:
            yield Fault(
                place=embedder.place_of(MODEL),
                reason=f"embedder {embedder.name}: {path} needs {', '.join(more)} too, which a "
                f"{embedder.kind} does not give: it deploys, and fails at the first text",
                remedy="export the model without that input",
            )


def model_outside_weights(package: Package) -> Iterator[Fault]:
    """Yield models whose weights stand in another file, which does not reach the container."""
    for embedder, model, path in _with_models(package):
        if model.external:
            yield Fault(
                place=embedder.place_of(MODEL),
                reason=f"embedder {embedder.name}: {len(model.external)} weights of {path} stand "
                f"in another file (as {model.external[0]}), and Vespa distributes this one alone",
                remedy="save the model as one file",
            )


def model_not_finite(package: Package) -> Iterator[Fault]:
    """Yield models with weights that are no numbers."""
    for embedder, model, path in _with_models(package):
        if model.not_finite:
            yield Fault(
                place=embedder.place_of(MODEL),
                reason=f"embedder {embedder.name}: {path} holds NaN or infinity, in "
                f"{', '.join(model.not_finite[:3])}: every score is NaN, and int8 documents are "
                "zeros without a word",
                remedy="export again from a checkpoint whose weights are finite",
            )


def _versions(model: ModelFacts) -> str:
    return f"operator set {model.opset}, IR version {model.ir_version}"


def model_cannot_load(package: Package) -> Iterator[Fault]:
    """Yield models that no known release of Vespa loads."""
    newest = RUNTIMES[-1]
    for embedder, model, path in _with_models(package):
        if model.opset > newest.opset or model.ir_version > newest.ir_version:
            yield Fault(
                place=embedder.place_of(MODEL),
                reason=f"embedder {embedder.name}: {path} has {_versions(model)}; Vespa "
                f"{newest.vespa} loads {newest.opset} and {newest.ir_version} at most",
                remedy="export it with an older operator set",
            )


def model_needs_newer(package: Package) -> Iterator[Fault]:
    """Yield models that the oldest release that the package admits does not load."""
    stated = package.services.minimum_vespa_version if package.services else ""
    try:
        runtime = runtime_of(stated or OLDEST_VESPA)
    except ExportError:
        return
    newest = RUNTIMES[-1]
    for embedder, model, path in _with_models(package):
        fits_newest = model.opset <= newest.opset and model.ir_version <= newest.ir_version
        if fits_newest and (model.opset > runtime.opset or model.ir_version > runtime.ir_version):
            said = f"minimum-required-vespa-version {stated}" if stated else "any release of Vespa"
            first = next(
                each
                for each in RUNTIMES
                if model.opset <= each.opset and model.ir_version <= each.ir_version
            )
            yield Fault(
                place=embedder.place_of(MODEL),
                reason=f"embedder {embedder.name}: {path} has {_versions(model)}, which Vespa "
                f"{first.vespa} loads; the package admits {said}",
                remedy=f'set minimum-required-vespa-version="{first.vespa}"',
            )


def _lengths(embedder: Component) -> list[tuple[str, int]]:
    """Return element and number of tokens of each limit that an embedder states."""
    most = embedder.number("max-tokens", 512)
    if embedder.kind != COLBERT:
        return [("max-tokens", most)]
    return [
        ("max-document-tokens", min(most, embedder.number("max-document-tokens", 512))),
        ("max-query-tokens", min(most, embedder.number("max-query-tokens", 32))),
    ]


def positions_exceeded(package: Package) -> Iterator[Fault]:
    """Yield lengths that a model has no positions for."""
    for embedder, model, path in _with_models(package):
        for element, length in _lengths(embedder):
            kept = _kept(package, embedder, length)
            if model.positions is None or kept <= model.positions:
                continue
            is_let = kept != length
            said = f"texts have {kept} tokens" if is_let else f"{element} is {length}"
            file = " and take truncation out of the tokenizer file" if is_let else ""
            yield Fault(
                place=embedder.place_of(element),
                reason=f"embedder {embedder.name}: {said}, and {path} has {model.positions} "
                "positions: longer texts fail",
                remedy=f"set {element} to {model.positions} or less{file}",
            )


def _kept(package: Package, embedder: Component, length: int) -> int:
    """Return how many tokens of a text reach the model, whatever the embedder states."""
    view = package.tokenizer_of(embedder)
    return length if view is None or embedder.kind == COLBERT else view.kept(length)


def tokenizer_cuts(package: Package) -> Iterator[Fault]:
    """Yield tokenizers that cut texts before the embedder's own limits do, or after them.

    A colbert-embedder cuts again at its own limits, a hugging-face-embedder does not.

    Source: ColBertEmbedder.buildTransformerInput and HuggingFaceEmbedder, Vespa 8.700.24.
    """
    for embedder in package.embedders:
        view = package.tokenizer_of(embedder)
        if view is None:
            continue
        element, length = _lengths(embedder)[0]
        is_colbert = embedder.kind == COLBERT
        kept = view.kept(embedder.number("max-tokens", 512))
        path = embedder.settings[TOKENIZER].path
        if kept < length - (3 if is_colbert else 0):
            reason = f"cuts every text to {kept} tokens, whatever {element} ({length}) says"
        elif kept > length and not is_colbert:
            reason = f"lets {kept} tokens of a text through, whatever {element} ({length}) says"
        else:
            continue
        yield Fault(
            place=embedder.place_of(TOKENIZER),
            reason=f"embedder {embedder.name}: {path} {reason}",
            remedy="take truncation out of the tokenizer file",
        )


def wrong_token_ids(package: Package) -> Iterator[Fault]:
    """Yield token ids of services.xml that are not those of the tokenizer."""
    for embedder in package.embedders:
        view = package.tokenizer_of(embedder)
        if view is None or embedder.kind != COLBERT:
            continue
        own = {COLBERT_IDS[0][0]: view.start_id, COLBERT_IDS[1][0]: view.end_id}
        for element, default in COLBERT_IDS:
            number = embedder.number(element, default)
            token = view.tokens.get(number)
            wanted = own.get(element)
            stated = "" if element in embedder.settings else ", Vespa's default,"
            what = f"embedder {embedder.name}: {element} {number}{stated}"
            if token is None:
                reason = f"{what} is no token of the tokenizer"
            elif number == view.unknown_id:
                reason = f"{what} is {token}, the unknown token"
            elif wanted is not None and number != wanted:
                name = view.tokens.get(wanted, "?")
                reason = f"{what} is {token!r}; the tokenizer puts {name!r}, {wanted}, there"
            else:
                continue
            yield Fault(
                place=embedder.place_of(element),
                reason=reason,
                remedy=f"state in {element} the id that the model was trained with",
            )
