"""The differences between Vespa's embedder and the training library, as lines of text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vespa_colbert.export import Difference, ModelFolder, PackagingOutlook

__all__ = ["difference_lines", "effect_lines", "outlook_lines"]


def difference_lines(differences: Iterable[Difference]) -> list[str]:
    """Return a line for each difference."""
    return [f"  {each.point}: library: {each.library}; Vespa: {each.vespa}" for each in differences]


def outlook_lines(outlook: PackagingOutlook) -> list[str]:
    """Return what ``auto`` takes and why, and the differences under both packagings."""
    choice = f"packaging auto takes {outlook.auto}" if outlook.auto else "packaging auto: not known"
    lines = [f"{choice}: {outlook.reason}"]
    for packaging, differences in (("native", outlook.native), ("exact", outlook.exact)):
        lines += ["", f"where Vespa's embedder differs from the training library, {packaging}"]
        lines += difference_lines(differences) or ["  nowhere"]
    return lines


def effect_lines(folder: ModelFolder) -> list[str]:
    """Return a line for each difference of a model folder and its effect, and one for all.

    None for a folder of which nothing was measured.
    """
    total = folder.verification.get("effect")
    if total is None or not folder.differences:
        return []
    lines = ["  effect on the library's scores of sample texts, each difference alone"]
    lines += [f"    {each['point']}: {_effect(each)}" for each in folder.differences]
    return [*lines, f"    all together: {_effect(total)}"]


def _effect(measured: Mapping[str, Any]) -> str:
    effect = measured.get("effect")
    if effect is None:
        return f"not measured: {measured.get('not_measured') or 'made by an older version'}"
    pairs = effect["queries"] * effect["documents"]
    return (
        f"largest {effect['largest']:.2%}, mean {effect['mean']:.3%}; {effect['touched']} of "
        f"{pairs} pairs, {effect['ordinary_touched']} of the {effect['ordinary_pairs']} of "
        f"ordinary texts; another best document for {effect['best_changed']:.0%} of "
        f"{effect['queries']} queries"
    )
