"""Small files in the real formats: mp4s whose frames carry their number, egoclip.csv, tokenizer."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

SIDE = 64
BITS = 16
HEADER = [
    *("clip_idx", "video_uid", "video_dur", "narration_source", "narration_ind"),
    *("narration_time", "clip_start", "clip_end", "clip_text", "tag_verb", "tag_noun"),
]


def write_video(
    path: Path,
    frames: int,
    fps: int = 10,
    first_number: int = 0,
    key_frame_every: int = 12,
    *,
    shown_at: Sequence[int] | None = None,
    movflags: str = "",
    **encoder_options: str,
) -> Path:
    """An H.264 file of 64 x 64 frames; a 4 x 4 grid of black and white shows the number's bits.

    Args:
        shown_at: presentation time of each frame, 1 / (10 fps) s; None: a constant rate.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={"movflags": movflags} if movflags else {}) as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "18", "g": str(key_frame_every), "preset": "veryfast"}
        stream.options |= encoder_options
        stream.codec_context.time_base = Fraction(1, 10 * fps)
        for number in range(first_number, first_number + frames):
            bits = (number >> np.arange(BITS)) & 1
            grid = np.kron(bits.reshape(4, 4), np.full((SIDE // 4, SIDE // 4), 255))
            picture = np.repeat(grid[..., None], 3, axis=2).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            place = number - first_number
            frame.pts = shown_at[place] if shown_at else 10 * place
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_audio(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16_000)
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 16_000), np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate = 16_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def frame_numbers(clip) -> list[int]:
    """The numbers that the frames of a (T, 3, H, W) clip carry, at any size."""
    clip = np.asarray(clip).astype(float).mean(axis=1)
    side = clip.shape[1] // 4
    blocks = clip.reshape(len(clip), 4, side, 4, side)[:, :, side // 4 : -(side // 4)]
    bits = blocks.mean(axis=(2, 4)).reshape(len(clip), BITS) > 127
    return (bits * (1 << np.arange(BITS))).sum(axis=1).tolist()


def write_egoclip(path: Path, rows: list[dict]) -> Path:
    """Rows need video_uid, clip_start, clip_end; the other columns have defaults."""
    lines = ["\t".join(HEADER)]
    for index, row in enumerate(rows):
        defaults = {
            "clip_idx": index,
            "video_dur": 100.0,
            "narration_source": "narration_pass_1",
            "narration_ind": index,
            "narration_time": row.get("narration_time")
            or (row["clip_start"] + row["clip_end"]) / 2,
            "clip_text": f"#C C does thing {index}",
            "tag_verb": [index],
            "tag_noun": [index],
        }
        cells = defaults | row
        lines.append("\t".join(str(cells[column]) for column in HEADER))
    path.write_text("\n".join(lines) + "\n")
    return path


def save_tokenizer(folder: Path) -> Path:
    """A WordPiece tokenizer of a few words, letters and digits, with BERT's special tokens."""
    characters = "abcdefghijklmnopqrstuvwxyz0123456789#"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "does", "thing", "picks", "cuts"]
    words += [*characters, *(f"##{c}" for c in characters)]
    vocabulary = {word: index for index, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    ).save_pretrained(folder)
    return folder
