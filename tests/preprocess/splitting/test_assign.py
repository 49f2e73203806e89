"""Sides: by time at any border, speakers kept apart, always whole conversations, against a loop that decides one by one."""

import random
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from fairseq_latent.errors import InputError
from preprocess.conversation import Conversation, Turn, part_id, write_conversations
from preprocess.splitting.assign import NONE, TEST, TRAIN, VALID, SplitOptions, decide
from preprocess.splitting.collect import microseconds, parse_time, position, survey

DAY = timedelta(days=1)
BEGIN = datetime(2017, 1, 1, tzinfo=UTC)
BORDER = datetime(2019, 1, 1, tzinfo=UTC)


def talk(name, begin=None, speakers="AB", turns=2):
    """Turns a day apart."""
    times = [None if begin is None else (begin + index * DAY).isoformat() for index in range(turns)]
    return Conversation(name, tuple(Turn(speakers[i % 2], f"{i}", time=time) for i, time in enumerate(times)))


@pytest.fixture
def decided(tmp_path):
    """Conversations, rule -> (side of each conversation, decision)."""

    def run(conversations, rule, workers=1):
        path = tmp_path / "c"
        write_conversations(path, conversations)
        found = survey(path, rule.seed, rule.by_time, rule.disjoint_speakers, workers, 4000)
        decision = decide(found, rule, path)
        return dict(zip((c.id for c in conversations), decision.codes.tolist(), strict=True)), decision

    return run


def years(count=300):
    """Conversations from 2017 to 2019, two of them a thread in three parts."""
    days = random.Random(1)
    whole = [talk(f"c{number}", BEGIN + days.randrange(1095) * DAY) for number in range(count)]
    cut = [talk(part_id(name, part), begin + 400 * part * DAY) for name, begin in (("x", BEGIN), ("y", BORDER))
           for part in (1, 2, 3)]  # fmt: skip
    return [*whole, *cut]


def test_time_decides_what_is_test_and_a_hash_what_is_valid(decided):
    conversations = years()
    sides, decision = decided(conversations, SplitOptions(valid=0.2, test=None, test_from=BORDER))
    for conversation in conversations:
        root = conversation.id.partition("#")[0]
        first = min(parse_time(c.turns[0].time) for c in conversations if c.id.partition("#")[0] == root)
        expected = TEST if first >= BORDER else VALID if position(1, root) >= 0.8 else TRAIN
        assert sides[conversation.id] == expected
    assert not sum(decision.left_out.values())
    roots = {conversation.id.partition("#")[0] for conversation in conversations}
    assert sum(decision.counts.values()) == len(roots)


def test_a_period_and_a_share_of_the_late_ones(decided):
    conversations = years()
    start, until = BEGIN + 100 * DAY, BORDER + 200 * DAY
    rule = SplitOptions(valid=5, test=7, start=start, test_from=BORDER, until=until)
    sides, decision = decided(conversations, rule)
    assert decision.counts["valid"] == 5
    assert decision.counts["test"] == 7
    for conversation in conversations[:300]:
        begin = parse_time(conversation.turns[0].time)
        assert (begin < start or begin >= until) <= (sides[conversation.id] == NONE)
        assert (sides[conversation.id] == TEST) <= (BORDER <= begin < until)
        assert (start <= begin < BORDER) <= (sides[conversation.id] in (TRAIN, VALID))
    left = decision.left_out
    assert left["outside --from and --until"] + left["not drawn for test"] + sum(decision.counts.values()) == 302
    late = [c.id for c in conversations[:300] if BORDER <= parse_time(c.turns[0].time) < until] + ["y"]
    assert {name for name in late if sides[name] == TEST} == set(sorted(late, key=lambda n: position(1, n))[:7])


def test_late_ones_may_be_left_out(decided):
    sides, decision = decided(years(), SplitOptions(valid=0.1, test=0, test_from=BORDER))
    assert (
        decision.counts["test"] == 0 < decision.left_out["not drawn for test"] == list(sides.values()).count(NONE) - 2
    )


def test_a_border_belongs_to_what_follows_and_knows_time_zones(decided):
    conversations = [*years(), talk("on", BORDER), talk("before", BORDER - timedelta(microseconds=1))]
    naive = Conversation("naive", (Turn("A", "a", time="2019-01-01T00:00:00"), Turn("B", "b")))
    zone = Conversation("zone", (Turn("A", "a", time="2019-01-01T08:59:59+09:00"), Turn("B", "b")))
    later = Conversation("later", (Turn("A", "a"), Turn("B", "b", time="2019-05-01T00:00:00Z")))
    sides, _ = decided([*conversations, naive, zone, later], SplitOptions(valid=0, test=None, test_from=BORDER))
    assert [sides[name] for name in ("on", "before", "naive", "zone", "later")] == [TEST, TRAIN, TEST, TRAIN, TEST]


def test_from_and_until_go_with_a_split_by_hash(decided):
    conversations = years()
    sides, decision = decided(conversations, SplitOptions(valid=0.1, test=0.1, until=BORDER))
    assert decision.counts["test"] > 0
    for conversation in conversations[:300]:
        assert (sides[conversation.id] == NONE) == (parse_time(conversation.turns[0].time) >= BORDER)


def test_conversations_without_a_time_are_left_out(decided):
    odd = [talk("none"), Conversation("words", (Turn("A", "a", time="Wed Oct 10 20:19"), Turn("B", "b")))]
    sides, decision = decided([*years(), *odd], SplitOptions(test=None, test_from=BORDER))
    assert (sides["none"], sides["words"], decision.left_out["without a time"]) == (NONE, NONE, 2)
    with pytest.raises(InputError, match="no turn has a time in ISO 8601.*; remedy: add `time`"):
        decided([talk(str(number)) for number in range(9)], SplitOptions(test=None, test_from=BORDER))


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (SplitOptions(test=None, test_from=BORDER + 2000 * DAY), "0 conversations begin from --test-from on"),
        (SplitOptions(test=500, test_from=BORDER), "too few for test; remedy: an earlier time, or a smaller"),
        (SplitOptions(test=None, test_from=BEGIN), "0 conversations have a reply and begin before --test-from"),
        (SplitOptions(test=1e-6, test_from=BORDER), "test gets none of"),
        (SplitOptions(until=BEGIN - DAY), "0 conversations have a reply within --from and --until"),
    ],
)
def test_a_side_without_conversations_is_refused(decided, rule, words):
    with pytest.raises(InputError, match=words) as refused:
        decided(years(), rule)
    assert "FROM, TEST_FROM and UNTIL of twitter_en.sh" in str(refused.value)
    assert re.search(r"begin from 2017-01-0\d to 20\d\d-\d\d-\d\d$", str(refused.value))


@pytest.mark.parametrize("workers", [1, 2])
def test_nobody_speaks_on_two_sides(decided, workers):
    drawn = random.Random(2)
    people = [f"u{number}" for number in range(4000)]
    conversations = [talk(f"c{n}", speakers=drawn.sample(people, 2), turns=1 + n % 4) for n in range(2000)]
    rule = SplitOptions(valid=0.1, test=0.1)
    free, _ = decided(conversations, rule, workers)
    apart, decision = decided(conversations, replace(rule, disjoint_speakers=True), workers)
    speakers = {c.id: {turn.speaker for turn in c.turns} for c in conversations}
    expected, held = dict(free), set()
    for lower, upper in ((VALID, TEST), (TRAIN, VALID)):
        held |= {who for name, side in expected.items() if side == upper for who in speakers[name]}
        for name, side in expected.items():
            if side == lower and speakers[name] & held:
                expected[name] = NONE
    assert apart == expected
    assert sum(decision.left_out.values()) == sum(free[name] != side for name, side in apart.items()) > 100
    assert decision.counts == {side: sum(code == found for found in apart.values())
                               for code, side in enumerate(("train", "valid", "test"))}  # fmt: skip


def test_speakers_with_the_same_names_everywhere_are_a_clear_error(decided):
    with pytest.raises(InputError, match="leaves no conversation to .*; remedy: leave it out where .* same names"):
        decided(years(), SplitOptions(valid=0.1, test=0.1, disjoint_speakers=True))


def test_times():
    assert microseconds(parse_time("1970-01-01")) == 0
    assert microseconds(parse_time("1970-01-01T00:00:01.5Z")) == 1_500_000
    assert microseconds(parse_time("1969-12-31T23:00:00-01:00")) == 0
    assert parse_time("yesterday") is parse_time("") is parse_time("1546300800") is None
    assert np.int64(microseconds(parse_time("9999-12-31"))) > 0
