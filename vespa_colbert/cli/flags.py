"""Flags that a verb takes beside its own arguments, handed to it together by name."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar, get_type_hints

__all__ = ["Given", "takes_flags"]

Given: TypeAlias = dict[str, Any]
"""Name of a flag → its value, for those given on the command line."""

Command = TypeVar("Command", bound=Callable[..., None])


def takes_flags(parameter: str, flags: Mapping[str, Any]) -> Callable[[Command], Command]:
    """Return a decorator that adds flags to a verb.

    Args:
        parameter: Name of the verb's parameter that gets those that were given.
        flags: Name → annotation, as typer reads it; none has a default.
    """

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command)

        @functools.wraps(command)
        def with_flags(**given: Any) -> None:
            values = {name: given.pop(name) for name in flags}
            command(**given, **{parameter: {k: v for k, v in values.items() if v is not None}})

        hints = get_type_hints(command, include_extras=True)
        keyword = inspect.Parameter.KEYWORD_ONLY
        own = [
            each.replace(kind=keyword, annotation=hints[each.name])
            for name, each in signature.parameters.items()
            if name != parameter
        ]
        added = [
            inspect.Parameter(name, keyword, default=None, annotation=flag)
            for name, flag in flags.items()
        ]
        with_flags.__signature__ = inspect.Signature([*own, *added])  # type: ignore[attr-defined]
        with_flags.__annotations__ = {each.name: each.annotation for each in [*own, *added]}
        return with_flags  # type: ignore[return-value]

    return decorate
