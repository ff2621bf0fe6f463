"""Who may come in over SSH, and what may be asked for."""

from pathlib import Path

import asyncssh
import pytest
import typer.main

from kit.lifecycle import StartError
from tui.cli import app
from tui.ssh.commands import COMMANDS, SCREEN, Grammar, NotAllowed, read_wanted
from tui.ssh.host_key import open_host_key
from tui.ssh.users import UsersFile, read_users

KEY = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
WEAK = asyncssh.generate_private_key("ssh-rsa", key_size=1024).export_public_key().decode().strip()
NAMED = 'name="ana",role="operator"'


def test_a_line_names_a_person_a_role_and_a_key() -> None:
    (user,), problems = read_users(f"# operators\n\n{NAMED} {KEY} ana@laptop with a comment\n")
    assert (user.name, user.role, problems) == ("ana", "operator", [])
    assert user.fingerprint.startswith("SHA256:")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (KEY, "is not of the form"),
        (f'name="ana" {KEY}', "name and role are needed"),
        (f'{NAMED},from="10.0.0.1" {KEY}', "name and role are needed"),
        (f'{NAMED},role="viewer" {KEY}', "name and role are needed"),
        (f'name="ana",role="root" {KEY}', "not one of operator, viewer"),
        (f'name="a b",role="viewer" {KEY}', "the name has other characters"),
        (f"{NAMED} ssh-ed25519 AAAAnonsense", "not a public key"),
        (f"{NAMED} {WEAK}", "too weak"),
    ],
    ids=["no options", "no role", "another option", "a role twice", "no such role", "a space", "no key", "a weak key"],
)
def test_a_line_with_a_fault_lets_nobody_in(line: str, problem: str) -> None:
    users, problems = read_users(f"{line}\n")
    assert not users
    assert len(problems) == 1
    assert problems[0].startswith("line 1: ")
    assert problem in problems[0]


def test_a_key_belongs_to_one_person() -> None:
    users, problems = read_users(f'{NAMED} {KEY}\nname="vera",role="viewer" {KEY}\n')
    assert [user.name for user in users] == ["ana"]
    assert problems == ["line 2: the key stands on another line already"]


def test_a_file_that_others_may_write_to_lets_nobody_in(tmp_path: Path) -> None:
    path = tmp_path / "users"
    file = UsersFile(path)
    with pytest.raises(StartError, match="cannot read the users file"):
        file.open()
    path.write_text(f"{NAMED} {KEY}\n")
    file.open()
    assert [user.name for user in file.users] == ["ana"]
    path.chmod(0o666)
    assert not file.users
    path.chmod(0o600)
    assert [user.name for user in file.users] == ["ana"]
    path.unlink()
    assert not file.users


def test_the_host_key_is_made_once_and_must_be_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "host_key"
    made = open_host_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert open_host_key(path).get_fingerprint() == made.get_fingerprint()
    assert [file.name for file in path.parent.iterdir()] == ["host_key"]
    path.chmod(0o640)
    with pytest.raises(StartError, match="open to others"):
        open_host_key(path)


@pytest.mark.parametrize(
    ("line", "arguments", "screen"),
    [
        ("", (), True),
        ("--ascii --theme light", ("--ascii", "--theme", "light"), True),
        ("sessions --json", ("sessions", "--json"), False),
        ("audit --limit=5 --subject ana", ("audit", "--limit=5", "--subject", "ana"), False),
        ("dlq requeue deliver j-1 j-2 --reason 'it is; back'",
         ("dlq", "requeue", "deliver", "j-1", "j-2", "--reason", "it is; back"), False),
    ],
)  # fmt: skip
def test_what_is_on_the_list_is_passed_on_word_by_word(line: str, arguments: tuple[str, ...], screen: bool) -> None:
    wanted = read_wanted(line)
    assert (wanted.arguments, wanted.screen) == (arguments, screen)


@pytest.mark.parametrize(
    "line",
    [
        "/bin/sh -c id", "sh", "sessions; id", "sessions --json extra", "sessions --target evil:1", "--target evil:1",
        "--key x sessions", "--key-file /etc/shadow whoami", "--version", "serve-ssh", "session leave m-1", "dlq",
        "tail --json --key x", "tail -- --help", "audit --limit", "audit --limit --key", "tail 'unclosed",
        "sessions\n--json", "tail " + "m" * 5000, "--theme", "--read-only=",
    ],
    ids=lambda line: repr(line[:40]),
)  # fmt: skip
def test_nothing_else_is(line: str) -> None:
    with pytest.raises(NotAllowed):
        read_wanted(line)


@pytest.mark.parametrize(("command", "grammar"), [((), SCREEN), *COMMANDS.items()])
def test_the_list_says_what_the_commands_take(command: tuple[str, ...], grammar: Grammar) -> None:
    known = typer.main.get_command(app)
    for word in command:
        known = known.commands[word]  # type: ignore[attr-defined]
    flags = {name for one in known.params for name in one.opts if getattr(one, "is_flag", False)}
    options = {name for one in known.params for name in one.opts if name.startswith("-")} - flags
    assert grammar.flags <= flags
    assert grammar.options <= options
    if command:
        assert {*flags, *options} - {"--help", "-h"} == grammar.flags | grammar.options, "a new option is to be judged"
