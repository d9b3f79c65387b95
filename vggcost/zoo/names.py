"""From what people type to a variant: any case, `-`, `_` or nothing between the parts."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from vggcost.errors import OptionError
from vggcost.units import did_you_mean
from vggcost.zoo.variants import FAMILIES, VARIANTS, Variant

__all__ = ["family", "find", "known_names", "matching"]


def _plain(name: str) -> str:
    return re.sub(r"[-_\s]+", "", name.lower())


def find(name: str) -> Variant | None:
    """Return the variant of this name or alias, or None.

    Example:
        >>> find("VGG16_BN").name
        'vgg-d-bn'
    """
    return _BY_NAME.get(_plain(name))


def known_names() -> list[str]:
    """List every name and alias, canonical names first."""
    return [v.name for v in VARIANTS] + [alias for v in VARIANTS for alias in v.aliases]


def family(name: str) -> tuple[str, ...]:
    """Return the nets of a family.

    Raises:
        OptionError: there is no such family.

    Example:
        >>> family("imagenet-winners")
        ('alexnet', 'vgg-e', 'googlenet', 'resnet-152')
    """
    if name not in FAMILIES:
        raise OptionError(f"no family {name!r}{did_you_mean(name, FAMILIES)}; families: {', '.join(FAMILIES)}")
    return FAMILIES[name]


def matching(pattern: str = "*") -> list[Variant]:
    """List the variants whose name or an alias matches a shell pattern (a bare word matches anywhere)."""
    wanted = pattern.lower().replace("_", "-")
    if not any(sign in wanted for sign in "*?["):
        wanted = f"*{wanted}*"
    return [v for v in VARIANTS if any(fnmatchcase(name, wanted) for name in (v.name, *v.aliases))]


_BY_NAME = {_plain(name): variant for variant in VARIANTS for name in (variant.name, *variant.aliases)}
