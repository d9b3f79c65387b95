"""The architectures of transformers, by the name of their type or by a config file; nothing is downloaded."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from vggcost.errors import FileError, ModelError, OptionError, VggcostError
from vggcost.load.given_back import Shared
from vggcost.load.hf_fields import check_fields
from vggcost.load.hf_inputs import DefaultInputs
from vggcost.load.hf_sizes import Sizes
from vggcost.load.libraries import imported
from vggcost.load.loaded import Loaded
from vggcost.load.user import where
from vggcost.reading import CONFIG, loads, read_file
from vggcost.units import did_you_mean

__all__ = ["load", "names"]

_TASKS = (
    "MODEL_FOR_SPEECH_SEQ_2_SEQ", "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM", "MODEL_FOR_IMAGE_TEXT_TO_TEXT", "MODEL_FOR_MASKED_LM",
    "MODEL_FOR_CAUSAL_LM", "MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION", "MODEL_FOR_OBJECT_DETECTION",
    "MODEL_FOR_UNIVERSAL_SEGMENTATION", "MODEL_FOR_IMAGE_CLASSIFICATION", "MODEL_FOR_SEMANTIC_SEGMENTATION",
    "MODEL_FOR_DEPTH_ESTIMATION", "MODEL_FOR_CTC", "MODEL_FOR_AUDIO_CLASSIFICATION", "MODEL",
)  # fmt: skip
_PLACEHOLDERS = ("image_token_id", "image_token_index", "audio_token_id", "audio_token_index")


@contextmanager
def _offline() -> Iterator[None]:
    """Keep the library off the network and quiet while it is imported and used."""
    with _environment.lasting(), imported("hf", "transformers"):
        yield


_SET = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
_before: dict[str, str | None] = {}


def _set() -> None:
    for name, value in _SET.items():
        _before[name] = os.environ.get(name)
        os.environ[name] = value


def _put_back() -> None:
    for name, value in _before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    _before.clear()


_environment = Shared(_set, _put_back)


def names() -> list[str]:
    """List the types of model that transformers knows."""
    with _offline():
        from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
    return sorted(CONFIG_MAPPING_NAMES)


def load(name: str, options: dict[str, Any]) -> Loaded:
    """Build an architecture of transformers from its default config or from a config file.

    Args:
        name: a type of model, such as `gpt2`, or the path of a `config.json`.
        options: fields of the config to change; `architecture` names the class, such as `GPT2Model`.

    Raises:
        ModelError: transformers is missing, there is no such type or file, or the model cannot be built.
        OptionError: there is no such class or field.
    """
    fields: dict[str, Any] = _read(name) if name.endswith(".json") else {"model_type": name}
    options = dict(options)
    wanted = options.pop("architecture", None)
    if wanted is not None and not isinstance(wanted, str):
        raise OptionError(f"-k architecture must be the name of a class, not {wanted!r:.60}")
    kind = fields.get("model_type")
    check_fields(name, {**fields, **options})
    known = names()
    if kind not in known:
        if kind is None:
            raise ModelError(f"{name} has no model_type; a config of transformers has one")
        raise ModelError(
            f"transformers has no type of model {kind!r}{did_you_mean(str(kind), known)}; 'vggcost models hf:' lists them, "
            "and a model of the hub is given by its config file: hf:./config.json"
        )
    with _offline():
        config = _config(name, kind, fields, options)
        factory = _architecture(config, wanted, fields.get("architectures"))
        try:
            model = factory._from_config(config)
            inputs = DefaultInputs(model, config, _is(config, "KEYPOINT_MATCHING"))
        except VggcostError:
            raise
        except Exception as error:
            raise ModelError(_unbuilt(name, kind, error)) from error
    title = f"{factory.__name__} ({kind})"
    loaded = Loaded(model, f"hf:{name}", title, (), "hf", None, ordinary=inputs.ordinary(), hint=_hint(name, kind))
    return replace(loaded, input=inputs, completed=inputs.completed) if inputs.given else loaded


def _read(path: str) -> dict[str, Any]:
    try:
        fields = loads(read_file(path, CONFIG).decode("utf-8-sig"), finite=False)  # some configs have an infinity
    except FileError as error:
        raise ModelError(str(error)) from None
    except ValueError as error:
        raise ModelError(f"{path} is not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise ModelError(f"{path} is no config of transformers: it holds a {type(fields).__name__}, not an object")
    return fields


def _config(name: str, kind: str, fields: dict[str, Any], options: dict[str, Any]) -> Any:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    factory = CONFIG_MAPPING[kind]
    outer = {key: value for key, value in options.items() if "." not in key}
    fields = {key: value for key, value in fields.items() if key != "auto_map"}
    try:
        known = factory.from_dict(fields)
        config = factory.from_dict({**fields, **outer}) if outer else known
    except Exception as error:
        raise ModelError(f"hf:{name}: its config is not valid: {where(error)}") from error
    for path, value in options.items():
        *parts, key = path.split(".")
        holder = config if parts else known
        for part in parts:
            holder = getattr(holder, part, None)
        if holder is None or not hasattr(holder, key):
            fields_of = sorted((holder or config).to_dict())
            raise OptionError(
                f"the config of {kind} has no field {path!r}{did_you_mean(key, fields_of)}; give one with -k key=value, "
                "or of a part of it as in -k text_config.num_hidden_layers=2"
            )
        if parts:
            setattr(holder, key, value)
    for key in _PLACEHOLDERS:
        if getattr(config, key, 0) is None:  # which number it is costs nothing
            setattr(config, key, Sizes(config).token())
    return config


def _architecture(config: Any, wanted: str | None, declared: list[str] | None) -> Any:
    """Choose the class: the one asked for, the one the config names, or the usual one of its type."""
    import transformers
    from transformers.models.auto import modeling_auto

    asked = wanted or (declared[0] if declared else None)
    if asked is not None:
        found = getattr(transformers, asked, None)
        if found is None or not hasattr(found, "_from_config"):
            raise OptionError(f"transformers has no architecture {asked!r}; name one with -k architecture=CLASS")
        return found
    for task in _TASKS:
        mapping = getattr(modeling_auto, f"{task}_MAPPING", {})
        if type(config) in mapping:
            try:
                found = mapping[type(config)]
            except ValueError:  # transformers lists a class that it does not have
                continue
            return found[0] if isinstance(found, (tuple, list)) else found
    parts = _parts(config)
    if parts:
        return parts[-1]
    raise ModelError(
        f"transformers has no model class for the config {type(config).__name__}; name one with -k architecture=CLASS"
    )


def _is(config: Any, task: str) -> bool:
    from transformers.models.auto import modeling_auto

    return type(config) in getattr(modeling_auto, f"MODEL_FOR_{task}_MAPPING", {})


def _parts(config: Any) -> list[Any]:
    """List the classes that are made from this very config, the whole last: files go from the parts to the whole."""
    from importlib import import_module

    from torch import nn
    from transformers import PreTrainedModel

    place = type(config).__module__.replace(".configuration_", ".modeling_")
    try:
        module = import_module(place)
    except ModuleNotFoundError:
        return []
    found: list[Any] = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, PreTrainedModel) and value.__module__ == place
    ]
    found = [value for value in found if value.config_class is type(config) and value.forward is not nn.Module.forward]
    public = [value for value in found if value.__name__ in getattr(module, "__all__", ())]
    return public or found


def _unbuilt(name: str, kind: str, error: Exception) -> str:
    """Say why a model cannot be built: a package is missing, or its config lacks something."""
    if isinstance(error, ImportError):
        missing = re.search(r"requires the (\S+) library", str(error))
        if missing:
            return f"hf:{name} needs the package {missing[1]}, which is not installed; pip install {missing[1]}"
    return f"hf:{name} failed: {where(error)}{_hint(name, kind)}"


def _hint(name: str, kind: str) -> str:
    """Say what to try where a default config makes no whole model, as some do not."""
    return (
        ""
        if name.endswith(".json")
        else (
            f"; this is the default config of {kind}: change what does not fit with -k field=value, or give the config file "
            "of a model, hf:./config.json"
        )
    )
