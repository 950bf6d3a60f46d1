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
        let copies = head.fields.amazon_copy.is_some();
        let operation = operation(method, bucket.is_some(), !key.is_empty(), copies, query);
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

/// What a query names of a bucket, with the operations that read, write and remove it.
const OF_BUCKETS: &[(&str, [&str; 3])] = &[
    ("accelerate", ["GetBucketAccelerateConfiguration", "PutBucketAccelerateConfiguration", OTHER]),
    ("acl", ["GetBucketAcl", "PutBucketAcl", OTHER]),
    ("cors", ["GetBucketCors", "PutBucketCors", "DeleteBucketCors"]),
    ("encryption", ["GetBucketEncryption", "PutBucketEncryption", "DeleteBucketEncryption"]),
    (
        "lifecycle",
        ["GetBucketLifecycleConfiguration", "PutBucketLifecycleConfiguration", "DeleteBucketLifecycle"],
    ),
    ("location", ["GetBucketLocation", OTHER, OTHER]),
    ("logging", ["GetBucketLogging", "PutBucketLogging", OTHER]),
    ("notification", ["GetBucketNotificationConfiguration", "PutBucketNotificationConfiguration", OTHER]),
    ("object-lock", ["GetObjectLockConfiguration", "PutObjectLockConfiguration", OTHER]),
    (
        "ownershipControls",
        ["GetBucketOwnershipControls", "PutBucketOwnershipControls", "DeleteBucketOwnershipControls"],
    ),
    ("policy", ["GetBucketPolicy", "PutBucketPolicy", "DeleteBucketPolicy"]),
    ("policyStatus", ["GetBucketPolicyStatus", OTHER, OTHER]),
    ("publicAccessBlock", ["GetPublicAccessBlock", "PutPublicAccessBlock", "DeletePublicAccessBlock"]),
    ("replication", ["GetBucketReplication", "PutBucketReplication", "DeleteBucketReplication"]),
    ("requestPayment", ["GetBucketRequestPayment", "PutBucketRequestPayment", OTHER]),
    ("tagging", ["GetBucketTagging", "PutBucketTagging", "DeleteBucketTagging"]),
    ("uploads", ["ListMultipartUploads", OTHER, OTHER]),
    ("versioning", ["GetBucketVersioning", "PutBucketVersioning", OTHER]),
    ("versions", ["ListObjectVersions", OTHER, OTHER]),
    ("website", ["GetBucketWebsite", "PutBucketWebsite", "DeleteBucketWebsite"]),
];

/// What a query names of an object.
const OF_OBJECTS: &[(&str, [&str; 3])] = &[
    ("acl", ["GetObjectAcl", "PutObjectAcl", OTHER]),
    ("attributes", ["GetObjectAttributes", OTHER, OTHER]),
    ("legal-hold", ["GetObjectLegalHold", "PutObjectLegalHold", OTHER]),
    ("retention", ["GetObjectRetention", "PutObjectRetention", OTHER]),
    ("tagging", ["GetObjectTagging", "PutObjectTagging", "DeleteObjectTagging"]),
    ("torrent", ["GetObjectTorrent", OTHER, OTHER]),
    ("uploadId", ["ListParts", OTHER, "AbortMultipartUpload"]),
];

/// Parameters of `ListObjects`; of others nobody knows what they ask for.
const OF_LISTS: &[&str] = &["delimiter", "encoding-type", "marker", "max-keys", "prefix", "x-id"];

const OTHER: &str = "other";

/// `copies` says that the contents are another object's.
fn operation(method: &str, bucket: bool, key: bool, copies: bool, query: &str) -> &'static str {
    let names = || query.split('&').filter_map(|pair| pair.split('=').next()).filter(|name| !name.is_empty());
    let has = |name: &str| names().any(|one| one == name);
    // A signature, too, may stand in the query.
    let only = |known: &[&str]| names().all(|name| name.starts_with("X-Amz-") || known.contains(&name));
    match (method, bucket, key) {
        ("PUT", _, true) if has("partNumber") && copies => return "UploadPartCopy",
        ("PUT", _, true) if has("partNumber") => return "UploadPart",
        ("POST", _, true) if has("uploads") => return "CreateMultipartUpload",
        ("POST", _, true) if has("uploadId") => return "CompleteMultipartUpload",
        ("POST", _, true) if has("select") => return "SelectObjectContent",
        ("POST", _, true) if has("restore") => return "RestoreObject",
        ("GET", true, false) if has("list-type") => return "ListObjectsV2",
        ("POST", true, false) if has("delete") => return "DeleteObjects",
        ("POST", true, false) => return "PostObject",
        _ => {}
    }
    let verb = ["GET", "PUT", "DELETE"].iter().position(|verb| *verb == method);
    let parts = if key { OF_OBJECTS } else { OF_BUCKETS };
    if let Some(verb) = verb.filter(|_| bucket)
        && let Some((_, operations)) = parts.iter().find(|(part, _)| has(part))
    {
        return operations[verb];
    }
    match (method, bucket, key) {
        ("GET", false, _) => "ListBuckets",
        ("GET", _, true) => "GetObject",
        ("HEAD", _, true) => "HeadObject",
        ("PUT", _, true) if copies => "CopyObject",
        ("PUT", _, true) => "PutObject",
        ("DELETE", _, true) => "DeleteObject",
        ("GET", true, _) if only(OF_LISTS) => "ListObjects",
        ("HEAD", true, _) => "HeadBucket",
        ("PUT", true, _) if only(&["x-id"]) => "CreateBucket",
        ("DELETE", true, _) if only(&["x-id"]) => "DeleteBucket",
        _ => OTHER,
    }
}
