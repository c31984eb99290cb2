"""Conversion: both parsers agree, done once, used again while it fits, safe against damage."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from svitt_ego.data.metadata import ClipTable, MetadataError
from svitt_ego.data.metadata import blocks as blocks_module
from svitt_ego.data.metadata import convert as convert_module
from svitt_ego.data.metadata import table as table_module
from svitt_ego.data.metadata.blocks import BlockParser
from svitt_ego.data.metadata.lines import parse_header
from tests.data.ego_files import write_egoclip


def random_rows(rng, count):
    rows = []
    for index in range(count):
        start = float(rng.uniform(-1, 500))
        rows.append(
            {
                "video_uid": f"video-{rng.integers(9)}",
                "narration_time": float(rng.uniform(0, 500)),
                "clip_start": start,
                "clip_end": max(start, 0.0) + float(rng.uniform(0.1, 3)),
                "clip_text": f"#C C schält Möhre {index}",
                "tag_verb": rng.integers(0, 118, rng.integers(0, 3)).tolist(),
                "tag_noun": rng.integers(0, 582, rng.integers(0, 4)).tolist(),
            }
        )
    return rows


def spoil(rng, lines):
    """Things that real files have, and some they should not, in random places."""
    breaks = [
        lambda line: line.replace("\t", " ", 1),
        lambda line: line + "\tmore",
        lambda line: line.replace("[", "(", 1),
        lambda line: line.replace("#C C", '"#C C'),
        lambda line: line.replace("video-", "a/b", 1),
        lambda line: "\t".join([*line.split("\t")[:6], "nan", *line.split("\t")[7:]]),
        lambda line: "\t".join([*line.split("\t")[:7], "0", *line.split("\t")[8:]]),
        lambda line: "\t".join([*line.split("\t")[:7], "1e12", *line.split("\t")[8:]]),
        lambda line: line + "\r",
        lambda line: line + "\n",
        lambda line: "",
    ]
    for place in rng.choice(len(lines), len(lines) // 10, replace=False):
        lines[place] = breaks[rng.integers(len(breaks))](lines[place])
    return lines


@pytest.mark.parametrize("seed", range(6))
def test_arrow_and_lines_give_the_same_rows(tmp_path, monkeypatch, seed):
    rng = np.random.default_rng(seed)
    header, *lines = (
        write_egoclip(tmp_path / "a.csv", random_rows(rng, 400)).read_text().split("\n")
    )
    lines = spoil(rng, lines)
    block = "\n".join(lines).encode()
    parsers = [BlockParser(parse_header(Path("a.csv"), header.encode())) for _ in range(2)]
    monkeypatch.setattr(blocks_module, "_NEED_LINES", (b'"', b"\r", b"\n\n"))
    pieces, line = [], 2
    for part in np.array_split(np.array(block.split(b"\n"), dtype=object), 25):
        piece = b"\n".join(part) + b"\n"
        pieces.append(parsers[0].parse(piece, line))
        line += piece.count(b"\n")
    expected = parsers[1]._parse_lines(block, 2)
    found = sum((piece.to_pylist() for piece in pieces), [])
    assert found == expected.to_pylist() and len(found) > 300
    assert parsers[0].malformed == parsers[1].malformed and parsers[1].malformed
    assert parsers[0].uids == parsers[1].uids


def test_most_of_a_file_is_parsed_at_once(tmp_path, monkeypatch):
    """Else conversion would take minutes: a block falls back for its own malformed row alone."""
    rows = random_rows(np.random.default_rng(0), 3000)
    rows[1500]["clip_end"] = "soon"
    path = write_egoclip(tmp_path / "a.csv", rows)
    slow_lines = []
    real = BlockParser._parse_lines
    monkeypatch.setattr(convert_module, "_BLOCK_BYTES", 4096)
    monkeypatch.setattr(
        BlockParser,
        "_parse_lines",
        lambda self, block, line: slow_lines.append(block.count(b"\n")) or real(self, block, line),
    )
    table = ClipTable.open(path)
    assert len(table) == 2999 and 0 < sum(slow_lines) < 100
    assert [(row.line, row.reason) for row in table.malformed] == [
        (1502, "clip_end 'soon' is not a number")
    ]
    assert table.manifest.malformed_reasons == {"clip_end … is not a number": 1}


def count_conversions(monkeypatch):
    calls = []
    real = table_module.convert
    monkeypatch.setattr(table_module, "convert", lambda *a: calls.append(a) or real(*a))
    return calls


def test_converted_once_and_again_when_the_file_changes(tmp_path, monkeypatch):
    calls = count_conversions(monkeypatch)
    rows = random_rows(np.random.default_rng(0), 20)
    path = write_egoclip(tmp_path / "a.csv", rows)
    first = ClipTable.open(path)
    text = first[3].text
    assert ClipTable.open(path)[3] == first[3] and len(calls) == 1

    os.utime(path, ns=(1, 1))  # another time, the same content
    assert len(ClipTable.open(path)) == 20 and len(calls) == 1
    rows[3]["clip_text"] = text.upper()  # the same size
    write_egoclip(path, rows)
    os.utime(path, ns=(2, 2))
    again = ClipTable.open(path)
    assert len(calls) == 2 and again[3].text == text.upper()
    assert first[3].text == text  # who has the old columns keeps them


@pytest.mark.parametrize("harm", ["truncated", "missing", "manifest", "version"])
def test_a_folder_that_is_not_whole_is_made_anew(tmp_path, monkeypatch, harm):
    path = write_egoclip(tmp_path / "a.csv", random_rows(np.random.default_rng(0), 20))
    folder = ClipTable.open(path).folder
    expected = ClipTable.open(path)[7]
    clips, manifest = folder / "clips.arrow", folder / "manifest.json"
    if harm == "truncated":
        clips.write_bytes(clips.read_bytes()[:-100])
    elif harm == "missing":
        (folder / "verbs.values.npy").unlink()
    elif harm == "manifest":
        manifest.write_text("{")
    else:
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"format_version": 0}))
    calls = count_conversions(monkeypatch)
    assert ClipTable.open(path)[7] == expected and len(calls) == 1
    assert not ClipTable.open(path).manifest.damaged(folder)


def test_checksums_tell_a_flipped_bit(tmp_path):
    path = write_egoclip(tmp_path / "a.csv", random_rows(np.random.default_rng(0), 20))
    table = ClipTable.open(path)
    clips = table.folder / "clips.arrow"
    content = bytearray(clips.read_bytes())
    content[len(content) // 2] ^= 1
    clips.write_bytes(content)
    assert table.manifest.damaged(table.folder) == ["clips.arrow"]
    ended = subprocess.run(
        [sys.executable, "launch/prepare_metadata.py", str(path), "--verify"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert ended.returncode == 2 and "clips.arrow changed on disk" in ended.stderr


@pytest.mark.parametrize("is_touched", [False, True])
def test_processes_at_the_same_time_convert_once(tmp_path, is_touched):
    """A file of another time and the same content is not converted again, and the processes do not
    disturb each other when they note that."""
    path = write_egoclip(tmp_path / "a.csv", random_rows(np.random.default_rng(0), 2000))
    if is_touched:
        ClipTable.open(path)
        os.utime(path, ns=(1, 1))
    code = (
        "import sys; from svitt_ego.data.metadata import ClipTable, table;"
        "real = table.convert;"
        "table.convert = lambda *a: print('converts') or real(*a);"
        "print(len(ClipTable.open(sys.argv[1])))"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = [process.communicate(timeout=60)[0].split() for process in started]
    assert [words[-1] for words in said] == ["2000"] * 3
    assert sum("converts" in words for words in said) == (0 if is_touched else 1)
    assert ClipTable.open(path).manifest.source_mtime_ns == path.stat().st_mtime_ns


def test_converting_anew_keeps_the_old_folder_until_the_new_one_is_whole(tmp_path, monkeypatch):
    calls = count_conversions(monkeypatch)
    path = write_egoclip(tmp_path / "a.csv", random_rows(np.random.default_rng(0), 20))
    old = ClipTable.open(path)
    assert ClipTable.open(path, anew=True)[3] == old[3] and len(calls) == 2

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(convert_module, "_write", full)
    with pytest.raises(MetadataError, match="No space left"):
        ClipTable.open(path, anew=True)
    assert ClipTable.open(path)[3] == old[3]


def test_what_a_killed_conversion_left_is_no_hindrance(tmp_path):
    path = write_egoclip(tmp_path / "a.csv", random_rows(np.random.default_rng(0), 20))
    (tmp_path / "a.csv.prepared.partial").mkdir()
    (tmp_path / "a.csv.prepared.partial" / "clips.arrow").write_bytes(b"half")
    assert len(ClipTable.open(path)) == 20
    assert {p.name for p in tmp_path.iterdir()} == {
        "a.csv", "a.csv.prepared", "a.csv.prepared.lock",
    }  # fmt: skip


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    path = write_egoclip(tmp_path / "a.csv", random_rows(np.random.default_rng(0), 20))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(convert_module.Manifest, "write", full)
    with pytest.raises(MetadataError, match=r"a\.csv\.prepared.*No space left.*make room") as error:
        ClipTable.open(path)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "a.csv.prepared").exists()


def test_a_folder_without_write_permission_is_one_line(tmp_path, monkeypatch):
    path = write_egoclip(tmp_path / "a.csv", random_rows(np.random.default_rng(0), 20))
    monkeypatch.setattr(table_module.os, "access", lambda *_: False)  # root may always write
    with pytest.raises(MetadataError, match=r"cannot be written.*make its folder writable"):
        ClipTable.open(path)


def test_columns_of_another_time_are_used_where_nothing_can_be_written(tmp_path, monkeypatch):
    path = write_egoclip(tmp_path / "a.csv", random_rows(np.random.default_rng(0), 20))
    expected = ClipTable.open(path)[3]
    os.utime(path, ns=(1, 1))  # as after a copy
    monkeypatch.setattr(table_module.os, "access", lambda *_: False)
    assert ClipTable.open(path)[3] == expected


def test_a_lock_of_somebody_else_is_one_line(tmp_path):
    path = write_egoclip(tmp_path / "a.csv", random_rows(np.random.default_rng(0), 20))
    (tmp_path / "a.csv.prepared.lock").symlink_to(tmp_path / "nowhere" / "lock")
    with pytest.raises(MetadataError, match=r"a\.csv\.prepared: .*cannot be written"):
        ClipTable.open(path)


def test_indices_hold_exactly_the_rows_of_each_tag_and_scene(tmp_path):
    rng = np.random.default_rng(4)
    table = ClipTable.open(write_egoclip(tmp_path / "a.csv", random_rows(rng, 300)))
    for index, of_row, classes in (
        (table.rows_of_verb, table.verbs, table.verb_classes),
        (table.rows_of_noun, table.nouns, table.noun_classes),
    ):
        assert len(index) == classes
        for tag in range(classes):
            expected = [row for row in range(300) if tag in of_row[row].tolist()]
            assert index[tag].tolist() == expected
    scenes = table.scenes
    assert sorted(scenes.segments.values.tolist()) == list(range(300))
    assert (scenes.segments.values[scenes.place] == np.arange(300)).all()
    seen = set()
    for segment in range(len(scenes.segments)):
        rows = scenes.segments[segment]
        keys = {(int(table.video[r]), table.narration_time_s[r] // 60) for r in rows}
        assert len(keys) == 1 and not keys & seen
        seen |= keys
        assert (np.diff(table.narration_time_s[rows]) >= 0).all()


def test_the_command_reports_what_was_malformed(tmp_path):
    rows = random_rows(np.random.default_rng(0), 20)
    rows[5]["clip_end"], rows[6]["clip_end"] = "soon", "later"
    path = write_egoclip(tmp_path / "a.csv", rows)
    command = [sys.executable, "launch/prepare_metadata.py", str(path)]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "18 clips of" in ended.stdout and "2 malformed rows left out" in ended.stdout
    assert "2  clip_end … is not a number" in ended.stdout
    listed = (tmp_path / "a.csv.prepared" / "malformed.tsv").read_text().splitlines()
    assert listed[1:] == [
        "7\tclip_end 'soon' is not a number", "8\tclip_end 'later' is not a number"
    ]  # fmt: skip
    strict = subprocess.run([*command, "--strict"], capture_output=True, text=True)
    assert strict.returncode == 2 and "a.csv, line 7: clip_end 'soon'" in strict.stderr
    missing = subprocess.run([*command[:-1], "nowhere.csv"], capture_output=True, text=True)
    assert missing.returncode == 2 and missing.stderr.count("\n") == 1


def test_columns_are_mapped_and_not_copied(tmp_path):
    table = ClipTable.open(
        write_egoclip(tmp_path / "a.csv", random_rows(np.random.default_rng(0), 20))
    )
    columns = (table.video, table.start_s, table.verbs.values, table.texts.values)
    for column in (*columns, table.scenes.place, table.rows_of_noun.values):
        assert not column.flags.owndata and not column.flags.writeable
