"""Models that transformers makes and writes, and what it says of texts: to compare with."""

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

CORPUS = [
    "the film was good, and the plot was better than the book",
    "a bad film with a worse plot; nobody should see it",
    "good acting, bad music, and an ending that nobody understood",
    "It's the best book about films that I have read in years.",
] * 3
# Known and unknown words, an empty text, one that is cut, signs outside the vocabulary.
TEXTS = [
    "the good film",
    "A better book about acting, 1984!",
    "",
    " ".join(CORPUS),
    "naïve café \u4e2d\u6587 \N{GRINNING FACE} the end",
    "plot",
]
PAIRS = [("the good film", "the plot"), ("", "bad"), (" ".join(CORPUS[:5]), " ".join(CORPUS[:7]))]
MAX_LENGTH = 24
# As in the published vocabulary; transformers 5 takes the second of an FNetTokenizer for unknown.
PUBLISHED = ["<unk>", "<s>", "</s>", "<pad>", "[CLS]", "[SEP]", "[MASK]"]
ITS_OWN = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]


def unigram(special=PUBLISHED):
    """Train a tokenizer as FNet's is: pieces of words, [CLS] and [SEP] around a text."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    trainer = trainers.UnigramTrainer(
        vocab_size=90, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    wrap = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=wrap
    )
    return tokenizer


def save_tokenizer(folder, kind="PreTrainedTokenizerFast"):
    """Let a tokenizer of transformers write its files; give it."""
    import transformers

    if kind == "FNetTokenizerFast":
        folder.mkdir(parents=True, exist_ok=True)
        unigram(ITS_OWN).save(str(folder / "tokenizer.json"))
        theirs = transformers.FNetTokenizerFast.from_pretrained(folder)
    else:
        theirs = transformers.PreTrainedTokenizerFast(
            tokenizer_object=unigram(),
            unk_token="<unk>",
            pad_token="<pad>",
            cls_token="[CLS]",
            sep_token="[SEP]",
            mask_token="[MASK]",
            model_input_names=["input_ids", "token_type_ids"],
        )
    theirs.save_pretrained(folder)
    return theirs


def save_model(folder, kind="FNetForSequenceClassification", tokenizer=None, **settings):
    """Let a model of transformers with random weights write its files; give it."""
    import transformers

    sizes = {
        "vocab_size": len(tokenizer or save_tokenizer(folder)),
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "intermediate_size": 40,
        "max_position_embeddings": MAX_LENGTH,
    }
    model = getattr(transformers, kind)(transformers.FNetConfig(**(sizes | settings)))
    spread(model).eval().save_pretrained(folder)
    return model


def spread(model, seed=0):
    """Give every weight a value that matters: far from zero, biases and norms included."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return model


def their_answers(model, tokenizer, texts, **changes):
    """Give what a model of transformers says of texts that are padded as in its training."""
    columns = [list(column) for column in zip(*texts, strict=True)] if is_pairs(texts) else [texts]
    padding = {"padding": "max_length", "truncation": True, "max_length": MAX_LENGTH} | changes
    inputs = tokenizer(*columns, return_tensors="pt", **padding)
    inputs = {name: inputs[name] for name in ("input_ids", "token_type_ids")}
    with torch.inference_mode():
        return model(**inputs, output_hidden_states=True)


def is_pairs(texts):
    return isinstance(texts[0], tuple)


def assert_close(ours, theirs, tolerance=1e-5):
    """Compare to 1e-5 of the largest number."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= tolerance * max(np.abs(theirs).max(), 1)
