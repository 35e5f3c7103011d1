"""For mkdocs: README.md and the benchmarks' plots, which lie outside this folder, join the site."""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
RESULTS = "benchmarks/results/"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    files.append(File.generated(config, "setup.md", abs_src_path=str(ROOT / "README.md")))
    for plot in (ROOT / RESULTS).glob("*.png"):
        files.append(File.generated(config, f"results/{plot.name}", abs_src_path=str(plot)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    if page.file.src_path == "setup.md":
        markdown = markdown.replace("](docs/", "](")
    return (
        markdown.replace(f"](../{RESULTS}", "](results/")
        .replace(f"]({RESULTS}", "](results/")
        .replace("](../README.md", "](setup.md")
    )
