"""Everything there is to see of a trained model, in one folder with a page."""

from html import escape
from pathlib import Path

from svitt_ego.data.paths import check_video_root
from svitt_ego.durable_files import write_atomically
from svitt_ego.evaluation.chosen_clip import chosen_clip
from svitt_ego.evaluation.contact_sheet import search_and_draw
from svitt_ego.evaluation.evaluated_run import EvaluatedRun
from svitt_ego.evaluation.features import extract_features
from svitt_ego.evaluation.ranks import one_rank
from svitt_ego.evaluation.token_picture import save_token_pictures
from svitt_ego.evaluation.token_trace import trace_tokens
from svitt_ego.evaluation.whole_videos import whole_videos
from svitt_ego.evaluation.windows import Windowing

SEARCH_WINDOWS = Windowing(window_frames=60, stride_frames=30, fps=30.0)
MOMENTS = 6

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>svitt-ego: gallery</title>
<style>body {{ max-width: 60rem; margin: 2rem auto; padding: 0 1rem; font-family: sans-serif }}
img {{ max-width: 100% }}</style>
<h1>{title}</h1>
{figures}
</html>
"""


def make_gallery(run: EvaluatedRun, row: int, query: str | None, folder: Path) -> Path:
    """Kept tokens of a row of the metadata, an index of all its videos and a search in it; returns
    the page.

    Args:
        query: what to search; None: the row's narration.

    Raises:
        ConfigError: no such row, or nothing can be read.
    """
    check_video_root(run.recipe.data.videos)
    video, text = chosen_clip(run.recipe, row, clip=None, text=None)
    trace = trace_tokens(run.model, run.tokenizer, run.recipe.data.max_text_tokens, video, text)
    pictures = save_token_pictures(run.model, trace, folder)

    index = folder / "search"
    clips, unreadable = whole_videos(run.recipe.data.videos)
    done = extract_features(clips, SEARCH_WINDOWS, run, index, one_rank(), unreadable)
    assert done is not None
    print(done.summary())
    pictures.append(folder / "search.png")
    print(search_and_draw(query or text, index, run, MOMENTS, pictures[-1]))
    captions = {
        "tokens.png": "What is left of a clip after each token drop, and what [CLS] and the text "
        "attend to",
        "tokens.gif": "The same, played; tokens.mp4 too",
        "patterns.png": "Which blocks of patches see each other, layer by layer",
        "search.png": f"Moments most like “{query or text}”",
    }
    figures = "\n".join(
        f'<figure><img src="{picture.name}" alt="{escape(captions[picture.name])}">'
        f"<figcaption>{escape(captions[picture.name])}</figcaption></figure>"
        for picture in pictures
        if picture.name in captions
    )
    page = folder / "index.html"
    write_atomically(page, _PAGE.format(title=escape(run.recipe.name), figures=figures))
    return page
