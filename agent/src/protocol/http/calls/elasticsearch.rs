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
    ("_index_template", "indices.put_index_template"),
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

/// How the `User-Agent` of the makers' clients begins. Their agents and probes, which talk to others, too, have other names.
const CLIENTS: &[&[u8]] =
    &[b"elasticsearch-", b"go-elasticsearch/", b"elastic-transport-", b"elastic-java/", b"opensearch-"];

/// The client's name begins so.
fn says(head: &Head<'_>, name: &[u8]) -> bool {
    let agent = head.fields.user_agent.unwrap_or_default();
    agent.len() >= name.len() && agent[..name.len()].eq_ignore_ascii_case(name)
}

impl Call {
    pub fn of(head: &Head<'_>, method: &str, path: &str) -> Option<Self> {
        if !path.contains("/_") {
            return Self::of_index(head, method, path);
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
            ("_alias", "HEAD", _) => "indices.exists_alias".to_owned(),
            ("_alias", "DELETE", _) => "indices.delete_alias".to_owned(),
            ("_index_template", "GET", _) => "indices.get_index_template".to_owned(),
            ("_index_template", "HEAD", _) => "indices.exists_index_template".to_owned(),
            ("_index_template", "DELETE", _) => "indices.delete_index_template".to_owned(),
            ("_source", "HEAD", _) => "exists_source".to_owned(),
            ("_pit", "DELETE", _) => "close_point_in_time".to_owned(),
            ("_async_search", "GET", _) => "async_search.get".to_owned(),
            ("_async_search", "DELETE", _) => "async_search.delete".to_owned(),
            ("_search", _, Some("scroll")) if method == "DELETE" => "clear_scroll".to_owned(),
            ("_search", _, Some("scroll")) => "scroll".to_owned(),
            ("_search", "DELETE", Some("point_in_time")) => "delete_pit".to_owned(),
            ("_search", "GET", Some("point_in_time")) => "get_all_pits".to_owned(),
            ("_search", _, Some("point_in_time")) => "create_pit".to_owned(),
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
        let opensearch = says(head, b"opensearch");
        let media = head
            .fields
            .content_type
            .is_some_and(|media| media.starts_with(b"application/vnd.elasticsearch+"));
        let confirmed = opensearch || media || says(head, b"elastic") || SURE.contains(&endpoint);
        Some(Self {
            system: if opensearch { "opensearch" } else { "elasticsearch" },
            operation,
            index: index.map(|index| name(index.as_bytes())),
            status: None,
            confirmed,
        })
    }

    /// The cluster, or an index itself: paths that anybody may have, so that only the clients' names tell.
    fn of_index(head: &Head<'_>, method: &str, path: &str) -> Option<Self> {
        let mut segments = path.split('/').filter(|segment| !segment.is_empty());
        let (index, more) = (segments.next(), segments.next());
        let operation = match (method, index) {
            ("GET", None) => "info",
            ("HEAD", None) => "ping",
            ("GET", Some(_)) => "indices.get",
            ("HEAD", Some(_)) => "indices.exists",
            ("PUT", Some(_)) => "indices.create",
            ("DELETE", Some(_)) => "indices.delete",
            _ => return None,
        };
        if more.is_some() || !CLIENTS.iter().any(|client| says(head, client)) {
            return None;
        }
        Some(Self {
            system: if says(head, b"opensearch") { "opensearch" } else { "elasticsearch" },
            operation: operation.to_owned(),
            index: index.map(|index| name(index.as_bytes())),
            status: None,
            confirmed: true,
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
