"""What a whole training run costs: arithmetic on the cost of one step."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Bill", "bill"]


@dataclass(frozen=True, slots=True)
class Bill:
    """A training run; times in seconds, traffic in bytes."""

    iterations: int
    images_seen: int
    step_flops: int
    total_flops: int
    batch_per_gpu: int
    peak_bytes_per_gpu: int
    gradient_bytes: int
    allreduce_bytes_per_gpu: int
    seconds_at_full_use: float | None
    utilisation: tuple[float, float] | None


def bill(
    *,
    images: int,
    epochs: int,
    batch: int,
    gpus: int,
    flops_per_image: int,
    gradient_bytes: int,
    peak_bytes_per_gpu: int,
    peak_flops: float | None = None,
    days: tuple[float, float] | None = None,
) -> Bill:
    """Work out a data-parallel, synchronous training run.

    `iterations = images·epochs / batch`; a step costs `batch·flops_per_image`. In a ring all-reduce every
    GPU sends `2·(g − 1)/g` times the gradients a step.

    Source: Patarasuk & Yuan 2009, "Bandwidth optimal all-reduce algorithms for clusters of workstations".

    Args:
        images: of the training set.
        epochs: passes over it.
        batch: of all GPUs together.
        gpus: that share it.
        flops_per_image: of forward and backward.
        gradient_bytes: of all parameters.
        peak_bytes_per_gpu: live bytes of a step of `batch/gpus`.
        peak_flops: published peak of one GPU, FLOPs per second.
        days: how long the run is said to have taken, from and to.

    Example:
        >>> bill(images=1_280_000, epochs=74, batch=256, gpus=4, flops_per_image=92_648_177_664,
        ...      gradient_bytes=553_430_176, peak_bytes_per_gpu=0).iterations
        370000
    """
    seen = images * epochs
    total = seen * flops_per_image
    seconds = total / (gpus * peak_flops) if peak_flops else None
    used = (seconds / (days[1] * 86400), seconds / (days[0] * 86400)) if seconds and days else None
    return Bill(
        iterations=-(-seen // batch),
        images_seen=seen,
        step_flops=batch * flops_per_image,
        total_flops=total,
        batch_per_gpu=-(-batch // gpus),
        peak_bytes_per_gpu=peak_bytes_per_gpu,
        gradient_bytes=gradient_bytes,
        allreduce_bytes_per_gpu=2 * (gpus - 1) * gradient_bytes // gpus,
        seconds_at_full_use=seconds,
        utilisation=used,
    )
