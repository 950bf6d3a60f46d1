//! Elasticsearch and OpenSearch: the endpoint and the index are in the path. By OpenTelemetry's conventions for
//! Elasticsearch.

use super::super::{Attributes, Fields};
use super::{Head, name};

/// Endpoints, by their segment of the path.
const ENDPOINTS: &[(&str, &str)] = &[
    ("_search", "search"),
    ("_msearch", "msearch"),
    ("_bulk", "bulk"),
    ("_count", "count"),
    ("_mget", "mget"),
    ("_update_by_query", "update_by_query"),
    ("_delete_by_query", "delete_by_query"),
    ("_reindex", "reindex"),
    ("_refresh", "indices.refresh"),
    ("_flush", "indices.flush"),
    ("_forcemerge", "indices.forcemerge"),
    ("_mapping", "indices.put_mapping"),
    ("_settings", "indices.put_settings"),
    ("_analyze", "indices.analyze"),
    ("_aliases", "indices.update_aliases"),
    ("_alias", "indices.put_alias"),
    ("_field_caps", "field_caps"),
    ("_explain", "explain"),
    ("_validate", "indices.validate_query"),
    ("_termvectors", "termvectors"),
    ("_msearch_template", "msearch_template"),
    ("_pit", "open_point_in_time"),
    ("_async_search", "async_search.submit"),
    ("_sql", "sql.query"),
    ("_cluster", "cluster"),
    ("_cat", "cat"),
    ("_nodes", "nodes"),
    ("_ingest", "ingest"),
    ("_index_template", "indices.index_template"),
    ("_doc", "index"),
    ("_create", "create"),
    ("_update", "update"),
    ("_source", "get_source"),
];

/// A call.
#[derive(Clone, Debug)]
pub(super) struct Call {
    system: &'static str,
    operation: String,
    index: Option<Box<str>>,
    status: Option<u16>,
    /// Something else than the path says so, too.
    confirmed: bool,
}

/// Endpoints that nobody else would call so.
const SURE: &[&str] = &["_search", "_msearch", "_bulk", "_mget", "_update_by_query", "_delete_by_query"];

impl Call {
    pub fn of(head: &Head<'_>, method: &str, path: &str) -> Option<Self> {
        if !path.contains("/_") {
            return None;
        }
        let mut segments = path.split('/').filter(|segment| !segment.is_empty()).enumerate();
        let (at, endpoint, operation) = segments.find_map(|(at, segment)| {
            let (endpoint, operation) = ENDPOINTS.iter().find(|(endpoint, _)| *endpoint == segment)?;
            Some((at, *endpoint, *operation))
        })?;
        // An index may stand before it, and nothing else.
        if at > 1 {
            return None;
        }
        let next = segments.next().map(|(_, segment)| segment);
        let operation = match (endpoint, method, next) {
            ("_doc", "GET", _) => "get".to_owned(),
            ("_doc", "HEAD", _) => "exists".to_owned(),
            ("_doc", "DELETE", _) => "delete".to_owned(),
            ("_mapping", "GET", _) => "indices.get_mapping".to_owned(),
            ("_settings", "GET", _) => "indices.get_settings".to_owned(),
            ("_alias", "GET", _) => "indices.get_alias".to_owned(),
            ("_search", _, Some("scroll")) if method == "DELETE" => "clear_scroll".to_owned(),
            ("_search", _, Some("scroll")) => "scroll".to_owned(),
            ("_search", _, Some("template")) => "search_template".to_owned(),
            // These have endpoints below them.
            ("_cluster" | "_cat" | "_nodes" | "_ingest", _, Some(next))
                if next.len() <= 32 && next.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') =>
            {
                format!("{operation}.{next}")
            }
            _ => operation.to_owned(),
        };
        let index = path.split('/').find(|segment| !segment.is_empty()).filter(|_| at == 1);
        let agent = head.fields.user_agent.unwrap_or_default();
        let says = |name: &[u8]| agent.len() >= name.len() && agent[..name.len()].eq_ignore_ascii_case(name);
        let opensearch = says(b"opensearch");
        let media = head
            .fields
            .content_type
            .is_some_and(|media| media.starts_with(b"application/vnd.elasticsearch+"));
        let confirmed = opensearch || media || says(b"elastic") || SURE.contains(&endpoint);
        Some(Self {
            system: if opensearch { "opensearch" } else { "elasticsearch" },
            operation,
            index: index.map(|index| name(index.as_bytes())),
            status: None,
            confirmed,
        })
    }

    pub fn answered(&mut self, status: u16, fields: &Fields<'_>) {
        self.status = Some(status);
        if fields.elastic_product.is_some() {
            self.system = "elasticsearch";
            self.confirmed = true;
        }
    }

    pub fn describe(&self, out: &mut Attributes) {
        if !self.confirmed {
            return;
        }
        out.text("db.system.name", self.system);
        out.text("db.operation.name", self.operation.clone());
        if let Some(index) = &self.index {
            out.text("db.collection.name", index.to_string());
        }
        if let Some(status) = self.status {
            out.text("db.response.status_code", status.to_string());
        }
    }
}
