"""The recipe of a grounding run: features of a clip and a query in, windows of time out.

Numbers are GroundNLQ's (Hou et al., 2023) with the SViTT-Ego paper's width, window and stride.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, Strict, model_validator

from svitt_ego.config.base import (
    BaseData,
    BaseRecipe,
    BaseTraining,
    Optimisation,
    PositiveInt,
    Probability,
    Section,
    Weight,
    complain,
    divisors,
)

Range = Annotated[tuple[float, float], Strict(False)]

REGRESSION_RANGES = ((0, 4), (2, 8), (4, 16), (8, 32), (16, 64), (32, 128), (64, 1e9))


class Pyramid(Section):
    """GroundNLQ: every point of a pyramid of time proposes a window."""

    projection_layers: PositiveInt = 2
    """Convolutions from the features' width to the model's."""
    stem_layers: PositiveInt = 4
    """Local self-attention and cross-attention to the text at full resolution."""
    text_layers: PositiveInt = 4
    window: PositiveInt = 9
    """Positions that one attends to, itself in the middle; odd."""
    query_product: bool = False
    """Give the video branch, beside the features of a window, their products with the query's first
    token, [CLS]. For features in which clips and texts lie in one space: there the products say
    what matches, which attention would first have to learn. Not in the report."""
    cross_attention: bool = False
    """In the levels above the stem too: the report's starred variant."""
    regression_ranges: Annotated[tuple[Range, ...], Strict(False)] = REGRESSION_RANGES
    """One a level, in steps of the features: a point answers for a window whose farther end is
    that far away, the last level's, by default, for all that are longer. Level l has stride 2^l."""
    head_layers: PositiveInt = 3
    layer_scale: Annotated[float, Field(gt=0)] = 1e-4
    """Initial factor of a residual branch."""
    centre_radius: Annotated[float, Field(gt=0)] = 1.5
    """Only points so near to a window's centre answer for it, in strides of their level."""
    label_smoothing: Probability = 0.1
    initial_positives: Annotated[float, Field(gt=0)] = 200.0
    """Where the running count of positive points, which the losses are divided by, starts."""

    @model_validator(mode="after")
    def _check(self) -> "Pyramid":
        if self.window % 2 == 0:
            raise complain("window", self.window, "must be odd")
        if not self.regression_ranges:
            raise complain("regression_ranges", self.regression_ranges, "must have one a level")
        for low, high in self.regression_ranges:
            if not 0 <= low < high:
                allowed = "each must be [smallest, largest]"
                raise complain("regression_ranges", self.regression_ranges, allowed)
        return self


class Span(Section):
    """VSLNet (Zhang et al., ACL 2020): start and end as classes over positions of the clip."""

    positions: PositiveInt = 128
    """A longer clip is averaged down to so many."""
    kernel: PositiveInt = 7
    """Of the encoder's separable convolutions; odd."""
    convolutions: PositiveInt = 4
    highlight_weight: Weight = 5.0
    highlight_margin: Annotated[float, Field(ge=0)] = 0.1
    """The highlighted region is the window and so much of its length on both sides."""
    dropout: Probability = 0.2

    @model_validator(mode="after")
    def _check(self) -> "Span":
        if self.kernel % 2 == 0:
            raise complain("kernel", self.kernel, "must be odd")
        return self


class GroundingModel(Section):
    architecture: Literal["ground_nlq", "vslnet"] = "ground_nlq"
    video_width: PositiveInt = 256
    """Of the clip's features."""
    text_width: PositiveInt = 256
    """Of a query's token features."""
    width: PositiveInt = 128
    heads: PositiveInt = 4
    max_windows: PositiveInt = 4096
    """The longest clip to train on, in steps of the features. At inference a longer one has its
    positions compressed."""
    drop_path: Probability = 0.1
    pyramid: Pyramid = Pyramid()
    """Of ground_nlq."""
    span: Span = Span()
    """Of vslnet."""
    pretrained: str | None = None
    """Run directory of a training on other queries, such as narrations, to start from."""

    @model_validator(mode="after")
    def _check(self) -> "GroundingModel":
        if self.width % self.heads:
            allowed = ", ".join(map(str, divisors(self.width)))
            raise complain("heads", self.heads, f"must divide width {self.width}: {allowed}")
        if self.width % 2:
            raise complain("width", self.width, "must be even")
        if self.pyramid.query_product and self.text_width != self.video_width:
            allowed = (
                f"must be video_width, {self.video_width}, where pyramid.query_product is true"
            )
            raise complain("text_width", self.text_width, allowed)
        return self


class Decoding(Section):
    """From the model's outputs to predictions, best first."""

    predictions: PositiveInt = 5
    """Kept for each query."""
    min_score: Annotated[float, Field(ge=0, lt=1)] = 0.001
    candidates_per_level: PositiveInt = 2000
    nms_sigma: Annotated[float, Field(gt=0)] = 0.75
    """Of soft-NMS: a score falls by exp(-IoU^2 / sigma)."""
    voting_iou: Annotated[float, Field(gt=0, le=1)] | None = 0.9
    """A prediction becomes the mean of the candidates that overlap it so much; null: no voting."""


class FeatureGrid(Section):
    """How the features lie in time; those of another grid are refused."""

    window_frames: Annotated[float, Field(gt=0)] = 4.0
    stride_frames: Annotated[float, Field(gt=0)] = 4.0
    fps: Annotated[float, Field(gt=0)] = 30.0


class GroundingData(BaseData):
    """Paths; a run needs those of what it does."""

    train_queries: str | None = None
    """nlq_train.json, or GroundNLQ's jsonl: queries, or narrations written as queries."""
    val_queries: str | None = None
    features: str
    """Folder of the clips' features, with index.json."""
    text_features: str | None = None
    """safetensors of the queries' token features; null: queries_{name of the queries' file} in the
    folder of features, where launch/extract_features.py writes them."""
    grid: FeatureGrid = FeatureGrid()


class GroundingRecipe(BaseRecipe):
    """One grounding run."""

    changeable: ClassVar[frozenset[str]] = frozenset(
        {
            "model.pretrained",
            "data.train_queries",
            "data.val_queries",
            "data.features",
            "data.text_features",
            "decoding.predictions",
            "decoding.min_score",
            "decoding.candidates_per_level",
            "decoding.nms_sigma",
            "decoding.voting_iou",
        }
    )

    model: GroundingModel = GroundingModel()
    data: GroundingData
    decoding: Decoding = Decoding()
    optimisation: Optimisation = Optimisation(
        learning_rate=1e-4, weight_decay=0.05, gradient_clipping=1.0, warmup_epochs=4.0
    )
    training: BaseTraining = BaseTraining(epochs=10, micro_batch_size=2)
