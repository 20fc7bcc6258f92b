"""What is computed of a tensor, kept as long as the tensor itself: no other one is taken for it."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Generic, TypeVar

from vespa_colbert.tensor import Tensor

__all__ = ["KeptByTensor"]

Value = TypeVar("Value")


class KeptByTensor(Generic[Value]):
    """Tensor → what was made of it, by identity: comparing cells would cost more than making it."""

    def __init__(self, make: Callable[[], Value]) -> None:
        """Keep nothing yet.

        Args:
            make: Makes the value of a tensor that is new; the value must not hold the tensor.
        """
        self._make = make
        self._held: dict[int, tuple[weakref.ref[Tensor], Value]] = {}

    def __len__(self) -> int:
        return len(self._held)

    def of(self, tensor: Tensor) -> Value:
        """Return the value of a tensor, made when first asked for."""
        number, held = id(tensor), self._held
        found = held.get(number)
        if found is None or found[0]() is not tensor:
            gone = weakref.ref(tensor, lambda _gone: held.pop(number, None))
            found = held[number] = gone, self._make()
        return found[1]
