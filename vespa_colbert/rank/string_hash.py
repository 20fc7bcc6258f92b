"""The number that a string stands for in an expression: its XXH3 hash, read as a double."""

from __future__ import annotations

import struct

__all__ = ["string_value"]

SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
    "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
    "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
    "eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e"
    "2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e"
)
MASK = 2**64 - 1
PRIME32 = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D)
PRIME64 = (
    0x9E3779B185EBCA87,
    0xC2B2AE3D27D4EB4F,
    0x165667B19E3779F9,
    0x85EBCA77C2B2AE63,
    0x27D4EB2F165667C5,
)
MIX = (0x165667919E3779F9, 0x9FB21C651E98DF25)
STRIPE, BLOCK = 64, 1024
EXPONENT = 0x7FF0000000000000


def string_value(text: str) -> float:
    """Return what a string is worth where a number is expected.

    Source: StringValue.asDouble and hash2d, Vespa 8.700.24; XXH3 by Yann Collet, 64 bits, seed 0.
    """
    bits = xxh3(text.encode("utf-8", "surrogatepass"))
    if bits & EXPONENT == EXPONENT:  # neither NaN nor infinite
        bits &= 0xFFEFFFFFFFFFFFFF
    value: float = struct.unpack("<d", struct.pack("<Q", bits))[0]
    return value


def xxh3(data: bytes) -> int:
    """Return the 64 bits of XXH3 with seed 0."""
    size = len(data)
    if size <= 16:
        return _short(data)
    if size <= 128:
        return _middle(data)
    return _longer(data) if size <= 240 else _long(data)


def _read(data: bytes, at: int, width: int = 8) -> int:
    return int.from_bytes(data[at : at + width], "little")


def _fold(left: int, right: int) -> int:
    product = left * right
    return (product & MASK) ^ (product >> 64)


def _rotated(value: int, by: int) -> int:
    return ((value << by) | (value >> (64 - by))) & MASK


def _swapped(value: int) -> int:
    return int.from_bytes(value.to_bytes(8, "little"), "big")


def _avalanche(value: int) -> int:
    value = (value ^ (value >> 37)) * MIX[0] & MASK
    return value ^ (value >> 32)


def _old_avalanche(value: int) -> int:
    value = (value ^ (value >> 33)) * PRIME64[1] & MASK
    value = (value ^ (value >> 29)) * PRIME64[2] & MASK
    return value ^ (value >> 32)


def _mix(data: bytes, at: int, secret: int) -> int:
    return _fold(
        _read(data, at) ^ _read(SECRET, secret), _read(data, at + 8) ^ _read(SECRET, secret + 8)
    )


def _short(data: bytes) -> int:
    """Return the hash of 0 to 16 bytes."""
    size = len(data)
    if size == 0:
        return _old_avalanche(_read(SECRET, 56) ^ _read(SECRET, 64))
    if size <= 3:
        combined = data[0] << 16 | data[size >> 1] << 24 | data[-1] | size << 8
        return _old_avalanche(combined ^ _read(SECRET, 0, 4) ^ _read(SECRET, 4, 4))
    if size <= 8:
        both = (_read(data, size - 4, 4) + (_read(data, 0, 4) << 32)) & MASK
        value = both ^ _read(SECRET, 8) ^ _read(SECRET, 16)
        value ^= _rotated(value, 49) ^ _rotated(value, 24)
        value = value * MIX[1] & MASK
        value ^= (value >> 35) + size
        value = value * MIX[1] & MASK
        return value ^ (value >> 28)
    low = _read(data, 0) ^ _read(SECRET, 24) ^ _read(SECRET, 32)
    high = _read(data, size - 8) ^ _read(SECRET, 40) ^ _read(SECRET, 48)
    return _avalanche((size + _swapped(low) + high + _fold(low, high)) & MASK)


def _middle(data: bytes) -> int:
    """Return the hash of 17 to 128 bytes."""
    size = len(data)
    total = size * PRIME64[0]
    for step in range((size - 1) // 32 + 1):
        total += _mix(data, 16 * step, 32 * step)
        total += _mix(data, size - 16 * (step + 1), 32 * step + 16)
    return _avalanche(total & MASK)


def _longer(data: bytes) -> int:
    """Return the hash of 129 to 240 bytes."""
    size = len(data)
    total = size * PRIME64[0] + sum(_mix(data, 16 * step, 16 * step) for step in range(8))
    total = _avalanche(total & MASK)
    total += sum(_mix(data, 16 * step, 16 * (step - 8) + 3) for step in range(8, size // 16))
    total += _mix(data, size - 16, 136 - 17)
    return _avalanche(total & MASK)


def _long(data: bytes) -> int:
    """Return the hash of more than 240 bytes."""
    sums = [PRIME32[2], *PRIME64[:4], PRIME32[1], PRIME64[4], PRIME32[0]]
    last = len(SECRET) - STRIPE
    for at in range(0, (len(data) - 1) // STRIPE * STRIPE, STRIPE):
        _add_stripe(sums, data, at, at % BLOCK // 8)
        if (at + STRIPE) % BLOCK == 0:
            _scramble(sums, last)
    _add_stripe(sums, data, len(data) - STRIPE, last - 7)
    total = len(data) * PRIME64[0]
    for place in range(0, 8, 2):
        total += _fold(
            sums[place] ^ _read(SECRET, 11 + 8 * place),
            sums[place + 1] ^ _read(SECRET, 19 + 8 * place),
        )
    return _avalanche(total & MASK)


def _add_stripe(sums: list[int], data: bytes, at: int, secret: int) -> None:
    for place in range(8):
        word = _read(data, at + 8 * place)
        key = word ^ _read(SECRET, secret + 8 * place)
        sums[place ^ 1] = (sums[place ^ 1] + word) & MASK
        sums[place] = (sums[place] + (key & 0xFFFFFFFF) * (key >> 32)) & MASK


def _scramble(sums: list[int], secret: int) -> None:
    for place in range(8):
        value = sums[place] ^ (sums[place] >> 47) ^ _read(SECRET, secret + 8 * place)
        sums[place] = value * PRIME32[0] & MASK
