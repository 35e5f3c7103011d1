"""TextTokenizer: learns a vocabulary from texts and turns texts into token ids."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from numbers import Integral
from typing import Any, Self

import numpy as np
import tokenizers
from scipy.sparse import csr_matrix, vstack
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from .batches import SpecialTokens, TokenArray
from .subwords import buckets_for, spell
from .texts import Texts, are_pairs, check_documents

__all__ = ["TextTokenizer"]

PAD, UNKNOWN, CLS, SEP, MASK = SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

# Longer runs of letters or signs are cut here, from the left, so that a text without spaces
# costs no more than any other and the tokens of its beginning never depend on its end.
_LONGEST_WORD = 64
_SMALLEST_VOCABULARY = len(SPECIAL_TOKENS) + 256
# Where no space stands between words: ideographs and kana, each a word; and stretches of the
# scripts whose signs mean nothing alone, known by the n-grams in them.
_WRITTEN_WITHOUT_SPACES = (
    r"[\p{Han}\p{Hiragana}\p{Katakana}]|(?:[\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]\p{M}*){1,16}"
)
# A document is cut before it is tokenized, at first after this many characters a wanted token.
_CHARACTERS_PER_TOKEN = 12


class TextTokenizer(TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):
    """Learn a vocabulary from texts and turn texts into ragged arrays of token ids.

    Words that occur at least twice get an entry of their own. Beside it each word, known or not,
    has its character n-grams, by which the encoder knows the parts of a word that training has
    not seen; so no character of any script is lost. Ideographs and kana are words of their own.
    Thai, Lao, Khmer and Burmese, which put no space between words either, are cut every 16 letters.
    Training is deterministic.

    Parameters
    ----------
    model : {"word", "bpe", "char", "byte"}, default="word"
        "word" takes whole words and their character n-grams. "bpe" is byte-pair encoding, without
        n-grams. "char" makes every character a token, spaces too, and spells rare ones in bytes;
        "byte" makes every byte of UTF-8 one.
    vocab_size : int, default=30000
        Upper limit of the vocabulary: special tokens and words, or bytes and pieces, together.
    min_frequency : int, default=2
        How often a word, or a pair of pieces, must occur to get an entry of its own.
    lowercase : bool, default=True
        Whether upper and lower case are the same.

    Attributes
    ----------
    tokenizer_ : tokenizers.Tokenizer
        The trained tokenizer.
    special_tokens_ : SpecialTokens
        Ids of padding, of what wraps a document, of words outside the vocabulary and of hidden
        ones.
    n_ids_ : int
        All token ids of the vocabulary are below this number. In what `transform` gives, words
        outside it follow, each with an id that holds for this one output.
    spellings_ : csr_matrix of shape (n_ids_, n_buckets), or None
        The character n-grams of the vocabulary's words, hashed.

    See Also
    --------
    FNetClassifier : Takes what `transform` returns, or a TextTokenizer as its `tokenizer`.

    Examples
    --------
    >>> from skfnet import TextTokenizer
    >>> tokenizer = TextTokenizer().fit(["the cat sat", "the cat ran"])
    >>> tokens = tokenizer.transform(["the cat", "the dog"])
    >>> tokens.lengths
    array([2, 2])
    >>> tokenizer.decode(tokens[1])  # its letters reach the encoder
    'the [UNK]'
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
        copy = tokenizers.Tokenizer.from_str(tokenizer.to_str())
        return cls().adopt(copy, cuts_are_safe=False, spelled=False)

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
        new: dict[str, int] = {}  # words outside the vocabulary, and their ids
        if are_pairs(documents):
            join = TokenArray.from_pairs
            sides = [
                self._rows(list(side), max_tokens, new) for side in zip(*documents, strict=True)
            ]
        else:
            join, sides = TokenArray.from_rows, [self._rows(documents, max_tokens, new)]
        spellings = self.spellings_
        if new:
            spellings = vstack([spellings, spell(list(new), spellings.shape[1])], format="csr")
        return join(*sides, self.n_ids_, self.special_tokens_, spellings)

    def decode(self, ids: Sequence[int]) -> str:
        """Show token ids as text, tokens set apart by spaces.

        Parameters
        ----------
        ids : sequence of int
            Token ids of one document.

        Returns
        -------
        str
            A word outside the vocabulary is shown as [UNK], bytes that form no character as
            U+FFFD.
        """
        check_is_fitted(self)
        known = (int(i) if i < self.n_ids_ else self.special_tokens_.unknown for i in ids)
        decode = self.tokenizer_.decode
        pieces = (decode([i], skip_special_tokens=False).strip(" ") for i in known)
        return " ".join(piece for piece in pieces if piece)

    def adopt(self, tokenizer: tokenizers.Tokenizer, *, cuts_are_safe: bool, spelled: bool) -> Self:
        """Take a ready tokenizer as the fitted one, and change it.

        Parameters
        ----------
        tokenizer : tokenizers.Tokenizer
            Its truncation and padding are taken away.
        cuts_are_safe : bool
            Whether the tokens of a text's beginning never depend on its end.
        spelled : bool
            Whether it knows words, which have n-grams.

        Returns
        -------
        TextTokenizer
            Itself.
        """
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self.tokenizer_ = tokenizer
        self.special_tokens_ = _special_tokens(tokenizer)
        self.n_ids_ = max(tokenizer.get_vocab().values()) + 1  # a foreign one may leave ids out
        self._cuts_are_safe = cuts_are_safe
        self.spellings_ = self._spelled() if spelled else None
        return self

    def set_output(self, *, transform: str | None = None) -> Self:
        """Do nothing: the output is ragged and stays a TokenArray, whatever is asked for.

        It is here so that a pipeline's ``set_output`` reaches the steps after this one.
        """
        return self

    def _train(self, documents: Texts) -> Self:
        if are_pairs(documents):
            documents = [text for pair in documents for text in pair]
        if self.model == "word":
            trained = self._untrained(models.WordLevel(unk_token=UNKNOWN))
            trainer = self._word_trainer(SPECIAL_TOKENS)
        else:
            trained = self._untrained(models.BPE(unk_token=UNKNOWN))
            trainer = self._piece_trainer()
        trained.train_from_iterator(documents, trainer)
        state = json.loads(trained.to_str())
        # "[SEP]" in a text is text: the special tokens keep their ids but are not looked for.
        state["added_tokens"] = []
        if self.model == "char":
            self._add_characters(state["model"], documents)
        trained = tokenizers.Tokenizer.from_str(json.dumps(state))
        wrap = [(token, trained.token_to_id(token)) for token in (CLS, SEP)]
        trained.post_processor = processors.TemplateProcessing(
            single=f"{CLS} $A {SEP}", pair=f"{CLS} $A {SEP} $B:1 {SEP}:1", special_tokens=wrap
        )
        return self.adopt(trained, cuts_are_safe=True, spelled=self.model == "word")

    def _untrained(self, model: models.Model) -> tokenizers.Tokenizer:
        tokenizer = tokenizers.Tokenizer(model)
        steps = [normalizers.NFC()] + [normalizers.Lowercase()] * bool(self.lowercase)
        tokenizer.normalizer = normalizers.Sequence(steps)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(self._cuts())
        if self.model != "word":
            tokenizer.decoder = decoders.ByteLevel()
        return tokenizer

    def _cuts(self) -> list[pre_tokenizers.PreTokenizer]:
        """Words are runs of letters and digits, or of other signs."""
        spelled = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        if self.model in ("char", "byte"):
            return [pre_tokenizers.FixedLength(1), spelled]
        cuts = [pre_tokenizers.Whitespace(), pre_tokenizers.FixedLength(_LONGEST_WORD)]
        if self.model == "bpe":
            return [*cuts, spelled]
        alone = pre_tokenizers.Split(tokenizers.Regex(_WRITTEN_WITHOUT_SPACES), "isolated")
        return [cuts[0], alone, cuts[1]]

    def _word_trainer(self, special_tokens: list[str]) -> trainers.WordLevelTrainer:
        return trainers.WordLevelTrainer(
            vocab_size=self.vocab_size,
            min_frequency=self.min_frequency,
            special_tokens=special_tokens,
            show_progress=False,
        )

    def _piece_trainer(self) -> trainers.BpeTrainer:
        without_pieces = self.model in ("char", "byte")
        return trainers.BpeTrainer(
            vocab_size=_SMALLEST_VOCABULARY if without_pieces else self.vocab_size,
            min_frequency=self.min_frequency,
            special_tokens=SPECIAL_TOKENS,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )

    def _add_characters(self, model: dict[str, Any], documents: list[str]) -> None:
        """Add the frequent characters, most frequent first, to the bytes."""
        characters = self._untrained(models.WordLevel(unk_token=UNKNOWN))
        characters.train_from_iterator(documents, self._word_trainer([]))
        frequent = characters.get_vocab()
        vocabulary = model["vocab"]
        for character in sorted(frequent, key=frequent.__getitem__):
            if len(vocabulary) >= self.vocab_size:
                break
            vocabulary.setdefault(character, len(vocabulary))
        model["ignore_merges"] = True  # look a character up before taking it apart

    def _spelled(self) -> csr_matrix:
        """Spell the vocabulary; there are about as many words again that are too rare for it."""
        vocabulary = self.tokenizer_.get_vocab()
        words = sorted(vocabulary, key=vocabulary.__getitem__)[len(SPECIAL_TOKENS) :]
        n_buckets = buckets_for(2 * len(words))
        unspelled = csr_matrix((len(SPECIAL_TOKENS), n_buckets), dtype=np.float32)
        return vstack([unspelled, spell(words, n_buckets)], format="csr")

    def _rows(
        self, texts: list[str], max_tokens: int | None, new: dict[str, int]
    ) -> list[list[int]]:
        if self.spellings_ is not None:
            # The places that tokenizers gives are wrong where it composes letters and marks.
            texts = [unicodedata.normalize("NFC", text) for text in texts]
        if max_tokens is not None and self._cuts_are_safe:
            encodings = self._encode_beginnings(texts, max_tokens)
        else:
            encodings = self._encode(texts)
        rows = [encoding.ids[:max_tokens] for encoding in encodings]
        if self.spellings_ is not None:
            for row, encoding, text in zip(rows, encodings, texts, strict=True):
                self._number_new_words(row, encoding, text, new)
        return rows

    def _encode(self, texts: list[str]) -> list[tokenizers.Encoding]:
        if self.spellings_ is None:
            return self.tokenizer_.encode_batch_fast(texts, add_special_tokens=False)
        return self.tokenizer_.encode_batch(texts, add_special_tokens=False)  # with their places

    def _number_new_words(
        self, row: list[int], encoding: tokenizers.Encoding, text: str, new: dict[str, int]
    ) -> None:
        """Give each word outside the vocabulary an id of its own, beyond the vocabulary's."""
        unknown = self.special_tokens_.unknown
        if unknown not in row:
            return
        places = encoding.offsets
        for i, token in enumerate(row):
            if token == unknown:
                word = self.tokenizer_.normalizer.normalize_str(text[slice(*places[i])])
                row[i] = new.setdefault(word, self.n_ids_ + len(new))

    def _encode_beginnings(
        self, documents: Sequence[str], max_tokens: int
    ) -> list[tokenizers.Encoding]:
        """Tokenize longer and longer beginnings until each holds enough tokens.

        The last word of a beginning may have been cut and is left out; those before it end
        where they end in the whole text, since words are read from the left.
        """
        found: list[Any] = [None] * len(documents)
        pending = list(range(len(documents)))
        size = _CHARACTERS_PER_TOKEN * max_tokens
        while pending:
            whole = [i for i in pending if len(documents[i]) <= size]
            texts = [documents[i] for i in whole]
            for i, encoding in zip(whole, self._encode(texts), strict=True):
                found[i] = encoding
            cut = [i for i in pending if len(documents[i]) > size]
            texts = [_beginning(documents[i], size) for i in cut]
            batch = self.tokenizer_.encode_batch(texts, add_special_tokens=False)
            pending = []
            for i, encoding in zip(cut, batch, strict=True):
                words = encoding.word_ids
                n_certain = words.index(words[-1]) if words else 0
                if n_certain >= max_tokens:
                    found[i] = encoding
                else:
                    pending.append(i)
            size *= 4
        return found

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.transformer_tags.preserves_dtype = []  # token ids, whatever comes in
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        if "tokenizer_" in state:
            # The spelling follows from the vocabulary.
            spelled = state["spellings_"] is not None
            state = {**state, "tokenizer_": state["tokenizer_"].to_str(), "spellings_": spelled}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if isinstance(state.get("tokenizer_"), str):
            tokenizer = tokenizers.Tokenizer.from_str(state["tokenizer_"])
            state = {**state, "tokenizer_": tokenizer}
        super().__setstate__(state)
        if "spellings_" in state:
            self.spellings_ = self._spelled() if state["spellings_"] else None


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

    def find(*names: str) -> int | None:
        known = (tokenizer.token_to_id(name) for name in names)
        return next((i for i in known if i is not None), None)

    return SpecialTokens(
        pad=find(PAD, "<pad>", "<|pad|>") or 0,
        prefix=tuple(wrapped[:start]),
        suffix=tuple(wrapped[start + len(bare) :]),
        unknown=find(UNKNOWN, "<unk>"),
        mask=find(MASK, "<mask>"),
    )
