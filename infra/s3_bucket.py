"""Make the S3 bucket that a team's DVC remote lives in, and the least policy that using it takes.

    python infra/s3_bucket.py s3://BUCKET/PREFIX [--region REGION] [--user NAME | --role NAME]

The bucket keeps old versions, is encrypted, closed to the public and to plain HTTP; each step can be repeated. The policy is
printed, and attached to the IAM user or role if one is named: it lists, reads and writes below PREFIX and nothing else. It
does not delete: `dvc gc --cloud` is for whoever owns the bucket. Credentials come from where boto3 looks for them.
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import BotoCoreError, ClientError


def policy(bucket: str, prefix: str) -> dict[str, Any]:
    """What `dvc push`, `dvc pull` and `make doctor` need below `prefix`."""
    arn = f"arn:aws:s3:::{bucket}"
    below = [f"{prefix}/*", prefix] if prefix else ["*"]
    files = f"{arn}/{prefix}/*" if prefix else f"{arn}/*"
    transfer = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": ["s3:GetBucketLocation", "s3:GetBucketVersioning"], "Resource": arn},
            {
                "Effect": "Allow",
                "Action": "s3:ListBucket",
                "Resource": arn,
                "Condition": {"StringLike": {"s3:prefix": below}},
            },
            {"Effect": "Allow", "Action": transfer, "Resource": files},
        ],
    }


def only_encrypted_transport(bucket: str) -> dict[str, Any]:
    arn = f"arn:aws:s3:::{bucket}"
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": [arn, f"{arn}/*"]}
    return {"Version": "2012-10-17", "Statement": [deny | {"Condition": {"Bool": {"aws:SecureTransport": "false"}}}]}


def make(bucket: str, region: str) -> None:
    """Create the bucket, if it is not there, and bring its settings to what they should be."""
    s3 = boto3.client("s3", region_name=region)
    place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    with suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket=bucket, **place)
    s3.put_public_access_block(
        Bucket=bucket,
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": True,
            "IgnorePublicAcls": True,
            "BlockPublicPolicy": True,
            "RestrictPublicBuckets": True,
        },
    )
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_encryption(
        Bucket=bucket,
        ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]},
    )
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(only_encrypted_transport(bucket)))
    unfinished = {"ID": "unfinished-uploads", "Status": "Enabled", "Filter": {"Prefix": ""}}
    s3.put_bucket_lifecycle_configuration(
        Bucket=bucket,
        LifecycleConfiguration={"Rules": [unfinished | {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}}]},
    )


def attach(document: dict[str, Any], name: str, user: str | None, role: str | None) -> None:
    iam = boto3.client("iam")
    if user:
        iam.put_user_policy(UserName=user, PolicyName=name, PolicyDocument=json.dumps(document))
    if role:
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("url", help="s3://BUCKET/PREFIX")
    parser.add_argument("--region", default=boto3.Session().region_name or "us-east-1")
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--user", help="IAM user to attach the policy to")
    who.add_argument("--role", help="IAM role to attach the policy to")
    given = parser.parse_args()
    place = urlsplit(given.url)
    if place.scheme != "s3" or not place.netloc:
        parser.error(f"{given.url}: write s3://BUCKET/PREFIX")
    bucket, document = place.netloc, policy(place.netloc, place.path.strip("/"))
    try:
        make(bucket, given.region)
        attach(document, f"dvc-{bucket}", given.user, given.role)
    except (ClientError, BotoCoreError) as error:
        sys.exit(f"{given.url}: {error}")
    print(json.dumps(document, indent=1))
    print(f"dvc remote add --default team {given.url}; dvc remote modify team verify true", file=sys.stderr)


if __name__ == "__main__":
    main()
