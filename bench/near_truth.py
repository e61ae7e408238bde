"""Which texts are near-duplicates in truth: the Jaccard similarity of all pairs, without any hashing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

WIDTH = 5
AT_ONCE = 500


@dataclass(frozen=True)
class Truth:
    """`best` is the highest similarity to an earlier text, `cluster` the component over pairs at the threshold."""

    best: list[float]
    cluster: list[int]


def truth(texts: Sequence[str], threshold: float) -> Truth:
    """Every pair compared."""
    best, edges = np.zeros(len(texts)), []
    for later, earlier, similarity in _pairs(texts):
        np.maximum.at(best, later, similarity)
        near = similarity >= threshold
        edges.append(np.stack([later[near], earlier[near]]))
    both = np.concatenate(edges, axis=1)
    graph = coo_array((np.ones(both.shape[1]), tuple(both)), shape=(len(texts), len(texts)))
    return Truth(best.tolist(), connected_components(graph, directed=False)[1].tolist())


def _pairs(texts: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """All pairs that share a 5-gram at all: the later one, the earlier one, their similarity."""
    sets = [{text[at : at + WIDTH] for at in range(max(1, len(text) - WIDTH + 1))} for text in texts]
    names: dict[str, int] = {}
    columns = [names.setdefault(gram, len(names)) for one in sets for gram in one]
    sizes = np.array([len(one) for one in sets])
    ends = np.concatenate([[0], np.cumsum(sizes)])
    holds = csr_array((np.ones(len(columns), np.int32), columns, ends), shape=(len(texts), len(names)))
    turned = holds.T.tocsr()
    for start in range(0, len(texts), AT_ONCE):
        shared = (holds[start : start + AT_ONCE] @ turned).tocoo()
        later, earlier = shared.row + start, shared.col
        before = earlier < later
        later, earlier, both = later[before], earlier[before], shared.data[before]
        yield later, earlier, both / (sizes[later] + sizes[earlier] - both)


def together(clusters: Sequence[int]) -> set[tuple[int, int]]:
    """Every pair of one cluster."""
    members: dict[int, list[int]] = {}
    for at, cluster in enumerate(clusters):
        members.setdefault(cluster, []).append(at)
    return {pair for group in members.values() for pair in combinations(group, 2)}


def f1(found: set[object], wanted: set[object]) -> float:
    """1 when both are the same."""
    return 2 * len(found & wanted) / (len(found) + len(wanted)) if found or wanted else 1.0
