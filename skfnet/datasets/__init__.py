"""Labelled texts, offline: docstrings of the installed packages, and generated ListOps."""

from .docstrings import load_docstrings
from .listops import make_listops

__all__ = ["load_docstrings", "make_listops"]
