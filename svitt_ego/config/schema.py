"""The recipe of a pre-training: everything the run needs, validated at construction, then frozen.

A recipe is the product of a YAML file and ``--set`` overrides (`svitt_ego.config.load`). Each class
checks what it can see by itself; a parent checks what needs two of its children. Numbers that are
not from the SViTT-Ego paper are SViTT's defaults.
"""

from typing import Annotated, Literal

from pydantic import Field, Strict, model_validator

from svitt_ego.config.base import (
    BaseData,
    BaseRecipe,
    BaseTraining,
    Count,
    KeepRate,
    PositiveInt,
    Probability,
    Section,
    Weight,
    complain,
    divisors,
)


class EdgeSparsity(Section):
    """Block-sparse attention (K_l, K_r, G): a query block sees K_l local, K_r random blocks."""

    local_blocks: PositiveInt = 1
    """K_l, odd: the query's own block and (K_l - 1) / 2 neighbours on each side, wrapping."""
    random_blocks: Count = 3
    """K_r: distinct blocks that are not local, drawn anew each training step and layer."""
    block_size: PositiveInt = 56
    """G: consecutive tokens in a block."""

    @model_validator(mode="after")
    def _check(self) -> "EdgeSparsity":
        if self.local_blocks % 2 == 0:
            raise complain("local_blocks", self.local_blocks, "must be odd")
        return self


NodeStrategy = Literal["cls_attention", "random", "fuse", "merge"]


class NodeSparsity(Section):
    """After each listed layer go on with ceil(keep_rate * n) patch tokens."""

    layers: Annotated[tuple[Count, ...], Strict(False)]
    """Layers, counted from 0, after which tokens are dropped."""
    keep_rate: KeepRate
    strategy: NodeStrategy = "cls_attention"
    """Which go on. cls_attention: those [CLS] attends to most (SViTT); random: any; fuse: as
    cls_attention, the last of them averaged with all that are dropped (EViT); merge: like tokens
    averaged (ToMe)."""


def check_drop_layers(node: NodeSparsity | None, layers: int) -> None:
    if node is None:
        return
    if any(layer >= layers for layer in node.layers):
        allowed = f"layers are counted from 0 and must be below {layers}"
        raise complain("node_sparsity.layers", list(node.layers), allowed)
    if list(node.layers) != sorted(set(node.layers)):
        raise complain("node_sparsity.layers", list(node.layers), "must rise, without repeats")


class TransformerSize(Section):
    """What every encoder has: depth and widths."""

    layers: PositiveInt
    width: PositiveInt = 768
    heads: PositiveInt = 12
    mlp_width: PositiveInt = 3072
    layer_norm_eps: Annotated[float, Field(gt=0)] = 1e-12
    initialisation: Literal["fixed", "fan_in"] = "fixed"
    """Of the weights of linear layers. fixed: N(0, 0.02^2), BEiT's and BERT's, which suits width
    768; fan_in: N(0, 1 / inputs), with which a narrow encoder learns from nothing far sooner."""

    @model_validator(mode="after")
    def _check_size(self) -> "TransformerSize":
        if self.width % self.heads:
            allowed = ", ".join(map(str, divisors(self.width)))
            raise complain("heads", self.heads, f"must divide width {self.width}: {allowed}")
        return self


class VideoEncoder(TransformerSize):
    """BEiT inflated to video: joint space-time attention over frames x (image/patch)^2 + [CLS]."""

    layers: PositiveInt = 12
    image_size: PositiveInt = 224
    """Height and width of a frame, pixels."""
    patch_size: PositiveInt = 16
    max_frames: PositiveInt = 4
    """T of the relative position bias table; a clip has at most so many frames."""
    absolute_positions: bool = False
    """Learned embeddings of the frame and of the place in it, beside the relative biases. BEiT has
    none; who starts from nothing learns motions sooner with them."""
    layer_scale: Annotated[float, Field(gt=0)] = 0.1
    drop_path: Probability = 0.1
    """Stochastic depth of the last layer; grows linearly from 0 at the first."""
    pixel_mean: Annotated[float, Field(ge=0, le=1)] = 0.5
    pixel_std: Annotated[float, Field(gt=0)] = 0.5
    """Pixels enter as uint8 and are normalised (x / 255 - mean) / std on the device."""
    pooling: Literal["cls", "mean"] = "cls"
    """SViTT-Ego pools [CLS]; SViTT pools the mean of the patch tokens."""
    dense_attention: Literal["materialised", "efficient"] = "efficient"
    """How attention without edge sparsity is computed: BEiT's way, storing the probabilities, or
    the best exact kernel that does not. Same values."""
    edge_sparsity: EdgeSparsity | None = EdgeSparsity()
    """null: dense attention."""
    node_sparsity: NodeSparsity | None = NodeSparsity(layers=(3, 6, 9), keep_rate=0.7)
    """null: every token is kept."""
    pretrained: str | None = None
    """BEiT checkpoint to start from: a path or hub name."""

    @property
    def grid_size(self) -> int:
        """Patches along one side of a frame."""
        return self.image_size // self.patch_size

    @property
    def patches_per_frame(self) -> int:
        return self.grid_size**2

    @model_validator(mode="after")
    def _check(self) -> "VideoEncoder":
        if self.image_size % self.patch_size:
            allowed = ", ".join(map(str, divisors(self.image_size)))
            message = f"must divide image_size {self.image_size}: {allowed}"
            raise complain("patch_size", self.patch_size, message)
        if self.absolute_positions and self.pretrained:
            allowed = "must be false: the pretrained BEiT has no absolute positions"
            raise complain("absolute_positions", True, allowed)
        check_drop_layers(self.node_sparsity, self.layers)
        return self


class TextEncoder(TransformerSize):
    """The first layers of BERT. The fusion encoder continues with the same widths."""

    layers: PositiveInt = 9
    vocabulary_size: PositiveInt = 30522
    max_positions: PositiveInt = 512
    dropout: Probability = 0.1
    """Of embeddings, attention probabilities and layer outputs, as in BERT."""
    pretrained: str | None = None
    """BERT checkpoint for text and fusion layers: a path or hub name."""


class FusionEncoder(Section):
    """The last layers of BERT with cross-attention to the video tokens."""

    layers: PositiveInt = 3
    node_sparsity: NodeSparsity | None = NodeSparsity(layers=(1,), keep_rate=0.1)
    """Video tokens kept after the cross-attention of a layer, so effective from the next one."""

    @model_validator(mode="after")
    def _check(self) -> "FusionEncoder":
        check_drop_layers(self.node_sparsity, self.layers)
        return self


class Temperature(Section):
    """Divides the cosine similarities of the contrastive loss."""

    initial: Annotated[float, Field(gt=0)] = 0.07
    learnable: bool = True
    minimum: Annotated[float, Field(gt=0)] = 0.001
    maximum: Annotated[float, Field(gt=0)] = 0.5

    @model_validator(mode="after")
    def _check(self) -> "Temperature":
        if not self.minimum <= self.initial <= self.maximum:
            allowed = f"must lie in [{self.minimum}, {self.maximum}]"
            raise complain("initial", self.initial, allowed)
        return self


class Model(Section):
    """The whole of SViTT-Ego."""

    video: VideoEncoder = VideoEncoder()
    text: TextEncoder = TextEncoder()
    fusion: FusionEncoder = FusionEncoder()
    projection_width: PositiveInt = 256
    """Width of the features that the contrastive loss compares."""
    temperature: Temperature = Temperature()
    pretrained: str | None = None
    """Start from the weights of a trained model: a folder of launch/export.py."""


class Contrastive(Section):
    """EgoNCE (EgoVLP eq. 2-3) or InfoNCE between pooled video and text features."""

    name: Literal["egonce", "infonce"] = "egonce"
    weight: Weight = 1.0
    scene_negatives: bool = True
    """Add one scene-aware negative clip and text to each anchor: N more videos for the encoder."""
    action_positives: bool = False
    """Add one clip and text of the same action (a common verb and noun) to each anchor: N more.
    EgoVLP has the positives that happen to be in the batch alone."""

    @property
    def clips_per_anchor(self) -> int:
        return 1 + self.scene_negatives + self.action_positives


class VideoTextMatching(Section):
    weight: Weight = 1.0


class MaskedLanguageModelling(Section):
    weight: Weight = 1.0
    mask_probability: Annotated[float, Field(gt=0, lt=1)] = 0.5


class Objectives(Section):
    """The training loss is the weighted sum; an objective of weight 0 is not computed."""

    contrastive: Contrastive = Contrastive()
    vtm: VideoTextMatching = VideoTextMatching()
    mlm: MaskedLanguageModelling = MaskedLanguageModelling()

    @model_validator(mode="after")
    def _check(self) -> "Objectives":
        if self.contrastive.weight == self.vtm.weight == self.mlm.weight == 0:
            raise complain("contrastive.weight", 0.0, "one of the objectives needs a weight > 0")
        return self


DecoderName = Literal["auto", "pyav", "decord"]


class VideoFiles(Section):
    """Where a video's files are and how they are named."""

    root: str
    layout: Literal["index", "start_second", "whole"] = "index"
    """index: {root}/{uid}/{k}.mp4, chunk k covers [k, k+1) * chunk_s (EgoVLP); start_second:
    {root}/{uid}.mp4/{start}.mp4 (LaViLa, AVION); whole: {root}/{uid}.mp4."""
    chunk_s: Annotated[float, Field(gt=0)] = 600.0
    """Length of a chunk; unused by the layout `whole`."""
    decoder: DecoderName = "auto"
    """pyav: decodes from the key frame before a wanted frame, at a cost that does not grow with the
    file; decord: scans the whole file each time. auto: pyav, and decord for containers without a
    sample table (fragmented mp4)."""
    fps: Annotated[float, Field(gt=0)] | None = None
    """Frame rate that every file must have, others count as unreadable; null: each file its own.
    It must be constant either way."""


class Augmentation(Section):
    """Training only, the same for all frames of a clip. Evaluation resizes and does not crop."""

    crop_scale: Annotated[tuple[KeepRate, KeepRate], Strict(False)] = (0.5, 1.0)
    """Range of the crop's share of the frame's area; (1, 1) is no crop."""
    horizontal_flip: bool = True
    """Switch off where left and right are labels, as in EgoSynth."""

    @model_validator(mode="after")
    def _check(self) -> "Augmentation":
        if self.crop_scale[0] > self.crop_scale[1]:
            raise complain("crop_scale", list(self.crop_scale), "must be [smallest, largest]")
        return self


class Data(BaseData):
    metadata: str
    """egoclip.csv, tab-separated."""
    strict: bool = False
    """Stop at a malformed row of the metadata; otherwise they are left out and counted."""
    skip_list: str | None = None
    """Clips known to be unreadable, a file that launch/check_data.py writes; others stand in."""
    videos: VideoFiles
    tokenizer: str = "bert-base-uncased"
    """Hugging Face tokenizer: a path or hub name."""
    frames: PositiveInt = 4
    """Frames of a clip."""
    max_text_tokens: Annotated[int, Field(ge=3)] = 32
    """Longer narrations are cut, [CLS] and [SEP] included."""
    clean_narrations: bool = False
    """Leave out Ego4D's marks for people (`#C C`, `#O`) and read `#unsure` as "something", in
    training and evaluation; EgoVLP keeps them as they are."""
    augmentation: Augmentation = Augmentation()


class Recompute(Section):
    """Activation checkpointing: what is computed again in the backward pass, not stored."""

    what: Literal["none", "attention", "layers"] = "none"
    """attention: the attention branches; layers: whole layers, of which only the input is kept."""
    every: PositiveInt = 1
    """In layers 0, every, 2 * every … of each encoder."""


class Training(BaseTraining):
    """Of pre-training. A sample is an anchor; scene-aware negatives come on top."""

    contrastive_batch: Literal["micro_batch", "step"] = "micro_batch"
    """Clips that the contrastive loss compares, of all ranks: micro_batch: those of one
    micro-batch; step: those of all micro-batches of a step, with the memory of one, for a second
    forward pass of the encoders (GradCache, Gao et al., 2021)."""
    recompute: Recompute = Recompute()
    best_metric: Literal["loss", "loss_contrastive", "loss_vtm", "loss_mlm"] = "loss"

    @property
    def compares_micro_batch(self) -> bool:
        return self.contrastive_batch == "micro_batch"


class Evaluation(Section):
    """Files of the evaluations that follow training; null where there is none."""

    egomcq: str | None = None
    micro_batch_size: PositiveInt = 32


class Recipe(BaseRecipe):
    """One pre-training."""

    changeable = frozenset(
        {
            "data.metadata",
            "data.videos.root",
            "data.tokenizer",
            "data.skip_list",
            "model.pretrained",
            "model.video.pretrained",
            "model.text.pretrained",
            "evaluation.egomcq",
            "evaluation.micro_batch_size",
        }
    )

    model: Model = Model()
    objectives: Objectives = Objectives()
    data: Data
    training: Training = Training()
    evaluation: Evaluation = Evaluation()

    @model_validator(mode="after")
    def _check(self) -> "Recipe":
        if self.data.frames > self.model.video.max_frames:
            allowed = f"at most model.video.max_frames = {self.model.video.max_frames}"
            raise complain("data.frames", self.data.frames, allowed)
        edge = self.model.video.edge_sparsity
        if edge is not None:
            blocks = -(-self.data.frames * self.model.video.patches_per_frame // edge.block_size)
            attended = edge.local_blocks + edge.random_blocks
            if blocks < attended:
                key = "model.video.edge_sparsity.block_size"
                said = f"leaves {blocks} blocks, but a block attends to {attended}: make it smaller"
                raise complain(key, edge.block_size, said)
        if self.data.max_text_tokens > self.model.text.max_positions:
            allowed = f"at most model.text.max_positions = {self.model.text.max_positions}"
            raise complain("data.max_text_tokens", self.data.max_text_tokens, allowed)
        return self
