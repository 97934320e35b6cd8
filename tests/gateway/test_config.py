"""Settings: the commented file, the code and the defaults say the same; what is wrong is said in one line."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from pathlib import Path

import pytest

from gateway import config
from gateway.mail.policy import Policy
from gateway.mail.tree import Bounds
from gateway.smtp.address import Address
from sandbox.client import Limits, SandboxSettings

FILE = Path(__file__).parents[2] / "config" / "lazaretto.toml"


def flat(table, prefix=""):
    for name, value in table.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def test_the_commented_file_has_every_key_with_its_default_and_no_other():
    in_file = dict(flat(tomllib.loads(FILE.read_text())))
    in_code = {key: config._plain(value) for key, value in config.all_keys()}
    assert {key: value if value != "" else None for key, value in in_file.items()} == {
        key: value if value != "" else None for key, value in in_code.items()
    }


def test_every_key_of_the_commented_file_has_its_reason_beside_it():
    lines = FILE.read_text().splitlines()
    for number, line in enumerate(lines):
        if re.match(r"\w+ = ", line):
            above = number - 1
            while re.match(r"\w+ = ", lines[above]):  # keys that share a reason
                above -= 1
            assert lines[above].startswith("# "), line


def test_the_file_in_the_repository_loads_and_is_the_defaults():
    assert config.load(FILE) == config.load()


def test_the_rooms_own_defaults_are_in_effect():
    settings = config.load()
    assert settings.mail == Bounds()
    assert settings.policy == Policy()
    assert settings.sandbox == SandboxSettings()
    assert settings.sandbox.limits == Limits()


def test_file_goes_over_defaults_and_command_line_over_file(tmp_path):
    file = tmp_path / "l.toml"
    file.write_text(
        '[smtp]\nlisten = "127.0.0.1:1"\nmax_recipients = 7\n[sandbox.limits]\npages = 3\n[mail]\nparts = 9\n'
    )
    settings = config.load(file, {"smtp": {"listen": "[::1]:0"}})
    assert settings.smtp.listen_addresses == (Address("smtp", "::1", 0),)
    assert settings.smtp.max_recipients == 7
    assert settings.sandbox.limits == dataclasses.replace(Limits(), pages=3)
    assert settings.mail == settings.policy.bounds == dataclasses.replace(Bounds(), parts=9)


def test_a_pool_may_hold_none_of_a_kind(tmp_path):
    file = tmp_path / "l.toml"
    file.write_text("[sandbox.pool]\noffice = 0\nother = 0\nhwp = 1\n")
    pool = config.load(file).sandbox.pool
    assert (pool.office, pool.other, pool.hwp) == (0, 0, 1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[sandbox.pool]\nhwp = -1", ["sandbox.pool.hwp", "greater than or equal to 0"]),
        ("[smtp]\nlisten = 5", ["smtp.listen", "string"]),
        ('[smtp]\nlisten = "nowhere"', ["smtp.listen", "HOST:PORT", "nowhere"]),
        ('[smtp]\ntls = "may"', ["smtp.tls_certificate", "STARTTLS"]),
        ('[smtp]\ntls = "may"\ntls_certificate = ""', ["smtp.tls_certificate", "STARTTLS"]),
        ('[relay]\ntls = "verify"\nnext_hop = "unix:/run/lmtp"', ["relay.tls_name", "Unix socket"]),
        ("[relay]\nnext_hop = []", ["relay.next_hop", "at least 1"]),
        ("[smtp]\nlisen = 1", ["smtp.lisen", "no such key", "did you mean smtp.listen?"]),
        ("[smpt]\n", ["smpt", "did you mean smtp?"]),
        ("[sandbox.limits]\npages = 0", ["sandbox.limits.pages", "greater than 0"]),
        ("[sandbox.limits]\npagse = 1", ["sandbox.limits.pagse", "sandbox.limits.pages"]),
        ('[sandbox.service]\naddress = "127.0.0.1:7443"', ["sandbox.service", "no TCP without TLS"]),
        ('[sandbox.service]\naddress = "tls:sandbox.test:7443"', ["sandbox.service", "tls_ca_file"]),
        ('[sandbox.service]\nlisten = "unix:run/s"', ["sandbox.service", "a path from the root"]),
        ('[policy]\nambiguous = "shrug"', ["policy.ambiguous", "rewrite"]),
        ('[smtp]\nxforward_peers = ["here"]', ["smtp.xforward_peers.0", "here"]),
        ("smtp = 3", ["smtp"]),
        ("[smtp\n", ["is not TOML", "line 1"]),
        ("\xff", ["is not TOML"]),
    ],
)
def test_what_is_wrong_is_said_in_one_line_with_the_key(tmp_path, text, words):
    file = tmp_path / "l.toml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(config.ConfigError) as error:
        config.load(file)
    assert "\n" not in str(error.value)
    for word in [str(file), *words]:
        assert word in str(error.value)


def test_every_fault_is_told_at_once(tmp_path):
    file = tmp_path / "l.toml"
    file.write_text('[smtp]\nlisten = "x"\nmax_recipients = -1\n')
    with pytest.raises(config.ConfigError) as error:
        config.load(file)
    assert len(str(error.value).split("\n")) == 2


def test_a_file_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(config.ConfigError, match="No such file"):
        config.load(tmp_path / "none.toml")


def test_state_lies_where_the_system_expects_it():
    assert config.state_directory({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}, 0) == Path("/var/lib/a")
    assert config.state_directory({}, 0) == Path("/var/lib/lazaretto")
    assert config.state_directory({"XDG_STATE_HOME": "/home/x/s"}, 1000) == Path("/home/x/s/lazaretto")
    assert config.state_directory({}, 1000) == Path.home() / ".local" / "state" / "lazaretto"


def test_settings_cannot_be_changed_afterwards():
    settings = config.load()
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.mail.parts = 5
    with pytest.raises(ValueError):
        settings.smtp.listen = "x"


def test_effective_values_are_plain_and_complete():
    effective = config.load().effective()
    assert len(list(flat(effective))) >= len(config.all_keys())
    assert effective["sandbox"]["limits"]["pages"] == 1000


def test_our_name_is_never_the_hosts_own():
    import socket

    assert config.load().smtp.name.startswith("lazaretto.")
    assert config.load().smtp.name != socket.gethostname()
    assert config.load(None, {"smtp": {"hostname": "filter.example.org"}}).smtp.name == "filter.example.org"
