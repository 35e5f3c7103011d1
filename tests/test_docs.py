"""Every code block of README.md and docs/ is run, in the order of its page.

What the word after the three backticks means:

- ``python``: run; the blocks of a page share one namespace;
- ``pycon``: run, and what it prints is compared, as in a doctest;
- ``bash``: run line by line, in the same folder as the page's other blocks;
- ``csv``, ``jsonl`` or ``text`` with a file name: a file that the blocks after it read;
- ``text`` alone: shown, not run.

A page is run in an empty folder. The two commands that set up a fresh machine are run by
``.ci/run`` instead.
"""

import doctest
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import skfnet
import skfnet.datasets
import skfnet.nn
from skfnet.__main__ import main

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

FENCED = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE)
SETUP = re.compile(r"^<!-- setup: (?P<name>\w+) -->\n+```bash\n(?P<code>.*?)^```$", re.M | re.S)
RUN = {"python", "pycon", "bash"}
FILES = {"csv", "jsonl", "text"}
SHOWN = {"text"}
SHELL_SIGNS = set("|&;<>$`*")


class Block(NamedTuple):
    """A fenced block: its tag, the file name behind the tag, its lines and where they start."""

    language: str
    file: str
    code: str
    line: int


def blocks_of(page: str) -> list[Block]:
    found = []
    for match in FENCED.finditer(page):
        language, _, file = match["info"].strip().partition(" ")
        first_line = page.count("\n", 0, match.start("code")) + 1
        found.append(Block(language, file.strip(), match["code"], first_line))
    return found


def setup_commands() -> dict[str, str]:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    return {match["name"]: match["code"] for match in SETUP.finditer(page)}


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_blocks_of_the_page_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": page.stem}
    setup = setup_commands().values() if page.name == "README.md" else ()
    for block in blocks_of(page.read_text(encoding="utf-8")):
        where = f"{name(page)}, line {block.line}"
        if block.file:
            Path(block.file).write_text(block.code, encoding="utf-8")
        elif block.language == "python":
            # Behind so many line ends, a traceback shows the page's own line numbers.
            code = "\n" * (block.line - 1) + block.code
            exec(compile(code, str(page), "exec"), namespace)
        elif block.language == "pycon":
            run_examples(block, namespace, page)
        elif block.language == "bash" and block.code not in setup:
            run_commands(block.code, where)


def run_examples(block: Block, namespace: dict, page: Path) -> None:
    examples = doctest.DocTestParser().get_doctest(
        block.code, namespace, page.stem, str(page), block.line - 1
    )
    assert examples.examples, f"{name(page)}, line {block.line}: a pycon block without >>>"
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    runner.run(examples, out=report.append, clear_globs=False)
    assert not report, "".join(report)
    namespace.update(examples.globs)  # a doctest works on a copy


def run_commands(code: str, where: str) -> None:
    for line in code.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words[:3] == ["python", "-m", "skfnet"] and not SHELL_SIGNS & set(line):
            assert main(words[3:]) == 0, f"{where}: {line}"
        elif words:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", line],
                env=shell_environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, f"{where}: {line}\n{done.stdout}{done.stderr}"


def shell_environment() -> dict[str, str]:
    """Make ``python`` mean this interpreter, and let it find this skfnet in any folder."""
    before = {"PATH": str(Path(sys.executable).parent), "PYTHONPATH": str(ROOT)}
    joined = {
        key: os.pathsep.join([value, os.environ.get(key, "")]) for key, value in before.items()
    }
    return {**os.environ, **joined}


# --- nothing is left out ------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_block_is_skipped_silently(page):
    text = page.read_text(encoding="utf-8")
    blocks = blocks_of(text)
    # Indented fences, fences of tildes or of four backticks would escape the pattern.
    assert len(re.findall("```|~~~", text)) == 2 * len(blocks)
    for block in blocks:
        where = f"{name(page)}, line {block.line}"
        assert block.code.strip(), f"{where}: an empty block"
        if block.file:
            assert block.language in FILES, f"{where}: no file is made of {block.language!r}"
            assert Path(block.file).name == block.file, f"{where}: {block.file!r}"
        else:
            assert block.language in RUN | SHOWN, f"{where}: {block.language!r} is not run"
        if block.language == "python":
            assert ">>>" not in block.code, f"{where}: tag it pycon, to have its output compared"


def test_the_blocks_of_a_page_are_found():
    page = "text\n```python\nx = 1\n```\n\n```csv a.csv\nlabel,text\n```\n"
    assert blocks_of(page) == [
        Block("python", "", "x = 1\n", 3),
        Block("csv", "a.csv", "label,text\n", 7),
    ]


@pytest.mark.parametrize(
    "code",
    [
        "python -m skfnet nonsense\n",
        "python -c 'import sys; sys.exit(3)' | cat\n",
        "true\nfalse\n",
    ],
)
def test_a_command_that_fails_is_noticed(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AssertionError, match="somewhere"):
        run_commands(code, "somewhere")


def test_output_that_differs_is_noticed():
    with pytest.raises(AssertionError, match="Expected"):
        run_examples(Block("pycon", "", ">>> 1 + 1\n3\n", 1), {}, PAGES[0])


# --- what the pages promise ---------------------------------------------------------------


def test_readme_has_two_setup_commands_of_one_line():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count("<!-- setup:") == 2
    commands = setup_commands()
    assert sorted(commands) == ["demo", "tests"]
    installing = [block.code for block in blocks_of(text) if "pip " in block.code]
    assert sorted(installing) == sorted(commands.values())
    for command in commands.values():
        assert command.count("\n") == 1
        assert command.startswith("pip install ")
    assert "python -m skfnet demo" in commands["demo"]
    assert commands["tests"].rstrip().endswith("&& pytest")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_to_files_and_headings_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"\w+:", target):  # another site
            continue
        file, _, heading = target.partition("#")
        linked = page.parent / file if file else page
        assert linked.exists(), f"{name(page)}: no file {target}"
        if heading:
            assert heading in anchors(linked.read_text(encoding="utf-8")), f"{page.name}: {target}"


def anchors(text: str) -> set[str]:
    """Name the headings as code hosting sites and MkDocs do."""
    without_code = FENCED.sub("", text)
    titles = re.findall(r"^#+ (.+)$", without_code, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def test_every_page_is_linked_from_the_index():
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "index.md" or f"]({page.name})" in index, page.name


def test_public_names_and_parameters_are_documented():
    api = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    for module in (skfnet, skfnet.nn, skfnet.datasets):
        for public in set(module.__all__) - {"__version__"}:
            assert f"`{public}" in api, public
    guide = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    for name in set(skfnet.__all__) - {"__version__"}:
        estimator = getattr(skfnet, name)()
        for parameter in estimator.get_params():
            assert re.search(rf"[`(, ]{parameter}[`=]", guide), parameter
