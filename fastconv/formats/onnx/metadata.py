"""What a network's metadata become in an ONNX file, and back.

An ONNX file has texts by name. All metadata are one of them, as JSON, for fastconv; for other programs the
classes are another one, and the scale of pixels stands as the ONNX standard has it (MetadataProps.md).
"""

import json
import math
from typing import Any

from ...nn.network import Network
from ..json_text import exact

_ALL, _CLASSES, _RANGE = "fastconv", "classes", "Image.NominalPixelRange"
# What pixels from 0 to 255 are multiplied with -> the standard's name of the range that they then have.
_RANGES = {1 / 255: "Normalized_0_1", 1.0: "NominalRange_0_255"}
LONGEST = 16 * 2**20  # characters


def write_metadata(onnx: Any, model: Any, network: Network) -> None:
    """Put the network's metadata into a ModelProto; one without any stays as it is.

    Raises
    ------
    TypeError, ValueError
        If JSON can't hold them exactly.
    """
    metadata = exact(getattr(network, "metadata", {}), "metadata")
    if not metadata:
        return
    entries = {_ALL: json.dumps(metadata, sort_keys=True)}
    about = metadata if isinstance(metadata, dict) else {}
    if isinstance(about.get("classes"), list):
        entries[_CLASSES] = json.dumps(about["classes"])
    if len(network.input_shape) == 3 and (name := _range_of(about.get("input_scale"))):
        entries[_RANGE] = name
    onnx.helper.set_model_props(model, entries)


def read_metadata(model: Any) -> dict[str, Any]:
    """The metadata of a ModelProto: our own as they were, of another program's the scale of its pixels.

    Raises
    ------
    ValueError
        If they are damaged, or longer than 16,777,216 characters.
    """
    entries = {entry.key: entry.value for entry in model.metadata_props}
    if _ALL in entries:
        try:
            if len(entries[_ALL]) > LONGEST:
                raise ValueError(f"they have more than {LONGEST} characters")
            metadata: dict[str, Any] = exact(json.loads(entries[_ALL]), "metadata")
            return metadata
        except (ValueError, RecursionError) as error:
            raise ValueError(f"its metadata are damaged: {error}") from None
    scales = {name: scale for scale, name in _RANGES.items()}
    if entries.get(_RANGE) in scales:
        return {"input_scale": scales[entries[_RANGE]]}
    return {}


def _range_of(scale: Any) -> str | None:
    """The standard's name of a range, if it has one."""
    if isinstance(scale, bool) or not isinstance(scale, (int, float)):
        return None
    return next((name for known, name in _RANGES.items() if math.isclose(scale, known)), None)
