"""The deployment of a parameter server: its stack, its service, its container."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stepml.deployment.templates import read_template
from stepml.packaging.sources import template_path
from tests.support.deployment import delete
from tests.support.parameter_servers import ROOT, TOKEN
from tests.support.running_aws import RunningAws

TEMPLATES = template_path().parent
TEMPLATE = TEMPLATES / "parameter_server.yaml"
SERVICE = TEMPLATES / "parameter-server.service"
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:stepml-ps-a1b2c3"
ADDRESS = "10.74.0.10"


def created(aws: RunningAws, name: str, template: Path, **parameters: str) -> dict[str, str]:
    """Create a stack, and return its outputs."""
    stacks = aws.client("cloudformation")
    stacks.create_stack(
        StackName=name,
        TemplateBody=template.read_text(),
        Parameters=[
            {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
        ],
        Capabilities=["CAPABILITY_IAM"],
    )
    (stack,) = stacks.describe_stacks(StackName=name)["Stacks"]
    return {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}


@pytest.fixture(scope="module")
def network(aws: RunningAws) -> dict[str, str]:
    """The outputs of a network; it is not deleted, because moto leaves parts of its VM in it."""
    return created(aws, "vm-network", TEMPLATES / "network.yaml")


@pytest.fixture(scope="module")
def outputs(aws: RunningAws, network: dict[str, str]) -> Iterator[dict[str, str]]:
    """The outputs of the server's stack."""
    yield created(
        aws,
        "vm",
        TEMPLATE,
        VpcId=network["VpcId"],
        SubnetId=network["FirstSubnetId"],
        AvailabilityZone=network["FirstSubnetZone"],
        FunctionSecurityGroupId=network["SecurityGroupIds"],
        PrivateIp=ADDRESS,
        SecretArn=SECRET,
        CodeBucket="code-of-tests",
        MemoryMb="3000",
    )
    delete(aws.endpoint_url, stack_name="vm")


def test_functions_and_nobody_else_reach_the_server(
    aws: RunningAws, network: dict[str, str], outputs: dict[str, str]
) -> None:
    assert outputs == {
        "ParameterServerUrl": f"thrifts://{ADDRESS}:7070",
        "ParameterServerSecretArn": SECRET,
    }
    ec2 = aws.client("ec2")
    found = ec2.describe_security_groups(
        Filters=[{"Name": "vpc-id", "Values": [network["VpcId"]]}]
    )["SecurityGroups"]
    groups = {group["Description"]: group for group in found}
    server = groups["The parameter server lets in the functions alone."]
    endpoint = groups["Secrets Manager lets in the parameter server alone."]
    for group, port, allowed in (
        (server, 7070, network["SecurityGroupIds"]),
        (endpoint, 443, server["GroupId"]),
    ):
        (rule,) = group["IpPermissions"]
        assert (rule["FromPort"], rule["ToPort"]) == (port, port)
        assert [pair["GroupId"] for pair in rule["UserIdGroupPairs"]] == [allowed]
        assert rule["IpRanges"] == []
    interfaces = ec2.describe_network_interfaces()["NetworkInterfaces"]
    (own,) = (each for each in interfaces if each["PrivateIpAddress"] == ADDRESS)
    assert own["SubnetId"] == network["FirstSubnetId"]


def test_its_url_and_its_secret_are_what_the_application_takes(outputs: dict[str, str]) -> None:
    parameters = read_template(template_path())["Parameters"]
    for name, value in outputs.items():
        assert re.fullmatch(parameters[name]["AllowedPattern"], value)


@pytest.mark.parametrize(
    ("parameter", "good", "bad"),
    [
        ("PrivateIp", [ADDRESS, "172.31.0.9"], ["10.0.0", "ps.internal", "8.8.8.8", ""]),
        ("SecretArn", [SECRET], ["stepml-ps", f"{SECRET}:SecretString:token", ""]),
        ("CodeBucket", ["my-bucket"], ["s3://my-bucket", "my-bucket/code", ""]),
        ("CodeKey", ["a/parameter-server_2.zip"], ["a b.zip", '"$(id)"', ""]),
        ("InstanceType", ["c7i.large", "c7gn.8xlarge", "m7i.metal-24xl"], ["large", "c7i large"]),
        ("MemoryMb", ["", "3000"], ["0", "-1", "3 GB"]),
    ],
)
def test_a_parameter_that_cannot_be_meant_is_refused(
    parameter: str, good: list[str], bad: list[str]
) -> None:
    pattern = read_template(TEMPLATE)["Parameters"][parameter]["AllowedPattern"]
    assert [value for value in good if not re.fullmatch(pattern, value)] == []
    assert [value for value in bad if re.fullmatch(pattern, value)] == []


def test_a_vm_may_read_its_code_and_its_secret_and_keep_snapshots() -> None:
    (policy,) = read_template(TEMPLATE)["Resources"]["ServerRole"]["Properties"]["Policies"]
    allowed = [
        (each["Action"], each["Resource"].get("Fn::Sub", each["Resource"].get("Ref")))
        for each in policy["PolicyDocument"]["Statement"]
    ]
    bucket = "arn:${AWS::Partition}:s3:::${CodeBucket}"
    snapshots = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
    assert allowed == [
        ("s3:GetObject", f"{bucket}/${{CodeKey}}"),
        ("secretsmanager:GetSecretValue", "SecretArn"),
        (snapshots, f"{bucket}/${{AWS::StackName}}/snapshots/*"),
        ("s3:ListBucket", bucket),
    ]


def test_there_is_one_vm_at_a_time_and_it_is_replaced(aws: RunningAws, network: object) -> None:
    described = read_template(TEMPLATE)["Resources"]["Servers"]
    assert described["UpdatePolicy"]["AutoScalingRollingUpdate"]["MinInstancesInService"] == 0
    properties = described["Properties"]
    assert (properties["MinSize"], properties["MaxSize"]) == ("1", "1")
    assert "VPCZoneIdentifier" not in properties  # no subnet besides that of the network interface


@pytest.fixture(scope="module")
def scripts(
    aws: RunningAws, outputs: object, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """The commands of a VM's first start, and the files that they write."""
    ec2 = aws.client("ec2")
    (vm,) = (
        each
        for group in ec2.describe_instances()["Reservations"]
        for each in group["Instances"]
        if {"Key": "Name", "Value": "vm"} in each.get("Tags", [])
    )
    attribute = ec2.describe_instance_attribute(InstanceId=vm["InstanceId"], Attribute="userData")
    text = base64.b64decode(attribute["UserData"]["Value"]).decode()
    found = {"": text}
    for _ in range(2):  # some are written by a written script
        for each in [*found.values()]:
            pattern = r"^cat > (\S+) <<'(\w+)'\n(.*?)^\2$"
            found |= {m[1]: m[3] for m in re.finditer(pattern, each, re.DOTALL | re.MULTILINE)}
    assert len(found) == 6
    return found


def test_scripts_of_a_vm_can_be_read_by_its_shell(scripts: dict[str, str], tmp_path: Path) -> None:
    for name in ("", "/usr/local/sbin/install-stepml", "/etc/stepml/fetch-secret"):
        (tmp_path / "script").write_text(scripts[name])
        subprocess.run(["bash", "-n", tmp_path / "script"], check=True)
    assert "${" not in "".join(scripts.values())  # CloudFormation has resolved everything
    install = scripts["/usr/local/sbin/install-stepml"]
    assert 'aws s3 cp "s3://code-of-tests/parameter-server.zip"' in install
    assert scripts["/etc/stepml/parameter-server.env"].splitlines() == [
        "STEPML_PS_MEMORY_MB=3000",
        "STEPML_PS_SNAPSHOTS=s3://code-of-tests/vm/snapshots",
        "STEPML_PS_SNAPSHOT_SECONDS=30",
        "AWS_DEFAULT_REGION=us-east-1",
    ]


def test_a_vm_finds_token_certificate_and_key_in_the_secret(
    scripts: dict[str, str], tmp_path: Path
) -> None:
    secret = {"token": "the token", "certificate": "---\na\n---\n", "key": "---\nb\n---\n"}
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "python3.12").symlink_to(sys.executable)
    aws = programs / "aws"
    aws.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\ncat {tmp_path}/secret.json\n')
    aws.chmod(0o755)
    (tmp_path / "secret.json").write_text(json.dumps(secret))
    script = scripts["/etc/stepml/fetch-secret"].replace("/etc/stepml", str(tmp_path))
    path = f"{programs}:{os.environ['PATH']}"
    subprocess.run(["bash", "-c", script], env={"PATH": path}, check=True)
    assert f"--secret-id {SECRET} --region us-east-1" in (tmp_path / "asked").read_text()
    loaded = re.findall(r"LoadCredential=\S+:/etc/stepml/(\S+)", SERVICE.read_text())
    assert {name: (tmp_path / name).read_text() for name in loaded} == {
        "token": secret["token"],
        "certificate.pem": secret["certificate"],
        "key.pem": secret["key"],
    }
    assert all((tmp_path / name).stat().st_mode & 0o077 == 0 for name in loaded)
    (tmp_path / "secret.json").write_text("")  # no answer
    failed = subprocess.run(
        ["bash", "-c", script], env={"PATH": path}, check=False, capture_output=True
    )
    assert failed.returncode != 0
    assert (tmp_path / "token").read_text() == secret["token"]


def test_systemd_takes_the_services(scripts: dict[str, str], tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    service = tmp_path / "parameter-server.service"
    service.write_text(SERVICE.read_text().replace("/usr/bin/python3.12", sys.executable))
    written = {Path(name).name: text for name, text in scripts.items() if "systemd" in name}
    assert written.keys() == {"parameter-server-secret.service", "aws.conf"}
    (tmp_path / "parameter-server-secret.service").write_text(
        written["parameter-server-secret.service"]
    )
    (tmp_path / "parameter-server.service.d").mkdir()
    (tmp_path / "parameter-server.service.d" / "aws.conf").write_text(written["aws.conf"])
    verified = subprocess.run(
        ["systemd-analyze", "verify", *map(str, tmp_path.glob("*.service"))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (verified.returncode, verified.stderr.strip()) == (0, "")


def test_the_service_gives_a_stop_its_time() -> None:
    text = SERVICE.read_text()
    (most,) = re.findall(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    assert int(most) >= 20 + 60  # --drain-seconds, and a large snapshot
    assert "STEPML_PS_DRAIN_SECONDS" not in text


def copied_into(directory: Path) -> list[str]:
    """Execute the container file's COPY; return its requirements."""
    text = (TEMPLATES / "Containerfile").read_text().replace("\\\n", " ")
    requirements: list[str] = []
    for line in re.findall(r"^COPY (.*)$", text, re.MULTILINE):
        *sources, target = line.split()
        for source in sources:
            if target == "./":
                requirements.append(source)
            elif (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, directory / target)
            else:
                (directory / target).parent.mkdir(exist_ok=True)
                shutil.copy(ROOT / source, directory / target)
    return requirements


def test_what_a_container_has_is_all_that_the_server_needs(tmp_path: Path) -> None:
    assert copied_into(tmp_path) == ["ps_server/requirements.txt", "constraints.txt"]
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "ps_server", "--plain-loopback", "--listen=127.0.0.1:0"),
            *("--grpc-listen=127.0.0.1:0", "--health-listen=127.0.0.1:0", "--snapshots=saved"),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "STEPML_PS_TOKEN": TOKEN},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    ready = json.loads(process.stderr.readline())
    assert ready["message"] == "parameter server ready"
    assert {"thrift", "grpc", "health"} <= ready.keys()
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    process.stderr.close()
    # An installed StepML must not be used.
    program = (
        "import json, sys, ps_server.__main__\n"
        "import ps_server.over_grpc.server, ps_server.process.status\n"
        "print(json.dumps({n: m.__file__ for n, m in sys.modules.items() "
        "if n.partition('.')[0] in ('stepml', 'comm', 'storage', 'ps_server', 'lambdas')}))"
    )
    asked = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    files: dict[str, str] = json.loads(asked.stdout)
    assert [name for name, file in files.items() if not file.startswith(str(tmp_path))] == []


def test_what_the_server_needs_is_pinned_and_is_what_the_extra_says() -> None:
    import tomllib

    lines = (ROOT / "ps_server" / "requirements.txt").read_text().splitlines()
    needed = {line for line in lines if not line.startswith("#")}
    pinned = {line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text().split()}
    assert needed <= pinned
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = {re.split(r"[>=\[]", each)[0] for each in project["optional-dependencies"]["server"]}
    assert extra - needed <= {"cryptography"}  # of `stepml server secret`, not of the server


def test_the_containers_health_is_asked_for_as_it_is_told() -> None:
    text = (TEMPLATES / "Containerfile").read_text()
    assert '"--health"]' in text
    assert not re.search(r"health.listen", text, re.IGNORECASE)  # the same default on both sides
