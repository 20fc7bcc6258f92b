"""``bm25(field)``: over the words of the query, with the settings of the profile."""

from __future__ import annotations

from vespa_colbert.errors import UnknownFeatureError, UnsupportedFunctionError
from vespa_colbert.rank.batches import batch_numbers
from vespa_colbert.rank.compiled import CompiledProfile
from vespa_colbert.rank.documents import Documents
from vespa_colbert.rank.features.name import FeatureName
from vespa_colbert.rank.features.run import FeatureRun
from vespa_colbert.tensor import Tensor

__all__ = ["bm25", "require_bm25", "require_texts"]


def require_bm25(profile: CompiledProfile, name: str) -> None:
    """Check that a field can be asked for bm25.

    Raises:
        UnknownFeatureError: If it is not indexed with bm25 enabled.
        UnsupportedFunctionError: If its terms are matched without what bm25 needs.
    """
    fields = profile.schema.all_fields
    field_said = next((each for each in fields if each.name == name), None)
    ranks = [each for each in profile.profile.field_ranks if each.field == name]
    is_filter = any(each.is_filter or each.filter_threshold is not None for each in ranks)
    if is_filter or (field_said is not None and "filter" in field_said.rank):
        raise UnsupportedFunctionError(
            f"bm25({name}): {name} is a filter in {profile.where}, where Vespa takes one "
            "occurrence and the average length; that is not reproduced"
        )
    if field_said is None or "enable-bm25" not in field_said.index:
        raise UnknownFeatureError(
            f"bm25({name}): schema {profile.schema.name} has no such field with enable-bm25"
        )


def require_texts(profile: CompiledProfile, documents: Documents, name: str) -> None:
    """Check that documents have a field that indexing derives: without its texts all would be 0.

    Raises:
        UnsupportedFunctionError: If it is not there.
    """
    is_derived = any(each.name == name for each in profile.schema.derived_fields)
    if is_derived and name not in documents.values:
        raise UnsupportedFunctionError(
            f"bm25({name}): Vespa's indexing fills {name}, which is not reproduced for "
            f"{documents.where}"
        )


def bm25(run: FeatureRun, feature: FeatureName) -> Tensor:
    """Return ``bm25(field)`` of the documents."""
    (name,) = run.arguments(feature, 1)
    require_bm25(run.profile, name)
    require_texts(run.profile, run.documents, name)
    settings = {
        argument: number
        for argument, key in (("k1", "k1"), ("b", "b"), ("average", "averageFieldLength"))
        if (number := run.profile.number_property(f"bm25({name}).{key}")) is not None
    }
    field_index = run.documents.lexical(name, run.tokenize)
    found = field_index.scores(run.tokenize(run.query.text), **settings)
    return batch_numbers(found[run.positions])
