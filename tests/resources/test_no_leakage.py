"""What hostile conversations do to the sides: users, threads and chains of near-duplicates that bridge them."""

import random
from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import combinations
from pathlib import Path

import pytest

from core.caps import Caps
from core.conversation import Conversation, Message
from core.duplicates import exact_hash, text_of
from core.gate import GateThresholds, Verdict
from core.sides import SIDES, Side, side_of_new_unit
from resources.screening import Screener, make_dataset
from resources.store import Store
from tests.fakes import FakeTokenizer
from tests.own_names import read_own
from tests.workshop import NOON

SCREENER = Screener(FakeTokenizer(), 500, caps=Caps(per_user=0, per_cluster=0), piece=7)
ENGLISH = "parcel invoice label courier refund account window printer charger voucher receipt address branch"
KOREAN = "택배를 영수증과 주소로 환불은 계정에서 창구까지 충전기가 상품권을 송장과 지점에서 배송이 포장을"
ALIKE = 0.9
USERS = 24
CHAINS = 12
LINKS = 6
VERSIONS = 3


def chain(random_: random.Random, number: int) -> list[str]:
    """Texts of which each is near the one before, the first and the last no more."""
    words = (ENGLISH if number % 2 else KOREAN).split()
    text = [f"{random_.choice(words)}{random_.randrange(100)}" for _ in range(60)]
    texts = []
    for link in range(LINKS):
        texts.append(" ".join(text))
        text[link * 9 % 60] = f"{random_.choice(words)}x{number}"
        text[(link * 9 + 4) % 60] = f"y{random_.choice(words)}"
    return texts


def week(seed: int) -> list[Conversation]:
    """The ends of every chain from different users first, what bridges them later; some without a user or thread."""
    random_ = random.Random(seed)
    chains = [chain(random_, number) for number in range(CHAINS)]
    ends = [text for texts in chains for text in (texts[0], texts[-1])]
    bridges = [text for texts in chains for text in texts[1:-1]]
    random_.shuffle(ends)
    random_.shuffle(bridges)
    return [conversation(random_, number, text) for number, text in enumerate([*ends, *bridges])]


def conversation(random_: random.Random, number: int, text: str) -> Conversation:
    user = random_.choice([*(f"사용자{n}" for n in range(USERS)), None])
    thread = random_.choice([f"t{random_.randrange(20)}", None])
    return Conversation(
        id=f"c{number:04d}",
        messages=(Message(role="user", content=f"What of {text.split()[0]}?"),),
        reply=text,
        user_id=user,
        thread_id=thread,
        source="import",
        provenance="human",
        created_at=NOON + timedelta(seconds=number),
    )


def bridging(sides: Mapping[str, Side | None], said: Sequence[Conversation]) -> list[tuple[str, str]]:
    """Pairs that say nearly the same on two sides: the Jaccard similarity of their 5-grams, computed plainly."""
    grams = {one.id: {text[at : at + 5] for at in range(len(text) - 4)} for one in said for text in [text_of(one)]}
    return [
        (one, other)
        for one, other in combinations([one.id for one in said if sides.get(one.id)], 2)
        if sides[one] != sides[other] and len(grams[one] & grams[other]) >= ALIKE * len(grams[one] | grams[other])
    ]


def placed(store: Store, folder: Path) -> dict[str, Side]:
    """The side of every conversation in a dataset."""
    return {one.id: side for side in SIDES for one in read_own(store, folder, side)}


def train(store: Store, folder: Path, said: Sequence[Conversation]) -> None:
    """A version with the next third of what was said, to its end."""
    store.conversations.capture(said)
    claim = store.versions.claim("run")
    assert claim is not None
    make_dataset(store, claim, folder, SCREENER)
    store.versions.mark_trained(claim, "a" * 64, {})
    verdict = Verdict(promoted=False, reasons=("no",), checks=(), thresholds=GateThresholds())
    store.versions.set_verdict(claim, verdict, "report.md")
    store.versions.conclude(claim, None)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_no_two_sides_share_a_user_a_thread_or_nearly_a_text(sqlite_store: Store, tmp_path: Path, seed: int) -> None:
    said = week(seed)
    by_user = {one.id: side_of_new_unit(f"user:{one.user_id}", rank) for rank, one in enumerate(said)}
    assert len(bridging(by_user, said)) > 10, "the week must be hostile"
    third, before = len(said) // VERSIONS, dict[str, Side]()
    for n in range(VERSIONS):
        train(sqlite_store, tmp_path / f"v{n}", said[n * third : (n + 1) * third])
        now = placed(sqlite_store, tmp_path / f"v{n}")
        assert before.items() <= now.items(), "what was once placed stays where it is"
        assert bridging(now, said) == []
        before = now
    assert set(before.values()) == set(SIDES)
    for shared in (exact_hash, lambda one: one.user_id or one.id, lambda one: one.thread_id or one.id):
        assert len({(shared(one), before[one.id]) for one in said if one.id in before}) == len(
            {shared(one) for one in said if one.id in before}
        )
    found = {row.conversation.id: row.findings for n in range(VERSIONS) for row in sqlite_store.versions.rows(n + 1)}
    quarantined = {id_ for id_, findings in found.items() if "both_sides" in {finding.rule for finding in findings}}
    assert quarantined, "some of what bridges two sides has to be kept out"
    assert not quarantined & before.keys()
    assert len(before) > len(said) / 2, "and no more than that"
