"""What the tests train on: generated reviews, real sentences in many scripts, real corpora."""

# ruff: noqa: RUF001 (letters of other scripts look like Latin ones)

import csv
import gzip
import os
import random
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from sklearn.preprocessing import MultiLabelBinarizer

from skfnet import FNetClassifier, FNetPretrainer

DATA = Path(__file__).parents[1].parent / "shared" / "data"

# Article 1 of the Universal Declaration of Human Rights, and a few signs beside it.
SCRIPTS = {
    "english": "All human beings are born free and equal in dignity and rights.",
    "french": "Tous les êtres humains naissent libres et égaux en dignité et en droits.",
    "vietnamese": "Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm.",
    "turkish": "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar.",
    "greek": "Ολοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια.",
    "russian": "Все люди рождаются свободными и равными в своем достоинстве и правах.",
    "armenian": "Բոլոր մարդիկ ծնվում են ազատ ու հավասար իրենց արժանապատվությամբ։",
    "hebrew": "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם.",
    "arabic": "يولد جميع الناس أحرارا متساوين في الكرامة والحقوق.",
    "hindi": "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता प्राप्त है।",
    "tamil": "மனிதப் பிறிவியினர் சகலரும் சுதந்திரமாகவே பிறக்கின்றனர்.",
    "thai": "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ",
    "georgian": "ყველა ადამიანი იბადება თავისუფალი და თანასწორი.",
    "amharic": "የሰው ልጅ ሁሉ ሲወለድ ነጻና በክብርና በመብትም እኩልነት ያለው ነው።",
    "korean": "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
    "japanese": "すべての人間は、生まれながらにして自由であり、尊厳と権利とについて平等である。",
    "chinese": "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心。",
    "emoji": "Great 👍🏽 family 👩‍👩‍👧‍👦 flags 🇫🇷🇯🇵 and so on 🎉🎉🎉",
    "mathematics": "∀x∈ℝ: ⌈x⌉ = −⌊−x⌋, α ∧ ¬β, 2H₂ + O₂ ⇌ 2H₂O, 𝔄𝕭𝒞 ½ ≠ ⅓",
    "combining": "Z\u0351\u036b\u0343a\u0321\u0335lgo e\u0301 o\u0308\u0304 \u1112\u1161\u11ab",
    "signs": "a\x00b \x01\x7f\x85 \u200b\u200d\ufeff \ufffd <b>tag</b> [CLS] [PAD] \\n %s {}",
}

_WORDS = {
    "weather": "rain cloud wind storm sunny snow frost thunder mist warm cold breeze",
    "kitchen": "flour sugar butter oven bake onion garlic salt pepper soup bread cake",
    "football": "goal striker keeper penalty match league coach pitch corner referee ball team",
}
_FILLERS = "the a of and it was very there we they had some then again today more little"


def generated_reviews(n_documents, seed=0, longest=40):
    """Make documents of 1 to `longest` words on one of three topics, and their topics."""
    draw = random.Random(seed)
    topics = [list(_WORDS)[i % len(_WORDS)] for i in range(n_documents)]
    fillers = _FILLERS.split()
    texts = []
    for topic in topics:
        own, length = _WORDS[topic].split(), draw.randint(1, longest)
        words = [draw.choice(own if draw.random() < 0.4 else fillers) for _ in range(length)]
        words[draw.randrange(length)] = draw.choice(own)  # never without a word of its topic
        texts.append(" ".join(words))
    return texts, topics


def small_classifier(**changes):
    """Give an unfitted classifier that trains in a moment."""
    parameters = dict(
        depth=1,
        width=16,
        n_encoders=1,
        max_length=64,
        max_epochs=6,
        batch_size=16,
        learning_rate=1e-2,
        random_state=0,
        device="cpu",
    )
    return FNetClassifier(**(parameters | changes))


def small_pretrainer(**changes):
    """Give an unfitted pretrainer that trains in a moment."""
    parameters = dict(
        depth=2,
        width=16,
        max_length=64,
        max_epochs=2,
        batch_size=16,
        learning_rate=1e-2,
        validation_fraction=0.1,
        random_state=0,
        device="cpu",
    )
    return FNetPretrainer(**(parameters | changes))


@contextmanager
def rights(path, mode):
    """Leave so many rights to a path; for as long, root is somebody to whom they matter."""
    if os.name == "nt":
        pytest.skip("Windows gives and takes rights in another way")
    before, user = path.stat().st_mode, os.geteuid()
    path.chmod(mode)
    try:
        if user == 0:
            os.seteuid(65534)
        yield
    finally:
        os.seteuid(user)
        path.chmod(before)


class Shift(torch.nn.Module):
    """A mixer of a user's own: gives each token the one before it."""

    def __init__(self, config):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.full((config.width,), 0.5))

    def forward(self, x, lengths):
        return self.scale * torch.nn.functional.pad(x[:, :-1], (0, 0, 1, 0))


def read_rows(name, split):
    """Read texts and labels of a data set of ``../shared/data``."""
    rows = _rows(name, split)
    return [row["text"] for row in rows], [row["label"] for row in rows]


def read_pairs(name, split):
    """Read pairs of texts, and labels, of a data set of ``../shared/data``."""
    rows = _rows(name, split)
    return [(row["text_a"], row["text_b"]) for row in rows], [row["label"] for row in rows]


def read_label_sets(name, split):
    """Read texts, and an indicator matrix of their labels, of a data set of ``../shared/data``."""
    rows = _rows(name, split)
    sets = [row["labels"].split("|") if row["labels"] else [] for row in rows]
    return [row["text"] for row in rows], MultiLabelBinarizer().fit_transform(sets)


def _rows(name, split):
    """Read a file, shuffled; skip the test where it is absent."""
    path = DATA / name / f"{split}.csv.gz"
    if not path.exists():
        pytest.skip(f"needs the data set {name} in ../shared/data")
    csv.field_size_limit(10**9)
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    random.Random(0).shuffle(rows)
    return rows
