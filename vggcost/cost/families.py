"""What kind of layer holds the weights of a row: a convolution, a recurrent layer, a fully connected one, or none of these.

A layer is a convolution if it runs one (of 1×1 too, transposed and deformable ones), recurrent if torch's own layer says
how wide its hidden state is, and fully connected if it multiplies anything else by weights of its own: `Linear`,
`Bilinear`, the projections of an attention layer. Embeddings and normalisations multiply no matrices and are none of them.
"""

from __future__ import annotations

from vggcost.records import LayerCost

__all__ = ["is_convolution", "is_fully_connected", "is_recurrent"]


def is_convolution(layer: LayerCost) -> bool:
    """Whether a layer runs a convolution."""
    return bool(layer.conv_activations)


def is_recurrent(layer: LayerCost) -> bool:
    """Whether it is one of torch's recurrent layers or cells, or made from one."""
    return _tells(layer, "hidden_size")


def is_fully_connected(layer: LayerCost) -> bool:
    """Whether it multiplies by weights, and is neither of these; a weight that it shares may be counted elsewhere."""
    weighted = bool(layer.macs) and (layer.weights > 0 or _tells(layer, "in_features"))
    return weighted and not is_convolution(layer) and not is_recurrent(layer)


def _tells(layer: LayerCost, attribute: str) -> bool:
    return any(name == attribute for name, _ in layer.attributes)
