"""Persona examples: counted by hand on self-written conversations, sides by conversation, what is dropped and why."""

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from fairseq_latent.errors import InputError
from fairseq_latent.text.similarity import SIMILARITIES, WITH_VECTORS
from preprocess import clean, personas
from preprocess.conversation import Conversation, Turn, write_conversations
from preprocess.corpora import __main__ as corpora
from preprocess.persona_data.examples import Example, about_oneself, first_person
from preprocess.splitting.collect import position
from tests.helpers.releases import real

from ..corpora.test_convai2 import SKI, TEA, episode, first_side, offered, second_side, with_candidates

FIELDS = ("src", "tgt", "partner", "own", "ids", "fader", "own_fader")
SPOKEN = (
    "hello , how are you ?",
    "i am fine and i drink tea",
    "do you like snow ?",
    "yes",
    "you should come and ski",
    "my kitchen needs me all day",
    "then ski at night with you",
    "no",
)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def prepare(tmp_path, folder):
    """Conversations, flags -> the lines of each field of each side."""

    def run(conversations, *flags, valid="0", test="0"):
        path = conversations
        if not hasattr(conversations, "suffix"):
            path = tmp_path / "c.jsonl"
            write_conversations(path, conversations)
        personas.main([str(path), "--out", str(folder), "--workers", "1", f"--valid={valid}", f"--test={test}", *flags])
        return {
            side: {field: (folder / f"{side}.{field}").read_text("utf-8").splitlines() for field in FIELDS}
            for side in ("train", "valid", "test")
            if (folder / f"{side}.src").exists()
        }

    return run


def conversation(identity, spoken=SPOKEN, tea=TEA, ski=SKI):
    """B drinks tea, A skis and speaks first."""
    turns = [Turn("AB"[index % 2], text) for index, text in enumerate(spoken)]
    return Conversation(identity, turns, {"B": tea, "A": ski})


EVERY_TURN = ("--min-turns", "1", "--min-response-words", "1", "--filter", "none")


def test_one_conversation_by_hand_from_the_text_of_convai2(tmp_path, prepare, capsys):
    (tmp_path / "own.txt").write_text(episode(TEA, SKI, first_side(SPOKEN)) + episode(SKI, TEA, second_side(SPOKEN)))
    corpora.main(["convai2", str(tmp_path / "own.txt"), "--out", str(tmp_path / "own.jsonl")])
    train = prepare(tmp_path / "own.jsonl")["train"]
    # turns 4 to 7 have 4 turns before them; 7 is too short, and 5 begins with my, without you
    assert train["ids"] == ["own-1:4", "own-1:6"]
    assert train["tgt"] == ["you should come and ski", "then ski at night with you"]
    assert train["src"] == [" <eot> ".join(SPOKEN[:4]), " <eot> ".join(SPOKEN[:6])]
    assert train["partner"] == ["i am a cook. <eot> i like tea."] * 2  # sentences in order, whoever shuffled them
    assert train["own"] == ["i ski."] * 2
    printed = capsys.readouterr().out.splitlines()
    table = {name.strip(): int(count) for name, count in (line.rsplit(None, 1) for line in printed[1:-2])}
    assert table == {
        "conversations read": 1,
        "= conversations kept": 1,
        "(of train)": 1,
        "train turns read": 8,
        "- with nothing before": 1,
        "- with less than 4 turns before": 3,
        "- self-centred (first_person)": 1,
        "- of less than 5 words": 1,
        "= train turns kept": 2,
    }


def test_every_turn_of_both_sides_has_the_profiles_of_both(prepare):
    train = prepare([conversation("c")], *EVERY_TURN)["train"]
    assert train["ids"] == [f"c:{index}" for index in range(1, 8)]
    for index, (partner, own) in enumerate(zip(train["partner"], train["own"], strict=True), 1):
        profiles = "i ski.", "i am a cook. <eot> i like tea."
        assert (own, partner) == (profiles if index % 2 == 0 else profiles[::-1])
        assert partner != own
        assert train["src"][index - 1].split(" <eot> ")[-1] == SPOKEN[index - 1]  # the last one is the partner's


def test_one_side(prepare):
    train = prepare([conversation("c")], *EVERY_TURN, "--sides", "second")["train"]
    assert train["ids"] == ["c:1", "c:3", "c:5", "c:7"]
    assert set(train["own"]) == {"i am a cook. <eot> i like tea."}


def test_the_second_speaker_of_a_conversation_is_that_of_its_parts(prepare):
    """Cut before a turn of the second speaker, who is then the first."""
    later = Conversation("c#part2", [Turn("B", "so ."), Turn("A", "well ."), Turn("B", "bye .")], {"A": SKI, "B": TEA})
    train = prepare([conversation("c", SPOKEN[:2]), later], *EVERY_TURN, "--sides", "second")["train"]
    assert train["ids"] == ["c:1", "c#part2:2"]


@pytest.mark.parametrize(("most", "contexts"), [(17, 5), (16, 4), (15, 4), (14, 3), (12, 3), (11, 0)])
def test_the_oldest_turns_go_until_the_rest_fits(prepare, most, contexts):
    """Turns of 1, 2, 3, 2, 1 words and a response of 2; each has an end: 2 + 3 + 4 + 3 + 2 + 3 = 17."""
    spoken = ("a", "b b", "c c c", "d d", "e", "f f")
    flags = ("--min-turns", "3", "--min-response-words", "2", "--filter", "none", "--max-tokens", str(most))
    train = prepare([conversation("c", spoken), conversation("d", ("a", "a", "a", "b b"))], *flags)["train"]
    found = dict(zip(train["ids"], train["src"], strict=True))
    assert found["d:3"] == "a <eot> a <eot> a"
    if contexts:
        assert found["c:5"] == " <eot> ".join(spoken[5 - contexts : 5])
    else:
        assert "c:5" not in found


def test_tokens_of_gpt2_are_counted_where_they_are_given(prepare, tmp_path):
    pytest.importorskip("tokenizers")
    from tokenizers import ByteLevelBPETokenizer

    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(["q"], vocab_size=257, show_progress=False)  # bytes alone
    trained.save_model(str(tmp_path))
    spoken = ("aaaa", "bb", "ccc", "dddd")  # 5 + 3 + 4 + 5 with their ends
    flags = (*EVERY_TURN, "--gpt2", str(tmp_path), "--max-tokens")
    assert prepare([conversation("c", spoken)], *flags, "17")["train"]["src"][-1] == "aaaa <eot> bb <eot> ccc"
    assert prepare([conversation("c", spoken)], *flags, "16")["train"]["src"][-1] == "bb <eot> ccc"
    assert prepare([conversation("c", spoken)], *flags, "9")["train"]["src"][-1] == "ccc"


def example(response):
    return Example("c:1", ("hello",), response, ("i ski",), ("i like tea",))


@pytest.mark.parametrize(
    ("response", "dropped"),
    [
        ("I like tea a lot", True),
        ("i'm a cook", True),
        ("my tea is hot", True),
        ("it is hot today", True),  # as the authors' code has it
        ("i like you", False),
        ("my tea is your tea", False),
        ("i think you're right", True),  # you're is another word than you
        ("tea is what i like", False),
        ("yes , i like tea", False),
        ("!", False),
    ],
)
def test_first_person(response, dropped):
    assert first_person(example(response)) is dropped


@pytest.mark.parametrize(
    ("response", "own", "partner", "dropped"),
    [
        ("tea is nice", 0.6, 0.2, True),
        ("tea is nice", 0.59, 0.2, False),
        ("tea is nice", 0.6, 0.3, False),
        ("is tea nice ?", 0.9, 0.0, False),
        ("tea is yours", 0.9, 0.0, False),
        ("you're like tea", 0.9, 0.0, False),
        ("お茶 ？", 0.9, 0.0, False),
    ],
)
def test_filter_by_similarity(response, own, partner, dropped):
    def measure(_, profile):
        return own if profile == ("i like tea",) else partner

    assert about_oneself(measure, 0.6, 0.3)(example(response)) is dropped


def many(count):
    return [conversation(f"c{number}") for number in range(count)]


def test_sides_are_by_conversation_as_those_of_split(prepare):
    sides = prepare(many(40), valid=5, test=7)
    found = {side: {line.partition(":")[0] for line in fields["ids"]} for side, fields in sides.items()}
    assert [len(found[side]) for side in ("train", "valid", "test")] == [28, 5, 7]
    ordered = sorted((f"c{number}" for number in range(40)), key=lambda identity: position(1, identity))
    assert found == {"test": set(ordered[:7]), "valid": set(ordered[-5:]), "train": set(ordered[7:-5])}
    assert all(len({line.split(":")[1] for line in fields["ids"]}) > 1 for fields in sides.values())
    assert all(len({len(lines) for lines in fields.values()}) == 1 for fields in sides.values())


def test_only_training_is_filtered_unless_asked(prepare):
    def self_centred(side):
        return sum(line.startswith("my ") for line in side["tgt"])

    plain = prepare(many(9), valid=2, test=2)
    assert {side: self_centred(fields) for side, fields in plain.items()} == {"train": 0, "valid": 2, "test": 2}
    strict = prepare(many(9), "--filter-test", valid=2, test=2)
    assert {side: self_centred(fields) for side, fields in strict.items()} == {"train": 0, "valid": 0, "test": 0}
    whole = prepare(many(9), "--whole-test", "--sides", "second", "--filter", "none", valid=2, test=2)
    assert len(whole["test"]["ids"]) == 2 * 4 and len(whole["valid"]["ids"]) == 2 * 1


def test_at_most_so_many_responses_of_each_dialogue_but_in_training(prepare):
    def of_each(side):
        return set(Counter(line.rpartition(":")[0] for line in side["ids"]).values())

    flags = ("--whole-test", "--min-turns", "1", "--min-response-words", "1", "--filter", "none")
    whole = prepare(many(9), *flags, valid=2, test=2)
    few = prepare(many(9), *flags, "--per-dialogue", "3", valid=2, test=2)
    assert min(of_each(whole["test"])) > 3 and of_each(few["test"]) == of_each(few["valid"]) == {3}
    assert few["train"] == whole["train"]
    rows = list(zip(*(whole["test"][name] for name in ("ids", "src", "tgt")), strict=True))
    sampled = list(zip(*(few["test"][name] for name in ("ids", "src", "tgt")), strict=True))
    assert sampled == [row for row in rows if row in sampled]  # whole rows, in their order
    other = prepare(many(9), *flags, "--per-dialogue", "3", "--seed", "2", valid=2, test=2)
    again = prepare(many(9), *flags, "--per-dialogue", "3", valid=2, test=2)
    assert again["test"] == few["test"] and other["test"] != few["test"]


def test_a_file_can_be_a_side(prepare, tmp_path):
    write_conversations(tmp_path / "official.jsonl", [conversation("official")])
    sides = prepare(many(6), valid=2, test=tmp_path / "official.jsonl")
    assert {line.partition(":")[0] for line in sides["test"]["ids"]} == {"official"}
    assert len({line.partition(":")[0] for line in sides["train"]["ids"]}) == 4


def test_disjoint_profiles(prepare, folder):
    """Conversations 0 to 19 and 20 to 39 have one profile each; 40 to 79 have profiles of their own."""
    shared = [
        conversation(f"c{number}", tea=(f"i like {number // 20}.",), ski=(f"ski {number}",)) for number in range(40)
    ]
    own = [conversation(f"c{number}", tea=(f"tea {number}",), ski=(f"snow {number}",)) for number in range(40, 80)]
    plain = prepare(shared + own, valid=8, test=8)
    parted = prepare(shared + own, "--disjoint-profiles", valid=8, test=8)
    assert parted["test"] != {} and parted["test"]["ids"] == plain["test"]["ids"]
    held = [{*fields["partner"], *fields["own"]} for fields in parted.values()]
    assert not held[0] & held[1] and not held[0] & held[2] and not held[1] & held[2]
    assert len(parted["train"]["ids"]) < len(plain["train"]["ids"])
    assert "of train with a profile of valid or test" in (folder / "personas.txt").read_text()
    with pytest.raises(InputError, match="--disjoint-profiles leaves no conversation to train; remedy: "):
        prepare(many(9), "--disjoint-profiles", valid=2, test=2)


@pytest.mark.parametrize("name", SIMILARITIES)
def test_faders_are_the_similarity_with_the_other_profile(prepare, folder, tmp_path, name):
    flags = ()
    if name in WITH_VECTORS:
        pytest.importorskip("gensim")
        (tmp_path / "v.txt").write_text("3 2\nski 1 0\ntea 0 1\ncook 0.5 0.5\n")
        flags = ("--vectors", str(tmp_path / "v.txt"))
    spoken = (*SPOKEN[:4], "do you ski", "yes tea", "i ski .")
    train = prepare([conversation("c", spoken)], *EVERY_TURN, "--similarity", name, *flags)["train"]
    faders = dict(zip(train["ids"], map(float, train["fader"]), strict=True))
    assert all(0 <= value <= 1 for value in faders.values())
    assert faders["c:3"] == 0  # yes
    swapped = dict(zip(zip(train["tgt"], train["own"], strict=True), train["own_fader"], strict=True))
    for response, partner, fader in zip(train["tgt"], train["partner"], train["fader"], strict=True):
        assert swapped.get((response, partner), fader) == fader  # the same measure, of either profile
    assert train["own_fader"] != train["fader"]
    report = json.loads((folder / "personas.json").read_text())
    assert report["splits"]["train"]["fader"]["mean"] == pytest.approx(sum(faders.values()) / len(faders), abs=1e-3)
    if name == "f1":
        assert faders["c:5"] == 0.0 and faders["c:4"] == 0.0  # "yes tea" and "i ski ."
        assert faders["c:1"] == pytest.approx(
            2 * 1 / (7 + 2), abs=1e-4
        )  # "i" of "i am fine and i drink tea" and "i ski."
    if name in WITH_VECTORS:
        assert len(report["vectors_sha256"]) == 64 and 0 < report["vectors_coverage"] < 1


def test_silence_is_no_turn_and_no_profile(prepare):
    spoken = ("__SILENCE__", "a a", "b b", "c c", "__SILENCE__", "d d", "e e")
    silent = conversation("c", spoken, tea=("i like tea.", " ", "__SILENCE__"))
    train = prepare([silent], *EVERY_TURN)["train"]
    assert train["ids"] == ["c:2", "c:3", "c:6"]
    assert train["src"] == ["a a", "a a <eot> b b", "d d"]
    assert not any("__SILENCE__" in line for lines in train.values() for line in lines)


def test_conversations_that_are_no_dialogue_with_profiles_are_counted(prepare, folder):
    turns = [Turn("A", "x y"), Turn("B", "y"), Turn("C", "z")]
    others = [
        Conversation("three", turns, {"A": SKI, "B": TEA, "C": TEA}),
        Conversation("short", turns[:1], {"A": SKI, "B": TEA}),
        Conversation("none", turns[:2]),
        conversation("half", SPOKEN, ski=()),
        conversation("silent", SPOKEN, ski=("__SILENCE__", "  ")),
    ]
    prepare([conversation("good"), *others])
    table = (folder / "personas.txt").read_text()
    for reason, count in (
        ("of other than two speakers", 1),
        ("without a reply", 1),
        ("without a profile of both speakers", 3),
        ("conversations kept", 1),
    ):
        assert any(line.split(None, 1)[1].rsplit(None, 1) == [reason, str(count)] for line in table.splitlines()), (
            reason
        )


def test_conversations_of_the_form_self_are_refused(tmp_path, prepare, folder):
    (tmp_path / "own.txt").write_text(episode(TEA, (), first_side(SPOKEN)))
    corpora.main(["convai2", str(tmp_path / "own.txt"), "--out", str(tmp_path / "own.jsonl")])
    with pytest.raises(
        InputError, match=r"own.jsonl: no conversation has two speakers and a profile of each; remedy: "
    ):
        prepare(tmp_path / "own.jsonl")
    assert not folder.exists()


@pytest.mark.parametrize(
    ("bad", "flags", "message"),
    [
        (conversation("c", SPOKEN[:3]), (), r"train gets no example \(.*1 turns with nothing before.*; remedy: "),
        (conversation("c", tea=("a <eot> b",)), (), "conversation c: a profile has a line break or <eot>; remedy: "),
        (conversation("c", tea=("a\nb",)), (), "a profile has a line break"),
        (conversation("c", ("a <eot> b", "c")), (), r"c: turns\[0\] contains the symbol <eot>; remedy: "),
        (
            Conversation("c", [Turn("A", "x"), Turn("A", "y"), Turn("B", "z")], {"A": SKI, "B": TEA}),
            (),
            "of one speaker; ",
        ),
        (conversation("c"), ("--similarity", "embedding"), "embedding needs word vectors; remedy: "),
        (conversation("c"), ("--vectors", "v.txt"), "tfidf takes no --vectors; remedy: "),
        (conversation("c"), ("--gpt2", "nowhere"), "nowhere has no encoder.json"),
        (conversation("c"), ("--max-tokens", "9"), "turns too long with 4 turns before"),
    ],
)
def test_bad_input_is_refused_and_nothing_written(prepare, folder, bad, flags, message):
    with pytest.raises(InputError, match=message):
        prepare([bad], *flags)
    assert not folder.exists() or list(folder.iterdir()) == []


def test_sides_of_an_earlier_run_are_refused(prepare):
    prepare(many(9), valid=2, test=2)
    with pytest.raises(InputError, match="has test files of an earlier run"):
        prepare(many(9), valid=2)


def with_offers(each, *turns, wrong="no"):
    """The conversation, two candidates for each of these turns: a wrong one, and its text."""
    shown = [
        replace(turn, candidates=(wrong, turn.text)) if at in turns else turn for at, turn in enumerate(each.turns)
    ]
    return replace(each, turns=shown)


def test_candidates_of_convai2_are_a_line_an_example(tmp_path, prepare, folder):
    """Of both episodes: every response has its own; of one: those of the speaker who is shown, the other's are blank."""
    both = episode(TEA, SKI, with_candidates(first_side(SPOKEN)))
    both += episode(SKI, TEA, with_candidates(second_side(SPOKEN)))
    for text, shown in ((both, range(1, 8)), (episode(TEA, SKI, with_candidates(first_side(SPOKEN))), range(1, 8, 2))):
        (tmp_path / "own.txt").write_text(text)
        corpora.main(["convai2", str(tmp_path / "own.txt"), "--out", str(tmp_path / "own.jsonl")])
        clean.main([str(tmp_path / "own.jsonl"), "--out", str(tmp_path / "clean.jsonl")])
        train = prepare(tmp_path / "clean.jsonl", *EVERY_TURN)["train"]
        lines = (folder / "train.candidates").read_text().split("\n")
        assert lines.pop() == "" and len(lines) == 7
        for index, (reply, line) in enumerate(zip(train["tgt"], lines, strict=True), 1):
            assert line == ("\t".join(offered(reply)) if index in shown else "")
        assert f"(with candidates) {len(shown)}" in " ".join((folder / "personas.txt").read_text().split())


def test_candidates_are_written_for_sides_whose_examples_have_some(prepare, tmp_path, folder):
    """In training a filtered response alone has some, in test one that is kept, validation has none at all."""
    for name, turn in (("train", 5), ("test", 6), ("valid", None)):  # turn 5 begins with my
        write_conversations(
            tmp_path / f"{name}.jsonl", [conversation("plain"), with_offers(conversation(name), 0, turn)]
        )
    names = {side: tmp_path / f"{side}.jsonl" for side in ("valid", "test")}
    prepare(tmp_path / "train.jsonl", **names)
    assert [path.name for path in folder.glob("*.candidates")] == ["test.candidates"]
    # of either conversation the turns 4, 5 and 6 are examples: test is not filtered
    assert (folder / "test.candidates").read_text() == "\n" * 5 + f"no\t{SPOKEN[6]}\n"
    prepare(tmp_path / "train.jsonl", "--filter", "none", **names)
    assert (folder / "train.candidates").read_text() == "\n" * 4 + f"no\t{SPOKEN[5]}\n\n"


def test_candidates_of_an_earlier_run_are_refused(prepare, folder):
    prepare([with_offers(conversation("c"), 4)])
    with pytest.raises(
        InputError, match=r"has train files of an earlier run; remedy: delete them \(train\.candidates\)"
    ):
        prepare([conversation("c")])
    (folder / "train.candidates").unlink()
    prepare([conversation("c")])
    assert not (folder / "train.candidates").exists()


@pytest.mark.parametrize(
    ("wrong", "mended"),
    [("a\tb", "a b\t"), ("a\nb", "a b\t"), ("a\u2028b", "a b\t"), ("a <eot> b", "a < eot > b\t"), (" ", "")],
)
def test_candidates_that_would_break_a_line_are_refused_until_they_are_clean(prepare, tmp_path, folder, wrong, mended):
    with pytest.raises(InputError, match="conversation c: a candidate is empty or has a tab, a line break or <eot>; "):
        prepare([with_offers(conversation("c"), 4, wrong=wrong)])
    assert not folder.exists()
    clean.main([str(tmp_path / "c.jsonl"), "--out", str(tmp_path / "clean.jsonl")])
    prepare(tmp_path / "clean.jsonl")
    assert (folder / "train.candidates").read_text() == f"{mended}{SPOKEN[4]}\n\n"  # of the turns 4 and 6


def test_command(tmp_path, folder):
    write_conversations(tmp_path / "c.jsonl", [conversation("c", ski=())])
    command = [sys.executable, "-m", "preprocess.personas", str(tmp_path / "c.jsonl"), "--out", str(folder)]
    done = subprocess.run([*command, "--valid", "0", "--test", "0"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    done = subprocess.run([*command, "--valid", "1.5"], capture_output=True, text=True)
    assert done.returncode == 2 and "a fraction lies between 0 and 1" in done.stderr


def test_the_released_validation_file_by_dialogue(prepare, tmp_path):
    """1,000 dialogues are 800, 100 and 100; with every turn that is shown, 7,801 responses; with both sides, 14,602."""
    release = real("convai2/valid_both_original_no_cands.txt")
    corpora.main(["convai2", str(release), "--out", str(tmp_path / "v.jsonl")])
    documented = (Path(__file__).parents[3] / "docs/data.md").read_text("utf-8")
    for flags, total in (
        ((), None),
        (("--filter", "none"), None),
        (("--filter", "similarity"), None),
        ((*EVERY_TURN, "--sides", "second"), 7801),
        ((*EVERY_TURN, "--max-tokens", "1000"), 15_602 - 1000),
    ):
        sides = prepare(tmp_path / "v.jsonl", *flags, valid=100, test=100)
        assert [len({line.rpartition(":")[0] for line in fields["ids"]}) for fields in sides.values()] == [
            800,
            100,
            100,
        ]
        for fields in sides.values():
            assert all(partner != own for partner, own in zip(fields["partner"], fields["own"], strict=True))
        counts = [len(fields["ids"]) for fields in sides.values()]
        assert (
            "--max-tokens" in flags
            or f"| 800 · 100 · 100 | {' · '.join(f'{count:,}' for count in counts)} |" in documented
        )
        assert total is None or sum(counts) == total
