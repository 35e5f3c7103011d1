"""TextTokenizer: learns a vocabulary from texts and turns texts into token ids."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from numbers import Integral
from typing import Any, Self

import tokenizers
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from .batches import SpecialTokens, TokenArray
from .texts import Texts, are_pairs, check_documents

__all__ = ["TextTokenizer"]

PAD, UNKNOWN, CLS, SEP, MASK = SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

# Longer runs of letters or signs are cut here, from the left, so that a text without spaces
# costs no more than any other and the pieces of its beginning never depend on its end.
_LONGEST_WORD = 64
_SMALLEST_VOCABULARY = len(SPECIAL_TOKENS) + 256
# Beside whole words, a piece must occur this often, in a small corpus once in so many documents.
_PIECE_FREQUENCY = 300
_DOCUMENTS_PER_PIECE = 15
# A document is cut before it is tokenized, at first after this many characters a wanted token.
_CHARACTERS_PER_TOKEN = 12


class TextTokenizer(TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):
    """Learn a vocabulary from texts and turn texts into ragged arrays of token ids.

    Frequent words stay whole; a rarer word falls apart into a mark and the pieces that
    byte-pair encoding learned, at worst into bytes, so that no character of any script is lost.
    Training is deterministic.

    Parameters
    ----------
    model : {"word", "bpe", "char", "byte"}, default="word"
        "word" keeps the frequent words whole and splits the others into byte-pair pieces;
        "bpe" is byte-pair encoding alone. "char" makes every character a token, spaces too, and
        spells rare ones in bytes; "byte" makes every byte of UTF-8 one.
    vocab_size : int, default=30000
        Upper limit of the vocabulary: special tokens, bytes, pieces and words together.
    min_frequency : int, default=2
        How often a word, or a pair of pieces, must occur to get an entry of its own.
    lowercase : bool, default=True
        Whether upper and lower case are the same.

    Attributes
    ----------
    tokenizer_ : tokenizers.Tokenizer
        The trained tokenizer.
    special_tokens_ : SpecialTokens
        Ids of padding and of what wraps a document.
    n_ids_ : int
        All token ids are below this number.

    See Also
    --------
    FNetClassifier : Takes what `transform` returns, or a TextTokenizer as its `tokenizer`.

    Examples
    --------
    >>> from skfnet import TextTokenizer
    >>> tokenizer = TextTokenizer().fit(["the cat sat", "the cat ran"])
    >>> tokens = tokenizer.transform(["the cat", "the dog"])
    >>> tokens.lengths  # an unseen word is spelled out
    array([2, 5])
    >>> tokenizer.decode(tokens[1])
    'the d o g'
    """

    _parameter_constraints: dict[str, list] = {
        "model": [StrOptions({"word", "bpe", "char", "byte"})],
        "vocab_size": [Interval(Integral, _SMALLEST_VOCABULARY, None, closed="left")],
        "min_frequency": [Interval(Integral, 1, None, closed="left")],
        "lowercase": ["boolean"],
    }

    def __init__(
        self,
        *,
        model: str = "word",
        vocab_size: int = 30_000,
        min_frequency: int = 2,
        lowercase: bool = True,
    ) -> None:
        self.model = model
        self.vocab_size = vocab_size
        self.min_frequency = min_frequency
        self.lowercase = lowercase

    @classmethod
    def from_tokenizer(cls, tokenizer: tokenizers.Tokenizer) -> TextTokenizer:
        """Wrap a ready ``tokenizers.Tokenizer``; the result is fitted.

        Parameters
        ----------
        tokenizer : tokenizers.Tokenizer
            Used as it is, its truncation and padding apart.

        Returns
        -------
        TextTokenizer
        """
        self = cls()
        self._adopt(tokenizers.Tokenizer.from_str(tokenizer.to_str()), cuts_are_safe=False)
        return self

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the vocabulary of `X`.

        Parameters
        ----------
        X : iterable of str, or of pairs of str
            The documents.
        y : None
            Ignored.

        Returns
        -------
        TextTokenizer
            Itself.
        """
        self._validate_params()
        return self._train(check_documents(X))

    def transform(self, X: Any) -> TokenArray:
        """Turn documents into token ids.

        Parameters
        ----------
        X : iterable of str, or of pairs of str
            The documents.

        Returns
        -------
        TokenArray of shape (n_documents,)
            Whole documents, without special tokens.
        """
        check_is_fitted(self)
        return self.encode(check_documents(X))

    def fit_transform(self, X: Any, y: Any = None) -> TokenArray:
        """Learn the vocabulary of `X` and give its token ids.

        Parameters
        ----------
        X : iterable of str, or of pairs of str
            The documents, read once.
        y : None
            Ignored.

        Returns
        -------
        TokenArray of shape (n_documents,)
            Whole documents, without special tokens.
        """
        self._validate_params()
        documents = check_documents(X)
        return self._train(documents).encode(documents)

    def encode(self, documents: Texts, max_tokens: int | None = None) -> TokenArray:
        """Turn checked documents into token ids.

        Parameters
        ----------
        documents : list of str, or of pairs of str
            What :func:`skfnet.texts.check_documents` gave.
        max_tokens : int, optional
            Keep the first `max_tokens` tokens of each text. A long document is then cut
            before it is tokenized, with the same tokens as if it had not been.

        Returns
        -------
        TokenArray of shape (n_documents,)
        """
        check_is_fitted(self)
        if are_pairs(documents):
            sides = [self._rows(list(side), max_tokens) for side in zip(*documents, strict=True)]
            return TokenArray.from_pairs(*sides, self.n_ids_, self.special_tokens_)
        rows = self._rows(documents, max_tokens)
        return TokenArray.from_rows(rows, self.n_ids_, self.special_tokens_)

    def decode(self, ids: Sequence[int]) -> str:
        """Show token ids as text, tokens set apart by spaces.

        Parameters
        ----------
        ids : sequence of int
            Token ids of one document.

        Returns
        -------
        str
            Bytes that form no character are shown as U+FFFD.
        """
        check_is_fitted(self)
        decode = self.tokenizer_.decode
        pieces = (decode([int(i)], skip_special_tokens=False).strip(" ") for i in ids)
        return " ".join(piece for piece in pieces if piece)

    def set_output(self, *, transform: str | None = None) -> Self:
        """Do nothing: the output is ragged and stays a TokenArray, whatever is asked for.

        It is here so that a pipeline's ``set_output`` reaches the steps after this one.
        """
        return self

    def _train(self, documents: Texts) -> Self:
        if are_pairs(documents):
            documents = [text for pair in documents for text in pair]
        trained = self._untrained(models.BPE(unk_token=UNKNOWN))
        trained.train_from_iterator(documents, self._piece_trainer(len(documents)))
        state = json.loads(trained.to_str())
        # "[SEP]" in a text is text: the special tokens keep their ids but are not looked for.
        state["added_tokens"] = []
        if self.model in ("word", "char"):
            self._add_words(state["model"], documents)
        trained = tokenizers.Tokenizer.from_str(json.dumps(state))
        trained.pre_tokenizer = self._splitter(marked=self.model == "word")
        wrap = [(token, trained.token_to_id(token)) for token in (CLS, SEP)]
        trained.post_processor = processors.TemplateProcessing(
            single=f"{CLS} $A {SEP}", pair=f"{CLS} $A {SEP} $B:1 {SEP}:1", special_tokens=wrap
        )
        self._adopt(trained, cuts_are_safe=True)
        return self

    def _untrained(self, model: models.Model, *, marked: bool = False) -> tokenizers.Tokenizer:
        tokenizer = tokenizers.Tokenizer(model)
        steps = [normalizers.NFC()] + [normalizers.Lowercase()] * bool(self.lowercase)
        tokenizer.normalizer = normalizers.Sequence(steps)
        tokenizer.pre_tokenizer = self._splitter(marked=marked)
        tokenizer.decoder = decoders.ByteLevel()
        return tokenizer

    def _splitter(self, *, marked: bool) -> pre_tokenizers.PreTokenizer:
        """Words are runs of letters and digits, or of other signs, spelled in bytes."""
        if self.model in ("char", "byte"):
            cuts = [pre_tokenizers.FixedLength(1)]
        else:
            cuts = [pre_tokenizers.Whitespace(), pre_tokenizers.FixedLength(_LONGEST_WORD)]
        spelled = pre_tokenizers.ByteLevel(add_prefix_space=marked, use_regex=False)
        return pre_tokenizers.Sequence([*cuts, spelled])

    def _piece_trainer(self, n_documents: int) -> trainers.BpeTrainer:
        fewest, size = self.min_frequency, self.vocab_size
        if self.model in ("char", "byte"):
            size = _SMALLEST_VOCABULARY  # no pieces
        elif self.model == "word":
            # Rare words are all that pieces have to spell. Pieces that are rare themselves make
            # a model learn single words by heart: only common ones, and few, are better.
            fewest = max(fewest, min(_PIECE_FREQUENCY, n_documents // _DOCUMENTS_PER_PIECE))
            size = max(_SMALLEST_VOCABULARY, size // 4)
        return trainers.BpeTrainer(
            vocab_size=size,
            min_frequency=fewest,
            special_tokens=SPECIAL_TOKENS,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )

    def _add_words(self, model: dict[str, Any], documents: list[str]) -> None:
        """Add the frequent words, or characters, most frequent first, to those of the pieces.

        Before each word goes a mark (a space), which belongs to no piece: a whole word never
        shares an entry with a piece that looks the same, and a word that is spelled out begins
        with the mark alone.
        """
        marked = self.model == "word"
        words = self._untrained(models.WordLevel(unk_token=UNKNOWN), marked=marked)
        trainer = trainers.WordLevelTrainer(
            vocab_size=self.vocab_size, min_frequency=self.min_frequency, show_progress=False
        )
        words.train_from_iterator(documents, trainer)
        frequent = words.get_vocab()
        vocabulary = model["vocab"]
        for word in sorted(frequent, key=frequent.__getitem__):
            if len(vocabulary) >= self.vocab_size:
                break
            vocabulary.setdefault(word, len(vocabulary))
        model["ignore_merges"] = True  # look a word up before taking it apart

    def _adopt(self, tokenizer: tokenizers.Tokenizer, *, cuts_are_safe: bool) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self.tokenizer_ = tokenizer
        self.special_tokens_ = _special_tokens(tokenizer)
        self.n_ids_ = max(tokenizer.get_vocab().values()) + 1  # a foreign one may leave ids out
        self._cuts_are_safe = cuts_are_safe

    def _rows(self, texts: list[str], max_tokens: int | None) -> list[list[int]]:
        if max_tokens is not None and self._cuts_are_safe:
            return self._encode_beginnings(texts, max_tokens)
        encodings = self.tokenizer_.encode_batch_fast(texts, add_special_tokens=False)
        return [encoding.ids[:max_tokens] for encoding in encodings]

    def _encode_beginnings(self, documents: Sequence[str], max_tokens: int) -> list[list[int]]:
        """Tokenize longer and longer beginnings until each holds enough tokens.

        The last word of a beginning may have been cut and is left out; those before it end
        where they end in the whole text, since words are read from the left.
        """
        rows: list[list[int]] = [[]] * len(documents)
        pending = list(range(len(documents)))
        size = _CHARACTERS_PER_TOKEN * max_tokens
        while pending:
            whole = [i for i in pending if len(documents[i]) <= size]
            texts = [documents[i] for i in whole]
            batch = self.tokenizer_.encode_batch_fast(texts, add_special_tokens=False)
            for i, encoding in zip(whole, batch, strict=True):
                rows[i] = encoding.ids[:max_tokens]
            cut = [i for i in pending if len(documents[i]) > size]
            texts = [_beginning(documents[i], size) for i in cut]
            batch = self.tokenizer_.encode_batch(texts, add_special_tokens=False)
            pending = []
            for i, encoding in zip(cut, batch, strict=True):
                words = encoding.word_ids
                n_certain = words.index(words[-1]) if words else 0
                if n_certain >= max_tokens:
                    rows[i] = encoding.ids[:max_tokens]
                else:
                    pending.append(i)
            size *= 4
        return rows

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.transformer_tags.preserves_dtype = []  # token ids, whatever comes in
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        if "tokenizer_" in state:
            state = {**state, "tokenizer_": state["tokenizer_"].to_str()}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if isinstance(state.get("tokenizer_"), str):
            tokenizer = tokenizers.Tokenizer.from_str(state["tokenizer_"])
            state = {**state, "tokenizer_": tokenizer}
        super().__setstate__(state)


def _beginning(text: str, size: int) -> str:
    """Cut after `size` characters, but not between a letter and the marks that belong to it."""
    while size < len(text) and unicodedata.combining(text[size]):
        size += 1
    return text[:size]


def _wrapped_word(tokenizer: tokenizers.Tokenizer) -> tuple[list[int], list[int]]:
    """Give the ids of some word that `tokenizer` knows, without and with what it is wrapped in."""
    vocabulary = tokenizer.get_vocab()
    for word in ("a", *sorted(vocabulary, key=vocabulary.__getitem__)):
        try:
            bare = tokenizer.encode(word, add_special_tokens=False).ids
        except Exception:  # tokenizers raises no narrower one for a word it cannot spell
            continue
        if bare:
            return bare, tokenizer.encode(word).ids
    return [], []


def _special_tokens(tokenizer: tokenizers.Tokenizer) -> SpecialTokens:
    """Find what `tokenizer` wraps a text in by letting it wrap one."""
    bare, wrapped = _wrapped_word(tokenizer)
    start = next(
        (i for i in range(len(wrapped)) if wrapped[i : i + len(bare)] == bare), len(wrapped)
    )
    known = (tokenizer.token_to_id(name) for name in (PAD, "<pad>", "<|pad|>"))
    pad = next((i for i in known if i is not None), 0)
    return SpecialTokens(pad, tuple(wrapped[:start]), tuple(wrapped[start + len(bare) :]))
