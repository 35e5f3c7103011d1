"""What every text estimator does around its model: read, tokenize, run, store."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable
from numbers import Real
from typing import Any

import numpy as np
import tokenizers
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted
from skorch.callbacks import Callback
from torch import Tensor

from .batches import TokenArray, Windows, by_length
from .nn import DocumentClassifier, EncoderConfig
from .texts import check_documents, is_missing
from .tokenizer import TextTokenizer
from .training import mixed_precision, tensors

Documents = list[str] | TokenArray


def check_input(X: Any) -> Documents:
    """Give checked documents; a TokenArray is taken as it is, unless it is empty."""
    if not isinstance(X, TokenArray):
        return check_documents(X)
    if len(X) == 0:
        raise ValueError(
            "Found array with 0 sample(s) (shape=(0,)) while a minimum of 1 is required: "
            "X holds no documents."
        )
    return X


def check_training_data(
    model: Any, X: Any, y: Any, sample_weight: Any
) -> tuple[Documents, np.ndarray, np.ndarray]:
    """Check documents, labels and weights together; leave rows of weight 0 out.

    Returns
    -------
    documents : list of str or TokenArray
    y : ndarray of shape (n_documents,)
    weights : ndarray of float64, shape (n_documents,)

    Raises
    ------
    ValueError
        If something is missing or of the wrong length or kind; rows are named.
    """
    if y is None:
        raise ValueError(
            f"{type(model).__name__} requires y to be passed, but the target y is None."
        )
    documents = check_input(X)
    if isinstance(y, list | tuple):  # NumPy would turn ["a", nan] into the strings "a" and "nan"
        _check_labels_present(y)
    y = column_or_1d(y, warn=True)
    check_consistent_length(documents, y)
    if y.dtype.kind in "OfcmM":
        _check_labels_present(y)
    check_classification_targets(y)
    weights = _check_sample_weight(
        sample_weight, documents, dtype=np.float64, ensure_non_negative=True
    )
    used = np.flatnonzero(weights)
    if not len(used):  # scikit-learn before 1.8 lets them through
        raise ValueError("Sample weights must contain at least one non-zero number.")
    if len(used) < len(weights):
        documents, y, weights = take(documents, used), y[used], weights[used]
    return documents, y, weights


def _check_labels_present(y: Iterable[Any]) -> None:
    for row, label in enumerate(y):
        if is_missing(label):
            raise ValueError(
                f"Input y contains NaN: row {row} is missing ({label!r}). Drop such rows."
            )
        if isinstance(label, Real) and np.isinf(label):
            raise ValueError(f"Input y contains infinity: row {row} holds {label!r}.")


def check_callbacks(model: Any) -> None:
    """Refuse what skorch cannot call, before anything is trained.

    Raises
    ------
    InvalidParameterError
        If something else than callbacks is in the `callbacks` parameter of `model`.
    """
    for item in model.callbacks or ():
        callback = item[1] if isinstance(item, tuple) and len(item) == 2 else item
        known = isinstance(callback, type) and issubclass(callback, Callback)
        if not (known or isinstance(callback, Callback)):
            raise InvalidParameterError(
                f"The 'callbacks' parameter of {type(model).__name__} must be a list of skorch "
                f"callbacks or of (name, callback). Got {item!r} in it."
            )


def take(documents: Documents, rows: np.ndarray) -> Documents:
    """Give some of the documents, in the order of `rows`."""
    if isinstance(documents, TokenArray):
        return documents[rows]
    return [documents[row] for row in rows]


def fitted_tokenizer(parameter: Any, documents: Documents) -> TextTokenizer | None:
    """Give the tokenizer that an estimator's `tokenizer` parameter stands for.

    Parameters
    ----------
    parameter : None, TextTokenizer, FrozenEstimator or tokenizers.Tokenizer
        None is a default TextTokenizer. An unfitted one is cloned and fitted on the documents;
        one that is frozen, or a ready ``tokenizers.Tokenizer``, is used as it is.
    documents : list of str or TokenArray
        What to fit it on. Where they are tokens already, there is no tokenizer: None.
    """
    if isinstance(documents, TokenArray):
        return None
    if isinstance(parameter, tokenizers.Tokenizer):
        return TextTokenizer.from_tokenizer(parameter)
    if isinstance(parameter, FrozenEstimator):
        frozen = parameter.estimator
        if not isinstance(frozen, TextTokenizer):
            raise TypeError(
                "The 'tokenizer' parameter holds a FrozenEstimator around "
                f"{type(frozen).__name__}; a TextTokenizer belongs in it."
            )
        check_is_fitted(frozen)
        return frozen
    tokenizer = TextTokenizer() if parameter is None else clone(parameter)
    return tokenizer.fit(documents)


def vocabulary_size(documents: Documents, tokenizer: TextTokenizer | None) -> int:
    """Give the number of token ids there can be."""
    if isinstance(documents, TokenArray):
        return documents.vocab_size
    return tokenizer.n_ids_


def check_room(max_length: int, documents: Documents, tokenizer: TextTokenizer | None) -> None:
    """Refuse a `max_length` that has no room beside the special tokens.

    Raises
    ------
    ValueError
        If it has none.
    """
    given = isinstance(documents, TokenArray)
    n_special = len(documents.special if given else tokenizer.special_tokens_)
    if max_length <= n_special:
        raise ValueError(
            f"max_length={max_length} leaves no room beside the tokenizer's {n_special} special "
            f"tokens; use at least {n_special + 1}."
        )


def to_tokens(
    documents: Documents,
    tokenizer: TextTokenizer | None,
    max_length: int,
    long_documents: str,
    vocab_size: int,
) -> TokenArray:
    """Tokenize documents as far as they will be read; warn once where text is left out.

    Raises
    ------
    ValueError
        If the tokens come from a vocabulary of another size, or if there is no tokenizer for
        texts.
    """
    # One token more than fits tells which documents are too long.
    limit = max_length + 1 if long_documents == "truncate" else None
    tokens = documents
    if not isinstance(documents, TokenArray):
        if tokenizer is None:
            raise ValueError(
                "This estimator was fitted on tokens and has no tokenizer: pass what the same "
                "TextTokenizer's transform gives, not texts."
            )
        tokens = tokenizer.encode(documents, limit)
    elif tokens.vocab_size != vocab_size:
        raise ValueError(
            f"The tokens in X are from a vocabulary of {tokens.vocab_size}, the estimator was "
            f"fitted with one of {vocab_size}: use the same TextTokenizer for both."
        )
    n_long = int((tokens.lengths > max_length - len(tokens.special)).sum())
    if n_long and long_documents == "truncate":
        warnings.warn(
            f"{n_long} of {len(tokens)} documents are longer than "
            f"max_length={max_length} tokens and were cut there. Raise max_length, or read "
            "them whole with long_documents='mean'.",
            UserWarning,
            stacklevel=4,
        )
    return tokens


def run_windows(
    function: Any, windows: Windows, *, batch_size: int, device: torch.device, bfloat16: bool
) -> np.ndarray:
    """Apply a function of a batch to all windows and average over each document's.

    Parameters
    ----------
    function : callable
        Called with ``ids`` and ``lengths``; gives a Tensor of shape (batch, k).
    windows : Windows
        The input.
    batch_size : int
        Windows at a time.
    device : torch.device
        Where the function's weights are.
    bfloat16 : bool
        Mixed precision.

    Returns
    -------
    ndarray of float32, shape (n_documents, k)
    """
    results: list[Tensor] = []
    order = by_length(windows.lengths, batch_size)
    with torch.inference_mode(), mixed_precision(device, bfloat16):
        for rows in order:
            batch = {name: t.to(device) for name, t in tensors(windows, rows).items()}
            results.append(function(**batch).float().cpu())
    stacked = np.empty((len(windows), results[0].shape[1]), dtype=np.float32)
    stacked[np.concatenate(order)] = torch.cat(results).numpy()
    if len(windows) == len(windows.tokens):
        return stacked
    first = np.searchsorted(windows.document, np.arange(len(windows.tokens)))
    sums = np.add.reduceat(stacked, first, axis=0)
    return sums / np.bincount(windows.document)[:, None].astype(np.float32)


def draw_seed(random_state: Any) -> int:
    """Draw a seed, leaving NumPy's global state alone.

    None draws a fresh one from the operating system; a RandomState moves on by one draw, as in
    scikit-learn's estimators.
    """
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31))
    return int(random_state)


def usable_device(device: str) -> torch.device:
    """Give the torch device that the `device` parameter stands for.

    Raises
    ------
    ValueError
        If torch does not know the device, or this machine has none of its kind.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        asked = torch.device(device)
        torch.empty(0, device=asked)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise ValueError(
            f"device={device!r} cannot be used here: {reason}. "
            "Use device='auto' to take what there is."
        ) from error
    return asked


def device_at_load(device: str) -> torch.device:
    """Give the device for a loaded model: the one asked for, or what this machine has."""
    try:
        return usable_device(device)
    except ValueError:
        return usable_device("auto")


def use_bfloat16(precision: str, device: torch.device) -> bool:
    """Say whether the `precision` parameter means mixed precision on `device`."""
    if precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return precision == "bfloat16"


def pack_model(model: DocumentClassifier) -> dict[str, Any]:
    """Give a model as plain data: JSON text and NumPy arrays, no device, no code.

    A mixer of the user's own stands beside them: it is stored as a reference to its code.
    """
    encoder = model.encoder.config.to_dict()
    own = {} if isinstance(encoder["mixer"], str) else {"mixer": encoder.pop("mixer")}
    shape = {
        "encoder": encoder,
        "n_classes": model.output.out_features,
        "pooling": model.pooling_name,
    }
    weights = {name: t.detach().cpu().numpy() for name, t in model.state_dict().items()}
    return {"shape": json.dumps(shape), "weights": weights, **own}


def unpack_model(packed: dict[str, Any]) -> DocumentClassifier:
    """Rebuild what :func:`pack_model` gave, on the CPU."""
    shape = json.loads(packed["shape"])
    own = {"mixer": packed["mixer"]} if "mixer" in packed else {}
    with torch.random.fork_rng(devices=[]):  # the initial weights are overwritten
        model = DocumentClassifier(
            EncoderConfig(**shape["encoder"], **own), shape["n_classes"], shape["pooling"]
        )
    model.load_state_dict({name: torch.tensor(a) for name, a in packed["weights"].items()})
    return model.eval()
