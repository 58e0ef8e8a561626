"""Where DVC keeps copies for the team: whether it can be reached with the credentials in use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from tasks.doctor.finding import Finding
from tasks.doctor.machine import without_secret


def remotes() -> Iterator[Finding]:
    from dvc.config import Config

    known: dict[str, dict[str, Any]] = Config.from_cwd()["remote"]
    if not known:
        yield Finding("ok", "dvc remote", "none: data and models stay here; for a team: infra/s3_bucket.py")
    for name, remote in known.items():
        if not remote.get("verify"):
            mend = f"dvc remote modify {name} verify true"
            yield Finding("warn", f"remote {name}", "files are not checked when they come back", mend)
        if remote["url"].startswith("s3://"):
            yield s3(name, remote)
        else:
            yield Finding("ok", f"remote {name}", without_secret(remote["url"]))


def s3(name: str, remote: dict[str, Any]) -> Finding:
    """Whether the credentials in use may list the remote's prefix, and whether the bucket keeps old versions.

    It lists and does not ask HeadBucket: a policy that is limited to a prefix, as infra/s3_bucket.py makes it, refuses that.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    place, subject = urlsplit(remote["url"]), f"remote {name}"
    try:
        session = boto3.Session(
            remote.get("access_key_id"),
            remote.get("secret_access_key"),
            remote.get("session_token"),
            remote.get("region"),
            profile_name=remote.get("profile"),
        )
        quick = Config(connect_timeout=5, read_timeout=10, retries={"max_attempts": 1})
        api = session.client("s3", endpoint_url=remote.get("endpointurl"), config=quick)
        api.list_objects_v2(Bucket=place.netloc, Prefix=place.path.lstrip("/"), MaxKeys=1)
    except ClientError as error:
        why = error.response["Error"]["Code"]
        mend = {"NoSuchBucket": f"python infra/s3_bucket.py {remote['url']}"}.get(
            why, "aws configure, or ask for the bucket's policy"
        )
        return Finding("missing", subject, f"{remote['url']}: {why}", mend)
    except BotoCoreError as error:
        return Finding(
            "missing", subject, f"{remote['url']}: {type(error).__name__}", "aws configure; dvc remote modify --local ..."
        )
    try:
        kept = api.get_bucket_versioning(Bucket=place.netloc).get("Status") == "Enabled"
    except ClientError as error:
        return Finding(
            "warn", subject, f"{remote['url']}: versioning not known ({error.response['Error']['Code']})", "ask its owner"
        )
    if not kept:
        return Finding(
            "warn", subject, f"{remote['url']}: old versions are not kept", f"python infra/s3_bucket.py {remote['url']}"
        )
    return Finding("ok", subject, f"{remote['url']}: may be listed, keeps old versions")
