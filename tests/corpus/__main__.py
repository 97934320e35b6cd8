"""`python -m tests.corpus DIRECTORY`: the documents of our own making as files, for tools that read files."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.corpus import documents

directory = Path(sys.argv[1])
directory.mkdir(parents=True, exist_ok=True)
for name, (document, _) in documents.ALL.items():
    (directory / name).write_bytes(document)
