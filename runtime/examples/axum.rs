//! A web service that authorizes each request by its token and the token's restrictions.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::routing::get;
use keyward_runtime::keys::{KeyGrant, KeyRing, Secret};
use keyward_runtime::{
    Actors, CreateRequest, Creation, HandlerConfig, Permission, Registry, Restrictions, Runtime, Verdict,
};
use std::error::Error;
use tower::ServiceExt;

/// Returns a table to a caller whose token may view it.
async fn table(
    State(registry): State<Registry>,
    Path((database, table)): Path<(String, String)>,
    request: Request,
) -> Result<String, (StatusCode, String)> {
    let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(|value| value.strip_prefix("Bearer "));
    let token = token.ok_or_else(|| (StatusCode::UNAUTHORIZED, "a token is required".to_owned()))?;
    let accepted = match registry.verify(token).await {
        Ok(Verdict::Accepted(accepted)) => accepted,
        Ok(Verdict::Rejected(rejection)) => return Err((StatusCode::UNAUTHORIZED, rejection.message)),
        Ok(Verdict::NotMine) => return Err((StatusCode::UNAUTHORIZED, "not a token of this service".to_owned())),
        // There is no verdict, so access is denied, and the failure is not the caller's.
        Err(error) => return Err((StatusCode::SERVICE_UNAVAILABLE, error.public_message().to_owned())),
    };
    let permission = Permission::new("view-table").on_resource(&database, &table);
    let Some(actor) = registry.authorize(&accepted, &permission) else {
        return Err((StatusCode::FORBIDDEN, "the token is restricted to other tables".to_owned()));
    };
    // The service decides what the actor may do; the token only narrows it.
    Ok(format!("{table} for {}\n", actor.id().map_or("an actor without an id", |id| id.as_str())))
}

fn app(registry: Registry) -> Router {
    Router::new().route("/{database}/{table}", get(table)).with_state(registry)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let ring = KeyRing::new("main", Secret::new([7; 32]), vec![])?;
    let signed = HandlerConfig::new("signed", keyward_handlers::SIGNED, Actors::Any)
        .prefix("dstok_")
        .key("token", KeyGrant::new(ring.into()));
    let registry = Registry::builder(&Runtime::new()?).action("view-table", "vt").handler(signed).build()?;
    let orders = Restrictions::new().allow_resource("shop", "orders", "view-table");
    let token = match registry.create(CreateRequest::new("ann").restrictions(orders)).await? {
        Creation::Created(created) => created.token,
        Creation::Denied(denied) => return Err(denied.message.into()),
    };
    // A real service passes the router to `axum::serve`.
    for (path, wanted) in [("/shop/orders", StatusCode::OK), ("/shop/customers", StatusCode::FORBIDDEN)] {
        let request = Request::get(path).header(AUTHORIZATION, format!("Bearer {token}")).body(Body::empty())?;
        let response = app(registry.clone()).oneshot(request).await?;
        println!("GET {path}: {}", response.status());
        assert_eq!(response.status(), wanted);
    }
    Ok(())
}
