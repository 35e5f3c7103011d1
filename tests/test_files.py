"""The readers of labelled files."""

import csv
import gzip
import io
import json

import pytest

from skfnet.files import read_lines, read_table

ROWS = [("good", "Well made, and quick"), ("bad", 'It said "no"\nand broke'), ("good", "ça 好")]


def write(path, content):
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def as_csv(rows, delimiter=",", header=("label", "text")):
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows([header, *rows])
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", as_csv(ROWS)),
        ("a.CSV", as_csv(ROWS)),
        ("a.csv.gz", as_csv(ROWS)),
        ("a.tsv", as_csv(ROWS, "\t")),
        ("a.tsv.gz", as_csv(ROWS, "\t")),
        ("a.tsv.csv", as_csv(ROWS)),
        ("a.csv", b"\xef\xbb\xbf" + as_csv(ROWS).encode()),
        ("a.csv", as_csv(ROWS).replace("\r\n", "\n")),
        ("a.csv", as_csv(ROWS) + "\n\n"),
        ("a.jsonl", "\n".join(json.dumps({"label": y, "text": t, "n": 1}) for y, t in ROWS)),
        ("a.jsonl.gz", "\n\n".join(json.dumps({"label": y, "text": t}) for y, t in ROWS)),
    ],
)
def test_tables_give_texts_and_labels(tmp_path, name, content):
    path = write(tmp_path / name, content)
    labels, texts = zip(*ROWS, strict=True)
    assert read_table(path) == (list(texts), list(labels))
    assert read_table(str(path), label=None) == list(texts)
    assert read_table(path, text="label", label="text") == (list(labels), list(texts))


def test_pandas_writes_what_is_read(tmp_path):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(ROWS, columns=["label", "text"])
    labels, texts = zip(*ROWS, strict=True)
    frame.to_csv(tmp_path / "a.csv")
    frame.to_csv(tmp_path / "a.tsv", sep="\t", index=False)
    frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    for name in ("a.csv", "a.tsv", "a.jsonl"):
        assert read_table(tmp_path / name) == (list(texts), list(labels))


@pytest.mark.parametrize("labels", [[3, 1, 3], [True, False, True], ["a", "b", "1"]])
def test_json_labels_come_as_they_are(tmp_path, labels):
    rows = [json.dumps({"text": "x", "label": label}) for label in labels]
    _, read = read_table(write(tmp_path / "a.jsonl", "\n".join(rows)))
    assert read == labels
    assert [type(label) for label in read] == [type(label) for label in labels]


def test_csv_labels_are_strings_and_empty_texts_documents(tmp_path):
    path = write(tmp_path / "a.csv", "text,label\n,1\n  ,0\n")
    assert read_table(path) == (["", "  "], ["1", "0"])


def test_a_long_field_is_read_and_the_csv_limit_put_back(tmp_path):
    limit = csv.field_size_limit()
    path = write(tmp_path / "a.csv", f"text,label\n{'word ' * 100_000},1\n")
    assert len(read_table(path)[0][0]) == 500_000
    assert csv.field_size_limit() == limit
    with pytest.raises(ValueError, match="line 2"):
        read_table(write(tmp_path / "b.csv", "text,label\none\n"))
    assert csv.field_size_limit() == limit


def test_unicode_line_separators_stay_inside_a_json_string(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"text": "a\u2028b\u0085c"}\r\n{"text": "\\ud800"}\r\n')
    assert read_table(path, label=None) == ["a\u2028b\u0085c", "\ud800"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "a.csv: the file is empty"),
        ("a.csv", "\n \n", "a.csv: the file is empty"),
        ("a.csv", "text,label\n", "a.csv: there is a header line, but no row"),
        (
            "a.csv",
            "Text,label,n\nx,y,1\n",
            "line 1: there is no column 'text'. Did you mean 'Text'",
        ),
        ("a.csv", "review,label\nx,y\n", "no column 'text'. There are: 'review', 'label'."),
        ("a.csv", "text,text,label\nx,y,z\n", "line 1: 2 columns are named 'text'"),
        ("a.csv", "text,label\nx,y\nx\n", "line 3: 1 fields where the header has 2"),
        ("a.csv", 'text,label\n"x\n\ny",y\nx,y,z\n', "line 5: 3 fields where the header has 2"),
        ("a.csv", 'text,label\nx,y\n"never closed,y\n', "line 3: unexpected end of data"),
        ("a.tsv", 'text\tlabel\n"He" said\tx\n', "line 2: .*double quote"),
        ("a.csv", "text,label\nx,y\nz,\n", "line 3, column 'label': .* got nothing"),
        ("a.csv", b"text,label\nx,y\nca\xe9,y\n", "a.csv, line 3: byte 0xe9 is not UTF-8"),
        ("a.csv", "text,label\nx,y\n".encode("utf-16"), "line 1: byte 0xff is not UTF-8"),
        ("a.jsonl", '{"text": "x", "label": 1}\n{"text": \n', "a.jsonl, line 2: invalid JSON"),
        ("a.jsonl", '{"text": "x", "label": 1}\n["x"]', "line 2: a JSON object .* got .'x'"),
        ("a.jsonl", '{"txt": "x", "label": 1}', "line 1: there is no key 'text'. Did .* 'txt'"),
        ("a.jsonl", '\n{"text": "x"}', "line 2: there is no key 'label'. There are: 'text'"),
        ("a.jsonl", '{"text": null, "label": 1}', "line 1, column 'text': a string .* nothing"),
        ("a.jsonl", '{"text": 7, "label": 1}', "line 1, column 'text': a string is needed, got 7"),
        ("a.jsonl", '{"text": "x", "label": null}', "column 'label': .* got nothing"),
        ("a.jsonl", '{"text": "x", "label": NaN}', "column 'label': .* got nan"),
        ("a.jsonl", '{"text": "x", "label": ["a"]}', "column 'label': .* got ..a"),
        (
            "a.jsonl",
            '{"text": "x", "label": 1}\n{"text": "x", "label": "1"}',
            "line 2, column 'label': a label of type int as above is needed, got '1'",
        ),
        ("a.xlsx", b"PK\x03\x04\xff", "a.xlsx: cannot tell .* .csv, .tsv or .jsonl"),
        ("a.gz", "x", "a.gz: cannot tell"),
    ],
)
def test_errors_name_file_line_and_column(tmp_path, name, content, message):
    path = write(tmp_path / name, content)
    with pytest.raises(ValueError, match=message) as caught:
        read_table(path)
    assert str(caught.value).startswith(str(path))


def test_what_is_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none.csv: no such file"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(OSError, match="is a folder"):
        read_table(tmp_path)
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(gzip.compress(b"text,label\nx,y\n")[:-6])
    plain = tmp_path / "plain.csv.gz"
    plain.write_bytes(b"text,label\nx,y\n")
    for path in (cut, plain):
        with pytest.raises(ValueError, match=r"csv.gz: is no complete gzip file"):
            read_table(path)


def test_lines_are_documents(tmp_path):
    content = "\ufeffone\r\n\r\nthree\u2028four\n"
    assert read_lines(write(tmp_path / "a.txt", content)) == ["one", "", "three\u2028four"]
    assert read_lines(write(tmp_path / "a.txt.gz", "x\ny")) == ["x", "y"]
    assert read_lines(io.BytesIO(b"\n")) == [""]
    with pytest.raises(ValueError, match=r"a.txt, line 2: byte 0xe9 is not UTF-8"):
        read_lines(write(tmp_path / "a.txt", b"x\n\xe9\n"))
    with pytest.raises(ValueError, match="the file is empty"):
        read_lines(io.BytesIO(b""))
