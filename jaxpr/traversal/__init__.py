"""Folders of outputs moved towards natural images: fit, transport, measure along alpha, and a page with a slider."""

from jaxpr.traversal.folders import InputFolders, check_traversal_folder, open_folders
from jaxpr.traversal.traverse import traverse
from jaxpr.traversal.traversed import WISHES, Traversed, traversal_record

__all__ = [
    "WISHES",
    "InputFolders",
    "Traversed",
    "check_traversal_folder",
    "open_folders",
    "traversal_record",
    "traverse",
]
