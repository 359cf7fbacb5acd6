"""UTF-8 of long texts, which the compiled unit validates in blocks: every kind of sequence at the borders of blocks."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autobahn.websocket.errors import FrameError
from frames_world import TWINS, frame

# One octet out of each range that Unicode table 3-7 tells apart, from both of its ends.
OCTETS = bytes.fromhex("00 7f 80 8f 90 9f a0 bf c0 c1 c2 df e0 e1 ec ed ee ef f0 f1 f3 f4 f5 ff")
BORDERS = (1, 16, 32, 64, 96)


class Valid:
    """A stream that counts the octets it gets."""

    def __init__(self):
        self.octets = 0

    def message_begin(self, is_binary):
        pass

    frame_begin = message_begin

    def frame_data(self, data):
        self.octets += len(data)

    def frame_end(self):
        pass

    message_end = frame_end


def valid_octets(twin, *pieces):
    """How many octets of a text, which may go on, are taken before one that cannot follow."""
    stream = Valid()
    reader = twin.Reader(None, None, None, None, None, None, masked=False, stream=stream)
    size = sum(map(len, pieces))
    try:
        reader.feed(frame(1, bytes(size + 1), key=None)[: -size - 1])
        for piece in pieces:
            reader.feed(piece)
    except FrameError as error:
        return stream.octets if error.code == 1007 else -1
    return stream.octets


def expected(text):
    """The same by Python's own decoder."""
    try:
        text.decode()
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data":
            half = text[error.start :]
            is_surrogate = len(half) == 2 and half[0] == 0xED and half[1] >= 0xA0
            return error.start + 1 if is_surrogate else len(text)
        return error.start if error.reason == "invalid start byte" else error.end
    return len(text)


def test_every_kind_of_sequence_at_the_border_of_a_block(twin):
    rng = random.Random(1)
    for sequence in itertools.product(OCTETS, repeat=3):
        for fourth in (0x41, 0x80, 0xBF, 0xE0):
            text = bytes((*sequence, fourth))
            at = 3 + rng.choice(BORDERS) * rng.randrange(1, 3) - rng.randrange(0, 5)
            whole = b"\xc3\xa9" * (at // 2) + b"x" * (at % 2) + text + b"z" * rng.randrange(0, 130)
            assert valid_octets(twin, whole) == expected(whole), whole.hex()


def test_every_pair_of_octets_in_the_middle_of_a_block(twin):
    before, after = "aé日𝄞".encode() * 9, "é".encode() * 40
    for pair in itertools.product(range(0x7E, 0x100), repeat=2):
        whole = before + bytes(pair) + after
        assert valid_octets(twin, whole) == expected(whole), bytes(pair).hex()


@pytest.mark.parametrize(
    "lead", ["a", "é", "日", "𝄞", "aé日𝄞", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaé"]
)
def test_valid_texts_of_all_lengths_and_their_cuts(twin, lead):
    text = (lead * 400).encode()[:400]
    for size in range(400):
        assert valid_octets(twin, text[:size]) == size
    for cut in range(0, 400, 3):
        assert valid_octets(twin, text[:cut], text[cut:]) == 400
    for cut in range(0, 350, 3):
        assert valid_octets(twin, text[:cut], text[cut:350] + b"\xff" + text[350:]) == expected(text[:350] + b"\xff")


@given(
    st.lists(st.one_of(st.text(max_size=90), st.sampled_from(["é", "日", "𝄞", "x" * 64])), max_size=12),
    st.lists(st.tuples(st.integers(0, 2000), st.sampled_from(list(OCTETS))), max_size=2),
    st.lists(st.integers(0, 2000), max_size=4),
)
def test_texts_with_wrong_octets_in_random_pieces(texts, wrong, cuts):
    text = bytearray("".join(texts).encode())
    for at, octet in wrong:
        text[at % (len(text) + 1) : at % (len(text) + 1) + 1] = bytes((octet,))
    whole = bytes(text)
    edges = [0, *sorted(cut % (len(whole) + 1) for cut in cuts), len(whole)]
    pieces = [whole[start:end] for start, end in itertools.pairwise(edges)]
    for twin in TWINS:
        assert valid_octets(twin, *pieces) == expected(whole)
