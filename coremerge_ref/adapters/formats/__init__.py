"""What is read: the table of readers, one line each.

To add a format: a class with the verbs of Reader in a file of its own, and a line here; what is written for a family of
readers is one class and one line in the table of adapters/forms. README's list, the refusals and the tests come from
these tables.
"""

from pathlib import Path

from coremerge_ref.adapters.formats.adalora import AdaLoraReader
from coremerge_ref.adapters.formats.base import Reader
from coremerge_ref.adapters.formats.delora import DeloraReader
from coremerge_ref.adapters.formats.gguf import GgufReader
from coremerge_ref.adapters.formats.gralora import GraloraReader
from coremerge_ref.adapters.formats.initial import InitialReader
from coremerge_ref.adapters.formats.loha import LohaReader
from coremerge_ref.adapters.formats.lokr import LokrReader
from coremerge_ref.adapters.formats.lora import LoraReader
from coremerge_ref.adapters.formats.miss import MissReader
from coremerge_ref.adapters.formats.mlx import MlxReader
from coremerge_ref.adapters.formats.nothing import why_nothing
from coremerge_ref.adapters.formats.place import CONFIG, Place
from coremerge_ref.adapters.formats.refused import why_refused
from coremerge_ref.adapters.formats.single_file import SingleFileReader
from coremerge_ref.adapters.formats.vblora import VbloraReader
from coremerge_ref.adapters.formats.vera import VeraReader
from coremerge_ref.errors import AdapterError, shown

READERS: tuple[type[Reader], ...] = (
    LoraReader,
    VeraReader,
    AdaLoraReader,
    LohaReader,
    LokrReader,
    MissReader,
    DeloraReader,
    GraloraReader,
    VbloraReader,
    InitialReader,
    SingleFileReader,
    MlxReader,
    GgufReader,
)


def is_adapter(path: str | Path) -> bool:
    """Whether some reader knows what lies at `path`."""
    place = Place(path)
    return any(reader.recognise(place) for reader in READERS)


def open_reader(place: Place) -> Reader:
    """The reader of what lies at `place`. AdapterError for anything else, saying what it is and what to do."""
    for reader in READERS:
        if reader.recognise(place):
            return reader(place)
    if place.fields is not None:
        raise AdapterError(f"{shown(place.path / CONFIG)}: {why_refused(place.peft_type)}")
    raise AdapterError(why_nothing(place))
