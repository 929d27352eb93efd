"""The generated code matches the current interfaces."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.support.paths import ROOT

GENERATED = ROOT / "ps_server" / "generated"
THRIFT = ("__init__.py", "constants.py", "ttypes.py", "ParameterServer.py")
PROTO = ("parameter_server_pb2.py", "parameter_server_pb2.pyi", "parameter_server_pb2_grpc.py")


def test_the_thrift_code_is_that_of_the_interface(tmp_path: Path) -> None:
    compiler = shutil.which("thrift")
    if compiler is None:
        pytest.skip("needs the program thrift: apt-get install thrift-compiler")
    made_by = re.search(r"Compiler \(([\d.]+)\)", (GENERATED / "thrift_api/ttypes.py").read_text())
    told = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True)
    here = told.stdout.split()[-1]
    assert made_by is not None
    if here != made_by[1]:
        pytest.skip(f"needs thrift {made_by[1]}, this is {here}")
    subprocess.run(
        [compiler, "--gen", "py", "-out", tmp_path, "ps_server/protocol/parameter_server.thrift"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in THRIFT:
        made = (tmp_path / "ps_server/generated/thrift_api" / name).read_text()
        assert (GENERATED / "thrift_api" / name).read_text() == made, f"{name}: run `make idl`"


def test_the_grpc_code_is_that_of_the_interface(tmp_path: Path) -> None:
    made_by = re.search(r"Protobuf Python Version: ([\d.]+)", (GENERATED / PROTO[0]).read_text())
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I.", f"--python_out={tmp_path}"]
    command += [f"--pyi_out={tmp_path}", f"--grpc_python_out={tmp_path}"]
    command += ["ps_server/generated/parameter_server.proto"]
    (tmp_path / "ps_server/generated").mkdir(parents=True)
    shutil.copy(
        ROOT / "ps_server/protocol/parameter_server.proto", tmp_path / "ps_server/generated"
    )
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    text = (tmp_path / "ps_server/generated" / PROTO[0]).read_text()
    here = re.search(r"Protobuf Python Version: ([\d.]+)", text)
    assert made_by is not None
    assert here is not None
    if here[1] != made_by[1]:
        pytest.skip(f"needs the compiler of protobuf {made_by[1]}, this is {here[1]}")
    for name in PROTO:
        made = (tmp_path / "ps_server/generated" / name).read_text()
        assert (GENERATED / name).read_text() == made, f"{name}: run `make idl`"


def test_both_interfaces_have_the_same_calls() -> None:
    thrift = (ROOT / "ps_server/protocol/parameter_server.thrift").read_text()
    proto = (ROOT / "ps_server/protocol/parameter_server.proto").read_text()
    service = re.sub(r"/\*.*?\*/", "", thrift.partition("service ")[2], flags=re.DOTALL)
    calls = set(re.findall(r"^  \w+ (\w+)\(", service, flags=re.MULTILINE))
    rpcs = {name.lower() for name in re.findall(r"rpc (\w+)\(", proto)}
    # gRPC shows the token with every call; Thrift refuses names that are words of some language.
    calls = {name.removesuffix("_job").removesuffix("_jobs") for name in calls}
    assert calls - {"authenticate"} == rpcs


@pytest.mark.parametrize("language", ["go", "java", "cpp", "js:node", "rs", "netstd"])
def test_clients_of_other_languages_can_be_made(tmp_path: Path, language: str) -> None:
    compiler = shutil.which("thrift")
    if compiler is None:
        pytest.skip("needs the program thrift: apt-get install thrift-compiler")
    interface = ROOT / "ps_server/protocol/parameter_server.thrift"
    subprocess.run([compiler, "--gen", language, "-out", tmp_path, interface], check=True)
    assert any(tmp_path.iterdir())


def test_the_extra_has_the_libraries_that_made_the_code() -> None:
    assert version("grpcio").split(".")[0] == version("grpcio-tools").split(".")[0]
