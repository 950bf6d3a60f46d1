"""Calls of boto3 to the S3 endpoint at the port in argument 1, each once, in the order of tests/protocols/http_calls.rs."""

import sys
import urllib.request

import boto3
from botocore.client import Config
from botocore.exceptions import ClientError

s3 = boto3.client(
    "s3",
    endpoint_url=f"http://127.0.0.1:{sys.argv[1]}",
    region_name="us-east-1",
    aws_access_key_id="AKIAREMORA",
    aws_secret_access_key="secret-key",
    config=Config(s3={"addressing_style": "path"}, signature_version="s3v4", retries={"total_max_attempts": 1}),
)
s3.create_bucket(Bucket="orders")
s3.put_object(Bucket="orders", Key="2026/bill 1", Body=b"secret-content" * 100)
assert s3.get_object(Bucket="orders", Key="2026/bill 1")["Body"].read().startswith(b"secret-content")
s3.head_object(Bucket="orders", Key="2026/bill 1")
s3.copy_object(Bucket="orders", Key="copy", CopySource={"Bucket": "orders", "Key": "2026/bill 1"})
s3.put_object_tagging(Bucket="orders", Key="copy", Tagging={"TagSet": [{"Key": "k", "Value": "secret-tag"}]})
s3.get_object_tagging(Bucket="orders", Key="copy")
assert s3.list_objects_v2(Bucket="orders")["KeyCount"] == 2
assert len(s3.list_objects(Bucket="orders", Prefix="2026/")["Contents"]) == 1
upload = s3.create_multipart_upload(Bucket="orders", Key="big")["UploadId"]
part = s3.upload_part(Bucket="orders", Key="big", UploadId=upload, PartNumber=1, Body=b"p" * 200_000)["ETag"]
s3.complete_multipart_upload(
    Bucket="orders", Key="big", UploadId=upload, MultipartUpload={"Parts": [{"ETag": part, "PartNumber": 1}]}
)
s3.put_bucket_versioning(Bucket="orders", VersioningConfiguration={"Status": "Suspended"})
s3.get_bucket_versioning(Bucket="orders")
s3.get_bucket_acl(Bucket="orders")
s3.get_bucket_location(Bucket="orders")
try:
    s3.get_object(Bucket="orders", Key="missing")
    raise SystemExit("it exists")
except ClientError as error:
    assert error.response["Error"]["Code"] == "NoSuchKey"
signed = s3.generate_presigned_url("get_object", Params={"Bucket": "orders", "Key": "copy"})
assert urllib.request.urlopen(signed).read().startswith(b"secret-content")
s3.delete_object(Bucket="orders", Key="copy")
s3.delete_objects(Bucket="orders", Delete={"Objects": [{"Key": "big"}, {"Key": "2026/bill 1"}]})
s3.delete_bucket(Bucket="orders")
s3.list_buckets()
