"""What every recipe has, whatever it trains, and what its sections are made of.

Each class checks what it can see by itself; a parent checks what needs two of its children.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, Strict, model_validator

PositiveInt = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
Probability = Annotated[float, Field(ge=0, lt=1)]
KeepRate = Annotated[float, Field(gt=0, le=1)]
Weight = Annotated[float, Field(ge=0)]


class ConfigError(ValueError):
    """A recipe or DeepSpeed config that cannot be used: one line with file, key, value, mend."""


class Section(BaseModel):
    """Base of all sections: unknown keys are errors, nothing is coerced, nothing can change."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _fill_sections_given_in_part(cls, given: Any) -> Any:
        """So that ``node_sparsity: {keep_rate: 0.5}`` keeps the layers of this place's default."""
        if not isinstance(given, dict):
            return given
        filled = dict(given)
        for key, part in given.items():
            field = cls.model_fields.get(key)
            if field and isinstance(part, dict) and isinstance(field.default, Section):
                default = field.default
                filled[key] = {k: getattr(default, k) for k in default.model_fields_set} | part
        return filled


def divisors(number: int) -> list[int]:
    return [d for d in range(1, number + 1) if number % d == 0]


def complain(key: str, value: object, allowed: str) -> ValueError:
    """An error of a section's own check; `load` prefixes the file and the section's path."""
    return ValueError(f"{key} = {value!r}: {allowed}")


class Optimisation(Section):
    """AdamW without decay on biases and 1-D parameters; linear warm-up, then cosine."""

    learning_rate: Annotated[float, Field(gt=0)] = 3e-5
    final_learning_rate_share: Annotated[float, Field(ge=0, le=1)] = 0.01
    """The cosine ends at this share of learning_rate."""
    weight_decay: Weight = 0.02
    betas: Annotated[tuple[Probability, Probability], Strict(False)] = (0.9, 0.999)
    epsilon: Annotated[float, Field(gt=0)] = 1e-8
    gradient_clipping: Weight = 0.0
    """Largest global gradient norm; 0: no clipping."""
    warmup_epochs: Annotated[float, Field(ge=0)] = 1.0
    max_skipped_steps: PositiveInt = 20
    """A step whose loss or gradient is not finite changes no weight and is counted; after so many
    in a row training stops. fp16 skips some while it looks for its loss scale: 2^16 is halved to
    1 in 16 steps."""


class BaseData(Section):
    """What the data of every training has."""

    epoch_share: KeepRate = 1.0
    """Random share of the samples that makes an epoch (the paper's objective study uses 0.1)."""
    workers: Count = 2
    """Loader processes of each rank."""
    max_unreadable_share: Annotated[float, Field(ge=0, le=1)] = 0.1
    """What cannot be read is replaced by another sample and counted; above this share training
    stops."""


class BaseTraining(Section):
    """What the training of any model is told."""

    epochs: PositiveInt = 10
    micro_batch_size: PositiveInt = 8
    """Samples of one rank in one forward pass."""
    gradient_accumulation_steps: PositiveInt = 1
    checkpoint_every_steps: PositiveInt = 1000
    keep_checkpoints: PositiveInt = 3
    """The newest so many are kept."""
    keep_every_steps: PositiveInt | None = None
    """Checkpoints of steps that are multiples of it are kept as well."""
    keep_best: Count = 0
    """So many of the lowest `best_metric` are kept as well."""
    best_metric: Literal["loss"] = "loss"
    """Mean over the steps since the checkpoint before."""
    track_memory_every_steps: PositiveInt = 1
    """On a CPU the memory of a launch's first two steps and of each so-many-th is recorded:
    tracking it takes up to a third of a small model's step. On CUDA the allocator's counters cost
    nothing and are recorded for every step."""

    @property
    def compares_micro_batch(self) -> bool:
        """The loss compares the samples of a micro-batch of all ranks with each other, so that
        another size of it is another loss."""
        return False


class BaseRecipe(Section):
    """What every training has."""

    changeable: ClassVar[frozenset[str]]
    """Keys of the task's own that may differ between a run and its resumption without making it
    another run."""

    name: Annotated[str, Field(min_length=1)]
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    optimisation: Optimisation = Optimisation()
    training: BaseTraining = BaseTraining()
    data: BaseData

    @model_validator(mode="after")
    def _check_warmup(self) -> "BaseRecipe":
        if self.optimisation.warmup_epochs > self.training.epochs:
            allowed = f"at most training.epochs = {self.training.epochs}"
            raise complain("optimisation.warmup_epochs", self.optimisation.warmup_epochs, allowed)
        return self
