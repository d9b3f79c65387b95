"""From a name to a model on meta, and its inputs."""

from vggcost.load.fuse import folded
from vggcost.load.inputs import batch_of, filled, named, parse_inputs, read_inputs, to_arguments, with_batch, with_side
from vggcost.load.json_inputs import JsonText, read_json
from vggcost.load.loaded import Loaded
from vggcost.load.losses import GivenLoss, loss_of
from vggcost.load.names import load, matching
from vggcost.load.user import load_function

__all__ = [
    "GivenLoss",
    "JsonText",
    "Loaded",
    "batch_of",
    "filled",
    "folded",
    "load",
    "load_function",
    "loss_of",
    "matching",
    "named",
    "parse_inputs",
    "read_inputs",
    "read_json",
    "to_arguments",
    "with_batch",
    "with_side",
]
