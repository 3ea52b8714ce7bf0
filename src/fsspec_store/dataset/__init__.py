"""Check zarr data sets, v2 and v3, without zarr: which keys are missing, broken or superfluous.

`check` is asynchronous, and ``fsspec_store.dataset.blocking.check`` is the same without ``await``.
`parse_metadata` reads the metadata of one group or array.
"""

from . import blocking
from .check import Progress, check
from .chunk_set import ChunkSet
from .codecs import Codecs, Sharding
from .errors import DatasetError, ExpectationError, InvalidMetadataError, UnsupportedMetadataError
from .findings import Example, Finding
from .grid import ChunkGrid
from .metadata import ArrayMetadata, GroupMetadata, parse_metadata
from .report import ArrayReport, Report

__all__ = [
    "ArrayMetadata",
    "ArrayReport",
    "ChunkGrid",
    "ChunkSet",
    "Codecs",
    "DatasetError",
    "Example",
    "ExpectationError",
    "Finding",
    "GroupMetadata",
    "InvalidMetadataError",
    "Progress",
    "Report",
    "Sharding",
    "UnsupportedMetadataError",
    "blocking",
    "check",
    "parse_metadata",
]
