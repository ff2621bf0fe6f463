"""The contract's tools, all offline: generate code, check it is fresh, lint, find breaking changes.

python tools/proto.py gen        write gen/agent from proto/agent
python tools/proto.py check      fail when gen/agent is not what `gen` would write
python tools/proto.py lint       buf lint and buf format
python tools/proto.py breaking   buf breaking against a git revision (default: the last release or origin/main)
"""

from __future__ import annotations

import argparse
import filecmp
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from importlib import resources
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
GEN = ROOT / "gen"
# buf wants every import inside a module of its workspace. google/api ships inside googleapis-common-protos,
# so its few files are laid out under build/ and never committed.
IMPORTS = ROOT / "build" / "proto"
GOOGLE_API = ("annotations.proto", "field_behavior.proto", "http.proto", "httpbody.proto")


def main() -> int:
    """Run one command of the command line; the exit status is the tool's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["gen", "check", "lint", "breaking"])
    parser.add_argument("--against", default=None, help="git revision that `breaking` compares with")
    arguments = parser.parse_args()
    lay_out_imports(IMPORTS)
    match arguments.command:
        case "gen":
            with tempfile.TemporaryDirectory(dir=ROOT / "build") as scratch:
                generate(Path(scratch) / "gen")
                shutil.rmtree(GEN, ignore_errors=True)
                (Path(scratch) / "gen").rename(GEN)
            return 0
        case "check":
            return check()
        case "lint":
            buf("lint")
            buf("format", "--diff", "--exit-code", "proto")
            return 0
        case _:
            return breaking(arguments.against)


def lay_out_imports(target: Path) -> None:
    """Copy google/api/*.proto out of the installed package into `target`."""
    api = target / "google" / "api"
    api.mkdir(parents=True, exist_ok=True)
    for name in GOOGLE_API:
        (api / name).write_bytes(resources.files("google.api").joinpath(name).read_bytes())


def generate(target: Path) -> None:
    """Write messages, stubs and their types for every file of the contract into `target`."""
    target.mkdir(parents=True)
    well_known = resources.files("grpc_tools").joinpath("_proto")
    plugins = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    files = sorted(str(path.relative_to(PROTO)) for path in PROTO.rglob("*.proto"))
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTO}", f"-I{IMPORTS}", f"-I{well_known}"]
    command += [f"--{plugin}_out={target}" for plugin in ("python", "grpc_python")]
    command += [f"--mypy_out=quiet:{target}", f"--mypy_grpc_out=quiet:{target}"]
    subprocess.run([*command, *files], check=True, env={**os.environ, "PATH": plugins})
    for module in target.rglob("*_pb2.py"):
        for folder in module.relative_to(target).parents[:-1]:
            (target / folder / "__init__.py").write_text("")
    (target / "agent" / "py.typed").write_text("")


def check() -> int:
    """Generate afresh beside the committed code and name each file that differs."""
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch) / "gen"
        generate(fresh)
        stale = sorted(differences(fresh, GEN))
    for path in stale:
        print(f"stale generated code: gen/{path}")
    if stale:
        print("run `make gen` and commit the result")
    return 1 if stale else 0


def differences(left: Path, right: Path) -> set[str]:
    """Relative paths of the files that are missing on one side or differ."""

    def listing(root: Path) -> set[str]:
        return {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file() and "__pycache__" not in p.parts}

    ours, theirs = listing(left), listing(right)
    changed = {name for name in ours & theirs if not filecmp.cmp(left / name, right / name, shallow=False)}
    return (ours ^ theirs) | changed


def breaking(against: str | None) -> int:
    """Compare with the contract of a git revision; a revision without a contract has nothing to break."""
    revision = against or default_revision()
    archive = subprocess.run(
        ["git", "archive", revision, "proto", "buf.yaml"], cwd=ROOT, capture_output=True, check=False
    )
    if archive.returncode != 0:
        print(f"no contract at {revision}: nothing to compare with")
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        with tarfile.open(fileobj=BytesIO(archive.stdout)) as tar:
            tar.extractall(scratch, filter="data")
        lay_out_imports(Path(scratch) / "build" / "proto")
        buf("breaking", "--against", scratch)
    return 0


def default_revision() -> str:
    """The newest release tag, else the published main, else this commit's parent."""
    for command in (["git", "describe", "--tags", "--abbrev=0"], ["git", "rev-parse", "--verify", "-q", "origin/main"]):
        answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if answer.returncode == 0:
            return answer.stdout.strip()
    return "HEAD"


def buf(*arguments: str) -> None:
    """Run buf from this environment; its output is its own, a finding ends the program."""
    program = shutil.which("buf", path=str(Path(sys.executable).parent)) or shutil.which("buf")
    if program is None:
        sys.exit("buf is missing: pip install buf-bin")
    finished = subprocess.run([program, *arguments], cwd=ROOT, check=False)
    if finished.returncode:
        sys.exit(finished.returncode)


if __name__ == "__main__":
    sys.exit(main())
