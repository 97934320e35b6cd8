"""Every command, word and link of the README is true."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.__main__ import Subcommands, main
from sandbox import contract

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
DOCUMENTS = sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("[gs]*/**/README.md"))
LINKS = [
    (document, target)
    for document in DOCUMENTS
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text())
]


@pytest.mark.parametrize(("document", "target"), LINKS)
def test_every_link_leads_somewhere(document: Path, target: str):
    assert (document.parent / target).exists()


def test_the_table_of_reasons_is_the_contracts():
    table = README.partition("### Why a document was not flattened")[2].partition("\n## ")[0]
    words = {word for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for word in re.findall(r"`(\w+)`", row)}
    assert words == contract.REASONS


def test_every_subcommand_is_told_and_every_told_one_exists():
    told = set(re.findall(r"^\| `lazaretto (\w+)", README, re.MULTILINE))
    assert told == set(Subcommands.FILES)


@pytest.mark.parametrize("name", Subcommands.FILES)
def test_every_subcommand_has_help(name: str):
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.output


@pytest.mark.parametrize("option", sorted(set(re.findall(r"--[a-z][a-z-]+", README.partition("### Why")[0]))))
def test_every_option_of_the_table_exists(option: str):
    helps = [CliRunner().invoke(main, [*words, "--help"]).output for words in [[name] for name in Subcommands.FILES]]
    helps.append(CliRunner().invoke(main, ["image", "build", "--help"]).output)
    assert any(option in text for text in helps)


@pytest.mark.parametrize("target", sorted(set(re.findall(r"make ([a-z]+)", README))))
def test_every_make_target_exists(target: str):
    subprocess.run(["make", "--dry-run", target], check=True, cwd=ROOT, capture_output=True)


def test_the_addresses_are_the_defaults():
    defaults = (ROOT / "config" / "lazaretto.toml").read_text()
    for address in ("127.0.0.1:10025", "127.0.0.1:10026"):
        assert address in README
        assert address in defaults


def test_the_figures_are_those_that_the_bench_takes():
    from tests.bench import warm

    table = README.partition("## Figures")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ((?:office|PDF|documents|memory|bytes|messages|peak)[^|]+) \|", table, re.MULTILINE)
    assert len(rows) >= 18
    written = "".join(path.read_text() for path in (ROOT / "tests" / "bench").glob("*.py"))
    for row in rows:
        # a number of pages is a name in the bench
        assert row.partition(",")[0].strip().partition(f" {warm.FEW_PAGES} ")[0] in written, row
    assert "make bench" in table


def test_the_size_of_our_policy_is_the_counted_one():
    from sandbox.policy import count

    ours = count.table()[0].size
    assert f"| Lazaretto | {ours.total} | {ours.conditional} |" in README
