"""Where the shared corpus lies, if it does: next to the checkout. It is read, never copied."""

from __future__ import annotations

from pathlib import Path

import pytest

CORPUS = Path(__file__).parents[2].parent / "shared" / "corpus"


def corpus_files(folder: str, pattern: str = "*") -> list:
    """The files for `parametrize`; one skipped parameter where there is no corpus."""
    files = sorted((CORPUS / folder).glob(pattern)) if CORPUS.is_dir() else []
    return files or [pytest.param(CORPUS / folder, marks=pytest.mark.skip(reason=f"no corpus at {CORPUS}"))]
