"""Splitting: pairs by hand, a split that depends on nothing but seed and conversation ids, references, branches, ids."""

import errno
import json
import random
import subprocess
import sys
from itertools import pairwise

import pytest

from fairseq_latent.errors import InputError
from preprocess import split as command
from preprocess.conversation import (
    Conversation,
    Turn,
    part_id,
    record_of,
    whole_id,
    write_conversations,
)
from preprocess.splitting.assign import SplitOptions, parse_share
from preprocess.splitting.collect import position
from preprocess.splitting.examples import pairs
from preprocess.splitting.from_ids import rebuild
from preprocess.splitting.passes_over_file import Options, split

FILES = {f"{side}.{field}" for side in ("train", "valid", "test") for field in ("src", "tgt", "ids")} | {"split.json"}


def talk(name, turns=3):
    return Conversation(name, tuple(Turn("AB"[i % 2], f"{name} says {i}") for i in range(turns)))


def talks(count, first=0):
    return [talk(f"c{number}") for number in range(first, first + count)]


@pytest.fixture
def run_split(tmp_path):
    """Writes conversations, splits them, returns {side: its lines of ids}."""

    def run(conversations, valid=0.2, test=0.2, seed=1, context_turns=1, out="out"):
        write_conversations(tmp_path / "c", conversations)
        split(tmp_path / "c", tmp_path / out, SplitOptions(valid, test, seed), Options(context_turns))
        read = ((side, tmp_path / out / f"{side}.ids") for side in ("train", "valid", "test"))
        return {side: path.read_text().splitlines() for side, path in read if path.exists()}

    return run


def wholes(lines):
    return {whole_id(line.rpartition(":")[0]) for line in lines}


def test_pairs_by_hand():
    conversation = Conversation("c", tuple(Turn("AB"[i % 2], text) for i, text in enumerate("abcd")))
    found = [(pair.id, pair.source, pair.target) for pair in pairs(record_of(conversation), context_turns=2)]
    assert found == [("c:1", "a", "b"), ("c:2", "a <eot> b", "c"), ("c:3", "b <eot> c", "d")]
    assert [pair.source for pair in pairs(record_of(conversation), 1)] == ["a", "b", "c"]
    assert [pair.source for pair in pairs(record_of(conversation), 9)] == ["a", "a <eot> b", "a <eot> b <eot> c"]


def test_files_are_parallel_and_complete(run_split, tmp_path):
    conversations = [*talks(50), talk("alone", turns=1)]
    ids = run_split(conversations, context_turns=2)
    expected = {pair.id: (pair.source, pair.target) for c in conversations for pair in pairs(record_of(c), 2)}
    written = {}
    for side in ("train", "valid", "test"):
        sources, targets = ((tmp_path / "out" / f"{side}.{field}").read_text().splitlines() for field in ("src", "tgt"))
        written |= dict(zip(ids[side], zip(sources, targets, strict=True), strict=True))
    assert written == expected
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    report = json.loads((tmp_path / "out" / "split.json").read_text())
    assert report["without_reply"] == 1
    assert (report["seed"], report["context_turns"], report["valid"]) == (1, 2, 0.2)
    for side, count in report["splits"].items():
        assert count == {"conversations": len(wholes(ids[side])), "pairs": len(ids[side])}


def test_no_conversation_on_two_sides_even_when_cut(run_split):
    conversations = [talk(part_id(f"c{number}", part)) for number in range(40) for part in (1, 2, 3)]
    ids = run_split(conversations)
    sides = [wholes(lines) for lines in ids.values()]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 40


@pytest.mark.parametrize(("valid", "test"), [(0.2, 0.3), (7, 5), (0.2, 5)])
def test_order_does_not_matter_and_the_seed_does(run_split, valid, test):
    conversations = talks(100)
    first = run_split(conversations, valid, test)
    random.Random(1).shuffle(conversations)
    again = run_split(conversations, valid, test)
    other = run_split(conversations, valid, test, seed=2)
    assert {side: sorted(lines) for side, lines in again.items()} == {side: sorted(x) for side, x in first.items()}
    assert wholes(other["test"]) != wholes(first["test"])


def test_adding_conversations_moves_none(run_split):
    before, after = run_split(talks(100)), run_split(talks(300))
    for side in before:
        assert set(before[side]) <= set(after[side])


def test_numbers_are_exact_and_fractions_fair(run_split):
    ids = run_split(talks(60), valid=7, test=1)
    assert {side: len(wholes(lines)) for side, lines in ids.items()} == {"train": 52, "valid": 7, "test": 1}
    places = [position(1, str(number)) for number in range(10_000)]
    # binomial, p = .05: standard deviation sqrt(10000 * .05 * .95) = 21.8
    assert abs(sum(place < 0.05 for place in places) - 500) < 5 * 21.8
    assert all(0 <= place < 1 for place in places)


def test_zero_writes_no_such_side_and_takes_no_leftovers(run_split, tmp_path):
    assert set(run_split(talks(30), test=0)) == {"train", "valid"}
    run_split(talks(30), out="full")
    with pytest.raises(InputError, match="test files of an earlier run; remedy"):
        run_split(talks(30), test=0, out="full")
    assert {path.name for path in (tmp_path / "full").iterdir()} == FILES


@pytest.mark.parametrize(
    ("conversations", "shares", "words"),
    [
        ([], (1, 1), "no conversations"),
        (talks(2), (1, 1), "2 conversations have a reply.* need 3 or more"),
        ([talk(str(number), turns=1) for number in range(9)], (1, 1), "0 conversations have a reply"),
        (talks(9), (5, 5), "need 11 or more"),
        (talks(50), (0.5, 0.5), "leave none to train on"),
        (talks(50), (0.9, 20), "leave none to train on"),
        (talks(5), (0.001, 1), r"valid gets none of 5 conversations with --valid 0.001; remedy: .*--valid 1"),
        ([Conversation("c", (Turn("A", "a\u2028b"), Turn("B", "c")))], (1, 1), "line break; remedy: .*clean"),
        ([Conversation("c", (Turn("A", "a <eot> b"), Turn("B", "c")))], (1, 1), "contains the symbol <eot>"),
        ([Conversation("c", (Turn("A", " "), Turn("B", "c")))], (1, 1), r"turns\[0\] is empty"),
    ],
)
def test_what_cannot_be_split_is_refused_before_anything_is_written(run_split, tmp_path, conversations, shares, words):
    with pytest.raises(InputError, match=words):
        run_split(conversations, *shares)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("failing", range(1, 60, 7))
def test_full_disk_leaves_the_old_files(run_split, tmp_path, monkeypatch, failing):
    run_split(talks(30))
    old = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    calls = iter(range(1, 10_000))

    def full(record, context_turns):
        if next(calls) == failing:
            raise OSError(errno.ENOSPC, "No space left on device")
        return pairs(record, context_turns)

    monkeypatch.setattr("preprocess.splitting.passes_over_file.pairs", full)
    with pytest.raises(OSError, match="No space left") as caught:
        run_split(talks(60))
    assert caught.value.filename == str(tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == old


@pytest.mark.parametrize(("text", "share"), [("0", 0), ("500", 500), ("0.05", 0.05), (".5", 0.5), ("1", 1)])
def test_share(text, share):
    assert (parse_share(text), type(parse_share(text))) == (share, type(share))


def test_command(tmp_path):
    write_conversations(tmp_path / "c", talks(40))
    arguments = [sys.executable, "-m", "preprocess.split", str(tmp_path / "c"), "--out", str(tmp_path / "out")]
    done = subprocess.run([*arguments, "--valid", "3", "--test", "2"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [row[:4:1] for row in rows[:3]] == [
        [side, str(count), "conversations", str(2 * count)]
        for side, count in (("train", 35), ("valid", 3), ("test", 2))
    ]
    for bad in ("1.0", "-1", "5%", "nan"):
        done = subprocess.run([*arguments, "--valid", bad], capture_output=True, text=True)
        assert done.returncode == 2
        assert "--valid" in done.stderr


def test_no_target_is_in_its_own_context():
    conversation = talk("c", turns=6)
    found = list(pairs(record_of(conversation), 3))
    assert all(pair.target not in pair.source for pair in found)
    assert all(before.target == after.source.split(" <eot> ")[-1] for before, after in pairwise(found))


def thread(name, *path, texts=None):
    """A branch: the ids of its turns are given, texts follow from them."""
    texts = texts or {}
    return Conversation(name, tuple(Turn(f"u{key[0]}", texts.get(key, f"says {key}"), id=key) for key in path))


def forest(count):
    """Roots r, each with replies r-a, r-b, ..., to r-a two more, as branches of one thread; also some turns without ids."""
    conversations = []
    for number in range(count):
        root, replies = f"r{number}", number % 6
        paths = [(root, f"{root}-a", f"{root}-a-{leaf}") for leaf in "xy"]
        paths += [(root, f"{root}-{letter}") for letter in "bcdef"[:replies]]
        conversations += [thread(root + (f"#branch{n}" if n > 1 else ""), *path) for n, path in enumerate(paths, 1)]
    return [*conversations, *talks(40)]


def read(folder):
    return {path.name: path.read_text().splitlines() for path in folder.iterdir()}


def cut(tmp_path, conversations, rule=None, out="out", **options):
    write_conversations(tmp_path / "c", conversations)
    report = split(tmp_path / "c", tmp_path / out, rule or SplitOptions(), Options(**options))
    return read(tmp_path / out), report


@pytest.mark.parametrize("context_turns", [1, 2])
def test_each_response_of_a_branching_thread_is_written_once(tmp_path, context_turns):
    conversations = forest(60)
    files, report = cut(tmp_path, conversations, SplitOptions(0.2, 0.2), context_turns=context_turns)
    every = [pair for c in conversations for pair in pairs(record_of(c), context_turns)]
    once = {pair.turns or pair.id: pair for pair in reversed(every)}.values()
    written = [
        line
        for side in ("train", "valid", "test")
        for line in zip(*(files[f"{side}.{field}"] for field in ("src", "tgt", "ids", "turns")), strict=True)
    ]
    assert sorted(written) == sorted((pair.source, pair.target, pair.id, pair.turns or "") for pair in once)
    assert report["repeated"] == len(every) - len(once) == 60
    assert sum(count["pairs"] for count in report["splits"].values()) == len(once)


def test_ids_that_are_counted_anew_in_every_conversation_make_no_branches(tmp_path):
    conversations = [Conversation(f"c{n}", tuple(Turn("AB"[i], "hi", id=str(i)) for i in range(2))) for n in range(50)]
    files, report = cut(tmp_path, conversations)
    assert "repeated" not in report
    assert sum(len(files[f"{side}.tgt"]) for side in ("train", "valid", "test")) == 50


def test_parts_of_a_part_go_where_the_root_goes():
    for name in ("a#part2", "a#part2#part3", "a#branch2", "a#branch2#part2"):
        assert position(1, name) == position(1, "a") != position(1, "b")


@pytest.mark.parametrize("least", [1, 3])
def test_references(tmp_path, least):
    conversations = [
        *forest(300),
        *(Conversation(f"d{n}", (Turn("A", "hi"), Turn("B", f"ho {n % 7}"))) for n in range(90)),
    ]
    random.Random(3).shuffle(conversations)
    plain, _ = cut(tmp_path, conversations, SplitOptions(0.1, 0.4), out="plain")
    files, report = cut(tmp_path, conversations, SplitOptions(0.1, 0.4), references=least)
    for name in ("train.src", "train.tgt", "valid.src", "valid.tgt", "train.ids"):
        assert files[name] == plain[name]
    # by hand: responses by context, the ids of the context and its text
    contexts = {}
    for source, target, turns in zip(plain["test.src"], plain["test.tgt"], plain["test.turns"], strict=True):
        contexts.setdefault((turns.partition("\t")[0], source), {})[target] = turns
    kept = {key: list(found) for key, found in contexts.items() if len(found) >= least}
    most = max(map(len, kept.values()))
    assert most == 7
    columns = [files[name] for name in ("test.tgt", *(f"test.ref{number}" for number in range(1, most)))]
    rows = [[text for text in row if text] for row in zip(*columns, strict=True)]
    assert list(zip(files["test.src"], rows, strict=True)) == [(key[1], found) for key, found in kept.items()]
    assert [row.count("\t") + 1 for row in files["test.ids"]] == list(map(len, rows))
    for row, ids in zip(files["test.turns"], files["test.ids"], strict=True):
        assert not row or row.count("\t") == ids.count("\t") + 1
    assert f"test.ref{most}" not in files
    assert report["references"]["contexts"] == report["splits"]["test"]["pairs"] == len(kept)
    assert report["references"]["responses"] == sum(map(len, rows))
    assert report["references"]["contexts_with_fewer"] == len(contexts) - len(kept)


def test_references_are_what_score_takes(tmp_path):
    from fairseq_latent.evaluation.metrics.score import read_systems

    files, _ = cut(tmp_path, forest(200), SplitOptions(0.1, 0.4), references=3)
    (tmp_path / "answers").write_text("".join(f"{line}\n" for line in files["test.tgt"]))
    names = ["test.tgt", *sorted(name for name in files if name.startswith("test.ref"))]
    (system,) = read_systems([f"a={tmp_path / 'answers'}"], [str(tmp_path / "out" / name) for name in names])
    assert {len(found) for found in system.references} == {3, 4, 5, 6}
    assert [found[0] for found in system.references] == files["test.tgt"]


def test_references_are_limited_and_may_be_too_few(tmp_path):
    conversations = [Conversation(f"c{n}", (Turn("A", "hi"), Turn("B", f"ho {n}"))) for n in range(100)]
    files, report = cut(tmp_path, conversations, SplitOptions(1, 50), references=3, max_references=5)
    assert {"test.ref4"} == {name for name in files if name > "test.ref3" and "ref" in name}
    assert (report["references"]["responses"], report["references"]["beyond_max"]) == (5, 45)
    with pytest.raises(InputError, match="no test context has 51 different responses, the most is 50; remedy"):
        cut(tmp_path, conversations, SplitOptions(1, 50), out="more", references=51)
    assert not (tmp_path / "more").exists()
    with pytest.raises(InputError, match=r"test files of an earlier run; remedy: delete them \(test.ref1\)"):
        cut(tmp_path, conversations, SplitOptions(1, 50))


RULES = [
    (SplitOptions(0.1, 0.3), {"context_turns": 2}),
    (SplitOptions(7, 30), {"context_turns": 1, "references": 2}),
    (SplitOptions(0.1, 0.1, disjoint_speakers=True), {"context_turns": 2}),
]


@pytest.mark.parametrize(("rule", "options"), RULES)
def test_workers_and_blocks_never_show(tmp_path, rule, options):
    conversations = [*forest(120), *(talk(f"alone{n}", turns=1) for n in range(9))]
    speakers = random.Random(1)
    conversations = [
        Conversation(c.id, tuple(Turn(f"u{speakers.randrange(3000)}", t.text, t.id) for t in c.turns))
        for c in conversations
    ]
    expected = None
    for workers, block_bytes in ((1, 1 << 20), (1, 700), (2, 700), (3, 3000)):
        out = f"{workers}-{block_bytes}"
        files, _ = cut(tmp_path, conversations, rule, out=out, workers=workers, block_bytes=block_bytes, **options)
        expected = expected or files
        assert files == expected


@pytest.mark.parametrize("workers", [1, 2])
def test_an_id_that_stands_twice_is_found(tmp_path, workers):
    lines = [json.dumps(record_of(talk(f"c{n}"))) for n in range(300)]
    lines[250] = lines[17]
    (tmp_path / "c").write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match="c:251: id 'c17' stands in line 18 too; remedy: make ids unique"):
        split(tmp_path / "c", tmp_path / "out", SplitOptions(), Options(workers=workers, block_bytes=2000))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_wrong_line_is_named(tmp_path, workers):
    lines = [json.dumps(record_of(talk(f"c{n}"))) for n in range(300)]
    for line, words in (
        ("{", "no JSON"),
        ("", "the line is empty"),
        ('{"id": 3, "turns": []}', "id must be a string"),
        ('{"id": "a", "turns": [{"speaker": "A", "text": "\\ud800"}]}', "surrogate"),
        ("[]", "not a JSON object"),
    ):
        (tmp_path / "c").write_text("\n".join([*lines[:200], line, *lines[200:]]) + "\n")
        with pytest.raises(InputError, match=f"c:201: .*{words}.*; remedy"):
            split(tmp_path / "c", tmp_path / "out", SplitOptions(), Options(workers=workers, block_bytes=2000))
    assert not (tmp_path / "out").exists()


def test_a_file_that_changes_meanwhile_is_refused(tmp_path, monkeypatch):
    write_conversations(tmp_path / "c", talks(60))

    def growing(record, context_turns):
        with (tmp_path / "c").open("a") as file:
            file.write("\n")
        return pairs(record, context_turns)

    monkeypatch.setattr("preprocess.splitting.passes_over_file.pairs", growing)
    with pytest.raises(InputError, match="c changed while it was read; remedy"):
        split(tmp_path / "c", tmp_path / "out", SplitOptions(), Options())
    assert not list((tmp_path / "out").iterdir())


def rebuilt(tmp_path, conversations, out="again", context_turns=None, ids="out"):
    write_conversations(tmp_path / "other", conversations)
    report = rebuild(tmp_path / "other", tmp_path / out, tmp_path / ids, context_turns, 2, 3000)
    return read(tmp_path / out), report


@pytest.mark.parametrize("options", [{}, {"references": 3}, {"context_turns": 3}])
def test_ids_of_turns_rebuild_a_split_of_an_archive_in_another_order(tmp_path, options):
    conversations = [c for c in forest(300) if c.turns[0].id]
    files, _ = cut(tmp_path, conversations, SplitOptions(0.1, 0.3), **options)
    for name in files:  # only ids may be passed on
        if not name.endswith(".turns"):
            (tmp_path / "out" / name).unlink()
    random.Random(1).shuffle(conversations)
    renamed = [Conversation(f"x{n}", c.turns) for n, c in enumerate(conversations)]
    again, report = rebuilt(tmp_path, renamed)
    for name in files:
        if name.startswith("train.") and not name.endswith(".ids"):
            assert sorted(again[name]) == sorted(files[name])
        elif not name.endswith((".ids", ".json")):
            assert again[name] == files[name]
    for side, count in report["splits"].items():
        assert (count["pairs"], count["missing"]) == (len(files[f"{side}.tgt"]), 0)


def test_ids_of_conversations_rebuild_a_split_without_ids_of_turns(tmp_path):
    conversations = talks(200)
    files, _ = cut(tmp_path, conversations, SplitOptions(0.1, 0.3), context_turns=2)
    again, report = rebuilt(tmp_path, conversations, context_turns=2)
    assert {**again, "split.json": 0} == {**files, "split.json": 0}
    assert report["ids"] == "ids"


def test_what_an_archive_lacks_is_counted(tmp_path):
    conversations = [c for c in forest(300) if c.turns[0].id]
    files, _ = cut(tmp_path, conversations, SplitOptions(0.1, 0.3), references=3)
    gone = [c for c in conversations if c.turns[-1].id[-1] not in "bx"]
    again, report = rebuilt(tmp_path, gone)
    wanted = {key for line in files["test.turns"] for key in line.split("\t")[1:]}
    there = {turn.id for c in gone for turn in c.turns}
    count = report["splits"]["test"]
    assert (count["found"], count["missing"]) == (len(wanted & there), len(wanted - there))
    # the first response that is there is the target, the others follow without a gap
    expected = [[key for key in line.split("\t")[1:] if key in there] for line in files["test.turns"]]
    assert again["test.tgt"] == [f"says {keys[0]}" for keys in expected if keys]
    assert again["test.ref1"] == [f"says {keys[1]}" if len(keys) > 1 else "" for keys in expected if keys]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "no train.valid.test.turns or .ids there"),
        ({"test.turns": ""}, "are empty"),
        ({"test.turns": "r1 r1-a\n"}, "test.turns:1: not `ids of the context"),
        ({"test.turns": "r1\tr1-a\n", "train.turns": "r0\tr0-a\nr1\tr1-a\n"}, "test.turns:1: .*train.turns:2 too"),
        ({"test.turns": "r1\tr1-a\tr1-a\n"}, "test.turns:1: this pair stands in .*test.turns:1 too"),
        ({"test.turns": "no\tbody\n"}, "has none of the 1 pairs"),
    ],
)
def test_ids_that_cannot_be_used_are_refused(tmp_path, files, words):
    (tmp_path / "out").mkdir()
    for name, text in files.items():
        (tmp_path / "out" / name).write_text(text)
    with pytest.raises(InputError, match=f"{words}.*; remedy"):
        rebuilt(tmp_path, forest(9))
    assert not (tmp_path / "again").exists() or not list((tmp_path / "again").iterdir())


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--ids", "out", "--seed", "0"], "--seed with --ids"),
        (["--ids", "out", "--from", "2019-01-01"], "--from with --ids"),
        (["--ids", "out", "--test", "0"], "--test with --ids"),
        (["--ids", "out", "--context-turns", "2"], "contexts in .* have up to 1 turns"),
        (["--ids", "out", "--out", "out"], "would overwrite --ids"),
        (["--as", "valid", "--test", "0"], "--test with --as valid, which decides everything"),
        (["--as", "valid", "--ids", "out"], "--as with --ids"),
        (["--test", "0", "--references", "3"], "--test 0 has none"),
        (["--max-references", "3"], "--max-references without --references"),
        (["--test-from", "2019-01-01", "--until", "2018-01-01"], "not in this order"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(tmp_path, monkeypatch, flags, words):
    monkeypatch.chdir(tmp_path)
    cut(tmp_path, forest(60), SplitOptions(0.2, 0.2))
    with pytest.raises(InputError, match=f"{words}.*; remedy"):
        command.main(["c", "--out", "new", *flags])
    assert not (tmp_path / "new").exists()


def test_commands_of_references_and_ids(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_conversations("c", forest(200))
    command.main(["c", "--out", "out", "--test", "0.4", "--references", "3", "--workers", "2"])
    printed = capsys.readouterr().out
    assert "pairs of branches stood in an earlier branch" in printed
    assert "test contexts have 3 responses or more" in printed
    command.main(["c", "--out", "again", "--ids", "out"])
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [(row[0], row[2:4], row[5]) for row in rows] == [
        (side, ["pairs", "found"], "missing") for side in ("train", "valid", "test")
    ]
    assert rows[2][4] == "0"


def test_a_file_that_is_a_side_of_its_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_conversations("c", forest(60))
    command.main(["c", "--out", "whole", "--valid", "0", "--test", "0"])
    train = capsys.readouterr().out
    command.main(["c", "--out", "out", "--as", "test"])
    assert capsys.readouterr().out == train.replace("train ", "test  ").replace("whole", "out")
    out, whole = tmp_path / "out", tmp_path / "whole"
    written = {path.name for path in out.iterdir()}
    assert written == {"test.src", "test.tgt", "test.ids", "test.turns", "split.json"}
    for name in written - {"split.json"}:
        assert (out / name).read_bytes() == (whole / name.replace("test", "train")).read_bytes()
    assert json.loads((out / "split.json").read_text())["whole"] == "test"
