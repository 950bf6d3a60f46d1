//! Object stores that speak Amazon's S3 (the REST API of the "Amazon S3 API Reference"): the operation follows from method,
//! path and query. By OpenTelemetry's conventions for AWS SDKs and S3. Object keys are told no more than the path is.

use super::super::{Attributes, Fields};
use super::{Head, name};

/// A call.
#[derive(Clone, Debug)]
pub(super) struct Call {
    operation: &'static str,
    bucket: Option<Box<str>>,
    request: Option<Box<str>>,
}

impl Call {
    /// A request that is signed for S3: by fields (`AWS4-HMAC-SHA256`, with `x-amz-*` beside it) or by its query.
    pub fn of(head: &Head<'_>, method: &str, path: &str, query: &str) -> Option<Self> {
        let authorization = head.fields.authorization.unwrap_or_default();
        let signed = authorization.starts_with(b"AWS4-HMAC-SHA256 ") && head.fields.amazon.is_some();
        // The scope says for which service it is signed.
        let scoped = contains(authorization, b"/s3/aws4_request") || query.contains("%2Fs3%2Faws4_request");
        let presigned = query.contains("X-Amz-Signature=");
        if !(signed || presigned) || !scoped {
            return None;
        }
        let host = head.fields.host.unwrap_or_default();
        let virtual_host = bucket_of(host);
        let mut segments = path.trim_start_matches('/').splitn(2, '/');
        let (bucket, key) = match virtual_host {
            Some(bucket) => (Some(bucket), path.trim_start_matches('/')),
            None => {
                let bucket = segments.next().filter(|bucket| !bucket.is_empty()).map(str::as_bytes);
                (bucket, segments.next().unwrap_or_default())
            }
        };
        let operation = operation(method, bucket.is_some(), !key.is_empty(), query);
        Some(Self { operation, bucket: bucket.map(name), request: None })
    }

    pub fn answered(&mut self, fields: &Fields<'_>) {
        self.request = fields.amazon_request.map(name);
    }

    pub fn describe(&self, out: &mut Attributes) {
        out.text("rpc.system.name", "aws-api");
        out.text("rpc.method", format!("S3/{}", self.operation));
        if let Some(bucket) = &self.bucket {
            out.text("aws.s3.bucket", bucket.to_string());
        }
        if let Some(request) = &self.request {
            out.text("aws.request_id", request.to_string());
        }
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(text, part).is_some()
}

/// The bucket in a host such as `bucket.s3.eu-west-1.amazonaws.com`.
fn bucket_of(host: &[u8]) -> Option<&[u8]> {
    let at = memchr::memmem::find(host, b".s3.").or_else(|| memchr::memmem::find(host, b".s3-"))?;
    (at > 0).then(|| &host[..at])
}

fn operation(method: &str, bucket: bool, key: bool, query: &str) -> &'static str {
    let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
    match (method, bucket, key) {
        ("GET", false, _) => "ListBuckets",
        ("GET", _, true) if has("uploadId") => "ListParts",
        ("GET", _, true) if has("tagging") => "GetObjectTagging",
        ("GET", _, true) if has("acl") => "GetObjectAcl",
        ("GET", _, true) => "GetObject",
        ("HEAD", _, true) => "HeadObject",
        ("PUT", _, true) if has("partNumber") => "UploadPart",
        ("PUT", _, true) if has("tagging") => "PutObjectTagging",
        ("PUT", _, true) if has("acl") => "PutObjectAcl",
        ("PUT", _, true) => "PutObject",
        ("POST", _, true) if has("uploads") => "CreateMultipartUpload",
        ("POST", _, true) if has("uploadId") => "CompleteMultipartUpload",
        ("POST", _, true) if has("select") => "SelectObjectContent",
        ("POST", _, true) if has("restore") => "RestoreObject",
        ("DELETE", _, true) if has("uploadId") => "AbortMultipartUpload",
        ("DELETE", _, true) if has("tagging") => "DeleteObjectTagging",
        ("DELETE", _, true) => "DeleteObject",
        ("GET", true, _) if has("list-type") => "ListObjectsV2",
        ("GET", true, _) if has("location") => "GetBucketLocation",
        ("GET", true, _) if has("versioning") => "GetBucketVersioning",
        ("GET", true, _) if has("versions") => "ListObjectVersions",
        ("GET", true, _) if has("uploads") => "ListMultipartUploads",
        ("GET", true, _) if has("policy") => "GetBucketPolicy",
        ("GET", true, _) => "ListObjects",
        ("HEAD", true, _) => "HeadBucket",
        ("PUT", true, _) if query.is_empty() => "CreateBucket",
        ("DELETE", true, _) if query.is_empty() => "DeleteBucket",
        ("POST", true, _) if has("delete") => "DeleteObjects",
        ("POST", true, _) => "PostObject",
        _ => "other",
    }
}
