"""One row of the table of damages.

Words may name parts of the layout between braces, such as ``{head}``.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.checkpoint.damages import (
    Damage,
)
from tests.checkpoint.layout_folders import (
    LAYOUTS,
    LayoutFiles,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A damage.

    Attributes:
        name: What is wrong.
        damage: Does it.
        words: What the refusal says beside the folder's path.
        layouts: Which layouts can have it.
    """

    name: str
    damage: Damage
    words: tuple[str, ...]
    layouts: tuple[LayoutFiles, ...] = LAYOUTS


def case(
    name: str, damage: Damage, *words: str, layouts: tuple[LayoutFiles, ...] = LAYOUTS
) -> Case:
    return Case(name=name, damage=damage, words=words, layouts=layouts)
