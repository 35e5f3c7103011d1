"""The files of a published model: in a folder here, or on the Hugging Face hub."""

from __future__ import annotations

import os
import re
from pathlib import Path

__all__ = ["ModelFiles"]

_NAME_ON_THE_HUB = re.compile(r"[A-Za-z0-9_][\w.-]*(/[A-Za-z0-9_][\w.-]*)?", re.ASCII)


class ModelFiles:
    """Files looked up by name, one at a time, so that nothing is downloaded that is not read.

    Parameters
    ----------
    name_or_folder : str or path-like
        A folder; or a name on the hub such as ``"google/fnet-base"``, whose files come through
        ``huggingface_hub``, with its cache, its token and its offline mode.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        If it can be neither.
    """

    def __init__(self, name_or_folder: str | os.PathLike[str]) -> None:
        self.name = os.fspath(name_or_folder)
        self._local = os.path.isdir(self.name)
        self._unreachable: Exception | None = None
        if self._local:
            return
        if os.path.exists(self.name):
            raise NotADirectoryError(
                f"{self.name} is a file. Pass the folder that holds config.json and the weights."
            )
        if isinstance(name_or_folder, os.PathLike) or not _NAME_ON_THE_HUB.fullmatch(self.name):
            raise FileNotFoundError(
                f"There is no folder {self.name}, and no model of the Hugging Face hub has such a "
                "name. Check the path; names on the hub are like 'google/fnet-base'."
            )

    def find(self, *names: str) -> Path | None:
        """Give the first of these files that there is, or None.

        Raises
        ------
        FileNotFoundError
            If the hub knows no such model, or does not show it to this user.
        ConnectionError
            If the hub answers with anything else than the file.
        """
        for name in names:
            path = self._in_folder(name) if self._local else self._from_hub(name)
            if path is not None:
                return path
        return None

    def require(self, *names: str) -> Path:
        """Give the first of these files that there is.

        Raises
        ------
        FileNotFoundError
            If there is none of them, or as in `find`.
        ConnectionError
            If none is in the cache and the hub cannot be reached, or as in `find`.
        """
        path = self.find(*names)
        if path is not None:
            return path
        wanted = " or ".join(names)
        if self._unreachable is not None:
            raise ConnectionError(
                f"{self.name}: {wanted} is not in this machine's cache of the Hugging Face hub, "
                "and the hub cannot be reached. Check the connection and the environment variables "
                f"HF_HUB_OFFLINE and HF_HOME; or run `hf download {self.name}` where there is a "
                "connection, copy the files here and pass their folder."
            ) from self._unreachable
        place = "The folder" if self._local else "The hub's"
        raise FileNotFoundError(
            f"{place} {self.name} holds no {wanted}. It must be one that transformers' "
            "save_pretrained, or skfnet's to_huggingface, wrote for model and tokenizer; weights "
            "in one file."
        )

    def _in_folder(self, name: str) -> Path | None:
        path = Path(self.name, name)
        return path if path.is_file() else None

    def _from_hub(self, name: str) -> Path | None:
        # Imported here: most who import skfnet download nothing.
        import huggingface_hub
        from huggingface_hub.errors import (
            EntryNotFoundError,
            LocalEntryNotFoundError,
            RepositoryNotFoundError,
        )

        try:
            return Path(huggingface_hub.hf_hub_download(self.name, name))
        except LocalEntryNotFoundError as error:  # neither in the cache nor within reach
            self._unreachable = error
        except EntryNotFoundError:
            pass
        except RepositoryNotFoundError as error:
            raise FileNotFoundError(
                f"There is no folder {self.name}, and the Hugging Face hub has no model of this "
                "name, or does not show it to you: check the name; for a private or gated one, ask "
                "for access and run `hf auth login`."
            ) from error
        except Exception as error:  # of the client's HTTP library, which differs by version
            raise ConnectionError(
                f"{self.name}: {name} could not be downloaded from the Hugging Face hub "
                f"({type(error).__name__}: {error}). Try again later, or download the files "
                "elsewhere and pass their folder."
            ) from error
        return None
