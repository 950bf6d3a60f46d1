//! Fields that someone needs.

use super::is;

/// Field lines of `tracestate` that are joined.
const MAX_TRACESTATES: usize = 4;

/// The name of a field that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Name {
    /// `Host`
    Host,
    /// `User-Agent`
    UserAgent,
    /// `Forwarded` (RFC 7239)
    Forwarded,
    /// `X-Forwarded-For`
    ForwardedFor,
    /// `X-Forwarded-Host`
    ForwardedHost,
    /// `X-Forwarded-Proto`
    ForwardedProto,
    /// `traceparent`
    TraceParent,
    /// `tracestate`
    TraceState,
    /// `Authorization`
    Authorization,
    /// `Content-Type`
    ContentType,
    /// `Content-Encoding`
    ContentEncoding,
    /// `SOAPAction`
    SoapAction,
    /// `x-amz-date` or `x-amz-content-sha256`
    Amazon,
    /// `x-amz-copy-source`
    AmazonCopy,
    /// `x-amz-request-id`
    AmazonRequest,
    /// `anthropic-version`
    Anthropic,
    /// `x-elastic-product`
    ElasticProduct,
}

impl Name {
    /// Which it is, in any case; `None` for a field that nobody needs.
    pub fn of(name: &[u8]) -> Option<Self> {
        Some(match name.len() {
            4 if is(name, b"host") => Self::Host,
            9 if is(name, b"forwarded") => Self::Forwarded,
            10 if is(name, b"user-agent") => Self::UserAgent,
            10 if is(name, b"soapaction") => Self::SoapAction,
            10 if is(name, b"x-amz-date") => Self::Amazon,
            10 if is(name, b"tracestate") => Self::TraceState,
            11 if is(name, b"traceparent") => Self::TraceParent,
            12 if is(name, b"content-type") => Self::ContentType,
            13 if is(name, b"authorization") => Self::Authorization,
            15 if is(name, b"x-forwarded-for") => Self::ForwardedFor,
            16 if is(name, b"x-forwarded-host") => Self::ForwardedHost,
            16 if is(name, b"content-encoding") => Self::ContentEncoding,
            16 if is(name, b"x-amz-request-id") => Self::AmazonRequest,
            17 if is(name, b"x-forwarded-proto") => Self::ForwardedProto,
            17 if is(name, b"anthropic-version") => Self::Anthropic,
            17 if is(name, b"x-amz-copy-source") => Self::AmazonCopy,
            17 if is(name, b"x-elastic-product") => Self::ElasticProduct,
            20 if is(name, b"x-amz-content-sha256") => Self::Amazon,
            _ => return None,
        })
    }
}

/// The fields with these names: the first of each, all of `tracestate`.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::protocol) struct Fields<'a> {
    pub host: Option<&'a [u8]>,
    pub user_agent: Option<&'a [u8]>,
    pub forwarded: Option<&'a [u8]>,
    pub forwarded_for: Option<&'a [u8]>,
    pub forwarded_host: Option<&'a [u8]>,
    pub forwarded_proto: Option<&'a [u8]>,
    pub traceparent: Option<&'a [u8]>,
    /// There are several `traceparent` that do not agree.
    pub traceparent_ambiguous: bool,
    /// In order.
    pub tracestate: [Option<&'a [u8]>; MAX_TRACESTATES],
    pub authorization: Option<&'a [u8]>,
    pub content_type: Option<&'a [u8]>,
    pub content_encoding: Option<&'a [u8]>,
    pub soap_action: Option<&'a [u8]>,
    pub amazon: Option<&'a [u8]>,
    pub amazon_copy: Option<&'a [u8]>,
    pub amazon_request: Option<&'a [u8]>,
    pub anthropic: Option<&'a [u8]>,
    pub elastic_product: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    /// Takes a field line.
    pub fn take(&mut self, name: Name, value: &'a [u8]) {
        let first = match name {
            Name::Host => &mut self.host,
            Name::UserAgent => &mut self.user_agent,
            Name::Forwarded => &mut self.forwarded,
            Name::ForwardedFor => &mut self.forwarded_for,
            Name::ForwardedHost => &mut self.forwarded_host,
            Name::ForwardedProto => &mut self.forwarded_proto,
            Name::Authorization => &mut self.authorization,
            Name::ContentType => &mut self.content_type,
            Name::ContentEncoding => &mut self.content_encoding,
            Name::SoapAction => &mut self.soap_action,
            Name::Amazon => &mut self.amazon,
            Name::AmazonCopy => &mut self.amazon_copy,
            Name::AmazonRequest => &mut self.amazon_request,
            Name::Anthropic => &mut self.anthropic,
            Name::ElasticProduct => &mut self.elastic_product,
            Name::TraceParent => {
                self.traceparent_ambiguous |= *self.traceparent.get_or_insert(value) != value;
                return;
            }
            Name::TraceState => {
                if let Some(free) = self.tracestate.iter_mut().find(|slot| slot.is_none()) {
                    *free = Some(value);
                }
                return;
            }
        };
        first.get_or_insert(value);
    }
}
