"""Queries with the features of their clips and texts."""

from torch.utils.data import Dataset

from svitt_ego.config.grounding import GroundingRecipe
from svitt_ego.grounding.batch import Sample
from svitt_ego.grounding.features import ClipFeatures, TextFeatures, query_file
from svitt_ego.grounding.queries import Queries, QueriesError, read_queries
from svitt_ego.grounding.time_grid import TimeGrid


class GroundingDataset(Dataset[Sample]):
    """One sample for each usable query. What can be wrong with the files' tables is looked at at
    construction, so that training does not find it in its fifth hour."""

    def __init__(
        self,
        queries: Queries,
        clips: ClipFeatures,
        texts: TextFeatures,
        training: bool = False,
        max_windows: int | None = None,
    ) -> None:
        """
        Args:
            training: every query needs a window.
            max_windows: of the longest clip to train on.

        Raises:
            FeaturesError: a clip or query has no features.
            QueriesError: a window begins past the end of its clip's features, is missing in
                training, or a clip is too long to train on.
        """
        self.queries, self.clips, self.texts = queries, clips, texts
        for query in queries.usable:
            where = f"{queries.path}, query {query.id}"
            entry = clips.entry(query.clip_uid)
            texts.check(query.id)
            if query.window_s is None:
                if training:
                    raise QueriesError(f"{where}: has no window: it cannot be trained on")
            elif query.window_s[0] >= entry.duration_s:
                raise QueriesError(
                    f"{where}: its window begins at {query.window_s[0]:g} s, but the features of "
                    f"clip {query.clip_uid} end at {entry.duration_s:g} s"
                )
            if training and max_windows is not None and entry.windows > max_windows:
                raise QueriesError(
                    f"{where}: clip {query.clip_uid} has {entry.windows} windows, more than "
                    f"model.max_windows = {max_windows}: set model.max_windows={entry.windows}"
                )

    def __len__(self) -> int:
        return len(self.queries.usable)

    def __getitem__(self, index: int) -> Sample:
        query = self.queries.usable[index]
        return Sample(
            id=query.id,
            video=self.clips.read(query.clip_uid),
            text=self.texts.read(query.id),
            duration_s=self.clips.entry(query.clip_uid).duration_s,
            window_s=query.window_s,
            row=index,
        )


def open_dataset(recipe: GroundingRecipe, path: str, training: bool) -> GroundingDataset:
    """The queries of a file with the recipe's features, checked against its grid and widths.

    Args:
        training: every query needs a window; otherwise the recipe is that of a trained model.

    Raises:
        FeaturesError, QueriesError: see `GroundingDataset`.
    """
    queries = read_queries(path)
    grid = TimeGrid(**recipe.data.grid.model_dump())
    clips = ClipFeatures.open(recipe.data.features)
    clips.check(grid, recipe.model.video_width, training)
    of_texts = recipe.data.text_features or query_file(recipe.data.features, path)
    texts = TextFeatures(of_texts, recipe.model.text_width)
    texts.check_made_like(clips)
    return GroundingDataset(queries, clips, texts, training, recipe.model.max_windows)
