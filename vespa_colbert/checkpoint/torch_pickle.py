"""The pickle inside a torch file read as data: its few opcodes are carried out here, nothing else.

Python's own unpickler calls what a pickle names. Here a name stands for one of a handful of
recipes of torch, any other is refused, and no attribute of any object is ever read or set.

Source: torch._utils._rebuild_tensor_v2 and torch.serialization, PyTorch 2.15; pickle protocol 2.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from vespa_colbert.errors import CheckpointError

__all__ = ["StorageReference", "StoredTensor", "read_pickle"]

STORAGE_TYPES = {
    "FloatStorage": "F32",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "DoubleStorage": "F64",
    "LongStorage": "I64",
    "IntStorage": "I32",
    "ShortStorage": "I16",
    "CharStorage": "I8",
    "ByteStorage": "U8",
    "BoolStorage": "BOOL",
}
"""Torch's name of a storage → safetensors' name of its type."""

DAMAGES = (ValueError, LookupError, TypeError, OverflowError, AttributeError)
"""What the standard library and the operations below raise on bytes that are no torch pickle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageReference:
    """Where the values of one or several tensors lie.

    Attributes:
        key: Name of the entry in the archive.
        dtype: Safetensors' name of the type.
        length: Values in it.
    """

    key: str
    dtype: str
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTensor:
    """A tensor whose values have not been read: a window on a storage.

    Attributes:
        storage: Where its values lie.
        offset: Place of its first value, in values.
        shape: Its sizes.
        strides: Step of each dimension, in values.
    """

    storage: StorageReference
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _StateDict(dict[str, Any]):
    """Torch's ordered dict; the attributes that a pickle sets on it are dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _StorageType:
    dtype: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recipe:
    """Something that a pickle may call."""

    make: Callable[[tuple[Any, ...]], object]


class _Mark:
    """Where a group of values begins on the stack."""


def read_pickle(data: bytes) -> object:
    """Return what a torch pickle holds: dicts, lists, plain values, ``StoredTensor``.

    Raises:
        CheckpointError: If it names anything but tensors, or is damaged.
    """
    machine = _Machine()
    try:
        for opcode, argument, _position in pickletools.genops(data):
            _operation(opcode.name)(machine, argument)
        return machine.pop()
    except CheckpointError:
        raise
    except DAMAGES as error:
        raise CheckpointError(f"the pickle is damaged ({type(error).__name__})") from error


def _operation(name: str) -> Operation:
    """Return what an opcode does.

    Raises:
        CheckpointError: If a torch file has no need of it.
    """
    if name not in OPERATIONS:
        raise CheckpointError(f"expected a pickle of plain tensors, got the opcode {name}")
    return OPERATIONS[name]


@dataclass(slots=True)
class _Machine:
    """The stack and memory of a pickle."""

    stack: list[Any] = field(default_factory=list)
    memory: dict[int, Any] = field(default_factory=dict)

    def pop(self) -> Any:
        """Return the topmost value and take it off.

        Raises:
            ValueError: If a mark lies there.
        """
        value = self.stack.pop()
        if isinstance(value, _Mark):
            raise ValueError("a mark where a value was expected")  # noqa: TRY004 - damage
        return value

    def pop_group(self) -> list[Any]:
        """Return the values above the topmost mark and take both off."""
        values: list[Any] = []
        while not isinstance(value := self.stack.pop(), _Mark):
            values.append(value)
        return values[::-1]

    def pop_many(self, count: int) -> list[Any]:
        """Return the topmost values, lowest first, and take them off."""
        return [self.pop() for _ in range(count)][::-1]


def _push(machine: _Machine, value: object) -> None:
    machine.stack.append(value)


def _remember(machine: _Machine, place: int | None) -> None:
    machine.memory[len(machine.memory) if place is None else place] = machine.stack[-1]


def _append(machine: _Machine, values: list[Any]) -> None:
    """Put values at the end of the list on top.

    Raises:
        TypeError: If there is something else.
    """
    if type(machine.stack[-1]) is not list:
        raise TypeError("append to no list")
    machine.stack[-1].extend(values)


def _set_items(machine: _Machine, values: list[Any]) -> None:
    """Put pairs of key and value into the dict on top.

    Raises:
        TypeError: If there is something else, or a key is neither text nor number.
    """
    target = machine.stack[-1]
    keys = values[::2]
    if not isinstance(target, dict) or not all(type(key) in {str, int} for key in keys):
        raise TypeError("items for no dict")
    target.update(zip(keys, values[1::2], strict=True))


def _name(machine: _Machine, module: str, name: str) -> None:
    """Push what stands for a name of torch.

    Raises:
        CheckpointError: For every other name.
    """
    if module == "torch" and name in STORAGE_TYPES:
        machine.stack.append(_StorageType(dtype=STORAGE_TYPES[name]))
    elif (module, name) in RECIPES:
        machine.stack.append(RECIPES[module, name])
    else:
        raise CheckpointError(
            f"expected a pickle of plain tensors, got one that names {f'{module}.{name}'[:200]!r}, "
            "which is not imported; save the tensors alone (model.state_dict()), best as "
            "safetensors"
        )


def _call(machine: _Machine, _argument: object) -> None:
    """Replace a recipe and its arguments by what it makes.

    Raises:
        TypeError: If something else is to be called.
    """
    recipe, arguments = machine.pop_many(2)
    if not isinstance(recipe, _Recipe) or not isinstance(arguments, tuple):
        raise TypeError("a call of something that is no recipe")
    machine.stack.append(recipe.make(arguments))


def _drop_state(machine: _Machine, _argument: object) -> None:
    """Take the attributes of an ordered dict off: no tensor is among them.

    Raises:
        TypeError: If something else gets attributes.
    """
    machine.pop()
    if not isinstance(machine.stack[-1], _StateDict):
        raise TypeError("attributes for something else than an ordered dict")


def _storage(machine: _Machine, _argument: object) -> None:
    """Replace torch's description of a storage by a reference to it.

    Raises:
        TypeError: If it is described in another way.
    """
    kind, storage_type, key, _device, length = machine.pop()
    fits = kind == "storage" and isinstance(storage_type, _StorageType) and isinstance(key, str)
    if not fits or type(length) is not int or length < 0:
        raise TypeError("no storage")
    machine.stack.append(StorageReference(key=key, dtype=storage_type.dtype, length=length))


def _tensor(arguments: tuple[Any, ...]) -> StoredTensor:
    """Return the tensor that torch would build.

    Raises:
        TypeError: If sizes or strides are not whole numbers from 0.
    """
    storage, offset, shape, strides, *_gradient_and_hooks = arguments
    numbers = (offset, *shape, *strides)
    if not isinstance(storage, StorageReference) or len(shape) != len(strides):
        raise TypeError("no tensor")
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise TypeError("no sizes")
    return StoredTensor(storage=storage, offset=offset, shape=tuple(shape), strides=tuple(strides))


def _parameter(arguments: tuple[Any, ...]) -> StoredTensor:
    """Return the tensor of a parameter.

    Raises:
        TypeError: If it is none.
    """
    tensor = arguments[0]
    if not isinstance(tensor, StoredTensor):
        raise TypeError("no parameter")
    return tensor


def _state_dict(arguments: tuple[Any, ...]) -> _StateDict:
    """Return an empty ordered dict; torch fills it afterwards.

    Raises:
        TypeError: If it is to be made from something.
    """
    if arguments:
        raise TypeError("an ordered dict made from something")
    return _StateDict()


RECIPES: Mapping[tuple[str, str], _Recipe] = {
    ("torch._utils", "_rebuild_tensor_v2"): _Recipe(make=_tensor),
    ("torch._utils", "_rebuild_parameter"): _Recipe(make=_parameter),
    ("collections", "OrderedDict"): _Recipe(make=_state_dict),
}
"""The names that a pickle may use beside the storage types → what is done for them."""

Operation: TypeAlias = Callable[[_Machine, Any], None]

OPERATIONS: Mapping[str, Operation] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda _machine, _argument: None),
    **dict.fromkeys(
        (
            *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
            *("BINUNICODE", "SHORT_BINUNICODE"),
        ),
        _push,
    ),
    "NONE": lambda machine, _: _push(machine, None),
    "NEWTRUE": lambda machine, _: _push(machine, value=True),
    "NEWFALSE": lambda machine, _: _push(machine, value=False),
    "EMPTY_TUPLE": lambda machine, _: _push(machine, ()),
    "EMPTY_LIST": lambda machine, _: _push(machine, []),
    "EMPTY_DICT": lambda machine, _: _push(machine, {}),
    "MARK": lambda machine, _: _push(machine, _Mark()),
    "TUPLE": lambda machine, _: _push(machine, tuple(machine.pop_group())),
    "TUPLE1": lambda machine, _: _push(machine, tuple(machine.pop_many(1))),
    "TUPLE2": lambda machine, _: _push(machine, tuple(machine.pop_many(2))),
    "TUPLE3": lambda machine, _: _push(machine, tuple(machine.pop_many(3))),
    "APPEND": lambda machine, _: _append(machine, machine.pop_many(1)),
    "APPENDS": lambda machine, _: _append(machine, machine.pop_group()),
    "SETITEM": lambda machine, _: _set_items(machine, machine.pop_many(2)),
    "SETITEMS": lambda machine, _: _set_items(machine, machine.pop_group()),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT", "MEMOIZE"), _remember),
    **dict.fromkeys(
        ("BINGET", "LONG_BINGET"), lambda machine, place: _push(machine, machine.memory[place])
    ),
    "GLOBAL": lambda machine, names: _name(machine, *names.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: _name(machine, *machine.pop_many(2)),
    "BINPERSID": _storage,
    "REDUCE": _call,
    "BUILD": _drop_state,
}
"""Opcode of a pickle → what it does; torch's files need no others."""
