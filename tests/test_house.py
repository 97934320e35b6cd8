"""The rules of the house that matter, run: who may import what, what shipped code must not hold."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHIPPED = sorted(path for room in ("gateway", "sandbox") for path in (ROOT / room).rglob("*.py"))
IN_THE_IMAGE = {"pymupdf", "magic", "PIL", "libarchive", "olefile", "uno", "chardet", "webencodings"}
ZIP_WRITER = "gateway/mail/archive.py"  # stores what we made in zips, and reads back those alone
PDF_WRITER = ["sandbox/host/encode.py", "sandbox/host/flatten.py"]  # pixels in, PDF out: they open no document


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")


def imports(path: Path) -> set[str]:
    """Every module that a file imports, anywhere in it; `from a import b` counts as a and a.b."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = name_of(path).split(".")
            if path.name != "__init__.py":
                package = package[:-1]
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found.add(module)
            found.update(f"{module}.{alias.name}" for alias in node.names)
    return found


def runtime_imports(path: Path) -> set[str]:
    """The same without what is only imported for type checkers."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            node.body = [ast.Pass()]
    copy = ast.unparse(tree)
    found: set[str] = set()
    for node in ast.walk(ast.parse(copy)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return found


def roots(modules: set[str]) -> set[str]:
    return {module.split(".")[0] for module in modules if module}


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def room(folder: str) -> list[Path]:
    return [path for path in SHIPPED if path.is_relative_to(ROOT / folder)]


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", room("sandbox/guest"), ids=named)
def test_the_guest_imports_only_the_contract_and_what_the_image_holds(path):
    ours = {module for module in imports(path) if within(module, "sandbox") or within(module, "gateway")}
    allowed = {"sandbox", "sandbox.contract"}
    strangers = {
        module for module in ours if module not in allowed and not within(module, "sandbox.guest")
        and not module.startswith("sandbox.contract.")
    }  # fmt: skip
    assert not strangers, "the guest runs where the document is: it knows the wire and nothing else of ours"
    assert roots(imports(path)) - {"sandbox"} <= sys.stdlib_module_names | IN_THE_IMAGE


@pytest.mark.parametrize("path", room("sandbox/airlock"), ids=named)
def test_the_airlock_imports_only_the_standard_library_and_the_contract(path):
    ours = {module for module in imports(path) if roots({module}) & {"sandbox", "gateway"}}
    assert all(
        module == "sandbox" or within(module, "sandbox.contract") or within(module, "sandbox.airlock")
        for module in ours
    )
    assert roots(imports(path)) - {"sandbox"} <= sys.stdlib_module_names


def test_the_contract_imports_nothing():
    assert imports(ROOT / "sandbox" / "contract.py") == set()


@pytest.mark.parametrize("path", room("gateway"), ids=named)
def test_the_gateway_knows_of_the_sandbox_its_door_and_the_contract_only(path):
    for module in imports(path):
        if within(module, "sandbox") and module != "sandbox":
            assert within(module, "sandbox.client") or within(module, "sandbox.contract"), module


@pytest.mark.parametrize("path", room("sandbox"), ids=named)
def test_the_sandbox_does_not_know_the_gateway(path):
    assert "gateway" not in roots(imports(path))


@pytest.mark.parametrize("path", room("gateway/mail"), ids=named)
def test_the_mail_room_is_pure(path):
    impure = {"asyncio", "socket", "subprocess", "os", "time", "logging", "structlog", "random", "secrets", "threading"}
    assert not roots(imports(path)) & impure
    in_memory = {"io"} if named(path) == ZIP_WRITER else set()  # BytesIO: zipfile writes into a file
    assert not {"pathlib", "io", "tempfile"} & (roots(runtime_imports(path)) - in_memory)
    calls = {ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)}
    assert not calls & {"open", "print", "input", "eval", "exec"}


@pytest.mark.parametrize("path", room("gateway/mail"), ids=named)
def test_the_mail_room_knows_no_other_room(path):
    for module in imports(path):
        if within(module, "gateway") and module != "gateway":
            assert within(module, "gateway.mail"), module


@pytest.mark.parametrize("path", room("gateway/smtp"), ids=named)
def test_the_smtp_room_does_not_know_the_pipeline(path):
    known = {"gateway.outcome", "gateway.config", "gateway.smtp"}
    for module in imports(path):
        if within(module, "gateway") and module != "gateway":
            assert any(within(module, name) for name in known), f"{module}: daemon hands the server a function"


def test_only_the_pdf_writer_touches_pymupdf_outside_the_guest():
    users = [named(path) for path in SHIPPED if roots(imports(path)) & {"pymupdf", "fitz"}]
    assert [user for user in users if not user.startswith("sandbox/guest/")] == PDF_WRITER


@pytest.mark.parametrize("path", SHIPPED, ids=named)
def test_no_native_parser_of_documents_runs_outside_the_guest(path):
    if "guest" not in path.parts:
        parsers = {
            "magic",
            "PIL",
            "zipfile",
            "tarfile",
            "zlib",
            "gzip",
            "bz2",
            "lzma",
            "xml",
            "lxml",
            "pickle",
            "marshal",
        }
        writers_own = {"zlib"} if named(path) in PDF_WRITER else set()  # deflates our pixels, inflates nothing
        writers_own |= {"zipfile"} if named(path) == ZIP_WRITER else set()
        assert not roots(imports(path)) & (parsers - writers_own)


@pytest.mark.parametrize("path", SHIPPED, ids=named)
def test_nothing_shipped_imports_tests(path):
    assert not roots(imports(path)) & {"tests", "pytest", "hypothesis"}


@pytest.mark.parametrize("path", SHIPPED, ids=named)
def test_no_assert_stands_guard_in_shipped_code(path):
    lines = [node.lineno for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Assert)]
    assert lines == [], "python -O removes asserts: check, and fail with a type"


@pytest.mark.parametrize("path", SHIPPED, ids=named)
def test_every_file_opens_with_its_contract(path):
    assert ast.get_docstring(ast.parse(path.read_text())), "what it does, whom it trusts, how it fails, its bounds"


def _catches_all(handler: ast.ExceptHandler) -> bool:
    names = ast.unparse(handler.type) if handler.type else "Exception"
    reraises = any(isinstance(node, ast.Raise) and node.exc is None for node in ast.walk(handler))
    return ("BaseException" in names.split() or names in ("Exception", "BaseException")) and not reraises


def test_the_gateway_catches_everything_in_one_place_only():
    places = [
        named(path)
        for path in room("gateway")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler) and _catches_all(node)
    ]
    assert places == ["gateway/smtp/server.py"], (
        "one catch at the boundary, answering 451; elsewhere name what you expect"
    )


def test_the_pipeline_is_short():
    [handle] = [
        node
        for node in ast.parse((ROOT / "gateway" / "pipeline.py").read_text()).body
        if isinstance(node, ast.AsyncFunctionDef) and node.name == "handle"
    ]
    assert handle.end_lineno - handle.lineno < 40


@pytest.mark.parametrize("path", SHIPPED, ids=named)
def test_functions_and_files_stay_small(path):
    tree = ast.parse(path.read_text())
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    assert all(node.end_lineno - node.lineno < 60 for node in functions)
    assert len(path.read_text().splitlines()) <= 420


def test_what_is_imported_is_declared_and_pinned():
    """The guest aside, which imports what the image holds."""
    files = [path for path in SHIPPED if "guest" not in path.parts]
    imported = {name.partition(".")[0] for path in files for name in imports(path)}
    outside = imported - set(sys.stdlib_module_names) - {"gateway", "sandbox"}
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.match(r"[\w-]+", text)[0] for text in declared}
    pinned = re.findall(r"^([\w.-]+)==", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    provides = {"pydantic_core": "pydantic"}
    assert {provides.get(name, name) for name in outside} <= names
    assert names <= set(pinned)
