"""Near duplicates: pairs of texts whose sets of shingles have a Jaccard similarity of at least SAME.

Shingles are runs of five words, for texts of at least WORDS_ENOUGH words; or runs of five characters, for shorter
texts, where one other word would change most word shingles. Texts near that bound get both, so that no similar pair is
split by it. A word is a run of letters and digits; in scripts that put no blanks between words (Chinese, Japanese, Thai,
Lao, Burmese, Khmer) every character counts as one.

Candidates come from MinHash signatures cut into bands (Broder 1997, doi:10.1109/SEQUEN.1997.666900; Leskovec, Rajaraman
and Ullman, *Mining of Massive Datasets*, 3.4), and every one is verified on the sets themselves, so no pair is reported
that is not similar. A pair of similarity s is a candidate with probability 1 - (1 - s^ROWS)^BANDS. In a bucket of many
texts each is compared with the first and the next NEIGHBOURS only, which still ties a cluster together.

Given the same texts in the same order the pairs are the same, on every machine: no hash is seeded by Python.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]

SAME = 0.7
SHINGLE = 5
WORDS_ENOUGH = 20
SLOTS = 128
BANDS = 32  # 16 bands of 8 rows miss 7 % of the pairs at 0.7 and above that these find, for 0.2 s less on 12,000 texts
ROWS = SLOTS // BANDS
NEIGHBOURS = 16
ESTIMATE_LEAST = 0.55  # a signature estimates 0.7 with a standard error of 0.04: below this, verification is spared
BATCH = 1 << 16  # shingles whose hashes fit into a core's cache
GOLDEN = 0x9E3779B97F4A7C15  # the odd constant of splitmix64 (Steele, Lea and Flood 2014)
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
WORD = re.compile(f"[{UNSPACED}]|[^\\W{UNSPACED}]+")


class Pair(NamedTuple):
    a: int
    b: int
    jaccard: float


class Parts:
    """Disjoint sets of 0..n-1 (union-find; the smaller number names a set)."""

    def __init__(self, n: int) -> None:
        self.parent = list(range(n))

    def root(self, i: int) -> int:
        while self.parent[i] != i:
            self.parent[i] = self.parent[self.parent[i]]
            i = self.parent[i]
        return i

    def join(self, a: int, b: int) -> None:
        a, b = sorted((self.root(a), self.root(b)))
        self.parent[b] = a

    def roots(self) -> Places:
        """Of all numbers at once."""
        parent = np.array(self.parent)
        while (parent != parent[parent]).any():
            parent = parent[parent]
        return parent


def near_pairs(texts: Sequence[str]) -> list[Pair]:
    """Similar pairs, as many as tie every cluster of similar texts together (not all pairs of it).

    `texts`: normalised and distinct, in an order that their content alone decides. Takes about 2.2 kB a text.
    """
    parts = Parts(len(texts))
    words = [len(WORD.findall(text)) for text in texts]
    short = [i for i, n in enumerate(words) if n < WORDS_ENOUGH / SAME]
    long = [i for i, n in enumerate(words) if n >= WORDS_ENOUGH]
    return _pairs(short, [_characters(texts[i]) for i in short], parts) + _pairs(long, [_words(texts[i]) for i in long], parts)


def jaccard(a: Hashes, b: Hashes) -> float:
    """Shared over all distinct values of two sets of shingles."""
    one, other = set(a.tolist()), set(b.tolist())
    return len(one & other) / len(one | other)


def _characters(text: str) -> Hashes:
    return np.frombuffer(text.encode("utf-32-le"), np.uint32).astype(np.uint64)


def _words(text: str) -> Hashes:
    return np.array([_word(word) for word in WORD.findall(text)], np.uint64)


@cache
def _word(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest())


def _pairs(names: list[int], units: list[Hashes], parts: Parts) -> list[Pair]:
    """Pairs among the texts `names` that tie sets of `parts` together; joins them there."""
    if len(names) < 2:
        return []
    shingles, starts = _shingles(units)
    signatures = _signatures(shingles, starts)
    found, tried, number = [], set(), np.array(names)
    for band in range(BANDS):
        keys = _band_keys(signatures[:, band * ROWS : (band + 1) * ROWS])
        roots = parts.roots()[number]
        for a, b in _candidates(keys, roots, signatures):
            if (a, b) in tried or parts.root(names[a]) == parts.root(names[b]):
                continue
            tried.add((a, b))
            similarity = jaccard(shingles[starts[a] : starts[a + 1]], shingles[starts[b] : starts[b + 1]])
            if similarity >= SAME:
                parts.join(names[a], names[b])
                found.append(Pair(names[a], names[b], similarity))
    return found


def _shingles(units: list[Hashes]) -> tuple[Hashes, Places]:
    """The shingle hashes of all texts in one array, and where each text's begin. A text too short for one is padded."""
    lengths = np.maximum([len(u) for u in units], SHINGLE)
    flat = np.zeros(lengths.sum(), np.uint64)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    for start, u in zip(starts, units, strict=False):
        flat[start : start + len(u)] = u
    flat = _mixed(flat)
    n = len(flat) - SHINGLE + 1
    hashes = np.zeros(n, np.uint64)
    for place in range(SHINGLE):
        hashes *= np.uint64(GOLDEN)
        hashes += flat[place : place + n]
    whole = np.ones(n, bool)
    for back in range(1, SHINGLE):
        whole[starts[1:-1] - back] = False  # would reach into the next text
    return _mixed(hashes[whole]), starts - np.arange(len(starts)) * (SHINGLE - 1)


def _mixed(values: Hashes) -> Hashes:
    """splitmix64's finaliser: every bit of the input moves every bit of the output."""
    values = values + np.uint64(GOLDEN)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _signatures(shingles: Hashes, starts: Places) -> npt.NDArray[np.uint32]:
    """Shape (texts, SLOTS): in each slot the least value of another hash over a text's shingles."""
    signatures = np.empty((len(starts) - 1, SLOTS), np.uint32)
    factors = _mixed(np.arange(SLOTS, dtype=np.uint64)) | np.uint64(1)
    for first, last in _batches(starts):
        part = shingles[starts[first] : starts[last]]
        places = starts[first:last] - starts[first]
        for slot in range(SLOTS):
            signatures[first:last, slot] = np.minimum.reduceat(part * factors[slot], places) >> np.uint64(32)
    return signatures


def _batches(starts: Places) -> Iterator[tuple[int, int]]:
    first = 0
    while first < len(starts) - 1:
        last = max(first + 1, int(np.searchsorted(starts, starts[first] + BATCH, "right")) - 1)
        yield first, last
        first = last


def _band_keys(signatures: npt.NDArray[np.uint32]) -> Hashes:
    keys = np.zeros(len(signatures), np.uint64)
    for column in signatures.T:
        keys = _mixed(keys ^ column)
    return keys


def _candidates(keys: Hashes, roots: Places, signatures: npt.NDArray[np.uint32]) -> Iterator[tuple[int, int]]:
    """Pairs with equal keys, not yet in one set, whose signatures agree enough; a < b count the texts of `keys`."""
    order = np.argsort(keys, kind="stable")
    run = keys[order]
    place = np.arange(len(order))
    first = np.searchsorted(run, run)  # where the bucket of each begins
    for distance in range(NEIGHBOURS + 1):
        before = first if distance == 0 else place - distance  # 0: the first of the bucket
        inside = (before >= first) & (before < place)
        a, b = order[before[inside]], order[inside]
        apart = roots[a] != roots[b]
        yield from _alike(a[apart], b[apart], signatures)


def _alike(a: Places, b: Places, signatures: npt.NDArray[np.uint32]) -> Iterator[tuple[int, int]]:
    for start in range(0, len(a), BATCH // SLOTS):
        some, others = a[start : start + BATCH // SLOTS], b[start : start + BATCH // SLOTS]
        enough = (signatures[some] == signatures[others]).mean(axis=1) >= ESTIMATE_LEAST
        yield from zip(some[enough].tolist(), others[enough].tolist(), strict=True)
