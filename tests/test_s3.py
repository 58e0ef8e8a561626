"""The bucket for a team's DVC remote (against moto's S3) and a real push and pull (against rclone's, which checks keys)."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tasks.doctor import machine, remotes

KEY, SECRET = "AKIDEXAMPLEEXAMPLE", "not-a-real-secret"


@pytest.fixture(scope="module")
def aws() -> Iterator[dict[str, str]]:
    """The environment in which boto3 talks to a double of AWS."""
    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": "eu-central-1"}
    yield keys | {"AWS_ENDPOINT_URL": f"http://{host}:{port}"}
    server.stop()


def make_bucket(aws: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "infra/s3_bucket.py", *arguments]
    return subprocess.run(command, env=os.environ | aws, capture_output=True, text=True)


def test_the_bucket_is_closed_encrypted_and_keeps_versions_also_when_made_twice(aws: dict[str, str]) -> None:
    for _ in range(2):
        done = make_bucket(aws, "s3://team-models/dvc")
        assert done.returncode == 0, done.stderr
    assert done.stderr == "dvc remote add --default team s3://team-models/dvc; dvc remote modify team verify true\n"
    s3 = boto3.client("s3", endpoint_url=aws["AWS_ENDPOINT_URL"], aws_access_key_id=KEY, aws_secret_access_key=SECRET)
    assert set(s3.get_public_access_block(Bucket="team-models")["PublicAccessBlockConfiguration"].values()) == {True}
    assert s3.get_bucket_versioning(Bucket="team-models")["Status"] == "Enabled"
    (rule,) = s3.get_bucket_encryption(Bucket="team-models")["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    assert s3.get_bucket_location(Bucket="team-models")["LocationConstraint"] == "eu-central-1"
    (statement,) = json.loads(s3.get_bucket_policy(Bucket="team-models")["Policy"])["Statement"]
    assert (statement["Effect"], statement["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})


def test_the_policy_reaches_only_its_prefix_and_deletes_nothing(aws: dict[str, str]) -> None:
    statements = json.loads(make_bucket(aws, "s3://team-models/dvc").stdout)["Statement"]
    actions = {action for s in statements for action in ([s["Action"]] if isinstance(s["Action"], str) else s["Action"])}
    assert not any("*" in action or "Delete" in action or action.endswith("Acl") for action in actions)
    on_files = [s for s in statements if any("Object" in action for action in s["Action"])]
    assert [s["Resource"] for s in on_files] == ["arn:aws:s3:::team-models/dvc/*"]
    (listing,) = (s for s in statements if s["Action"] == "s3:ListBucket")
    assert listing["Condition"] == {"StringLike": {"s3:prefix": ["dvc/*", "dvc"]}}
    assert {s["Resource"] for s in statements if s not in on_files} == {"arn:aws:s3:::team-models"}


def test_the_policy_is_attached_to_the_user_that_is_named(aws: dict[str, str]) -> None:
    iam = boto3.client(
        "iam",
        endpoint_url=aws["AWS_ENDPOINT_URL"],
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
        region_name="us-east-1",
    )
    iam.create_user(UserName="trainer")
    done = make_bucket(aws, "s3://team-models/dvc", "--user", "trainer")
    attached = iam.get_user_policy(UserName="trainer", PolicyName="dvc-team-models")["PolicyDocument"]
    assert attached == json.loads(done.stdout)


def test_an_address_that_is_no_bucket_and_a_refusal_are_one_line(aws: dict[str, str]) -> None:
    assert "write s3://BUCKET/PREFIX" in make_bucket(aws, "team-models").stderr
    refused = make_bucket(aws, "s3://team-models/dvc", "--user", "nobody")
    assert refused.returncode == 1
    assert refused.stderr.startswith("s3://team-models/dvc: An error occurred (NoSuchEntity)")
    assert refused.stderr.count("\n") == 1


@pytest.fixture
def checks_keys(tmp_path: Path) -> Iterator[str]:
    """An S3 server on `tmp_path`/store that refuses every key but KEY."""
    (tmp_path / "store/team-models").mkdir(parents=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    rclone = Path(sys.executable).with_name("rclone")
    command = [rclone, "serve", "s3", "--addr", address, "--auth-key", f"{KEY},{SECRET}", tmp_path / "store"]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=os.environ | {"RCLONE_CONFIG": os.devnull})
    while not machine.answers(f"http://{address}"):
        assert server.poll() is None
        time.sleep(0.05)
    yield f"http://{address}"
    server.terminate()
    server.wait(10)


def dvc(folder: Path, *arguments: str, secret: str = SECRET) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": secret, "AWS_DEFAULT_REGION": "us-east-1"}
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_data_goes_to_s3_and_comes_back_in_another_checkout_and_wrong_keys_are_refused(
    tmp_path: Path, checks_keys: str
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    remote = f"['remote \"team\"']\n    url = s3://team-models/dvc\n    endpointurl = {checks_keys}\n    verify = true\n"
    for folder in (here, there):
        (folder / ".dvc").mkdir(parents=True)
        (folder / ".dvc/config").write_text(f"[core]\n    no_scm = true\n    remote = team\n{remote}")
    (here / "rows.jsonl").write_bytes(b'{"text": "good"}\n' * 1000)
    assert dvc(here, "add", "--quiet", "rows.jsonl").returncode == 0
    assert dvc(here, "push", secret="wrong").returncode != 0
    assert not list((tmp_path / "store/team-models").rglob("*"))
    assert dvc(here, "push").returncode == 0
    (there / "rows.jsonl.dvc").write_bytes((here / "rows.jsonl.dvc").read_bytes())
    assert dvc(there, "pull").returncode == 0
    assert (there / "rows.jsonl").read_bytes() == (here / "rows.jsonl").read_bytes()


@pytest.mark.parametrize(("secret", "level"), [(SECRET, "warn"), ("wrong", "missing")])
def test_the_doctor_tells_right_keys_from_wrong_ones_and_shows_neither(checks_keys: str, secret: str, level: str) -> None:
    remote = {
        "url": "s3://team-models/dvc",
        "endpointurl": checks_keys,
        "access_key_id": KEY,
        "secret_access_key": secret,
        "region": "us-east-1",
    }
    found = remotes.s3("team", remote)
    assert found.level == level, found
    assert secret not in f"{found.found}{found.mend}"
