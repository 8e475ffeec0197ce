"""Every block of commands is run here, by a test that it names, or says why it is not; those that run here do."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from crm_assets.simulator import Simulation, SimulationConfig, simulate
from crm_assets.simulator.writing import write_late_export
from crm_assets_tests.docs.pages import ROOT, SHELL, Block, blocks, pages

BLOCKS = [block for page in pages() for block in blocks(page)]
HERE = [block for block in BLOCKS if not block.mark]
PAGES = sorted({block.page for block in HERE})

PROGRAMS = frozenset({".", "crm-assets", "export"})
"""What may stand in a block that is run here: nothing that goes on, or that reaches out of the folder."""

SAYS_OF_THE_DATA = """
crm-assets() {
  command crm-assets "$@" || case "$1:$?" in monitor:9 | monitor:10) ;; *) return 1 ;; esac
}
"""
"""A shell function for which the drift of a month is no failure."""

SMALL = SimulationConfig(opportunities=5_000, seed=5)

every_block = pytest.mark.parametrize("block", BLOCKS, ids=[block.name for block in BLOCKS])


@every_block
def test_a_block_that_is_not_run_says_why(block: Block) -> None:
    if block.mark == "not run":
        assert len(block.why.split()) >= 2, f"{block.name}: {block.why!r} is no reason"
    elif block.mark == "run by":
        file, _, name = block.why.partition("::")
        assert (ROOT / file).is_file(), f"{block.name}: there is no {file}"
        assert f"def {name}(" in (ROOT / file).read_text(), f"{block.name}: {file} has no {name}"
    else:
        for words in block.commands():
            assert words[0] in PROGRAMS, (
                f"{block.name}: {words[0]} is not run by make test-docs. Write above the block who runs it: "
                "<!-- run by: FILE::TEST --> or <!-- not run: REASON -->"
            )


def test_marks_are_read_and_belong_to_the_next_block(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- not run: first -->\n\n```sh\nmake a\n```\n\n<!-- other -->\n```sh\nls\n```\n"
        "<!-- run by: a.py::test_b -->\n```python\nx\n```\n```text\n<!-- not run: no -->\n```\n```sh\nmake b\n```\n"
        "1. In a list:\n\n   <!-- not run: third -->\n   ```sh\n   make c\n   ```\n"
    )
    assert [(block.text, block.mark, block.why) for block in blocks(page)] == [
        ("make a\n", "not run", "first"),
        ("ls\n", "", ""),
        ("x\n", "run by", "a.py::test_b"),
        ("make b\n", "", ""),
        ("make c\n", "not run", "third"),
    ]


@pytest.mark.parametrize(
    ("text", "mark", "why"),
    [
        ("terraform apply", "", ""),
        ("make api", "not run", "slow"),
        ("make api", "run by", "crm_assets_tests/docs/test_commands.py::test_of_nothing"),
        ("make api", "run by", "crm_assets_tests/docs/nothing.py::test_of_nothing"),
    ],
)
def test_a_block_without_a_test_or_a_reason_is_told(text: str, mark: str, why: str) -> None:
    with pytest.raises(AssertionError, match=r"README\.md:1"):
        test_a_block_that_is_not_run_says_why(Block(ROOT / "README.md", 1, "sh", text, mark, why))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a reader has it who followed the quick start on an export: tools, the export and a lake."""
    folder = tmp_path_factory.mktemp("pages") / "world"
    crm = simulate(SMALL)
    (folder / "exports" / "salesforce").mkdir(parents=True)
    write_late_export(crm, folder / "exports" / "crm")
    as_salesforce(crm).write_csv(folder / "exports" / "salesforce" / "Opportunity.csv")
    (folder / ".venv").mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (folder / ".venv" / name).symlink_to(Path(sys.prefix) / name)
    run("crm-assets run --source exports/crm\n", folder)
    shutil.copytree(folder, folder.with_name("made"), symlinks=True)
    return folder


def as_salesforce(crm: Simulation) -> pl.DataFrame:
    """The pipeline under other names, with guesses where a deal is open."""
    stages = {"Won": "Closed Won", "Lost": "Closed Lost", "Engaging": "Negotiation", "Prospecting": "Prospecting"}
    return crm.late_export()["sales_pipeline"].select(
        Id="opportunity_id",
        Owner="sales_agent",
        Product="product",
        Account="account",
        StageName=pl.col("deal_stage").replace_strict(stages),
        EngagedOn="engage_date",
        IsClosed=pl.col("deal_stage").is_in(["Won", "Lost"]),
        CloseDate=pl.col("close_date").fill_null(pl.date(2018, 3, 31)),
        Amount=pl.col("close_value").fill_null(1_000),
    )


def an_open_deal() -> str:
    """Id of a deal that is open in the newest month."""
    pipeline = simulate(SMALL).late_export()["sales_pipeline"]
    found: str = pipeline.filter(pl.col("deal_stage") == "Engaging")["opportunity_id"][0]
    return found


@pytest.fixture
def world(made: Path) -> Path:
    """The folder as it was made, whatever another page did to it; at the same place, for stores note theirs."""
    shutil.rmtree(made)
    shutil.copytree(made.with_name("made"), made, symlinks=True)
    return made


@pytest.mark.commands
@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_the_commands_of_the_page_run(page: Path, world: Path) -> None:
    lines = []
    for block in HERE:
        if block.page == page:
            lines.append(f"# {block.name}\n{block.text}" if block.language in SHELL else python(block.text))
    run("\n".join(lines).replace(" OPPORTUNITY ", f" {an_open_deal()} "), world)


def python(text: str) -> str:
    """A block of Python as shell."""
    return f"python - <<'END_OF_PYTHON'\n{text}END_OF_PYTHON\n"


def run(script: str, folder: Path) -> None:
    """Run lines in a shell that stops at the first that fails; questions are answered with yes."""
    bash = f"set -euo pipefail\n{SAYS_OF_THE_DATA}\n{script}"
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("CRM_", "MLFLOW_", "AWS_"))}
    variables |= {
        "PATH": f"{folder / '.venv' / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(folder),
        "CRM_SOURCE_URL": "exports/crm",
        "CRM_TREES": "30",
    }
    terminal, keyboard = pty.openpty()
    os.write(terminal, b"y\n" * 20)
    try:
        done = subprocess.run(
            ["bash", "-c", bash],
            check=False,
            cwd=folder,
            env=variables,
            stdin=keyboard,
            capture_output=True,
            text=True,
            timeout=900,
        )
    finally:
        os.close(terminal)
        os.close(keyboard)
    assert done.returncode == 0, f"{script}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
