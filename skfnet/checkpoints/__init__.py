"""Models of the published shape, in and out, in the layout of Hugging Face transformers."""

from .configuration import check_expressible
from .huggingface import PublishedModel, read_huggingface, write_huggingface

__all__ = ["PublishedModel", "check_expressible", "read_huggingface", "write_huggingface"]
