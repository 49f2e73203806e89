"""The ConvAI2 reader, on self-written episodes in its two forms."""

import subprocess
import sys
from collections import Counter

import pytest

from fairseq_latent.errors import InputError
from preprocess.check import check
from preprocess.conversation import Conversation, Turn, read_conversations
from preprocess.corpora import __main__ as corpora
from preprocess.corpora import convai2
from tests.helpers.releases import packed, real

TEA, SKI = ("i like tea.", "i am a cook."), ("i ski.",)
SPOKEN = ("hello !", "hi , tea ?", "no , snow .", "why ?")
TURNS = tuple(Turn("AB"[index % 2], text) for index, text in enumerate(SPOKEN))


def episode(own, partner, pairs):
    """The lines of an episode; `partner` is empty in the form "self"."""
    lines = [f"your persona: {sentence}" for sentence in own]
    lines += [f"partner's persona: {sentence}" for sentence in partner]
    lines += [f"{said}\t{reply}" for said, reply in pairs]
    return "".join(f"{number} {line}\n" for number, line in enumerate(lines, 1))


def first_side(spoken=SPOKEN):
    return list(zip(spoken[::2], spoken[1::2], strict=False))


def second_side(spoken=SPOKEN):
    return first_side((convai2.SILENCE, *spoken))


def read(path, text, counts=None):
    path.write_text(text)
    return list(convai2.read_convai2(path, counts=counts))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "own.txt"


def test_one_side_in_both_forms(path):
    counts = Counter()
    (conversation,) = read(path, episode(TEA, SKI, first_side()), counts)
    assert conversation == Conversation("own-1", TURNS, {"B": TEA, "A": SKI}, "en", "convai2")
    assert counts == {"episodes": 1, "lines": 2, "turns": 4, "personas": 2}
    (conversation,) = read(path, episode(TEA, (), first_side()))
    assert (conversation.turns, conversation.personas) == (TURNS, {"B": TEA})


def test_the_side_of_who_speaks_first(path):
    (conversation,) = read(path, episode(SKI, TEA, second_side()))
    assert (conversation.turns, conversation.personas) == (TURNS[:3], {"A": SKI, "B": TEA})


@pytest.mark.parametrize("partner", [True, False])
def test_both_sides_are_one_conversation(path, partner):
    """In the form "self" too, both personas are known then."""
    one = episode(TEA, SKI if partner else (), first_side())
    other = episode(SKI, TEA if partner else (), second_side())
    counts = Counter()
    conversations = read(path, 2 * (one + other) + one, counts)
    assert [each.id for each in conversations] == ["own-1", "own-3", "own-5"]
    assert all(each.turns == TURNS for each in conversations)
    assert all(each.personas == {"B": TEA, "A": SKI} for each in conversations[:2])
    assert (counts["episodes"], counts["merged"], counts["personas"]) == (5, 2, 2)


def test_the_longer_side_counts(path):
    """Where the one who spoke first also speaks last, the first episode lacks the last turn."""
    longer = (*SPOKEN, "cold !")
    (conversation,) = read(path, episode(TEA, SKI, first_side(longer)) + episode(SKI, TEA, second_side(longer)))
    assert [turn.text for turn in conversation.turns] == list(longer)
    assert conversation.personas == {"B": TEA, "A": SKI}


def offered(reply):
    """What an episode shows as the candidates of a reply: two wrong ones, and it."""
    return f"not {reply}", "no .", reply


def with_candidates(pairs):
    """The pairs, with the candidates of each reply."""
    return [(said, "\t\t".join((reply, "|".join(offered(reply))))) for said, reply in pairs]


def test_every_turn_has_the_candidates_of_the_side_that_shows_them(path):
    """Of B's replies the first episode has them, of A's the second, that of the last turn too, which the first lacks."""
    longer = (*SPOKEN, "cold !")
    one, other = with_candidates(first_side(longer)), with_candidates(second_side(longer))
    counts = Counter()
    both, alone = read(path, 2 * (episode(TEA, SKI, one) + episode(SKI, TEA, other)), counts)
    assert [(turn.text, turn.candidates) for turn in both.turns] == [(text, offered(text)) for text in longer]
    assert both.turns == alone.turns and (counts["merged"], counts["with candidates"]) == (2, 10)
    (conversation,) = read(path, episode(TEA, SKI, one))
    assert [turn.candidates for turn in conversation.turns] == [None, offered(SPOKEN[1]), None, offered(SPOKEN[3])]
    for first, second, turns in ((one, second_side(longer), [1, 3]), (first_side(longer), other, [0, 2, 4])):
        (conversation,) = read(path, episode(TEA, SKI, first) + episode(SKI, TEA, second))  # candidates in one alone
        assert [index for index, turn in enumerate(conversation.turns) if turn.candidates] == turns


@pytest.mark.parametrize(
    ("fields", "candidates"),
    [
        ("", None),
        ("\t", None),
        ("\t0.5", None),  # a reward
        ("\t\t", None),
        ("\t\t| |", None),
        ("\t\tno .", ("no .",)),
        ("\t0.5\tno .||yes . \tmore", ("no .", "yes . ")),
    ],
)
def test_empty_candidates_are_none(path, fields, candidates):
    (conversation,) = read(path, episode(TEA, SKI, [("hello !", f"hi .{fields}")]))
    assert conversation.turns == (Turn("A", "hello !"), Turn("B", "hi .", candidates=candidates))


def test_silence_has_no_candidates(path):
    pairs = [("hello !", f"{convai2.SILENCE}\t\tno .|yes ."), ("so ?", "hi .\t\tno .")]
    (conversation,) = read(path, episode(TEA, SKI, pairs))
    assert conversation.turns == (Turn("A", "hello !"), Turn("A", "so ?"), Turn("B", "hi .", candidates=("no .",)))


@pytest.mark.parametrize(
    "second",
    [
        episode(SKI, TEA, first_side()),  # not opened by silence
        episode(SKI, TEA, second_side(("hello !", "hi , tea ?", "no , rain ."))),
        episode(SKI, TEA, second_side(SPOKEN[:1])),  # three turns shorter
        episode(SKI, ("i hate tea.",), second_side()),
        episode(("i swim.",), TEA, second_side()),
    ],
)
def test_others_stay_apart(path, second):
    assert len(read(path, episode(TEA, SKI, first_side()) + second)) == 2


def test_sides_in_the_other_order_stay_apart(path):
    assert len(read(path, episode(SKI, TEA, second_side()) + episode(TEA, SKI, first_side()))) == 2


def test_archives(tmp_path, path):
    text = episode(TEA, (), first_side())
    release = packed(tmp_path / "own.tar.gz", {"d/train_self.txt": text, "d/valid_self.txt": text + text})
    with pytest.raises(InputError, match=r"has several texts; remedy: name one, e\.g\. --text valid_self\.txt"):
        list(convai2.read_convai2(release))
    assert [each.id for each in convai2.read_convai2(release, "valid_self.txt")] == ["valid_self-1", "valid_self-2"]
    with pytest.raises(InputError, match=r"has no x\.txt, but train_self\.txt, valid_self\.txt; remedy: "):
        list(convai2.read_convai2(release, "x.txt"))
    release.write_bytes(release.read_bytes()[:-30])
    with pytest.raises(InputError, match=r"own\.tar\.gz\S*: damaged .*; remedy: "):
        list(convai2.read_convai2(release, "valid_self.txt"))


def test_command(tmp_path, path):
    out = tmp_path / "c.jsonl"
    path.write_text(episode(TEA, SKI, first_side()) + episode(SKI, TEA, second_side()))
    arguments = [sys.executable, "-m", "preprocess.corpora", "convai2", str(path), "--out", str(out)]
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "2 episodes, 4 lines of dialogue read, 1 times two episodes of one conversation made one, "
        f"1 conversations, 4 turns, 2 personas kept -> {out}\n"
    )
    assert [conversation.turns for conversation in read_conversations(out)] == [TURNS]
    path.write_text(episode(TEA, SKI, with_candidates(first_side())))
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert " 1 conversations, 4 turns (2 with candidates), 2 personas kept -> " in done.stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", " has no conversations; remedy: "),
        (b"hello\n", ":1: no number 1 and a space before it; remedy: "),
        (b"2 your persona: x.\n", ":1: no number 1 and a space"),
        (b"1 your persona: x.\n3 a\tb\n", ":2: no number 2 or 1 and a space"),
        (b"1 your persona: x.\n\n2 a\tb\n", ":2: no number 2 or 1 and a space"),
        (b"1 your persona: x.\n" + b"9" * 5000 + b" a\tb\n", ":2: no number 2 or 1 and a space"),
        (b"1 your persona: x.\n2 a b\n", ":2: no tab and reply after what the partner says; remedy: "),
        (b"1 your persona: x.\n2 a\tb\n3 your persona: y.\n", ":3: no tab and reply"),
        (b"1 a\tb\n", ":1: the episode has no 'your persona:'; remedy: "),
        (b"1 your persona: x.\n2 a\tb\n1 partner's persona: y.\n2 a\tb\n", ":3: the episode has no 'your persona:'; "),
        (b"1 your persona: x.\n1 your persona: y.\n2 a\tb\n", ":1: the episode has no dialogue; remedy: "),
        (b"1 your persona: x.\n2 a\t\xff\n", ":2: invalid UTF-8 at byte 4 of the line; remedy: "),
    ],
)
def test_other_files_are_refused(path, text, message):
    path.write_bytes(text)
    with pytest.raises(InputError, match=f"own.txt{message}"):
        list(convai2.read_convai2(path))


def test_the_released_validation_file(tmp_path, capsys):
    """The official numbers: 1,000 conversations, 7,801 replies of the side that is shown."""
    for form, personas in (("both", 1059), ("self", 680)):
        release = real(f"convai2/valid_{form}_original_no_cands.txt")
        corpora.main(["convai2", str(release), "--out", str(tmp_path / "c.jsonl")])
        printed = capsys.readouterr().out
        assert printed.startswith("1,000 episodes, 7,801 lines of dialogue read, 0 times ")
        assert f"1,000 conversations, 15,602 turns, {personas:,} personas kept -> " in printed
        summary = check(str(tmp_path / "c.jsonl"))
        assert (summary.conversations, summary.words.total(), summary.with_personas) == (1000, 15_602, 1000)


@pytest.mark.parametrize("form", ["both", "self"])
def test_real_conversations_shown_from_both_sides_become_one(path, form):
    """The form of the training files, made of the validation file."""
    whole = list(convai2.read_convai2(real("convai2/valid_both_original_no_cands.txt")))
    episodes = []
    for each in whole:
        spoken = tuple(turn.text for turn in each.turns)
        one, other = each.personas["B"], each.personas["A"]
        episodes.append(episode(one, other if form == "both" else (), first_side(spoken)))
        episodes.append(episode(other, one if form == "both" else (), second_side(spoken)))
    counts = Counter()
    merged = read(path, "".join(episodes), counts)
    assert [(each.turns, each.personas) for each in merged] == [(each.turns, each.personas) for each in whole]
    assert (counts["episodes"], counts["merged"]) == (2000, 1000)
