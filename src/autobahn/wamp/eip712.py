"""Who signed a typed data structure (EIP-712): Keccak-256, secp256k1 public key recovery, addresses (EIP-55).

Only public values are handled here, so that nothing needs to take the same time for every input. Written here, because
no package that the project needs offers it; certificates of cryptosign are the only user.
"""

from __future__ import annotations

from typing import Any

_MASK = (1 << 64) - 1
_RATE = 136


def _round_constants() -> list[int]:
    constants, lfsr = [], 1
    for _ in range(24):
        constant = 0
        for j in range(7):
            if lfsr & 1:
                constant |= 1 << ((1 << j) - 1)
            lfsr = ((lfsr << 1) ^ (0x71 if lfsr & 0x80 else 0)) & 0xFF
        constants.append(constant)
    return constants


_CONSTANTS = _round_constants()


def _rotated(value: int, by: int) -> int:
    by %= 64
    return ((value << by) | (value >> (64 - by))) & _MASK if by else value


def _permute(a: list[list[int]]) -> None:
    for constant in _CONSTANTS:
        c = [a[x][0] ^ a[x][1] ^ a[x][2] ^ a[x][3] ^ a[x][4] for x in range(5)]
        for x in range(5):
            d = c[x - 1] ^ _rotated(c[(x + 1) % 5], 1)
            for y in range(5):
                a[x][y] ^= d
        x, y, current = 1, 0, a[1][0]
        for t in range(24):
            x, y = y, (2 * x + 3 * y) % 5
            current, a[x][y] = a[x][y], _rotated(current, (t + 1) * (t + 2) // 2)
        for y in range(5):
            row = [a[x][y] for x in range(5)]
            for x in range(5):
                a[x][y] = row[x] ^ (~row[(x + 1) % 5] & row[(x + 2) % 5])
        a[0][0] ^= constant


def keccak256(data: bytes) -> bytes:
    """Keccak-256 as Ethereum has it: with the padding of before SHA-3."""
    padded = bytearray(data) + b"\x01" + bytes(-(len(data) + 1) % _RATE)
    padded[-1] |= 0x80
    a = [[0] * 5 for _ in range(5)]
    for start in range(0, len(padded), _RATE):
        for i in range(_RATE // 8):
            at = start + 8 * i
            a[i % 5][i // 5] ^= int.from_bytes(padded[at : at + 8], "little")
        _permute(a)
    return b"".join(a[i][0].to_bytes(8, "little") for i in range(4))


# ---- secp256k1 -------------------------------------------------------------------------------------------------

_P = 2**256 - 2**32 - 977
_N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_G = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)
_Point = tuple[int, int] | None


def _add(p: _Point, q: _Point) -> _Point:
    if p is None or q is None:
        return p if q is None else q
    if p[0] == q[0]:
        if (p[1] + q[1]) % _P == 0:
            return None
        slope = 3 * p[0] * p[0] * pow(2 * p[1], -1, _P) % _P
    else:
        slope = (q[1] - p[1]) * pow(q[0] - p[0], -1, _P) % _P
    x = (slope * slope - p[0] - q[0]) % _P
    return x, (slope * (p[0] - x) - p[1]) % _P


def _times(scalar: int, point: _Point) -> _Point:
    result: _Point = None
    while scalar:
        if scalar & 1:
            result = _add(result, point)
        point = _add(point, point)
        scalar >>= 1
    return result


def recover(digest: bytes, signature: bytes) -> str:
    """The address whose key made ``signature`` (r, s, v: 65 octets) of ``digest``; ValueError when there is none."""
    if len(signature) != 65:
        raise ValueError(f"expected a signature of 65 octets, got {len(signature)}")
    r, s, v = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big"), signature[64]
    if not (0 < r < _N and 0 < s <= _N // 2 and v in {0, 1, 27, 28}):  # EIP-2: of two signatures, the one with small s
        raise ValueError("expected a signature in the form of EIP-2, got another one")
    square = (pow(r, 3, _P) + 7) % _P
    y = pow(square, (_P + 1) // 4, _P)
    if y * y % _P != square:
        raise ValueError("expected a signature, got octets that are none")
    if y & 1 != (v - 27 if v >= 27 else v):
        y = _P - y
    inverse = pow(r, -1, _N)
    z = int.from_bytes(digest, "big")
    public = _add(_times(s * inverse % _N, (r, y)), _times(-z * inverse % _N, _G))
    if public is None:
        raise ValueError("expected a signature, got octets that are none")
    return checksummed(keccak256(public[0].to_bytes(32, "big") + public[1].to_bytes(32, "big"))[12:])


def checksummed(address: bytes) -> str:
    """The address as a text whose upper and lower case is a checksum (EIP-55)."""
    text = address.hex()
    digits = keccak256(text.encode()).hex()
    return "0x" + "".join(c.upper() if int(d, 16) >= 8 else c for c, d in zip(text, digits, strict=False))


def parse_address(value: Any, name: str) -> bytes:
    """20 octets; ValueError when ``value`` is no address, or has a wrong checksum."""
    try:
        octets = bytes.fromhex(value.removeprefix("0x"))
    except (AttributeError, ValueError):
        octets = b""
    if len(octets) != 20:
        raise ValueError(f"expected an address (20 octets in hex) as {name}, got {value!r:.60}")
    digits = value.removeprefix("0x")
    if digits not in {digits.lower(), digits.upper(), checksummed(octets)[2:]}:
        raise ValueError(f"expected an address with a right checksum as {name}, got {value!r:.60}")
    return octets


# ---- typed data ----------------------------------------------------------------------------------------------------


def struct_hash(name: str, fields: tuple[tuple[str, str], ...], values: dict[str, Any]) -> bytes:
    """The hash of a structure of atomic fields, given as (name, type); ValueError for values of other types."""
    declaration = f"{name}({','.join(f'{kind} {field}' for field, kind in fields)})"
    parts = [keccak256(declaration.encode())]
    for field, kind in fields:
        if field not in values:
            raise ValueError(f"expected {field} in {name}, got none")
        parts.append(_encoded(kind, values[field], field))
    return keccak256(b"".join(parts))


def _encoded(kind: str, value: Any, name: str) -> bytes:
    if kind == "address":
        return parse_address(value, name).rjust(32, b"\0")
    if kind == "string":
        if not isinstance(value, str):
            raise ValueError(f"expected {name} as a text, got {type(value).__name__}")
        return keccak256(value.encode("utf-8", "surrogatepass"))
    if kind == "bytes32":
        octets = bytes.fromhex(value.removeprefix("0x")) if isinstance(value, str) else b""
        if len(octets) != 32:
            raise ValueError(f"expected {name} as 32 octets in hex, got something else")
        return octets
    bits = int(kind.removeprefix("uint"))
    if type(value) is not int or not 0 <= value < 1 << bits:
        raise ValueError(f"expected {name} as {kind}, got {value!r:.60}")
    return value.to_bytes(32, "big")


def digest(domain: bytes, message: bytes) -> bytes:
    """What is signed: both are struct hashes."""
    return keccak256(b"\x19\x01" + domain + message)
