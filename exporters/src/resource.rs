//! The resource of a span, made once for a service and shared by all its spans.

use opentelemetry_proto::tonic::resource::v1::Resource as Proto;
use prost::Message;
use rustc_hash::FxHasher;
use std::hash::{Hash, Hasher};

/// Who a span belongs to.
///
/// It is encoded when it is made, so that a batch that carries its spans only copies bytes. Two resources with the
/// same content are one resource in a request, whether or not they are the same object; sharing one [`Arc`] for all
/// spans of a service makes that comparison a pointer's.
#[derive(Debug, Clone)]
pub struct Resource {
    proto: Proto,
    schema_url: String,
    encoded: Vec<u8>,
    hash: u64,
}

impl Resource {
    /// A resource with the schema its attributes follow (a URL, or empty).
    #[must_use]
    pub fn new(proto: Proto, schema_url: impl Into<String>) -> Self {
        let schema_url = schema_url.into();
        let encoded = proto.encode_to_vec();
        let mut hasher = FxHasher::default();
        (&encoded, &schema_url).hash(&mut hasher);
        Self { proto, schema_url, encoded, hash: hasher.finish() }
    }

    /// The resource as OTLP has it.
    #[must_use]
    pub fn proto(&self) -> &Proto {
        &self.proto
    }

    /// The schema its attributes follow.
    #[must_use]
    pub fn schema_url(&self) -> &str {
        &self.schema_url
    }

    /// The protobuf encoding of [`proto`](Self::proto).
    pub(crate) fn encoded(&self) -> &[u8] {
        &self.encoded
    }
}

impl From<Proto> for Resource {
    fn from(proto: Proto) -> Self {
        Self::new(proto, "")
    }
}

// As the key of a map: equal when the content is.

impl Hash for Resource {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash.hash(state);
    }
}

impl PartialEq for Resource {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
            || (self.hash == other.hash
                && self.encoded == other.encoded
                && self.schema_url == other.schema_url)
    }
}

impl Eq for Resource {}
