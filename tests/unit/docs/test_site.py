"""The pages of the site: complete, and without links that lead nowhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import stepml
from documentation import site
from documentation.commands import command_names, commands_page
from documentation.error_page import errors_page
from documentation.job_fields import fields_page
from documentation.links import defects
from documentation.pages import OUTSIDE, SCREENSHOTS, Pages
from documentation.python_api import PUBLIC, public_names, python_page
from stepml.job.schema import job_schema
from tests.support.paths import ROOT
from tests.unit.deployment.test_deployment_contract import error_classes


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("pages")
    site.write_pages(target)
    return target


def test_every_page_is_in_the_navigation(pages: Path) -> None:
    assert list(site.unlisted(pages)) == []


def test_every_link_between_pages_has_its_target(pages: Path) -> None:
    for page in pages.rglob("*.md"):
        prose = re.sub(r"```.*?```|~~~.*?~~~|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
        for target in re.findall(r"\]\((?!https?://|#)([^)#\s]+)", prose):
            assert (page.parent / target).is_file(), f"{page.name} links to {target}"


def test_files_outside_of_the_documentation_become_pages(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text("A = 1\n")
    (tmp_path / "docs" / "one.md").write_text("[a](../code/a.py#L1)\n```sh\n[a](b)\n```\n")
    for name in OUTSIDE:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("[one](docs/one.md)\n" if name == "README.md" else "")
    Pages(tmp_path, tmp_path / "out").write()
    one = (tmp_path / "out" / "one.md").read_text()
    assert one == "[a](source/code-a.py.md#L1)\n```sh\n[a](b)\n```\n"
    assert "A = 1" in (tmp_path / "out" / "source" / "code-a.py.md").read_text()


def test_screenshots_are_shown_where_they_have_been_taken(tmp_path: Path) -> None:
    (tmp_path / "docs" / "how_to").mkdir(parents=True)
    marks = "<!-- screenshot a.png: A page -->\n<!-- screenshot b.png: Another -->\n"
    (tmp_path / "docs" / "how_to" / "one.md").write_text(marks)
    for name in OUTSIDE:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / SCREENSHOTS).mkdir(parents=True)
    (tmp_path / SCREENSHOTS / "a.png").touch()
    Pages(tmp_path, tmp_path / "out").write()
    one = (tmp_path / "out" / "how_to" / "one.md").read_text()
    assert one == "![A page](../screenshots/a.png)\n<!-- screenshot b.png: Another -->\n"
    assert (tmp_path / "out" / "screenshots" / "a.png").is_file()


def test_a_link_to_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "one.md").write_text("[a](../code/missing.py)\n")
    with pytest.raises(FileNotFoundError, match=r"code/missing\.py"):
        Pages(tmp_path, tmp_path / "out").write()


@pytest.mark.parametrize(
    ("text", "defect"),
    [
        ('<a href="b.html">', "one.html links to b.html: there is no such file"),
        ('<a href="#there">', "one.html links to #there: there is no such place"),
        ('<img src="https://a.example/x.png">', "one.html loads https://a.example/x.png"),
        ('<p id="here"><a href="#here"><a href="https://a.example">', None),
        ('<a href="one.html#top"><p id="top"><a href="./">', None),
    ],
)
def test_defects_of_built_pages_are_found(tmp_path: Path, text: str, defect: str | None) -> None:
    (tmp_path / "index.html").write_text("")
    (tmp_path / "one.html").write_text(text)
    assert list(defects(tmp_path)) == ([defect] if defect else [])


def test_every_field_of_the_job_has_its_row() -> None:
    page = fields_page()
    for name, node in job_schema()["$defs"].items():
        fields = list(node.get("properties", {}))
        shown = [field for field in fields if f"| `{field}` | " in page]
        assert shown == fields, name
    assert "| `workers` | an integer from 1 to 1600 | `4` |" in page
    assert '| `pattern` | `async`, `reduce`, `reduce_scatter` | `"reduce"` |' in page
    assert "## `algorithm`: `admm`" in page


def test_every_field_says_what_it_means() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", fields_page(), re.MULTILINE)
    without = {name for name, about in rows if not about}
    assert without <= {"name", "model", "algorithm"}  # their sections do


def test_every_command_has_its_section() -> None:
    page = commands_page()
    for name in command_names()[1:]:
        assert re.search(rf"^###? {name}$", page, re.MULTILINE), name
    assert "stepml run JOB" in page
    assert "| `--stack` `NAME` | `stepml` |" in page


def test_every_error_has_its_row() -> None:
    page = errors_page()
    known = {name for name in error_classes() if name.endswith("Error")} - {"StepMLError"}
    for name in known | {"BadInputError", "StackNotFoundError", "ModelNotFoundError"}:
        assert f"| `{name}` | " in page
    assert re.search(r"\| `BadInputError` \| [^|]+ \| 2 \|", page)


def test_the_page_of_python_has_the_public_names_and_no_other() -> None:
    page = python_page()
    for module in PUBLIC:
        part = page.partition(f"\n## {module}\n")[2].partition("\n## ")[0]
        listed = re.findall(r"^\| \[?`(\w+)`", part.partition("\n### ")[0], re.MULTILINE)
        assert listed == public_names(module)
    assert set(public_names("stepml")) == set(stepml.__all__)


def test_every_public_name_says_what_it_is() -> None:
    page = python_page()
    for module in PUBLIC:
        part = page.partition(f"\n## {module}\n")[2].partition("\n### ")[0]
        assert re.findall(r"^\| (\[?`\S+) \|  \|$", part, re.MULTILINE) == []
    assert re.findall(r"^#### (\S+)\n\n```python\n[^`]*```\n\n\n", page, re.MULTILINE) == []


def test_the_list_of_decisions_is_whole() -> None:
    page = site.decisions_page()
    files = {each.name for each in (ROOT / "docs" / "decisions").glob("[0-9]*.md")}
    assert set(re.findall(r"\]\(([^)]+)\)", page)) == files
