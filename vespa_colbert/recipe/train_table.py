"""The table of a training run: what it reads and writes, and how it trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field, ValidationError

from vespa_colbert.errors import SpecError
from vespa_colbert.recipe.table import Measure, RecipePath, Table, each_once
from vespa_colbert.train import BatchOptions, Device, HeadStart, Precision, TrainingOptions

if TYPE_CHECKING:
    from vespa_colbert.checkpoint import Checkpoint

__all__ = ["TrainTable", "with_flags"]

GIB = 1 << 30
DEFAULTS: dict[str, Any] = {each.name: each.default for each in fields(TrainingOptions)}
BATCHES = BatchOptions()
SAME = (
    *("with_encoder", "dims", "epochs", "learning_rate", "encoder_learning_rate", "weight_decay"),
    *("warm_up", "clip", "accumulate", "texts_at_once", "save_every", "evaluate_every", "patience"),
)
"""Options that have a key of the same name."""

MEAN_TEMPERATURE, SUM_TEMPERATURE = 0.02, 1.0
"""Of the softmax where none is stated: BGE-M3's, of scores that are means over the query's rows;
and what PyLate and sentence-transformers take, of sums."""


T = TypeVar("T", bound=Table)


def with_flags(table: T, flags: Mapping[str, Any], what: str) -> T:
    """Return a table with flags over its keys; each is checked as the key is.

    Args:
        table: What the recipe says.
        flags: Name of a key → its value.
        what: What cannot be done if one is wrong.

    Raises:
        SpecError: With every flag that cannot be.
    """
    kind = type(table)
    aliases = {name: field.alias or name for name, field in kind.model_fields.items()}
    given = {
        aliases[name]: tuple(value) if isinstance(value, list) else value
        for name, value in flags.items()
    }
    try:
        return kind.model_validate({**table.model_dump(by_alias=True), **given})
    except ValidationError as error:
        faults = tuple(
            f"--{each['loc'][0]}: {each['msg']}, got {each['input']!r}"
            for each in error.errors(include_url=False)
        )
        raise SpecError(what, faults) from None


class TrainTable(Table):
    """A training run: rows and the checkpoint above → a trained checkpoint."""

    rows: RecipePath | None = Field(
        default=None, description="JSONL file of training rows.", examples=["rows.jsonl"]
    )
    queries: RecipePath | None = Field(
        default=None,
        description="JSONL file with _id and text, for rows with ids.",
        examples=["queries.jsonl"],
    )
    corpus: RecipePath | None = Field(
        default=None,
        description="JSONL file with _id, title and text, for rows with ids.",
        examples=["corpus.jsonl"],
    )
    held_out: RecipePath | None = Field(
        default=None,
        description="Rows that are not trained on: the run is judged by the loss on them.",
        examples=["held-out.jsonl"],
    )
    dev: RecipePath | None = Field(
        default=None,
        description="Judged queries that are not trained on, by whose measures the run is judged: "
        "a BEIR folder, or rows.",
        examples=["collection"],
    )
    dev_split: str = Field(
        default="",
        description="The folder's judgements; dev, or the only ones there are, if empty.",
    )
    dev_measures: Annotated[tuple[Measure, ...], AfterValidator(each_once)] = Field(
        default=("nDCG@10", "RR@10", "R@100"),
        description="The first judges the run, the others are logged.",
    )
    dev_documents: int = Field(
        default=0,
        ge=0,
        description="Documents ranked for them at most, the judged ones and others drawn; 0: all.",
    )
    teacher: RecipePath | None = Field(
        default=None,
        description="Checkpoint whose scores are followed, for the loss distillation.",
        examples=["wide"],
    )
    output: RecipePath = Field(
        default=Path("output/trained"), description="Where the checkpoint is written."
    )
    layout: Literal["same", "stand-alone", "pylate"] = Field(
        default="same",
        description="same: the checkpoint's own; stand-alone: this head and its encoder alone.",
    )
    loss: Literal["softmax", "hinge", "distillation", "margin-mse"] = Field(
        default="softmax", description="What is made small."
    )
    temperature: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Of the softmax; 1.0 where scores are sums, 0.02 where they are means.",
        examples=[0.02],
    )
    student_temperature: float = Field(
        default=1.0, gt=0, allow_inf_nan=False, description="Of the model's scores in distillation."
    )
    teacher_temperature: float = Field(
        default=1.0, gt=0, allow_inf_nan=False, description="Of the teacher's."
    )
    scale_scores: bool = Field(
        default=False, description="Whether distillation moves the model's scores to 0…1 first."
    )
    margin: float = Field(default=1.0, gt=0, allow_inf_nan=False, description="Of the hinge.")
    cuts: tuple[int, ...] = Field(
        default=(),
        description="Narrower widths (Matryoshka): the loss of the first components is added.",
    )
    cut_weights: tuple[float, ...] = Field(
        default=(), description="What each of those losses is multiplied with; [] for 1 each."
    )
    cut_normalized: bool = Field(
        default=False,
        description="Whether a cut vector is normalised again, as export --dims does it and the "
        "fields of [tokens] dims do not.",
    )
    mean_score: bool = Field(
        default=False,
        description="Whether the loss takes scores as means over the query's rows in any case.",
    )
    with_encoder: bool = Field(
        default=DEFAULTS["with_encoder"], description="Whether the encoder is trained too."
    )
    head_start: Literal["own", "new"] = Field(
        default="own", description="What begins: the checkpoint's head, or a new one."
    )
    dims: int | None = Field(
        default=None, ge=1, description="Components, where not the head's own.", examples=[64]
    )
    epochs: int = Field(
        default=DEFAULTS["epochs"], ge=1, description="How often every example is seen."
    )
    batch: int = Field(default=BATCHES.size, ge=1, description="Examples a batch.")
    negatives: int = Field(
        default=BATCHES.negatives, ge=0, description="Negatives of an example at most."
    )
    learning_rate: float = Field(
        default=DEFAULTS["learning_rate"], gt=0, allow_inf_nan=False, description="Of the head."
    )
    encoder_learning_rate: float = Field(
        default=DEFAULTS["encoder_learning_rate"],
        gt=0,
        allow_inf_nan=False,
        description="Of the encoder.",
    )
    weight_decay: float = Field(
        default=DEFAULTS["weight_decay"],
        ge=0,
        allow_inf_nan=False,
        description="Of weights; biases have none.",
    )
    warm_up: float = Field(
        default=DEFAULTS["warm_up"],
        ge=0,
        lt=1,
        description="Share of the steps in which the rates rise, before half a cosine down.",
    )
    clip: float = Field(
        default=DEFAULTS["clip"],
        ge=0,
        allow_inf_nan=False,
        description="Largest norm of a gradient; 0 for no limit.",
    )
    accumulate: int = Field(
        default=DEFAULTS["accumulate"], ge=1, description="Batches that make one step."
    )
    texts_at_once: int = Field(
        default=DEFAULTS["texts_at_once"],
        ge=0,
        description="Texts whose activations are held together (gradient caching); 0 for all.",
    )
    precision: Literal["fp32", "bf16", "fp16"] = Field(
        default="fp32", description="Of products; weights stay fp32."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Where; auto is a GPU if there is one."
    )
    save_every: int = Field(
        default=DEFAULTS["save_every"], ge=1, description="Steps from one saved state to the next."
    )
    evaluate_every: int = Field(
        default=DEFAULTS["evaluate_every"],
        ge=0,
        description="Steps from one evaluation to the next; 0 for the end of each epoch.",
    )
    patience: int = Field(
        default=DEFAULTS["patience"],
        ge=0,
        description="Evaluations without improvement that end the run; 0 for none.",
    )
    seed: int = Field(default=BATCHES.seed, ge=0, description="Of everything that is drawn.")
    memory_gib: float = Field(
        default=DEFAULTS["memory_bytes"] / GIB,
        ge=0,
        allow_inf_nan=False,
        description="Most memory for the rows of a frozen encoder, of queries and of documents.",
    )
    disk_gib: float = Field(
        default=DEFAULTS["disk_bytes"] / GIB,
        ge=0,
        allow_inf_nan=False,
        description="The largest file for them, where they are more.",
    )

    def stated(self, flags: Mapping[str, Any]) -> TrainTable:
        """Return this table with flags over its keys; each is checked as the key is.

        Raises:
            SpecError: With every flag that cannot be.
        """
        return with_flags(self, flags, "the training cannot be done")

    def options_for(self, checkpoint: Checkpoint) -> TrainingOptions:
        """Return how a checkpoint is trained.

        Raises:
            SpecError: If a number cannot be.
        """
        from vespa_colbert.train.losses import LossKind, LossOptions

        mean = self.mean_score or checkpoint.mean_score
        usual = MEAN_TEMPERATURE if mean else SUM_TEMPERATURE
        loss = LossOptions(
            kind=LossKind(self.loss),
            temperature=usual if self.temperature is None else self.temperature,
            student_temperature=self.student_temperature,
            teacher_temperature=self.teacher_temperature,
            scale_scores=self.scale_scores,
            margin=self.margin,
            mean=mean,
            cuts=self.cuts,
            cut_weights=self.cut_weights,
            cut_normalized=self.cut_normalized,
        )
        return TrainingOptions(
            **{name: getattr(self, name) for name in SAME},
            loss=loss,
            batch=BatchOptions(size=self.batch, negatives=self.negatives, seed=self.seed),
            head=HeadStart(self.head_start),
            precision=Precision(self.precision),
            device=Device(self.device),
            memory_bytes=int(self.memory_gib * GIB),
            disk_bytes=int(self.disk_gib * GIB),
        )
