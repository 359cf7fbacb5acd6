"""What the tests of compressed streams share."""

import random


def words(size, seed=0):
    """Octets that compress about as text does, the same ones each time."""
    rng = random.Random(seed)
    return b" ".join(b"%x" % rng.randrange(3000) for _ in range(size // 4))[:size]


def inflate(inflater, data, step=1 << 30, pieces=1):
    """The message that ``data`` is, fed in ``pieces`` and taken out at most ``step`` octets at a time."""
    out = b""
    size = len(data) // pieces + 1
    for at in range(0, len(data), size):
        chunk = data[at : at + size]
        while True:
            some = inflater.decompress(chunk, step)
            assert len(some) <= step
            out += some
            if len(some) < step:
                break
            chunk = b""
    return out + inflater.end_message(step)
