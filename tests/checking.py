"""What models do with values that depend on data: checks, and what looks like one. Here pytest leaves `assert` as it is."""

from __future__ import annotations

from typing import Any

import torch


def both(x: torch.Tensor) -> None:
    if x.isnan().any() and x.max() > 3:
        raise ValueError


def one_of_two(x: torch.Tensor) -> None:
    assert (x > 0).all() or (x < 0).all()


def in_a_loop(x: torch.Tensor) -> None:
    for _ in range(3):
        if x.any() and not x.all():
            raise ValueError


def after_a_plain_one(x: torch.Tensor) -> None:
    if not isinstance(x, int) and (x.min() < 0 or x.max() > 1):
        raise ValueError


def item(x: torch.Tensor) -> None:
    if x.max().item() >= 7:
        raise ValueError


def as_float(x: torch.Tensor) -> None:
    assert float(x.max()) > 0
    if float(x.max()) > 7:
        raise ValueError


def as_int(x: torch.Tensor) -> None:
    if int(x.max()) >= 7 or int(x.argmin()) < 0:
        raise ValueError


def named(x: torch.Tensor) -> None:
    fine = bool((x > 0).all())
    if not fine:
        raise ValueError(f"{fine}")


def named_number(x: torch.Tensor) -> None:
    most = x.argmax().item()
    if most < 0 or most >= 5:
        raise ValueError(f"{most}")


def chained(x: torch.Tensor) -> None:
    assert 0 <= x.argmax().item() <= 3


def unequal(x: torch.Tensor) -> None:
    if x.long().sum().item() != x.shape[0]:
        raise ValueError


def whole(x: torch.Tensor) -> None:
    fine = (x > 0).all() and (x < 3).all()
    if not fine:
        raise ValueError


def bad(x: torch.Tensor) -> bool:
    return bool(x.isnan().any())


def helper(x: torch.Tensor) -> None:
    if bad(x):
        raise ValueError


def valid(x: torch.Tensor) -> bool:
    if x.isnan().any():
        return False
    if x.max() > 3 or x.min() < 0:  # noqa: SIM103
        return False
    return True


def helper_of_many_ways(x: torch.Tensor) -> None:
    assert valid(x)
    assert not bad(x)


class Held:
    x: torch.Tensor

    @property
    def good(self) -> bool:
        return not bool(self.x.isnan().any())

    def fits(self, limit: float) -> bool:
        return bool((self.x.abs() < limit).all().item())


def property_and_method(x: torch.Tensor) -> None:
    held = Held()
    held.x = x
    assert held.good
    if not held.fits(5):
        raise ValueError


def by_torch(x: torch.Tensor) -> None:
    torch._check(bool((x > 0).all()))
    torch._check(x.max().item() < 5, lambda: f"{x.shape}")
    torch._check_tensor_all(x > 0)
    torch._assert_async((x > 0).all(), "some are not")  # type: ignore[call-arg]


def alike(x: torch.Tensor) -> None:
    assert torch.equal(x, x + 1)
    if not torch.allclose(x, x + 1, rtol=1e-3):
        raise ValueError


def windows(x: torch.Tensor) -> None:
    window = torch.hann_window(64, device=x.device)
    spectrum = torch.stft(x.repeat(1, 100), 64, window=window, return_complex=True)
    assert torch.istft(spectrum, 64, window=window).shape == (1, 800)


def distributions(x: torch.Tensor) -> None:
    torch.distributions.MultivariateNormal(x, torch.diag_embed(x.exp()), validate_args=True).log_prob(x)


CHECKS = [
    both, one_of_two, in_a_loop, after_a_plain_one, item, as_float, as_int, named, named_number, chained, unequal, whole,
    helper, helper_of_many_ways, property_and_method, by_torch, alike, windows, distributions,
]  # fmt: skip


def chooses(x: torch.Tensor) -> Any:
    return x if bad(x) else x @ x.T


def sizes(x: torch.Tensor) -> Any:
    most = x.max().item()
    if most > 3:
        raise ValueError
    return torch.zeros(int(most))


def named_and_chosen(x: torch.Tensor) -> Any:
    fine = bool((x > 0).all())
    if not fine:
        raise ValueError
    return x @ x.T if fine else x


def does_more(x: torch.Tensor) -> None:
    if x.any() and x.all():
        x.seen = True  # type: ignore[attr-defined]
        if x.max() > 3:
            raise ValueError


def opposite(value: bool) -> bool:
    return not value


def through_another(x: torch.Tensor) -> None:
    if opposite(x.any().item()):  # type: ignore[arg-type]
        raise ValueError


def mapped(x: torch.Tensor) -> None:
    if any(map(bad, [x])):
        raise ValueError


def caught_helper(x: torch.Tensor) -> Any:
    try:
        if bad(x):
            raise ValueError
    except ValueError:
        return x @ x.T


def caught_outside(x: torch.Tensor) -> Any:
    try:
        helper(x)
    except ValueError:
        return x @ x.T


def caught_number(x: torch.Tensor) -> Any:
    most = x.max().item()
    try:
        if most > 3:
            raise ValueError
    except ValueError:
        return x @ x.T


def caught_by_torch(x: torch.Tensor) -> Any:
    try:
        torch._check(bool(x.any()))
    except RuntimeError:
        return x @ x.T


def branches(x: torch.Tensor) -> Any:
    if x.any() and x.all():
        x = x @ x.T
    return x


def one_branch(x: torch.Tensor) -> Any:
    if float(x.max()) > 3:
        x = x @ x.T
    elif float(x.max()) < 3:
        raise ValueError
    return x


def ends_a_loop(x: torch.Tensor) -> Any:
    for _ in range(3):
        if x.max().item() > 3:
            break
        x = x @ x.T
    else:
        raise ValueError
    return x


def of_many_ways(x: torch.Tensor) -> Any:
    return x @ x.T if valid(x) else x


def returned(x: torch.Tensor) -> bool:
    return valid(x)


def alike_or_not(x: torch.Tensor) -> Any:
    return x if torch.allclose(x, x + 1) else x @ x.T


def in_between(x: torch.Tensor) -> None:
    if torch.distributions.constraints.positive_definite.check(x.T @ x).all():
        raise ValueError


BRANCHES = [
    chooses, sizes, named_and_chosen, does_more, through_another, mapped, caught_helper, caught_outside, caught_number, caught_by_torch,
    branches, one_branch, ends_a_loop, of_many_ways, returned, alike_or_not, in_between,
]  # fmt: skip
