from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.caps import Candidate, CapCounts, Caps, apply_caps

NO_LIMITS = Caps(per_user=0, per_cluster=0, self_share=1.0, self_allowed=0, refusal_share=1.0)
MANY = CapCounts(known_users=9)


def limits(**chosen: Any) -> Caps:
    return NO_LIMITS.model_copy(update=chosen)


def candidate(number: int, **fields: Any) -> Candidate:
    plain: dict[str, Any] = {"user_id": None, "cluster": None, "provenance": "human", "refusal": False}
    return Candidate(id=f"c{number}", **{**plain, **fields})


def codes(candidates: list[Candidate], caps: Caps, already: CapCounts | None = None) -> dict[str, str]:
    return {id_: finding.rule for id_, finding in apply_caps(candidates, already or CapCounts(), caps).items()}


def test_the_first_of_a_user_are_kept() -> None:
    five = [candidate(number, user_id="김") for number in range(5)]
    assert codes(five, limits(per_user=3), MANY) == {"c3": "cap_user", "c4": "cap_user"}


def test_a_team_of_few_users_has_no_cap_of_one() -> None:
    five = [candidate(number, user_id="김") for number in range(5)]
    assert codes(five, limits(per_user=3), CapCounts(known_users=8)) == {}


def test_of_a_large_dataset_one_user_may_be_a_tenth() -> None:
    five = [candidate(number, user_id="u") for number in range(5)]
    already = CapCounts(users={"u": 8}, total=115, known_users=12)
    assert codes(five, limits(per_user=3), already) == {"c3": "cap_user", "c4": "cap_user"}


def test_a_team_without_a_teacher_trains_on_its_praised_replies_up_to_a_number() -> None:
    own = [candidate(number, provenance="self") for number in range(6)]
    assert codes(own, limits(self_share=0.5, self_allowed=4)) == {"c4": "cap_self", "c5": "cap_self"}
    assert codes(own, limits(self_share=0.5, self_allowed=8), CapCounts(total=4, own=4)) == {
        "c4": "cap_self",
        "c5": "cap_self",
    }
    assert len(codes(own, limits(self_share=0.0, self_allowed=4))) == 6


def test_what_a_user_gave_to_earlier_versions_counts() -> None:
    two = [candidate(number, user_id="u") for number in range(2)]
    assert codes(two, limits(per_user=3), CapCounts(users={"u": 2}, known_users=10)) == {"c1": "cap_user"}


def test_nobody_in_particular_is_not_one_user() -> None:
    assert codes([candidate(number) for number in range(9)], limits(per_user=1, per_cluster=1)) == {}


def test_the_first_of_a_cluster_are_kept_and_earlier_ones_count() -> None:
    four = [candidate(number, cluster=7) for number in range(4)]
    assert codes(four, limits(per_cluster=3), CapCounts(clusters={7: 1})) == {"c2": "cap_cluster", "c3": "cap_cluster"}


def test_one_that_is_over_the_cap_of_its_user_takes_no_place_in_its_cluster() -> None:
    several = [candidate(n, user_id="u" if n < 2 else f"u{n}", cluster=1) for n in range(4)]
    assert codes(several, limits(per_user=1, per_cluster=2), MANY) == {"c1": "cap_user", "c3": "cap_cluster"}


@pytest.mark.parametrize("own_first", [True, False])
def test_the_share_of_the_models_own_replies_does_not_hang_on_the_order(own_first: bool) -> None:
    own = [candidate(number, provenance="self") for number in range(10)]
    people = [candidate(number) for number in range(10, 14)]
    over = codes(own + people if own_first else people + own, limits(self_share=0.5))
    assert over == {f"c{number}": "cap_self" for number in range(4, 10)}


def test_what_a_person_corrected_is_not_the_models_own() -> None:
    assert codes([candidate(0, provenance="self_edited")], limits(self_share=0.0)) == {}


def test_earlier_versions_make_room_for_own_replies_and_refusals() -> None:
    already = CapCounts(total=99, own=0, refusals=9)
    batch = [candidate(n, refusal=True) for n in range(3)]
    assert codes(batch, limits(refusal_share=0.1), already) == {"c1": "cap_refusal", "c2": "cap_refusal"}
    assert codes([candidate(0, provenance="self")], limits(self_share=0.5)) == {"c0": "cap_self"}
    assert codes([candidate(0, provenance="self")], limits(self_share=0.5), already) == {}


def test_a_share_of_nothing_takes_none_and_a_share_of_one_takes_all() -> None:
    refusals = [candidate(number, refusal=True) for number in range(3)]
    assert len(codes([*refusals, candidate(9)], limits(refusal_share=0.0))) == 3
    assert codes(refusals, limits(refusal_share=1.0)) == {}


candidates = st.lists(
    st.builds(
        candidate,
        st.integers(),
        user_id=st.sampled_from([None, "a", "b"]),
        cluster=st.sampled_from([None, 1, 2]),
        provenance=st.sampled_from(["human", "teacher", "self", "self_edited"]),
        refusal=st.booleans(),
    ),
    unique_by=lambda candidate: candidate.id,
    max_size=40,
)
caps = st.builds(
    Caps,
    per_user=st.integers(0, 4),
    per_cluster=st.integers(0, 4),
    self_share=st.floats(0, 1),
    self_allowed=st.integers(0, 4),
    refusal_share=st.floats(0, 1),
)


@given(candidates, candidates, caps)
def test_whatever_comes_no_cap_is_exceeded_and_earlier_counts_stand(
    before: list[Candidate], batch: list[Candidate], chosen: Caps
) -> None:
    first = CapCounts.of([c for c in before if c.id not in apply_caps(before, MANY, chosen)])
    earlier = replace(first, known_users=9 + first.known_users)
    over = apply_caps(batch, earlier, chosen)
    assert over == apply_caps(batch, earlier, chosen)
    kept = [c for c in batch if c.id not in over]
    counted = CapCounts.of(kept)
    for limit, found, known in (
        (chosen.per_user, counted.users, earlier.users),
        (chosen.per_cluster, counted.clusters, earlier.clusters),
    ):
        assert not limit or all(n + known.get(key, 0) <= limit for key, n in found.items())
    total = earlier.total + counted.total
    for share, own in (
        (chosen.self_share, max(0, earlier.own + counted.own - (chosen.self_allowed if chosen.self_share else 0))),
        (chosen.refusal_share, earlier.refusals + counted.refusals),
    ):
        assert own <= share * total + 1e-6


@given(candidates, caps)
def test_a_higher_cap_of_users_and_clusters_rejects_no_more_by_count(batch: list[Candidate], chosen: Caps) -> None:
    one = chosen.model_copy(update={"self_share": 1.0, "refusal_share": 1.0, "per_cluster": 0, "per_user": 1})
    more = one.model_copy(update={"per_user": 2})
    assert apply_caps(batch, MANY, more).keys() <= apply_caps(batch, MANY, one).keys()
