"""The same work with datasketch, run by the Python of its own environment: texts in, clusters and seconds out.

`peer_datasketch.py THRESHOLD < texts.json` prints {"seconds": s, "near": [[cluster, nearest or null], ...]}.
"""

import json
import sys
import time

from datasketch import MinHash, MinHashLSH

PERMUTATIONS, BANDS, ROWS, WIDTH = 128, 16, 8, 5


def place(texts: list[str], threshold: float) -> list[tuple[int, int | None]]:
    """The cluster of every text, by number from 0, and one earlier text it is near to."""
    index = MinHashLSH(num_perm=PERMUTATIONS, params=(BANDS, ROWS))
    sets = [{text[at : at + WIDTH] for at in range(max(1, len(text) - WIDTH + 1))} for text in texts]
    sketches = MinHash.generator(([part.encode() for part in one] for one in sets), num_perm=PERMUTATIONS)
    placed: list[tuple[int, int | None]] = []
    for number, sketch in enumerate(sketches):
        mine = sets[number]
        near: dict[int, int] = {}
        for other in sorted(index.query(sketch)):
            cluster = placed[other][0]
            if cluster in near:
                continue
            shared = len(mine & sets[other])
            if shared >= threshold * (len(mine) + len(sets[other]) - shared):
                near[cluster] = other
        placed.append((min(near), near[min(near)]) if near else (number, None))
        index.insert(number, sketch)
    return placed


if __name__ == "__main__":
    texts = json.load(sys.stdin)
    began = time.perf_counter()
    near = place(texts, float(sys.argv[1]))
    print(json.dumps({"seconds": time.perf_counter() - began, "near": near}))
