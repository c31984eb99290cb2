"""Reading egoclip.csv: values, malformed rows, errors."""

import pickle

import numpy as np
import pytest

from svitt_ego.data.metadata import LARGEST_TAG_ID, ClipTable, MetadataError
from tests.data.ego_files import HEADER, write_egoclip


def table_of(tmp_path, lines, header=HEADER):
    path = tmp_path / "egoclip.csv"
    path.write_bytes(b"\n".join(["\t".join(header).encode(), *lines]) + b"\n")
    return ClipTable.open(path)


def line(**cells):
    defaults = {
        "clip_idx": 0, "video_uid": "v", "video_dur": 60, "narration_source": "p",
        "narration_ind": 0, "narration_time": 3.5, "clip_start": 3, "clip_end": 4.25,
        "clip_text": "#C C picks a bag", "tag_verb": "[93]", "tag_noun": "[192, 115, 12]",
    }  # fmt: skip
    return "\t".join(str((defaults | cells)[column]) for column in HEADER).encode()


def test_rows_are_what_was_written(tmp_path):
    rng = np.random.default_rng(7)
    written = []
    for index in range(200):
        start = float(rng.uniform(0, 500))
        written.append(
            {
                "video_uid": f"video-{rng.integers(5)}",
                "narration_time": float(rng.uniform(0, 500)),
                "clip_start": start,
                "clip_end": start + float(rng.uniform(0.1, 3)),
                "clip_text": f"#C C schält Möhre {index} \u2702",
                "tag_verb": rng.integers(0, 118, rng.integers(0, 3)).tolist(),
                "tag_noun": rng.integers(0, 582, rng.integers(0, 4)).tolist(),
            }
        )
    table = ClipTable.open(write_egoclip(tmp_path / "egoclip.csv", written))

    assert len(table) == 200 and not table.malformed
    for row, expected in enumerate(written):
        clip = table[row]
        assert clip.video_uid == expected["video_uid"]
        assert clip.narration_time_s == expected["narration_time"]
        assert (clip.start_s, clip.end_s) == (expected["clip_start"], expected["clip_end"])
        assert clip.text == expected["clip_text"]
        assert list(clip.verbs) == expected["tag_verb"]
        assert list(clip.nouns) == expected["tag_noun"]
    assert table.verb_classes == 1 + max(max(row["tag_verb"], default=0) for row in written)
    assert table.noun_classes == 1 + max(max(row["tag_noun"], default=0) for row in written)


def test_slightly_negative_start_becomes_zero(tmp_path):
    table = table_of(tmp_path, [line(clip_start=-0.31)])
    assert table[0].start_s == 0.0


def test_columns_may_come_in_any_order_with_windows_line_ends_and_a_byte_order_mark(tmp_path):
    header = list(reversed(HEADER))
    cells = dict(zip(HEADER, line().decode().split("\t"), strict=True))
    content = "\r\n".join(["\t".join(header), "\t".join(cells[column] for column in header), ""])
    path = tmp_path / "egoclip.csv"
    path.write_text(content, encoding="utf-8-sig", newline="")
    table = ClipTable.open(path)
    assert table[0].text == "#C C picks a bag" and table[0].verbs == (93,)


def test_quoted_cells_lose_their_quotes_and_a_stray_quote_stays_in_its_row(tmp_path):
    table = table_of(
        tmp_path, [line(clip_text='"#C C says ""hi"""'), line(clip_text='"stray'), line()]
    )
    assert [table[row].text for row in range(3)] == ['#C C says "hi"', '"stray', "#C C picks a bag"]


MALFORMED = {
    "columns": (line() + b"\textra", "12 columns instead of 11"),
    "start": (line(clip_start="soon"), "clip_start 'soon' is not a number"),
    "end": (line(clip_end="nan"), "clip_end 'nan' is not a time in a video"),
    "narration": (line(narration_time=""), "narration_time '' is not a number"),
    "order": (line(clip_start=5, clip_end=5), "clip_end 5.0 is not after clip_start 5.0"),
    "ends before zero": (line(clip_start=-3, clip_end=-1), "clip_end -1.0 is not after"),
    "code in a tag": (line(tag_verb="__import__('os').getcwd()"), "tag_verb"),
    "open tag": (line(tag_noun="[1, 2"), "tag_noun '[1, 2' is not a list of class ids"),
    "negative tag": (line(tag_noun="[-1]"), "tag_noun '[-1]' is not a list of class ids"),
    "huge tag": (line(tag_noun=f"[{LARGEST_TAG_ID + 1}]"), f"above {LARGEST_TAG_ID}"),
    "bytes": (line().replace(b"picks", b"\xff\xfe"), "not UTF-8"),
    "path": (line(video_uid="../../etc"), "is not a name"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_row_is_left_out_with_line_and_reason(tmp_path, name):
    bad, reason = MALFORMED[name]
    table = table_of(tmp_path, [line(), b"", bad, line(clip_text="last")])
    assert [table[row].text for row in range(len(table))] == ["#C C picks a bag", "last"]
    (row,) = table.malformed
    assert row.line == 4 and reason in row.reason


def test_strict_stops_at_the_first_malformed_row(tmp_path):
    path = tmp_path / "egoclip.csv"
    path.write_bytes(b"\n".join(["\t".join(HEADER).encode(), line(), line(clip_end="x"), b"y"]))
    with pytest.raises(MetadataError, match=r"egoclip\.csv, line 3: clip_end 'x'"):
        ClipTable.open(path, strict=True)


def test_missing_columns_are_named(tmp_path):
    header = ["idx", *HEADER[:-2]]
    with pytest.raises(MetadataError, match=r"egoclip\.csv: the header lacks tag_verb, tag_noun"):
        table_of(tmp_path, [], header)


def test_no_file_and_no_usable_row_are_errors(tmp_path):
    with pytest.raises(MetadataError, match=r"data\.metadata = .*nowhere\.csv.*No such file"):
        ClipTable.open(tmp_path / "nowhere.csv")
    with pytest.raises(MetadataError, match=r"no usable row \(1 malformed, line 2: 1 columns"):
        table_of(tmp_path, [b"junk"])
    with pytest.raises(MetadataError, match=r"no usable row \(0 malformed\)"):
        table_of(tmp_path, [])


def test_a_table_survives_pickling(tmp_path):
    table = table_of(tmp_path, [line(), line(tag_verb="[]")])
    again = pickle.loads(pickle.dumps(table))
    assert [again[row] for row in range(2)] == [table[row] for row in range(2)]
