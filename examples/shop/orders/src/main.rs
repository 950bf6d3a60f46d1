//! The shop's orders: axum on a runtime of several threads, and hyper's client. It keeps carts in memory and asks the
//! catalog for prices.

use std::collections::HashMap;
use std::env;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Carts kept; beyond that, all are forgotten.
const MAX_CARTS: usize = 1_000;

struct Shop {
    carts: Mutex<HashMap<String, Vec<Item>>>,
    catalog: String,
    client: Client<HttpConnector, Body>,
}

#[derive(Clone, Deserialize, Serialize)]
struct Item {
    product: u32,
    quantity: u32,
}

#[derive(Deserialize)]
struct Checkout {
    cart: String,
    card: String,
}

#[derive(Deserialize)]
struct Price {
    cents: u64,
}

/// Whatever goes wrong in a handler is the caller's 500.
struct Failure(anyhow::Error);

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        answer(StatusCode::INTERNAL_SERVER_ERROR, json!({ "error": format!("{:#}", self.0) }))
    }
}

fn answer(status: StatusCode, body: serde_json::Value) -> Response {
    (status, Json(body)).into_response()
}

impl Shop {
    /// What one piece costs; nothing if the catalog does not know the product. Passes the request's id on.
    async fn price(&self, product: u32, headers: &HeaderMap) -> Result<Option<u64>> {
        let none = HeaderValue::from_static("none");
        let request = Request::get(format!("{}/prices/{product}", self.catalog))
            .header("x-request-id", headers.get("x-request-id").unwrap_or(&none))
            .body(Body::empty())?;
        let response = self.client.request(request).await.context("the catalog does not answer")?;
        let found = response.status() == StatusCode::OK;
        let body = to_bytes(Body::new(response.into_body()), 64 * 1024).await?;
        if !found {
            return Ok(None);
        }
        Ok(Some(serde_json::from_slice::<Price>(&body)?.cents))
    }
}

/// `GET /carts/{cart}`
async fn cart(State(shop): State<Arc<Shop>>, Path(cart): Path<String>) -> Response {
    let items = shop.carts.lock().unwrap().get(&cart).cloned();
    match items {
        Some(items) => answer(StatusCode::OK, json!({ "cart": cart, "items": items })),
        None => answer(StatusCode::NOT_FOUND, json!({ "error": "no such cart" })),
    }
}

/// `POST /carts/{cart}/items`
async fn add(
    State(shop): State<Arc<Shop>>,
    Path(cart): Path<String>,
    headers: HeaderMap,
    Json(item): Json<Item>,
) -> Result<Response, Failure> {
    let Some(cents) = shop.price(item.product, &headers).await? else {
        return Ok(answer(StatusCode::NOT_FOUND, json!({ "error": "no such product" })));
    };
    let mut carts = shop.carts.lock().unwrap();
    if carts.len() >= MAX_CARTS {
        carts.clear();
    }
    carts.entry(cart).or_default().push(item);
    Ok(answer(StatusCode::CREATED, json!({ "cents": cents })))
}

/// `POST /orders`: takes a cart and a card. The card `declined` is refused, and at `broken` the payment fails.
async fn order(
    State(shop): State<Arc<Shop>>,
    headers: HeaderMap,
    Json(checkout): Json<Checkout>,
) -> Result<Response, Failure> {
    let items = shop.carts.lock().unwrap().get(&checkout.cart).cloned();
    let Some(items) = items else {
        return Ok(answer(StatusCode::NOT_FOUND, json!({ "error": "no such cart" })));
    };
    let mut cents = 0;
    for item in items {
        let price = shop.price(item.product, &headers).await?.context("a product left the catalog")?;
        cents += price * u64::from(item.quantity);
    }
    match checkout.card.as_str() {
        "declined" => return Ok(answer(StatusCode::PAYMENT_REQUIRED, json!({ "error": "card declined" }))),
        "broken" => return Err(anyhow::anyhow!("the payment provider hung up").into()),
        _ => {}
    }
    shop.carts.lock().unwrap().remove(&checkout.cart);
    Ok(answer(StatusCode::CREATED, json!({ "cart": checkout.cart, "cents": cents })))
}

/// `GET /stock/{product}`
async fn stock(Path(product): Path<u32>) -> Response {
    answer(StatusCode::OK, json!({ "stock": 1 + product * 7 % 50 }))
}

#[tokio::main]
async fn main() -> Result<()> {
    let port: u16 = env::var("PORT").context("PORT is not set")?.parse().context("PORT is not a port")?;
    let shop = Arc::new(Shop {
        carts: Mutex::default(),
        catalog: env::var("CATALOG_URL").context("CATALOG_URL is not set")?,
        client: Client::builder(TokioExecutor::new()).build_http(),
    });
    let routes = Router::new()
        .route("/carts/{cart}", get(cart))
        .route("/carts/{cart}/items", post(add))
        .route("/orders", post(order))
        .route("/stock/{product}", get(stock))
        .route("/healthz", get(|| async { "ok" }))
        .with_state(shop);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    Ok(axum::serve(listener, routes).await?)
}
