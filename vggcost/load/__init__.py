"""From a name to a model on meta, and its inputs."""

from vggcost.load.inputs import parse_inputs, read_inputs
from vggcost.load.loaded import Loaded
from vggcost.load.names import load, matching
from vggcost.load.user import load_function

__all__ = ["Loaded", "load", "load_function", "matching", "parse_inputs", "read_inputs"]
