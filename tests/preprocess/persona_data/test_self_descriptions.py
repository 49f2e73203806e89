"""Profiles from history: never from the same conversation, never from outside training, counted by hand on own text."""

import json
import random

import pytest

from fairseq_latent.errors import InputError
from preprocess import personas, self_descriptions, split
from preprocess.conversation import Conversation, Turn, read_conversations, whole_id, write_conversations
from preprocess.counts_table import Account
from preprocess.persona_data.histories import OF_A_SPEAKER, Histories

pytest.importorskip("lemminflect")

PLACES = [
    f"{first}{last}" for first in ("Ald", "Ber", "Cor", "Dun", "Elm") for last in ("ford", "ham", "wick", "stead")
]
THINGS = ("a red boat", "an old piano", "two tame owls", "some tall cacti", "a green tractor", "my own bakery")


def said(number):
    """What is said in conversation `number`: every sentence names its place."""
    place = PLACES[number % len(PLACES)] + str(number)
    return [f"In {place} I have {thing}." for thing in THINGS]


def conversation(number, speakers, identity=None, first=0, last=6):
    """Two speakers take turns, and each says something of himself in every turn."""
    turns = [Turn(speakers[at % 2], f"Nice day. {text} And you?") for at, text in enumerate(said(number)[first:last])]
    return Conversation(identity or f"c{number}", turns)


@pytest.fixture
def corpus():
    """20 conversations of 8 people; conversation 3 was cut in two, and conversation 4 has two branches."""
    people = random.Random(1)
    made = []
    for number in range(20):
        speakers = people.sample("pqrstuvw", 2)
        made.append(conversation(number, speakers, last=4 if number == 3 else 6))
        if number == 3:
            made.append(conversation(number, speakers, "c3#part2", first=4))
        if number == 4:
            made.append(conversation(number, speakers, "c4#branch2"))
    return made


@pytest.fixture
def describe(tmp_path):
    """Conversations, flags -> the conversations that are written, by id."""

    def run(conversations, *flags):
        write_conversations(tmp_path / "c.jsonl", conversations)
        out = tmp_path / "with.jsonl"
        self_descriptions.main([str(tmp_path / "c.jsonl"), "--out", str(out), "--workers=1", *flags])
        return {each.id: each for each in read_conversations(out)}

    run.path = tmp_path / "c.jsonl"
    return run


def heard_in(sentence):
    """The number of the conversation that a sentence was said in."""
    (place,) = (word for word in sentence.split() if word[-1].isdigit())
    return int("".join(filter(str.isdigit, place)))


def profiles(found):
    """(conversation's number, speaker, sentence), of all profiles."""
    for identity, each in found.items():
        for speaker, profile in (each.personas or {}).items():
            for sentence in profile:
                yield int(whole_id(identity)[1:]), speaker, sentence


def test_a_profile_is_what_its_speaker_says_in_other_conversations(describe, corpus):
    found = describe(corpus)
    assert [(each.id, each.turns) for each in found.values()] == [(each.id, tuple(each.turns)) for each in corpus]
    spoken = {
        (turn.speaker, whole_id(each.id), sentence)
        for each in corpus
        for turn in each.turns
        for sentence in turn.text.split(". ")
    }
    checked = list(profiles(found))
    assert len(checked) > 200
    for number, speaker, sentence in checked:
        assert heard_in(sentence) != number  # never of the same conversation, nor of another part or branch of it
        assert (speaker, f"c{heard_in(sentence)}", sentence.removesuffix(".")) in spoken
    assert all(
        3 <= len(profile) <= 8 == len(set(profile)) or len(profile) < 8
        for each in found.values()
        for profile in (each.personas or {}).values()
    )
    assert found["c3"].personas == found["c3#part2"].personas


def test_with_a_split_all_profiles_come_from_training(describe, corpus, tmp_path):
    found = describe(corpus, "--valid=3", "--test=4", "--seed=2")
    folder = tmp_path / "out"
    flags = ["--workers=1", "--min-turns=1", "--min-response-words=1", "--filter=none"]
    personas.main([str(tmp_path / "with.jsonl"), "--out", str(folder), "--valid=3", "--test=4", "--seed=2", *flags])
    sides = {
        side: {whole_id(line.rpartition(":")[0]) for line in (folder / f"{side}.ids").read_text().splitlines()}
        for side in ("train", "valid", "test")
    }
    assert all(sides.values()) and len(set.union(*sides.values())) == sum(map(len, sides.values()))
    outside = sides["valid"] | sides["test"]
    sources = {f"c{heard_in(sentence)}" for _, _, sentence in profiles(found)}
    assert sources and not sources & outside
    assert {f"c{number}" for number, _, _ in profiles(found)} >= outside  # they have profiles all the same
    texts = [(folder / f"{side}.{field}").read_text() for side in sides for field in ("partner", "own")]
    assert not any(
        sentence.rstrip(".") in text
        for number in map(int, (each[1:] for each in outside))
        for sentence in said(number)
        for text in texts
    )
    for side in ("valid", "test"):  # and without the split they would hold such sentences
        assert sides[side] & {f"c{heard_in(sentence)}" for _, _, sentence in profiles(describe(corpus))}


def test_the_split_of_another_step_is_taken_by_its_ids(describe, corpus, tmp_path):
    write_conversations(tmp_path / "c.jsonl", corpus)
    folder = tmp_path / "split"
    split.main([str(tmp_path / "c.jsonl"), "--out", str(folder), "--valid=3", "--test=4", "--seed=5", "--workers=1"])
    training = {whole_id(line.rpartition(":")[0]) for line in (folder / "train.ids").read_text().splitlines()}
    found = describe(corpus, f"--ids={folder}")
    assert {f"c{heard_in(sentence)}" for _, _, sentence in profiles(found)} <= training
    assert len(training) == 13


def test_a_side_of_its_own_draws_from_the_training_file(describe, corpus, tmp_path):
    write_conversations(tmp_path / "train.jsonl", corpus[:12])
    found = describe(corpus[10:], f"--history={tmp_path}/train.jsonl")
    heard = {heard_in(sentence) for _, _, sentence in profiles(found)}
    assert heard <= {int(whole_id(each.id)[1:]) for each in corpus[:12]} and heard
    assert all(heard_in(sentence) != number for number, _, sentence in profiles(found))  # also of what stands in both


def test_seed_conversation_and_speaker_decide_alone(describe, corpus):
    first = {identity: each.personas for identity, each in describe(corpus).items()}
    turned = {identity: each.personas for identity, each in describe(corpus[::-1], "--workers=2").items()}
    assert turned == first
    assert {identity: each.personas for identity, each in describe(corpus, "--seed=2").items()} != first


def test_what_says_the_same_is_in_a_profile_once():
    histories = Histories(8)
    texts = ["have two tame owls", "owls two tame have", "have two tame owls here", "like tall cacti"]
    for root, key in enumerate(texts, 1):
        histories.add(1, root, [(key, key)])
    histories.add(1, 9, [("have two tame owls", "I have two tame owls!")])
    assert (histories.finish(), histories.repeated) == (4, 1)
    for root in range(10):
        profile = histories.profile(1, root, b"seed")
        assert sum("owls" in sentence for sentence in profile) == 1  # 4 of 5 words in both: 0.8
        assert ("like tall cacti" in profile) == (root != 4)
    only = Histories(8)
    only.add(1, 1, [("have owls", "I have owls.")])
    only.add(1, 2, [("have owls", "I really have owls.")])
    only.finish()
    assert [only.profile(1, root, b"") for root in (1, 2)] == [["I really have owls."], ["I have owls."]]


def test_memory_is_bounded_whatever_the_order():
    sentences = [(f"word{number}", f"I word{number}") for number in range(400)]
    kept = []
    for order in (sentences, sentences[::-1]):
        histories = Histories(2)
        for each in order:
            histories.add(7, len(each[0]), [each])
            assert len(histories.pools[7]) <= 2 * OF_A_SPEAKER * 2
        assert histories.finish() == OF_A_SPEAKER * 2
        kept.append(list(histories.pools[7]))
    assert kept[0] == kept[1]


def test_the_ledger_by_hand(describe, tmp_path, capsys):
    """p is in a, b and c, q in a and b, r in c alone."""
    made = [
        Conversation(
            "a", [Turn("p", "I have two old cats. Hi! I really think so."), Turn("q", "Do you like my two cats?")]
        ),
        Conversation("b", [Turn("q", "I have a green boat."), Turn("p", "My boats are all red. I have two old cats.")]),
        Conversation("c", [Turn("p", "I sell boats in Rome."), Turn("r", "I am a cook in Rome.")]),
    ]
    found = describe(made, "--min-sentences=2", f"--report={tmp_path}/counts.txt")
    printed = capsys.readouterr().out
    accounts = [
        Account("turns", 6, {"of speakers with one conversation": 1}, 5),
        # "Do you like my two cats?" is a question; "Hi!" has no I
        Account(
            "sentences",
            8,
            {"without I or my": 1, "without another noun, pronoun or adjective": 1, "that are questions": 1},
            5,
        ),
        Account("self-descriptions", 5, {"said again": 1}, 4),
        # q: one sentence in b for a, none in a for b
        Account(
            "speakers of conversations",
            6,
            {"with fewer than 2 self-descriptions elsewhere": 2, "of speakers with one conversation": 1},
            3,
            {"conversations in which all have a profile": 0},
        ),
    ]
    assert printed.splitlines()[:-1] == [line for account in accounts for line in account.lines()]
    assert printed.splitlines()[-1].startswith("no split was given: ")
    assert (tmp_path / "counts.txt").read_text().splitlines() == printed.splitlines()[:-1]
    assert {speaker: set(profile) for speaker, profile in found["c"].personas.items()} == {
        "p": {"I have two old cats.", "My boats are all red."}
    }
    assert set(found["a"].personas["p"]) == {"I have two old cats.", "My boats are all red.", "I sell boats in Rome."}


def refused(describe, made, *flags):
    with pytest.raises(InputError) as caught:
        describe(made, *flags)
    assert not describe.path.with_name("with.jsonl").exists()
    return str(caught.value)


def test_a_corpus_whose_speakers_never_come_again(describe):
    made = [conversation(number, (f"p{number}", f"q{number}")) for number in range(5)]
    assert "none of its 10 speakers is in two conversations or more; remedy: " in refused(describe, made)


def test_roles_are_no_people(describe):
    made = [conversation(number, "AB") for number in range(5)]
    assert "the same 2 speak in all of its 5 conversations, as roles do (A and B); remedy: " in refused(describe, made)
    assert len(describe(made, "--few-speakers")["c1"].personas["A"]) == 8


def test_profiles_of_nothing(describe):
    made = [
        Conversation(each.id, [Turn(turn.speaker, "Hello there to all!") for turn in each.turns])
        for each in (conversation(number, f"p{number % 2}") for number in range(3))
    ]
    message = refused(describe, made)
    assert "no speaker gets a profile (" in message and "with fewer than 3 self-descriptions elsewhere" in message
    assert message.endswith("remedy: a smaller --min-sentences")


def test_profiles_that_are_there_are_not_lost_silently(describe, corpus):
    given = [Conversation(each.id, each.turns, {"p": ["I ski."]}) for each in corpus]
    assert "conversation c0 has personas; remedy: --replace" in refused(describe, given)
    assert ("p", "I ski.") not in {
        (speaker, text)
        for each in describe(given, "--replace").values()
        for speaker, profile in (each.personas or {}).items()
        for text in profile
    }


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--valid=0.1"], "--valid and --test go together"),
        (["--valid=0.1", "--test=0.1", "--ids=x"], "--ids with --valid and --test"),
        (["--sentences=2"], "--min-sentences 3 is more than --sentences 2"),
        (["--min-words=9", "--max-words=8"], "--min-words 9 is more than --max-words 8"),
        (["--ids=nowhere"], "nowhere has no train.ids"),
        (["--valid=30", "--test=0"], "20 conversations have a reply, but --valid 30"),
    ],
)
def test_flags_that_do_not_fit(describe, corpus, flags, message):
    assert message in refused(describe, corpus, *flags)


def test_ids_of_another_corpus(describe, corpus, tmp_path):
    (tmp_path / "train.ids").write_text("other:1\n")
    assert "has no conversation that" in refused(describe, corpus, f"--ids={tmp_path}")


def test_tweets_by_the_id_of_their_user(describe, tmp_path):
    """What preprocess.corpora.tweets writes: user ids as speakers, one turn a tweet with its id."""
    made = []
    for number in range(6):
        users = (str(100 + number % 2), str(200 + number % 3))
        turns = [
            Turn(users[at % 2], text, f"{number}{at}", "2019-01-01T00:00:00Z") for at, text in enumerate(said(number))
        ]
        made.append(Conversation(str(number), turns, lang="en", source="twitter"))
    lines = [json.dumps({"id": each.id, "personas": each.personas}) for each in describe(made).values()]
    assert all(json.loads(line)["personas"] for line in lines)
