"""From the conversations a version claimed to its dataset; what was decided is stored first, piece by piece."""

import os
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from core.canonical import fingerprint_of
from core.caps import Caps
from core.conversation import Conversation
from core.decontamination import GatePrompts
from core.duplicates import THRESHOLD
from core.manifest import Manifest
from core.pii import PII_VERSION, Recogniser
from core.reading import read_conversation
from core.rules import RULES_VERSION
from core.sides import SALT
from resources import dataset_rows, datasets, folders, screening_counts
from resources.collector import seldom_collected
from resources.dataset_columns import DatasetRow
from resources.reference_sets import gate_items
from resources.screening_counts import MASKED
from resources.screening_piece import Masked, Prepared, decide, judge, mask, prepare
from resources.screening_rows import (
    Standing,
    next_rows,
    placed_up_to,
    users_up_to,
)
from resources.store import Store
from resources.token_counts import BatchTokenizer, Rendered, counted, rendered, wholes
from resources.versions import Claim

REJECTED = "rejected."
# conversations at once: few enough for memory and for the turns of other writers, enough for the tokenizer's threads
PIECE = 2_000
# pieces that wait for the tokenizer, so that it always has one
AHEAD = 2
# niceness of the tokenizer's threads
BEHIND = 8


@dataclass(frozen=True)
class Screener:
    """What screening holds conversations to; `recognise` finds names and addresses beyond the rules.

    `near` is the similarity from which on two conversations are near-duplicates.
    """

    tokenizer: BatchTokenizer
    max_tokens: int
    caps: Caps = field(default_factory=Caps)
    recognise: Recogniser | None = None
    recogniser: str = ""
    near: float = THRESHOLD
    piece: int = PIECE
    golden: Sequence[Conversation] = ()

    @property
    def masks(self) -> str:
        """Names what masks personal data, and its version."""
        return f"{PII_VERSION}+{self.recogniser}" if self.recogniser else PII_VERSION

    @property
    def rules(self) -> dict[str, Any]:
        """Everything a decision depends on beside the conversations."""
        return {
            "rules": RULES_VERSION,
            "masks": self.masks,
            "max_tokens": self.max_tokens,
            "caps": self.caps.model_dump(),
            "near": self.near,
            "salt": SALT,
            "gate": fingerprint_of([[one.last_user, one.reply] for one in (*gate_items(), *self.golden)]),
        }


@seldom_collected()
def make_dataset(store: Store, claim: Claim, folder: Path, screener: Screener) -> Manifest:
    """The dataset folder of a version; one that was trained on stays as it is."""
    version = store.versions.get(claim.n)
    if version.state != "open" and folders.is_whole(folder):
        return datasets.read_manifest(folder)
    screen_version(store, claim, screener)
    counts, reasons = store.database.read(lambda c: screening_counts.of_version(c, claim.n))
    names = store.pseudonyms()
    rows = dataset_rows.accepted_rows(store.database, claim.n, screener.masks, screener.recognise, names)
    manifest = datasets.write(
        folder,
        _without_golden(rows, screener),
        version=version.n,
        base_fingerprint=version.base_fingerprint,
        parent=version.parent,
        counts={**counts, **{f"{REJECTED}{rule}": n for rule, n in sorted(reasons.items())}},
        details={"rules_version": RULES_VERSION, "pii_version": screener.masks, "sides_salt": SALT},
    )
    kept = {name: n for name, n in manifest.counts.items() if "." not in name}
    store.versions.set_dataset(claim, str(manifest.dataset_hash), {**kept, "reasons": reasons})
    return manifest


def _without_golden(pieces: Iterator[list[DatasetRow]], screener: Screener) -> Iterator[list[DatasetRow]]:
    """What earlier versions were trained on stays out once a person measures with it."""
    golden = GatePrompts(screener.golden)
    if not len(golden):
        return pieces
    return ([row for row in piece if not golden.item_in(*read_conversation(row.conversation))] for piece in pieces)


def rejections(manifest: Manifest) -> dict[str, int]:
    """Why conversations of the version were rejected, and how many, most first."""
    found = {key.removeprefix(REJECTED): n for key, n in manifest.counts.items() if key.startswith(REJECTED)}
    return dict(sorted(found.items(), key=lambda entry: (-entry[1], entry[0])))


def masked(manifest: Manifest) -> dict[str, int]:
    """In how many conversations of the version personal data was masked, by kind."""
    return {key.removeprefix(MASKED): n for key, n in manifest.counts.items() if key.startswith(MASKED)}


def screen_version(store: Store, claim: Claim, screener: Screener) -> None:
    """Decide on every conversation of the version; broken off and begun again, it goes on and decides the same."""
    store.versions.begin_screening(claim, screener.rules)
    read = store.database.read
    standing = read(lambda c: Standing(users_up_to(c, claim.n), placed_up_to(c, claim.n)))
    gate = GatePrompts([*gate_items(), *screener.golden])
    for piece in _pieces(store, claim.n, screener):
        judged = [judge(one, screener.max_tokens, gate) for one in piece]
        work = partial(decide, n=claim.n, piece=piece, judged=judged, standing=standing)
        work = partial(work, threshold=screener.near, recognise=screener.recognise)
        standing = store.versions.screen(claim, work)
    store.versions.cap(claim, screener.caps)


def _pieces(store: Store, n: int, screener: Screener) -> Iterator[list[Prepared]]:
    """While the tokenizer encodes some pieces, outside of Python's lock, those before are decided."""
    with ThreadPoolExecutor(1, thread_name_prefix="tokenizer", initializer=_stand_behind) as aside:
        coming = deque([_next_piece(store, n, 0, screener, aside)])
        while coming[0].masked:
            while len(coming) <= AHEAD and coming[-1].masked:
                coming.append(_next_piece(store, n, coming[-1].masked[-1].row.seq, screener, aside))
            yield coming.popleft().prepared(screener.tokenizer)


def _stand_behind() -> None:
    """This thread, and those that the tokenizer starts from it, leave a whole core to the one that decides.

    Of two cores they would else take more than one, and stand still once they are ahead.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), BEHIND)


def _next_piece(store: Store, n: int, after: int, screener: Screener, aside: ThreadPoolExecutor) -> "_Piece":
    rows = store.database.read(lambda c: next_rows(c, n, after, screener.piece))
    masked = [mask(row, screener.recognise) for row in rows]
    texts = rendered([one.conversation for one in masked], screener.tokenizer)
    return _Piece(masked, texts, aside.submit(screener.tokenizer.encode_batch, wholes(texts)))


@dataclass(frozen=True)
class _Piece:
    """Conversations whose texts are being encoded."""

    masked: Sequence[Masked]
    texts: Sequence[Rendered | None]
    ids: Future[list[list[int]]]

    def prepared(self, tokenizer: BatchTokenizer) -> list[Prepared]:
        """Waits for the tokenizer."""
        tokens = counted([one.conversation for one in self.masked], self.texts, self.ids.result(), tokenizer)
        return [prepare(one, count) for one, count in zip(self.masked, tokens, strict=True)]
